"""Every recipe of the library can be trained."""

import math

import pytest

from regard.data.parallel import ParallelText
from regard.recipes import recipes
from regard.training.loop import train
from regard.training.pretraining import PretrainingTask
from regard.training.run import build_run, read_run
from regard.training.translation import TranslationTask

SMALL = {"cutoffs": [], "width": 16, "embedding": 8, "alignment": 8, "maxout": 8, "hidden": 24, "heads": 2, "depth": 2}


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_takes_two_steps_at_toy_size(tmp_path, name):
    run = read_run(name)
    table = run.table()
    fields = vars(run.task.config(run.model, run.text, run.plan, 300, 300))
    if "from" not in run.model:  # which has the size of what it goes on from
        table["model"].update({key: value for key, value in SMALL.items() if key in fields})
    table["text"].update(vocabulary=300, minimum=1)
    if run.task is TranslationTask:
        table["train"] = {"path": "dates", "count": 60}
        table["validation"] = {"path": "dates", "split": "validation", "count": 8}
        limits = {"tokens": 400 if run.plan.tokens else 0, "sentences": min(run.plan.sentences, 10), "pool": 20}
        table["plan"].update(limits, steps=2, validate_sentences=2, save_every=1)
    else:
        verse = "So shaken as we are , so wan with care . Find we a time . \n" * 10
        (tmp_path / "text").write_text("".join(f"\n = {title} = \n\n{verse}" for title in ("One", "Two", "Three")))
        table["train"] = {**table["train"], "path": str(tmp_path / "text")}
        table["validation"] = {**table["validation"], "path": str(tmp_path / "text")}
        table["plan"].update(context=16, tokens=64, steps=2, save_every=1)
    losses = []
    trained = train(build_run(table, name), tmp_path / "run", on_step=lambda step, loss, model: losses.append(loss))
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    if run.task is TranslationTask:
        source = next(ParallelText("dates", count=1).read()).source
        assert len(trained.translate([source], beams=1, longest=3)) == 1
    elif run.task is PretrainingTask:
        assert len(trained.embed(["So"])) == 1
    else:
        assert len(trained.generate(["So"], tokens=3)) == 1

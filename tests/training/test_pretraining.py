"""Self-supervised pre-training of encoders, from running text to the model directory."""

import math

import pytest
from small_encoders import BAD, GOOD, THINGS, save_reader, tokenizer, write_reviews
from small_runs import outcome, train_until

import regard
from regard.data.loading import Cursor
from regard.data.table import Table
from regard.decoding.writer import Writer
from regard.models.parameters import plain_weights
from regard.models.saved import load_model
from regard.reading.reader import Reader
from regard.training.loop import train
from regard.training.planning import Wishes, plan_finetuning
from regard.training.run import build_run, read_run


@pytest.fixture
def text(tmp_path):
    lines = [
        f"the {thing} was {word}.\nso the {thing} was {word} again.\nthen the {thing} ended.\n"
        for word in GOOD + BAD
        for thing in THINGS
    ]
    (tmp_path / "text").write_text("\n".join(lines))
    tokenizer().save(tmp_path / "tokenizer.json")
    return tmp_path / "text"


def planned(text, kind, **plan):
    small = {"width": 32, "depth": 2, "heads": 2, "hidden": 48, "dropout": 0.0, "attention_dropout": 0.0}
    if kind == "gpt-encoder":
        small = {name: small[name] for name in ("width", "depth", "heads", "dropout")}
    values = {
        "steps": 10,
        "tokens": 256,
        "context": 32,
        "rate": 3e-3,
        "warmup": 2,
        "validate_every": 5,
        "save_every": 3,
        "validate_batches": 3,
        "optimiser": "adamw",
        "beta2": 0.999,
        "schedule": "linear",
        **plan,
    }
    source = {"path": str(text), "documents": "paragraphs"}
    return build_run(
        {
            "name": "small",
            "model": {"kind": kind, "size": "tiny", **small},
            "train": source,
            "validation": source,
            # one tokenizer for all runs: training one breaks ties by the order of a hash table
            "text": {"load": str(text.parent / "tokenizer.json")},
            "plan": values,
        },
        "small",
    )


RUNS = {
    "bert": ("bert", {"pairs": "next"}),
    "words alone": ("bert", {"pairs": "none", "together": 1, "masks": 2}),
    "albert": ("albert", {"pairs": "order", "together": 3, "optimiser": "lamb", "beta2": 0.0, "rate": 0.02}),
    "xlnet": ("xlnet", {"both_ways": True, "tokens": 128}),
    "next words": ("gpt-encoder", {"pairs": "none"}),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_loss_falls_and_the_directory_can_be_used(tmp_path, text, name):
    kind, plan = RUNS[name]
    losses = []
    train(
        planned(text, kind, **{**plan, "steps": 60, "validate_every": 60}),
        tmp_path / "run",
        on_step=lambda step, loss, model: losses.append(loss),
    )
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])
    if kind == "gpt-encoder":  # it is a language model then, which is tuned as one
        assert isinstance(regard.load(tmp_path / "run"), Writer)
        reviews = Table(str(write_reviews(tmp_path / "reviews.csv", 20)))
        tuning, _ = plan_finetuning(tmp_path / "run", "tuned", reviews, None, Wishes(1.0, text={"longest": 16}))
        assert train(tuning, tmp_path / "tuned").labels == ("neg", "pos")
        return
    reader = Reader.load(tmp_path / "run")
    assert reader.embed(["the film was good"]).shape == (1, 32)
    if kind != "xlnet":
        (found,) = reader.fill("the film was [MASK].", best=3)
        assert len(found) == 3


@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_run_ends_as_one_which_never_was(tmp_path, text, name):
    kind, plan = RUNS[name]
    run = planned(text, kind, **plan)
    train(run, tmp_path / "whole")
    train_until(run, tmp_path / "run", 7)
    train(read_run(tmp_path / "run" / "run.toml"), tmp_path / "run", resume=True)
    found, wanted = outcome(tmp_path / "run"), outcome(tmp_path / "whole")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


@pytest.mark.parametrize("change", [{"tokens": 64}, {"reuse": 8}, {"both_ways": False}])
def test_a_run_on_permuted_words_is_not_resumed_with_other_lanes(tmp_path, text, change):
    kind, plan = RUNS["xlnet"]
    train(planned(text, kind, **plan, steps=2), tmp_path / "run")
    with pytest.raises(ValueError, match=rf"another plan\.{next(iter(change))} does not fit it"):
        train(planned(text, kind, **{**plan, "steps": 3, **change}), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("kind", "plan", "message"),
    [
        ("bert", {"pairs": "nxt"}, "did you mean 'next'"),
        ("bert", {"reuse": 8}, "plan.reuse means nothing to bert"),
        ("xlnet", {"pairs": "order"}, "plan.pairs means nothing to xlnet"),
        ("gpt-encoder", {}, "gpt-encoder learns next words, and nothing of pairs: set plan.pairs='none'"),
        ("gpt-encoder", {"pairs": "none", "share": 0.2}, "plan.share means nothing to gpt-encoder"),
        ("bert", {"context": 100}, "plan.context=100 exceeds the 64 positions which the model has"),
        ("bert", {"tokens": 16}, "plan.tokens=16 cannot hold a sequence of 32 tokens"),
    ],
)
def test_wrong_plans_are_named(text, kind, plan, message):
    with pytest.raises(ValueError, match=message):
        planned(text, kind, **plan)


def test_an_encoder_of_one_segment_learns_nothing_of_pairs(text):
    run = planned(text, "bert", pairs="none").table()
    run["model"]["segments"] = 1
    build_run(run, "small")
    run["plan"]["pairs"] = "next"
    with pytest.raises(ValueError, match=r"model\.segments=1 tells no two texts apart: set plan\.pairs='none'"):
        build_run(run, "small")


def test_next_words_are_learnt_of_whole_sequences_framed_as_those_which_are_masked(text):
    """Devlin et al. 2019, section 5.1: a model which sees the left context alone, on BERT's own inputs."""
    run = planned(text, "gpt-encoder", pairs="none")
    task = run.task(run, text.parent / "run")
    task.prepare(lambda _: None, keeps=False)
    batch, _ = next(task.batches(Cursor(), 0, 1))
    framing, (read,) = task.tokenizer.framing(is_last=True), batch.parts
    assert all(ids[-2:].tolist() == [framing.separator, framing.summary] for ids in read.unpack(read.tokens))
    assert task.tokenizer.mask not in read.tokens
    loss = task.objective(task.build_model().eval())(*batch.parts)
    assert loss.tokens == batch.targets == len(read.tokens) - len(read)
    with pytest.raises(ValueError, match="gpt-encoder begins at random; to go on from elsewhere, say kind='gpt'"):
        build_run({**run.table(), "model": {"kind": "gpt-encoder", "from": "elsewhere"}}, "run")


def test_pretraining_goes_on_from_another_model_and_then_without_it(tmp_path, text):
    small = {"dropout": 0.0, "attention_dropout": 0.0}
    first = save_reader(tmp_path / "first", "bert", **small)
    table = planned(text, "bert", pairs="order").table()
    table["model"] = {"kind": "bert", "from": str(first)}
    run = build_run(table, "goes on")
    train(run, tmp_path / "whole")
    before, after = (plain_weights(load_model(folder)) for folder in (first, tmp_path / "whole"))
    assert after["encoder.position.weight"].shape == before["position.weight"].shape
    # ten small steps lead not far from where it began
    near = (after["encoder.position.weight"] - before["position.weight"]).abs().max()
    assert 0 < near < 0.05 < before["position.weight"].abs().max() + 0.05
    train_until(run, tmp_path / "run", 7)
    for path in first.iterdir():
        path.unlink()
    train(read_run(tmp_path / "run" / "run.toml"), tmp_path / "run", resume=True)
    found, wanted = outcome(tmp_path / "run"), outcome(tmp_path / "whole")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def test_what_goes_on_has_its_own_size_and_tokenizer(tmp_path, text):
    first = save_reader(tmp_path / "first", "albert")
    table = planned(text, "bert").table()
    for model, message in (
        (
            {"kind": "bert", "from": str(first), "size": "tiny"},
            f"what goes on from {first} has its size: leave model.size out",
        ),
        ({"kind": "bert", "from": str(first)}, "holds albert, not bert"),
    ):
        with pytest.raises(ValueError, match=message):
            build_run({**table, "model": model}, "goes on")

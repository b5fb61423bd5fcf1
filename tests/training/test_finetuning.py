"""Fine-tuning on labelled examples, from the table to the model directory."""

import dataclasses
import json
import math
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_encoders import BAD, GOOD, THINGS, save_reader, write_reviews
from small_runs import ended, launch, launch_several, outcome, train_until
from torch.testing import assert_close

from regard.data.loading import Cursor
from regard.data.table import Table
from regard.data.tagged import TaggedText
from regard.models.parameters import plain_weights
from regard.models.saved import load_model
from regard.reading.reader import Reader
from regard.training.finetuning import FineTuningPlan, FineTuningTask
from regard.training.labelled import validation_items
from regard.training.loop import Diverged, train
from regard.training.planning import Wishes, carried, plan_finetuning, source_of
from regard.training.run import read_run


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_reader(tmp_path_factory.mktemp("models") / "bert")


def planned(model, source, validation=None, *, epochs=2.0, task="", text=None, both_orders=False, **plan):
    values = {"examples": 16, "rate": 3e-3, "optimiser": "adamw", "beta2": 0.999, **plan}
    wishes = Wishes(epochs, text={"longest": 16, **(text or {})}, plan=values, both_orders=both_orders)
    return plan_finetuning(model, "small", source, validation, wishes, task)


def test_classes_are_found_learnt_and_kept(tmp_path, bert, table):
    run, said = planned(bert, table, epochs=6.0)
    assert run.model["head"] == "classification"
    assert run.model["labels"] == ["neg", "pos"]
    assert said[:2] == ["text from text, label from label", "label has 2 values, neg and pos: classification"]
    assert "12 of 120 examples are set apart" in said[-1]
    reader = train(run, tmp_path / "run")
    assert reader.labels == ("neg", "pos")
    loaded = Reader.load(tmp_path / "run")
    assert [one.label for one in loaded.predict(["the film was good", "dull song"])] == ["pos", "neg"]
    measures = [json.loads(line) for line in (tmp_path / "run" / "measures.jsonl").read_text().splitlines()]
    assert measures[-1]["validation_accuracy"] == 1.0


def test_numbers_are_learnt(tmp_path, bert):
    rows = [
        f"the {thing} was {word},{value}"
        for thing in ("film", "book", "song", "day", "walk") * 6
        for word, value in (("good", 4.5), ("dull", 0.5))
    ]
    (tmp_path / "t.csv").write_text("text,score\n" + "\n".join(rows) + "\n")
    run, _ = planned(bert, Table(str(tmp_path / "t.csv")), Table(str(tmp_path / "t.csv"), count=20), epochs=40.0)
    assert run.model["head"] == "regression"
    train(run, tmp_path / "run")
    good, bad = Reader.load(tmp_path / "run").predict(["the film was good", "the song was dull"])
    assert good.label > 3.5
    assert bad.label < 1.5


def alike(path, count=60):
    """Pairs of which the number says whether both are good or both bad."""
    rows = []
    for number in range(count):
        word, other = (GOOD, BAD)[number % 2][number % 3], (GOOD + BAD)[number // 2 % 6]
        value = 4.5 if (other in GOOD) == (number % 2 == 0) else 0.5
        rows.append(f"{word} {THINGS[number % 6]},{other} {THINGS[number % 5]},{value}")
    path.write_text("text,pair,score\n" + "\n".join(rows) + "\n")
    return Table(str(path), text="text", pair="pair")


def test_similarity_is_learnt_and_resumed_to_the_bit(tmp_path, bert, capsys):
    source = alike(tmp_path / "t.csv")
    values = {"epochs": 15.0, "task": "similarity", "validate_every": 20, "save_every": 20}
    run, said = planned(bert, source, dataclasses.replace(source, count=20), **values)
    assert run.model["head"] == "similarity"
    assert run.model["scale"] == [0.5, 4.5]
    assert "a cosine of 0 stands for 0.5, and one of 1 for 4.5" in said
    train(run, tmp_path / "run")
    assert "begins at random" not in capsys.readouterr().err  # there is nothing beside the encoder
    reader = Reader.load(tmp_path / "run")
    assert reader.head == "similarity"
    asked = [("good film", "fine day"), ("good film", "poor walk")]
    near, far = (one.label for one in reader.predict(asked))
    assert near > far + 1.0
    vectors = reader.embed([text for pair in asked for text in pair])
    cosines = (vectors[::2] * vectors[1::2]).sum(1)
    assert (0.5 + 4.0 * cosines).tolist() == pytest.approx([near, far], abs=1e-5)

    train_until(run, tmp_path / "again", 47)
    train(read_run(tmp_path / "again" / "run.toml"), tmp_path / "again", resume=True)
    found, wanted = outcome(tmp_path / "again"), outcome(tmp_path / "run")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def test_similarity_is_of_pairs_alone(tmp_path, bert):
    (tmp_path / "t.csv").write_text("text,score\na film,1\na book,2\n")
    with pytest.raises(ValueError, match=r"t\.csv:2: two texts are compared here, got one text, 'a film'; give two"):
        planned(bert, Table(str(tmp_path / "t.csv")), task="similarity")
    source = alike(tmp_path / "p.csv")
    run, _ = planned(bert, source, task="similarity")
    with pytest.raises(ValueError, match=r"similarity has no weight beside the encoder's: lower plan\.freeze"):
        planned(bert, source, task="similarity", freeze=2)
    for scale in ([1.0, 1.0], [0.0], ["a", "b"], 5.0):
        with pytest.raises(ValueError, match=r"model\.scale must be two numbers, those for a cosine of 0 and of 1"):
            FineTuningTask.config({**run.model, "scale": scale}, run.text, run.plan)
    with pytest.raises(ValueError, match=r"model\.scale is of similarity, got \[0.5, 4.5\] for regression"):
        FineTuningTask.config({**run.model, "head": "regression"}, run.text, run.plan)


@pytest.mark.parametrize(
    ("rows", "epochs", "accumulate", "steps"),
    [
        (21, 3.0, 1, 6),  # a batch of 16 and one of 5, three times; 21 * 3 / 16 would be 4
        (16, 3.0, 1, 3),
        (33, 1.5, 1, 4),  # 3 batches one and a half times, rounded to the even number
        (33, 2.0, 2, 3),  # 6 batches, two in an update
        (5, 0.1, 1, 1),
    ],
)
def test_every_example_is_seen_as_often_as_there_are_epochs(tmp_path, bert, rows, epochs, accumulate, steps):
    train, other = (write_reviews(tmp_path / f"{name}.csv", rows) for name in ("train", "other"))
    source, validation = Table(str(train)), Table(str(other))
    run, _ = planned(bert, source, validation, epochs=epochs, accumulate=accumulate)
    assert run.plan.steps == steps
    task = FineTuningTask(run, tmp_path / "run")
    task.prepare(lambda text: None, keeps=False)
    batches = task.batches(Cursor(), 0, 1)
    seen = sum(next(batches)[0].targets for _ in range(steps * accumulate))
    if epochs >= 2:
        assert seen == rows * epochs
        assert task.about_batches() == f"16 examples a batch, {epochs:g} epochs"
        assert task.unit == "examples"


def test_a_plan_may_say_its_steps(bert, table):
    """Of 108 examples to train on, in batches of 16, 7 updates are an epoch, after which is validated."""
    values = {"examples": 16, "rate": 3e-3}
    run, _ = plan_finetuning(bert, "a", table, None, Wishes(steps=20, text={"longest": 16}, plan=values))
    assert (run.plan.steps, run.plan.warmup, run.plan.validate_every) == (20, 2, 7)
    with pytest.raises(ValueError, match="steps must not be negative, got -1"):
        Wishes(steps=-1)


def test_the_columns_which_are_found_are_kept(tmp_path, bert):
    rows = "".join(f"the {n} film,the {n} book,{n % 2}\n" for n in range(20))
    for name in ("t", "v"):
        (tmp_path / f"{name}.csv").write_text("sentence1,sentence2,Score\n" + rows)
    train, other = (Table(str(tmp_path / f"{name}.csv")) for name in ("t", "v"))
    named = {"text": "sentence1", "pair": "sentence2", "label": "Score"}
    run, _ = planned(bert, train, other)
    assert run.train == dataclasses.replace(train, **named)
    assert run.validation == dataclasses.replace(other, **named)
    run, _ = planned(bert, train)
    assert run.validation == run.train == dataclasses.replace(train, **named)
    single = dataclasses.replace(train, text="sentence1")
    with pytest.raises(ValueError, match=r"t\.csv as single texts and .*v\.csv as pairs do not go together"):
        planned(bert, single, dataclasses.replace(other, text="sentence1", pair="sentence2"))


def test_the_columns_of_tags_which_are_found_are_kept(tmp_path, bert):
    rows = [{"tokens": ["the", word], "ner_tags": ["O", tag]} for word, tag in (("film", "A"), ("day", "B"))] * 9
    for name in ("t", "v"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, other = (TaggedText(str(tmp_path / f"{name}.jsonl")) for name in ("t", "v"))
    run, _ = planned(bert, train, other)
    assert [(part.words, part.tags) for part in (run.train, run.validation)] == [("tokens", "ner_tags")] * 2


@pytest.mark.parametrize(
    ("source", "path", "values"),
    [
        (Table("a.csv", text="x", label="y"), "b.parquet", {"text": "x", "label": "y"}),
        (Table("a.csv", separator=";"), "b.CSV", {"separator": ";"}),
        (Table("a.csv", separator=";"), "b.tsv", {}),
        (
            Table("a.tsv", columns=("x", "y"), quotes="no", first_option=1),
            "b.tsv.gz",
            {"columns": ("x", "y"), "quotes": "no", "first_option": 1},
        ),
        (TaggedText("a.jsonl", words="x"), "b.parquet", {"words": "x"}),
        (TaggedText("a.jsonl", words="x"), "b.conll", {}),
        (TaggedText("a.conll", words="2"), "b.txt", {"words": "2"}),
    ],
)
def test_what_other_files_have_in_common_with_those_of_training(source, path, values):
    assert carried(source, path) == values


def write_numbers(path, numbers):
    """A table of texts with numbers."""
    path.write_text("text,score\n" + "".join(f"the {n} film,{number}\n" for n, number in enumerate(numbers)))
    return Table(str(path))


@pytest.mark.parametrize(
    ("numbers", "rise", "said"),
    [
        ([-0.5, 0.5] * 20, 100.0, ""),  # their mean square is a quarter
        ([1.5, 3.5] * 20, 725.0, ""),  # (2.25 + 12.25) / 2
        (
            [0.5, 99.5] * 20,
            495025.0,
            "the numbers are 50 on average, with a standard deviation of 49.5; the head begins",
        ),
        ([-2000.5, -1999.5] * 20, 400000025.0, "the numbers are -2000 on average, with a standard deviation of 0.5"),
    ],
)
def test_how_far_a_loss_may_rise_is_measured_by_the_numbers(tmp_path, bert, numbers, rise, said):
    source = write_numbers(tmp_path / "t.csv", numbers)
    run, lines = planned(bert, source, write_numbers(tmp_path / "v.csv", numbers))
    assert run.plan.rise == pytest.approx(rise)
    assert (
        any(line.startswith(said) for line in lines) if said else not any("head begins at 0" in line for line in lines)
    )
    assert planned(bert, source, rise=7.0)[0].plan.rise == 7.0


def test_numbers_far_from_nought_end_no_run(tmp_path, bert):
    """The loss of the first steps is some 5,000, and differs by hundreds from batch to batch."""
    numbers = [0.5] * 20 + [99.5] * 20
    run, _ = planned(bert, write_numbers(tmp_path / "t.csv", numbers), epochs=4.0, examples=2, rate=1e-4)
    train(run, tmp_path / "run")
    with pytest.raises(Diverged, match=r"more than plan\.rise=100\.0 above its lowest"):
        train(dataclasses.replace(run, plan=dataclasses.replace(run.plan, rise=100.0)), tmp_path / "other")


def test_tags_are_learnt(tmp_path, bert):
    sentence = "the O\n{} B-{}\nfilm O\nended O\n\n"
    text = "".join(
        sentence.format(word, kind) for word, kind in [("good", "POS"), ("bad", "NEG"), ("fine", "POS")] * 20
    )
    (tmp_path / "t.conll").write_text(text)
    source = source_of(str(tmp_path / "t.conll"), "", {})
    assert isinstance(source, TaggedText)
    run, said = planned(bert, source, source_of(str(tmp_path / "t.conll"), "", {"count": 6}), epochs=6.0)
    assert "the words have 3 tags, B-NEG, B-POS and O: tagging" in said
    assert FineTuningTask(run, tmp_path / "run").unit == "words"
    train(run, tmp_path / "run")
    (found,) = Reader.load(tmp_path / "run").tag(["the bad film ended"])
    assert found.tags == ["O", "B-NEG", "O", "O"]


def test_options_are_learnt(tmp_path, bert):
    rows = [
        {
            "question": f"the {thing} was good",
            "choices": ["bright", "dull"] if n % 2 else ["dull", "bright"],
            "answer": int(n % 2 == 0),
        }
        for n, thing in enumerate(("film", "book", "song", "day", "walk") * 12)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Table(str(tmp_path / "t.jsonl"))
    run, _ = planned(bert, source, Table(str(tmp_path / "t.jsonl"), count=10), epochs=8.0)
    assert run.model["head"] == "choice"
    train(run, tmp_path / "run")
    assert Reader.load(tmp_path / "run").choose("the film was good", ["dull", "bright"]).option == 1


def article(number: int, thing: str, word: str) -> dict:
    """One context with one question, in SQuAD's form."""
    answer = {"text": word, "answer_start": len(f"the {thing} was ")}
    asked = {"id": str(number), "question": "what was it", "is_impossible": False, "answers": [answer]}
    context = f"the {thing} was {word} and the walk ended"
    return {"title": str(number), "paragraphs": [{"context": context, "qas": [asked]}]}


@pytest.mark.parametrize("head", ["span", "conditional-span"])
def test_spans_are_learnt(tmp_path, bert, head):
    known = product(("film", "book", "song", "day"), ("good", "bad", "dull"))
    articles = [article(number, *pair) for number, pair in enumerate(known)]
    (tmp_path / "t.json").write_text(json.dumps({"version": "v2.0", "data": articles}))
    source = source_of(str(tmp_path / "t.json"), "", {})
    run, said = planned(
        bert,
        source,
        source_of(str(tmp_path / "t.json"), "", {"share": (0.0, 0.5)}),
        epochs=40.0,
        task=head,
        text={"longest": 48},
        examples=6,
    )
    assert said[0].startswith(f"12 questions, 0 of them without an answer: {head}")
    train(run, tmp_path / "run")
    assert Reader.load(tmp_path / "run").answer("what was it", "the day was dull and the walk ended").best == "dull"


def test_a_stopped_run_ends_as_one_which_never_was(tmp_path, bert, table):
    run, _ = planned(bert, table, workers=2, layer_decay=0.9)
    train(run, tmp_path / "whole")
    train_until(run, tmp_path / "run", 5)
    (tmp_path / "train.csv").unlink()  # the examples to train on are in the folder
    write_reviews(tmp_path / "train.csv", 120)
    train(read_run(tmp_path / "run" / "run.toml"), tmp_path / "run", resume=True)
    found, wanted = outcome(tmp_path / "run"), outcome(tmp_path / "whole")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def test_a_run_which_is_begun_does_not_need_the_first_model_any_more(tmp_path, table):
    first = save_reader(tmp_path / "first")
    run, _ = planned(first, table, save_every=5)
    train_until(run, tmp_path / "run", 7)
    for path in first.iterdir():
        path.unlink()
    train(read_run(tmp_path / "run" / "run.toml"), tmp_path / "run", resume=True)


def test_a_run_does_not_validate_on_what_it_may_have_learnt(tmp_path, bert, table):
    path, folder = Path(table.path), tmp_path / "run"
    train_until(planned(bert, table, save_every=5)[0], folder, 7)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *reversed(lines[1:])]))
    run = read_run(folder / "run.toml")
    changed = (
        r"train\.csv has changed since the run in .*run began, and what would be set apart of it now may have been"
    )
    with pytest.raises(ValueError, match=changed):
        validation_items(run, folder)
    with pytest.raises(ValueError, match=changed):
        train(run, folder, resume=True)
    path.write_text("".join(lines))  # at another time: what it says is compared
    train(run, folder, resume=True)


def test_a_moved_file_stays_the_one_which_a_share_is_set_apart_of(tmp_path, bert, table):
    folder, copy = tmp_path / "run", tmp_path / "copy.csv"
    train_until(planned(bert, table, save_every=5)[0], folder, 7)
    copy.write_bytes(Path(table.path).read_bytes())
    Path(table.path).unlink()
    moved = [f"train.path={copy}"]
    with pytest.raises(ValueError, match=r"set train\.path and validation\.path to one place"):
        train(read_run(folder / "run.toml", moved), folder, resume=True)
    assert f'path = "{table.path}"' in (folder / "run.toml").read_text()
    train(read_run(folder / "run.toml", [*moved, f"validation.path={copy}"]), folder, resume=True)


def test_a_run_with_a_validation_file_does_not_need_the_other_any_more(tmp_path, bert, table):
    validation, folder = Table(str(write_reviews(tmp_path / "v.csv", 20, 1))), tmp_path / "run"
    train_until(planned(bert, table, validation, save_every=5)[0], folder, 7)
    Path(table.path).unlink()
    train(read_run(folder / "run.toml"), folder, resume=True)
    write_reviews(tmp_path / "v.csv", 21, 1)
    with pytest.raises(ValueError, match=r"v\.csv has changed since .* and its measures would be of other examples"):
        train(read_run(folder / "run.toml"), folder, resume=True)


def test_nothing_to_validate_on_is_said_before_anything_is_written(tmp_path, bert, table):
    (tmp_path / "head.csv").write_text("text,label\n")
    (tmp_path / "odd.csv").write_text("text,label\ndull,odd\n")
    with pytest.raises(ValueError, match=r"head\.csv has no example to validate on$"):
        planned(bert, table, Table(str(tmp_path / "head.csv")))
    with pytest.raises(ValueError, match=r"odd\.csv has no example to validate on; skipped 1 example: 1 with a label"):
        planned(bert, table, Table(str(tmp_path / "odd.csv")), text={"skip": True})
    run, _ = planned(bert, table, Table(str(write_reviews(tmp_path / "v.csv", 20))))
    (tmp_path / "v.csv").write_text("text,label\n")
    with pytest.raises(ValueError, match=r"v\.csv has no example to validate on"):
        train(run, tmp_path / "run")
    write_reviews(tmp_path / "v.csv", 20)
    assert train(run, tmp_path / "run").labels == ("neg", "pos")  # what failed does not bar its folder


def test_questions_without_answers_teach_nothing(tmp_path, bert):
    articles = [article(number, "film", "good") for number in range(12)]
    (tmp_path / "known.json").write_text(json.dumps({"data": articles}))
    for one in articles:
        del one["paragraphs"][0]["qas"][0]["answers"], one["paragraphs"][0]["qas"][0]["is_impossible"]
    (tmp_path / "unknown.json").write_text(json.dumps({"data": articles}))
    known, unknown = (source_of(str(tmp_path / f"{name}.json"), "", {}) for name in ("known", "unknown"))
    with pytest.raises(ValueError, match=r"unknown\.json: none of its 12 questions has an answer to be learnt"):
        planned(bert, unknown, known, text={"longest": 48})
    with pytest.raises(ValueError, match=r"unknown\.json: none of its 12 questions says what its answer is"):
        planned(bert, known, unknown, text={"longest": 48})


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "cut"])
def test_a_start_which_fails_does_not_stand_in_the_way_of_the_next(tmp_path, table, missing):
    first = save_reader(tmp_path / "first")
    weights = (first / "model.safetensors").read_bytes()
    run, _ = planned(first, table, epochs=0.5)
    if missing:
        (first / "model.safetensors").unlink()
    else:
        (first / "model.safetensors").write_bytes(weights[:999])
    with pytest.raises((ValueError, FileNotFoundError), match=r"model\.safetensors"):
        train(run, tmp_path / "run")
    (first / "model.safetensors").write_bytes(weights)
    train(run, tmp_path / "run")


def begun(run, folder):
    """The model with which a run begins, and what is said of that."""
    said = []
    return FineTuningTask(run, folder).begun(said.append), said


def test_a_head_for_the_same_labels_is_trained_further(tmp_path, table):
    for kind, labels in (("bert", ("neg", "pos")), ("xlnet", ("pos", "neg"))):  # the second in another order
        tuned = save_reader(tmp_path / kind, kind, "classification", labels)
        model, said = begun(planned(tuned, table)[0], tmp_path / "run")
        assert said == [f"{tuned} has a head for classification with these labels: it is trained further"]
        before, after = Reader.load(tuned), Reader(model.eval(), Reader.load(tuned).tokenizer)
        for one, other in zip(before.predict(["good film"]), after.predict(["good film"]), strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


@pytest.mark.parametrize(
    ("head", "labels", "message"),
    [
        ("", (), "the head for classification begins at random"),
        (
            "classification",
            ("bad", "good"),
            "the head for classification begins at random; that for classification in {} tells other labels apart, "
            "and is left out",
        ),
        (
            "regression",
            (),
            "the head for classification begins at random; that for regression in {} is another, and is left out",
        ),
    ],
)
def test_any_other_head_is_left_out_and_that_is_said(tmp_path, table, head, labels, message):
    first = save_reader(tmp_path / "first", "bert", head, labels)
    model, said = begun(planned(first, table)[0], tmp_path / "run")
    assert said[-1] == message.format(first)
    assert model.labels == ("neg", "pos")


def test_frozen_layers_stay_and_others_move(tmp_path, bert, table):
    run, _ = planned(bert, table, epochs=0.5, freeze=1)
    train(run, tmp_path / "run")
    before = plain_weights(load_model(bert))
    after = plain_weights(load_model(tmp_path / "run").encoder)
    moved = {
        name.split(".")[1] if name.startswith("blocks") else name.split(".")[0]
        for name in before
        if not torch.equal(before[name], after[name])
    }
    assert moved == {"1", "pooler"}


def test_the_rate_falls_from_layer_to_layer(tmp_path, bert, table):
    run, _ = planned(bert, table, layer_decay=0.5)
    task = FineTuningTask(run, tmp_path)
    groups = task.groups(task.objective(task.build_model()))
    assert [group["scale"] for group in groups] == [0.125, 0.25, 0.5, 1.0]  # embeddings, two layers, pooler and head
    assert sum(len(group["params"]) for group in groups) == len(list(task.build_model().parameters()))


def test_labels_of_a_run_are_texts(tmp_path, bert, table):
    run, _ = planned(bert, table)
    for labels in (3, [1, 2], "ab"):
        with pytest.raises(ValueError, match=r"model\.labels must be a list of texts, got"):
            dataclasses.replace(run, model={**run.model, "labels": labels})


def test_patience_ends_a_run(tmp_path, bert, table):
    run, _ = planned(bert, table, epochs=50.0, patience=2, rate=1e-9, best="accuracy")
    train(run, tmp_path / "run")
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "measures.jsonl").read_text().splitlines()]
    assert steps[-1] < run.plan.steps / 5


def test_a_seed_repeats_and_another_one_differs(tmp_path, bert, table):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(planned(bert, table, epochs=1.0, seed=seed)[0], tmp_path / name)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_labels_which_training_has_not_are_named(tmp_path, bert, table):
    (tmp_path / "v.csv").write_text("text,label\nthe film was good,pos\nthe film was odd,meh\n")
    with pytest.raises(ValueError, match=r"v.csv:3: label 'meh' is none of those which are learnt, neg and pos"):
        planned(bert, table, Table(str(tmp_path / "v.csv")))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"freeze": 3}, "plan.freeze=3 exceeds the model's 2 layers"),
        ({"tokens": 100}, "bounded by plan.examples here, not by plan.tokens=100"),
        ({"layer_decay": 0.0}, "plan.layer_decay must lie above 0 and up to 1, got 0.0"),
        ({"best": "accurcy"}, "did you mean 'accuracy'"),
        ({"stepz": 3}, "stepz"),
    ],
)
def test_wrong_plans_are_named(bert, table, plan, message):
    with pytest.raises((ValueError, TypeError), match=message):
        planned(bert, table, **plan)


def test_some_of_shared_layers_cannot_be_frozen_but_all_can(tmp_path, table):
    albert = save_reader(tmp_path / "albert", "albert")
    with pytest.raises(ValueError, match="layers which share their weights cannot be told apart"):
        planned(albert, table, freeze=1)
    task = FineTuningTask(planned(albert, table, freeze=2)[0], tmp_path)
    model = task.build_model()
    task.objective(model)
    moving = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert moving == {"encoder.pooler.weight", "encoder.pooler.bias", "output.weight", "output.bias"}


def test_a_measure_which_the_task_has_not_is_refused_before_it_begins(tmp_path, bert, table):
    with pytest.raises(
        ValueError, match=r"plan\.best of classification must be one of loss, accuracy, .*, got 'pearson'"
    ):
        planned(bert, table, best="pearson")
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"the {n} film,{'abc'[n % 3]}\n" for n in range(30)))
    with pytest.raises(ValueError, match=r"must be one of loss, accuracy, macro_f1, matthews, got 'f1'"):
        planned(bert, Table(str(tmp_path / "t.csv")), best="f1")  # which is of two classes


@pytest.mark.parametrize("kind", ["bert", "albert", "xlnet"])
def test_every_encoder_learns(tmp_path, table, kind):
    run, _ = planned(save_reader(tmp_path / kind, kind, dropout=0.0, attention_dropout=0.0), table, epochs=9.0)
    losses = []
    train(run, tmp_path / "run", on_step=lambda step, loss, model: losses.append(loss))
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-5:]) / 5 < 0.3


def test_defaults_are_the_papers_but_for_the_corrected_moments():
    plan = FineTuningPlan()
    assert (plan.examples, plan.optimiser, plan.beta2, plan.decay, plan.clip) == (32, "adamw", 0.999, 0.01, 1.0)


@pytest.mark.parametrize("environment", [{}, {"ACCELERATE_USE_FSDP": "true"}], ids=["replicated", "sharded"])
def test_two_processes_tune_as_one_which_gathers_two_batches(tmp_path, table, environment):
    bert = save_reader(tmp_path / "bert", dropout=0.0, attention_dropout=0.0)
    plan = {"epochs": 1.0, "freeze": 1, "layer_decay": 0.5, "rate": 1e-3}
    one, _ = planned(bert, table, examples=8, accumulate=2, **plan)
    one = dataclasses.replace(one, model={**one.model, "head_dropout": 0.0})
    several = dataclasses.replace(one, plan=dataclasses.replace(one.plan, accumulate=1))
    assert ended(*launch_several(several, tmp_path / "several", 2, environment=environment)) == [0, 0]
    assert ended(launch(one, tmp_path / "one")) == [0]
    found, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("several", "one"))
    frozen = [name for name in wanted if "embeddings" in name or "layer.0." in name]
    assert frozen
    for name in wanted:
        # sums of gradients are rounded in another order, and Adam divides by their size
        assert_close(found[name], wanted[name], atol=0.0 if name in frozen else 1e-4, rtol=0.0)


def test_two_processes_tune_what_has_weights_which_are_not_used(tmp_path, table):
    """XLNet's stand-in for hidden words is in no loss of labels."""
    model = save_reader(tmp_path / "xlnet", "xlnet")
    run, _ = planned(model, table, epochs=0.3)
    assert ended(*launch_several(run, tmp_path / "run", 2)) == [0, 0]
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "run"))
    assert torch.equal(before["mask_emb"], after["transformer.mask_emb"])


def test_layers_which_were_frozen_are_not_trained_by_a_resumed_run(tmp_path, bert, table):
    run, _ = planned(bert, table, save_every=2, freeze=2)
    train_until(run, tmp_path / "run", 5)
    with pytest.raises(ValueError, match=r"layers which plan\.freeze=2 froze, and plan\.freeze=0 would train"):
        train(dataclasses.replace(run, plan=dataclasses.replace(run.plan, freeze=0)), tmp_path / "run", resume=True)

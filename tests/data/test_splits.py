"""A part of labelled examples to validate on, and what of it is known from training."""

import os
import subprocess
import sys
from collections import Counter
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from labelled_texts import labelled

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.labels import LabelTask, task_of
from regard.data.splits import leak, split
from regard.data.table import Table

names = some.sampled_from(["a", "b", "c", "d"])
tables = some.lists(some.tuples(some.integers(0, 30), names), min_size=8, max_size=80)


def test_texts_of_training_in_validation_are_counted():
    training = labelled("a", "b", "b", texts=["One text", "another", "third"])
    validation = labelled("a", "a", "a", "a", texts=[" one  TEXT", "another", "new", "one text"])
    assert str(leak(training, validation)) == (
        "3 of 4 examples to validate on (75.0%) have a text of training, 1 of them with another label there"
    )
    assert str(leak(training, labelled("a"))) == "none of 1 examples to validate on has a text of training"
    pairs = [Example(("a", "b"), "x")]
    assert leak(pairs, [Example(("b", "a"), "x"), Example(("a", "b"), "x")]).known == 1


@settings(max_examples=200, deadline=None)
@given(rows=tables, share=some.floats(0.01, 0.99), seed=some.integers(0, 9))
def test_the_parts_are_all_and_no_text_is_in_both_nor_any_class_lost(rows, share, seed):
    examples = labelled(*(label for _, label in rows), texts=[f"text  {number}" for number, _ in rows])
    found = LabelTask("classification", "", tuple(sorted({label for _, label in rows})))
    pairs = {}
    for number, label in rows:
        pairs.setdefault(label, set()).add(number)
    try:
        training, validation = split(examples, found, share, seed)
    except ValueError:
        labels = [{label for other, label in rows if other == number} for number in {number for number, _ in rows}]
        counts = Counter(label for group in labels for label in group)
        assert all(any(counts[label] == 1 for label in group) for group in labels)
        return
    assert validation
    assert sorted(map(id, training + validation)) == sorted(map(id, examples))
    places = {id(example): number for number, example in enumerate(examples)}
    for part in (training, validation):
        assert [places[id(example)] for example in part] == sorted(places[id(example)] for example in part)
    assert not {example.texts for example in training} & {example.texts for example in validation}
    assert {example.label for example in training} == {example.label for example in examples}


@settings(max_examples=200, deadline=None)
@given(labels=some.lists(names, min_size=8, max_size=80), share=some.floats(0.01, 0.99), seed=some.integers(0, 9))
def test_each_class_has_its_share(labels, share, seed):
    examples = labelled(*labels, *"aabb")
    _, validation = split(examples, LabelTask("classification", ""), share, seed)
    counts, apart = Counter([*labels, *"aabb"]), Counter(example.label for example in validation)
    for label, count in counts.items():
        assert apart[label] == min(max(1, floor(share * count + 0.5)), count - 1)


def test_each_tenth_of_the_numbers_has_its_share():
    examples = labelled(*(str(number * number / 7) for number in range(1000)))
    training, validation = split(examples, task_of(examples), 0.2, 5)
    assert len(validation) == 200
    values = sorted(float(str(example.label)) for example in examples)
    for low in range(0, 1000, 100):
        apart = [e for e in validation if values[low] <= float(str(e.label)) <= values[low + 99]]
        assert len(apart) == 20
    assert len(training) == 800


def test_each_tag_is_on_both_sides():
    tags = ["O O", "O B-X", "O B-X", "B-Y", "B-Y O", "O", "O O O", "B-Z O"]
    examples = [
        TaggedWords(tuple(f"{number}{place}" for place in range(len(row.split()))), tuple(row.split()))
        for number, row in enumerate(tags)
    ]
    for seed in range(20):
        parts = split(examples, task_of(examples), 0.1, seed)
        training, validation = ({tag for row in part for tag in row.tags or ()} for part in parts)
        assert training == {"O", "B-X", "B-Y", "B-Z"}
        assert validation == {"O", "B-X", "B-Y"}


def test_choices_are_divided():
    examples = [Choices(f"text {number}", ("a", "b"), number % 2) for number in range(50)]
    assert [len(part) for part in split(examples, task_of(examples), 0.1)] == [45, 5]


def test_a_text_which_comes_often_does_not_swell_the_part():
    examples = labelled(*["a"] * 60, *["b"] * 40, texts=["ok"] * 50 + [f"text {number}" for number in range(50)])
    for seed in range(20):
        _, validation = split(examples, task_of(examples), 0.1, seed)
        assert Counter(example.label for example in validation) == {"a": 6, "b": 4}


def test_another_seed_is_another_part():
    examples = labelled(*"ab" * 100)
    parts = [split(examples, task_of(examples), 0.1, seed)[1] for seed in range(5)]
    assert len({tuple(example.place for example in part) for part in parts}) == 5


def test_it_is_the_same_in_every_process():
    code = (
        "from regard.data.examples import Example\n"
        "from regard.data.labels import task_of\n"
        "from regard.data.splits import split\n"
        "examples = [Example((str(number),), 'abc'[number % 3], str(number)) for number in range(90)]\n"
        "print(*(example.place for example in split(examples, task_of(examples))[1]))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    examples = [Example((str(number),), "abc"[number % 3], str(number)) for number in range(90)]
    places = [example.place for example in split(examples, task_of(examples))[1]]
    assert len(places) == 9
    assert said == {" ".join(places) + "\n"}


def test_what_cannot_be_divided_is_an_error():
    examples = labelled("a", "b", "b", texts=["one", "two", "two"])
    with pytest.raises(ValueError, match="3 examples have no two texts of one label"):
        split(examples, task_of(examples))
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match=f"share must lie between 0 and 1, got {share}"):
            split(examples, task_of(examples), share)


@pytest.mark.data
@pytest.mark.parametrize("name", ["SST-2/dev.tsv", "RTE/train.tsv", "STS-B/dev.tsv"])
def test_a_tenth_of_glue_is_set_apart(data, name):
    examples = list(Table(str(data / "glue" / name)).read())
    training, validation = split(examples, task_of(examples), 0.1)
    assert len(validation) == pytest.approx(len(examples) / 10, abs=10)
    assert leak(training, validation).known == 0

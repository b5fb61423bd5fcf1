"""What is said of examples by which a model cannot be measured."""

import re

import pytest
from small_encoders import small_reader

from regard.data.examples import Choices, Example, TaggedWords
from regard.evaluate.assessment import assess, measured
from regard.reading.preparing import form_of, prepare

SENTENCES = {
    "classification": [Example(("the film",), "pos", "a:1"), Example(("the book",), None, "a:2")],
    "regression": [Example(("the film",), 1.5, "a:1"), Example(("the book",), None, "a:2")],
    "similarity": [Example(("the film", "it"), 0.5, "a:1"), Example(("the book", "it"), None, "a:2")],
    "choice": [Choices("the", ("film", "book"), 1, "a:1"), Choices("the", ("film", "book"), None, "a:2")],
    "tagging": [TaggedWords(("the", "film"), ("pos", "neg"), "a:1"), TaggedWords(("the", "book"), None, "a:2")],
}


@pytest.mark.parametrize("head", SENTENCES)
def test_an_example_without_a_label_is_named(head):
    labels = ("neg", "pos") if head in ("classification", "tagging") else ()
    reader, items = small_reader("bert", head, labels), SENTENCES[head]
    prepared = prepare(head, items, labels, form_of(reader))
    with pytest.raises(ValueError, match=re.escape("a:2: it has no label")):
        assess(reader, prepared, items)


@pytest.mark.parametrize("head", SENTENCES)
def test_what_is_measured_is_what_is_said_to_be(head):
    labels = ("neg", "pos") if head in ("classification", "tagging") else ()
    reader, items = small_reader("bert", head, labels), SENTENCES[head][:1] * 2
    found = assess(reader, prepare(head, items, labels, form_of(reader)), items)
    assert tuple(found.measures) == ("nats", *measured(head, labels))
    assert len(found.losses) == len(found.predictions) == 2
    assert sum(found.losses) / sum(len(getattr(item, "tags", "1")) for item in items) == pytest.approx(
        found.measures["nats"]
    )

"""Which columns of a table are found, and which must be given."""

import pytest

from regard.data.columns import Columns
from regard.data.table import Table


def said(table):
    """The texts and the label of each example."""
    return [(*row.texts, row.label) for row in table.read()]


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ("text,label", Columns(("text",), label="label")),
        ("id,Sentence,LABEL,source", Columns(("Sentence",), label="LABEL")),
        ("index,question,sentence,label", Columns(("question", "sentence"), label="label")),
        ("hypothesis,premise,gold_label", Columns(("premise", "hypothesis"), label="gold_label")),
        ("index,genre,sentence1,sentence2,score", Columns(("sentence1", "sentence2"), label="score")),
        ("Quality,#1 ID,#2 ID,#1 String,#2 String", Columns(("#1 String", "#2 String"), label="Quality")),
        ("review,stars", Columns(("review",), label="stars")),
        (
            "ctx,ending0,ending1,ending2,ending3,label",
            Columns(("ctx",), ("ending0", "ending1", "ending2", "ending3"), "label"),
        ),
        ("sentence,option2,option1,answer", Columns(("sentence",), ("option1", "option2"), "answer")),
        ("question,choices,answer", Columns(("question",), ("choices",), "answer")),
        ("question,A,answer", Columns(("question", "answer"), label="")),
    ],
)
def test_columns_are_found_by_their_usual_names(write, names, columns):
    assert Table(write("a.csv", names + "\n")).found(labelled=bool(columns.label)) == columns


def test_what_was_found_can_be_said():
    assert str(Columns(("a", "b"), label="c")) == "pair from a and b, label from c"
    assert str(Columns(("a",), ("b", "c"))) == "text from a, options from b, c"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("text,review,label", "the column of the text may be text or review, so text must name it"),
        ("text,sentence1,sentence2,label", "may be sentence1 with sentence2 or text"),
        (
            "body,label",
            "the column of the text has no usual name, so text must name it .*; a.csv: there is body, label",
        ),
        ("text,label,score", "the column of the label may be label or score, so label must name it"),
        (
            "text,kind",
            "the column of the label has none of the usual names, so label must name it; .* there is text, kind",
        ),
        ("text;label", r"there is text;label; is separator=';' \(.*--set train\.separator=';' or .*\) missing\?"),
        ("nice film,1", r"if these are no names, give them, such as columns=\['text', 'label'\]"),
        ("premise,choice1,choice2,question,label", "may be premise or question"),
    ],
)
def test_what_cannot_be_found_is_asked_for(write, names, message):
    with pytest.raises(ValueError, match=message):
        Table(write("a.csv", names + "\n")).read()


def test_columns_may_be_given(write):
    name = write("a.csv", "text,review,stars,label\nshort,long,5,x\n")
    assert said(Table(name, text="review", label="stars")) == [("long", "5")]
    assert said(Table(name, text="review", pair="text", label="label")) == [("long", "short", "x")]


def test_a_text_which_is_given_stands_alone(write):
    name = write("a.csv", "sentence1,sentence2,label\na,b,1\n")
    assert said(Table(name)) == [("a", "b", "1")]
    assert said(Table(name, text="sentence1")) == [("a", "1")]


def test_a_column_which_is_given_as_the_label_is_no_text(write):
    name = write("a.csv", "text,topic,claim\na,b,c\n")
    assert said(Table(name, label="claim")) == [("a", "c")]
    assert Table(name, label="claim").found(labelled=False) == Columns(("text",))
    assert said(Table(write("b.csv", "question,answer\na,b\n"), label="answer")) == [("a", "b")]  # no pair


def test_two_columns_of_one_name_are_an_error(write):
    with pytest.raises(ValueError, match=r"^a\.csv:1: two columns are called 'text'"):
        Table(write("a.csv", "text,label,text\n")).read()
    assert said(Table(write("b.csv", "text,,,label\na,,,1\n"))) == [("a", "1")]

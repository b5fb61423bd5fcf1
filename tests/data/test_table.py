"""The examples in the rows of anyone's table."""

import bz2
import dataclasses
import gzip
import io
import json
import lzma

import pytest
from written_tables import csv_text

from regard.data.examples import Choices, Example
from regard.data.records import PEEK
from regard.data.rows import SkippedExamples
from regard.data.sources import located
from regard.data.table import Table


def said(table, **how):
    """The texts and the label of each example."""
    return [(*row.texts, row.label) for row in table.read(**how)]


ROWS = [("A fine film.", "good"), ("Dull, and long", "bad"), ('He said "no"', "bad")]


def fill(write, rows=ROWS, names=("text", "label")):
    """The same rows in every format, and their files' names."""
    import pyarrow
    import pyarrow.parquet

    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), parquet)
    lines = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    return [
        write("a.csv", csv_text([names, *rows])),
        write("a.tsv", csv_text([names, *rows], "excel-tab")),
        write("b.tsv", "".join("\t".join(row) + "\n" for row in [names, *rows])),
        write("a.jsonl", lines),
        write("a.parquet", parquet.getvalue()),
    ]


def test_every_format_says_the_same(write):
    for name in fill(write):
        assert said(Table(name)) == ROWS


def test_an_example_knows_its_place(write):
    for name in fill(write):
        first = 2 if name.endswith("sv") else 1
        assert [row.place for row in Table(name).read()] == [f"{name}:{number}" for number in range(first, first + 3)]


def test_the_place_of_a_row_is_the_line_where_it_begins(write):
    name = write("a.csv", 'text,label\n"one\ntwo\nthree",1\nfour,2\n')
    assert [row.place for row in Table(name).read()] == ["a.csv:2", "a.csv:5"]


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_compressed_files_are_read(write, suffix, compress):
    fill(write)
    for name in ("a.csv", "a.tsv", "b.tsv", "a.jsonl"):
        with open(name, "rb") as file:
            assert said(Table(write(f"{name}.{suffix}", compress(file.read())))) == ROWS


def test_suffixes_may_be_in_capitals(write):
    for name in fill(write):
        with open(name, "rb") as file:
            content = file.read()
        capitals = write(name.replace("a.", "c.").replace("b.", "d.").upper(), content)
        assert said(Table(capitals)) == ROWS
        if not name.endswith("parquet"):
            assert said(Table(write(f"{capitals}.GZ", gzip.compress(content)))) == ROWS


def test_windows_line_ends_a_byte_order_mark_and_empty_lines_are_no_text(write):
    table = "\ufeff text ,label\r\n\r\nfine,1\r\ndull,0\r\n\r\n\r\n"
    lines = '\ufeff{"text": "fine", "label": "1"}\r\n\r\n{"text": "dull", "label": "0"}\r\n\r\n'
    for name in (write("a.csv", table), write("a.jsonl", lines), write("a.tsv", table.replace(",", "\t"))):
        assert said(Table(name)) == [("fine", "1"), ("dull", "0")]


def test_texts_are_kept_and_spaces_around_labels_dropped(write):
    assert said(Table(write("a.csv", "text,label\n two  spaces , yes \n"))) == [(" two  spaces ", "yes")]


def test_a_column_which_is_not_asked_for_may_hold_anything(write):
    name = write("a.jsonl", '{"text": "a", "label": 1, "more": [1]}\n{"text": "b", "label": 0}\n')
    assert said(Table(name)) == [("a", 1.0), ("b", 0.0)]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ('"1"', "1"),
        ("1", 1.0),
        ("1.5", 1.5),
        ("true", "true"),
        ("false", "false"),
        ("-0.25", -0.25),
        ("9007199254740993", "9007199254740993"),  # as a float it would be another number
    ],
)
def test_labels_of_json_are_text_or_numbers(write, value, label):
    ((_, found),) = said(Table(write("a.jsonl", f'{{"text": "a", "label": {value}}}')))
    assert found == label
    assert type(found) is type(label)


@pytest.mark.parametrize(
    ("value", "message", "reason"),
    [
        ("null", "column 'label' is empty", "without a label"),
        ("NaN", "column 'label' is empty", "without a label"),
        ('" "', "column 'label' is empty", "without a label"),
        ("[1]", "must be text or a number, got list", "with a label which is neither text nor a number"),
        ("Infinity", "must be text or a number, got inf", "with a label which is neither text nor a number"),
        ('"\\ud800"', "half a surrogate pair", "of invalid UTF-8"),
    ],
)
def test_what_is_no_label_is_named_or_counted(write, value, message, reason):
    table = Table(write("a.jsonl", f'{{"text": "a", "label": "x"}}\n{{"text": "b", "label": {value}}}'))
    with pytest.raises(ValueError, match=rf"^a\.jsonl:2: .*{message}"):
        said(table)
    skipped = SkippedExamples()
    assert said(table, skipped=skipped) == [("a", "x")]
    assert skipped == {reason: 1}
    assert said(table, labelled=False) == [("a", None), ("b", None)]


@pytest.mark.parametrize(
    ("row", "message", "reason"),
    [
        (b",1", "column 'text' is empty", "with an empty text"),
        (b'" \n",1', "column 'text' is empty", "with an empty text"),
        (b"a,", "column 'label' is empty", "without a label"),
        (b"a", "the row has 1 columns, the table has 2", "of another width"),
        (b"a,b,1", "the row has 3 columns, the table has 2", "of another width"),
        (b"\xff,1", "byte 1 of the line is not UTF-8", "of invalid UTF-8"),
        (b'"a"b,1', "something follows the closing quote", "with a wrong quote"),
    ],
)
def test_a_row_which_cannot_be_used_is_named_or_counted(write, row, message, reason):
    table = Table(write("a.csv", b"text,label\nfine,1\n" + row + b"\ndull,0\n"))
    with pytest.raises(ValueError, match=rf"^a\.csv:3: {message}"):
        said(table)
    skipped = SkippedExamples()
    assert said(table, skipped=skipped) == [("fine", "1"), ("dull", "0")]
    assert skipped == {reason: 1}
    assert str(skipped) == f"skipped 1 example: 1 {reason}"


def test_a_name_which_is_not_there_is_named_whatever_may_be_skipped(write):
    for name in fill(write):
        with pytest.raises(ValueError, match=r"no column 'txet'; did you mean 'text'\? in a|b.*there is text, label"):
            Table(name, text="txet").read(SkippedExamples())
        with pytest.raises(ValueError, match="no column 'stars'"):
            Table(name, label="stars").read(SkippedExamples())


def test_a_file_without_names_is_given_them(write):
    name = write("a.tsv", "gj04\t1\t\tIt rains.\ngj04\t0\t*\tRains it it.\n")
    names = ("source", "label", "star", "sentence")
    assert said(Table(name, columns=names)) == [("It rains.", "1"), ("Rains it it.", "0")]
    with pytest.raises(ValueError, match="row has 4 columns, the table has 2"):
        said(Table(name, columns=("label", "text")))
    with pytest.raises(ValueError, match="the file names its columns itself"):
        Table(write("b.csv", "text,label\n"), columns=("text", "label")).read()


def test_another_separator_may_be_given(write):
    assert said(Table(write("a.csv", 'text;label\n"a;b";1\n'), separator=";")) == [("a;b", "1")]
    assert said(Table(write("a.txt", "text\tlabel\na\t1\n"), separator="\t")) == [("a", "1")]


def test_unpaired_quotes_of_tsv_are_letters_unless_said_otherwise(write):
    name = write("a.tsv", 'text\tlabel\n"begins so\t1\nends so"\t0\n')
    assert said(Table(name)) == [('"begins so', "1"), ('ends so"', "0")]
    assert said(Table(name, quotes="yes")) == [("begins so\t1\nends so", "0")]
    assert said(Table(write("b.csv", 'text,label\n"a",1\n'), quotes="no")) == [('"a"', "1")]
    broken = write("c.tsv", 'text\tlabel\n"a\nb"\t1\n"x" y\t2\n')
    with pytest.raises(
        ValueError, match=r"c\.tsv:2: the row has 1 columns.*letters; for those of cells, set quotes='yes'"
    ):
        said(Table(broken))


def test_carriage_returns_alone_end_no_line(write):
    with pytest.raises(ValueError, match=r"a\.csv:1: a carriage return alone ends no line"):
        Table(write("a.csv", "text,label\rfine,1\rdull,0\r")).read()


def test_empty_files_say_so(write):
    with pytest.raises(ValueError, match=r"a\.csv: the file is empty"):
        Table(write("a.csv", "")).read()
    with pytest.raises(ValueError, match=r"a\.jsonl: there is no row with columns"):
        Table(write("a.jsonl", "\n")).read()
    with pytest.raises(ValueError, match=r"a\.jsonl:1: this is not JSON"):
        Table(write("a.jsonl", "no\n")).read()
    assert said(Table(write("b.csv", "text,label\n"))) == []


def test_a_table_of_other_bytes_is_named(write):
    with pytest.raises(ValueError, match=r"a\.csv:1: byte 1 of the line is not UTF-8"):
        Table(write("a.csv", "text,label\na,1\n".encode("utf-16"))).read()


def test_a_column_of_texts_must_hold_texts(write):
    table = Table(write("a.jsonl", '{"text": 3, "label": 1}\n["text"]\n{"label": 1}\n{"text": "a", "label": 1}\n'))
    skipped = SkippedExamples()
    assert said(table, skipped=skipped) == [("a", 1.0)]
    assert skipped == {"with a column which is not text": 1, "with a missing column": 2}


def test_a_dot_enters_an_inner_object(write):
    name = write("a.jsonl", '{"review": {"body": "a", "stars": 4.5}}\n')
    assert said(Table(name, text="review.body", label="review.stars")) == [("a", 4.5)]


def test_labels_are_not_needed_to_predict(write):
    name = write("a.csv", "text\nfine\n")
    assert said(Table(name), labelled=False) == [("fine", None)]
    with pytest.raises(ValueError, match="the column of the label has none of the usual names"):
        Table(name).read()


def test_the_first_so_many_are_taken(write):
    for name in fill(write):
        assert said(Table(name, count=2)) == ROWS[:2]


def test_more_records_than_are_looked_at_for_their_columns_are_read(write):
    rows = [(f"text {number}", str(number)) for number in range(PEEK * 2 + 1)]
    for name in fill(write, rows):
        assert said(Table(name)) == rows


def test_a_huge_cell_is_read(write):
    huge = "x" * 2_000_000
    assert said(Table(write("a.csv", csv_text([["text", "label"], [f"{huge}\n{huge}", "1"]])))) == [
        (f"{huge}\n{huge}", "1")
    ]


CHOICE = Choices("The sky is", ("blue", "green", "up"), 1, "a.csv:2")


@pytest.mark.parametrize(
    ("label", "answer"), [("1", 1), ("1.0", 1), ("B", 1), ("b", 1), ("green", 1), ("up", 2), ("0", 0)]
)
def test_an_answer_is_a_number_a_letter_or_a_text(write, label, answer):
    name = write("a.csv", f"context,ending0,ending1,ending2,label\nThe sky is,blue,green,up,{label}\n")
    assert list(Table(name).read()) == [dataclasses.replace(CHOICE, answer=answer)]


@pytest.mark.parametrize(("answer", "place"), [('"2"', 1), ('"4"', 3), ("2", 2), ('"0"', 0)])
def test_an_answer_which_is_written_as_an_option_is_that_option_and_a_number_a_position(write, answer, place):
    """Of the options 1, 2, 3, 4 the text "2" is the second, the number 2 the third, and the text "0" the first."""
    line = f'{{"question": "?", "choices": ["1", "2", "3", "4"], "answer": {answer}}}'
    assert [row.answer for row in Table(write("a.jsonl", line)).read()] == [place]
    cells = write("a.csv", f"text,option1,option2,option3,option4,answer\n?, 1,2,3 ,4,{answer.strip(chr(34))}\n")
    wanted = int(answer.strip('"')) - 1 if answer != '"0"' else 0  # cells are texts
    assert [row.answer for row in Table(cells).read()] == [wanted]


def test_an_answer_which_several_options_have_is_none(write):
    name = write("a.jsonl", '{"question": "?", "choices": ["2", "2", "5"], "answer": "2"}')
    with pytest.raises(ValueError, match=r"a\.jsonl:1: answer '2' is the text of 2 of 3 options, which must differ"):
        list(Table(name).read())


def test_options_may_be_a_list(write):
    lines = '{"question": "The sky is", "choices": ["blue", "green", "up"], "answer": 1}\n'
    table = 'question\tchoices\tanswer\nThe sky is\t["blue", "green", "up"]\t1\n'
    for name, line in ((write("a.jsonl", lines), 1), (write("a.tsv", table), 2)):
        assert list(Table(name).read()) == [dataclasses.replace(CHOICE, place=f"{name}:{line}")]
    name = write("b.jsonl", '{"question": "?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}')
    table = Table(name, text="question", options=("choices.text",), label="answerKey")
    assert list(table.read()) == [Choices("?", ("a", "b"), 1, "b.jsonl:1")]


def test_answers_may_count_from_one(write):
    name = write("a.csv", "sentence,option1,option2,answer\na,b,c,1\nd,e,f,2\n")
    assert [row.answer for row in Table(name, first_option=1).read()] == [0, 1]
    with pytest.raises(ValueError, match=r"a\.csv:3: answer 2 is none of 2 options.*set first_option=1"):
        list(Table(name).read())
    assert [row.answer for row in Table(name).read(labelled=False)] == [None, None]


@pytest.mark.parametrize(
    ("row", "message", "reason"),
    [
        ("a,b,,c,1", "column 'ending1' is empty, though options follow", "with an empty option"),
        ("a,b,,,0", "a choice has two options or more, the row has 1", "without options"),
        ("a,b,c,d,maybe", "answer 'maybe' is neither the number nor the letter", "with an answer which is no option"),
        ("a,b,c,,2", "answer 2 is none of 2 options", "with an answer which is no option"),
        ("a,b,c,d,0.5", "answer '0.5' is neither", "with an answer which is no option"),
    ],
)
def test_a_choice_which_cannot_be_used_is_named_or_counted(write, row, message, reason):
    table = Table(write("a.csv", f"context,ending0,ending1,ending2,label\n{row}\nx,y,z,,1\n"))
    with pytest.raises(ValueError, match=rf"^a\.csv:2: {message}"):
        list(table.read())
    skipped = SkippedExamples()
    assert list(table.read(skipped)) == [Choices("x", ("y", "z"), 1, "a.csv:3")]
    assert skipped == {reason: 1}


FEATURES = {"label": {"names": ["negative", "positive"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}


def test_numbers_which_stand_for_classes_are_read_by_their_names(write, tmp_path):
    import pyarrow
    import pyarrow.parquet

    about = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
    table = pyarrow.table({"text": ["a", "b", "c"], "label": [1, 0, -1]}).replace_schema_metadata(about)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    skipped = SkippedExamples()
    assert said(Table("a.parquet"), skipped=skipped) == [("a", "positive"), ("b", "negative")]
    assert skipped == {"without a label": 1}


def test_hub_data_are_streamed_with_the_names_of_their_classes(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
    )
    rows = {"sentence": [f"number {number}" for number in range(3)], "label": [0, 1, 1]}
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / "train.parquet")
    table = Table(f"hub:{tmp_path}/set")
    found = list(table.read())
    assert found[1] == Example(("number 1",), "positive", f"hub:{tmp_path}/set/train:2")
    assert [row.label for row in found] == ["negative", "positive", "positive"]
    assert said(Table(str(tmp_path / "set" / "train.parquet"))) == [(*row.texts, row.label) for row in found]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": ""}, "path must name a file"),
        ({"path": "a.txt"}, r"a.txt must end in .csv, .tsv, .*, or separator must say"),
        ({"path": "a.json"}, "must end in"),
        ({"path": "a.csv", "subset": "x"}, "subset and split are of hub data"),
        ({"path": "a.csv", "split": "test"}, "subset and split are of hub data"),
        ({"path": "a.jsonl", "columns": ("a", "b")}, "no table of plain text, which alone has columns"),
        ({"path": "hub:a/b", "separator": ","}, "no table of plain text, which alone has separator"),
        ({"path": "a.parquet", "quotes": "no"}, "no table of plain text, which alone has quotes"),
        ({"path": "a.csv", "separator": "::"}, "separator must be one sign"),
        ({"path": "a.csv", "separator": '"'}, "separator must be one sign"),
        ({"path": "a.csv", "separator": "\\t"}, "a tab is separator="),
        ({"path": "a.csv", "quotes": "maybe"}, "quotes must be yes or no"),
        ({"path": "a.csv", "pair": "b"}, "pair needs text"),
        ({"path": "a.csv", "options": ("b", "c")}, "options needs text"),
        ({"path": "a.csv", "text": "a", "pair": "b", "options": ("c", "d")}, "options follow one text"),
        ({"path": "a.csv", "text": "a", "label": "a"}, "a use and a name of its own"),
        ({"path": "a.csv", "columns": ("a", "a")}, "a use and a name of its own"),
        ({"path": "a.csv", "options": "ending0"}, "options must be a list of names"),
        ({"path": "a.csv", "count": -1}, "must not be negative"),
    ],
)
def test_a_table_which_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Table(**fields)


def test_lists_of_a_toml_file_are_taken():
    assert Table("a.csv", columns=["a", "b"]) == Table("a.csv", columns=("a", "b"))


def test_a_file_which_is_not_there_is_named():
    for name in ("nowhere.csv", "nowhere.jsonl", "nowhere.parquet"):
        with pytest.raises(FileNotFoundError, match="no file nowhere"):
            Table(name).read()
        with pytest.raises(FileNotFoundError, match="no file nowhere"):
            Table(name).fingerprint()


def test_another_table_has_another_fingerprint(write):
    name = write("a.csv", "text,label\na,1\n")
    before = Table(name).fingerprint()
    assert Table(name).fingerprint() == before
    assert Table(name, label="label").fingerprint() != before
    write(name, "text,label\na,1\nb,2\n")
    assert Table(name).fingerprint() != before


def test_a_path_may_hold_variables(write, tmp_path, monkeypatch):
    monkeypatch.setenv("REVIEWS", str(tmp_path))
    write("a.csv", "text,label\na,1\n")
    assert said(located(Table("$REVIEWS/a.csv"))) == [("a", "1")]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("SST-2/train.tsv", 67349, ()),
        ("MRPC/train.tsv", 3668, ()),
        ("STS-B/dev.tsv", 1500, ()),
        ("RTE/train.tsv", 2490, ()),
        ("QNLI/dev.tsv", 5463, ()),
        ("CoLA/train.tsv", 8551, ("source", "label", "star", "sentence")),
    ],
)
def test_glue_is_read_whole_although_its_quotes_are_unpaired(data, name, count, columns):
    path = data / "glue" / name
    lines = [line.split("\t") for line in path.read_text("utf-8-sig").split("\n") if line]
    found = list(Table(str(path), columns=columns).read())
    assert len(found) == count
    for example_, cells in zip(found, lines if columns else lines[1:], strict=True):
        assert {*example_.texts, example_.label} <= {*cells, cells[-1].strip()}

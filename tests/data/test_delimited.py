"""Rows of delimited files: their cells, and whether quotes are quotes."""

import csv
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as some
from written_tables import csv_text

from regard.data import delimited
from regard.data.delimited import has_quotes, table_rows

letters = some.text(some.characters(exclude_categories=("Cs",)), max_size=12) | some.text(
    'a" ,\t\r\n\ufeff', max_size=12
)
tables = some.integers(1, 4).flatmap(lambda width: some.lists(some.tuples(*[letters] * width), min_size=1, max_size=8))


@settings(max_examples=300, deadline=None)
@given(rows=tables, quoting=some.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@example(rows=[("\ufeff", "a")], quoting=csv.QUOTE_MINIMAL)
@pytest.mark.parametrize(("dialect", "separator"), [("excel", ","), ("excel-tab", "\t")])
def test_any_table_comes_back_as_python_wrote_it(tmp_path_factory, dialect, separator, rows, quoting):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"\xef\xbb\xbf" + csv_text(rows, dialect, quoting=quoting).encode())
    assert [row for _, row in table_rows(Path(path), separator, quotes=True)] == [list(row) for row in rows]


@settings(max_examples=300, deadline=None)
@given(rows=tables)
def test_quotes_written_by_python_are_known_as_such(tmp_path_factory, rows):
    text = csv_text(rows, "excel-tab")
    lines = [line for line in text.split("\n") if line.removesuffix("\r")]
    widths = {line.count("\t") for line in lines}
    assume('"' in text and (len(lines) == len(rows) or len(widths) > 1 or widths == {0}))
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(text.encode())
    assert has_quotes(path, "\t")


@settings(max_examples=200, deadline=None)
@given(rows=tables)
def test_tables_without_quotes_come_back_as_they_were_joined(tmp_path_factory, rows):
    rows = [[cell.translate({9: " ", 10: " ", 13: " "}) for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + "".join("\t".join(row) + "\n" for row in rows).encode())
    found = [row for _, row in table_rows(Path(path), "\t", quotes=False)]
    assert found == [row for row in rows if len(row) > 1 or row != [""]]


@pytest.mark.parametrize(
    ("text", "are_quotes"),
    [
        ("a\tb\nc\td\n", False),
        ('"a"\tb\n', True),
        ('a "b"\tc\n', False),
        ('"a" b\tc\n', False),
        ('"a ""b"" c"\td\n', True),
        ('"a "b" c"\td\n', False),
        ('"never closed\td\nmore\te\n', False),
        ('"two\nlines"\td\n', True),
        ('"begins so\t1\nbetween\t0\nends so"\t1\n', False),  # letters, for each line has two columns as it is
        ('"one\ncolumn"\n', True),
    ],
)
def test_quotes_of_tsv_are_quotes_where_all_are_right(write, text, are_quotes):
    assert has_quotes(Path(write("a.tsv", text)), "\t") == are_quotes


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('5" pipe,1\n', [(1, ['5" pipe', "1"])]),
        ('"a,b",1\r\n"c ""d""",\r\n', [(1, ["a,b", "1"]), (2, ['c "d"', ""])]),
        ('"one\r\ntwo\n\nfour",1\nx,2', [(1, ["one\r\ntwo\n\nfour", "1"]), (5, ["x", "2"])]),
        ('a,""\n\n\n""\n', [(1, ["a", ""]), (4, [""])]),
        ('"a"', [(1, ["a"])]),
        (" \n,\n", [(1, [" "]), (2, ["", ""])]),
    ],
)
def test_cells_worked_by_hand(write, text, rows):
    assert list(table_rows(Path(write("a.csv", text)), ",", quotes=True)) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('good,1\n"bad" x,1\ngood,2\n', "a.csv:2: something follows the closing quote of the cell of column 1"),
        ('good,1\nx,"bad\ngood,2\n', "a.csv:2: no quote closes the cell of column 2"),
        ('good,1\n"bad,1\n"good",2\n', "a.csv:2: something follows the closing quote of the cell of column 1"),
        ('good,1\n"bad""\ngood,2\n', "a.csv:2: no quote closes the cell of column 1"),
    ],
)
def test_a_wrong_quote_costs_one_line(write, text, message):
    found = [row for _, row in table_rows(Path(write("a.csv", text)), ",", quotes=True)]
    assert [row for row in found if isinstance(row, list)] == [["good", "1"], ["good", "2"]]
    assert [str(row) for row in found if not isinstance(row, list)] == [message]


def test_a_quote_which_is_never_closed_does_not_fill_the_memory(write, monkeypatch):
    monkeypatch.setattr(delimited, "LONGEST_ROW", 100)
    path = write("a.csv", '"open,1\n' + "line,2\n" * 1000)
    found = list(table_rows(Path(path), ",", quotes=True))
    assert len(found) == 1001
    assert [row for _, row in found[1:]] == [["line", "2"]] * 1000


def test_a_row_with_bytes_which_are_no_text_ends_where_its_quotes_say(write):
    path = write("a.csv", b'"one\nb\xffd\nthree",1\ngood,2\n')
    (first, fault), good = table_rows(Path(path), ",", quotes=True)
    assert (first, str(fault)) == (1, "a.csv:2: byte 2 of the line is not UTF-8 (invalid start byte)")
    assert good == (4, ["good", "2"])

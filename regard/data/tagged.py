"""Sentences whose words have tags: CoNLL files, JSON Lines, Parquet or hub data.

A CoNLL file has a word a line, in columns, and an empty line between sentences. The columns are separated by tabs where
its first line of words has one, else by spaces. What is no sentence is passed over:

* a line whose word is -DOCSTART-, which also ends a sentence;
* where a sentence begins, a line which begins with `#` and a space, unless it has the file's columns and no `=`, since
  then `#` is its word; columns with tabs between hold no such lines of words, so there all of them are passed over;
* in `.conllu` files, words which are written together (numbered `1-2`) and words which are not written (`8.1`).

Words and tags are kept as they are, but for spaces at their ends. A sentence which cannot be used is an error with its
place, which is that of its first word, or it is counted, as `regard.data.rows` says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from regard.data.columns import TEXTS
from regard.data.examples import TaggedWords
from regard.data.lines import lines_of
from regard.data.records import entry, named_rows
from regard.data.rows import Skipped, Unusable, text_of, usable
from regard.data.sources import Source, located, suffix_of
from regard.storage.names import did_you_mean

LONGEST = 10_000  # words; a file without empty lines is found out before it fills the memory
UNIVERSAL = ".conllu"
WORDS = ("words", "tokens")  # the usual names, in lower case
TAGS = ("tags", "ner_tags", "pos_tags", "chunk_tags", "labels", "ner", "pos", "upos")
DOCUMENT = "-DOCSTART-"
_NO_WORD = re.compile(r"\d+[-.]\d+")  # in the first column of a .conllu file
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class TaggedText(Source):
    """Where sentences of tagged words are found.

    A CoNLL file: `TaggedText("train.conll")` takes the words from the first column and the tags from the last,
    `TaggedText("train.txt", words="2", tags="4")` counts columns from 1. Of a `.conllu` file these are 2 and 4, the
    forms and the universal parts of speech. JSON Lines, Parquet and hub data have a sentence a row, with a list of
    words and one of tags: `TaggedText("hub:eriktks/conll2003", tags="ner_tags")`; what is left empty is found by its
    usual name, where only one column has such a name. Files may be compressed (.gz, .bz2, .xz).

    Raises:
        ValueError: if the fields do not say one of these.
    """

    words: str = ""  # columns; found where empty
    tags: str = ""
    split: str = "train"  # of hub data
    subset: str = ""  # a hub data set's configuration
    count: int = 0  # the first so many sentences; 0 for all

    def __post_init__(self):
        if not self.path:
            raise ValueError("path must name a file or hub:OWNER/NAME, got nothing")
        if self.kind != "hub" and (self.subset or self.split != "train"):
            raise ValueError(f"{self.path} is a file; subset and split are of hub data")
        for name in ("words", "tags"):
            column = getattr(self, name)
            if self.kind == "plain" and column and not re.fullmatch("[1-9][0-9]*", column):
                raise ValueError(f"{name} of a CoNLL file must be a column's number, counted from 1, got {column!r}")
        if self.words and self.words == self.tags:
            raise ValueError(f"words and tags must be two columns, got {self.words!r} for both")
        if self.count < 0:
            raise ValueError(f"count must not be negative, got {self.count}")

    def found(self) -> tuple[str, str]:
        """Which columns are read, of a row with lists: that of the words and that of the tags.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if they cannot be told.
        """
        self.require_files()
        names, _ = named_rows(self.path, self.subset, self.split)
        words, tags = self._columns(names, labelled=True)
        return words, tags

    def read(self, skipped: Skipped | None = None, *, labelled: bool = True) -> Iterator[TaggedWords]:
        """Every sentence, in order; with `skipped`, unusable ones are counted there and passed over.

        Args:
            skipped: where they are counted; None makes each of them an error.
            labelled: whether there are tags; if not, the text needs none, and those which it has are left alone.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if the columns cannot be told, or a sentence cannot be used and nothing may be skipped.
        """
        self.require_files()
        found = self._plain(labelled) if self.kind == "plain" else self._records(labelled)
        sentences = usable(found, skipped)
        return islice(sentences, self.count) if self.count else sentences

    def _plain(self, labelled: bool) -> Iterator[TaggedWords | Unusable]:
        """The sentences of a CoNLL file."""
        path = Path(self.path)
        is_universal = suffix_of(self.path) == UNIVERSAL
        has_tabs, width, number = _shape(path)
        word = int(self.words or (2 if is_universal else 1)) - 1
        tag = int(self.tags or (4 if is_universal else width)) - 1
        for column in (word, tag) if labelled else (word,):
            if column >= width:
                raise ValueError(f"{path}:{number}: no column {column + 1}; the line has {width}")
        if labelled and word == tag:
            raise ValueError(
                f"{path}:{number}: column {word + 1} would hold words and tags; the line has {width}, separated by "
                f"{'tabs' if has_tabs else 'spaces'}, and a CoNLL file a word and its tag a line"
            )
        return _sentences(path, has_tabs, width, word, tag if labelled else None, is_universal=is_universal)

    def _records(self, labelled: bool) -> Iterator[TaggedWords | Unusable]:
        """The sentences of rows with lists."""
        names, rows = named_rows(self.path, self.subset, self.split)
        columns = self._columns(names, labelled)
        return (
            row if isinstance(row, Unusable) else _sentence(row, columns, f"{file}:{number}")
            for file, number, row in rows(columns)
        )

    def _columns(self, names: list[str], labelled: bool) -> list[str]:
        """The column of the words and, where there are labels, that of the tags."""
        columns = []
        for name, column, usual in (("words", self.words, WORDS), ("tags", self.tags, TAGS))[: 1 + labelled]:
            if column and column.split(".")[0] not in names and column not in names:
                hint = did_you_mean(column, names)
                raise ValueError(f"{self.path}: no column {column!r}{hint}; there is {', '.join(names)}")
            found = [column] if column else [known for known in names if known.lower() in usual]
            if len(found) != 1:
                option = "--text" if name == "words" else "--label"
                what = f"may be {' or '.join(found)}" if found else "has none of the usual names"
                raise ValueError(
                    f"{self.path}: the column of the {name} {what}, so {name} must name it ({option} of a "
                    f"command); there is {', '.join(names)}"
                )
            columns += found
        return columns


def has_tags(path: str, words: str = "", tags: str = "") -> bool:
    """Whether the first row of a file of records has a list of words and one of tags.

    Args:
        path: of the file; where it is none which is there, it has none.
        words: the column; without, one of its usual names, and then there is no column with a usual name of texts.
        tags: the column; without, one of its usual names.
    """
    path = located(Source(path)).path
    if Source(path).kind != "records" or not Path(path).is_file():
        return False
    names, rows = named_rows(path, "", "train")
    if not words and any(name.lower() in TEXTS for name in names):
        return False
    columns = [words or next((name for name in names if name.lower() in WORDS), "")]
    columns += [tags or next((name for name in names if name.lower() in TAGS), "")]
    first = next((row for _, _, row in rows(columns) if not isinstance(row, Unusable)), None)
    return all(column and isinstance(entry(first, column, path), list) for column in columns)


def _cells(line: str, has_tabs: bool) -> list[str]:
    """The columns of a line."""
    return [cell.strip(" ") for cell in line.split("\t")] if has_tabs else _SPACES.split(line.strip(" \t"))


def _shape(path: Path) -> tuple[bool, int, int]:
    """Whether tabs separate the columns of a CoNLL file, how many there are, and the line which says so.

    Raises:
        ValueError: if it has no line of words.
    """
    for number, line in enumerate(lines_of(path), 1):
        if isinstance(line, str) and line.strip(" \t") and not line.startswith("# "):
            has_tabs = "\t" in line.strip(" \t")
            cells = _cells(line, has_tabs)
            if DOCUMENT not in cells:
                return has_tabs, len(cells), number
    raise ValueError(f"{path}: there is no line with a word")


def _sentences(
    path: Path, has_tabs: bool, width: int, word: int, tag: int | None, *, is_universal: bool
) -> Iterator[TaggedWords | Unusable]:
    """The sentences of a CoNLL file, and what is wrong with others."""
    words: list[str] = []
    tags: list[str] = []
    began, fault = 0, None

    def sentence() -> TaggedWords | Unusable:
        """What was read since the sentence began."""
        return fault or TaggedWords(tuple(words), None if tag is None else tuple(tags), f"{path}:{began}")

    for number, line in enumerate(chain(lines_of(path), [""]), 1):
        place = f"{path}:{number}"
        if isinstance(line, Unusable):
            began, fault = began or number, fault or line
            continue
        cells = _cells(line, has_tabs)
        is_document = DOCUMENT in (cells[0], cells[min(word, len(cells) - 1)])
        if is_document or not any(cells):
            if began:
                yield sentence()
            words, tags, began, fault = [], [], 0, None
            continue
        if not began and line.startswith("# ") and (has_tabs or len(cells) != width or "=" in line):
            continue
        if is_universal and _NO_WORD.fullmatch(cells[0]):
            continue
        began = began or number
        if fault:
            continue
        if len(cells) != width:
            what = f"the line has {len(cells)} columns, others have {width}"
            fault = Unusable("of another width", place, what)
        elif not cells[word] or (tag is not None and not cells[tag]):
            fault = Unusable("with an empty word or tag", place, "the word or its tag is empty")
        elif len(words) == LONGEST:
            what = f"the sentence has more than {LONGEST:,} words; an empty line ends a sentence"
            fault = Unusable("with too many words", f"{path}:{began}", what)
        else:
            words.append(cells[word])
            tags += [] if tag is None else [cells[tag]]


def _sentence(row: Any, columns: list[str], place: str) -> TaggedWords | Unusable:
    """The sentence of a row, or what is wrong with it."""
    lists = []
    for column in columns:
        found = entry(row, column, place)
        if isinstance(found, Unusable):
            return found
        if not isinstance(found, list):
            what = f"column {column!r} must be a list, got {type(found).__name__}"
            return Unusable("with a column which is no list", place, what)
        is_tags = len(lists) == 1
        for value in found:
            if is_tags and isinstance(value, int) and not isinstance(value, bool):
                value = str(value)  # classes without names
            text = text_of(value, column, place)
            if isinstance(text, Unusable):
                return text
            if not text.strip():
                return Unusable("with an empty word or tag", place, f"column {column!r} holds an empty text")
        lists.append(tuple(str(value).strip() for value in found))
    words, tags = (*lists, None)[:2]
    if not words:
        return Unusable("without words", place, f"column {columns[0]!r} is empty")
    if tags is not None and len(words) != len(tags):
        return Unusable("with another number of tags", place, f"{len(words)} words have {len(tags)} tags")
    return TaggedWords(words, tags, place)

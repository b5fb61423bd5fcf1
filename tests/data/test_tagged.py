"""Sentences whose words have tags, from every format which has them."""

import gzip
import io
import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from regard.data import tagged as module
from regard.data.examples import TaggedWords
from regard.data.rows import SkippedExamples
from regard.data.sources import located
from regard.data.tagged import TaggedText


def said(text, **how):
    """The words and tags of each sentence, joined."""
    return [(" ".join(row.words), None if row.tags is None else " ".join(row.tags)) for row in text.read(**how)]


NEWS = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER

-DOCSTART- -X- -X- O

# # B-NP O
Blackburn NNP B-NP I-PER
"""
SENTENCES = [("EU rejects", "B-ORG O"), ("Peter", "B-PER"), ("# Blackburn", "O I-PER")]


def test_the_first_column_has_the_words_and_the_last_the_tags(write):
    text = TaggedText(write("a.conll", NEWS))
    assert said(text) == SENTENCES
    assert [row.place for row in text.read()] == ["a.conll:3", "a.conll:6", "a.conll:10"]


def test_other_columns_may_be_told(write):
    assert said(TaggedText(write("a.txt", NEWS), tags="2"))[0] == ("EU rejects", "NNP VBZ")
    assert said(TaggedText(write("a.txt", "1 EU X\n2 rejects Y\n"), words="2", tags="3")) == [("EU rejects", "X Y")]


def test_tabs_separate_where_there_are_any(write):
    name = write("a.tsv", "EU\tB-ORG\nnon breaking\tO\n#\tO\n\n#tag\tO\n")
    assert said(TaggedText(name)) == [("EU non breaking #", "B-ORG O O"), ("#tag", "O")]
    assert said(TaggedText(write("b.txt", "EU  \t B-ORG \n"))) == [("EU", "B-ORG")]


def test_a_space_which_does_not_break_is_part_of_a_word(write):
    assert said(TaggedText(write("a.txt", "10\u00a0000 B-NUM\n\u2028 O\n"))) == [("10\u00a0000 \u2028", "B-NUM O")]


def test_line_ends_marks_and_further_empty_lines_are_no_words(write):
    text = "\ufeff\n\n" + NEWS.replace("\n\n", "\n \n\n").replace("\n", "\r\n") + "\r\n\r\n"
    assert said(TaggedText(write("a.txt", text))) == SENTENCES
    assert said(TaggedText(write("b.txt.gz", gzip.compress(text.rstrip().encode())))) == SENTENCES


@pytest.mark.parametrize(
    "comment",
    ["# sent_id = 1", "# text = EU rejects", "# newdoc", "# id 5239d808\tdomain=en"],
)
def test_comments_before_a_sentence_are_no_words(write, comment):
    lines = f"{comment}\nEU _ _ B-ORG\nrejects _ _ O\n\n{comment}\nPeter _ _ B-PER\n"
    assert said(TaggedText(write("a.conll", lines))) == SENTENCES[:2]
    if "\t" not in comment:
        assert said(TaggedText(write("b.conll", lines.replace(" _ _ ", "\t_\t_\t")))) == SENTENCES[:2]


def test_universal_dependencies_give_forms_and_parts_of_speech(write):
    lines = [
        "# text = Vámonos",
        "1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_",
        "1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_",
        "2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_",
        "2.1\tnada\t_\tPRON\t_\t_\t_\t_\t_\t_",
    ]
    name = write("a.conllu", "\n".join(lines) + "\n\n")
    assert said(TaggedText(name)) == [("Vamos nos", "VERB PRON")]
    assert said(TaggedText(name, tags="8")) == [("Vamos nos", "root obj")]


def test_tags_are_not_needed_to_predict(write):
    name = write("a.txt", "EU\nrejects\n\nPeter\n")
    assert said(TaggedText(name), labelled=False) == [("EU rejects", None), ("Peter", None)]
    with pytest.raises(ValueError, match=r"a\.txt:1: column 1 would hold words and tags; the line has 1"):
        TaggedText(name).read()
    assert said(TaggedText(write("b.txt", NEWS)), labelled=False)[0] == ("EU rejects", None)


@pytest.mark.parametrize(
    ("line", "message", "reason"),
    [
        (b"rejects", r"3: the line has 1 columns, others have 2", "of another width"),
        (b"rejects VBZ O", r"3: the line has 3 columns, others have 2", "of another width"),
        (b"rej\xffects O", r"3: byte 4 of the line is not UTF-8", "of invalid UTF-8"),
    ],
)
def test_a_sentence_which_cannot_be_used_is_named_or_counted(write, line, message, reason):
    text = TaggedText(write("a.txt", b"Hello O\n\n" + line + b"\nstill O\n\nPeter B-PER\n"))
    with pytest.raises(ValueError, match=rf"^a\.txt:{message}"):
        said(text)
    skipped = SkippedExamples()
    assert said(text, skipped=skipped) == [("Hello", "O"), ("Peter", "B-PER")]
    assert skipped == {reason: 1}


def test_an_empty_word_or_tag_is_named(write):
    with pytest.raises(ValueError, match=r"^a\.txt:2: the word or its tag is empty"):
        said(TaggedText(write("a.txt", "EU\tB-ORG\n\tO\n")))


def test_a_file_without_empty_lines_does_not_fill_the_memory(write, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 10)
    text = TaggedText(write("a.txt", "word O\n" * 11 + "\n" + "word O\n" * 10))
    with pytest.raises(ValueError, match=r"^a\.txt:1: the sentence has more than 10 words"):
        said(text)
    skipped = SkippedExamples()
    assert said(text, skipped=skipped) == [(" ".join(["word"] * 10), " ".join(["O"] * 10))]
    assert skipped == {"with too many words": 1}


words = some.text(some.characters(exclude_categories=("Cs", "Z", "C")), min_size=1, max_size=6)
sentences = some.lists(some.lists(some.tuples(words, some.sampled_from(["O", "B-X", "I-X"])), min_size=1), min_size=1)


@settings(max_examples=100, deadline=None)
@given(sentences=sentences)
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_any_sentences_come_back_as_they_were_written(tmp_path_factory, separator, sentences):
    assume(any(word != "#" for sentence in sentences for word, _ in sentence))  # else all of it may be comments
    path = tmp_path_factory.getbasetemp() / "any.conll"
    lines = "\n\n".join("\n".join(word + separator + tag for word, tag in sentence) for sentence in sentences)
    path.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    found = list(TaggedText(str(path)).read())
    assert [list(zip(row.words, row.tags, strict=True)) for row in found] == sentences


ROWS = [{"tokens": ["EU", "rejects"], "ner_tags": ["B-ORG", "O"]}, {"tokens": ["Peter"], "ner_tags": ["B-PER"]}]


def fill(write, rows=ROWS):
    """The same rows as JSON Lines and as Parquet, and their files' names."""
    import pyarrow
    import pyarrow.parquet

    parquet = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), parquet)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return [write("a.jsonl", lines + "\n"), write("a.parquet", parquet.getvalue())]


def test_rows_with_lists_are_sentences(write):
    for name in fill(write):
        assert said(TaggedText(name)) == SENTENCES[:2]
        assert [row.place for row in TaggedText(name).read()] == [f"{name}:1", f"{name}:2"]
        assert said(TaggedText(name), labelled=False)[1] == ("Peter", None)
        assert said(TaggedText(name, words="tokens", tags="ner_tags", count=1)) == SENTENCES[:1]


def test_columns_of_lists_must_be_told_apart(write):
    for name in fill(write, [{**row, "pos_tags": row["ner_tags"]} for row in ROWS]):
        with pytest.raises(
            ValueError, match="the column of the tags may be ner_tags or pos_tags, so tags must name it"
        ):
            TaggedText(name).read()
        assert said(TaggedText(name, tags="pos_tags")) == SENTENCES[:2]
        with pytest.raises(ValueError, match="no column 'token'; did you mean 'tokens'"):
            TaggedText(name, words="token", tags="ner_tags").read(SkippedExamples())
    with pytest.raises(ValueError, match="the column of the words has none of the usual names"):
        TaggedText(write("b.jsonl", '{"text": "a"}')).read()
    with pytest.raises(ValueError, match="there is no row with columns"):
        TaggedText(write("c.jsonl", "")).read()


@pytest.mark.parametrize(
    ("row", "message", "reason"),
    [
        ({"tokens": ["a"], "tags": ["O", "O"]}, "1 words have 2 tags", "with another number of tags"),
        ({"tokens": [], "tags": []}, "column 'tokens' is empty", "without words"),
        ({"tokens": "a b", "tags": ["O"]}, "column 'tokens' must be a list, got str", "with a column which is no list"),
        ({"tokens": ["a", 3], "tags": ["O", "O"]}, "must be text, got int", "with a column which is not text"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "holds an empty text", "with an empty word or tag"),
        ({"tokens": ["a"], "tags": [None]}, "must be text, got NoneType", "with a column which is not text"),
        ({"tokens": ["a"]}, "no column 'tags'", "with a missing column"),
        ({"tokens": ["\ud800"], "tags": ["O"]}, "half a surrogate pair", "of invalid UTF-8"),
    ],
)
def test_a_row_which_cannot_be_used_is_named_or_counted(write, row, message, reason):
    good = {"tokens": ["a"], "tags": [3]}
    text = TaggedText(write("a.jsonl", f"{json.dumps(good)}\n{json.dumps(row)}\n{json.dumps(good)}\n"))
    with pytest.raises(ValueError, match=rf"^a\.jsonl:2: .*{message}"):
        said(text)
    skipped = SkippedExamples()
    assert said(text, skipped=skipped) == [("a", "3"), ("a", "3")]
    assert skipped == {reason: 1}


def test_numbers_of_tags_are_read_by_their_names(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    names = datasets.ClassLabel(names=["O", "B-PER", "B-ORG"])
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(names)})
    rows = {"tokens": [["EU", "rejects"], ["Peter"]], "ner_tags": [[2, 0], [1]]}
    (tmp_path / "set").mkdir()
    file = tmp_path / "set" / "train.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    assert said(TaggedText(str(file))) == SENTENCES[:2]
    assert said(TaggedText(f"hub:{tmp_path}/set")) == SENTENCES[:2]
    assert next(TaggedText(f"hub:{tmp_path}/set").read()) == TaggedWords(
        ("EU", "rejects"), ("B-ORG", "O"), f"hub:{tmp_path}/set/train:1"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": ""}, "path must name a file"),
        ({"path": "a.txt", "split": "test"}, "subset and split are of hub data"),
        ({"path": "a.txt", "words": "tokens"}, "words of a CoNLL file must be a column's number, .* got 'tokens'"),
        ({"path": "a.txt", "tags": "0"}, "tags of a CoNLL file must be a column's number, counted from 1, got '0'"),
        ({"path": "a.txt", "words": "2", "tags": "2"}, "words and tags must be two columns"),
        ({"path": "a.txt", "count": -1}, "count must not be negative"),
    ],
)
def test_a_description_which_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TaggedText(**fields)


def test_what_is_not_there_is_named(write):
    with pytest.raises(FileNotFoundError, match="no file nowhere"):
        TaggedText("nowhere.txt").read()
    with pytest.raises(ValueError, match=r"a\.txt: there is no line with a word"):
        TaggedText(write("a.txt", "\n\n")).read()
    with pytest.raises(ValueError, match=r"a\.txt:1: no column 3; the line has 2"):
        TaggedText(write("a.txt", "EU O\n"), tags="3").read()


def test_another_text_has_another_fingerprint_and_paths_may_hold_variables(write, tmp_path, monkeypatch):
    name = write("a.txt", NEWS)
    before = TaggedText(name).fingerprint()
    assert TaggedText(name).fingerprint() == before
    assert TaggedText(name, tags="2").fingerprint() != before
    monkeypatch.setenv("NEWS", str(tmp_path))
    assert said(located(TaggedText("$NEWS/a.txt"))) == SENTENCES

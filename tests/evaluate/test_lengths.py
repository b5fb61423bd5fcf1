"""BLEU by source length, against BLEU of the sentences picked by hand."""

import json

import pytest

from regard.evaluate import bleu, bleu_by_length

SHORT = ["a b c d", "e f g h i"]
LONG = ["j k l m n o p", "q r s t u v w x"]
SOURCES = SHORT + LONG
REFERENCES = SHORT + LONG
SYSTEMS = {"good": [*SHORT, "j k l m n o x", LONG[1]], "bad": ["a b c x", *SHORT[1:], *LONG]}


def test_each_bucket_holds_the_bleu_of_its_own_sentences():
    table = bleu_by_length(SOURCES, REFERENCES, SYSTEMS, fewest=1)
    short, long = table.buckets
    assert (short.shortest, short.longest, short.sentences) == (1, 5, 2)
    assert (long.shortest, long.longest, long.sentences) == (6, 10, 2)
    assert dict(short.bleu) == {name: bleu(texts[:2], SHORT).value for name, texts in SYSTEMS.items()}
    assert dict(long.bleu) == {name: bleu(texts[2:], LONG).value for name, texts in SYSTEMS.items()}


def test_every_sentence_is_in_one_bucket():
    sources = ["x " * words for words in range(40)]
    table = bleu_by_length(sources, sources, {"copy": sources}, width=3, fewest=4)
    assert sum(bucket.sentences for bucket in table.buckets) == 40
    assert all(bucket.sentences >= 4 for bucket in table.buckets)
    for one, next_one in zip(table.buckets, table.buckets[1:], strict=False):
        assert next_one.shortest > one.longest


def test_a_last_bucket_of_few_sentences_is_joined_to_the_one_before():
    sources = ["a b c d"] * 4 + ["a b c d e f"]
    (bucket,) = bleu_by_length(sources, sources, {"copy": sources}, fewest=2).buckets
    assert (bucket.shortest, bucket.longest, bucket.sentences) == (1, 10, 5)


def test_another_measure_of_length_may_be_given():
    table = bleu_by_length(SOURCES, REFERENCES, SYSTEMS, width=20, fewest=1, length=len)
    assert [bucket.range for bucket in table.buckets] == ["1-20"]


def test_the_table_has_a_row_a_bucket_and_names_each_system():
    lines = str(bleu_by_length(SOURCES, REFERENCES, SYSTEMS, fewest=1)).splitlines()
    assert lines[0].split() == ["words", "sentences", "good", "bad"]
    assert lines[1].split()[:3] == ["1-5", "2", "100.00"]
    assert len(lines) == 4


def test_the_table_as_json_holds_the_same_numbers():
    table = bleu_by_length(SOURCES, REFERENCES, SYSTEMS, fewest=1)
    read = json.loads(table.as_json())
    assert [row["bleu"] for row in read["buckets"]] == [dict(bucket.bleu) for bucket in table.buckets]


@pytest.mark.parametrize(("suffix", "opening"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_figure_is_written_whole(tmp_path, suffix, opening):
    path = tmp_path / f"lengths.{suffix}"
    bleu_by_length(SOURCES, REFERENCES, SYSTEMS, fewest=1).draw(path, title="Lengths")
    assert path.read_bytes().startswith(opening)
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_numbers_give_the_same_file(tmp_path):
    table = bleu_by_length(SOURCES, REFERENCES, SYSTEMS, fewest=1)
    for name in ("one.svg", "two.svg"):
        table.draw(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_an_unknown_kind_of_figure_is_an_error(tmp_path):
    table = bleu_by_length(SOURCES, REFERENCES, SYSTEMS, fewest=1)
    with pytest.raises(ValueError, match=r"figure\.gif: a figure is saved as \.png, \.svg, \.pdf, got '\.gif'"):
        table.draw(tmp_path / "figure.gif")


def test_a_missing_translation_is_an_error_which_names_the_system():
    with pytest.raises(ValueError, match=r"system 'short': .*1 hypotheses and 4 references"):
        bleu_by_length(SOURCES, REFERENCES, {"short": ["a"]})

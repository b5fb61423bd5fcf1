"""Tokenizers for encoders which are trained here."""

import pytest

from regard.text.kinds import ENCODERS
from regard.text.tokenizer import Tokenizer

TEXT = [
    "The old Bridge (of 1904) was built near the river.",
    'Café owners said: "The bridge is naïve" in 1931, and 37,000 paid.',
    "Bridges, rivers; owners... and the old cafés.",
] * 5


def trained(kind: str, **options) -> Tokenizer:
    """A small tokenizer."""
    return Tokenizer.train(TEXT, **{"kind": kind, "vocabulary": 120, **options})


@pytest.fixture(scope="module", params=ENCODERS)
def tokenizer(request):
    """One of each kind."""
    return trained(request.param)


def test_special_ids_come_first_in_their_published_order(tokenizer):
    framing = tokenizer.framing(is_last=False)
    assert [tokenizer.pad, tokenizer.unknown, framing.summary, framing.separator, tokenizer.mask] == [0, 1, 2, 3, 4]
    assert not tokenizer.has_end


def test_a_text_of_known_letters_has_nothing_unknown(tokenizer):
    for ids in tokenizer.encode_batch(TEXT):
        assert tokenizer.unknown not in ids
        assert len(ids) > 5


def test_no_text_names_a_special_id(tokenizer):
    names = tokenizer.pieces(range(5))
    for text in (*names, "".join(names), " ".join(names)):
        assert {0, 2, 3, 4}.isdisjoint(tokenizer.encode(text))


def test_what_was_saved_loads_as_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path)
    assert loaded == tokenizer
    assert loaded.encode_batch(TEXT) == tokenizer.encode_batch(TEXT)


def test_words_begin_where_they_begin(tokenizer):
    words = ["the", "old", "bridges", "near", "rivers"]
    ids = tokenizer.encode(" ".join(words))
    assert sum(tokenizer.begins_word[id] for id in ids) == len(words)
    numbered, places = tokenizer.encode_words(words)
    assert numbered == ids
    assert sorted(set(places)) == list(range(len(words)))


@pytest.mark.parametrize(
    ("kind", "lowercase", "text", "decoded"),
    [
        ("bert", False, "The Café", "The Café"),
        ("bert", True, "The Café", "the cafe"),
        ("albert", False, "The Café", "The Cafe"),
        ("albert", True, "The Café", "the cafe"),
        ("xlnet", False, "The  Café ", "The Cafe"),
        ("xlnet", True, "The Café", "the cafe"),
    ],
)
def test_capitals_and_accents_go_as_in_the_published_models(kind, lowercase, text, decoded):
    tokenizer = trained(kind, lowercase=lowercase)
    assert tokenizer.decode(tokenizer.encode(text)) == decoded


def test_quotes_of_two_characters_are_one(tokenizer):
    same = tokenizer.encode("``The river''") == tokenizer.encode('"The river"')
    assert same == (not any(piece.startswith("##") for piece in tokenizer.pieces(range(tokenizer.size))))  # not in BERT


def test_bert_marks_what_goes_on_with_a_word():
    tokenizer = trained("bert", lowercase=True)
    pieces = tokenizer.pieces(tokenizer.encode("theriver"))
    assert not pieces[0].startswith("##")
    assert len(pieces) > 1
    assert all(piece.startswith("##") for piece in pieces[1:])


@pytest.mark.parametrize("kind", ["albert", "xlnet"])
def test_letters_numbers_and_punctuation_are_kept_apart(kind):
    tokenizer = trained(kind, vocabulary=200)
    for id in range(5, tokenizer.size):
        [piece] = tokenizer.pieces([id])
        bare = piece.strip("␣▁")
        assert bare.isalpha() or bare.isdigit() or len(bare) < 2, piece


@pytest.mark.parametrize(("kind", "last"), [("bert", "[SEP]"), ("albert", "[SEP]"), ("xlnet", "<cls>")])
def test_transformers_frames_the_saved_file_as_we_do(kind, last, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = trained(kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    found = theirs(TEXT[0], TEXT[1], return_token_type_ids=True)
    framed = tokenizer.framing(is_last=kind == "xlnet").frame(*map(tokenizer.encode, TEXT[:2]))
    assert (found["input_ids"], found["token_type_ids"]) == framed
    assert theirs.convert_ids_to_tokens(found["input_ids"])[-1] == last


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": None}, "vocabulary must be given for kind"),
        ({"vocabulary": 5}, "beside the 5 special tokens, got 5"),
        ({"vocabulary": 20}, r"vocabulary=20 cannot hold the .*characters of the text and the 5 special tokens"),
        ({"minimum": 0}, "minimum must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_trained_is_an_error(kind, options, message):
    with pytest.raises(ValueError, match=message):
        trained(kind, **options)


def test_unigram_kinds_do_not_count():
    with pytest.raises(ValueError, match="minimum is not known to unigram tokenizers"):
        trained("albert", minimum=2)


def test_an_unknown_kind_is_an_error_which_names_the_nearest():
    with pytest.raises(ValueError, match="albert"):
        trained("alberd")

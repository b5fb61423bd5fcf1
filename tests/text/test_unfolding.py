"""Text which comes id by id."""

import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as some

from regard.text.kinds import COUNTED, KINDS
from regard.text.letters import BYTES
from regard.text.tokenizer import Tokenizer

TEXT = [
    "Zwei junge weiße  Männer sind (im) Freien.",
    'Er sagte: "Das Haus-Boot" <unk> </s> \ufffd!',
    "emoji 😀👩‍👩‍👧, 中文字符。 ไทย ก็ cafe\u0301",
    "  a \n\n b\tc  ",
]


@cache
def trained(kind):
    """A small tokenizer of this kind."""
    return Tokenizer.train(TEXT * 2, kind=kind, vocabulary=None if kind in COUNTED else 400)


@cache
def published(folder, name):
    """GPT's or GPT-2's tokenizer."""
    return Tokenizer.from_files(*(next(folder.glob(f"{name}_{part}")) for part in ("encoder*.json", "vocab*.bpe")))


def unfolded(tokenizer, ids, **options):
    """What an unfolding gives for each id, and at the end."""
    unfolding = tokenizer.unfolding(**options)
    return [*map(unfolding.add, ids), unfolding.rest()]


def check(tokenizer, seed=0):
    """What came is never taken back, and all of it is what decoding gives; for texts, and for any ids at all."""
    chance = random.Random(seed)
    nonsense = [[chance.randrange(tokenizer.size) for _ in range(12)] for _ in range(200)]
    for ids in [*tokenizer.encode_batch(TEXT), [], *nonsense]:
        for keeps in (False, True):
            parts = unfolded(tokenizer, ids, keeps_unknown=keeps)
            assert "".join(parts) == tokenizer.decode(ids, keeps_unknown=keeps)
        told = tokenizer.decode(ids[:4])
        if not told.endswith("\ufffd"):
            assert told + "".join(unfolded(tokenizer, ids[4:], after=ids[:4])) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_are_the_decoded_text(kind):
    check(trained(kind))


@pytest.mark.data
@pytest.mark.parametrize("name", ["gpt1", "gpt2"])
def test_the_parts_are_the_decoded_text_of_published_tokenizers(data, name):
    check(published(data / "vocab", name))


@cache
def of_bytes():
    """The tokenizer whose ids are bytes."""
    return Tokenizer.train(["x"], kind="bytes", vocabulary=259)


@given(data=some.binary(max_size=12) | some.lists(some.sampled_from(b"a\x80\x9f\xbf\xc3\xe0\xed\xf0\xf4")).map(bytes))
def test_any_bytes_come_as_decoding_has_them(data):
    ids = [sorted(BYTES, key=ord).index(letter) + 3 for byte in data for letter in BYTES if BYTES[letter] == byte]
    tokenizer = of_bytes()
    assert "".join(unfolded(tokenizer, ids)) == tokenizer.decode(ids) == data.decode(errors="replace")


def test_a_character_comes_once_it_is_whole():
    tokenizer = of_bytes()
    assert unfolded(tokenizer, tokenizer.encode("a😀ä")) == ["a", "", "", "", "😀", "", "ä", ""]


def test_half_a_character_is_told_at_the_end():
    tokenizer = of_bytes()
    assert unfolded(tokenizer, tokenizer.encode("a😀")[:3]) == ["a", "", "", "\ufffd"]


def test_the_space_before_a_word_comes_with_the_word():
    tokenizer = trained("whitespace")
    ids = tokenizer.encode("junge Männer")
    assert unfolded(tokenizer, ids) == ["junge", " Männer", ""]
    assert unfolded(tokenizer, ids[1:], after=ids[:1]) == [" Männer", ""]


def test_an_end_adds_nothing():
    tokenizer = trained("bpe")
    assert tokenizer.unfolding().add(tokenizer.end) == ""


def test_an_id_outside_the_vocabulary_is_an_error():
    tokenizer = trained("bpe")
    with pytest.raises(ValueError, match=f"got {tokenizer.size}"):
        tokenizer.unfolding().add(tokenizer.size)

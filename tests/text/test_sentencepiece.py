"""ALBERT's and XLNet's tokenizers beside SentencePiece, their authors' code around it, and Transformers."""

import json
import pickle
import random
import re
import shutil
import unicodedata
from pathlib import Path

import authors
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as some

from regard.storage.protobuf import fields
from regard.text.sentencepiece import read_sentencepiece
from regard.text.tokenizer import Tokenizer

FOLDER = Path(__file__).parent / "spiece"
WANTED = json.loads((FOLDER / "wanted.json").read_text(encoding="utf-8"))
NAMES = ["albert", "xlnet"]
LOWERCASE = {"albert": True, "xlnet": False}


def model(name: str) -> Path:
    return FOLDER / f"{name}.model"


def lines(data: Path) -> list[str]:
    """Some thousand lines of running text, questions and names."""
    texts = (data / "wikitext-2" / "wiki.valid.tokens").read_text(encoding="utf-8").splitlines()[:1500]
    for name in ("CoLA/dev.tsv", "QNLI/dev.tsv", "MRPC/msr_paraphrase_test.txt", "STS-B/dev.tsv"):
        if (data / "glue" / name).is_file():
            texts += (data / "glue" / name).read_text(encoding="utf-8").splitlines()[:500]
    return texts


@pytest.mark.parametrize("name", NAMES)
def test_texts_have_the_ids_of_the_authors_code(name):
    tokenizer = Tokenizer.load(model(name))
    assert dict(zip(WANTED["texts"], tokenizer.encode_batch(WANTED["texts"]), strict=True)) == dict(
        zip(WANTED["texts"], WANTED[name], strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_special_ids_are_those_of_the_model(name):
    tokenizer = Tokenizer.load(model(name))
    framing = tokenizer.framing(is_last=name == "xlnet")
    ids = (tokenizer.pad, tokenizer.unknown, framing.summary, framing.separator, tokenizer.mask)
    assert ids == {"albert": (0, 1, 2, 3, 4), "xlnet": (5, 0, 3, 4, 6)}[name]
    assert tokenizer.decode([*ids, *tokenizer.encode("the old bridge"), *ids]) == "the old bridge"
    if name == "xlnet":
        assert tokenizer.decode([1, 2, 7, 8]) == ""  # <s>, </s>, <eod> and <eop>


@pytest.mark.parametrize("name", NAMES)
def test_no_text_names_a_special_id(name):
    tokenizer = Tokenizer.load(model(name))
    special = set(range({"albert": 5, "xlnet": 9}[name])) - {tokenizer.unknown}
    names = tokenizer.pieces(sorted(special))
    for text in (*names, "".join(names), " ".join(names), f"a{names[0]}b", "＜pad＞ ＜cls＞ ［MASK］ <eop>"):
        assert special.isdisjoint(tokenizer.encode(text)), text


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_with_a_model_loads_and_settings_beside_it_count(name, tmp_path):
    shutil.copy(model(name), tmp_path / "spiece.model")
    assert Tokenizer.load(tmp_path) == Tokenizer.load(model(name))
    for lowercase in (True, False):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
        assert Tokenizer.load(tmp_path) == Tokenizer(read_sentencepiece(model(name), lowercase=lowercase))
    keeps = {"do_lower_case": LOWERCASE[name], "keep_accents": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(keeps))
    kept = Tokenizer.load(tmp_path)
    assert kept.encode("fén") != kept.encode("fen")
    assert Tokenizer.load(model(name)).encode("fén") == kept.encode("fen")
    kept.save(tmp_path / "tokenizer.json")
    (tmp_path / "spiece.model").write_bytes(b"")
    assert Tokenizer.load(tmp_path) == kept


@pytest.mark.parametrize("name", NAMES)
def test_what_was_saved_loads_as_the_same(name, tmp_path):
    tokenizer = Tokenizer.load(model(name))
    tokenizer.save(tmp_path / "tokenizer.json")
    for copy in (Tokenizer.load(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        assert copy == tokenizer
        assert copy.encode_batch(WANTED["texts"]) == WANTED[name]


def test_pieces_which_begin_a_word_are_known():
    tokenizer = Tokenizer.load(model("albert"))
    ids = tokenizer.encode("the bridges, built")
    shown = [tokenizer.pieces([id])[0] for id in ids]
    assert [tokenizer.begins_word[id] for id in ids] == [
        shown[n] in ("␣", "bridge", ",", "built") for n in range(len(ids))
    ]


@pytest.mark.parametrize(
    ("name", "framed", "segments"),
    [
        ("albert", "[CLS] {a} [SEP] {b} [SEP]", [0, 1]),
        ("xlnet", "{a} <sep> {b} <sep> <cls>", [0, 1, 2]),
    ],
)
def test_transformers_frames_the_saved_file_as_we_do(name, framed, segments, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer.load(model(name))
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    framing = tokenizer.framing(is_last=name == "xlnet")
    first, second = WANTED["texts"][:2]
    for texts in ((first,), (first, second)):
        found = theirs(*texts, return_token_type_ids=True)
        assert (found["input_ids"], found["token_type_ids"]) == framing.frame(*map(tokenizer.encode, texts))
    found = theirs(first, second, return_token_type_ids=True)
    tokens = [" ".join(theirs.convert_ids_to_tokens(tokenizer.encode(text))) for text in (first, second)]
    wanted = framed.format(a=tokens[0], b=tokens[1])
    assert " ".join(theirs.convert_ids_to_tokens(found["input_ids"])) == wanted
    assert sorted(set(found["token_type_ids"])) == segments


@pytest.mark.parametrize(("name", "kind"), [("albert", "AlbertTokenizer"), ("xlnet", "XLNetTokenizer")])
def test_transformers_own_class_reads_the_saved_file(name, kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer.load(model(name))
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = getattr(transformers, kind).from_pretrained(tmp_path)
    for text in ("The old bridge (of 1904) was built near the River,", "in 1931, 37,000 painted 11,003"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)


# What Transformers does otherwise where it makes a tokenizer of a model itself: it cuts the pieces which were given,
# and not learnt, out of the text before all else, and leaves numbers their commas.
APART = re.compile(r'[()"\-.–£€]|``|\'\'|\d,')


@pytest.mark.data
def test_alberts_published_model_cuts_as_transformers_does(data, tmp_path):
    transformers = pytest.importorskip("transformers")
    shutil.copy(data / "vocab" / "albert_v1v2_spiece.model", tmp_path / "spiece.model")
    theirs = transformers.AlbertTokenizerFast.from_pretrained(tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    texts = [APART.sub(" ", line).replace("<unk>", "") for line in lines(data)]
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert theirs(text, add_special_tokens=False)["input_ids"] == ids
    first, second = texts[3], texts[10]
    found = theirs(first, second, return_token_type_ids=True)
    framed = tokenizer.framing(is_last=False).frame(tokenizer.encode(first), tokenizer.encode(second))
    assert (found["input_ids"], found["token_type_ids"]) == framed


@pytest.fixture(scope="module")
def albert(data):
    """ALBERT's published model, read by SentencePiece and by us."""
    package = pytest.importorskip("sentencepiece")
    path = data / "vocab" / "albert_v1v2_spiece.model"
    return package.SentencePieceProcessor(model_file=str(path)), Tokenizer.load(path)


@pytest.mark.data
def test_alberts_published_model_is_saved_as_it_is(albert, tmp_path):
    _, tokenizer = albert
    tokenizer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path) == tokenizer


@pytest.mark.data
def test_alberts_published_model_cuts_as_its_authors_do(data, albert):
    processor, tokenizer = albert
    texts = [line for line in lines(data) if not any(_is_left(letter) for letter in line)]
    texts.append("There are 2.666 million, and 0.33333333 of them")  # where several cuts are as likely
    assert len(texts) > 1000
    assert (tokenizer.size, tokenizer.pad, tokenizer.unknown, tokenizer.mask) == (30000, 0, 1, 4)
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert ids == authors.ids(processor, text, True)


def _is_left(letter: str) -> bool:
    """Whether the authors keep a character which goes here: a mark of class 0, or what only Python calls a space."""
    is_mark = unicodedata.category(letter)[0] == "M" and not unicodedata.combining(letter)
    return is_mark or letter in "\v\f\x1c\x1d\x1e\x1f\x85"


LETTERS = some.one_of(
    some.characters(max_codepoint=0x24F),
    some.characters(min_codepoint=0x300, max_codepoint=0x4FF),
    some.characters(min_codepoint=0x1E00, max_codepoint=0x2BFF),
    some.characters(min_codepoint=0x3000, max_codepoint=0x9FFF),
    some.characters(min_codepoint=0xFF00, max_codepoint=0xFFEF),
    some.characters(min_codepoint=0x1F300, max_codepoint=0x1F6FF),
).filter(lambda letter: not _is_left(letter) and letter != "▁" and unicodedata.category(letter) != "Cn")
WORDS = some.sampled_from(["the ", "ing ", "<pad>", "[CLS]", "<unk>", " ", "``", "''", "(", ". ", "1990, ", "-"])


@pytest.mark.data
@settings(deadline=None)
@given(some.lists(some.one_of(LETTERS, WORDS), max_size=12).map("".join))
def test_awkward_text_is_cut_as_the_authors_do(albert, text):
    processor, tokenizer = albert
    found, wanted = tokenizer.encode(text), authors.ids(processor, text, True)
    if sorted(found) == sorted(wanted):  # which of equally likely cuts it takes depends on its rounding to float32
        assert "".join(map(processor.id_to_piece, found)) == "".join(map(processor.id_to_piece, wanted))
    else:
        assert found == wanted


def _message(**numbers: bytes) -> bytes:
    """Fields of bytes, by number."""
    found = b""
    for number, value in numbers.items():
        found += bytes([int(number[1:]) << 3 | 2, len(value)]) + value
    return found


def _piece(text: str, kind: int = 1, score: bytes = b"\0\0\x80\xbf") -> bytes:
    """A piece as a field of a model."""
    return _message(_1=_message(_1=text.encode()) + b"\x15" + score + bytes([0x18, kind]))


SPECIAL = [_piece("<pad>", 3), _piece("<unk>", 2), *(_piece(name, 3) for name in ("[CLS]", "[SEP]", "[MASK]"))]


def test_the_smallest_model(tmp_path):
    """By hand: a cheaper whole before dearer parts, and what is unknown."""
    pieces = [
        _piece("▁a", score=b"\0\0\x80\xbf"),
        _piece("b", score=b"\0\0\x80\xbf"),
        _piece("▁ab", score=b"\0\0\0\xbf"),
    ]
    (tmp_path / "spiece.model").write_bytes(b"".join(SPECIAL + pieces))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("ab a Ab b") == [7, 5, 7, 1, 6]
    assert tokenizer.size == 8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must have one piece for what is unknown"),
        (b"".join(SPECIAL[:4]) + _piece("a"), r"special pieces are neither ALBERT's \(.*they are <pad>, <unk>, "),
        (b"".join(SPECIAL) + _piece("a") * 2, "a piece is there twice"),
        (b"".join(SPECIAL) + _piece("<u>", 2), "must have one piece for what is unknown"),
        (b"".join(SPECIAL) + _piece(""), "the piece '' has the score -1.0"),
        (b"".join(SPECIAL) + _piece("a", score=b"\0\0\xc0\x7f"), "the piece 'a' has the score nan"),
        (b"".join(SPECIAL) + _piece("a", 6), "the piece 'a' is of type 6"),
        (b"".join(SPECIAL) + _message(_2=b"\x18\2"), "its model_type is 2, and only 1 is read"),
        (b"".join(SPECIAL) + _message(_3=b"\x18\0"), "its add_dummy_prefix is 0, and only 1 is read"),
        (b"".join(SPECIAL) + _message(_3=_message(_2=b"\4\0\0\0\0\0\0\0\0")), "points outside of itself"),
        (b"".join(SPECIAL) + _message(_3=_message(_2=b"\x08\0\0\0\0\0\0\0\0")), "table of characters is cut short"),
        (b"\xff", "does not end"),
    ],
)
def test_what_is_no_such_model_is_an_error_which_names_the_file(tmp_path, data, message):
    (tmp_path / "spiece.model").write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(tmp_path / "spiece.model") in str(caught.value)


def test_no_model_is_an_error_which_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no SentencePiece model at .*other\.model"):
        Tokenizer.load(tmp_path / "other.model")


@pytest.mark.parametrize("said", ["[]", "{", '{"do_lower_case": 1}', '{"do_basic_tokenize": false}'])
def test_settings_which_cannot_be_followed_are_an_error(tmp_path, said):
    shutil.copy(model("albert"), tmp_path / "spiece.model")
    (tmp_path / "tokenizer_config.json").write_text(said)
    with pytest.raises(ValueError, match=r"tokenizer_config\.json"):
        Tokenizer.load(tmp_path)


def survives(path: Path, data: bytes) -> str:
    """Whether a spoilt model is a ValueError, or a tokenizer which can be used."""
    path.write_bytes(data)
    try:
        tokenizer = Tokenizer.load(path)
    except ValueError as error:
        return str(error)
    tokenizer.encode_batch([*WANTED["texts"], "".join(map(chr, range(1, 700)))])
    return ""


def test_a_spoilt_model_is_an_error_or_a_tokenizer_but_never_the_end_of_the_process(tmp_path):
    whole, generator = model("albert").read_bytes(), random.Random(0)
    [table] = [part.data for field in fields(whole) if field.number == 3 for part in field.fields if part.number == 2]
    start = whole.index(bytes(table))
    found = [survives(tmp_path / "a.model", whole[:length]) for length in range(0, len(whole), 7)]
    for _ in range(400):
        spoilt = bytearray(whole)
        first, length = generator.choice([(0, len(whole)), (start, len(table))])
        for _ in range(generator.randint(1, 3)):
            spoilt[first + generator.randrange(length)] ^= 1 << generator.randrange(8)
        found.append(survives(tmp_path / "a.model", bytes(spoilt)))
    assert any("points outside of itself" in error for error in found)
    assert all("a.model" in error for error in found if error)
    assert "" in found


def test_the_model_files_are_read_without_the_package():
    """The library's tokenizer is all that is made of them."""
    assert isinstance(read_sentencepiece(model("xlnet")), tokenizers.Tokenizer)

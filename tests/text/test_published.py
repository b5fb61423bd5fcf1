"""The tokenizers which OpenAI published, beside Hugging Face's readings of the same files."""

import json
import pickle
import re
from functools import cache

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Library

from regard.text.tokenizer import Tokenizer

AWKWARD = [
    "",
    " ",
    "Hello world",
    "don't I'LL we've 'tis o'clock 's",
    "  runs   of    spaces  ",
    "\n\n\tdef f(x):\r\n  return\u00a0x \n",
    "control \x00\x07\x1b\x7f\x85 \u200b\u200d\ufeff\u2028",
    "emoji 😀👩‍👩‍👧🇩🇪!",
    "中文字符，標點。 ไทย ก็",
    "caf\u00e9 cafe\u0301 \ufffd ½ x² 12345 3.5%",
    "<|endoftext|> a<|endoftext|>b <unk> </w> <pad>",
]
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = {
    "gpt2": [("h", "e"), ("Ġ", "he"), ("Ġhe", "r"), ("Ð", "¿"), ("Ċ", "Ċ"), ("Ġ", "Ġ")],
    "gpt": [("t", "h"), ("th", "e</w>"), ("a", "t</w>"), ("c", "at</w>")],
}
VOCABULARY = {
    "gpt2": [*LETTERS, *map("".join, MERGES["gpt2"]), "<|endoftext|>"],
    "gpt": ["<unk>", *"theca.", *(f"{letter}</w>" for letter in "theca."), *map("".join, MERGES["gpt"])],
}
NAMES = [
    ("gpt2", "encoder.json", "vocab.bpe"),
    ("gpt2", "vocab.json", "merges.txt"),
    ("gpt", "encoder_bpe_40000.json", "vocab_40000.bpe"),
    ("gpt", "vocab.json", "merges.txt"),
]


def pair(name, folder, vocabulary="vocab.json", merges="merges.txt"):
    """A small vocabulary of the published form, in its two files."""
    folder.mkdir(exist_ok=True)
    ids = {token: id for id, token in enumerate(VOCABULARY[name])}
    (folder / vocabulary).write_text(json.dumps(ids), encoding="utf-8")
    lines = ["#version: 0.2", *map(" ".join, MERGES[name]), ""]
    (folder / merges).write_text("\n".join(lines), encoding="utf-8")
    return folder / vocabulary, folder / merges


@pytest.fixture(params=MERGES)
def small(request, tmp_path):
    """A small tokenizer of each form."""
    return Tokenizer.from_files(*pair(request.param, tmp_path / request.param))


def test_bytes_are_merged_in_the_order_of_the_file(tmp_path):
    tokenizer = Tokenizer.from_files(*pair("gpt2", tmp_path))
    assert tokenizer.pieces(tokenizer.encode("he her he   \n\n")) == ["he", "her", "he", "␣␣", "␣", "⏎⏎"]
    assert tokenizer.encode("he her") == [256, 258]
    assert (tokenizer.end, tokenizer.size) == (262, 263)


def test_words_end_with_a_mark_and_are_lower_case(tmp_path):
    tokenizer = Tokenizer.from_files(*pair("gpt", tmp_path))
    ids = tokenizer.encode("The Cat. that x")
    assert tokenizer.pieces(ids) == ["the", "cat", ".", "th", "·at", "<unk>"]
    assert tokenizer.decode(ids) == "the cat . that"
    assert tokenizer.decode(ids, keeps_unknown=True) == "the cat . that <unk>"


def test_a_text_cannot_name_an_end(tmp_path):
    tokenizer = Tokenizer.from_files(*pair("gpt2", tmp_path))
    assert tokenizer.end not in tokenizer.encode("he<|endoftext|>he")
    assert tokenizer.decode(tokenizer.encode("he<|endoftext|>he")) == "he<|endoftext|>he"
    assert tokenizer.pieces([tokenizer.end]) == ["<|endoftext|>"]


def test_special_ids_are_not_decoded(small):
    ids = small.encode("the cat")
    special = small.end if small.has_end else small.unknown
    assert small.decode([special, *ids, special]) == "the cat"


def test_a_language_models_tokenizer_gets_the_special_tokens_of_tasks_behind_all_others(small, tmp_path):
    tasks = small.for_tasks()
    start, delimiter, extract = range(small.size, small.size + 3)
    assert tasks.size == small.size + 3
    assert tasks.pieces([start, delimiter, extract]) == ["_start_", "_delimiter_", "_classify_"]
    tasks.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path)
    assert again.for_tasks() is again
    framing = again.framing(is_last=True)
    assert framing.frame([7, 8]) == ([start, 7, 8, extract], [0, 0, 0, 2])
    assert framing.frame([7, 8], [9]) == ([start, 7, 8, delimiter, 9, extract], [0, 0, 0, 0, 1, 2])
    assert (framing.added(1), framing.added(2)) == (2, 3)
    assert again.decode(framing.frame(small.encode("the cat"))[0]) == "the cat"
    assert again.encode("the_start_cat") == small.encode("the_start_cat")  # no text can name them
    with pytest.raises(ValueError, match="has no summary token"):
        small.framing(is_last=True)


def test_the_first_id_of_gpt2_is_text(tmp_path):
    tokenizer = Tokenizer.from_files(*pair("gpt2", tmp_path))
    assert tokenizer.decode([0, 1, 2]) == '!"#'


def test_a_special_token_which_is_not_there_is_an_error(tmp_path):
    gpt, gpt2 = (Tokenizer.from_files(*pair(name, tmp_path / name)) for name in ("gpt", "gpt2"))
    assert (gpt.has_end, gpt2.has_end) == (False, True)
    for tokenizer, name in ((gpt, "end"), (gpt, "pad"), (gpt2, "pad"), (gpt2, "unknown")):
        with pytest.raises(ValueError, match=f"has no {name} token"):
            getattr(tokenizer, name)


@pytest.mark.parametrize("names", NAMES)
def test_a_folder_with_a_published_pair_loads(tmp_path, names):
    tokenizer = Tokenizer.from_files(*pair(*(names[0], tmp_path, *names[1:])))
    assert Tokenizer.load(tmp_path) == tokenizer


def test_a_tokenizer_json_is_taken_before_a_pair(tmp_path):
    Tokenizer.from_files(*pair("gpt", tmp_path / "other")).save(tmp_path / "tokenizer.json")
    pair("gpt2", tmp_path)
    assert not Tokenizer.load(tmp_path).has_end


def test_what_was_saved_loads_as_the_same(small, tmp_path):
    small.save(tmp_path / "tokenizer.json")
    for copy in (Tokenizer.load(tmp_path), pickle.loads(pickle.dumps(small))):
        assert copy == small
        assert copy.fingerprint == small.fingerprint
        assert copy.encode_batch(AWKWARD) == small.encode_batch(AWKWARD)


def test_an_end_which_a_file_does_not_call_special_is_special_all_the_same(tmp_path):
    ids = {token: id for id, token in enumerate(VOCABULARY["gpt2"])}
    library = Library(models.BPE(ids, MERGES["gpt2"]))
    library.pre_tokenizer, library.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    library.add_tokens([AddedToken("<|endoftext|>", special=False)])
    assert library.encode("<|endoftext|>").ids == [262]
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert 262 not in tokenizer.encode("<|endoftext|>")
    assert tokenizer.decode([256, 262]) == "he"


def _cut(path):
    """Lose the end of a file."""
    path.write_bytes(path.read_bytes()[:-40])


def _alien(path):
    """Merges of the other form."""
    path.write_text("#version: 0.2\nt h\nth e</w>\n", encoding="utf-8")


def _clip(path):
    """A vocabulary of both forms at once, as CLIP's is."""
    ids = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|endoftext|>"]
    path.write_text(json.dumps({token: id for id, token in enumerate(ids)}), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("vocab.json", _cut, "cut short"),
        ("vocab.json", lambda path: path.write_bytes(b"\xff\xfe"), "is no vocabulary"),
        ("vocab.json", lambda path: path.write_text("[1, 2]"), "without gaps"),
        ("vocab.json", lambda path: path.write_text('{"a": 0, "b": 2}'), "without gaps"),
        ("vocab.json", lambda path: path.write_text('{"a": 0, "b": "1"}'), "without gaps"),
        ("vocab.json", lambda path: path.write_text('{"a": 0, "<|endoftext|>": 1}'), "is neither GPT-2's vocabulary"),
        ("vocab.json", _clip, "is neither GPT-2's vocabulary"),
        ("merges.txt", lambda path: path.write_bytes(b"\xff\xfe"), "is no list of merges"),
        ("merges.txt", lambda path: path.write_text("h e\nh e r\n"), "merges.txt:2: a merge must be two tokens"),
        ("merges.txt", lambda path: path.write_text("#version: 0.2\nh e\n"), "does not belong to .*vocab.json"),
        ("merges.txt", _alien, "does not belong to .*vocab.json"),
    ],
)
def test_a_spoilt_file_is_named(tmp_path, file, spoil, message):
    pair("gpt2", tmp_path)
    spoil(tmp_path / file)
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(tmp_path / file) in str(caught.value)


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("names", NAMES)
def test_a_missing_partner_is_named(tmp_path, names, missing):
    pair(*(names[0], tmp_path, *names[1:]))[missing].unlink()
    with pytest.raises(FileNotFoundError, match=f"its partner {re.escape(names[1 + missing])}"):
        Tokenizer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=re.escape(names[1 + missing])):
        Tokenizer.from_files(tmp_path / names[1], tmp_path / names[2])


FILES = {
    "gpt2": ("gpt2_encoder.json", "gpt2_vocab.bpe"),
    "gpt": ("gpt1_encoder_bpe_40000.json", "gpt1_vocab_40000.bpe"),
}


@cache
def published(folder, name):
    """The published tokenizer."""
    return Tokenizer.from_files(*(folder / file for file in FILES[name]))


@cache
def peer(folder, name):
    """Hugging Face's of the same files."""
    transformers = pytest.importorskip("transformers")
    vocabulary, merges = (str(folder / file) for file in FILES[name])
    made = {"gpt2": transformers.GPT2Tokenizer, "gpt": transformers.OpenAIGPTTokenizer}[name]
    return made(vocab=vocabulary, merges=merges)


@pytest.mark.data
def test_gpt2_is_the_published_one(data):
    tokenizer = published(data / "vocab", "gpt2")
    assert tokenizer.encode("Hello world") == [15496, 995]  # of Transformers' documentation
    assert tokenizer.encode(" Hello world") == [18435, 995]
    assert (tokenizer.size, tokenizer.end) == (50257, 50256)
    assert tokenizer.decode_batch(tokenizer.encode_batch(AWKWARD)) == AWKWARD
    assert tokenizer.end not in tokenizer.encode("<|endoftext|>")


@pytest.mark.data
def test_gpt_is_the_published_one(data):
    tokenizer = published(data / "vocab", "gpt")
    ids = json.loads((data / "vocab" / FILES["gpt"][0]).read_text(encoding="utf-8"))
    assert tokenizer.encode("Hello, world!") == [ids[f"{word}</w>"] for word in ("hello", ",", "world", "!")]
    assert (tokenizer.size, tokenizer.unknown) == (40478, 0)
    assert tokenizer.encode("中") == [tokenizer.unknown]


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_ids_and_texts_are_hugging_faces(data, name):
    ours, theirs = published(data / "vocab", name), peer(data / "vocab", name)
    for text, ids in zip(AWKWARD, ours.encode_batch(AWKWARD), strict=True):
        assert ids == ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_the_saved_file_is_one_which_transformers_reads_alike(data, name, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = published(data / "vocab", name)
    ours.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in AWKWARD[:-1]:  # the last names special tokens, which theirs reads as such
        assert theirs.encode(text) == ours.encode(text)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_a_directory_of_transformers_loads(data, name, tmp_path):
    peer(data / "vocab", name).save_pretrained(tmp_path)
    loaded, ours = Tokenizer.load(tmp_path), published(data / "vocab", name)
    assert loaded.encode_batch(AWKWARD) == ours.encode_batch(AWKWARD)
    assert loaded.has_end == ours.has_end

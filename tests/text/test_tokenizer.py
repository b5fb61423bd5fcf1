"""Text to ids and back."""

import json
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from functools import cache
from itertools import chain, repeat

import pytest
import tokenizers
from hypothesis import assume, given
from hypothesis import strategies as some

from regard.text.kinds import COUNTED, KINDS, VERBATIM
from regard.text.tokenizer import Tokenizer

TEXT = [
    "Zwei junge weiße Männer sind im Freien.",
    'Er sagte: "Das Haus-Boot (alt) ist schön!"',
    "A man's hat, 12 dogs; 3.5 cats...",
    "Das „Hook ’em Horns“-Zeichen",
] * 3


def trained(kind, lines=TEXT, **options):
    """A small tokenizer."""
    return Tokenizer.train(lines, kind=kind, vocabulary=None if kind in COUNTED else 300, **options)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    """One of each kind."""
    return trained(request.param)


def test_special_tokens_are_pad_end_and_unknown(tokenizer):
    assert (tokenizer.pad, tokenizer.end, tokenizer.unknown) == (0, 1, 2)
    assert tokenizer.pieces([0, 1, 2]) == ["<pad>", "</s>", "<unk>"]


def test_decoding_gives_back_the_text(tokenizer):
    assert tokenizer.decode_batch(tokenizer.encode_batch(TEXT)) == TEXT


def test_a_batch_is_encoded_as_its_texts_are(tokenizer):
    assert tokenizer.encode_batch(TEXT) == [tokenizer.encode(text) for text in TEXT]


def test_an_end_is_not_added(tokenizer):
    assert tokenizer.encode("") == []
    assert tokenizer.end not in tokenizer.encode(TEXT[0])


def test_the_names_of_special_tokens_in_a_text_are_text(tokenizer):
    ids = tokenizer.encode("Das </s> Haus <pad> <unk>")
    assert tokenizer.end not in ids
    assert tokenizer.pad not in ids


def test_what_was_saved_loads_as_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    for loaded in (Tokenizer.load(tmp_path), Tokenizer.load(tmp_path / "tokenizer.json")):
        assert loaded == tokenizer
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.encode_batch(TEXT) == tokenizer.encode_batch(TEXT)
        assert tokenizer.end not in loaded.encode("</s>")


def test_the_file_is_one_which_hugging_face_reads_alike(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXT:
        assert theirs.encode(text).ids == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text


def test_it_can_be_pickled(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy == tokenizer
    assert tokenizer.end not in copy.encode("</s>")


def test_an_id_outside_the_vocabulary_is_an_error(tokenizer):
    for wrong in (-1, tokenizer.size):
        with pytest.raises(ValueError, match=f"from 0 to {tokenizer.size - 1}, got {wrong}"):
            tokenizer.decode([wrong])


def test_special_ids_are_not_decoded(tokenizer):
    ids = tokenizer.encode(TEXT[0])
    assert tokenizer.decode([*ids, 1, 0, 0]) == TEXT[0]


def test_pieces_have_one_for_each_id(tokenizer):
    for text in TEXT:
        pieces = tokenizer.pieces(tokenizer.encode(text))
        assert len(pieces) == len(tokenizer.encode(text))
        assert all(pieces)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in VERBATIM])
def test_accents_written_in_two_characters_are_composed(kind):
    tokenizer = trained(kind)
    decomposed = unicodedata.normalize("NFD", TEXT[0])
    assert decomposed != TEXT[0]
    assert tokenizer.encode(decomposed) == tokenizer.encode(TEXT[0])


@pytest.mark.parametrize("kind", VERBATIM)
def test_accents_written_in_two_characters_stay_so_in_kinds_which_give_back_what_came(kind):
    decomposed = unicodedata.normalize("NFD", TEXT[0])
    tokenizer = trained(kind, [*TEXT, decomposed])
    assert tokenizer.decode(tokenizer.encode(decomposed)) == decomposed
    assert tokenizer.decode(tokenizer.encode(TEXT[0])) == TEXT[0]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "words"])
def test_punctuation_is_a_piece_of_its_own(kind):
    tokenizer = trained(kind)
    assert tokenizer.pieces(tokenizer.encode("Freien."))[-1] == "."
    assert tokenizer.encode("Freien")[:1] == tokenizer.encode("Freien.")[:1]


def test_a_word_is_the_same_token_whatever_touches_it():
    tokenizer = trained("words", ['"Haus" Haus (Haus) Haus-Haus'])
    assert tokenizer.pieces(tokenizer.encode('("Haus"-Haus)')).count("Haus") == 2
    assert len({id for id in tokenizer.encode('"Haus" Haus (Haus)') if tokenizer.pieces([id]) == ["Haus"]}) == 1


def test_an_unseen_word_is_unknown_and_shown_where_asked_for():
    tokenizer = trained("words")
    ids = tokenizer.encode("Zwei Elefanten sind im Freien.")
    assert ids.count(tokenizer.unknown) == 1
    assert tokenizer.decode(ids) == "Zwei sind im Freien."
    assert tokenizer.decode(ids, keeps_unknown=True) == "Zwei <unk> sind im Freien."


def test_pieces_which_go_on_with_a_word_are_marked():
    tokenizer = Tokenizer.train(["ab", "b", '"'], kind="bpe", vocabulary=8)  # 4 characters and "▁b" or "▁a"
    pieces = tokenizer.pieces(tokenizer.encode('bbb"b b b1'))
    assert [piece for piece in pieces if piece != "␣"] == ["b", "·b", "·b", '"', "b", "b", "b", "<unk>"]


def test_characters_show_their_spaces():
    tokenizer = trained("characters")
    assert tokenizer.pieces(tokenizer.encode("im Fr")) == ["i", "m", "␣", "F", "r"]


@given(text=some.text(max_size=40))
def test_characters_come_back_exactly(text):
    text = unicodedata.normalize("NFC", text)
    tokenizer = Tokenizer.train([text + "x"], kind="characters")
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text)


LINES = "  def f(x):\n\treturn   x\n\n  \r\n# end  \n "


@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_lines_come_back_with_all_their_spaces(kind):
    tokenizer = trained(kind, [LINES])
    assert tokenizer.decode(tokenizer.encode(LINES)) == LINES


def test_a_line_break_is_a_character():
    tokenizer = trained("characters", [LINES])
    assert tokenizer.pieces(tokenizer.encode("x\n\n  d\t")) == ["x", "⏎", "⏎", "␣", "␣", "d", "⇥"]


@cache
def of_bytes():
    """A byte-level tokenizer which has learnt some merges, within characters too."""
    return Tokenizer.train([*TEXT, "中文字 ไทย 😀😁 <|endoftext|> </s> don't"] * 2, kind="bytes", vocabulary=400)


@given(text=some.text(max_size=60) | some.text("de \n\u0301😀中ไ<|/s>'", max_size=60))
def test_bytes_give_back_any_text(text):
    assert of_bytes().decode(of_bytes().encode(text)) == text
    assert all(id > 2 for id in of_bytes().encode(text))


def test_bytes_may_have_no_merges_at_all():
    tokenizer = Tokenizer.train(["ab ab"], kind="bytes", vocabulary=259)
    assert len(tokenizer.encode("ab 中")) == 6
    assert tokenizer.size == 259


def test_bytes_are_not_merged_across_words_numbers_and_contractions():
    tokenizer = Tokenizer.train(["I'll see 12 dogs, don't  I\n"] * 9, kind="bytes", vocabulary=300)
    shown = tokenizer.pieces(tokenizer.encode("I'll see 12 dogs, don't  I\n"))
    assert shown == ["I", "'ll", "see", "12", "dogs", ",", "don", "'t", "␣", "I", "⏎"]  # the GPT-2 pattern, by hand


def test_pieces_show_bytes_which_are_no_character():
    tokenizer = Tokenizer.train(["x"], kind="bytes", vocabulary=259)
    assert tokenizer.pieces(tokenizer.encode("ä b1")) == ["<0xC3>", "<0xA4>", "␣", "b", "·1"]


def test_what_white_space_divides_is_a_word():
    tokenizer = Tokenizer.train([" = Valkyria 's @-@ <unk> = \n a.b\u3000c "], kind="whitespace")
    text = "\u00a0c  = a.b\t's\n@-@"
    assert tokenizer.pieces(tokenizer.encode(text)) == ["c", "=", "a.b", "'s", "@-@"]
    assert tokenizer.decode(tokenizer.encode(text)) == "c = a.b 's @-@"


def test_the_unknown_word_of_a_tokenised_text_is_the_unknown_id():
    tokenizer = Tokenizer.train(["a <unk> <unk> b <unk>"], kind="whitespace")
    assert tokenizer.size == 5
    ids = tokenizer.encode("a <unk> b")
    assert ids[1] == tokenizer.encode("never")[0] == tokenizer.unknown
    assert tokenizer.decode(ids, keeps_unknown=True) == "a <unk> b"


@given(words=some.lists(some.sampled_from(["</s>", "<pad>", "\\</s>", "\\\\<pad>", "x</s>", "</s>x", "\\", "a", " "])))
def test_names_of_special_tokens_are_words_like_others(words):
    text = " ".join(words)
    tokenizer = Tokenizer.train([text, "a"], kind="whitespace")
    ids = tokenizer.encode(text)
    assert all(id > 2 for id in ids)
    assert tokenizer.decode(ids) == " ".join(text.split())
    assert len(set(ids)) == len(set(text.split()))


@pytest.mark.parametrize("vocabulary", [5, 6, 7, 8, None])
def test_the_vocabulary_of_tokenised_text_holds_the_most_frequent_words(vocabulary):
    tokenizer = Tokenizer.train(["d a c b a <unk> <unk> <unk>", "b a"], kind="whitespace", vocabulary=vocabulary)
    assert tokenizer.size == min(vocabulary or 7, 7)
    assert tokenizer.encode("a b c d") == [id if id < tokenizer.size else 2 for id in (3, 4, 5, 6)]


def test_lowercase_does_not_smuggle_in_an_end():
    tokenizer = Tokenizer.train(["A </S> b"], kind="whitespace", lowercase=True)
    assert tokenizer.decode(tokenizer.encode("A </S> B")) == "a </s> b"
    assert tokenizer.end not in tokenizer.encode("</S>")


ALPHABET = "abcäßçñ ,.!?-'\"()„“’«»/%$&#@+*=_0123中文ไทย\u0301\u202f\u2028\t"


@cache
def of_alphabet(kind):
    """A tokenizer which knows every character of the alphabet."""
    return Tokenizer.train([ALPHABET, *ALPHABET], kind=kind, vocabulary=300)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@given(text=some.text(ALPHABET, max_size=40))
def test_pieces_come_back_exactly(kind, text):
    text = unicodedata.normalize("NFC", text.strip())
    assume(set(text) <= set(unicodedata.normalize("NFC", ALPHABET)))
    tokenizer = of_alphabet(kind)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=some.text(ALPHABET, max_size=40))
def test_words_come_back_but_for_runs_of_spaces(text):
    text = " ".join(unicodedata.normalize("NFC", text).split())
    tokenizer = Tokenizer.train([text + " x"], kind="words")
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_are_kept_by_count():
    tokenizer = Tokenizer.train(["a a a b b c"], kind="words", vocabulary=5)
    assert [tokenizer.unknown == id for id in tokenizer.encode("a b c")] == [False, False, True]


def test_words_seen_less_often_than_the_minimum_are_unknown():
    tokenizer = Tokenizer.train(["a a a b b c"], kind="words", minimum=2)
    assert tokenizer.decode(tokenizer.encode("a b c")) == "a b"


def test_lowercase_is_asked_for():
    assert trained("words", lowercase=True).decode(trained("words", lowercase=True).encode("ZWEI")) == "zwei"


def test_training_reads_an_iterator_of_any_length():
    lines = chain.from_iterable(repeat(TEXT, 2000))
    assert Tokenizer.train(lines, kind="bpe", vocabulary=100).size == 100


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unigram"])
def test_training_twice_gives_the_same(kind):
    assert trained(kind) == trained(kind)


def test_an_error_of_the_text_is_the_error_of_the_training():
    def lines():
        yield "a"
        raise ValueError("train.de:2: not UTF-8")

    with pytest.raises(ValueError, match=r"train\.de:2"):
        Tokenizer.train(lines(), kind="bpe", vocabulary=100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "wordpeice", "vocabulary": 9}, "'wordpeice'; did you mean 'wordpiece'"),
        ({"kind": "bpe"}, "vocabulary must be given for kind 'bpe'"),
        ({"kind": "bpe", "vocabulary": 3}, "3 special tokens, got 3"),
        ({"kind": "bpe", "vocabulary": 10}, "vocabulary=10 cannot hold the [0-9]+ characters"),
        ({"kind": "bytes", "vocabulary": 258}, "259 or more for kind 'bytes'.* got 258"),
        ({"kind": "bpe", "vocabulary": 100, "minimum": 0}, "minimum must be 1 or more, got 0"),
        ({"kind": "unigram", "vocabulary": 100, "minimum": 2}, "use 1"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer.train(TEXT, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_an_error(kind):
    with pytest.raises(ValueError, match="nothing to train"):
        trained(kind, [])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "tokenizer.json"))):
        Tokenizer.load(tmp_path / "tokenizer.json")


def _json(special):
    """A tokenizer file whose first words are these."""
    model = tokenizers.models.WordLevel({name: id for id, name in enumerate([*special, "a"])}, unk_token="a")
    return tokenizers.Tokenizer(model).to_str()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "is not a tokenizer"),
        (_json(["<pad>", "</s>", "<unk>"])[:-40], "is not a tokenizer"),
        (json.dumps({"steps": 3}), "is not a tokenizer"),
        (_json(["<pad>", "<unk>"]), "</s>: missing, <unk>: 1"),
        (_json(["<s>", "<pad>", "</s>", "<unk>"]), "got <pad>: 1, </s>: 2, <unk>: 3"),
    ],
)
def test_a_file_which_is_no_tokenizer_of_ours_is_named(tmp_path, contents, message):
    path = tmp_path / "tokenizer.json"
    path.write_text(contents)
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


def test_a_file_which_is_not_text_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not a tokenizer"):
        Tokenizer.load(path)


def _encoded(tokenizer, queue):
    """What a worker process does."""
    queue.put((tokenizer.encode_batch(TEXT * 50), os.environ["TOKENIZERS_PARALLELISM"]))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_it_works_in_a_worker_process(start):
    tokenizer = trained("bpe")
    expected = tokenizer.encode_batch(TEXT * 50)
    context = multiprocessing.get_context(start)
    queue = context.SimpleQueue()
    worker = context.Process(target=_encoded, args=(tokenizer, queue))
    worker.start()
    encoded, parallel = queue.get()
    worker.join(30)
    assert encoded == expected
    assert worker.exitcode == 0
    assert parallel == ("false" if start == "fork" else "true")


def test_a_fork_after_use_is_not_warned_of():
    program = """
import os
from regard.text.tokenizer import Tokenizer
tokenizer = Tokenizer.train(["a b c"] * 500, kind="words")
tokenizer.encode_batch(["a b"] * 500)
if os.fork() == 0:
    tokenizer.encode_batch(["a b"] * 500)
    os._exit(0)
os.wait()
"""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        program,
    ]  # Python 3.12 warns of every such fork
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.data
@pytest.mark.parametrize(
    "kind", ["bpe", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "bpe")]
)
def test_every_line_of_multi30k_comes_back(data, kind):
    lines = [
        line
        for name in ("train.de", "train.en", "val.de", "val.en", "test_2016_flickr.de", "test_2016_flickr.en")
        for line in (data / "multi30k" / name).read_bytes().decode("utf-8").split("\n")
    ]
    tokenizer = Tokenizer.train(lines, kind=kind, vocabulary=None if kind in COUNTED else 8000)
    if kind in ("words", "whitespace"):
        lines = [" ".join(line.split()) for line in lines]
    back = tokenizer.decode_batch(tokenizer.encode_batch(lines))
    assert [pair for pair in zip(lines, back, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.data
def test_wikitext_2_has_the_counts_of_the_literature(data):
    train, held_out = ((data / "wikitext-2" / f"wiki.{part}.tokens").read_text("utf-8") for part in ("train", "valid"))
    tokenizer = Tokenizer.train(train.split("\n"), kind="whitespace")
    # Merity et al. 2016, table 1; `<eos>` and `<unk>` are among its words, a pad is not
    assert tokenizer.size == 33_278 + 1
    assert len(tokenizer.encode(held_out)) + held_out.count("\n") == 217_646
    counts = Counter(train.split())
    ranked = [counts[word] for word in tokenizer.pieces(range(3, tokenizer.size))]
    assert ranked == sorted(ranked, reverse=True)

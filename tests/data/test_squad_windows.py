"""Windows on contexts, and the tokens of answers in them."""

import itertools
import re
import unicodedata

import numpy as np
import pytest
import tokenizers
from hypothesis import assume, example, given
from hypothesis import strategies as some
from tokenizers import decoders, models, normalizers, pre_tokenizers

from regard.data.squad import Answer, Question
from regard.data.squad_windows import CHUNK, SkippedQuestions, Window, all_windows, windows
from regard.text.framing import Framing
from regard.text.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, SUMMARY, SEPARATOR, MASK = range(5)


def word_pieces(pieces) -> Tokenizer:
    """BERT's uncased tokenizer, with these pieces."""
    vocabulary = {piece: id for id, piece in enumerate(dict.fromkeys([*SPECIAL, *pieces]))}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return Tokenizer(tokenizer)


def letters_of(text: str) -> list[str]:
    """Every letter of a text as a piece which begins a word, and as one which goes on with it."""
    stripped = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return [piece for letter in sorted(set(stripped)) for piece in (letter, f"##{letter}")]


def question(context, answer=None, start=None, *, text="who ?", **about) -> Question:
    """A question whose answer stands where the context has it first, unless said otherwise."""
    if answer is None:
        return Question("1", text, context, place="dev.json: here", **about)
    start = context.index(answer) if start is None else start
    return Question("1", text, context, (Answer(answer, start),), place="dev.json: here", **about)


def found_in(window: Window) -> tuple[int, int]:
    """From which character to which the target's tokens stand."""
    assert window.span is not None
    return window.characters(*window.span)


def answer_in(window: Window) -> str:
    """The text of the target's tokens."""
    start, end = found_in(window)
    return window.question.context[start:end]


def framings(tokenizer) -> list[Framing]:
    """BERT's and XLNet's."""
    return [tokenizer.framing(is_last=is_last) for is_last in (False, True)]


WORDS = ["the", "man", "went", "to", "store", "and", "bought", "a", "gallon", "of", "milk", "who", "?"]
STORE = "the man went to the store and bought a gallon of milk"  # the example in BERT's code
SMALL = word_pieces([*WORDS, "##s"])
BERT, XLNET = framings(SMALL)


def ids(text: str) -> list[int]:
    """Ids of words, one each."""
    return SMALL.encode(text)


def test_bert_reads_the_question_first():
    [window] = windows(question("The man", "man"), SMALL, BERT)
    assert window.ids.tolist() == [SUMMARY, *ids("who ?"), SEPARATOR, *ids("the man"), SEPARATOR]
    assert window.segments.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert (window.summary, window.first) == (0, 4)
    assert window.offsets.tolist() == [[0, 3], [4, 7]]
    assert window.span == (5, 5)
    assert window.text(4, 5) == "The man"
    assert not window.is_impossible


def test_xlnet_reads_the_context_first():
    [window] = windows(question("The man", "man"), SMALL, XLNET)
    assert window.ids.tolist() == [*ids("the man"), SEPARATOR, *ids("who ?"), SEPARATOR, SUMMARY]
    assert window.segments.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert (window.summary, window.first) == (6, 0)
    assert window.span == (1, 1)


@pytest.mark.parametrize("framing", [BERT, XLNET], ids=["bert", "xlnet"])
def test_an_impossible_question_points_at_the_summary(framing):
    [window] = windows(question("the man", is_impossible=True), SMALL, framing)
    assert window.span == (window.summary, window.summary)
    assert window.ids[window.summary] == SUMMARY
    assert window.is_impossible


def test_an_unlabelled_question_has_no_target():
    [window] = windows(question("the man", "man").without_answers(), SMALL, BERT)
    assert window.span is None
    assert not window.is_impossible


def test_windows_overlap_and_the_last_reaches_the_end():
    found = windows(question(STORE, "store"), SMALL, BERT, longest=10, stride=3)
    words = STORE.split()
    assert [window.text(window.first, len(window) - 2).split() for window in found] == [
        words[0:5],
        words[3:8],
        words[6:11],
        words[9:12],
    ]
    assert [len(window) for window in found] == [10, 10, 10, 8]


def test_a_word_is_judged_where_it_has_the_most_context():
    # of `the man went to the`, `to the store and bought` and `and bought a gallon of`, the last has 1 and 3 around
    # `bought`, the one before has 4 and 0
    found = windows(question(STORE, "store"), SMALL, BERT, longest=10, stride=3)
    bought = [window for window in found if "bought" in window.text(window.first, len(window) - 2)]
    judged = [
        window.has_most_context[window.ids[window.first : -1].tolist().index(*ids("bought"))] for window in bought
    ]
    assert judged == [False, True]


def most_context(parts: list[tuple[int, int]], position: int) -> int:
    """The part in which a position is to be judged, word for word as the paper's code defines it."""
    best, best_score = -1, None
    for number, (begin, end) in enumerate(parts):
        if begin <= position < end:
            score = min(position - begin, end - 1 - position) + 0.01 * (end - begin)
            if best_score is None or score > best_score:
                best, best_score = number, score
    return best


@example(size=301, room=300, stride=128)  # the second window is so much shorter that its length decides
@given(size=some.integers(0, 60), room=some.integers(1, 20), stride=some.integers(1, 25))
def test_every_token_is_read_and_judged_once(size, room, stride):
    context = " ".join(itertools.islice(itertools.cycle(WORDS[:-1]), size))
    found = windows(question(context), SMALL, BERT, longest=room + 5, stride=stride)
    starts = {tuple(offset): number for number, offset in enumerate(SMALL.locate_batch([context])[0][1])}
    parts = [(starts[tuple(w.offsets[0])], starts[tuple(w.offsets[-1])] + 1) for w in found if len(w.offsets)]
    assert all(len(window.offsets) <= room for window in found)
    assert all(then - before == min(stride, room) for (before, _), (then, _) in itertools.pairwise(parts))
    for number, (begin, end) in enumerate(parts):
        wanted = [most_context(parts, position) == number for position in range(begin, end)]
        assert found[number].has_most_context.tolist() == wanted
    assert sum(int(window.has_most_context.sum()) for window in found) == size
    assert len(found) == max(1, len(parts))


@pytest.mark.parametrize("framing", [BERT, XLNET], ids=["bert", "xlnet"])
def test_an_answer_which_is_not_wholly_inside_a_window_is_not_there(framing):
    found = windows(question(STORE, "the store and"), SMALL, framing, longest=10, stride=3)
    assert [window.is_impossible for window in found] == [True, False, True, True]
    assert answer_in(found[1]) == "the store and"


def test_a_context_without_tokens_has_a_window_with_none():
    [window] = windows(question(" \u200b"), SMALL, BERT)
    assert window.ids.tolist() == [SUMMARY, *ids("who ?"), SEPARATOR, SEPARATOR]
    assert window.offsets.shape == (0, 2)
    assert window.has_most_context.shape == (0,)


def test_a_long_question_is_cut_at_its_end():
    [window] = windows(question("the man", text="who went to the store ?"), SMALL, BERT, longest_question=2)
    assert window.ids.tolist() == [SUMMARY, *ids("who went"), SEPARATOR, *ids("the man"), SEPARATOR]


def test_windows_must_have_room_for_the_context():
    with pytest.raises(ValueError, match=r"dev\.json: here: longest=5 leaves no room .* beside a question of 2 tokens"):
        windows(question("the man"), SMALL, BERT, longest=5)
    assert len(windows(question("the man"), SMALL, BERT, longest=6)) == 2


@pytest.mark.parametrize("name", ["longest", "stride", "longest_question"])
def test_lengths_which_are_not_positive_are_refused_at_once(name):
    with pytest.raises(ValueError, match=f"{name} must be positive, got 0"):
        all_windows([], SMALL, BERT, **{name: 0})  # pyright: ignore[reportArgumentType]


class Counting(Tokenizer):
    """Counts the texts which are located."""

    located = 0

    def locate_batch(self, texts):
        self.located += len(texts)
        return super().locate_batch(texts)


def test_a_context_is_tokenised_once_and_its_offsets_are_kept_once():
    tokenizer = Counting(SMALL._tokenizer)
    asked = [Question(str(n), "who ?", ["the man", STORE][n % 2]) for n in range(2 * CHUNK)]
    found = list(all_windows(asked, tokenizer, BERT))
    assert tokenizer.located == 2
    assert [window.question.id for window in found] == [one.id for one in asked]
    assert np.shares_memory(found[0].offsets, found[-2].offsets)


def test_questions_are_read_as_windows_are_asked_for():
    endless = (Question(str(number), "who ?", "the man") for number in itertools.count())
    found = list(itertools.islice(all_windows(endless, SMALL, BERT), 3))
    assert [window.question.id for window in found] == ["0", "1", "2"]


def test_many_questions_have_the_windows_of_each():
    asked = [question(STORE, "store"), question("the man", "man"), question(STORE, is_impossible=True)]
    together = list(all_windows(asked, SMALL, BERT, longest=10, stride=3))
    alone = [window for one in asked for window in windows(one, SMALL, BERT, longest=10, stride=3)]
    assert [(w.ids.tolist(), w.span, w.offsets.tolist()) for w in together] == [
        (w.ids.tolist(), w.span, w.offsets.tolist()) for w in alone
    ]


SCRIPTS = [
    ("The leader was John Smith (1895-1943).", "1895", "1895"),
    ("The Japanese industry", "Japan", "Japan"),
    ("Ein Müller aus Köln.", "Köln", "Köln"),
    ("Cafe\u0301 de\u0301ja\u0300, vu", "Cafe\u0301", "Cafe\u0301"),  # accents which stand behind their letters
    ("Cafe\u0301 de\u0301ja\u0300, vu", "de\u0301ja\u0300", "de\u0301ja\u0300"),
    ("قال السَّلامُ عليكم", "السَّلامُ", "السَّلامُ"),
    ("北京大学，在中国。", "中国", "中国"),
    ("한국어 태극기", "국어", "국어"),
    ("नमस्ते दुनिया", "दुनिया", "दुनिया"),
    ("so 👨\u200d👩\u200d👧 and ❤\ufe0f!", "❤\ufe0f", "❤\ufe0f"),
    ("so 👨\u200d👩\u200d👧 and ❤\ufe0f!", "👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    ("about 1\u202f000\u202fkm of road", "1\u202f000\u202fkm", "1\u202f000\u202fkm"),
    ("a\tb\r\n c", "b\r\n c", "b\r\n c"),
    ("İstanbul ve İzmir", "İzmir", "İzmir"),
    ("one \x00two\x01 three", "three", "three"),
    ("the man ", " man ", "man"),  # spaces around an answer are no part of it
]


@pytest.mark.parametrize(("context", "answer", "wanted"), SCRIPTS)
def test_an_answer_is_a_slice_of_the_raw_context_in_any_script(context, answer, wanted):
    tokenizer = word_pieces(letters_of(context + "who?"))
    for framing in framings(tokenizer):
        [window] = windows(question(context, answer), tokenizer, framing)
        assert answer_in(window) == wanted


def test_a_token_has_the_accents_behind_it_which_no_other_has():
    context = "दुनिया"  # the second character is dropped, the fourth and the sixth are tokens
    tokenizer = word_pieces(letters_of(context))
    [window] = windows(question(context), tokenizer, tokenizer.framing(is_last=False))
    assert window.offsets.tolist() == [[0, 2], [2, 3], [3, 4], [4, 5], [5, 6]]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "bytes", "characters"])
def test_the_space_before_a_piece_is_no_part_of_an_answer(kind):
    lines = ["the man went to the store and bought a gallon of milk"] * 3
    vocabulary = None if kind == "characters" else 300
    tokenizer = Tokenizer.train(lines, kind=kind, vocabulary=vocabulary)
    for answer in ("the man", "store", "a gallon of milk"):
        [window] = windows(question(lines[0], answer), tokenizer, Framing(0, 1, is_last=True))
        assert answer_in(window) == answer


def test_an_answer_inside_a_token_is_the_token():
    [window] = windows(question("the mans store", "man"), word_pieces(["the", "mans", "store"]), BERT)
    assert answer_in(window) == "mans"


@given(
    words=some.lists(some.text("aäb中é한ß7.,(-", min_size=1, max_size=5), min_size=1, max_size=8),
    separator=some.sampled_from([" ", "  ", "\n", "\u202f", "\u00a0"]),
    form=some.sampled_from(["NFC", "NFD"]),
    draw=some.data(),
)
def test_the_tokens_of_any_answer_cover_it_and_nothing_that_could_be_left_out(words, separator, form, draw):
    context = unicodedata.normalize(form, separator.join(words))
    start = draw.draw(some.integers(0, len(context) - 1))
    answer = context[start : draw.draw(some.integers(start + 1, len(context)))]
    assume(answer.strip())
    tokenizer = word_pieces(letters_of(context + "who?"))
    [window] = windows(question(context, answer, start), tokenizer, tokenizer.framing(is_last=False))
    begin, end = found_in(window)
    start += len(answer) - len(answer.lstrip())
    assert begin <= start
    assert start + len(answer.strip()) <= end
    for position in window.span or ():  # each of the outer tokens holds a part of the answer
        left, right = window.characters(position, position)
        assert left < start + len(answer.strip())
        assert right > start


def test_an_answer_away_from_its_offset_is_looked_for_at_the_nearest_place():
    for start, place in [(0, 0), (1, 0), (9, 16), (15, 16), (400, 16)]:
        [window] = windows(question("the man went to the store", "the", start), SMALL, BERT)
        assert found_in(window) == (place, place + 3)


def test_of_several_answers_the_first_which_is_in_the_context_counts():
    answers = (Answer(" ", 3), Answer("milk", 0), Answer("went", 8), Answer("man", 4))
    [window] = windows(Question("1", "who ?", "the man went", answers), SMALL, BERT)
    assert answer_in(window) == "went"


UNUSABLE = [
    (question("the man", "milk", 4), "whose answer is not in the context", "does not have its answer 'milk'"),
    (question("the man", " ", 3), "with a blank answer", "is blank"),
    (question("the \u200b man", "\u200b"), "whose answer has no token", "drops the answer '\\u200b'"),
]


@pytest.mark.parametrize(("bad", "reason", "message"), UNUSABLE)
def test_a_question_without_a_target_is_an_error_or_is_counted(bad, reason, message):
    with pytest.raises(ValueError, match=f"^dev.json: here: .*{re.escape(message)}"):
        windows(bad, SMALL, BERT)
    skipped = SkippedQuestions()
    [window] = all_windows([bad, question("the man", "man")], SMALL, BERT, skipped=skipped)
    assert window.question.answers == (Answer("man", 4),)
    assert str(skipped) == f"skipped 1 question: 1 {reason}"
    assert len(windows(bad.without_answers(), SMALL, BERT)) == 1


def test_no_question_for_prediction_is_skipped():
    asked = [bad.without_answers() for bad, *_ in UNUSABLE]
    assert len(list(all_windows(asked, SMALL, BERT))) == len(asked)

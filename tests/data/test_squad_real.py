"""Windows on real questions, beside what BERT's code makes of them."""

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from regard.data.benchmarks import SquadFile
from regard.data.squad import Question, read_squad
from regard.data.squad_windows import SkippedQuestions, all_windows
from regard.text.tokenizer import Tokenizer

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def tokenizer(data):
    """BERT's."""
    pieces = (data / "vocab" / "bert-base-uncased-vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {piece: id for id, piece in enumerate(pieces)}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return Tokenizer(tokenizer)


@pytest.fixture(scope="module")
def questions(data):
    """Those of the part for training."""
    return read_squad(data / "squad" / "train-part.json")


@pytest.fixture(scope="module")
def windows(questions, tokenizer):
    """Theirs."""
    skipped = SkippedQuestions()
    found = list(all_windows(questions, tokenizer, tokenizer.framing(is_last=False), skipped=skipped))
    assert not skipped
    assert len({window.question.id for window in found}) == len(questions)
    return found


def test_a_slice_of_the_context_has_the_tokens_of_its_window(windows, tokenizer):
    slices = {(w.question.context, w.characters(w.first, len(w) - 2)): w.ids[w.first : -1].tolist() for w in windows}
    texts = [context[start:end] for context, (start, end) in slices]
    same = [again == ids for again, ids in zip(tokenizer.encode_batch(texts), slices.values(), strict=True)]
    assert sum(same) >= 0.99 * len(same)  # others begin or end inside a word


def test_answers_come_back_from_their_tokens(windows):
    there = [window for window in windows if not window.is_impossible]
    lost = [(w.text(*w.span), w.question.answers[0].text) for w in there]
    lost = [(found, answer) for found, answer in lost if found != answer]
    assert len(lost) <= 0.01 * len(there)
    for found, answer in lost:  # an annotator marked a part of a token: `Japan` in `Japanese`, `7` in `1817`
        before, _, after = found.partition(answer)
        assert answer in found
        assert not {" ", "\n"} & {*before, *after}


def test_every_answer_is_in_a_window(windows, questions):
    answered = {window.question.id for window in windows if not window.is_impossible}
    missing = [one for one in questions if one.answers and one.id not in answered]
    assert missing == []


def bert_input(question: Question, tokenizer: Tokenizer) -> list[tuple[list[int], int, int]]:
    """Ids and target of each window as the specification of BERT's code has them: by words, then by a better fit."""
    words, word_of = [], []
    is_between = True
    for character in question.context:
        if character in " \t\r\n\u202f":
            is_between = True
        elif is_between:
            words.append(character)
            is_between = False
        else:
            words[-1] += character
        word_of.append(len(words) - 1)
    pieces, first_piece = [], []
    for word in words:
        first_piece.append(len(pieces))
        pieces += tokenizer.encode(word)
    first_piece.append(len(pieces))
    start = end = -1
    if question.answers:
        answer = question.answers[0]
        start = first_piece[word_of[answer.start]]
        end = first_piece[word_of[answer.start + len(answer.text) - 1] + 1] - 1
        wanted = tokenizer.encode(answer.text)
        fits = [(a, b) for a in range(start, end + 1) for b in range(end, a - 1, -1) if pieces[a : b + 1] == wanted]
        start, end = fits[0] if fits else (start, end)
    asked = tokenizer.encode(question.text)[:64]
    room, begin, found = 384 - len(asked) - 3, 0, []
    while True:
        size = min(len(pieces) - begin, room)
        ids = [101, *asked, 102, *pieces[begin : begin + size], 102]
        is_inside = question.answers and begin <= start and end < begin + size
        shift = len(asked) + 2 - begin
        found.append((ids, start + shift, end + shift) if is_inside else (ids, 0, 0))
        if begin + size == len(pieces):
            return found
        begin += min(size, 128)


def test_windows_and_targets_are_those_of_berts_code(windows, questions, tokenizer):
    long = [one for one in questions if len(one.context) > 1700]
    chosen = [one for one in questions[::9] if len(one.answers) < 2] + long
    ours: dict[str, list] = {one.id: [] for one in chosen}
    for window in windows:
        if window.question.id in ours:
            ours[window.question.id].append((window.ids.tolist(), *window.span))
    theirs = {one.id: bert_input(one, tokenizer) for one in chosen}
    assert max(map(len, ours.values())) > 1
    for id, found in ours.items():
        assert [ids for ids, *_ in found] == [ids for ids, *_ in theirs[id]]
    apart = [one for one in chosen if ours[one.id] != theirs[one.id]]
    assert len(apart) <= 0.01 * len(chosen)
    texts = {window.question.id: window.text(*window.span) for window in windows if not window.is_impossible}
    for one in apart:  # the answer is a part of a token: theirs is the word up to the next space, ours is the token
        assert texts[one.id] != one.answers[0].text


def test_the_share_kept_apart_for_the_threshold_has_questions_without_an_answer(data, questions):
    apart = SquadFile(str(data / "squad" / "train-part.json"), (0.0, 0.1)).read()
    whole = sum(one.is_impossible for one in questions) / len(questions)
    assert sum(one.is_impossible for one in apart) / len(apart) == pytest.approx(whole, rel=0.5)

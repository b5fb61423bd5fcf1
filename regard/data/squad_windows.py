"""What an encoder reads of a question and its context, and where in it the answer stands (Devlin et al. 2019, 4.2).

A context which is too long is read in windows which overlap (their code; the paper does not say how). Each of its
tokens is judged in the window where it has the most context on its poorer side.

Every token knows which characters of the raw context it stands for, so an answer is a slice of the raw context. BERT's
code knows only the word of each token, and has to guess back from lower-cased pieces to text (`get_final_text`). For
the same reason an answer's tokens are those which cover its characters, and no search for a better fit is needed
(`_improve_answer_span`), which there has to find `1895` in the word `(1895-1943)`. What is still lost is an answer
which ends inside a token, `Japan` in `Japanese`: its span is the whole token.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from regard.data.rows import Skipped, Unusable
from regard.data.squad import Question
from regard.text.framing import Framing
from regard.text.tokenizer import Tokenizer

CHUNK = 1024  # questions which are tokenised together
LONGEST_QUESTION, STRIDE = 64, 128  # tokens of a question which are read, and between the starts of two windows

Offsets = NDArray[np.int32]  # [C, 2]: first character of each token, and the one behind its last
Located = tuple[list[int], Offsets]  # ids of a context, and where they stand


class SkippedQuestions(Skipped):
    """How many questions were passed over, by reason."""

    noun = "question"


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """One input: a question, and its context or a part of it, of C tokens. Positions count from the input's start."""

    question: Question
    ids: NDArray[np.int32]  # [T]
    segments: NDArray[np.int8]  # [T]
    summary: int  # position of the token which sums the input up, and stands for "no answer"
    first: int  # position of the first token of the context
    offsets: Offsets  # [C, 2], in characters of the question's context
    has_most_context: NDArray[np.bool_]  # [C]; of the windows in which a token stands, this is the one to judge it in
    span: tuple[int, int] | None  # first and last position of the answer; None where the question is unlabelled

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_impossible(self) -> bool:
        """Whether the answer is known not to stand in this window, or not as a whole."""
        return self.span == (self.summary, self.summary)

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """From which character of the context to which the tokens from one position to another stand."""
        return int(self.offsets[first - self.first, 0]), int(self.offsets[last - self.first, 1])

    def text(self, first: int, last: int) -> str:
        """What the context says from one position to another, both included."""
        start, end = self.characters(first, last)
        return self.question.context[start:end]


def windows(
    question: Question,
    tokenizer: Tokenizer,
    framing: Framing,
    *,
    longest: int = 384,
    stride: int = STRIDE,
    longest_question: int = LONGEST_QUESTION,
) -> list[Window]:
    """The windows of one question, as `all_windows` makes them."""
    one = [question]
    return list(all_windows(one, tokenizer, framing, longest=longest, stride=stride, longest_question=longest_question))


def all_windows(
    questions: Iterable[Question],
    tokenizer: Tokenizer,
    framing: Framing,
    *,
    longest: int = 384,
    stride: int = STRIDE,
    longest_question: int = LONGEST_QUESTION,
    skipped: Skipped | None = None,
) -> Iterator[Window]:
    """The windows of many questions, in order; each context is tokenised once, and shares its offsets among windows.

    The question comes first, or last where the summary does, as in XLNet's code. A labelled question is for training:
    of its answers the first which stands in the context is the target, at its offset, or else at the nearest place
    where the context has its text. Ask a model by `question.without_answers()`, of which every one has a window.

    Args:
        longest: tokens of a window, special ones included.
        stride: tokens from the start of a window to that of the next; at most what a window holds of the context.
        longest_question: tokens of a question; what comes behind them is cut off.
        skipped: counts the questions none of whose answers can be a target; without it they are errors.

    Raises:
        ValueError: if a length is not positive, or leaves no room for the context; or for a question whose answer is
            blank, is not in its context, or has no token there.
    """
    for name, value in (("longest", longest), ("stride", stride), ("longest_question", longest_question)):
        if value < 1:
            raise ValueError(f"{name} must be positive, got {value}")

    def made() -> Iterator[Window]:
        located: dict[str, Located] = {}
        waiting = iter(questions)
        while chunk := list(islice(waiting, CHUNK)):
            _locate({question.context for question in chunk} - located.keys(), tokenizer, located)
            encoded = tokenizer.encode_batch([question.text for question in chunk])
            for question, ids in zip(chunk, encoded, strict=True):
                ids, context = ids[:longest_question], located[question.context]
                room = longest - framing.added(2) - len(ids)
                if room < 1:
                    raise ValueError(
                        f"{question.place}: longest={longest} leaves no room for the context beside a question of "
                        f"{len(ids)} tokens; allow longer windows or shorter questions"
                    )
                try:
                    target = target_tokens(question, context[1]) if question.answers else None
                except Unusable as error:
                    error.count_or_raise(skipped)
                    continue
                yield from _framed(question, ids, context, target, framing, room, min(stride, room))

    return made()


def _locate(contexts: set[str], tokenizer: Tokenizer, located: dict[str, Located]) -> None:
    """Tokenise contexts which are new."""
    new = sorted(contexts)
    for context, (ids, offsets) in zip(new, tokenizer.locate_batch(new), strict=True):
        located[context] = ids, _whole(context, np.array(offsets, np.int32).reshape(-1, 2))


def _whole(context: str, offsets: Offsets) -> Offsets:
    """Offsets without the spaces before a token, and with the accents behind it which its tokenizer drops."""
    starts, ends = offsets.T
    marks = {character for character in set(context) if unicodedata.category(character).startswith("M")}
    if marks and len(offsets):
        following = np.append(starts[1:], len(context))
        behind = _next([character in marks for character in context])[ends]
        ends = np.where(following >= ends, np.minimum(behind, following), ends)
    begun = np.minimum(_next([character.isspace() for character in context])[starts], ends)
    return np.stack([begun, ends], 1).astype(np.int32)


def _next(is_passed_over: list[bool]) -> NDArray[np.int64]:
    """For each place, and the one behind the last, the first place from there on which is not passed over."""
    size = len(is_passed_over)
    places = np.append(np.where(is_passed_over, size, np.arange(size)), size)
    return np.minimum.accumulate(places[::-1])[::-1]


def target_tokens(question: Question, offsets: Offsets) -> tuple[int, int]:
    """The first and the last token of the context which cover a character of the answer, counted from 0.

    Raises:
        Unusable: if none of the answers stands in the context, or has a token there.
    """
    if not any(answer.text.strip() for answer in question.answers):
        raise Unusable("with a blank answer", question.place, f"the answer of question {question.id!r} is blank")
    place = _place_of_answer(question)
    if place is None:
        text = question.answers[0].text
        what = f"the context of question {question.id!r} does not have its answer {text!r}"
        raise Unusable("whose answer is not in the context", question.place, what)
    [covering] = ((offsets[:, 0] < place[1]) & (offsets[:, 1] > place[0])).nonzero()
    if not len(covering):
        text = question.context[slice(*place)]
        what = f"the tokenizer drops the answer {text!r} of question {question.id!r}"
        raise Unusable("whose answer has no token", question.place, what)
    return int(covering[0]), int(covering[-1])


def _place_of_answer(question: Question) -> tuple[int, int] | None:
    """From which character to which the first answer stands that is in the context."""
    for answer in question.answers:
        text = answer.text.strip()
        start = answer.start + len(answer.text) - len(answer.text.lstrip())
        if not text:
            continue
        if not question.context.startswith(text, start):
            places = [match.start() for match in re.finditer(re.escape(text), question.context)]
            if not places:
                continue
            start = min(places, key=lambda place: abs(place - start))
        return start, start + len(text)
    return None


def _framed(
    question: Question,
    asked: list[int],
    context: Located,
    target: tuple[int, int] | None,
    framing: Framing,
    room: int,
    stride: int,
) -> Iterator[Window]:
    """The windows of one question whose tokens, context and target are known."""
    ids, offsets = context
    parts = _parts(len(ids), room, stride)
    most = _most_context(parts, len(ids))
    first = 0 if framing.is_last else 2 + len(asked)  # behind the summary, the question and its separator
    for (begin, end), judged in zip(parts, most, strict=True):
        here = ids[begin:end]
        framed, segments = framing.frame(here, asked) if framing.is_last else framing.frame(asked, here)
        summary = len(framed) - 1 if framing.is_last else 0
        span = (summary, summary) if question.is_labelled else None
        if target is not None and begin <= target[0] and target[1] < end:
            span = first + target[0] - begin, first + target[1] - begin
        yield Window(
            question=question,
            ids=np.array(framed, np.int32),
            segments=np.array(segments, np.int8),
            summary=summary,
            first=first,
            offsets=offsets[begin:end],
            has_most_context=judged,
            span=span,
        )


def _parts(size: int, room: int, stride: int) -> list[tuple[int, int]]:
    """From which token of a context to which each window reads; one window, of nothing, where there is no token."""
    parts = [(0, min(room, size))]
    while parts[-1][1] < size:
        begin = parts[-1][0] + stride
        parts.append((begin, min(begin + room, size)))
    return parts


def _most_context(parts: list[tuple[int, int]], size: int) -> list[NDArray[np.bool_]]:
    """Which tokens of each part have their most context there: tokens to the left or to the right, the fewer of both.

    A hundredth of the part's length is added, as in their code, so that among equals the longer part is taken, and
    then the earlier one.
    """
    if len(parts) == 1:
        return [np.ones(size, np.bool_)]
    places = np.arange(size)
    scores = np.full((len(parts), size), -np.inf)
    for number, (begin, end) in enumerate(parts):
        inside = places[begin:end]
        scores[number, begin:end] = np.minimum(inside - begin, end - 1 - inside) + 0.01 * (end - begin)
    best = scores.argmax(0)
    return [best[begin:end] == number for number, (begin, end) in enumerate(parts)]

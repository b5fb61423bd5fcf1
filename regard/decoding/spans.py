"""From scores of an encoder's positions to answers: the best spans of each question over all of its windows.

Two heads are known. BERT's gives every position a score as start and one as end, apart from each other (Devlin et al.
2019, section 4.2; 4.3 for questions without an answer). XLNet's gives the probability of an end after each of a few
starts, and a score of its own for there being no answer (in its code; ALBERT's second head is the same).

A span is an answer if both of its ends are tokens of the context, it does not end before it starts, it is not too long,
and its first token has its most context in that window, so that no span is judged twice. Of spans which say the same,
the best stands for all.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from regard.data.squad_windows import Window

Scores = NDArray[np.float64]
Places = NDArray[np.int64]
Found = tuple[Places, Places, Scores, Scores]  # spans: positions of start and end, scores of both


@dataclass(frozen=True)
class Span:
    """An answer: a stretch of the context."""

    text: str
    start: int  # its first character in the context
    end: int  # the one behind its last
    start_score: float
    end_score: float
    probability: float  # among the answers which are listed with it

    @property
    def score(self) -> float:
        """What answers are ranked by."""
        return self.start_score + self.end_score


@dataclass(frozen=True)
class Ranked:
    """The answers to a question, the best first, no two of the same text; and how far there seems to be none."""

    spans: tuple[Span, ...]  # empty where the context has no token
    null: float  # the score of there being no answer
    null_odds: float  # what is held against a threshold: the larger, the less there is an answer

    @property
    def best(self) -> str:
        """The best answer, whatever the odds of there being none; empty only where the context has no token."""
        return self.spans[0].text if self.spans else ""


@dataclass(frozen=True, eq=False)
class Beams:
    """What a head of the second kind says of W windows: K starts of each, E ends of each start, as log-probabilities.

    A place which is not filled has the score minus infinity.

    Raises:
        ValueError: if the shapes do not agree.
    """

    starts: Tensor  # [W, K], positions
    start_scores: Tensor  # [W, K]
    ends: Tensor  # [W, K, E], positions
    end_scores: Tensor  # [W, K, E]
    null: Tensor  # [W], scores of there being no answer

    def __post_init__(self):
        shapes = [tuple(part.shape) for part in (self.starts, self.start_scores, self.ends, self.end_scores, self.null)]
        starts, start_scores, ends, end_scores, null = shapes
        if len(ends) != 3 or not (starts == start_scores == ends[:2] and end_scores == ends and null == ends[:1]):
            raise ValueError(f"beams must have the shapes [W, K] twice, [W, K, E] twice and [W], got {shapes}")

    def __len__(self) -> int:
        return len(self.null)


def best_spans(
    windows: Sequence[Window],
    starts: Tensor | Sequence[Tensor],
    ends: Tensor | Sequence[Tensor],
    *,
    longest_answer: int = 30,
    candidates: int = 20,
    count: int = 20,
) -> dict[str, Ranked]:
    """The best answers to each question, by the sum of the scores of start and end.

    The score of no answer is that of the span from the summary token to itself, in the window where it is lowest: a
    window which holds no answer says nothing of the others. The odds are how far it lies above the best answer.

    Candidates are chosen among the tokens where an answer may start or end. BERT's code chooses among all positions,
    those of the question and the padding too, and is left without an answer where none of its candidates is one: then
    it fails. Each answer which it finds is found here.

    Args:
        windows: all of each question.
        starts: scores of the positions of each window, [W, T] or W times [T], T being its length or more.
        ends: likewise.
        longest_answer: in tokens.
        candidates: starts of each window, and ends, which are combined.
        count: answers of each question, at most.

    Raises:
        ValueError: if a number is not positive, or the scores do not fit the windows or are not numbers.
    """
    _require_positive(longest_answer=longest_answer, candidates=candidates, count=count)
    _check_number(windows, starts=len(starts), ends=len(ends))
    found, nulls = [], []
    for number, (window, start, end) in enumerate(zip(windows, _rows(starts), _rows(ends), strict=True)):
        for name, scores in (("starts", start), ("ends", end)):
            if scores.ndim != 1 or len(scores) < len(window) or np.isnan(scores).any():
                raise ValueError(
                    f"{name}[{number}] must be {len(window)} numbers, one a position of its window, got "
                    f"{'nan among them' if np.isnan(scores).any() else f'the shape {scores.shape}'}"
                )
        found.append(_combined(window, start, end, candidates, longest_answer))
        nulls.append(float(start[window.summary] + end[window.summary]))
    ranked = {}
    for id, numbers in _by_question(windows).items():
        spans = _ranked([(windows[number], found[number]) for number in numbers], count)
        null = min(nulls[number] for number in numbers)
        ranked[id] = Ranked(spans, null, null - spans[0].score if spans else math.inf)
    return ranked


def best_beams(
    windows: Sequence[Window], beams: Beams, *, longest_answer: int = 30, count: int = 20
) -> dict[str, Ranked]:
    """The best answers to each question, by the probability of the start times that of the end after it.

    The odds of no answer are the head's own score of it, in the window where it is lowest. XLNet's code lets no answer
    reach the last token of a context; here one may.

    Args:
        windows: all of each question.
        beams: of the same windows.
        longest_answer: in tokens.
        count: answers of each question, at most.

    Raises:
        ValueError: if a number is not positive, or the beams do not fit the windows or have scores which are not
            numbers.
    """
    _require_positive(longest_answer=longest_answer, count=count)
    _check_number(windows, beams=len(beams))
    start_scores, end_scores, nulls = (_array(part) for part in (beams.start_scores, beams.end_scores, beams.null))
    if any(np.isnan(scores).any() for scores in (start_scores, end_scores, nulls)):
        raise ValueError("beams must have numbers as scores, got nan among them")
    starts, ends = (part.cpu().numpy() for part in (beams.starts, beams.ends))
    ranked = {}
    for id, numbers in _by_question(windows).items():
        found = []
        for number in numbers:
            first = np.broadcast_to(starts[number, :, None], ends[number].shape).ravel()
            first_score = np.broadcast_to(start_scores[number, :, None], ends[number].shape).ravel()
            spans = first, ends[number].ravel(), first_score, end_scores[number].ravel()
            found.append((windows[number], _valid(windows[number], spans, longest_answer)))
        null = float(nulls[numbers].min())
        ranked[id] = Ranked(_ranked(found, count), null, null)
    return ranked


def decide(ranked: Ranked, threshold: float = 0.0) -> str:
    """The answer; empty, which says that there is none, where the odds of that lie above the threshold."""
    return "" if ranked.null_odds > threshold else ranked.best


def decided(ranked: Mapping[str, Ranked], threshold: float = 0.0) -> dict[str, str]:
    """The answer to each question."""
    return {id: decide(one, threshold) for id, one in ranked.items()}


def _combined(window: Window, start: Scores, end: Scores, candidates: int, longest: int) -> Found:
    """The spans between the best starts and the best ends of a window, the better start first."""
    [inside] = _has_text(window).nonzero()
    inside += window.first
    firsts = _best(start, inside[window.has_most_context[inside - window.first]], candidates)
    lasts = _best(end, inside, candidates)
    first, last = np.repeat(firsts, len(lasts)), np.tile(lasts, len(firsts))
    return _valid(window, (first, last, start[first], end[last]), longest)


def _best(scores: Scores, places: Places, candidates: int) -> Places:
    """Those of the places which score best, the best first, the earlier first among equals."""
    return places[np.argsort(-scores[places], kind="stable")[:candidates]]


def _valid(window: Window, spans: Found, longest: int) -> Found:
    """Those of the spans which may be answers."""
    first, last, *_ = spans
    size, has_text = len(window.offsets), _has_text(window)
    a, b = first - window.first, last - window.first
    is_valid = (a >= 0) & (b >= a) & (b < size) & (b - a < longest) & np.isfinite(spans[2] + spans[3])
    kept = is_valid.nonzero()[0]
    a, b = a[kept], b[kept]
    kept = kept[has_text[a] & has_text[b] & window.has_most_context[a]]
    return spans[0][kept], spans[1][kept], spans[2][kept], spans[3][kept]


def _has_text(window: Window) -> NDArray[np.bool_]:
    """Which tokens of the context stand for characters; a piece which is but a space does not."""
    return window.offsets[:, 0] < window.offsets[:, 1]


def _ranked(found: Iterable[tuple[Window, Found]], count: int) -> tuple[Span, ...]:
    """The best spans of a question's windows, no two of the same text; the earlier first among equals."""
    found = [(window, spans) for window, spans in found if len(spans[0])]
    if not found:
        return ()
    first, last, start_scores, end_scores = (
        np.concatenate(parts) for parts in zip(*(f for _, f in found), strict=True)
    )
    number = np.repeat(np.arange(len(found)), [len(spans[0]) for _, spans in found])
    texts: dict[str, tuple[int, int, float, float]] = {}
    for at in np.argsort(-(start_scores + end_scores), kind="stable"):
        window = found[number[at]][0]
        start, end = window.characters(int(first[at]), int(last[at]))
        text = window.question.context[start:end]
        texts.setdefault(text, (start, end, float(start_scores[at]), float(end_scores[at])))
        if len(texts) == count:
            break
    totals = np.array([start_score + end_score for _, _, start_score, end_score in texts.values()])
    shares = np.exp(totals - totals.max())
    probabilities = (shares / shares.sum()).tolist()
    return tuple(
        Span(text, *about, probability) for (text, about), probability in zip(texts.items(), probabilities, strict=True)
    )


def _by_question(windows: Sequence[Window]) -> dict[str, list[int]]:
    """The numbers of the windows of each question."""
    numbers: dict[str, list[int]] = {}
    for number, window in enumerate(windows):
        numbers.setdefault(window.question.id, []).append(number)
    return numbers


def _rows(scores: Tensor | Sequence[Tensor]) -> list[Scores]:
    """Scores of each window on the processor."""
    return list(_array(scores)) if isinstance(scores, Tensor) else [_array(row) for row in scores]


def _array(scores: Tensor) -> Scores:
    """Scores on the processor."""
    return scores.detach().double().cpu().numpy()


def _require_positive(**numbers: int) -> None:
    """Refuse numbers below 1."""
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be positive, got {number}")


def _check_number(windows: Sequence[Window], **given: int) -> None:
    """Refuse scores of another number of windows."""
    for name, number in given.items():
        if number != len(windows):
            raise ValueError(f"{name} must be of the same windows, got {number} for {len(windows)} windows")

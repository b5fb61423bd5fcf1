"""Beam search over any decoder which has `step`, and any state which has `select`.

Finished hypotheses compete for places of their own while the others go on, as in tensor2tensor's search. A hypothesis
is computed only while it could still improve its sentence's list. Its log-probability only falls, so one which could
not stays so; and what it would have pushed out of the beam is less probable still.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.layers.state import Hypotheses

Step = Callable[[Tensor | None, Any], tuple[Tensor, Any]]


@dataclass(frozen=True)
class Hypothesis:
    """One translation of one sentence."""

    tokens: list[int]  # without the end token
    score: float  # what it was ranked by
    log_probability: float  # of its tokens and the end token, in nats
    finished: bool  # False when the length limit cut it off before the end token
    alignment: Tensor | None = None  # weights over the padded source of each token and of the end token, [T, S]


@dataclass(frozen=True)
class Ranking:
    """How hypotheses of different length compare: log P / length_penalty + coverage_penalty.

    Args:
        length: alpha of Wu et al. 2016, equation 14: the log-probability is divided by ((5 + T) / 6)^alpha, where T
            counts the end token; 0 divides by nothing.
        coverage: beta of the same equation: adds beta * sum over source words of log(min(attention received, 1)).
    """

    length: float = 0.0
    coverage: float = 0.0

    def __post_init__(self):
        if self.length < 0 or self.coverage < 0:
            raise ValueError(f"penalties are not negative, got length={self.length} and coverage={self.coverage}")

    def divisor(self, tokens: int) -> float:
        """((5 + T) / 6)^alpha."""
        return ((5.0 + tokens) / 6.0) ** self.length

    def covered(self, received: Tensor, is_token: Tensor) -> Tensor:
        """The coverage term [R] of attention received by each source word [R, S]."""
        logs = received.clamp(1e-9, 1.0).log().masked_fill(~is_token, 0.0)
        return self.coverage * logs.sum(-1)


@torch.no_grad()
def beam_search(
    step: Step,
    state: Any,
    *,
    sentences: int,
    end: int,
    beams: int,
    longest: Tensor,
    ranking: Ranking = Ranking(),
    best: int = 1,
    is_source: Tensor | None = None,
    align: bool = False,
) -> list[list[Hypothesis]]:
    """The `best` hypotheses of each sentence, best first.

    Args:
        step: last words [R] (None at first) and state -> scores [R, V] and state.
        state: of `sentences` rows, before the first word.
        sentences: how many sentences the state holds.
        end: id of the end token.
        beams: open hypotheses a sentence; 1 is greedy decoding.
        longest: limit of each sentence's length, the end token included, [sentences]. Where it cuts every hypothesis
            off, the open ones are given, by their log-probability, and say that they are not finished.
        ranking: how finished hypotheses compare.
        best: hypotheses to give for each sentence, at most `beams`.
        is_source: which places of the source hold a token, [sentences, S]; needed for coverage and alignments.
        align: keep the weights over the source of every step; `state.alignment` must give them.

    Raises:
        ValueError: if `best` exceeds `beams`, or a limit is not positive.
    """
    if not 1 <= best <= beams:
        raise ValueError(f"best must lie between 1 and beams={beams}, got {best}")
    if int(longest.min()) < 1:
        raise ValueError(f"a translation holds at least the end token, got a limit of {int(longest.min())}")
    watch = align or ranking.coverage > 0
    if watch and is_source is None:
        raise ValueError("coverage and alignments need is_source")
    found: list[list[_Finished]] = [[] for _ in range(sentences)]
    limits, divisors = longest.tolist(), [ranking.divisor(limit) for limit in longest.tolist()]
    floors = [-math.inf] * sentences  # log-probability which a hypothesis must exceed to be worth going on with
    history = _History()
    scores, state = step(None, state)
    device = scores.device
    alive = list(range(sentences))  # the sentence of each line of the table of hypotheses
    logs = torch.zeros(sentences, 1, device=device, dtype=torch.promote_types(scores.dtype, torch.float32))
    received: Tensor | None = None  # attention which source words received so far, [R, S]
    length = 0
    while True:
        length += 1
        hypotheses: Hypotheses = state.hypotheses
        if watch:
            history.weights.append(state.alignment)
            received = state.alignment if received is None else received + state.alignment
        # a single hypothesis follows the best word alone, even where that is the end
        values, parents, tokens = _candidates(scores, logs, hypotheses, 2 * beams if beams > 1 else 1)
        rows, is_end = hypotheses.rows.gather(1, parents), tokens == end
        covered = None
        if ranking.coverage and received is not None and is_source is not None:
            covered = ranking.covered(received, is_source[hypotheses.owners])
        for line, log, row, extra in _ends(is_end, values, rows, covered):
            sentence = alive[line]
            own = found[sentence]
            _enter(own, _Finished(log / ranking.divisor(length) + extra, log, length, row), max(best, beams))
            if len(own) >= best:
                floors[sentence] = own[best - 1].score * divisors[sentence]
        # the best open candidates, in their order: 2 * beams candidates hold at most `beams` ends
        kept = torch.sort(is_end.to(torch.int8), dim=1, stable=True).indices[:, :beams]
        logs = values.gather(1, kept).masked_fill(is_end.gather(1, kept), -torch.inf)
        rows, words = rows.gather(1, kept), tokens.gather(1, kept)
        goes_on = logs > logs.new_tensor([floors[sentence] for sentence in alive])[:, None]
        for line, sentence in enumerate(alive):
            if length >= limits[sentence]:
                goes_on[line] = False
                if not found[sentence]:  # cut off with nothing finished
                    found[sentence] = _cut(logs[line], rows[line], words[line], length, best)
        logs = logs.masked_fill(~goes_on, -torch.inf)
        lines = goes_on.any(1).nonzero()[:, 0]
        if not len(lines):
            return [[history.read(one, align) for one in own[:best]] for own in found]
        if len(lines) <= _CROWDED * len(alive):
            alive = [alive[line] for line in lines.tolist()]
            logs, rows, words, goes_on = (x[lines] for x in (logs, rows, words, goes_on))
            is_source = None if is_source is None else is_source[lines]
        else:
            lines = None
        rows, words = rows[goes_on], words[goes_on]
        history.rows.append(rows)
        history.words.append(words)
        received = None if received is None else received[rows]
        places = goes_on.flatten().nonzero()[:, 0]
        scores, state = step(words, state.select(rows, Hypotheses(len(alive), beams, places), lines))


@dataclass(frozen=True)
class _Finished:
    """An entry of a sentence's list: where in the history its words are read."""

    score: float
    log_probability: float
    length: int  # steps
    row: int  # among the rows of its last step
    cut: int | None = None  # its last word, when it was cut off before the end token


class _History:
    """How the rows of each step came about, from which a hypothesis is read backwards."""

    def __init__(self):
        self.rows: list[Tensor] = []  # of each step but the first: the row before
        self.words: list[Tensor] = []  # and the word which was added
        self.weights: list[Tensor] = []  # of each step: alignments [R, S]

    def read(self, found: _Finished, align: bool) -> Hypothesis:
        """The words of a hypothesis, and its alignment."""
        words = [] if found.cut is None else [found.cut]
        weights, row = [], found.row
        for step in range(found.length - 1, -1, -1):
            if align:
                weights.append(self.weights[step][row])
            if step:
                words.append(int(self.words[step - 1][row]))
                row = int(self.rows[step - 1][row])
        alignment = torch.stack(weights[::-1]) if align else None
        return Hypothesis(words[::-1], found.score, found.log_probability, found.cut is None, alignment)


def _ends(is_end: Tensor, values: Tensor, rows: Tensor, covered: Tensor | None) -> list[tuple[int, float, int, float]]:
    """The candidates which end: line, log-probability, the row which they end, and what coverage adds."""
    lines, places = (is_end & values.isfinite()).nonzero(as_tuple=True)
    own = rows[lines, places]
    extra = [0.0] * len(lines) if covered is None else covered[own].tolist()
    return list(zip(lines.tolist(), values[lines, places].tolist(), own.tolist(), extra, strict=True))


def _cut(logs: Tensor, rows: Tensor, words: Tensor, length: int, best: int) -> list[_Finished]:
    """The best open hypotheses of one sentence [N] each, as they stand."""
    open_ones = list(zip(logs.tolist(), rows.tolist(), words.tolist(), strict=True))[:best]
    return [_Finished(log, log, length, row, word) for log, row, word in open_ones if log > -math.inf]


def _enter(ranked: list[_Finished], found: _Finished, room: int) -> None:
    """Add a finished hypothesis to its sentence's list, the best first, if there is room for it."""
    if len(ranked) == room and ranked[-1].score >= found.score:
        return
    place = len(ranked)
    while place and ranked[place - 1].score < found.score:
        place -= 1
    ranked.insert(place, found)
    del ranked[room:]


# Sentences which are done leave the table when at most this part of it goes on: leaving copies what the others keep.
_CROWDED = 0.75

# Scores are searched for their largest by way of the largest of each stretch of this many words.
_STRETCH = 64


def _candidates(scores: Tensor, logs: Tensor, hypotheses: Hypotheses, wide: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `wide` best extensions of each sentence: summed log-probability, parent (0 to N) and word, [B, wide] each.

    Scores [R, V], log-probabilities of the hypotheses so far [B, N]. Where there are fewer, the rest have -inf.
    """
    scores = scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores
    within = min(wide, scores.shape[-1])
    values, tokens = _largest(scores, within)
    values = hypotheses.spread(values - scores.logsumexp(-1, keepdim=True), -torch.inf) + logs[:, :, None]
    values, places = values.flatten(1).topk(min(wide, values[0].numel()), -1)
    tokens = hypotheses.spread(tokens).flatten(1).gather(1, places)
    missing = (0, wide - values.shape[1])
    return F.pad(values, missing, value=-torch.inf), F.pad(places // within, missing), F.pad(tokens, missing)


def _largest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As `scores.topk(count)`: the largest lie in the stretches whose own largest are the largest."""
    rows, width = scores.shape
    stretches = width // _STRETCH
    if stretches < 2 * count or scores.is_cuda:
        return scores.topk(count, -1)
    body = scores[:, : stretches * _STRETCH].unflatten(1, (stretches, _STRETCH))
    chosen = body.amax(-1).topk(count, -1).indices  # [R, count]
    words = (chosen[:, :, None] * _STRETCH + torch.arange(_STRETCH, device=scores.device)).flatten(1)
    if stretches * _STRETCH < width:
        rest = torch.arange(stretches * _STRETCH, width, device=scores.device)
        words = torch.cat([words, rest.expand(rows, -1)], 1)
    values, places = scores.gather(1, words).topk(count, -1)
    return values, words.gather(1, places)

"""Beam search over any decoder which has `step`, and any state which has `select`.

Finished hypotheses compete for places of their own while the others go on, as in tensor2tensor's search. A hypothesis
is computed only while it could still improve its sentence's list. Its log-probability only falls, so one which could
not stays so; and what it would have pushed out of the beam is less probable still.
"""

import math
from collections.abc import Callable, Iterable
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
        if not (0 <= self.length < math.inf and 0 <= self.coverage < math.inf):  # nor are they "not a number"
            raise ValueError(
                f"penalties are finite and not negative, got length={self.length} and coverage={self.coverage}"
            )

    def divisor(self, tokens: int) -> float:
        """((5 + T) / 6)^alpha."""
        return ((5.0 + tokens) / 6.0) ** self.length

    def covered(self, received: Tensor, is_token: Tensor) -> Tensor:
        """The coverage term [R] of attention received by each source word [R, S]."""
        logs = received.clamp(1e-9, 1.0).log().masked_fill(~is_token, 0.0)
        return self.coverage * logs.sum(-1)


@dataclass(frozen=True)
class Entering:
    """Sentences which enter a search together, before their first word.

    Args:
        state: what the model's `start` gives.
        longest: limit of each sentence's length, the end token included, [B].
        is_source: which places of the source hold a token, [B, S]; needed for coverage and alignments.
    """

    state: Any
    longest: Tensor
    is_source: Tensor | None = None

    def __post_init__(self):
        if int(self.longest.min()) < 1:
            raise ValueError(f"a translation holds at least the end token, got a limit of {int(self.longest.min())}")


@torch.no_grad()
def beam_search(
    step: Step,
    entering: Iterable[Entering],
    *,
    end: int,
    beams: int,
    ranking: Ranking = Ranking(),
    best: int = 1,
    align: bool = False,
) -> list[list[Hypothesis]]:
    """The `best` hypotheses of each sentence, best first; the sentences in the order in which they entered.

    Where the limit cuts every hypothesis of a sentence off, the open ones are given, by their log-probability, and say
    that they are not finished.

    Args:
        step: last words [R] (None at first) and state -> scores [R, V] and state.
        entering: sentences by the batch. The next batch is asked for when those at work have no more hypotheses left
            than a batch brings, and joins them, so that products stay large.
        end: id of the end token.
        beams: open hypotheses a sentence; 1 is greedy decoding.
        ranking: how finished hypotheses compare.
        best: hypotheses to give for each sentence, at most `beams`.
        align: keep the weights over the source of every step; `state.alignment` must give them.

    Raises:
        ValueError: if `best` exceeds `beams`, or a limit is not positive.
    """
    if not 1 <= best <= beams:
        raise ValueError(f"best must lie between 1 and beams={beams}, got {best}")
    search = _Search(end, beams, ranking, best, align)
    work, following, usual = None, iter(entering), 0
    while True:
        # alignments of one search are of one source width: with them a batch waits until all before it are done
        while work is None or (len(work.words) <= usual and not search.watches):
            batch = next(following, None)
            if batch is None:
                break
            scores, state = step(None, batch.state)
            fresh = search.choose(scores, state, search.enter(batch))
            if fresh is not None:
                usual = len(fresh.words)
                work = fresh if work is None else work.join(fresh)
        if work is None:
            return search.results()
        scores, state = step(work.words, work.state)
        work = search.choose(scores, state, work.lines)


@dataclass
class _Lines:
    """What is known of each sentence at work: one line a sentence."""

    sentences: list[int]  # their numbers, in the order in which they entered
    lengths: list[int]  # words chosen so far
    logs: Tensor  # log-probabilities of the open hypotheses, -inf where there is none, [A, N]
    nodes: Tensor  # where in the history each row of the state ends, [R]
    received: Tensor | None  # attention which source words received so far, [R, S]
    is_source: Tensor | None  # [A, S]


@dataclass
class _Work:
    """Chosen words, with which the model makes its next step."""

    words: Tensor  # [R]
    state: Any
    lines: _Lines

    def join(self, other: "_Work") -> "_Work":
        """Both, to go on as one batch."""
        one, two = self.lines, other.lines
        logs, nodes = torch.cat([one.logs, two.logs]), torch.cat([one.nodes, two.nodes])
        lines = _Lines(one.sentences + two.sentences, one.lengths + two.lengths, logs, nodes, None, None)
        return _Work(torch.cat([self.words, other.words]), self.state.join(other.state), lines)


@dataclass(frozen=True)
class _Finished:
    """An entry of a sentence's list: where in the history its words are read."""

    score: float
    log_probability: float
    node: int  # its last word but the end token
    weights: tuple[int, int] | None  # the alignment of the end token: step and row
    is_cut: bool = False


class _Search:
    """What all sentences of a search share, and what was found of each."""

    def __init__(self, end: int, beams: int, ranking: Ranking, best: int, align: bool):
        self.end, self.beams, self.ranking, self.best, self.align = end, beams, ranking, best, align
        self.watches = align or ranking.coverage > 0
        self.found: list[list[_Finished]] = []
        self.limits: list[int] = []
        self.floors: list[float] = []  # log-probability which a hypothesis must exceed to be worth going on with
        self.history = _History()

    def enter(self, batch: Entering) -> _Lines:
        """Lines of new sentences."""
        if self.watches and batch.is_source is None:
            raise ValueError("coverage and alignments need is_source")
        count, device = len(batch.longest), batch.state.hypotheses.places.device
        first = len(self.found)
        self.found += [[] for _ in range(count)]
        self.limits += batch.longest.tolist()
        self.floors += [-math.inf] * count
        nodes = torch.full((count,), _ROOT, device=device)
        numbers = list(range(first, first + count))
        return _Lines(numbers, [0] * count, torch.zeros(count, 1, device=device), nodes, None, batch.is_source)

    def choose(self, scores: Tensor, state: Any, lines: _Lines) -> _Work | None:
        """The words with which each sentence goes on; None where no sentence does."""
        hypotheses: Hypotheses = state.hypotheses
        received, covered = lines.received, None
        if self.watches:
            self.history.weights.append(state.alignment)
            received = state.alignment if received is None else received + state.alignment
            if self.ranking.coverage and lines.is_source is not None:
                covered = self.ranking.covered(received, lines.is_source[hypotheses.owners])
        # a single hypothesis follows the best word alone, even where that is the end
        wide = 2 * self.beams if self.beams > 1 else 1
        values, parents, tokens = _candidates(scores, lines.logs, hypotheses, wide)
        rows, is_end = hypotheses.rows.gather(1, parents), tokens == self.end
        lengths = [length + 1 for length in lines.lengths]
        for line, log, row, node, extra in _ends(is_end, values, rows, lines.nodes, covered):
            score = log / self.ranking.divisor(lengths[line]) + extra
            self.finish(lines.sentences[line], score, log, node, row)
        # the best open candidates, in their order: 2 * beams candidates hold at most `beams` ends
        kept = torch.sort(is_end.to(torch.int8), dim=1, stable=True).indices[:, : self.beams]
        logs = values.gather(1, kept).masked_fill(is_end.gather(1, kept), -torch.inf)
        rows, words = rows.gather(1, kept), tokens.gather(1, kept)
        goes_on = logs > logs.new_tensor([self.floors[sentence] for sentence in lines.sentences])[:, None]
        for line, sentence in enumerate(lines.sentences):
            if lengths[line] >= self.limits[sentence]:
                goes_on[line] = False
                if not self.found[sentence]:
                    self.cut(sentence, lines.nodes, logs[line], rows[line], words[line])
        alive = goes_on.any(1).nonzero()[:, 0]
        if not len(alive):
            return None
        sentences, is_source = lines.sentences, lines.is_source
        if len(alive) <= _CROWDED * len(sentences):
            logs, rows, words, goes_on = (x[alive] for x in (logs, rows, words, goes_on))
            sentences, lengths = ([own[line] for line in alive.tolist()] for own in (sentences, lengths))
            is_source = None if is_source is None else is_source[alive]
        else:
            alive = None
        logs, rows, words = logs.masked_fill(~goes_on, -torch.inf), rows[goes_on], words[goes_on]
        nodes = self.history.add(lines.nodes[rows], words, rows)
        received = None if received is None else received[rows]
        hypotheses = Hypotheses(len(sentences), self.beams, goes_on.flatten().nonzero()[:, 0])
        lines = _Lines(sentences, lengths, logs, nodes, received, is_source)
        return _Work(words, state.select(rows, hypotheses, alive), lines)

    def finish(self, sentence: int, score: float, log: float, node: int, row: int) -> None:
        """Enter a finished hypothesis into its sentence's list, and see what open ones must exceed from now on."""
        own, weights = self.found[sentence], (len(self.history.weights) - 1, row)
        _enter(own, _Finished(score, log, node, weights), max(self.best, self.beams))
        if len(own) >= self.best:
            # a log-probability only falls, and no length divides it by more than the longest; coverage adds at most 0
            self.floors[sentence] = own[self.best - 1].score * self.ranking.divisor(self.limits[sentence])

    def cut(self, sentence: int, nodes: Tensor, logs: Tensor, rows: Tensor, words: Tensor) -> None:
        """Take the best open hypotheses [N] of a sentence as they stand."""
        last = self.history.add(nodes[rows], words, rows).tolist()
        ranked = list(zip(logs.tolist(), last, strict=True))[: self.best]
        self.found[sentence] = [_Finished(log, log, node, None, True) for log, node in ranked if log > -math.inf]

    def results(self) -> list[list[Hypothesis]]:
        """The best hypotheses of each sentence."""
        self.history.close()
        return [[self.history.read(one, self.align) for one in own[: self.best]] for own in self.found]


# The node before every first word.
_ROOT = -1


class _History:
    """Every chosen word as a node of a tree, from which a hypothesis is read backwards."""

    def __init__(self):
        self.weights: list[Tensor] = []  # of each step: alignments [R, S]
        self._size = 0
        self._parts: list[tuple[Tensor, Tensor, Tensor, int]] = []
        self._nodes: list[tuple[int, int, int, int]] = []  # parent, word, and where its alignment lies: step and row

    def add(self, parents: Tensor, words: Tensor, rows: Tensor) -> Tensor:
        """Add words [R] after `parents`, chosen by the scores of `rows` at the last step; gives their nodes."""
        self._parts.append((parents, words, rows, len(self.weights) - 1))
        self._size += len(words)
        return torch.arange(self._size - len(words), self._size, device=words.device)

    def close(self) -> None:
        """Make all nodes ready to be read."""
        for parents, words, rows, step in self._parts:
            columns = (parents.tolist(), words.tolist(), [step] * len(words), rows.tolist())
            self._nodes += zip(*columns, strict=True)

    def read(self, found: _Finished, align: bool) -> Hypothesis:
        """The words of a hypothesis, and its alignment."""
        words, places, node = [], [] if found.weights is None else [found.weights], found.node
        while node != _ROOT:
            node, word, step, row = self._nodes[node]
            words.append(word)
            places.append((step, row))
        alignment = torch.stack([self.weights[step][row] for step, row in places[::-1]]) if align else None
        return Hypothesis(words[::-1], found.score, found.log_probability, not found.is_cut, alignment)


def _ends(
    is_end: Tensor, values: Tensor, rows: Tensor, nodes: Tensor, covered: Tensor | None
) -> list[tuple[int, float, int, int, float]]:
    """The candidates which end: line, log-probability, the row which they end, its node, and what coverage adds."""
    lines, places = (is_end & values.isfinite()).nonzero(as_tuple=True)
    own, logs = rows[lines, places], values[lines, places]
    extra = [0.0] * len(lines) if covered is None else covered[own].tolist()
    return list(zip(lines.tolist(), logs.tolist(), own.tolist(), nodes[own].tolist(), extra, strict=True))


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
    within = min(wide, scores.shape[-1])
    parts = [scores] if scores.is_cuda else scores.split(_ROWS)
    best = [_best_words(part, within) for part in parts]
    values, tokens = (torch.cat(column) for column in zip(*best, strict=True))
    values = hypotheses.spread(values, -torch.inf) + logs[:, :, None]
    values, places = values.flatten(1).topk(min(wide, values[0].numel()), -1)
    tokens = hypotheses.spread(tokens).flatten(1).gather(1, places)
    missing = (0, wide - values.shape[1])
    return F.pad(values, missing, value=-torch.inf), F.pad(places // within, missing), F.pad(tokens, missing)


# Rows of scores which are worked on together: few enough to stay in a processor's cache.
_ROWS = 16


def _best_words(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Log-probability and id of the `count` best words of each row [R, V], best first."""
    scores = scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores
    values, words = _largest(scores, count)
    return values - scores.logsumexp(-1, keepdim=True), words


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

"""Which tokens XLNet predicts, and in which order it reads (Yang et al. 2019, sections 2.2, 2.3 and 2.5).

A sequence has two parts, `reuse` tokens of running text and two segments behind them; the states of the first part are
what the next sequence remembers. The order of factorisation is one number a token, and says all:

    the content of i may be told from that of j   where order[j] <= order[i]
    token i is predicted from that of j           where order[j] < order[i]

Tokens which are only read have the least number of their part; each token which is predicted, and each separator and
summary, has one of its own. No token of the first part sees one of the second, which sees all of the first.

The paper predicts the last tokens of the order ("partial prediction", section 2.3); here, as in the authors' code, it
is spans of words which are predicted, and all the rest is read before them.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from regard.data.masking import drawn_size, longest_run, word_spans
from regard.data.sentence_store import SentenceStore

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Permuting:
    """How the tokens which are predicted are chosen and ordered; the defaults are the authors'.

    Spans of n words are predicted, n with p(n) proportional to 1 / n, each somewhere among `context` · n words which
    are read. A word is a whole one, as in the paper; the authors' code means to count words and counts pieces, which is
    what comes out without `begins_word`.

    Raises:
        ValueError: if a value is out of its range.
    """

    begins_word: Sequence[bool] | None = field(default=None, repr=False)  # of each id
    one_in: int = 6  # K: of how many tokens one is predicted, 85 of 512
    longest: int = 5  # words of a span
    context: int = 6  # words which are read for each that is predicted in a span
    window: int = 256  # positions which are permuted among themselves; windows stay in their order

    def __post_init__(self):
        if self.one_in < 2:
            raise ValueError(f"one_in must be 2 or more, since something must be read, got {self.one_in}")
        for name in ("longest", "context", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")

    def goals(self, length: int, reuse: int) -> tuple[int, int]:
        """How many tokens of each part are predicted, 43 and 42 of 256 and 256; the second part has 3 special ones."""
        predicted = max(1, length // self.one_in)
        first = min(-(-predicted * reuse // length), reuse)
        return first, min(predicted - first, length - reuse - 3)

    def chosen(self, ids: Sequence[int], special: Container[int], goal: int, random: Random) -> list[int]:
        """Positions of just `goal` tokens which are predicted, ascending; none of them special.

        Spans of words first, then single tokens anywhere for what is missing.
        """
        spans = word_spans(ids, special, self.begins_word)
        found: list[int] = []
        before = 0  # words which are done with
        while len(found) < goal:
            words = min(drawn_size(self.longest, random), goal - len(found))
            first = before + random.randrange(words * self.context)
            if first >= len(spans):
                break
            found.extend(range(*longest_run(spans, first, words, goal - len(found))))
            before += words * (1 + self.context)
        taken = set(found)
        others = [place for place, id in enumerate(ids) if place not in taken and id not in special]
        return sorted(found + random.sample(others, goal - len(found)))

    def order(self, is_ranked: NDArray[np.bool_], parts: Sequence[int], random: Random) -> Integers:
        """The number of each token in the order of factorisation.

        Args:
            is_ranked: whether a token is predicted or special, and so has a number of its own.
            parts: lengths of the parts, which see those before them.
        """
        orders, begins, before = [], 0, 0
        for length in parts:
            turns = list(range(min(self.window, length)))
            random.shuffle(turns)  # one permutation for every window, as in the authors' code
            places = np.arange(length)
            own = before + 1 + places // self.window * self.window + np.array(turns)[places % self.window]
            orders.append(np.where(is_ranked[begins : begins + length], own, before))
            begins += length
            before += 1 + -(-length // self.window) * self.window
        return np.concatenate(orders)


@dataclass(frozen=True)
class Lane:
    """Ids of a store which are read one after the other, maybe from the last to the first; places count as read."""

    store: SentenceStore
    start: int
    stop: int
    is_backward: bool = False

    def __len__(self) -> int:
        return self.stop - self.start

    def ids(self, first: int, last: int) -> list[int]:
        """The ids from one place to before another."""
        if self.is_backward:
            return self.store.ids(self.stop - last, self.stop - first)[::-1]
        return self.store.ids(self.start + first, self.start + last)

    def cuts(self, first: int, last: int) -> list[int]:
        """Places after the first and before the last with which another sentence begins."""
        if self.is_backward:
            starts = self.store.starts(self.stop - last + 1, self.stop - first)
            return (self.stop - starts[::-1]).tolist()
        return (self.store.starts(self.start + first + 1, self.start + last) - self.start).tolist()

    def sentence(self, place: int) -> int:
        """The place with which the sentence begins that stands at this one."""
        if self.is_backward:
            return max(0, self.stop - self.store.end_of(self.stop - 1 - place))
        return max(0, self.store.start_of(self.start + place) - self.start)

    def segments(self, first: int, room: int, random: Random) -> tuple[list[int], list[int]]:
        """Two segments which have `room` tokens together, the first from this place on.

        It ends with a sentence; one of two goes on with what follows there, the other with a sentence from anywhere in
        the store and what follows that. A sentence too long to end within is cut, where the authors' code would always
        go on elsewhere.
        """
        cuts = self.cuts(first, first + room)
        middle = random.choice(cuts) if cuts else first + random.randint(1, room - 1)
        if random.random() < 0.5:
            return self.ids(first, middle), self.ids(middle, first + room)
        everywhere = Lane(self.store, 0, self.store.tokens, self.is_backward)
        wanted = first + room - middle
        place = everywhere.sentence(random.randint(0, len(everywhere) - wanted))
        return self.ids(first, middle), everywhere.ids(place, place + wanted)


def may_attend(order: Tensor, is_target: Tensor) -> Tensor:
    """Whether position i may see the content of position j, [..., T] -> [..., T, T]; a target does not see itself.

    What a target's own content sees is `order[j] <= order[i]`.
    """
    earlier = order[..., None, :] < order[..., :, None]
    together = order[..., None, :] == order[..., :, None]
    return earlier | (together & ~is_target[..., :, None])

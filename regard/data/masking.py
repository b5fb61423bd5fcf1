"""Which tokens an encoder must find, and what stands in their place (Devlin et al. 2019, section 3.1).

Where the authors' code says more than the papers, or less, it is noted; `random.Random` is asked in its order, so that
the same seed gives the same masks.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import NamedTuple

Span = tuple[int, int]  # from one place to before another


class Hidden(NamedTuple):
    """A sequence of which some tokens are to be found."""

    ids: list[int]  # what is read
    positions: list[int]  # of the tokens to be found, ascending
    words: list[int]  # their true ids


@dataclass(frozen=True)
class Masking:
    """How tokens are chosen and hidden: single pieces as in BERT, whole words, or up to `longest` words together.

    ALBERT hides up to three words together, n of them with p(n) proportional to 1 / n (Lan et al. 2020, section 4.1).
    As in both codes, the number which is to be found is a share of the sequence with its special tokens, and a run of
    words is shorter where the text ends. Unlike there, neither a run nor a word goes on behind a special token.

    Raises:
        ValueError: if a value is out of its range, or whole words are asked for and nothing tells where one begins.
    """

    mask: int  # the id which stands for a hidden token
    vocabulary: int  # ids, special ones included
    begins_word: Sequence[bool] = field(default=(), repr=False)  # of each id
    longest: int = 0  # words hidden together at most; 0 hides pieces, whatever their word
    share: float = 0.15  # of the tokens
    most: int = 0  # tokens of a sequence at most; 0 sets no limit

    def __post_init__(self):
        if not 0 <= self.mask < self.vocabulary:
            raise ValueError(f"mask must be one of {self.vocabulary} ids, got {self.mask}")
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"share must lie between 0 and 1, got {self.share}")
        if self.longest < 0 or self.most < 0:
            raise ValueError(f"longest and most must not be negative, got {self.longest} and {self.most}")
        if self.longest and len(self.begins_word) != self.vocabulary:
            raise ValueError(
                f"whole words need begins_word for each of {self.vocabulary} ids, got {len(self.begins_word)}"
            )

    def hide(self, ids: Sequence[int], special: Container[int], random: Random) -> Hidden:
        """Choose tokens of a sequence which are not special, and hide them.

        "we replace the i-th token with (1) the [MASK] token 80% of the time (2) a random token 10% of the time (3) the
        unchanged i-th token 10% of the time". The random token is any of the vocabulary, special ones too.
        """
        number = max(1, round(len(ids) * self.share))
        read = list(ids)
        chosen = self._chosen(ids, special, min(number, self.most) if self.most else number, random)
        for position in chosen:
            if random.random() < 0.8:
                read[position] = self.mask
            elif random.random() >= 0.5:
                read[position] = random.randint(0, self.vocabulary - 1)
        chosen.sort()
        return Hidden(read, chosen, [ids[position] for position in chosen])

    def _chosen(self, ids: Sequence[int], special: Container[int], number: int, random: Random) -> list[int]:
        """Positions, at most `number`, in the order in which they were drawn."""
        spans = word_spans(ids, special, self.begins_word if self.longest else None)
        turns = list(range(len(spans)))
        random.shuffle(turns)
        if not self.longest:
            return [spans[turn][0] for turn in turns[:number]]
        chosen: list[int] = []
        for turn in turns:
            if len(chosen) == number:
                break
            size = drawn_size(self.longest, random) if self.longest > 1 else 1
            start, stop = longest_run(spans, turn, size, number - len(chosen))
            if stop > start and not any(position in chosen for position in range(start, stop)):
                chosen.extend(range(start, stop))
        return chosen


def word_spans(ids: Sequence[int], special: Container[int], begins_word: Sequence[bool] | None) -> list[Span]:
    """Where the words of a sequence stand, or its pieces without `begins_word`; special tokens are none."""
    if begins_word is None:
        return [(place, place + 1) for place, id in enumerate(ids) if id not in special]
    starts, stops, goes_on = [], [], False
    for place, id in enumerate(ids):
        if id in special:
            goes_on = False
        elif goes_on and not begins_word[id]:
            stops[-1] = place + 1
        else:
            starts.append(place)
            stops.append(place + 1)
            goes_on = True
    return list(zip(starts, stops, strict=True))


def longest_run(spans: Sequence[Span], first: int, words: int, room: int) -> Span:
    """The longest run of whole words from the first on: so many at most, in `room` tokens; empty where none has room.

    It ends at the latest before a special token or with the sequence.
    """
    start = stop = spans[first][0]
    for begins, ends in spans[first : first + words]:
        if begins != stop or ends - start > room:
            break
        stop = ends
    return start, stop


def drawn_size(longest: int, random: Random) -> int:
    """A number of words n from 1 to `longest`, with p(n) proportional to 1 / n."""
    sizes = range(1, longest + 1)
    return random.choices(sizes, cum_weights=list(accumulate(1 / size for size in sizes)))[0]

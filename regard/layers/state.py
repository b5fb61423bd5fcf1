"""What a decoder keeps between its steps. Every state can be re-ordered, which is all that beam search asks.

The rows of a state are hypotheses, those of one sentence together. What belongs to the sentence (the encoder's output)
is kept once a sentence, however many hypotheses it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from regard.attention.masks import Banded, Causal, Mask, Pattern
from regard.attention.packing import Packed


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Where the rows of a state stand: in a table of sentences by beams, not all places of which are taken.

    Args:
        sentences: B.
        beams: N, places of each sentence.
        places: of each row, b * N + n, ascending: [R].
    """

    sentences: int
    beams: int
    places: Tensor

    @classmethod
    def one_each(cls, sentences: int, device: torch.device | str = "cpu") -> "Hypotheses":
        """One a sentence, as there is before the first word."""
        return cls(sentences, 1, torch.arange(sentences, device=device))

    @cached_property
    def owners(self) -> Tensor:
        """The sentence of each row, [R]."""
        return self.places // self.beams

    @cached_property
    def rows(self) -> Tensor:
        """The row in each place, [B, N], and -1 where there is none."""
        rows = torch.full((self.sentences * self.beams,), -1, device=self.places.device)
        return rows.index_copy_(0, self.places, torch.arange(len(self.places), device=rows.device)).unflatten(
            0, (self.sentences, self.beams)
        )

    @property
    def is_full(self) -> bool:
        """Whether every place is taken."""
        return len(self.places) == self.sentences * self.beams

    def join(self, other: "Hypotheses") -> "Hypotheses":
        """Both tables, the other below."""
        if self.beams != other.beams:
            raise ValueError(f"tables of {self.beams} and {other.beams} places a sentence cannot join")
        places = torch.cat([self.places, other.places + self.sentences * self.beams])
        return Hypotheses(self.sentences + other.sentences, self.beams, places)

    def spread(self, rows: Tensor, empty: float = 0.0) -> Tensor:
        """Rows [R, ...] -> table [B, N, ...], which holds `empty` where there is none."""
        if not self.is_full:
            table = rows.new_full((self.sentences * self.beams, *rows.shape[1:]), empty)
            rows = table.index_copy_(0, self.places, rows)
        return rows.unflatten(0, (self.sentences, self.beams))

    def gather(self, table: Tensor) -> Tensor:
        """Table [B, N, ...] -> rows [R, ...]."""
        rows = table.flatten(0, 1)
        return rows if self.is_full else rows.index_select(0, self.places)


class State(Protocol):
    """What `start` makes, and `step` takes and gives back."""

    hypotheses: Hypotheses

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> Self:
        """Go on with the rows `rows` [R'] as `hypotheses`.

        Args:
            rows: each comes from the sentence in which it will stand; it may be named more than once.
            hypotheses: where they stand from now on.
            sentences: those which are kept, where not all of them are; `hypotheses` counts these alone.
        """
        ...

    def join(self, other: Self) -> Self:
        """Both, to go on as one; each sentence keeps its own time."""
        ...


def stacked(one: Tensor, other: Tensor, dimension: int = 1) -> Tensor:
    """[B, ...] on top of [C, ...]; the shorter one is filled up with zeros along `dimension`."""
    longest = max(one.shape[dimension], other.shape[dimension])
    result = one.new_empty(len(one) + len(other), *one.shape[1:dimension], longest, *one.shape[dimension + 1 :])
    for rows, part in ((result[: len(one)], one), (result[len(one) :], other)):
        own = part.shape[dimension]
        rows.narrow(dimension, 0, own).copy_(part)
        rows.narrow(dimension, own, longest - own).zero_()
    return result


@dataclass(frozen=True, eq=False)
class Slots:
    """Where in a cache the keys and values of new positions are written.

    Args:
        hypotheses: whose positions they are, one a row.
        places: of each row, [R].
        length: how many places are in use afterwards.
        overwrites: whether some of them held positions before.
        place: the one of all rows, where they have the same and each sentence has one.
    """

    hypotheses: Hypotheses
    places: Tensor
    length: int
    overwrites: bool = False
    place: int | None = None


class KeyValueCache:
    """Keys and values of the positions of B sentences, [B, H, P, K] each.

    Changes are made where the memory lies, as long as nobody else does; a cache whose past was left alone can still be
    gone on from, in memory of its own, and one which lost something says so.
    """

    def __init__(self, memory: "_Memory | None" = None, sentences: int = 0, length: int = 0):
        self._memory, self.sentences, self.length = memory, sentences, length
        self._turn = 0 if memory is None else memory.turn

    @classmethod
    def of(cls, key: Tensor, value: Tensor) -> "KeyValueCache":
        """A cache which holds these keys and values, [B, H, P, K] each."""
        return cls(_Memory(key.contiguous(), value.contiguous()), key.shape[0], key.shape[2])

    def held(self) -> tuple[Tensor, Tensor]:
        """Keys and values, [B, H, P, K] each.

        Raises:
            RuntimeError: if something of them has been written over.
        """
        memory = self._memory
        if memory is None:
            raise ValueError("the cache holds nothing yet")
        if memory.lost > self._turn:
            raise RuntimeError(
                "this state was gone on from, and some of what it held has been written over: go on from the state "
                "which came of it, or begin anew"
            )
        key, value = (x.narrow(0, 0, self.sentences).narrow(2, 0, self.length) for x in (memory.key, memory.value))
        return key, value

    def select(self, sentences: Tensor, length: int | None = None) -> "KeyValueCache":
        """Keep sentences, in that order, and their first `length` positions."""
        if self._memory is None:
            return self
        length = self.length if length is None else length
        kept = [x[:, :, :length].index_select(0, sentences) for x in self.held()]
        if len(sentences) > self.sentences or self._memory.turn != self._turn:
            return KeyValueCache.of(*kept)
        memory = self._memory
        memory.key[: len(sentences), :, :length], memory.value[: len(sentences), :, :length] = kept
        memory.write(over=True)
        return KeyValueCache(memory, len(sentences), length)

    def join(self, other: "KeyValueCache") -> "KeyValueCache":
        """The sentences of both; the shorter past is filled up with zeros."""
        length, both = max(self.length, other.length), self.sentences + other.sentences
        memory = self._own(both, length)
        memory.clear(self.sentences, self.length, length)
        for mine, theirs in zip((memory.key, memory.value), other.held(), strict=True):
            mine[self.sentences : both, :, : other.length] = theirs
            mine[self.sentences : both, :, other.length : length] = 0
        memory.write()
        return KeyValueCache(memory, both, length)

    def at(self, slots: Slots) -> "WritingCache":
        """A cache of the same past, which takes new positions in."""
        return WritingCache(self, slots)

    def _own(self, sentences: int, length: int) -> "_Memory":
        """Memory into which this cache may write, with room for so much."""
        key, value = self.held()
        memory = self._memory
        assert memory is not None
        rows, heads, places, width = memory.key.shape
        if memory.turn != self._turn or sentences > rows or length > places:
            rows = rows if sentences <= rows else max(sentences, 2 * rows)
            places = places if length <= places else max(length, 2 * places, _ROOM)
            room = rows, heads, places, width
            memory = _Memory(key.new_empty(room), value.new_empty(room))
            for new, old in ((memory.key, key), (memory.value, value)):
                new[: self.sentences, :, : self.length] = old
        return memory


class WritingCache(KeyValueCache):
    """A cache which is about to take the positions of `slots` in; once written, it holds them as well."""

    def __init__(self, past: KeyValueCache, slots: Slots):
        super().__init__(past._memory, past.sentences, past.length)
        self._turn, self.slots = past._turn, slots

    @property
    def hypotheses(self) -> Hypotheses:
        """Whose positions are written: the queries' rows."""
        return self.slots.hypotheses

    def write(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take the keys and values of new positions [R, H, K] in; gives all, [B, H, P, K] each.

        Raises:
            RuntimeError: if something of what this cache held has been written over.
        """
        slots, (_, heads, width) = self.slots, key.shape
        if self._memory is None:
            self.sentences = slots.hypotheses.sentences
            nothing = self.sentences, heads, 0, width
            self._memory = _Memory(key.new_empty(nothing), value.new_empty(nothing))
        memory = self._own(self.sentences, slots.length)
        if slots.place is not None:
            for mine, new in ((memory.key, key), (memory.value, value)):
                mine.select(2, slots.place).narrow(0, 0, self.sentences).copy_(new)
        else:
            memory.clear(self.sentences, self.length, slots.length)
            owners = slots.hypotheses.owners
            memory.key[owners, :, slots.places], memory.value[owners, :, slots.places] = key, value
        memory.write(over=slots.overwrites)
        self._memory, self.length, self._turn = memory, slots.length, memory.turn
        return self.held()


class FillingCache:
    """Takes in the keys and values of whole sequences, while they attend to one another as a packed row.

    Args:
        text: the sequences.
        pattern: what a later position will see of its past; of a band the last positions are kept alone.
    """

    hypotheses: None = None  # the queries are no rows of hypotheses

    def __init__(self, text: Packed, pattern: Pattern):
        self.pattern = pattern
        kept = text.lengths.clamp(max=pattern.width) if isinstance(pattern, Banded) else text.lengths
        place = torch.arange(int(kept.max()))
        self.is_kept = place < kept[:, None]  # [B, P]
        self.positions = (text.lengths - kept)[:, None] + place  # of each place in its sequence
        self._rows = (text.starts[:, None] + self.positions)[self.is_kept]
        self.cache = KeyValueCache()

    def write(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take in the keys and values of all tokens [N, H, K]; gives them as [1, H, N, K]."""
        self.cache = KeyValueCache.of(self._padded(key), self._padded(value))
        return key.transpose(0, 1)[None], value.transpose(0, 1)[None]

    def _padded(self, x: Tensor) -> Tensor:
        """What is kept of packed [N, H, K], as [B, H, P, K] with zeros behind it."""
        padded = x.new_zeros(*self.is_kept.shape, *x.shape[1:])
        padded[self.is_kept.to(x.device)] = x[self._rows.to(x.device)]
        return padded.transpose(1, 2)


# Positions for which memory which grows has room at least.
_ROOM = 64


@dataclass(eq=False)
class _Memory:
    """Room for keys and values. Places which a shorter sentence leaves open are zeros, since weights of 0 meet them."""

    key: Tensor  # [rows, H, places, K]
    value: Tensor
    turn: int = 0  # how often it was written to
    lost: int = -1  # the turn at which something which a cache held was last written over

    def clear(self, sentences: int, first: int, last: int) -> None:
        """Zeros into these places of the first sentences."""
        for x in (self.key, self.value):
            x[:sentences, :, first:last] = 0

    def write(self, over: bool = False) -> None:
        """It was written to; `over` what a cache held before."""
        self.turn += 1
        if over:
            self.lost = self.turn


@dataclass(frozen=True)
class Tree:
    """The hypotheses of each sentence as a tree: which places of a cache hold the past of each of them.

    A hypothesis which is kept, dropped or doubled takes its row of `past` along, and nothing in the cache moves.
    """

    past: Tensor  # boolean [B, N, P]

    @classmethod
    def root(cls, sentences: int, device: torch.device) -> "Tree":
        """One hypothesis a sentence, without a past."""
        return cls(torch.ones(sentences, 1, 0, dtype=torch.bool, device=device))

    def grow(self, hypotheses: Hypotheses) -> tuple["Tree", Slots]:
        """Every hypothesis adds a position of its own, in a place which is nobody's past."""
        before, beams = self.past.shape[2], hypotheses.beams
        past = pad(self.past, (0, beams))
        chosen = past.any(1).to(torch.int8).argsort(dim=1, stable=True)[:, :beams]  # [B, N]
        # a place without a hypothesis sees something too, since a softmax over nothing is not defined
        past = past.scatter(2, chosen[:, :, None], True)
        length = int(past.flatten(0, 1).any(0).nonzero().max()) + 1
        places = chosen.flatten()[hypotheses.places]
        lowest, highest = (int(end) for end in places.aminmax())
        place = lowest if lowest == highest and beams == 1 and hypotheses.is_full else None
        return Tree(past[:, :, :length]), Slots(hypotheses, places, length, lowest < before, place)

    def select(self, places: Tensor, hypotheses: Hypotheses) -> "Tree":
        """Go on with the hypotheses which stood in `places`."""
        return Tree(hypotheses.spread(self.past.flatten(0, 1)[places], False))

    def join(self, other: "Tree") -> "Tree":
        """The sentences of both."""
        return Tree(stacked(self.past, other.past, 2))

    def keep(self, sentences: Tensor) -> "Tree":
        """After `select`, what else is known of the sentences which stay."""
        return self

    @property
    def mask(self) -> Mask | None:
        """Each hypothesis sees its past; None where all see all."""
        past = self.past
        first = past.shape[2] - past.shape[1]  # queries are counted as the last of the positions
        return None if bool(past.all()) else Mask(lambda b, h, i, j: past[b, i - first, j])


@dataclass(frozen=True)
class PatternTree(Tree):
    """A tree whose hypotheses see a pattern of their past.

    What lies outside a band is nobody's past any more, and new positions are written there: the cache of a banded layer
    grows no further than its band.
    """

    positions: Tensor  # of what each place holds, in its text: [B, P]
    lengths: Tensor  # positions which each text has, [B]
    pattern: Pattern

    def grow(self, hypotheses: Hypotheses) -> tuple["PatternTree", Slots]:
        """As `Tree.grow`; each hypothesis lets go what it cannot see again."""
        past = self.past
        if isinstance(self.pattern, Banded):
            past = past & (self.positions > (self.lengths - self.pattern.width)[:, None])[:, None]
        tree, slots = Tree(past).grow(hypotheses)
        positions = pad(self.positions, (0, hypotheses.beams))[:, : slots.length].clone()
        positions[hypotheses.owners, slots.places] = self.lengths[hypotheses.owners]
        return PatternTree(tree.past, positions, self.lengths + 1, self.pattern), slots

    def select(self, places: Tensor, hypotheses: Hypotheses) -> "PatternTree":
        """Go on with the hypotheses which stood in `places`."""
        return replace(self, past=super().select(places, hypotheses).past)

    def keep(self, sentences: Tensor) -> "PatternTree":
        """After `select`, what else is known of the sentences which stay."""
        return replace(self, positions=self.positions[sentences], lengths=self.lengths[sentences])

    def join(self, other: Tree) -> "PatternTree":
        """The sentences of both."""
        assert isinstance(other, PatternTree)
        positions, lengths = stacked(self.positions, other.positions), torch.cat([self.lengths, other.lengths])
        return PatternTree(super().join(other).past, positions, lengths, self.pattern)

    @property
    def mask(self) -> Mask | None:
        """Each hypothesis sees what its newest position may see of its past."""
        if isinstance(self.pattern, Banded):
            return super().mask
        first, newest = self.past.shape[2] - self.past.shape[1], self.lengths - 1
        return Mask(
            lambda b, h, i, j: self.past[b, i - first, j] & self.pattern.allows(b, h, newest[b], self.positions[b, j])
        )


@dataclass(frozen=True)
class Continuation:
    """What a language model keeps of texts which it goes on with: keys and values of every layer.

    A prompt is kept once, however many hypotheses go on from it.
    """

    hypotheses: Hypotheses
    lengths: Tensor  # tokens which each text has, [B]
    patterns: tuple[Pattern, ...]  # what each layer sees of its past
    trees: dict[Pattern, Tree]  # whose past each position is
    past: tuple[KeyValueCache, ...]  # one a layer
    hidden: Tensor | None = None  # what the output layer reads at the last token of each prompt [B, D], at first

    @classmethod
    def of(cls, prompts: Packed, filled: Sequence["FillingCache"], hidden: Tensor) -> Self:
        """The state after prompts which `filled` has taken in, one a layer; `hidden` is that of their last tokens."""
        device, lengths, trees = hidden.device, prompts.lengths.to(hidden.device), {}
        for cache in filled:
            past, positions = cache.is_kept[:, None].to(device), cache.positions.to(device)
            is_all = type(cache.pattern) is Causal
            trees[cache.pattern] = Tree(past) if is_all else PatternTree(past, positions, lengths, cache.pattern)
        first, patterns = Hypotheses.one_each(len(prompts), device), tuple(one.pattern for one in filled)
        return cls(first, lengths, patterns, trees, tuple(one.cache for one in filled), hidden)

    def prompted(self) -> Tensor:
        """What the output layer reads before the first new token, [B, D].

        Raises:
            ValueError: if a token has been added since.
        """
        if self.hidden is None:
            raise ValueError("only the first step after a prompt needs no token")
        return self.hidden

    def grow(self) -> tuple["Continuation", list[Mask | None], tuple[WritingCache, ...]]:
        """Room for one more token of each hypothesis: the state which will hold it, each layer's mask and cache."""
        grown = {pattern: tree.grow(self.hypotheses) for pattern, tree in self.trees.items()}
        masks = {pattern: tree.mask for pattern, (tree, _) in grown.items()}
        past = tuple(cache.at(grown[pattern][1]) for cache, pattern in zip(self.past, self.patterns, strict=True))
        trees = {pattern: tree for pattern, (tree, _) in grown.items()}
        state = replace(self, lengths=self.lengths + 1, trees=trees, past=past, hidden=None)
        return state, [masks[pattern] for pattern in self.patterns], past

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> "Continuation":
        """Go on with `rows` as `hypotheses`."""
        places = self.hypotheses.places[rows]
        trees = {pattern: tree.select(places, hypotheses) for pattern, tree in self.trees.items()}
        state = replace(self, hypotheses=hypotheses, trees=trees, hidden=None)
        if sentences is None:
            return state
        trees = {pattern: tree.keep(sentences) for pattern, tree in trees.items()}
        past = tuple(cache.select(sentences) for cache in self.past)
        return replace(state, lengths=self.lengths[sentences], trees=trees, past=past)

    def join(self, other: "Continuation") -> "Continuation":
        """Both, to go on as one; they must come of one model."""
        theirs = dict(zip(self.patterns, other.patterns, strict=True))
        return Continuation(
            self.hypotheses.join(other.hypotheses),
            torch.cat([self.lengths, other.lengths]),
            self.patterns,
            {pattern: tree.join(other.trees[theirs[pattern]]) for pattern, tree in self.trees.items()},
            tuple(x.join(y) for x, y in zip(self.past, other.past, strict=True)),
        )


@dataclass(frozen=True)
class Recurrent:
    """The state of a recurrent decoder: tensors which belong to hypotheses, and tensors which belong to sentences."""

    hypotheses: Hypotheses
    own: tuple[Tensor, ...]  # [R, ...]
    source: tuple[Tensor, ...] = ()  # [B, ...]
    alignment: Tensor | None = None  # weights over the source at the last step, [R, S]

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> "Recurrent":
        """Go on with `rows` as `hypotheses`."""
        source = self.source if sentences is None else tuple(x[sentences] for x in self.source)
        return Recurrent(hypotheses, tuple(x[rows] for x in self.own), source)

    def join(self, other: "Recurrent") -> "Recurrent":
        """Both, to go on as one; the shorter sources are filled up with zeros."""
        own = tuple(torch.cat(pair) for pair in zip(self.own, other.own, strict=True))
        source = tuple(stacked(x, y) for x, y in zip(self.source, other.source, strict=True))
        return Recurrent(self.hypotheses.join(other.hypotheses), own, source)

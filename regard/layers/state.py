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

from regard.attention.masks import Mask
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
    """

    hypotheses: Hypotheses
    places: Tensor
    length: int
    overwrites: bool = False


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
        return memory.key[: self.sentences, :, : self.length], memory.value[: self.sentences, :, : self.length]

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
        for mine, theirs in zip((memory.key, memory.value), other.held(), strict=True):
            mine[self.sentences : both, :, : other.length] = theirs
            mine[self.sentences : both, :, other.length : length] = 0
        memory.write()
        return KeyValueCache(memory, both, length)

    def at(self, slots: Slots) -> "WritingCache":
        """A cache of the same past, which takes new positions in."""
        return WritingCache(self, slots)

    def _own(self, sentences: int, length: int) -> "_Memory":
        """Memory into which this cache may write, with room for so much; zeros follow what its sentences hold."""
        memory, (key, value) = self._memory, self.held()
        assert memory is not None
        rows, heads, places, width = memory.key.shape
        if memory.turn != self._turn or sentences > rows or length > places:
            rows = rows if sentences <= rows else max(sentences, 2 * rows)
            places = places if length <= places else max(length, 2 * places, _ROOM)
            room = rows, heads, places, width
            memory = _Memory(key.new_empty(room), value.new_empty(room))
            for new, old in ((memory.key, key), (memory.value, value)):
                new[: self.sentences, :, : self.length] = old
        for x in (memory.key, memory.value):
            x[: self.sentences, :, self.length : length] = 0
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
        owners = slots.hypotheses.owners
        memory.key[owners, :, slots.places], memory.value[owners, :, slots.places] = key, value
        memory.write(over=slots.overwrites)
        self._memory, self.length, self._turn = memory, slots.length, memory.turn
        return self.held()


class FillingCache:
    """Takes in the keys and values of whole sequences, while they attend to one another as a packed row.

    Args:
        text: the sequences.
        reach: how many positions of each will be seen again, its last ones; None for all.
    """

    hypotheses: None = None  # the queries are no rows of hypotheses

    def __init__(self, text: Packed, reach: int | None = None):
        kept = text.lengths if reach is None else text.lengths.clamp(max=reach)
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
        return Tree(past[:, :, :length]), Slots(hypotheses, places, length, int(places.min()) < before)

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
class RecentTree(Tree):
    """A tree whose hypotheses see their last `reach` positions alone, the newest included.

    What is older is nobody's past, and new positions are written there: the cache grows no further than the reach.
    """

    positions: Tensor  # of what each place holds, in its sentence: [B, P]
    lengths: Tensor  # positions which each sentence has, [B]
    reach: int

    def grow(self, hypotheses: Hypotheses) -> tuple["RecentTree", Slots]:
        """As `Tree.grow`, when every hypothesis has let its oldest position go."""
        is_near = self.positions > (self.lengths - self.reach)[:, None]
        tree, slots = Tree(self.past & is_near[:, None]).grow(hypotheses)
        positions = pad(self.positions, (0, hypotheses.beams))[:, : slots.length].clone()
        positions[hypotheses.owners, slots.places] = self.lengths[hypotheses.owners]
        return RecentTree(tree.past, positions, self.lengths + 1, self.reach), slots

    def select(self, places: Tensor, hypotheses: Hypotheses) -> "RecentTree":
        """Go on with the hypotheses which stood in `places`."""
        return replace(self, past=super().select(places, hypotheses).past)

    def keep(self, sentences: Tensor) -> "RecentTree":
        """After `select`, what else is known of the sentences which stay."""
        return replace(self, positions=self.positions[sentences], lengths=self.lengths[sentences])

    def join(self, other: Tree) -> "RecentTree":
        """The sentences of both."""
        assert isinstance(other, RecentTree)
        positions, lengths = stacked(self.positions, other.positions), torch.cat([self.lengths, other.lengths])
        return RecentTree(super().join(other).past, positions, lengths, self.reach)


@dataclass(frozen=True)
class Continuation:
    """What a language model keeps of texts which it goes on with: keys and values of every layer.

    A prompt is kept once, however many hypotheses go on from it.
    """

    hypotheses: Hypotheses
    lengths: Tensor  # tokens which each text has, [B]
    reaches: tuple[int | None, ...]  # how many positions each layer sees; None for all
    trees: dict[int | None, Tree]  # by reach: whose past each position is
    past: tuple[KeyValueCache, ...]  # one a layer
    hidden: Tensor | None = None  # what the output layer reads at the last token of each prompt [B, D], at first

    @classmethod
    def of(cls, prompts: Packed, reaches: Sequence[int | None], filled: Sequence[FillingCache], hidden: Tensor) -> Self:
        """The state after prompts which `filled` has taken in, one a layer; `hidden` is that of their last tokens."""
        device, lengths, trees = hidden.device, prompts.lengths.to(hidden.device), {}
        for reach, cache in zip(reaches, filled, strict=True):
            past, positions = cache.is_kept[:, None].to(device), cache.positions.to(device)
            trees[reach] = Tree(past) if reach is None else RecentTree(past, positions, lengths, reach)
        first = Hypotheses.one_each(len(prompts), device)
        return cls(first, lengths, tuple(reaches), trees, tuple(one.cache for one in filled), hidden)

    def grow(self) -> tuple["Continuation", list[Mask | None], tuple[WritingCache, ...]]:
        """Room for one more token of each hypothesis: the state which will hold it, each layer's mask and cache."""
        grown = {reach: tree.grow(self.hypotheses) for reach, tree in self.trees.items()}
        masks = {reach: tree.mask for reach, (tree, _) in grown.items()}
        past = tuple(cache.at(grown[reach][1]) for cache, reach in zip(self.past, self.reaches, strict=True))
        trees = {reach: tree for reach, (tree, _) in grown.items()}
        state = replace(self, lengths=self.lengths + 1, trees=trees, past=past, hidden=None)
        return state, [masks[reach] for reach in self.reaches], past

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> "Continuation":
        """Go on with `rows` as `hypotheses`."""
        places = self.hypotheses.places[rows]
        trees = {reach: tree.select(places, hypotheses) for reach, tree in self.trees.items()}
        state = replace(self, hypotheses=hypotheses, trees=trees, hidden=None)
        if sentences is None:
            return state
        trees = {reach: tree.keep(sentences) for reach, tree in trees.items()}
        past = tuple(cache.select(sentences) for cache in self.past)
        return replace(state, lengths=self.lengths[sentences], trees=trees, past=past)

    def join(self, other: "Continuation") -> "Continuation":
        """Both, to go on as one."""
        return Continuation(
            self.hypotheses.join(other.hypotheses),
            torch.cat([self.lengths, other.lengths]),
            self.reaches,
            {reach: tree.join(other.trees[reach]) for reach, tree in self.trees.items()},
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

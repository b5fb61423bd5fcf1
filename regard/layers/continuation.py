"""Whose past each position of a cache is: the hypotheses of a sentence as a tree, and a language model's state of them.

Nothing in a cache moves when hypotheses change their places: what moves is a row of booleans.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from regard.attention.masks import Banded, Causal, Mask, Pattern
from regard.attention.packing import Packed
from regard.layers.cache import FillingCache, KeyValueCache, Slots, WritingCache
from regard.layers.state import Hypotheses, stacked


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

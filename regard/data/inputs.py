"""Framed inputs of an encoder, end to end in memory, and batches of them with what is to be learnt of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.attention.packing import Packed, sent
from regard.data.loading import Cursor, Pooled
from regard.data.order import permuted
from regard.data.stretches import places
from regard.text.framing import Framing, shortened
from regard.text.tokenizer import Tokenizer

Integers = NDArray[np.int64]
Ids = Sequence[int] | NDArray[np.integer]
Pairs = Literal["joined", "both", "apart"]  # a pair is one input; or two, in both orders; or two, each text its own


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs as ids [N] and segments [N], end to end, and where each starts, with the end of the last [B + 1]."""

    ids: NDArray[np.int32]
    segments: NDArray[np.uint8]
    starts: Integers

    @classmethod
    def of(cls, framed: Sequence[tuple[Ids, Ids]]) -> Self:
        """Inputs from the ids and segments of each."""
        lengths = np.fromiter((len(ids) for ids, _ in framed), np.int64, len(framed))
        total = int(lengths.sum())
        ids = np.fromiter((id for ids, _ in framed for id in ids), np.int32, total)
        segments = np.fromiter((segment for _, segments in framed for segment in segments), np.uint8, total)
        return cls(ids, segments, np.concatenate([[0], lengths.cumsum()]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Integers:
        """Tokens of each."""
        return np.diff(self.starts)

    def packed(self, chosen: Integers) -> tuple[Packed, Tensor]:
        """The chosen inputs end to end, and the segment of each token."""
        spread, lengths = _spread(self.starts, chosen), self.starts[chosen + 1] - self.starts[chosen]
        text = Packed(torch.from_numpy(self.ids[spread].astype(np.int64)), torch.from_numpy(lengths))
        return text, torch.from_numpy(self.segments[spread].astype(np.int64))


def _spread(starts: Integers, chosen: Integers) -> Integers:
    """The places of the chosen stretches, of which each begins where `starts` says and ends where the next begins."""
    return places(starts[chosen], starts[chosen + 1] - starts[chosen])


def require_two(texts: Sequence[Sequence[str]], pairs: Pairs, places: Sequence[str] = ()) -> None:
    """Refuse single texts where a pair is two inputs.

    Raises:
        ValueError: names the first of them, and its place where it has one.
    """
    if pairs == "joined":
        return
    alone = next((number for number, parts in enumerate(texts) if len(parts) < 2), None)
    if alone is not None:
        where = f"{places[alone]}: " if places and places[alone] else ""
        how = "pairs are read in both orders" if pairs == "both" else "two texts are compared"
        raise ValueError(f"{where}{how} here, got one text, {texts[alone][0][:60]!r}; give two")


def frame_texts(
    texts: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    framing: Framing,
    longest: int,
    *,
    pairs: Pairs = "joined",
    places: Sequence[str] = (),
) -> tuple[Inputs, int]:
    """Texts, or pairs of them, as inputs of `longest` tokens at most; and how many had to be cut for that.

    Errors name the place of a text, where these have places.

    Raises:
        ValueError: if not even one token of each text fits, or there is one text where a pair is two inputs.
    """
    require_two(texts, pairs, places)
    if pairs == "apart":
        return frame_texts([(part,) for parts in texts for part in parts], tokenizer, framing, longest)
    flat = tokenizer.encode_batch([part for parts in texts for part in parts])
    framed, place, cut = [], 0, 0
    for parts in texts:
        ids = flat[place : place + len(parts)]
        place += len(parts)
        room = longest - framing.added(len(parts))
        if sum(map(len, ids)) > room:
            ids, cut = shortened(ids, room), cut + 1
        framed.append(framing.frame(*ids))
        if pairs == "both":
            framed.append(framing.frame(*ids[::-1]))
    return Inputs.of(framed), cut


@dataclass(frozen=True, eq=False)
class PackedInputs:
    """What batches of inputs share: sequences end to end, which go on from none before."""

    text: Packed  # what is read
    segments: Tensor  # of each token, [N]

    def __len__(self) -> int:
        return len(self.text)

    @property
    def goes_on(self) -> bool:
        """No batch goes on from another."""
        return False

    @property
    def extent(self) -> int:
        """Tokens of the sequences."""
        return len(self.text.tokens)


@dataclass(frozen=True, eq=False)
class LabelledBatch(PackedInputs):
    """Inputs with what is to be said of them; how many labels there are is the objective's to know."""

    labels: tuple[Tensor, ...]
    targets: int  # what a loss is divided by: examples, or words which have tags
    places: tuple[Tensor, ...] = ()  # which rows or how many inputs labels are of; they stay in host memory

    @property
    def parts(self) -> tuple[Packed | Tensor, ...]:
        """What an objective is given."""
        return self.text, self.segments, *self.labels, *self.places

    def to(self, device: torch.device | str) -> Self:
        """The same batch on `device`."""
        labels = tuple(sent(label, device) for label in self.labels)
        return type(self)(self.text.to(device), sent(self.segments, device), labels, self.targets, self.places)


_OPTIONAL = ("first", "places", "words", "owners", "may_answer")  # arrays of examples which not all tasks have


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and labels of a task.

    Args:
        inputs: one input an example, or several of each.
        labels: one row an example [E, ...]; or of several inputs an example, in their order.
        first: the first input of each example, and the end of the last [E + 1]; without, one input an example.
        places: of token-level labels: the token in its input to which each belongs [L]. Then `labels` are [L].
        words: which word of its input each of these labels is of [L].
        owners: where the labels of each input begin, with the end of the last [B + 1].
        may_answer: whether each token may be an end of an answer [N]; where a head must be told.
    """

    inputs: Inputs
    labels: Tensor
    first: Integers | None = None
    places: Integers | None = None
    words: Integers | None = None
    owners: Integers | None = None
    may_answer: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.inputs) if self.first is None else len(self.first) - 1

    def batch(self, chosen: Integers) -> LabelledBatch:
        """The chosen examples."""
        if self.first is not None:
            own = _spread(self.first, chosen)
            counts = torch.from_numpy(self.first[chosen + 1] - self.first[chosen])
            text, segments = self.inputs.packed(own)
            return LabelledBatch(text, segments, (self.labels[chosen],), len(chosen), (counts,))
        text, segments = self.inputs.packed(chosen)
        if self.may_answer is not None:
            marks = torch.from_numpy(self.may_answer[_spread(self.inputs.starts, chosen)])
            return LabelledBatch(text, segments, (self.labels[chosen], marks), len(chosen))
        if self.places is None or self.owners is None:
            return LabelledBatch(text, segments, (self.labels[chosen],), len(chosen))
        own = _spread(self.owners, chosen)
        counts = self.owners[chosen + 1] - self.owners[chosen]
        rows = torch.from_numpy(self.places[own] + np.repeat(text.starts.numpy(), counts))
        return LabelledBatch(text, segments, (self.labels[own],), len(own), (rows,))

    def chosen(self, chosen: Integers) -> "Examples":
        """Some of the examples, of one input each."""
        assert self.first is None
        assert self.places is None
        lengths = self.inputs.lengths[chosen]
        spread = _spread(self.inputs.starts, chosen)
        starts = np.concatenate([[0], lengths.cumsum()])
        marks = None if self.may_answer is None else self.may_answer[spread]
        inputs = Inputs(self.inputs.ids[spread], self.inputs.segments[spread], starts)
        return Examples(inputs, self.labels[chosen], may_answer=marks)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, to be kept in a file."""
        parts = {"ids": self.inputs.ids, "segments": self.inputs.segments, "starts": self.inputs.starts}
        parts |= {name: getattr(self, name) for name in _OPTIONAL}
        return {name: torch.from_numpy(part) for name, part in parts.items() if part is not None} | {
            "labels": self.labels
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The reverse of `tensors`."""
        inputs = Inputs(*(tensors[name].numpy() for name in ("ids", "segments", "starts")))
        rest = {name: tensors[name].numpy() for name in _OPTIONAL if name in tensors}
        return cls(inputs, tensors["labels"], **rest)


def batches_of(examples: int, size: int) -> int:
    """How many batches of this size an epoch has; the last of them may be smaller."""
    return -(-examples // size)


@dataclass(frozen=True, eq=False)
class Draws(Pooled[Integers]):
    """Batches of so many examples, all of them in a new order each epoch; the last batch of an epoch may be smaller."""

    examples: Examples
    size: int
    seed: int

    def check(self, cursor: Cursor) -> None:
        """Refuse a cursor of other data or settings."""
        if not len(self.examples):
            raise ValueError("there is no example to train on")
        self.check_place(cursor)

    def pools(self, epoch: int) -> int:
        """An epoch is one pool."""
        return 1

    def pooled(self, epoch: int, pool: int) -> list[Integers]:
        """The examples of each batch."""
        order = permuted(np.arange(len(self.examples)), len(self.examples), (self.seed, epoch))
        return np.split(order, range(self.size, len(order), self.size))

    def batch(self, item: Integers) -> LabelledBatch:
        """The batch of these examples."""
        return self.examples.batch(item)

"""Batches of masked sequences, on which BERT and ALBERT are pre-trained, or of whole ones for learning next words.

All that chance decides about a sequence follows from the seed, the epoch, and where the sequence stands in the store:
a run resumes to the bit, and workers make batches in any order.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.attention.packing import Packed, sent
from regard.data.batches import TextBatch
from regard.data.inputs import PackedInputs
from regard.data.loading import Cursor, Pooled
from regard.data.masking import Masking
from regard.data.order import chance, permuted
from regard.data.sentence_pairs import Passages
from regard.data.sentence_store import SentenceStore
from regard.text.framing import Framing

Integers = NDArray[np.int64]
POOL = 1 << 20  # tokens, about, of the documents which are drawn together
BATCHES = 16  # of a pool at least, about, since the last of them is not full


@dataclass(frozen=True, eq=False)
class MaskedBatch(PackedInputs):
    """Sequences, packed, of which some tokens are hidden.

    Raises:
        ValueError: if the parts do not belong together.
    """

    positions: Tensor  # of the hidden tokens in the packed row, ascending, [M]; they stay in host memory
    words: Tensor  # their true ids, [M]
    pair_labels: Tensor | None = None  # what is said of the two texts of each sequence, [B]

    def __post_init__(self):
        labels = self.pair_labels
        if (
            self.segments.shape != self.text.tokens.shape
            or self.words.shape != self.positions.shape
            or (labels is not None and labels.shape != (len(self),))
        ):
            raise ValueError(
                f"{len(self.text.tokens)} tokens in {len(self)} sequences do not go with segments "
                f"{tuple(self.segments.shape)}, positions {tuple(self.positions.shape)}, words "
                f"{tuple(self.words.shape)} and pair_labels {None if labels is None else tuple(labels.shape)}"
            )

    @property
    def parts(self) -> tuple[Packed | Tensor, ...]:
        """What an objective is given: text, segments, positions, words, and labels of pairs where there are some."""
        parts = (self.text, self.segments, self.positions, self.words)
        return parts if self.pair_labels is None else (*parts, self.pair_labels)

    @property
    def targets(self) -> int:
        """Tokens which are predicted: what a loss is divided by."""
        return len(self.positions)

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tokens on `device`."""
        labels = None if self.pair_labels is None else sent(self.pair_labels, device)
        segments, words = sent(self.segments, device), sent(self.words, device)
        return type(self)(self.text.to(device), segments, self.positions, words, labels)


@dataclass(frozen=True, eq=False)
class WholeBatch(TextBatch):
    """Sequences, packed, of which nothing is hidden: each token is to be found from those before it.

    It is what BERT was compared with, a model which sees the left context alone (Devlin et al. 2019, section 5.1).
    """

    @property
    def extent(self) -> int:
        """Tokens of the sequences, as of masked ones."""
        return len(self.text.tokens)


class Drawn(NamedTuple):
    """The sequences of a masked batch: what they are and what tells their masks."""

    copy: int  # of the text, each with its own passages and masks
    documents: Integers  # [B]
    numbers: Integers  # of the passage in its document, [B]
    spans: Integers  # of both texts in the store, [B, 4]
    labels: Integers  # [B]


@dataclass(frozen=True)
class MaskedSequences(Pooled[Drawn]):
    """Passages of a store, mixed at random, as many in a batch as have `tokens` tokens at most.

    An epoch sees every document once. Documents are drawn in an order which each epoch shuffles anew, and the passages
    of about a million tokens are mixed.

    Raises:
        ValueError: if a value is out of its range, or `tokens` cannot hold a sequence.
    """

    store: SentenceStore
    passages: Passages
    masking: Masking | None  # None leaves sequences whole
    framing: Framing
    length: int  # tokens of a sequence at most, special ones included
    tokens: int  # of a batch at most
    masks: int = 0  # copies of the text with masks of their own, which epochs take in turn; 0: each epoch has new ones
    seed: int = 0

    def __post_init__(self):
        texts = self.passages.texts
        if self.room < texts:
            raise ValueError(
                f"length must be {self.framing.added(texts) + texts} or more for {texts} text{'s' * (texts > 1)}, got "
                f"{self.length}"
            )
        if self.tokens < self.length:
            raise ValueError(
                f"a batch of tokens={self.tokens:,} cannot hold a sequence of length={self.length:,}; raise tokens"
            )
        if self.masks < 0 or self.seed < 0:
            raise ValueError(f"masks and seed must not be negative, got {self.masks} and {self.seed}")

    @property
    def room(self) -> int:
        """Tokens of the texts of a sequence at most."""
        return self.length - self.framing.added(self.passages.texts)

    def check(self, cursor: Cursor) -> None:
        """Refuse a store which does not suit, and a cursor of other data or settings.

        Raises:
            ValueError: if there is one.
        """
        if self.masking is not None and self.store.vocabulary != self.masking.vocabulary:
            raise ValueError(
                f"{self.store.folder} was made with {self.store.vocabulary} ids, and masks are of "
                f"{self.masking.vocabulary}; use the tokenizer with which the store was made"
            )
        self.passages.check(self.store)
        self.check_place(cursor)

    def pools(self, epoch: int) -> int:
        """How many pools an epoch has."""
        return -(-len(self.store) // self._together)

    def pooled(self, epoch: int, pool: int) -> list[Drawn]:
        """The batches of one pool; reads where sentences stand only."""
        copy = epoch % self.masks if self.masks else epoch
        first = pool * self._together
        places = np.arange(first, min(first + self._together, len(self.store)))
        found = []
        for document in permuted(places, len(self.store), (self.seed, epoch)).tolist():
            random = chance(self.seed, copy, document)
            for number, passage in enumerate(self.passages.drawn(self.store, document, self.room, random)):
                found.append((document, number, *passage.first, *passage.second, passage.label))
        table = np.array(found, np.int64).reshape(-1, 7)
        table = table[permuted(np.arange(len(table)), len(table), (self.seed, epoch, pool))]
        lengths = table[:, 3] - table[:, 2] + table[:, 5] - table[:, 4] + self.framing.added(self.passages.texts)
        ends = np.concatenate([[0], lengths.cumsum()])
        batches, start = [], 0
        while start < len(table):
            stop = int(np.searchsorted(ends, ends[start] + self.tokens, "right")) - 1
            rows = table[start:stop]
            batches.append(Drawn(copy, rows[:, 0], rows[:, 1], rows[:, 2:6], rows[:, 6]))
            start = stop
        return batches

    def batch(self, item: Drawn) -> MaskedBatch | WholeBatch:
        """The batch of these passages."""
        special = {self.framing.summary, self.framing.separator}
        tokens, segments, positions, words, lengths = [], [], [], [], []
        drawn = zip(item.documents.tolist(), item.numbers.tolist(), item.spans.tolist(), strict=True)
        for document, number, (start, stop, other_start, other_stop) in drawn:
            texts = [self.store.ids(start, stop), self.store.ids(other_start, other_stop)][: self.passages.texts]
            ids, within = self.framing.frame(*texts)
            if self.masking is not None:
                hidden = self.masking.hide(ids, special, chance(self.seed, item.copy, document, number))
                positions += [len(tokens) + position for position in hidden.positions]
                ids = hidden.ids
                words += hidden.words
            tokens += ids
            segments += within
            lengths.append(len(ids))
        text = Packed(torch.tensor(tokens), torch.tensor(lengths))
        if self.masking is None:
            return WholeBatch(text)
        return MaskedBatch(
            text,
            torch.tensor(segments),
            torch.tensor(positions),
            torch.tensor(words),
            torch.from_numpy(item.labels.copy()) if self.passages.texts == 2 else None,
        )

    @property
    def _together(self) -> int:
        """Documents of a pool."""
        return max(1, max(POOL, BATCHES * self.tokens) * len(self.store) // self.store.tokens)

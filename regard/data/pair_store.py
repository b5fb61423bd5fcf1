"""The tokenised corpus on disk, of any size: built as a stream, read through the page cache.

A store is a folder of four plain arrays and a manifest:

    source.ids, target.ids          every sentence's ids end to end, `</s>` after each; little-endian uint16 or uint32
    source.starts, target.starts    where each sentence starts, and the end of the last; little-endian int64
    manifest.json                   counts, sizes and the fingerprint of what it was made from
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from regard.attention.packing import Packed
from regard.data.batches import PairBatch
from regard.data.parallel import Pair, ParallelText
from regard.data.rows import Skipped, Unusable
from regard.data.store import Store, chunks, made_from
from regard.data.stretches import places
from regard.storage.folders import check_id_type, id_type, mapped, write_folder
from regard.text.tokenizer import Tokenizer

CHUNK = 1024  # pairs which are tokenised at once
CHUNK_CHARACTERS = 1 << 16
SIDES = ("source", "target")
Integers = NDArray[np.int64]


class PairStore(Store):
    """Sentence pairs as ids; made by `PairStore.build`, `PairStore.open` or `PairStore.prepare`."""

    def __init__(self, folder: str | Path):
        super().__init__(folder)
        self._ids, self._starts = {}, {}
        for side in SIDES:
            about = self.manifest[side]
            self._starts[side] = mapped(self.folder / f"{side}.starts", "<i8", len(self) + 1)
            self._ids[side] = mapped(self.folder / f"{side}.ids", about["type"], about["tokens"])

    @staticmethod
    def check(manifest: dict[str, Any]) -> None:
        """Look at what is used of a manifest."""
        for side in SIDES:
            check_id_type(manifest[side]["type"])
            _ = int(manifest[side]["tokens"]) + int(manifest[side]["longest"])
        _ = int(manifest["pairs"])

    @classmethod
    def build(
        cls,
        folder: str | Path,
        pairs: Iterable[Pair | tuple[str, str]],
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        *,
        longest: int,
        skipped: Skipped | None = None,
        fingerprint: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Tokenise pairs as they come and write them to a folder, in place of a store which is there.

        Args:
            longest: tokens of one side at most, `</s>` included.
            skipped: where longer pairs are counted; without it one is an error.
            fingerprint: what `open` can be asked to find.
            progress: called after each chunk with the number of pairs read so far.

        Raises:
            ValueError: if a pair is too long, or none is left.
        """
        if longest < 2:
            raise ValueError(f"longest must be 2 or more tokens, </s> included, got {longest}")
        tokenizers = source_tokenizer, target_tokenizer
        write_folder(folder, lambda place: _write(place, pairs, tokenizers, longest, skipped, progress), fingerprint)
        return cls(folder)

    @classmethod
    def prepare(
        cls,
        folder: str | Path,
        text: ParallelText,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        *,
        longest: int,
        skips: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """The store of this text, opened if it is there and up to date, and else built.

        Args:
            skips: whether unusable and overlong pairs are passed over; `store.skipped` says how many.
        """
        fingerprint = made_from(
            text.fingerprint(), source_tokenizer.fingerprint, target_tokenizer.fingerprint, longest, skips
        )
        if (store := cls.found(folder, fingerprint)) is not None:
            return store
        skipped = Skipped() if skips else None
        return cls.build(
            folder,
            text.read(skipped),
            source_tokenizer,
            target_tokenizer,
            longest=longest,
            skipped=skipped,
            fingerprint=fingerprint,
            progress=progress,
        )

    def __len__(self) -> int:
        return self.manifest["pairs"]

    def __getitem__(self, index: int) -> tuple[Integers, Integers]:
        """The ids of one pair, (source, target)."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in range({len(self)}), got {index}")
        source, target = (self._gathered(side, np.array([index % len(self)]))[0] for side in SIDES)
        return source, target

    @property
    def longest(self) -> tuple[int, int]:
        """The greatest length of a source and of a target, `</s>` included."""
        return self.manifest["source"]["longest"], self.manifest["target"]["longest"]

    @property
    def tokens(self) -> tuple[int, int]:
        """All tokens of the sources and of the targets, `</s>` included."""
        return self.manifest["source"]["tokens"], self.manifest["target"]["tokens"]

    def lengths(self, indices: Integers | Sequence[int]) -> tuple[Integers, Integers]:
        """The lengths of these pairs' sources and targets, `</s>` included."""
        indices = self._checked(indices)
        source, target = (self._starts[side][indices + 1] - self._starts[side][indices] for side in SIDES)
        return source, target

    def batch(self, indices: Integers | Sequence[int]) -> PairBatch:
        """These pairs, packed in this order."""
        indices = self._checked(indices)
        source, target = (self._gathered(side, indices) for side in SIDES)
        return PairBatch(*(Packed(torch.from_numpy(ids), torch.from_numpy(sizes)) for ids, sizes in (source, target)))

    def _checked(self, indices: Integers | Sequence[int]) -> Integers:
        """Indices as an array, each of them a pair's."""
        indices = np.asarray(indices, dtype=np.int64)
        if len(indices) and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"indices must lie in range({len(self)}), got {indices.min()} to {indices.max()}")
        return indices

    def _gathered(self, side: str, indices: Integers) -> tuple[Integers, Integers]:
        """The ids of these sentences end to end, and their lengths."""
        starts = self._starts[side][indices]
        lengths = self._starts[side][indices + 1] - starts
        return self._ids[side][places(starts, lengths)].astype(np.int64), lengths

    def __repr__(self) -> str:
        return f"PairStore({str(self.folder)!r}, pairs={len(self)})"


def _write(
    place: Path,
    pairs: Iterable[Pair | tuple[str, str]],
    tokenizers: tuple[Tokenizer, Tokenizer],
    longest: int,
    skipped: Skipped | None,
    progress: Callable[[int], None] | None,
) -> dict:
    """Write the four arrays of a store, and say what the manifest must hold."""
    types = [id_type(tokenizer.size) for tokenizer in tokenizers]
    placed = (pair if isinstance(pair, Pair) else Pair(*pair, line=number) for number, pair in enumerate(pairs, 1))
    count, read, tokens, most = 0, 0, [0, 0], [0, 0]
    with (
        open(place / "source.ids", "wb") as source_ids,
        open(place / "target.ids", "wb") as target_ids,
        open(place / "source.starts", "wb") as source_starts,
        open(place / "target.starts", "wb") as target_starts,
    ):
        ids, starts = (source_ids, target_ids), (source_starts, target_starts)
        for file in starts:
            file.write(np.zeros(1, "<i8").tobytes())
        for chunk in chunks(placed, CHUNK, CHUNK_CHARACTERS, lambda pair: len(pair.source) + len(pair.target)):
            read += len(chunk)
            rows = _tokenised(chunk, tokenizers, longest, skipped)
            if rows:
                count += len(rows)
                for side in (0, 1):
                    lengths = np.array([len(row[side]) for row in rows], np.int64)
                    joined = np.fromiter((id for row in rows for id in row[side]), types[side], int(lengths.sum()))
                    ids[side].write(joined.tobytes())
                    starts[side].write((tokens[side] + lengths.cumsum()).astype("<i8").tobytes())
                    tokens[side] += int(lengths.sum())
                    most[side] = max(most[side], int(lengths.max()))
            if progress is not None:
                progress(read)
    if not count:
        raise ValueError(f"there is no pair to store; {skipped if skipped is not None else 'the text is empty'}")
    sides = ({"tokens": tokens[side], "longest": most[side], "type": types[side]} for side in (0, 1))
    return {"pairs": count, **dict(zip(SIDES, sides, strict=True)), "skipped": dict(skipped or {})}


def _tokenised(
    chunk: list[Pair], tokenizers: tuple[Tokenizer, Tokenizer], longest: int, skipped: Skipped | None
) -> list[tuple[list[int], list[int]]]:
    """The ids of both sides, ends appended, of those pairs which are short enough."""
    sources = tokenizers[0].encode_batch([pair.source for pair in chunk])
    targets = tokenizers[1].encode_batch([pair.target for pair in chunk])
    rows = []
    for pair, source, target in zip(chunk, sources, targets, strict=True):
        source.append(tokenizers[0].end)
        target.append(tokenizers[1].end)
        size = max(len(source), len(target))
        if size <= longest:
            rows.append((source, target))
            continue
        side = "source" if len(source) == size else "target"
        what = f"the {side} has {size:,} tokens with </s>, more than longest={longest:,}"
        Unusable(f"with more than {longest:,} tokens", pair.place, what).count_or_raise(skipped)
    return rows

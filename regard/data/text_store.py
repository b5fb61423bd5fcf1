"""Running text as ids on disk, of any size: built as a stream, read through the page cache.

A store is a folder of two plain arrays and a manifest:

    text.ids       every document's ids end to end, the end token after each; little-endian uint16 or uint32
    text.starts    where each document starts, and the end of the last; little-endian int64
    manifest.json  counts and the fingerprint of what it was made from

The first id is an end token as well, so that every token of every document follows something. A tokenizer which has no
end token stores neither; then nothing predicts the first token of a document.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from regard.attention.packing import Packed
from regard.data.corpus import Corpus, Piece
from regard.data.rows import Skipped, SkippedDocuments
from regard.data.store import Store, chunks, made_from
from regard.data.stretches import places
from regard.storage.folders import check_id_type, id_type, mapped, write_folder
from regard.text.tokenizer import Tokenizer

CHUNK = 1024  # pieces which are tokenised at once
CHUNK_CHARACTERS = 1 << 20
COUNTS = ("documents", "tokens", "words", "characters", "bytes")
Integers = NDArray[np.int64]


class TextStore(Store):
    """Documents as ids; made by `TextStore.build`, `TextStore.open` or `TextStore.prepare`."""

    counter = SkippedDocuments

    def __init__(self, folder: str | Path):
        super().__init__(folder)
        self._starts = mapped(self.folder / "text.starts", "<i8", len(self) + 1)
        self._ids = mapped(self.folder / "text.ids", self.manifest["type"], self.size)

    @staticmethod
    def check(manifest: dict[str, Any]) -> None:
        """Look at what is used of a manifest."""
        check_id_type(manifest["type"])
        if min(int(manifest[name]) for name in COUNTS) < 0 or not isinstance(manifest["leads"], bool):
            raise ValueError("its counts are wrong")

    @classmethod
    def build(
        cls,
        folder: str | Path,
        pieces: Iterable[Piece],
        tokenizer: Tokenizer,
        *,
        skipped: Skipped | None = None,
        fingerprint: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Tokenise documents as they come and write them to a folder, in place of a store which is there.

        Args:
            skipped: where the reader of `pieces` counts what it passes over.
            fingerprint: what `prepare` asks for.
            progress: called after each chunk with the number of characters read so far.

        Raises:
            ValueError: if there is no text.
        """
        write_folder(folder, lambda place: _write(place, pieces, tokenizer, skipped, progress), fingerprint)
        return cls(folder)

    @classmethod
    def prepare(
        cls,
        folder: str | Path,
        corpus: Corpus,
        tokenizer: Tokenizer,
        *,
        skips: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """The store of this corpus, opened if it is there and up to date, and else built.

        Args:
            skips: whether unusable documents are passed over; `store.skipped` says how many.
        """
        fingerprint = made_from(corpus.fingerprint(), tokenizer.fingerprint, skips)
        if (store := cls.found(folder, fingerprint)) is not None:
            return store
        skipped = SkippedDocuments() if skips else None
        pieces = corpus.read(skipped)
        return cls.build(folder, pieces, tokenizer, skipped=skipped, fingerprint=fingerprint, progress=progress)

    def __len__(self) -> int:
        """How many documents there are."""
        return self.manifest["documents"]

    @property
    def size(self) -> int:
        """How many ids there are: the tokens, and the end token before them."""
        return self.manifest["tokens"] + self.leads

    @property
    def leads(self) -> bool:
        """Whether an end token stands before the first document."""
        return self.manifest["leads"]

    @property
    def tokens(self) -> int:
        """Tokens of all documents, their ends included."""
        return self.manifest["tokens"]

    @property
    def counts(self) -> dict[str, int]:
        """Documents, tokens, words, characters and bytes; an end counts as one of each, as the line end which it is."""
        return {name: self.manifest[name] for name in COUNTS}

    def spans(self, documents: Integers) -> tuple[Integers, Integers]:
        """Where documents begin and end among the ids, an end token before each where there is one."""
        return self._starts[documents] - self.leads, np.asarray(self._starts[documents + 1])

    def packed(self, starts: Integers, lengths: Integers) -> Packed:
        """Stretches of the ids, end to end."""
        ids = self._ids[places(starts, lengths)].astype(np.int64)
        return Packed(torch.from_numpy(ids), torch.from_numpy(lengths.astype(np.int64)))

    def __repr__(self) -> str:
        return f"TextStore({str(self.folder)!r}, tokens={self.tokens})"


def _write(
    place: Path,
    pieces: Iterable[Piece],
    tokenizer: Tokenizer,
    skipped: Skipped | None,
    progress: Callable[[int], None] | None,
) -> dict:
    """Write the two arrays of a store, and say what the manifest must hold."""
    type = id_type(tokenizer.size)
    end = [tokenizer.end] if tokenizer.has_end else []
    counts = dict.fromkeys(COUNTS, 0)
    read, is_open = 0, False
    with open(place / "text.ids", "wb") as ids, open(place / "text.starts", "wb") as starts:

        def add(tokens: Sequence[int]) -> None:
            """Write ids."""
            ids.write(np.fromiter(tokens, type, len(tokens)).tobytes())
            counts["tokens"] += len(tokens)

        def close() -> None:
            """A document is over: the next one starts here."""
            counts["documents"] += 1
            starts.write(np.array([counts["tokens"] + len(end)], "<i8").tobytes())

        ids.write(np.array(end, type).tobytes())
        starts.write(np.array([len(end)], "<i8").tobytes())
        for chunk in chunks(pieces, CHUNK, CHUNK_CHARACTERS, lambda piece: len(piece.text)):
            for piece, tokens in zip(chunk, tokenizer.encode_batch([piece.text for piece in chunk]), strict=True):
                read += len(piece.text)
                add(tokens)
                counts["words"] += len(piece.text.split())
                counts["characters"] += len(piece.text)
                counts["bytes"] += len(piece.text.encode())
                is_open = not piece.ends
                if piece.ends:
                    add(end)
                    for unit in ("words", "characters", "bytes"):
                        counts[unit] += len(end)
                    if tokens or end:
                        close()
            if progress is not None:
                progress(read)
        if is_open:  # its share ended before it did
            close()
    if not read:
        raise ValueError(f"there is no text to store; {skipped if skipped is not None else 'the corpus is empty'}")
    return {**counts, "type": type, "leads": bool(end), "skipped": dict(skipped or {})}

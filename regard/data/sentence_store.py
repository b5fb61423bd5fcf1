"""Documents of sentences as ids on disk: what encoders are pre-trained on.

A store is a folder of three plain arrays and a manifest:

    text.ids          the ids of every sentence, end to end; little-endian uint16 or uint32
    text.sentences    where each sentence starts among them, and the end of the last; little-endian int64
    text.documents    the number of each document's first sentence, and that of all sentences; little-endian int64
    manifest.json     counts and the fingerprint of what it was made from

Where one sentence ends and the next begins is said by one of `regard.data.sentences.DIVISIONS`. Sentences and documents
without a token are left out.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from regard.data.corpus import Corpus, Piece
from regard.data.rows import Skipped, SkippedDocuments
from regard.data.sentences import DIVISIONS, divided
from regard.data.store import Store, chunks, made_from
from regard.storage.folders import check_id_type, id_type, mapped, write_folder
from regard.storage.names import require
from regard.text.tokenizer import Tokenizer

COUNTS = ("documents", "sentences", "tokens")
CHUNK = 1 << 12  # sentences which are tokenised at once
CHUNK_CHARACTERS = 1 << 20
Integers = NDArray[np.int64]


class SentenceStore(Store):
    """Documents of sentences as ids; made by `SentenceStore.build`, `SentenceStore.open` or `SentenceStore.prepare`."""

    counter = SkippedDocuments

    def __init__(self, folder: str | Path):
        super().__init__(folder)
        self._ids = mapped(self.folder / "text.ids", self.manifest["type"], self.tokens)
        self._sentences = mapped(self.folder / "text.sentences", "<i8", self.sentences + 1)
        self._documents = mapped(self.folder / "text.documents", "<i8", len(self) + 1)

    @staticmethod
    def check(manifest: dict[str, Any]) -> None:
        """Look at what is used of a manifest."""
        check_id_type(manifest["type"])
        if min(int(manifest[name]) for name in (*COUNTS, "vocabulary")) < 1:
            raise ValueError("its counts are wrong")

    @classmethod
    def build(
        cls,
        folder: str | Path,
        pieces: Iterable[Piece],
        tokenizer: Tokenizer,
        *,
        sentences: str,
        skipped: Skipped | None = None,
        fingerprint: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Tokenise documents as they come and write them to a folder, in place of a store which is there.

        Args:
            sentences: one of `regard.data.sentences.DIVISIONS`.
            skipped: where the reader of `pieces` counts what it passes over.
            fingerprint: what `prepare` asks for.
            progress: called after each chunk with the number of characters stored so far.

        Raises:
            ValueError: if there is no text, or no such division.
        """
        require("sentences", sentences, DIVISIONS)
        found = divided(pieces, sentences)
        write_folder(folder, lambda place: _write(place, found, tokenizer, skipped, progress), fingerprint)
        return cls(folder)

    @classmethod
    def prepare(
        cls,
        folder: str | Path,
        corpus: Corpus,
        tokenizer: Tokenizer,
        *,
        sentences: str,
        skips: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """The store of this corpus, opened if it is there and up to date, and else built.

        Args:
            sentences: one of `regard.data.sentences.DIVISIONS`.
            skips: whether unusable documents are passed over; `store.skipped` says how many.

        Raises:
            ValueError: if the corpus is not read as the division needs it.
        """
        require("sentences", sentences, DIVISIONS)
        if sentences == "wikitext" and (corpus.kind != "plain" or corpus.documents != "file"):
            raise ValueError(
                f"sentences='wikitext' finds the documents of a plain file itself: {corpus.path} must be one, with "
                f"documents='file', got documents={corpus.documents!r}; sentences='prose' divides any other text"
            )
        fingerprint = made_from(corpus.fingerprint(), tokenizer.fingerprint, sentences, skips)
        if (store := cls.found(folder, fingerprint)) is not None:
            return store
        skipped = SkippedDocuments() if skips else None
        options = {"skipped": skipped, "fingerprint": fingerprint, "progress": progress}
        return cls.build(folder, corpus.read(skipped), tokenizer, sentences=sentences, **options)

    def __len__(self) -> int:
        """How many documents there are."""
        return self.manifest["documents"]

    @property
    def sentences(self) -> int:
        """How many sentences there are."""
        return self.manifest["sentences"]

    @property
    def tokens(self) -> int:
        """How many ids there are."""
        return self.manifest["tokens"]

    @property
    def vocabulary(self) -> int:
        """How many ids the tokenizer has."""
        return self.manifest["vocabulary"]

    @property
    def counts(self) -> dict[str, int]:
        """Documents, sentences and tokens."""
        return {name: self.manifest[name] for name in COUNTS}

    def bounds(self, document: int) -> list[int]:
        """Where each sentence of a document starts among the ids, and where the last of them ends."""
        first, last = self._documents[document : document + 2].tolist()
        return self._sentences[first : last + 1].tolist()

    def ids(self, start: int, stop: int) -> list[int]:
        """The ids from one place to another."""
        return self._ids[start:stop].tolist()

    def starts(self, start: int, stop: int) -> Integers:
        """Where sentences start among the ids from `start` on, before `stop`."""
        first, last = np.searchsorted(self._sentences, (start, stop))
        return np.asarray(self._sentences[first:last])

    def start_of(self, place: int) -> int:
        """Where the sentence begins which an id belongs to."""
        return int(self._sentences[np.searchsorted(self._sentences, place, "right") - 1])

    def end_of(self, place: int) -> int:
        """Where the sentence ends which an id belongs to."""
        return int(self._sentences[np.searchsorted(self._sentences, place, "right")])

    def __repr__(self) -> str:
        return f"SentenceStore({str(self.folder)!r}, tokens={self.tokens})"


def _write(
    place: Path,
    texts: Iterable[str | None],
    tokenizer: Tokenizer,
    skipped: Skipped | None,
    progress: Callable[[int], None] | None,
) -> dict:
    """Write sentences, and where documents end (None), as three arrays; and say what the manifest must hold."""
    type = id_type(tokenizer.size)
    counts = dict.fromkeys(COUNTS, 0)
    read, is_open = 0, False
    with (
        open(place / "text.ids", "wb") as ids,
        open(place / "text.sentences", "wb") as sentences,
        open(place / "text.documents", "wb") as documents,
    ):
        sentences.write(np.array([0], "<i8").tobytes())
        documents.write(np.array([0], "<i8").tobytes())
        for chunk in chunks(texts, CHUNK, CHUNK_CHARACTERS, lambda text: len(text or "")):
            encoded = iter(tokenizer.encode_batch([text for text in chunk if text is not None]))
            for text in chunk:
                if text is None:
                    if is_open:
                        counts["documents"] += 1
                        documents.write(np.array([counts["sentences"]], "<i8").tobytes())
                    is_open = False
                elif tokens := next(encoded):
                    ids.write(np.array(tokens, type).tobytes())
                    counts["tokens"] += len(tokens)
                    counts["sentences"] += 1
                    sentences.write(np.array([counts["tokens"]], "<i8").tobytes())
                    is_open = True
            read += sum(len(text) for text in chunk if text is not None)
            if progress is not None:
                progress(read)
    if not counts["tokens"]:
        raise ValueError(f"there is no text to store; {skipped if skipped is not None else 'the corpus is empty'}")
    return {**counts, "type": type, "vocabulary": tokenizer.size, "skipped": dict(skipped or {})}

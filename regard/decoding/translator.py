"""A trained encoder-decoder with its tokenizers: sentences in, sentences out."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.attention.packing import Packed
from regard.attention.record import attentions
from regard.decoding.beam import Entering, Hypothesis, Ranking, Step, beam_search
from regard.decoding.loaded import Loaded, require_list
from regard.decoding.threads import side_by_side
from regard.layers.attention import AdditiveAttention, SourceAttention
from regard.layers.dropout import without_dropout
from regard.models.directory import require_reading
from regard.models.saved import load_model, save_model
from regard.storage.files import written_whole
from regard.text.tokenizer import TOKENIZER, Tokenizer

SOURCE, TARGET, SEARCH = TOKENIZER, "target_tokenizer.json", "search.json"
LENGTH_PENALTY = 0.6  # Vaswani et al. 2017, section 6.1
LONGER = 50  # a translation may have this many tokens more than its source; from the same section


@dataclass(frozen=True)
class Translation:
    """One translation of a sentence."""

    text: str
    score: float  # what it was ranked by
    log_probability: float  # in nats, the end token included
    finished: bool  # False when the length limit cut it off
    source_pieces: list[str]
    pieces: list[str]  # the end token included
    alignment: Tensor | None = None  # weights over the source pieces, [T, S]


# Batches of one search for each thread: its history holds all words which were chosen in it.
_SHARED = 32


class Translator(Loaded):
    """What `regard.load` gives for an encoder-decoder.

    Args:
        model: ids to scores.
        source: tokenizer of the source.
        target: tokenizer of the target; the same object when they are joint.
        length_penalty: what `search` uses where it is given none.
    """

    def __init__(self, model: Any, source: Tokenizer, target: Tokenizer, *, length_penalty: float = LENGTH_PENALTY):
        sizes = _vocabularies(model)
        if sizes != (source.size, target.size):
            raise ValueError(
                f"the model knows {sizes} ids of source and target, the tokenizers {source.size, target.size}: they do "
                "not belong together"
            )
        self.model, self.source, self.target, self.length_penalty = model, source, target, length_penalty

    @classmethod
    def load(cls, folder: str | Path) -> "Translator":
        """The model and tokenizers in `folder`."""
        require_reading(folder, "pairs")
        return cls(load_model(folder), *load_tokenizers(Path(folder)), length_penalty=load_search(Path(folder)))

    def save(self, folder: str | Path) -> None:
        """Write the model and its tokenizers into `folder`.

        Raises:
            ValueError: if the weights were rounded.
        """
        save_model(self.model, folder)
        save_tokenizers(self.source, self.target, Path(folder))
        save_search(self.length_penalty, Path(folder))

    def pack(self, texts: Sequence[str], tokenizer: Tokenizer) -> Packed:
        """Ids of each text, with the end token."""
        return Packed.of([*ids, tokenizer.end] for ids in tokenizer.encode_batch(list(texts))).to(self.device)

    def translate(self, sentences: Sequence[str], **options) -> list[str]:
        """The best translation of each sentence, in their order; options as for `search`."""
        return [translations[0].text for translations in self.search(sentences, **options)]

    def search(
        self,
        sentences: Sequence[str],
        *,
        beams: int = 5,
        length_penalty: float | None = None,
        coverage_penalty: float = 0.0,
        best: int = 1,
        longest: int | None = None,
        batch: int = 6144,
        alignments: bool = False,
    ) -> list[list[Translation]]:
        """The `best` translations of each sentence, best first.

        Args:
            sentences: any number, in any order; equal lengths are computed together.
            beams: hypotheses kept open; 1 is greedy decoding.
            length_penalty: alpha of Wu et al. 2016, equation 14; None for the translator's own.
            coverage_penalty: beta of the same equation.
            best: translations for each sentence.
            longest: tokens of a translation at most, the end token included; None allows the source's length and 50.
            batch: source tokens times beams computed together at most, by each thread.
            alignments: keep what each output piece attended to; for multi-head attention the mean over the heads of
                the last layer.
        """
        require_list(sentences, "sentences")
        if not 1 <= best <= beams:
            raise ValueError(f"best must lie between 1 and beams={beams}, got {best}")
        ids = [[*ids, self.source.end] for ids in self.source.encode_batch(list(sentences))]
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]), reverse=True)
        found: list[list[Translation]] = [[] for _ in ids]
        length_penalty = self.length_penalty if length_penalty is None else length_penalty
        ranking = Ranking(length_penalty, coverage_penalty)
        watch = alignments or coverage_penalty > 0
        threads = 1 if watch else self.batch_threads
        # dealt out in a fixed way: what is computed together must not depend on who was quicker
        dealt = [order[thread::threads] for thread in range(threads)]
        # two batches at most are at work together
        limit, lengths = max(1, batch // beams // 2), [len(x) for x in ids]
        batches = [list(_batches(own, lengths, limit)) for own in dealt if own]

        def entering(chosen: list[int]) -> Entering:
            """One batch, before its first word."""
            source = Packed.of([ids[n] for n in chosen]).to(self.device)
            limits = source.lengths + LONGER if longest is None else torch.full_like(source.lengths, longest)
            return Entering(self.model.start(source), limits, source.is_token if watch else None)

        def search(own: list[list[int]]) -> list[list[Hypothesis]]:
            """The hypotheses of some batches."""
            step = _aligned(self.model) if watch else self.model.step
            options = {"end": self.target.end, "beams": beams, "ranking": ranking, "best": best, "align": alignments}
            return beam_search(step, map(entering, own), **options)

        shared = 1 if watch else _SHARED
        with without_dropout(self.model):
            for first in range(0, max(map(len, batches), default=0), shared):
                shares = [share for own in batches if (share := own[first : first + shared])]
                for share, results in zip(shares, side_by_side(search, shares, threads), strict=True):
                    for n, hypotheses in zip(chain.from_iterable(share), results, strict=True):
                        found[n] = [self._translation(ids[n], hypothesis) for hypothesis in hypotheses]
        return found

    def _translation(self, source: list[int], found: Hypothesis) -> Translation:
        """A hypothesis as text."""
        ids = [*found.tokens, self.target.end] if found.finished else found.tokens
        return Translation(
            text=self.target.decode(found.tokens),
            score=found.score,
            log_probability=found.log_probability,
            finished=found.finished,
            source_pieces=self.source.pieces(source),
            pieces=self.target.pieces(ids),
            alignment=None if found.alignment is None else found.alignment[:, : len(source)].cpu(),
        )

    def stream(self, lines: Iterable[str], *, at_once: int = 64, **options) -> Iterator[str]:
        """Translations of a stream of lines, in their order, as soon as `at_once` of them have come in.

        Raises:
            ValueError: if `at_once` is not positive.
        """
        require_list(lines, "lines")
        if at_once < 1:
            raise ValueError(f"at_once must be 1 or more, got {at_once}")
        lines = iter(lines)
        while chunk := list(islice(lines, at_once)):
            yield from self.translate(chunk, **options)

    def score(self, sources: Sequence[str], targets: Sequence[str], *, batch: int = 8192) -> list[float]:
        """The log-probability of each target given its source, in nats, the end token included."""
        for texts, what in ((sources, "sources"), (targets, "targets")):
            require_list(texts, what)
        if len(sources) != len(targets):
            raise ValueError(f"there are {len(sources)} sources, but {len(targets)} targets")
        lengths = [len(source) + len(target) for source, target in zip(sources, targets, strict=True)]
        scores = [0.0] * len(sources)
        with without_dropout(self.model), torch.no_grad():
            for chosen in _batches(sorted(range(len(sources)), key=lambda n: lengths[n]), lengths, batch):
                source = self.pack([sources[n] for n in chosen], self.source)
                target = self.pack([targets[n] for n in chosen], self.target)
                logs = self.model(source, target)
                logs = logs.to(torch.promote_types(logs.dtype, torch.float32)).log_softmax(-1)
                logs = logs.gather(1, target.tokens[:, None])[:, 0]
                for n, own in zip(chosen, target.unpack(logs), strict=True):
                    scores[n] = float(own.double().sum())
        return scores

    def counts(self, targets: Sequence[str]) -> list[int]:
        """How many tokens each target has, the end token included."""
        require_list(targets, "targets")
        return [len(ids) + 1 for ids in self.target.encode_batch(list(targets))]


def _aligned(model: Any) -> Step:
    """The model's step, with `state.alignment`: what each hypothesis attended to in the source, [R, S]."""
    attention = [
        module for module in attentions(model).values() if isinstance(module, (SourceAttention, AdditiveAttention))
    ]
    last = attention[-1]
    if isinstance(last, AdditiveAttention):
        return model.step  # keeps it itself

    def step(tokens: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """The step while the last layer's attention is recorded."""
        outer, last.recorded = last.recorded, []
        try:
            scores, state = model.step(tokens, state)
            (weights,) = last.recorded  # [B, H, N, S]
        finally:
            last.recorded = outer
        return scores, replace(state, alignment=state.hypotheses.gather(weights.mean(1)))

    return step


def _vocabularies(model: Any) -> tuple[int, int]:
    """How many ids of source and target a model knows."""
    config = model.config
    if hasattr(config, "vocabulary"):
        return config.vocabulary, config.vocabulary
    return config.source_vocabulary, config.target_vocabulary


def _batches(order: list[int], lengths: list[int], limit: int) -> Iterator[list[int]]:
    """Cut sentences, in this order, into batches whose padded size stays within `limit`."""
    chosen: list[int] = []
    longest = 0
    for n in order:
        longest = max(longest, lengths[n])
        if chosen and longest * (len(chosen) + 1) > limit:
            yield chosen
            chosen, longest = [], lengths[n]
        chosen.append(n)
    if chosen:
        yield chosen


def load_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of source and target in `folder`: one object where they are joint."""
    source = Tokenizer.load(folder / SOURCE)
    return source, Tokenizer.load(folder / TARGET) if (folder / TARGET).is_file() else source


def save_tokenizers(source: Tokenizer, target: Tokenizer, folder: Path) -> None:
    """Write the tokenizers of source and target into `folder`: one file where they are joint."""
    source.save(folder / SOURCE)
    if target is not source:
        target.save(folder / TARGET)
    else:  # one from before would be taken for this one's
        (folder / TARGET).unlink(missing_ok=True)


def load_search(folder: Path) -> float:
    """The length penalty which was chosen for the model in `folder`; the usual one, where none was.

    Raises:
        ValueError: if the file is damaged.
    """
    path = folder / SEARCH
    if not path.is_file():
        return LENGTH_PENALTY
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}; delete it, or let `regard tune` write it anew") from error
    penalty = found.get("length_penalty") if isinstance(found, dict) and len(found) == 1 else None
    if isinstance(penalty, bool) or not isinstance(penalty, (int, float)) or not 0 <= penalty < math.inf:
        raise ValueError(
            f'{path} must hold {{"length_penalty": a number from 0 on}}, and nothing else, got {found!r}; delete it, '
            "or let `regard tune` write it anew"
        )
    return float(penalty)


def save_search(length_penalty: float, folder: Path) -> None:
    """Keep the length penalty with which the model in `folder` translates from now on.

    Raises:
        ValueError: if it is none, as "not a number" is.
    """
    Ranking(length_penalty)
    with written_whole(folder / SEARCH) as file:
        file.write(json.dumps({"length_penalty": length_penalty}) + "\n")

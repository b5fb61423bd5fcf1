"""An encoder with its tokenizer and what stands on it, run over any number of inputs without padding."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from regard.attention.packing import Packed
from regard.data.inputs import Examples, Inputs, Integers, Pairs, frame_texts
from regard.data.labels import OF_NUMBERS
from regard.decoding.loaded import Loaded, require_list
from regard.decoding.threads import side_by_side
from regard.layers.dropout import without_dropout
from regard.models.directory import model_folder, require_reading
from regard.models.heads import kind_of
from regard.models.saved import load_model, save_model
from regard.text.directory import save_tokenizer
from regard.text.encoders import TOKENIZER_CONFIG
from regard.text.framing import GPTFraming
from regard.text.tokenizer import Tokenizer

Result = TypeVar("Result")
Texts = Sequence[str | tuple[str, str]]
Progress = Callable[[int], None]


class PackedReader(Loaded):
    """Texts to packed inputs, and through a model; whatever their order, each gets the same answer.

    Args:
        model: an encoder, or one with a head.
        tokenizer: its own.
        longest: tokens of an input at most; None for the model's own limit.

    Raises:
        ValueError: if the tokenizer is of another size than the model, or `longest` exceeds what the model can read.
    """

    has_many_rows = True
    batch = 2048  # tokens which are computed together at most

    def __init__(self, model: Any, tokenizer: Tokenizer, *, longest: int | None = None):
        if tokenizer.size > model.config.vocabulary:
            raise ValueError(f"the model knows {model.config.vocabulary} ids, the tokenizer has {tokenizer.size}")
        self.model, self.tokenizer, self.head = model, tokenizer, kind_of(model)
        self.encoder = model.encoder if self.head else model
        self.framing = tokenizer.framing(is_last=self.encoder.sums_up_last, is_causal=self.encoder.is_causal)
        limit = getattr(model.config, "context", None)  # XLNet has none
        if longest is not None and limit is not None and longest > limit:
            raise ValueError(f"longest={longest} exceeds the {limit} positions which the model knows")
        self.longest = longest or limit or 512

    @classmethod
    def load(cls, folder: str | Path, **changes: Any) -> Self:
        """The model and tokenizer in `folder`; `changes` are fields of the configuration which fit the weights."""
        folder = Path(folder)
        require_reading(folder, "inputs")
        model = load_model(folder, **changes)
        place = model_folder(folder)
        return cls(model, Tokenizer.load(place), longest=_longest(place, model.config))

    def save(self, folder: str | Path) -> None:
        """Write the model and its tokenizer into `folder`.

        Raises:
            ValueError: if the weights were rounded.
        """
        folder = Path(folder)
        told, about, tokenizer = {}, {}, self.tokenizer
        if self.encoder.is_causal:
            # GPT has no segments, counts positions from the left, and is read at the last token which is no pad.
            about |= {"model_input_names": ["input_ids", "attention_mask"], "padding_side": "right"}
            names = self.tokenizer.special_tokens
            if "pad_token" in names:
                told["pad_token_id"] = self.tokenizer.pad
            elif isinstance(self.framing, GPTFraming):  # its start, which is first alone, can stand for one
                told["pad_token_id"], about["pad_token"] = self.framing.start, names["bos_token"]
        else:
            about["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]  # else pairs lose segments
            # where the last token sums up, it is read at the end
            about["padding_side"] = "left" if self.encoder.sums_up_last else "right"
            tokenizer = tokenizer.framed(self.framing)
        save_model(self.model, folder, **told)
        save_tokenizer(tokenizer, folder, model_max_length=self.longest, **about)

    @property
    def pairs(self) -> Pairs:
        """How the head reads pairs."""
        return self.model.pairs if self.head else "joined"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes which the head tells apart."""
        return self.model.labels if self.head else ()

    def require(self, *heads: str, use: str) -> None:
        """Refuse a use which the head is not for.

        Raises:
            ValueError: says what the model is for.
        """
        if self.head not in heads:
            there = f"has a head for {self.head}" if self.head else "has no head"
            *others, last = heads
            wanted = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"this model {there}, and cannot {use}: that needs one for {wanted}")

    def frame(self, texts: Texts, longest: int | None = None, *, pairs: Pairs | None = None) -> tuple[Inputs, int]:
        """Texts and pairs as inputs, and how many had to be cut to `longest` tokens.

        Args:
            texts: each one or two.
            longest: tokens of an input, where that is less than the reader's own.
            pairs: how these are read; without, as the head reads them.

        Raises:
            ValueError: if one of them is neither a text nor a pair of texts.
        """
        require_list(texts, "texts")
        parts = [_parts(text, number) for number, text in enumerate(texts)]
        most = min(self.longest, longest or self.longest)
        return frame_texts(parts, self.tokenizer, self.framing, most, pairs=pairs or self.pairs)

    def read(
        self,
        inputs: Inputs,
        compute: Callable[[Packed, Tensor], Sequence[Result]],
        progress: Progress | None = None,
    ) -> list[Result]:
        """What `compute` gives for each input, in their order; inputs of like length are computed together.

        Args:
            inputs: any number.
            compute: one result an input, from packed inputs and the segments of their tokens.
            progress: called with the number of inputs which are done.
        """
        device, done = self.device, 0
        found: dict[int, Result] = {}

        def work(chosen: Integers) -> Sequence[Result]:
            """One batch."""
            text, segments = inputs.packed(chosen)
            with torch.inference_mode():
                return compute(text.to(device), segments.to(device))

        threads = self.batch_threads
        batches = list(_batches(inputs.lengths, self.batch, threads))
        with without_dropout(self.model):
            for chosen, results in zip(batches, side_by_side(work, batches, threads), strict=True):
                found |= zip(chosen.tolist(), results, strict=True)
                done += len(chosen)
                if progress is not None:
                    progress(done)
        return [found[place] for place in range(len(inputs))]

    def scores(self, inputs: Inputs, progress: Progress | None = None) -> Tensor:
        """What a head of classes, of a number or of options says of inputs: [B, C] or [B].

        Where a pair is two inputs, these need not be computed together, and there are half as many scores.
        """
        self.require("classification", *OF_NUMBERS, "choice", use="score whole inputs")
        if self.pairs == "joined":
            rows = self.read(inputs, lambda text, segments: self.model(text, segments).float().cpu(), progress)
            return torch.stack(rows) if rows else torch.empty(0)
        sums = self.read(inputs, lambda text, segments: self.model.sums(text, segments).unbind(), progress)
        with torch.inference_mode(), without_dropout(self.model):
            return self.model.score(torch.stack(sums)).float().cpu() if sums else torch.empty(0)

    def word_scores(self, examples: Examples, progress: Progress | None = None) -> list[tuple[list[int], Tensor]]:
        """What a head of tags says of the first piece of each word, of each input: numbers of words, scores [words, C].

        A word without a piece, or behind the limit of the input, is not among them.
        """
        self.require("tagging", use="tag words")
        assert examples.places is not None
        assert examples.words is not None
        assert examples.owners is not None
        rows = self.read(
            examples.inputs, lambda text, segments: text.unpack(self.model(text, segments).float().cpu()), progress
        )
        places, found = torch.from_numpy(examples.places), []
        for row, (first, last) in zip(rows, pairwise(examples.owners.tolist()), strict=True):
            found.append((examples.words[first:last].tolist(), row[places[first:last]]))
        return found


def _parts(text: object, number: int) -> tuple[str, ...]:
    """What an input is made of: a text, or both of a pair."""
    parts = text if isinstance(text, tuple | list) else (text,)
    texts = tuple(part for part in parts if isinstance(part, str))
    if len(texts) != len(parts) or not 1 <= len(parts) <= 2:
        raise ValueError(f"texts[{number}] must be a text or a pair of texts, got {text!r:.80}")
    return texts


def _batches(lengths: Integers, most: int, threads: int) -> Iterator[Integers]:
    """Inputs, the longest first, in batches of so many tokens at most, and of about as many for each thread.

    An input which is longer is a batch of its own.
    """
    order, total = np.argsort(-lengths, kind="stable"), int(lengths.sum())
    shares = threads * -(-total // (threads * most))
    if shares:
        most = min(most, total // shares + int(lengths.max()))
    first, total = 0, 0
    for place, length in enumerate(lengths[order].tolist()):
        if place > first and total + length > most:
            yield order[first:place]
            first, total = place, 0
        total += length
    if len(order):
        yield order[first:]


def _longest(folder: Path, config: Any) -> int | None:
    """What a tokenizer_config.json says of the length of inputs, as far as the model can read it.

    Raises:
        ValueError: if it is not JSON.
    """
    path = folder / TOKENIZER_CONFIG
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8")).get("model_max_length")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a tokenizer's configuration: {error}") from error
    limit = getattr(config, "context", None)
    if not isinstance(said, int | float) or said < 3 or said > 1 << 20:  # there it stands for no limit
        return None
    return int(said) if limit is None else min(int(said), limit)

"""How likely a language model holds a text, and what that makes a token, a word, a character and a byte.

A figure a token depends on the tokenizer; over the words, characters or bytes of the raw text it compares any models.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.attention.packing import Packed
from regard.data.loading import Cursor
from regard.data.text_store import TextStore
from regard.data.windows import Segments, Stretches, cut
from regard.layers.adaptive import AdaptiveSoftmax
from regard.layers.dropout import without_dropout
from regard.models.protocols import LanguageModel, RecurrentLanguageModel, offers

ROWS = 2048  # tokens whose scores exist at a time
DRAWN = 1 << 12  # documents which are cut at a time


@dataclass(frozen=True)
class Reading:
    """How a text is read to be scored.

    Raises:
        ValueError: if a value is out of its range, or two do not go together.
    """

    context: int  # tokens which are predicted together at most
    tokens: int = 4096  # which are computed together at most
    stride: int = 0  # a window begins so many tokens after the one before, and predicts its last ones; 0 is `context`
    documents: bool = False  # none of which sees another; else one stream
    lanes: int = 0  # parts of the stream which are read side by side, segment by segment, with memory; 0 has no memory

    def __post_init__(self):
        if self.context < 1 or self.tokens < 1:
            raise ValueError(f"context and tokens must be 1 or more, got {self.context} and {self.tokens}")
        if not 0 <= self.stride <= self.context:
            raise ValueError(f"stride must lie between 1 and context={self.context}, got {self.stride}")
        if self.lanes < 0:
            raise ValueError(f"lanes must not be negative, got {self.lanes}")
        if self.lanes and (self.stride or self.documents):
            raise ValueError("what is read with memory is one stream of segments, without stride")

    def __str__(self) -> str:
        if self.lanes:
            side = "in one lane" if self.lanes == 1 else f"in {self.lanes} lanes"
            return f"read with memory, in segments of {self.context:,} tokens, {side}"
        what = "documents apart" if self.documents else "one stream"
        apart = f", {self.stride:,} tokens apart" if self.stride else ""
        return f"read as {what}, in windows of {self.context:,} tokens{apart}"


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The negative log-likelihood of a text, summed, and the count which it is over; and both by how much was read.

    Args:
        nats: of all tokens.
        tokens: all of them.
        by_place: nats of the tokens before which 0, 1, 2 and so on others of their window or segment stand, [context].
        counts: of these tokens, [context].
    """

    nats: float
    tokens: int
    by_place: Tensor
    counts: Tensor


def likelihood(
    model: nn.Module, store: TextStore, reading: Reading, progress: Callable[[int], None] | None = None
) -> Likelihood:
    """How likely a model holds a text; every token is counted once, but for less than one a lane at the end.

    Args:
        progress: called with the number of tokens which have been scored.

    Raises:
        ValueError: if the model carries no memory, and lanes are asked for.
    """
    assert offers(model, LanguageModel)
    nats, tokens = 0.0, 0
    by_place, counts = (
        torch.zeros(reading.context, dtype=torch.float64),
        torch.zeros(reading.context, dtype=torch.int64),
    )
    with without_dropout(model), torch.inference_mode():
        read = _segments(model, store, reading) if reading.lanes else _windows(model, store, reading)
        for hidden, targets, places in read:
            for some, own, where in zip(*(x.split(ROWS) for x in (hidden, targets, places)), strict=True):
                logs = _log_likelihoods(model.output, some, own)
                nats -= float(logs.sum())
                by_place.index_add_(0, where, -logs.cpu())
            counts += places.bincount(minlength=reading.context)
            tokens += len(targets)
            if progress is not None:
                progress(tokens)
    return Likelihood(nats, tokens, by_place, counts)


def _windows(model: nn.Module, store: TextStore, reading: Reading) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Hidden states [N, D], the tokens [N] which they predict, and how many were read before, window by window."""
    assert offers(model, LanguageModel)
    device = _device(model)
    for stretches, counted in _stretches(store, reading):
        text = store.packed(stretches.starts, stretches.lengths).to(device)
        read = Packed(text.tokens[~text.is_first.roll(-1, 0)], text.lengths - 1)
        left = read.lengths.repeat_interleave(read.lengths).to(device) - read.positions  # to the end of its window
        is_counted = left <= torch.from_numpy(counted).repeat_interleave(read.lengths).to(device)
        places = read.positions[is_counted].cpu()
        yield model.hidden(read)[is_counted], text.tokens[~text.is_first][is_counted], places


def _stretches(store: TextStore, reading: Reading) -> Iterator[tuple[Stretches, NDArray[np.int64]]]:
    """Batches of windows, and how many of its last tokens each window is there to predict."""
    stride = reading.stride or reading.context
    for first in range(0, len(store) if reading.documents else 1, DRAWN):
        if reading.documents:
            begins, ends = store.spans(np.arange(first, min(first + DRAWN, len(store))))
        else:
            begins, ends = np.array([0]), np.array([store.size])
        own, lengths = cut(begins, ends, stride)
        begins = begins[np.searchsorted(begins, own, "right") - 1]
        # with a stride, as much is read before as there is room for
        starts = np.maximum(begins, own + lengths - 1 - reading.context) if reading.stride else own
        whole = own + lengths - starts
        total = np.concatenate([[0], whole.cumsum()])
        here = 0
        while here < len(own):
            there = max(here + 1, int(np.searchsorted(total, total[here] + reading.tokens, "right")) - 1)
            yield Stretches(starts[here:there], whole[here:there]), lengths[here:there] - 1
            here = there


def _segments(model: nn.Module, store: TextStore, reading: Reading) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Hidden states [N, D], the tokens [N] which they predict, and their places, segment by segment, with memory."""
    if not offers(model, RecurrentLanguageModel):
        raise ValueError(f"{type(model).__name__} carries no memory from segment to segment; read it in windows")
    segments = Segments(store, reading.context, reading.lanes * reading.context)
    segments.check(Cursor())
    device, memory = _device(model), None
    for item, after in segments.plan(Cursor()):
        tokens = segments.batch(item).text.to(device).tokens.unflatten(0, (reading.lanes, -1))
        hidden, memory = model.read(tokens[:, :-1], memory)
        places = torch.arange(hidden.shape[1]).repeat(reading.lanes)
        yield hidden.flatten(0, 1), tokens[:, 1:].flatten(), places
        if after.epoch:
            return


def _log_likelihoods(output: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    """The log-probability of each target, [N], in double precision."""
    if isinstance(output, AdaptiveSoftmax):
        return output.likelihood(hidden, targets).double()
    scores = output(hidden)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return (scores.gather(1, targets[:, None])[:, 0] - scores.logsumexp(1)).double()


def _device(model: nn.Module) -> torch.device:
    """Where a model computes."""
    return next(model.parameters()).device

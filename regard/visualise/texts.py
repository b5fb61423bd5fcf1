"""From a language model to pictures: what each token of a text attends to, and how surprising it was."""

import math
from collections.abc import Iterator, Sequence
from textwrap import shorten

import torch

from regard.attention.packing import Packed
from regard.attention.record import attentions
from regard.decoding.sample import Sampling
from regard.decoding.writer import Writer
from regard.visualise.maps import AttentionMap, Example, Passage
from regard.visualise.watching import masks_of, seen, still, watching


def examples(writer: Writer, texts: Sequence[str], *, tokens: int = 0, seed: int | None = None) -> Iterator[Example]:
    """The attention of each text, made one at a time.

    A text is read as `Writer.generate` reads a prompt, so nothing predicts its first token; an empty one begins with
    the token which ends the text before. A model with memory reads it, with what is added, as one segment.

    Args:
        writer: a model with attention.
        texts: any.
        tokens: which the model first goes on with, at most: the most probable ones.
        seed: draw them instead, for text n with the seed `seed + n`, as `Writer.generate` does.

    Raises:
        ValueError: if the model has no attention, an option is out of its range, or a text and what is added to it do
            not fit into the model's context.
    """
    attentions(writer)  # says so if there is none
    if tokens < 0:
        raise ValueError(f"tokens must not be negative, got {tokens}")
    if seed is not None and not tokens:
        raise ValueError(f"a seed draws new tokens: say how many, got seed={seed} and tokens=0")
    for number, text in enumerate(texts):
        ids = _read(writer, number, text, tokens)
        written = _written(writer, ids, tokens, None if seed is None else seed + number) if tokens else []
        yield example(writer, ids, written, shorten(text, 60, placeholder="…") or "(nothing)")


def example(writer: Writer, ids: list[int], written: list[int], title: str) -> Example:
    """Every attention over the ids of a text, and those which were written after it."""
    read = Packed.of([[*ids, *written]]).to(writer.device)
    with watching(writer.model) as maps:
        scores = writer.model(read)
    logs = scores.to(torch.promote_types(scores.dtype, torch.float32)).log_softmax(-1)
    told = -logs[:-1].gather(1, read.tokens[1:, None])[:, 0] / math.log(2)
    bits = [None, *told.clamp(min=0).tolist()]
    pieces, masks = writer.tokenizer.pieces(read.tokens.tolist()), masks_of(writer.model)
    drawn = []
    for name, weights in maps.items():
        allowed = seen(masks[name], *weights.shape[1:])
        drawn.append(AttentionMap(name, weights[0].float().cpu(), pieces, pieces, allowed))
    middle = len(ids)
    passages = [Passage("text", tuple(pieces[:middle]), tuple(bits[:middle]))]
    if written:
        passages.append(Passage("written", tuple(pieces[middle:]), tuple(bits[middle:])))
    return Example(title, drawn, {"surprise": _summed(bits[1:])}, passages=passages)


def _summed(bits: list[float]) -> str:
    """The surprise of a whole text in words."""
    if not bits:
        return "nothing was predicted"
    return f"{sum(bits):.1f} bits in {len(bits):,} tokens, {sum(bits) / len(bits):.2f} each"


def _read(writer: Writer, number: int, text: str, tokens: int) -> list[int]:
    """The ids of a text, to which so many tokens will be added."""
    ids = writer.tokenizer.encode(text) or [writer.tokenizer.end]
    if writer.context is not None and len(ids) + tokens > writer.context:
        added = f" and {tokens:,} new ones" if tokens else ""
        raise ValueError(
            f"text {number + 1} has {len(ids):,} tokens, which{added} do not fit into the context of "
            f"{writer.context:,}; shorten it{', or ask for fewer' if tokens else ''}"
        )
    return ids


def _written(writer: Writer, ids: list[int], tokens: int, seed: int | None) -> list[int]:
    """What the model goes on with, token by token, for these very tokens are to be looked at, not their text."""
    sampling = Sampling(temperature=0.0 if seed is None else 1.0)
    chance = torch.Generator().manual_seed(seed or 0)
    end = writer.tokenizer.end if writer.tokenizer.has_end else None
    written: list[int] = []
    with still(writer.model):
        scores, state = writer.model.step(None, writer.model.start(Packed.of([ids]).to(writer.device)))
        while True:
            chosen = sampling.choose(scores, torch.rand(1, generator=chance))
            written.append(int(chosen))
            if written[-1] == end or len(written) == tokens:
                return written
            scores, state = writer.model.step(chosen, state)

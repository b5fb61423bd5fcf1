"""Training step of GPT-2.

Predicted tokens a second of forward, backward and AdamW, with dropout 0.1 everywhere, of GPT-2's smallest size on
windows of WikiText-2 in its own byte pair encoding. Both sides start from the same weights and read the same windows,
which are full: nothing is padded on either side. bfloat16 is autocast for the peer, and what its trainer has for
regard; where the processor has no bfloat16 products, batches are smaller, since the peer's backward pass takes minutes
otherwise. Memory is the peak of four steps in float32, each side in a process of its own.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import memory, ours
from benchmarks.generation import published
from benchmarks.material import ROOT
from benchmarks.measure import Workload, alternate
from benchmarks.peers import gpt2, language_training
from benchmarks.results import Outcome, Row
from regard.attention.packing import Packed
from regard.layers.linear import has_bfloat16_products
from regard.models.gpt2 import GPT2, GPT2_SIZES, GPT2Config
from regard.text.tokenizer import Tokenizer

PEER = memory.PEER_OF_TEXT
Windows = Sequence[Sequence[int]]


def compare(
    *,
    seconds: float,
    config: GPT2Config = GPT2_SIZES["124M"],
    windows: int = 8,
    context: int = 256,
    tokenizer: Tokenizer | None = None,
    text: str | None = None,
) -> Outcome:
    """Both precisions, and memory.

    Args:
        windows: of a batch, each of `context` tokens which are predicted.
        tokenizer: GPT-2's published one by default.
        text: WikiText-2's by default.
    """
    tokenizer = tokenizer or published()
    batches = cut(tokenizer.encode(wikitext(200_000) if text is None else text), windows, context)
    config = replace(config, vocabulary=tokenizer.size)
    rows: list[Row] = []
    profiled: Workload | None = None
    for bfloat16 in (False, True):
        # products of bfloat16 without hardware are about a hundred times slower in the backward pass
        small = bfloat16 and not has_bfloat16_products()
        parts = [batch[:1] for batch in batches[:1]] if small else batches
        workloads = contenders(config, parts, bfloat16=bfloat16)
        profiled = profiled or workloads[0]
        work = f"{len(parts[0])} x {context}, {'bfloat16' if bfloat16 else 'float32'}"
        speeds = alternate(work, workloads, seconds=seconds)
        rows.append(Row.beside(work, "tokens/s", speeds, PEER, 1.5))
    peaks = [memory.peak(name, vars(config), batches) for name in (memory.OURS_OF_TEXT, PEER)]
    work = f"{windows} x {context}, float32, memory"
    rows.append(Row(work, "MB", peaks[0], PEER, peaks[1], peaks[0] / peaks[1], 0.75, at_most=True))
    return Outcome(rows, {"vocabulary": tokenizer.size}, profiled)


def contenders(
    config: GPT2Config, batches: Sequence[Windows], *, bfloat16: bool, device: str = "cpu"
) -> list[Workload]:
    """regard first, then its peer with the same weights; a part is one batch."""
    torch.manual_seed(1)
    model = GPT2(config)
    theirs = language_training.step(gpt2.build(model), bfloat16=bfloat16, device=device)
    mine = ours.language_step(model, bfloat16=bfloat16, device=device)
    packed, stacked = [Packed.of(batch) for batch in batches], [torch.tensor(batch) for batch in batches]
    return [
        Workload("regard", lambda part: mine(packed[part % len(packed)])),
        Workload(PEER, lambda part: theirs(stacked[part % len(stacked)])),
    ]


def cut(ids: Sequence[int], windows: int, context: int, count: int = 4) -> Sequence[Windows]:
    """The beginning of a text as batches of windows, each of `context` tokens which are predicted.

    Raises:
        ValueError: if the text is too short.
    """
    size = windows * context
    batches = [
        [ids[start : start + context + 1] for start in range(first, first + size, context)]
        for first in range(0, count * size, size)
    ]
    if len(batches[-1][-1]) != context + 1:
        raise ValueError(f"the text has {len(ids):,} tokens, too few for {count} batches of {windows} windows")
    return batches


def wikitext(characters: int) -> str:
    """The beginning of WikiText-2's training text.

    Raises:
        FileNotFoundError: if it is not in the folder which REGARD_DATA names.
    """
    path = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / "wikitext-2" / "wiki.train.tokens"
    if not path.is_file():
        raise FileNotFoundError(f"no WikiText-2 at {path}; set REGARD_DATA to the folder which holds wikitext-2/")
    with path.open(encoding="utf-8") as file:
        return file.read(characters)

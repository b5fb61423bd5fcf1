"""Recurrent cells beside torch's.

Source tokens a second through one layer, forward and backward, the gradients of the inputs and the weights included, on
80 sentences of Multi30k in random order. regard's cells are those of the papers: its GRU resets before the product,
which makes one product more a step that waits for another; torch's does not. torch's layers read the same batch once
packed by `pack_padded_sequence`, and once padded.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.material import PAD, Material, packed
from benchmarks.measure import Workload, alternate
from benchmarks.results import Outcome, Row
from regard.attention.packing import Packed
from regard.layers.recurrent import GRU, LSTM, Timeline


def compare(
    *,
    seconds: float,
    material: Material | None = None,
    inputs: int = 256,
    width: int = 512,
    batch: int = 80,
    batches: int = 4,
) -> Outcome:
    """GRU and LSTM."""
    material = material or Material.multi30k()
    torch.manual_seed(1)
    sources = [packed(pairs)[0] for pairs in material.batches(batches, batch)]
    words = [torch.randn(len(source.tokens), inputs, requires_grad=True) for source in sources]
    is_token = [source.padded(PAD) != PAD for source in sources]
    rows, profiled = [], None
    for name, own, peer in (("GRU", _gru(inputs, width), nn.GRU), ("LSTM", _lstm(inputs, width), nn.LSTM)):
        layer = peer(inputs, width, batch_first=True)

        def ours(part: int, own=own) -> int:
            number = part % batches
            own(words[number], sources[number]).sum().backward()
            return _count(sources[number])

        def theirs_packed(part: int, layer=layer) -> int:
            number = part % batches
            block = _block(words[number], is_token[number])
            read = nn.utils.rnn.pack_padded_sequence(
                block, sources[number].lengths, batch_first=True, enforce_sorted=False
            )
            layer(read)[0].data.sum().backward()
            return _count(sources[number])

        def theirs_padded(part: int, layer=layer) -> int:
            number = part % batches
            layer(_block(words[number], is_token[number]))[0].sum().backward()
            return _count(sources[number])

        workloads = [
            Workload("regard", ours),
            Workload(f"nn.{name}, packed", theirs_packed),
            Workload(f"nn.{name}, padded", theirs_padded),
        ]
        profiled = profiled or workloads[0]
        speeds = alternate(name, workloads, seconds=seconds, parts=batches)
        work = f"{name} {inputs}/{width}, float32"
        rows += [Row.beside(work, "source tokens/s", speeds, workload.name, None) for workload in workloads[1:]]
    return Outcome(rows, {"sentences in a batch": batch}, profiled)


def _gru(inputs: int, width: int) -> Callable[[Tensor, Packed], Tensor]:
    """regard's GRU over packed words."""
    layer = GRU(inputs, width)
    return lambda words, source: layer(words, Timeline(source.lengths))


def _lstm(inputs: int, width: int) -> Callable[[Tensor, Packed], Tensor]:
    """regard's LSTM over packed words."""
    layer = LSTM(inputs, width)

    def run(words: Tensor, source: Packed) -> Tensor:
        timeline = Timeline(source.lengths)
        zeros = words.new_zeros(len(source), width)
        return layer(words[timeline.order], zeros, zeros, timeline)[0]

    return run


def _block(words: Tensor, is_token: Tensor) -> Tensor:
    """Packed words [N, I] -> padded [B, S, I]."""
    return words.new_zeros(*is_token.shape, words.shape[1]).masked_scatter(is_token[:, :, None], words)


def _count(source: Packed) -> int:
    """Tokens of a batch."""
    return len(source.tokens)

"""Seq2Seq: Sequence to Sequence Learning with Neural Networks.

Ilya Sutskever, Oriol Vinyals, Quoc V. Le, 2014. A deep LSTM reads the source backwards; a second one starts from the
states in which the first ended, layer by layer, and writes the target.

The paper names Graves's LSTM but prints no equations; here it is without peepholes and without a forget gate's bias.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.attention.packing import Packed
from regard.layers.blocks import Stack
from regard.layers.dropout import Dropout
from regard.layers.initialise import uniform
from regard.layers.recurrent import LSTM, Timeline
from regard.layers.sizes import require_sizes
from regard.layers.state import Hypotheses, Recurrent

END = 1  # the id of the end of a sentence, the decoder's first input


@dataclass(frozen=True)
class Seq2SeqConfig:
    """Sizes, section 3.4."""

    source_vocabulary: int = 160000
    target_vocabulary: int = 80000
    embedding: int = 1000
    width: int = 1000
    depth: int = 4
    dropout: float = 0.0  # of what each layer reads and of the last layer's states; the paper has none

    def __post_init__(self):
        require_sizes(self)


SEQ2SEQ_SIZES = {
    "paper": Seq2SeqConfig(),
    "small": Seq2SeqConfig(embedding=256, width=512, depth=2),
    "tiny": Seq2SeqConfig(embedding=64, width=128, depth=2),
}


class Seq2Seq(nn.Module):
    """Two deep LSTMs; the source is read backwards (section 3.3)."""

    def __init__(self, config: Seq2SeqConfig):
        super().__init__()
        self.config = c = config
        self.source = nn.Embedding(c.source_vocabulary, c.embedding)
        self.target = nn.Embedding(c.target_vocabulary, c.embedding)
        widths = [c.embedding] + [c.width] * (c.depth - 1)
        self.encoder = Stack(LSTM(width, c.width) for width in widths)
        self.decoder = Stack(LSTM(width, c.width) for width in widths)
        self.output = nn.Linear(c.width, c.target_vocabulary)
        self.dropout = Dropout(c.dropout)
        uniform(self, 0.08)  # section 3.4

    def read(self, source: Packed) -> list[tuple[Tensor, Tensor]]:
        """The last state and cell [B, D] of each encoder layer."""
        timeline = Timeline(source.lengths)
        order = timeline.order.to(source.tokens.device)
        last = timeline.last.to(order.device)
        x = self.source(source.tokens[_reversed_words(source).to(order.device)][order])
        zero, ends = x.new_zeros(len(source), self.config.width), []
        for layer in self.encoder:
            states, cells = layer(self.dropout(x), zero, zero, timeline)
            ends.append((states[last], cells[last]))
            x = states
        return ends

    def hidden(self, source: Packed, target: Packed) -> Tensor:
        """What the output layer reads at every target token, [N_target, D]."""
        timeline = Timeline(target.lengths)
        device = target.tokens.device
        rows, order, inverse = (x.to(device) for x in (timeline.rows, timeline.order, timeline.inverse))
        before = target.tokens.roll(1, 0).masked_fill(target.is_first, END)
        x = self.target(before[order])
        for layer, (state, cell) in zip(self.decoder, self.read(source), strict=True):
            x, _ = layer(self.dropout(x), state[rows], cell[rows], timeline)
        return self.dropout(x)[inverse]

    def forward(self, source: Packed, target: Packed) -> Tensor:
        """Scores of every target token, given those before it: [N_target, V]."""
        return self.output(self.hidden(source, target))

    def start(self, source: Packed) -> Recurrent:
        """Read the sources backwards."""
        own = tuple(x for end in self.read(source) for x in end)
        return Recurrent(Hypotheses.one_each(len(source), own[0].device), own)

    def step(self, tokens: Tensor | None, state: Recurrent) -> tuple[Tensor, Recurrent]:
        """Last words [R], None at the first step -> scores of the next word [R, V], and the state after."""
        if tokens is None:
            tokens = torch.full((len(state.own[0]),), END, device=state.own[0].device)
        x, own = self.target(tokens), []
        for number, layer in enumerate(self.decoder):
            x, cell = layer.step(x, *state.own[2 * number : 2 * number + 2])
            own += [x, cell]
        return self.output(x), Recurrent(state.hypotheses, tuple(own))


def _reversed_words(source: Packed) -> Tensor:
    """Packed places which read each source backwards but for its end token, which stays last."""
    lengths = source.lengths.repeat_interleave(source.lengths)
    starts = source.starts.repeat_interleave(source.lengths)
    inside = torch.arange(len(lengths)) - starts
    return starts + torch.where(inside == lengths - 1, inside, lengths - 2 - inside)

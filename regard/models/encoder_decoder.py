"""RNN Encoder-Decoder: Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation.

Kyunghyun Cho, Bart van Merrienboer, Caglar Gulcehre, Dzmitry Bahdanau, Fethi Bougares, Holger Schwenk, Yoshua Bengio,
2014. One gated unit reads the source into a single vector; another writes the target from it, and is shown that summary
at every step.

Where the paper's text and the authors' code differ, `EncoderDecoder` is the code: the summary is the last state itself,
and the context enters the candidate outside of the reset gate. `PrintedEncoderDecoder` is the text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.attention.packing import Packed
from regard.layers.dropout import Dropout
from regard.layers.initialise import normal, orthogonal_blocks
from regard.layers.maxout import maxout
from regard.layers.recurrent import GRU, Timeline
from regard.layers.sizes import require_sizes
from regard.layers.state import Hypotheses, Recurrent


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """Sizes, section 4.1.1."""

    source_vocabulary: int = 15000
    target_vocabulary: int = 15000
    embedding: int = 100  # the rank of the input and output matrices
    width: int = 1000
    maxout: int = 500
    dropout: float = 0.0  # of embeddings and of the deep output; the paper has none

    def __post_init__(self):
        require_sizes(self)


ENCODER_DECODER_SIZES = {
    "paper": EncoderDecoderConfig(),
    "small": EncoderDecoderConfig(embedding=256, width=512, maxout=256),
    "tiny": EncoderDecoderConfig(embedding=64, width=128, maxout=64),
}


class EncoderDecoder(nn.Module):
    """A gated encoder, its summary, and a gated decoder with deep maxout output."""

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__()
        self.config = c = config
        self.source = nn.Embedding(c.source_vocabulary, c.embedding)
        self.source_bias = nn.Parameter(torch.zeros(c.embedding))
        self.target = nn.Embedding(c.target_vocabulary, c.embedding)
        self.target_bias = nn.Parameter(torch.zeros(c.embedding))
        self.encoder, self.decoder = GRU(c.embedding, c.width), GRU(c.embedding, c.width)
        self.first = nn.Linear(c.width, c.width)  # V'
        self.context = nn.Linear(c.width, 3 * c.width, bias=False)  # C_r, C_z, C
        self.read_state = nn.Linear(c.width, 2 * c.maxout)  # O_h
        self.read_word = nn.Linear(c.embedding, 2 * c.maxout, bias=False)  # O_y
        self.read_context = nn.Linear(c.width, 2 * c.maxout, bias=False)  # O_c
        self.deep = nn.Linear(c.maxout, c.embedding, bias=False)  # G_l
        self.output = nn.Linear(c.embedding, c.target_vocabulary)  # G_r
        self.dropout = Dropout(c.dropout)
        self.initialise()

    def initialise(self) -> None:
        """Section 4.1.1: orthogonal recurrent matrices, others N(0, 0.01^2), biases zero."""
        normal([p for p in self.parameters() if p.ndim > 1], 0.01)
        for unit in (self.encoder, self.decoder):
            orthogonal_blocks(unit.gates.weight)
            orthogonal_blocks(unit.candidate.weight)
        for zeros in (self.first.bias, self.read_state.bias, self.output.bias):
            nn.init.zeros_(zeros)

    def summarise(self, source: Packed) -> Tensor:
        """The summary c of each source: the encoder's last state, [B, D]."""
        words = self.dropout(self.source(source.tokens) + self.source_bias)
        states = self.encoder(words, Timeline(source.lengths))
        return states[(source.starts + source.lengths - 1).to(states.device)]

    def read(self, state: Tensor, word: Tensor, context: Tensor) -> Tensor:
        """The deep output, factorised; `context` is what the summary adds: [..., m]."""
        return self.deep(self.dropout(maxout(self.read_state(state) + self.read_word(word) + context)))

    def move(self, projected: Tensor, shown: Tensor, state: Tensor) -> Tensor:
        """The decoder's next state [B, D], from what the word and the summary add to its gates, [B, 3 D] each."""
        return self.decoder.step(projected + shown, state)

    def write(self, projected: Tensor, shown: Tensor, state: Tensor, timeline: Timeline) -> Tensor:
        """`move` over a whole batch in reading order: [N, 3 D] each and first states [B, D] -> states [N, D]."""
        return self.decoder.scan(projected + shown, state, timeline)

    def hidden(self, source: Packed, target: Packed) -> Tensor:
        """What the output layer reads at every target token, [N_target, m]."""
        summary = self.summarise(source)
        timeline, sentence = Timeline(target.lengths), torch.arange(len(target)).repeat_interleave(target.lengths)
        sentence, order = sentence.to(summary.device), timeline.order.to(summary.device)
        words = self.dropout(self.target(target.tokens) + self.target_bias)
        first = torch.tanh(self.first(summary))
        projected, shown = self.decoder.project(words)[order], self.context(summary)[sentence[order]]
        states = self.write(projected, shown, first[timeline.rows.to(first.device)], timeline)
        states = states[timeline.inverse.to(states.device)].to(words.dtype)
        is_first = target.is_first[:, None]  # scores come from the state before the word, which at first is s_0
        before = torch.where(is_first, first[sentence].to(states.dtype), states.roll(1, 0))
        return self.read(before, words.roll(1, 0).masked_fill(is_first, 0.0), self.read_context(summary)[sentence])

    def forward(self, source: Packed, target: Packed) -> Tensor:
        """Scores of every target token, given those before it: [N_target, V]."""
        return self.output(self.hidden(source, target))

    def start(self, source: Packed) -> Recurrent:
        """Read the sources into their summaries."""
        summary = self.summarise(source)
        shown = self.context(summary), self.read_context(summary)
        return Recurrent(Hypotheses.one_each(len(source), summary.device), (torch.tanh(self.first(summary)),), shown)

    def step(self, tokens: Tensor | None, state: Recurrent) -> tuple[Tensor, Recurrent]:
        """Last words [R], None at the first step -> scores of the next word [R, V], and the state after."""
        s = state.own[0]
        to_state, to_output = (x[state.hypotheses.owners] for x in state.source)
        word = s.new_zeros(len(s), self.config.embedding)
        if tokens is not None:
            word = self.target(tokens) + self.target_bias
            s = self.move(self.decoder.project(word), to_state, s)
        return self.output(self.read(s, word, to_output)), Recurrent(state.hypotheses, (s,), state.source)


class PrintedEncoderDecoder(EncoderDecoder):
    """The same with two equations as the paper's appendix prints them.

    The summary is c = tanh(V h_N), and the decoder's reset gate acts on the product and on the context,
    tanh(W' e(y) + r' * (U' h' + C c)). The authors' code, and their later paper, have neither.
    """

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__(config)
        self.summary = nn.Linear(config.width, config.width, bias=False)  # V
        normal([self.summary.weight], 0.01)

    def summarise(self, source: Packed) -> Tensor:
        """The summary c of each source, [B, D]."""
        return torch.tanh(self.summary(super().summarise(source)))

    def move(self, projected: Tensor, shown: Tensor, state: Tensor) -> Tensor:
        """The decoder's next state [B, D]."""
        width = self.config.width
        gates = projected[:, : 2 * width] + shown[:, : 2 * width] + self.decoder.gates(state)
        reset, update = torch.sigmoid(gates).chunk(2, -1)
        inner = reset * (self.decoder.candidate(state) + shown[:, 2 * width :])
        candidate = torch.tanh(projected[:, 2 * width :] + inner)
        return torch.lerp(state.type_as(candidate), candidate, update.type_as(candidate))

    def write(self, projected: Tensor, shown: Tensor, state: Tensor, timeline: Timeline) -> Tensor:
        """`move`, step by step: this form has no scan of its own."""
        states = []
        for inputs, context in zip(projected.split(timeline.sizes), shown.split(timeline.sizes), strict=True):
            state = self.move(inputs, context, state[: len(inputs)])
            states.append(state)
        return torch.cat(states)

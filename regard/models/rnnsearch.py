"""RNNsearch: Neural Machine Translation by Jointly Learning to Align and Translate.

Dzmitry Bahdanau, Kyunghyun Cho, Yoshua Bengio, 2014 (ICLR 2015). A bidirectional encoder gives each source word an
annotation; at every step the decoder looks for those which matter, and reads their weighted sum.

The order of reading is that of the authors' code: the scores of word i come from the state s_{i-1}, which has read the
words before it, and the state then reads word i with the same context.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from regard.attention.packing import Packed
from regard.layers.attention import AdditiveAttention
from regard.layers.dropout import Dropout
from regard.layers.initialise import normal, orthogonal_blocks
from regard.layers.maxout import maxout
from regard.layers.recurrent import GRU, GRUTape, GRUWayBack, Timeline, full_precision, joined
from regard.layers.sizes import require_sizes
from regard.layers.state import Hypotheses, Recurrent


@dataclass(frozen=True)
class RNNSearchConfig:
    """Sizes, appendix A."""

    source_vocabulary: int = 30000  # K_x
    target_vocabulary: int = 30000  # K_y
    embedding: int = 620  # m
    width: int = 1000  # n
    alignment: int = 1000  # n'
    maxout: int = 500  # l
    dropout: float = 0.0  # of embeddings and of the deep output; the paper has none

    def __post_init__(self):
        require_sizes(self)


RNNSEARCH_SIZES = {
    "paper": RNNSearchConfig(),
    "small": RNNSearchConfig(embedding=256, width=512, alignment=512, maxout=256),
    "tiny": RNNSearchConfig(embedding=64, width=128, alignment=128, maxout=64),
}


class RNNSearch(nn.Module):
    """Bidirectional encoder, decoder with additive attention, deep maxout output."""

    def __init__(self, config: RNNSearchConfig):
        super().__init__()
        self.config = c = config
        self.source = nn.Embedding(c.source_vocabulary, c.embedding)  # E_x
        self.source_bias = nn.Parameter(torch.zeros(c.embedding))
        self.target = nn.Embedding(c.target_vocabulary, c.embedding)  # E_y
        self.target_bias = nn.Parameter(torch.zeros(c.embedding))
        self.forwards, self.backwards = GRU(c.embedding, c.width), GRU(c.embedding, c.width)
        self.first = nn.Linear(c.width, c.width)  # W_s
        self.attention = AdditiveAttention(c.width, 2 * c.width, c.alignment)
        self.decoder = GRU(c.embedding, c.width)
        self.context = nn.Linear(2 * c.width, 3 * c.width, bias=False)  # C_r, C_z, C
        self.read_state = nn.Linear(c.width, 2 * c.maxout)  # U_o
        self.read_word = nn.Linear(c.embedding, 2 * c.maxout, bias=False)  # V_o
        self.read_context = nn.Linear(2 * c.width, 2 * c.maxout, bias=False)  # C_o
        self.deep = nn.Linear(c.maxout, c.embedding, bias=False)  # W_o in two factors, of the rank of the embeddings
        self.output = nn.Linear(c.embedding, c.target_vocabulary)
        self.dropout = Dropout(c.dropout)
        self.initialise()

    def initialise(self) -> None:
        """Appendix B.1: orthogonal recurrent matrices, attention N(0, 0.001^2) with v = 0, others N(0, 0.01^2)."""
        normal([p for p in self.parameters() if p.ndim > 1], 0.01)
        for unit in (self.forwards, self.backwards, self.decoder):
            orthogonal_blocks(unit.gates.weight)
            orthogonal_blocks(unit.candidate.weight)
        normal([self.attention.query.weight, self.attention.key.weight], 0.001)
        for zeros in (self.attention.energy.weight, self.first.bias, self.read_state.bias, self.output.bias):
            nn.init.zeros_(zeros)

    def annotate(self, source: Packed) -> tuple[Tensor, Tensor]:
        """Annotations h_j = [forward; backward] [N, 2 D] and the decoder's first states s_0 [B, D]."""
        words = self.dropout(self.source(source.tokens) + self.source_bias)
        reading, back = Timeline(source.lengths), Timeline(source.lengths, backward=True)
        backwards = self.backwards(words, back)
        annotations = torch.cat([self.forwards(words, reading), backwards], -1)
        return annotations, torch.tanh(self.first(backwards[source.starts.to(words.device)]))

    def blocks(self, annotations: Tensor, source: Packed) -> tuple[Tensor, Tensor, Tensor]:
        """Attention keys [B, S, A], annotations [B, S, 2 D] and which places hold a word [B, S]."""
        longest = int(source.lengths.max())
        is_token = torch.arange(longest) < source.lengths[:, None]
        slots = is_token.flatten().nonzero().squeeze(1).to(annotations.device)

        def block(x: Tensor) -> Tensor:
            return x.new_zeros(len(source) * longest, x.shape[1]).index_copy(0, slots, x).unflatten(0, (-1, longest))

        return block(self.attention.key(annotations)), block(annotations), is_token.to(annotations.device)

    def read(self, state: Tensor, word: Tensor, context: Tensor) -> Tensor:
        """The deep output t_i, factorised: state, previous word and context -> [..., m]."""
        read = self.read_state(state) + self.read_word(word) + self.read_context(context)
        return self.deep(self.dropout(maxout(read)))

    def hidden(self, source: Packed, target: Packed) -> Tensor:
        """What the output layer reads at every target token, [N_target, m]."""
        annotations, first = self.annotate(source)
        timeline = Timeline(target.lengths)
        rows, order = timeline.rows.to(first.device), timeline.order.to(first.device)
        keys, values, is_token = (x[rows] for x in self.blocks(annotations, source))
        words = self.dropout(self.target(target.tokens) + self.target_bias)
        states, contexts, weights = full_precision(
            _Search.apply,
            self.decoder.project(words[order]),
            first[rows],
            keys,
            values if self.attention.kept is None else values * self.attention.kept.to(values),
            is_token,
            self.attention.query.weight,
            self.attention.energy.weight,
            self.context.weight,
            self.decoder.gates.weight,
            self.decoder.candidate.weight,
            timeline,
        )
        inverse = timeline.inverse.to(first.device)
        if self.attention.recorded is not None:
            self.attention.recorded.append(_one_row(weights[inverse].detach(), source, target))
        before = words.roll(1, 0).masked_fill(target.is_first[:, None], 0.0)  # "the zero vector" before the first word
        return self.read(states[inverse].to(words.dtype), before, contexts[inverse].to(words.dtype))

    def forward(self, source: Packed, target: Packed) -> Tensor:
        """Scores of every target token, given those before it: [N_target, V]."""
        return self.output(self.hidden(source, target))

    def start(self, source: Packed) -> Recurrent:
        """Read the sources both ways."""
        annotations, first = self.annotate(source)
        return Recurrent(Hypotheses.one_each(len(source), first.device), (first,), self.blocks(annotations, source))

    def step(self, tokens: Tensor | None, state: Recurrent) -> tuple[Tensor, Recurrent]:
        """Last words [R], None at the first step -> scores [R, V] and the state; `state.alignment` is [R, S]."""
        s, keys, values, is_token = state.own[0], *state.source
        word = s.new_zeros(len(s), self.config.embedding)
        if tokens is not None:
            word = self.target(tokens) + self.target_bias
            s = self.decoder.step(self.decoder.project(word) + self.context(state.own[1]), s)
        hypotheses = state.hypotheses
        context, weights = map(hypotheses.gather, self.attention(hypotheses.spread(s), keys, values, is_token))
        scores = self.output(self.read(s, word, context))
        return scores, Recurrent(hypotheses, (s, context), state.source, alignment=weights)


def _one_row(weights: Tensor, source: Packed, target: Packed) -> Tensor:
    """Weights [N_target, longest source] as one packed row [1, 1, N_target, N_source]."""
    result = weights.new_zeros(len(target.tokens), len(source.tokens))
    targets, sources = target.starts.tolist(), source.starts.tolist()
    for t, T, s, S in zip(targets, target.lengths.tolist(), sources, source.lengths.tolist(), strict=True):
        result[t : t + T, s : s + S] = weights[t : t + T, :S]
    return result[None, None]


class _Search(torch.autograd.Function):
    """All steps of the decoder over rows of sentences, the longest first.

    Gives the states s_{i-1}, contexts c_i and weights a_i in reading order. The state moves on only in sentences which
    are not over, so there are fewer moves than steps. The attention's hidden layer [n, S, A] is computed once more on
    the way back instead of being kept for every step.
    """

    @staticmethod
    def forward(ctx, words, state, keys, values, is_token, query, energy, context, gates, candidate, timeline):  # pyright: ignore[reportIncompatibleMethodOverride]
        total, sizes, moving = len(words), timeline.sizes, timeline.sizes[1:]
        closed = words.new_zeros(is_token.shape).masked_fill_(~is_token, -torch.inf)
        states, contexts = words.new_empty(total, state.shape[1]), words.new_empty(total, values.shape[2])
        weights = words.new_empty(total, keys.shape[1])
        projected = words[timeline.moves.to(words.device)]  # of the words; the contexts are added as they come
        tape = GRUTape(projected, moving, gates, candidate)
        inputs = projected.split(moving)
        for number, (own, read, weight) in enumerate(
            zip(states.split(sizes), contexts.split(sizes), weights.split(sizes), strict=True)
        ):
            size = len(own)
            own.copy_(state)
            hidden = ((own @ query.T)[:, None] + keys[:size]).tanh_()
            torch.softmax((hidden @ energy[0]).add_(closed[:size]), -1, out=weight)
            torch.bmm(weight[:, None], values[:size], out=read[:, None])
            if number < len(moving):
                inputs[number].addmm_(read[: moving[number]], context.T)
                state = tape.step(number, own[: moving[number]])
        saved = (tape.opened, tape.proposed, keys, values, query, energy, context, gates, candidate)
        ctx.save_for_backward(states, contexts, weights, *saved)
        ctx.timeline = timeline
        ctx.mark_non_differentiable(weights)
        return states, contexts, weights

    @staticmethod
    @once_differentiable
    def backward(ctx, to_states, to_contexts, _):  # pyright: ignore[reportIncompatibleMethodOverride]
        states, contexts, weights, opened, proposed, keys, values, query, energy, context, gates, candidate = (
            ctx.saved_tensors
        )
        sizes, moving, moves = ctx.timeline.sizes, ctx.timeline.sizes[1:], ctx.timeline.moves.to(states.device)
        back = GRUWayBack(states[moves], opened, proposed, moving, gates, candidate)
        inputs = back.inputs.split(moving)
        to_contexts, to_queries = to_contexts.clone(), states.new_empty(len(states), len(query))
        to_keys, to_energy = torch.zeros_like(keys), torch.zeros_like(energy[0])
        queries = states @ query.T
        parts = (to_states, to_contexts, weights, queries, to_queries)
        steps = list(zip(*(part.split(sizes) for part in parts), strict=True))
        later = None
        for number in reversed(range(len(sizes))):
            to_state, to_context, weight, asked, to_query = steps[number]
            size = len(to_state)
            if later is not None:
                to_state = joined(to_state, back.step(number, later))
                to_context[: moving[number]].addmm_(inputs[number], context)
            weighted = torch.bmm(values[:size], to_context[:, :, None])[:, :, 0].mul_(weight)
            to_energies = weighted.addcmul_(weight, weighted.sum(-1, keepdim=True), value=-1)
            hidden = (asked[:, None] + keys[:size]).tanh_()
            to_energy.addmv_(hidden.flatten(0, 1).T, to_energies.flatten())
            to_hidden = torch.ops.aten.tanh_backward(to_energies[:, :, None] * energy[0], hidden)
            to_keys[:size] += to_hidden
            torch.sum(to_hidden, 1, out=to_query)
            later = torch.addmm(to_state, to_query, query)
        # the annotations' gradient: one product over all steps of a sentence
        count, longest = len(keys), len(sizes)
        slots = torch.cat([torch.arange(size) * longest + number for number, size in enumerate(sizes)]).to(
            states.device
        )
        read, asked = (
            x.new_zeros(count * longest, x.shape[1]).index_copy_(0, slots, x).unflatten(0, (count, longest))
            for x in (weights, to_contexts)
        )
        to_words = states.new_zeros(len(states), back.inputs.shape[1]).index_copy_(0, moves, back.inputs)
        to_context_weight = back.inputs.T @ contexts[moves]
        return (
            *(to_words, later, to_keys, read.mT @ asked, None),
            *(to_queries.T @ states, to_energy[None], to_context_weight, *back.weights(), None),
        )

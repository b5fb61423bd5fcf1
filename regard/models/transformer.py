"""Transformer: Attention Is All You Need.

Ashish Vaswani, Noam Shazeer, Niki Parmar, Jakob Uszkoreit, Llion Jones, Aidan N. Gomez, Lukasz Kaiser, Illia
Polosukhin, 2017. An encoder-decoder of attention and feed-forward layers alone.

Details which the paper leaves open are those of the authors' code (its setting `transformer_base_v1`): projections of
attention without biases, layer norms with epsilon 1e-6, targets shifted right with a zero vector in the first place.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from regard.attention.masks import causal, documents, padding
from regard.attention.packing import Packed
from regard.layers.attention import HeadProjections, MultiHeadAttention, Source, SourceAttention
from regard.layers.blocks import FeedForward, PostNormBlock, PreNormBlock, Stack
from regard.layers.cache import KeyValueCache
from regard.layers.continuation import Tree
from regard.layers.dropout import Dropout
from regard.layers.initialise import tensor2tensor
from regard.layers.linear import Linear
from regard.layers.positions import sinusoids
from regard.layers.sizes import require_sizes
from regard.layers.state import Hypotheses, stacked

EPSILON = 1e-6  # of layer norms, from the code


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes, table 3."""

    vocabulary: int = 37000  # shared by source and target, section 5.1
    width: int = 512  # d_model
    depth: int = 6  # N
    heads: int = 8  # h
    hidden: int = 2048  # d_ff
    dropout: float = 0.1  # P_drop

    def __post_init__(self):
        require_sizes(self)


TRANSFORMER_SIZES = {
    "base": TransformerConfig(),
    "big": TransformerConfig(width=1024, heads=16, hidden=4096, dropout=0.3),
    "small": TransformerConfig(width=256, depth=3, heads=4, hidden=1024),
    "tiny": TransformerConfig(width=128, depth=2, heads=4, hidden=512),
}


class DecoderBlock(PostNormBlock):
    """Self-attention, attention to the source, feed-forward: each with its residual and norm (figure 1, right)."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        source_attention: SourceAttention,
        feed_forward: FeedForward,
        width: int,
        *,
        dropout: float,
        epsilon: float,
    ):
        super().__init__(attention, feed_forward, width, dropout=dropout, epsilon=epsilon)
        self.source_attention, self.source_norm = source_attention, nn.LayerNorm(width, epsilon)

    def forward(self, x: Tensor, *, source: Source, **attention) -> Tensor:
        """x [B, T, D] attends to itself and to the encoder's output."""
        x = self.attention_norm(x + self.dropout(self.attention(x, **attention)))
        x = self.source_norm(x + self.dropout(self.source_attention(x, source)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class PreNormDecoderBlock(PreNormBlock):
    """The same three sublayers, each of which reads the norm of what is added to."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        source_attention: SourceAttention,
        feed_forward: FeedForward,
        width: int,
        *,
        dropout: float,
        epsilon: float,
    ):
        super().__init__(attention, feed_forward, width, dropout=dropout, epsilon=epsilon)
        self.source_attention, self.source_norm = source_attention, nn.LayerNorm(width, epsilon)

    def forward(self, x: Tensor, *, source: Source, **attention) -> Tensor:
        """x [B, T, D] attends to itself and to the encoder's output."""
        x = x + self.dropout(self.attention(self.attention_norm(x), **attention))
        x = x + self.dropout(self.source_attention(self.source_norm(x), source))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


@dataclass(frozen=True)
class TransformerState:
    """What the decoder keeps: keys and values of its own past, and of the source."""

    hypotheses: Hypotheses
    lengths: Tensor  # words which each sentence has already, [B]
    tree: Tree  # whose past each position is
    past: tuple[KeyValueCache, ...]  # one a layer
    is_token: Tensor  # which positions of the source hold one, [B, S]
    source: tuple[KeyValueCache, ...]  # one a layer
    alignment: Tensor | None = None  # weights over the source at the last step [R, S], where they were asked for

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> "TransformerState":
        """Go on with `rows` as `hypotheses`."""
        tree = self.tree.select(self.hypotheses.places[rows], hypotheses)
        state = replace(self, hypotheses=hypotheses, tree=tree, alignment=None)
        return state if sentences is None else state._keep(sentences)

    def _keep(self, sentences: Tensor) -> "TransformerState":
        """Without the sentences which are done, and what only they needed of the source's width."""
        is_token = self.is_token[sentences]
        longest = int(is_token.any(0).sum())
        past = tuple(cache.select(sentences) for cache in self.past)
        source = tuple(cache.select(sentences, longest) for cache in self.source)
        lengths = self.lengths[sentences]
        return replace(self, lengths=lengths, past=past, is_token=is_token[:, :longest], source=source)

    def join(self, other: "TransformerState") -> "TransformerState":
        """Both, to go on as one."""
        return TransformerState(
            self.hypotheses.join(other.hypotheses),
            torch.cat([self.lengths, other.lengths]),
            self.tree.join(other.tree),
            tuple(x.join(y) for x, y in zip(self.past, other.past, strict=True)),
            stacked(self.is_token, other.is_token),
            tuple(x.join(y) for x, y in zip(self.source, other.source, strict=True)),
        )


class Transformer(nn.Module):
    """Post-norm encoder and decoder around one shared embedding (figure 1)."""

    encoder_layer: type[PostNormBlock | PreNormBlock] = PostNormBlock
    decoder_layer: "type[DecoderBlock | PreNormDecoderBlock]" = DecoderBlock

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = c = config
        self.token = nn.Embedding(c.vocabulary, c.width)
        self.dropout = Dropout(c.dropout)
        self.encoder = Stack(self.encoder_block() for _ in range(c.depth))
        self.decoder = Stack(self.decoder_block() for _ in range(c.depth))
        self.encoder_end, self.decoder_end = self.end(), self.end()
        self.output = Linear(c.width, c.vocabulary, bias=False)
        tensor2tensor(self, self.token, [m.projection.weight for m in self.modules() if isinstance(m, HeadProjections)])
        self.output.weight = self.token.weight  # "we share the same weight matrix", section 3.4

    def encoder_block(self) -> PostNormBlock | PreNormBlock:
        """One layer of the encoder, section 3.1."""
        c = self.config
        attention, feed_forward = MultiHeadAttention(c.width, c.heads, bias=False), self.feed_forward()
        return self.encoder_layer(attention, feed_forward, c.width, dropout=c.dropout, epsilon=EPSILON)

    def decoder_block(self) -> "DecoderBlock | PreNormDecoderBlock":
        """One layer of the decoder, section 3.1."""
        c = self.config
        attention = MultiHeadAttention(c.width, c.heads, bias=False)
        source = SourceAttention(c.width, c.heads, bias=False)
        return self.decoder_layer(attention, source, self.feed_forward(), c.width, dropout=c.dropout, epsilon=EPSILON)

    def feed_forward(self) -> FeedForward:
        """max(0, x W_1 + b_1) W_2 + b_2, equation 2; in place, since what the ReLU overwrites is not needed again."""
        return FeedForward(self.config.width, self.config.hidden, torch.relu_)

    def end(self) -> nn.Module:
        """What follows the last block of a stack: nothing, where blocks end with a norm."""
        return nn.Identity()

    def positions(self, count: int, device: torch.device) -> Tensor:
        """Encodings of the first positions, [count, D] (section 3.5)."""
        return sinusoids(torch.arange(count, device=device), self.config.width)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings times sqrt(d_model), section 3.4."""
        return self.token(tokens) * self.config.width**0.5

    def place(self, x: Tensor, tokens: Packed) -> Tensor:
        """Embeddings [N, D] with their positions, as one packed row [1, N, D]."""
        table = self.positions(int(tokens.lengths.max()), x.device).to(x.dtype)
        return self.dropout(x + table[tokens.positions])[None]

    def encode(self, source: Packed) -> Tensor:
        """Packed source -> its representation [1, N, D]."""
        x = self.place(self.embed(source.tokens), source)
        mask = documents(source.lengths)
        for block in self.encoder:
            x = block(x, mask=mask)
        return self.encoder_end(x)

    def hidden(self, source: Packed, target: Packed) -> Tensor:
        """What the output layer reads at every target token, [N_target, D]."""
        memory = self.encode(source)
        before = self.embed(target.tokens).roll(1, 0).masked_fill(target.is_first[:, None], 0.0)
        x = self.place(before, target)
        mask, source_mask = causal() & documents(target.lengths), documents(target.lengths, source.lengths)
        for block in self.decoder:
            key, value = block.source_attention.keys_and_values(memory)
            x = block(x, source=Source(key, value, source_mask), mask=mask)
        return self.decoder_end(x)[0]

    def forward(self, source: Packed, target: Packed) -> Tensor:
        """Scores of every target token, given those before it: [N_target, V]."""
        return self.output(self.hidden(source, target))

    def start(self, source: Packed) -> TransformerState:
        """Encode the sources, and make their keys and values for every layer once."""
        memory = pad_sequence(source.unpack(self.encode(source)[0]), batch_first=True)  # [B, S, D]
        source_of = tuple(KeyValueCache.of(*block.source_attention.keys_and_values(memory)) for block in self.decoder)
        first, tree = Hypotheses.one_each(len(source), memory.device), Tree.root(len(source), memory.device)
        lengths = torch.zeros(len(source), dtype=torch.int64, device=memory.device)
        return TransformerState(
            first, lengths, tree, tuple(KeyValueCache() for _ in self.decoder), source.is_token, source_of
        )

    def step(self, tokens: Tensor | None, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """Last words [R], None at the first step -> scores of the next word [R, V], and the state after."""
        hypotheses, start = state.hypotheses, (len(state.hypotheses.places), self.config.width)
        x = self.token.weight.new_zeros(start) if tokens is None else self.embed(tokens)
        places = self.positions(int(state.lengths.max()) + 1, x.device)[state.lengths]
        x = (x + places[hypotheses.owners].to(x.dtype))[None]
        tree, slots = state.tree.grow(hypotheses)
        past = tuple(cache.at(slots) for cache in state.past)
        mask, source_mask = tree.mask, padding(state.is_token)
        for block, cache, memory in zip(self.decoder, past, state.source, strict=True):
            source = Source(*memory.held(), source_mask, hypotheses)
            x = block(x, source=source, mask=mask, cache=cache)
        state = replace(state, lengths=state.lengths + 1, tree=tree, past=past)
        return self.output(self.decoder_end(x)[0]), state


class PreNormTransformer(Transformer):
    """The same network with the norm inside each residual branch, and one more at the end of each stack.

    What the authors' code later made its default (`transformer_base`), which trains more easily when deep.
    """

    encoder_layer = PreNormBlock
    decoder_layer = PreNormDecoderBlock

    def end(self) -> nn.Module:
        """The norm after the last block."""
        return nn.LayerNorm(self.config.width, EPSILON)

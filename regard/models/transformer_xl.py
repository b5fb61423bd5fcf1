"""Transformer-XL: Attentive Language Models Beyond a Fixed-Length Context.

Zihang Dai, Zhilin Yang, Yiming Yang, Jaime Carbonell, Quoc V. Le, Ruslan Salakhutdinov, 2019. A text is read segment by
segment; each layer attends to the segment and to what the layer below held of the segments before it, and knows how far
away a position is, not where it stands.

Details which the paper leaves open are those of the authors' PyTorch code: layer norms with epsilon 1e-5 (1e-12 in
their TensorFlow code), an empty memory at the start of a text, adaptive embedding and softmax for large vocabularies.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from regard.attention.masks import Mask, banded, causal
from regard.attention.packing import Packed
from regard.layers.adaptive import AdaptiveEmbedding, AdaptiveSoftmax
from regard.layers.attention import RelativeAttention, Segment, Steps
from regard.layers.blocks import FeedForward, PostNormBlock, Stack
from regard.layers.cache import FillingCache
from regard.layers.continuation import Continuation, PatternTree
from regard.layers.dropout import Dropout
from regard.layers.initialise import normal
from regard.layers.positions import distances
from regard.layers.sizes import require_sizes
from regard.layers.state import Hypotheses
from regard.layers.vocabulary import require_known

EPSILON = 1e-5  # of layer norms, from the PyTorch code


@dataclass(frozen=True)
class TransformerXLConfig:
    """Sizes; the defaults are those of the authors' script for enwik8 on a base scale."""

    vocabulary: int = 204
    width: int = 512
    depth: int = 12
    heads: int = 8
    hidden: int = 2048
    memory: int = 512  # positions before a segment which are remembered
    dropout: float = 0.1
    attention_dropout: float = 0.0  # of attention weights
    clamp: int = 0  # distances above it count as it; 0 or less does not clamp
    same_length: bool = False  # every position sees `memory` others before it, not the segment's first ones as well
    untied: bool = False  # u and v of each layer, not one of all
    cutoffs: tuple[int, ...] = ()  # of clusters of rare words
    division: int = 1  # of the width of embeddings, from cluster to cluster

    def __post_init__(self):
        require_sizes(self, memory=0, clamp=None)


TRANSFORMER_XL_SIZES = {  # the authors' scripts
    "enwik8-base": TransformerXLConfig(),
    "enwik8-large": TransformerXLConfig(
        width=1024, depth=24, hidden=3072, memory=768, dropout=0.15, attention_dropout=0.15
    ),
    "wikitext103-base": TransformerXLConfig(
        267735, 410, 16, 10, 2100, memory=150, cutoffs=(20000, 40000, 200000), dropout=0.1
    ),
    "wikitext103-large": TransformerXLConfig(
        267735,
        1024,
        18,
        16,
        4096,
        memory=384,
        dropout=0.2,
        attention_dropout=0.2,
        cutoffs=(20000, 40000, 200000),
        division=4,
    ),
    "tiny": TransformerXLConfig(256, 64, 2, 4, 128, memory=64),
}

Memory = tuple[Tensor, ...]  # what enters each layer, [B, M, D]


class TransformerXL(nn.Module):
    """Post-norm blocks with relative attention and memory (section 3.3)."""

    def __init__(self, config: TransformerXLConfig):
        super().__init__()
        self.config = c = config
        self.token = AdaptiveEmbedding(c.vocabulary, c.width, c.cutoffs, c.division)
        self.dropout = Dropout(c.dropout)
        self.blocks = Stack(self.block() for _ in range(c.depth))
        if not c.untied:
            first = self.blocks[0].attention
            for block in self.blocks:
                for name in ("content_bias", "distance_bias"):
                    setattr(block.attention, name, getattr(first, name))
        self.output = AdaptiveSoftmax(self.token)
        self.initialise()

    def block(self) -> PostNormBlock:
        """One layer."""
        c = self.config
        attention = RelativeAttention(c.width, c.heads, dropout=c.attention_dropout)
        feed_forward = FeedForward(c.width, c.hidden, relu, dropout=c.dropout)
        return PostNormBlock(attention, feed_forward, c.width, dropout=c.dropout, epsilon=EPSILON)

    def initialise(self) -> None:
        """Weights N(0, 0.02), projections of embeddings N(0, 0.01), biases and clusters zero, from the code."""
        normal([parameter for parameter in self.parameters() if parameter.ndim > 1], 0.02)
        normal([projection.weight for projection in self.token.projections], 0.01)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        if self.output.clusters is not None:
            nn.init.zeros_(self.output.clusters.weight)

    def read(self, segment: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """Ids of a segment [B, T] and the memory of those before it -> hidden states [B, T, D] and the next memory.

        The memory carries no gradient.
        """
        c = self.config
        x = self.embed(segment)
        memory = memory or (x[:, :0],) * c.depth
        steps = torch.arange(memory[0].shape[1] + x.shape[1] - 1, -1, -1, device=x.device)
        encoded, remembered = self.dropout(self.encode(steps).to(x.dtype)), []
        for block, past in zip(self.blocks, memory, strict=True):
            kept = torch.cat([past, x], 1)[:, -c.memory :] if c.memory else x[:, :0]
            remembered.append(kept.detach())
            x = block(x, past=Segment(past, encoded), mask=self.mask)
        return self.dropout(x), tuple(remembered)

    @property
    def mask(self) -> Mask:
        """What a position sees."""
        return banded(self.config.memory + 1) if self.config.same_length else causal()

    def embed(self, tokens: Tensor) -> Tensor:
        """Ids [...] -> [..., D], times sqrt(D), as in the Transformer.

        Raises:
            ValueError: if an id lies outside the vocabulary.
        """
        require_known(tokens, self.config.vocabulary)
        return self.dropout(self.token(tokens) * self.config.width**0.5)

    def encode(self, steps: Tensor) -> Tensor:
        """Distances [P] -> [P, D]."""
        return distances(steps.clamp(max=self.config.clamp) if self.config.clamp > 0 else steps, self.config.width)

    def hidden(self, text: Packed) -> Tensor:
        """What the output layer reads, at every token, when each sequence is one segment without memory: [N, D]."""
        if text.lengths.eq(text.lengths[0]).all():  # as the segments of a stream are
            return self.read(text.tokens.unflatten(0, (len(text), -1)))[0].flatten(0, 1)
        return self.read(text.padded(0))[0][text.is_token]

    def forward(self, text: Packed) -> Tensor:
        """Log-probabilities of the token after each one, given it and those before it: [N, V]."""
        return self.output(self.hidden(text))

    def start(self, prompts: Packed) -> "TransformerXLState":
        """Read each prompt as one segment; the state before the first new token, which sees `memory` others."""
        x = self.embed(prompts.padded(0))
        length, device = x.shape[1], x.device
        encoded = self.encode(torch.arange(length - 1, -1, -1, device=device)).to(x.dtype)
        apart = self.encode(torch.arange(self.config.memory + 1, device=device)).to(x.dtype)
        filled, keys, band = [], [], banded(self.config.memory + 1)
        for block in self.blocks:
            cache = FillingCache(prompts, band)
            cache.write(*(y[0].transpose(0, 1) for y in block.attention.keys_and_values(x[prompts.is_token][None])))
            filled.append(cache)
            keys.append(block.attention.distance_keys(apart))
            x = block(x, past=Segment(x[:, :0], encoded), mask=self.mask)
        last = x[torch.arange(len(prompts), device=device), prompts.lengths.to(device) - 1]
        return TransformerXLState(Continuation.of(prompts, filled, last), tuple(keys))

    def step(self, tokens: Tensor | None, state: "TransformerXLState") -> tuple[Tensor, "TransformerXLState"]:
        """Last tokens [R], None at the first step -> log-probabilities of the next [R, V], and the state after."""
        if tokens is None:
            return self.output(state.text.prompted()), state
        text, masks, caches = state.text.grow()
        (tree,) = text.trees.values()
        assert isinstance(tree, PatternTree)
        apart = (text.lengths[:, None] - 1 - tree.positions).clamp(0, self.config.memory)
        x = self.embed(tokens)[None]
        for block, mask, cache, keys in zip(self.blocks, masks, caches, state.keys, strict=True):
            x = block(x, past=Steps(cache, keys, apart), mask=mask)
        return self.output(x[0]), replace(state, text=text)


@dataclass(frozen=True)
class TransformerXLState:
    """What is kept of texts which are gone on with: keys and values of every layer, and the keys of distances."""

    text: Continuation
    keys: tuple[Tensor, ...]  # one a layer, [1, H, memory + 1, K]

    @property
    def hypotheses(self) -> Hypotheses:
        """Where the rows stand."""
        return self.text.hypotheses

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> "TransformerXLState":
        """Go on with `rows` as `hypotheses`."""
        return replace(self, text=self.text.select(rows, hypotheses, sentences))

    def join(self, other: "TransformerXLState") -> "TransformerXLState":
        """Both, to go on as one."""
        return replace(self, text=self.text.join(other.text))

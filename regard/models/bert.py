"""BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding.

Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova, 2018. The Transformer's encoder alone, pre-trained to find
masked words from both sides, and then tuned for tasks.

Details which the paper leaves open are those of the authors' code: layer norms with epsilon 1e-12, truncated normal
weights. Its first release, which made the published checkpoints, had the exact form of GELU; from February 2019 on it
has the tanh form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from regard.attention.masks import documents
from regard.attention.packing import Packed, sent
from regard.layers.activations import GELU
from regard.layers.attention import MultiHeadAttention
from regard.layers.blocks import FeedForward, PostNormBlock, Stack
from regard.layers.dropout import Dropout
from regard.layers.initialise import truncated_normal
from regard.layers.linear import Linear
from regard.layers.sizes import require_sizes
from regard.layers.vocabulary import require_known
from regard.storage.names import require

EPSILON = 1e-12  # of layer norms, from the code


@dataclass(frozen=True)
class BERTConfig:
    """Sizes, section 3."""

    vocabulary: int = 30522  # word pieces, lower-cased
    context: int = 512  # positions which have an embedding
    segments: int = 2  # sentence A and sentence B
    width: int = 768  # H
    depth: int = 12  # L
    heads: int = 12  # A
    hidden: int = 3072  # 4 H
    dropout: float = 0.1
    attention_dropout: float = 0.1  # of attention weights
    activation: str = "exact"  # form of GELU
    pools: bool = True  # whether a layer over [CLS] sums the input up
    deviation: float = 0.02  # of weights at the start, from the code

    def __post_init__(self):
        require_sizes(self)


BERT_SIZES = {
    "base": BERTConfig(),
    "large": BERTConfig(width=1024, depth=24, heads=16, hidden=4096),
    # Turc et al. 2019, "Well-Read Students Learn Better", table 1
    **{
        f"{depth}x{width}": BERTConfig(width=width, depth=depth, heads=width // 64, hidden=4 * width)
        for depth in (2, 4, 6, 8, 10, 12)
        for width in (128, 256, 512, 768)
    },
    "tiny": BERTConfig(vocabulary=256, context=64, width=64, depth=2, heads=4, hidden=128),
}


class BERT(nn.Module):
    """Token, segment and position embeddings, then post-norm blocks which see both sides (section 3)."""

    sums_up_last: ClassVar[bool] = False  # the token which sums the input up is the first, [CLS]
    is_causal: ClassVar[bool] = False
    unread: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: BERTConfig):
        require("activation", config.activation, GELU)
        super().__init__()
        self.config = c = config
        width = self.embedding_width
        self.token, self.position = nn.Embedding(c.vocabulary, width), nn.Embedding(c.context, width)
        self.segment = nn.Embedding(c.segments, width)
        self.norm, self.dropout = nn.LayerNorm(width, EPSILON), Dropout(c.dropout)
        self.blocks = self.stack()
        if c.pools:
            self.pooler = Linear(c.width, c.width)
        truncated_normal(self, self.deviation)

    @property
    def deviation(self) -> float:
        """Of weights at the start, those of heads too."""
        return self.config.deviation

    @property
    def embedding_width(self) -> int:
        """Width of embeddings: that of the model."""
        return self.config.width

    def stack(self) -> Stack:
        """The layers' weights."""
        return Stack(self.block() for _ in range(self.config.depth))

    def block(self) -> PostNormBlock:
        """One layer."""
        c = self.config
        attention = MultiHeadAttention(c.width, c.heads, dropout=c.attention_dropout)
        feed_forward = FeedForward(c.width, c.hidden, GELU[c.activation])
        return PostNormBlock(attention, feed_forward, c.width, dropout=c.dropout, epsilon=EPSILON)

    def layers(self) -> Sequence[PostNormBlock]:
        """The blocks in the order in which they are applied."""
        return list(self.blocks)

    def embed(self, text: Packed, segments: Tensor | None) -> Tensor:
        """What the first layer reads: [N, D] (section 3, figure 2)."""
        kinds = self.segment.weight[0] if segments is None else self.segment(segments)
        return self.dropout(self.norm(self.token(text.tokens) + kinds + self.position(text.positions)))

    def hidden(self, text: Packed, segments: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """What the last layer says of every token: [N, D].

        Args:
            text: ids, with the special tokens around them.
            segments: of each token, [N]; without, all are of the first.
            rows: ascending places of the packed row, in host memory, at least one of each sequence. The result is
                theirs alone, [R, D], and the last layer is spared the others.

        Raises:
            ValueError: if a sequence is longer than the context, or an id or a segment has no embedding.
        """
        self._check(text, segments)
        x, own = self.embed(text, segments)[None], documents(text.lengths)
        *lower, last = self.layers()
        for block in lower:
            x = block(x, mask=own)
        is_looked_into = last.attention.recorded is not None
        is_rounded = not isinstance(last.attention.projection, nn.Linear)  # and has no weights of queries alone
        if rows is None or is_looked_into or is_rounded:
            x = last(x, mask=own)[0]
            return x if rows is None else x[rows]
        asked = x.index_select(1, sent(rows, x.device))
        return last(asked, context=x, mask=documents(text.counts(rows), text.lengths))[0]

    def pool(self, states: Tensor) -> Tensor:
        """States of [CLS] -> what heads read of a whole input, [B, D] each."""
        return torch.tanh(self.pooler(states))

    def forward(self, text: Packed, segments: Tensor | None = None) -> Tensor:
        """The sum of each input, from its [CLS]: [B, D]."""
        return self.pool(self.hidden(text, segments, text.starts))

    def _check(self, text: Packed, segments: Tensor | None) -> None:
        """Refuse what has no embedding."""
        longest = int(text.lengths.max())
        if longest > self.config.context:
            raise ValueError(
                f"an input of {longest} tokens does not fit into the context of {self.config.context} positions"
            )
        require_known(text.tokens, self.config.vocabulary)
        if segments is not None:
            require_known(segments, self.config.segments, "segments")

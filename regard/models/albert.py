"""ALBERT: A Lite BERT for Self-supervised Learning of Language Representations.

Zhenzhong Lan, Mingda Chen, Sebastian Goodman, Kevin Gimpel, Piyush Sharma, Radu Soricut, 2019. "The backbone of the
ALBERT architecture is similar to BERT" (section 3.1), but for two things which are this file: small embeddings which
are projected up, and layers which share their weights.

Details which the paper leaves open are those of the authors' code: the tanh form of GELU, layers which may be shared in
groups of several blocks, no dropout in the second version of the published models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from regard.attention.packing import Packed
from regard.layers.blocks import PostNormBlock, Stack
from regard.layers.initialise import truncated_normal
from regard.layers.linear import Linear
from regard.models.bert import BERT, BERTConfig


@dataclass(frozen=True)
class ALBERTConfig(BERTConfig):
    """Sizes, table 1; dropout is that of version 2."""

    vocabulary: int = 30000  # pieces of SentencePiece
    embedding: int = 128  # E
    groups: int = 1  # of neighbouring layers which share their weights
    inner: int = 1  # blocks of a layer, which run in turn
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation: str = "tanh"

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.groups <= self.depth:
            raise ValueError(f"groups must lie between 1 and depth={self.depth}, got {self.groups}")


ALBERT_SIZES = {
    "base": ALBERTConfig(),
    "large": ALBERTConfig(width=1024, depth=24, heads=16, hidden=4096),
    "xlarge": ALBERTConfig(width=2048, depth=24, heads=16, hidden=8192),
    "xxlarge": ALBERTConfig(width=4096, depth=12, heads=64, hidden=16384),
    "tiny": ALBERTConfig(vocabulary=256, context=64, embedding=32, width=64, depth=3, heads=4, hidden=128),
}


class ALBERT(BERT):
    """BERT with a factorised embedding and cross-layer parameter sharing (section 3.1)."""

    config: ALBERTConfig

    def __init__(self, config: ALBERTConfig):
        super().__init__(config)
        self.projection = Linear(config.embedding, config.width)
        truncated_normal(self.projection, self.deviation)

    @property
    def embedding_width(self) -> int:
        """ "Instead of projecting the one-hot vectors directly into the hidden space of size H"."""
        return self.config.embedding

    def stack(self) -> Stack:
        """The weights of each group of layers."""
        c = self.config
        return Stack(Stack(self.block() for _ in range(c.inner)) for _ in range(c.groups))

    def layers(self) -> Sequence[PostNormBlock]:
        """ "The default decision for ALBERT is to share all parameters across layers"."""
        c = self.config
        return [block for layer in range(c.depth) for block in self.blocks[layer * c.groups // c.depth]]

    def embed(self, text: Packed, segments: Tensor | None) -> Tensor:
        """What the first layer reads: [N, D]."""
        return self.projection(super().embed(text, segments))

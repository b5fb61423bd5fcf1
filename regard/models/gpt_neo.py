"""GPT-Neo: Large Scale Autoregressive Language Modeling with Mesh-Tensorflow.

Sid Black, Leo Gao, Phil Wang, Connor Leahy, Stella Biderman, 2021. Published weights of "GPT-3-like models": dense and
banded layers in turn, in a code base whose attention does not scale its scores.

What is not GPT-3 is that of the authors' code (EleutherAI/gpt-neo).
"""

import math
from dataclasses import dataclass

import torch

from regard.layers.attention import MultiHeadAttention
from regard.layers.initialise import normal
from regard.layers.linear import Linear
from regard.models.gpt3 import GPT3, GPT3Config


@dataclass(frozen=True)
class GPTNeoConfig(GPT3Config):
    """Sizes of the published weights; the defaults are Hugging Face's, those of the model of 1.3 billion parameters."""

    width: int = 2048
    depth: int = 24
    heads: int = 16


GPT_NEO_SIZES = {
    "125M": GPTNeoConfig(width=768, depth=12, heads=12),
    "1.3B": GPTNeoConfig(),
    "2.7B": GPTNeoConfig(width=2560, depth=32, heads=20),
    "tiny": GPTNeoConfig(vocabulary=256, context=64, width=64, depth=2, heads=4, band=4),
}


class UnscaledAttention(MultiHeadAttention):
    """softmax(QK') V, with a bias at its output alone."""

    scale = 1.0

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0):
        super().__init__(width, heads, dropout=dropout, bias=False)
        self.output = Linear(width, width)


class GPTNeo(GPT3):
    """GPT-3 with unscaled attention."""

    def attention(self) -> MultiHeadAttention:
        """The attention of one layer."""
        return UnscaledAttention(self.config.width, self.config.heads, dropout=self.config.dropout)

    def initialise(self) -> None:
        """As GPT-2; the feed-forward's last matrix by 1/sqrt(depth), and attention's by 1/sqrt(D).

        Queries begin with the scale which the scores lack.
        """
        super().initialise()
        c = self.config
        for block in self.blocks:
            normal([block.attention.projection.weight, block.attention.output.weight], 1 / math.sqrt(c.width))
            normal([block.feed_forward.contract.weight], 0.02 / math.sqrt(c.depth))
            with torch.no_grad():
                block.attention.projection.weight[: c.width] /= math.sqrt(c.width / c.heads)

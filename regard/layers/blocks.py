"""Residual blocks. A block knows the order of norm and residual, and nothing about the attention inside it."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from torch import Tensor, nn

from regard.layers.dropout import Dropout
from regard.layers.linear import Linear

Layer = TypeVar("Layer", bound=nn.Module)


class Stack(nn.ModuleList, Generic[Layer]):
    """A list of layers of one kind."""

    def __iter__(self) -> Iterator[Layer]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__iter__()  # pyright: ignore[reportReturnType]

    def __getitem__(self, number: int) -> Layer:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__getitem__(number)  # pyright: ignore[reportReturnType]


class FeedForward(nn.Module):
    """Two linear maps with a non-linearity between (Vaswani et al. 2017, equation 2), and dropout after it if asked."""

    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor], *, dropout: float = 0.0):
        super().__init__()
        self.expand, self.contract = Linear(width, hidden), Linear(hidden, width)
        self.activation, self.dropout = activation, Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return self.contract(self.dropout(self.activation(self.expand(x))))


class PostNormBlock(nn.Module):
    """LayerNorm(x + sublayer(x)): Transformer, GPT, BERT, ALBERT, Transformer-XL, XLNet."""

    def __init__(self, attention: nn.Module, feed_forward: nn.Module, width: int, *, dropout: float, epsilon: float):
        super().__init__()
        self.attention, self.feed_forward, self.dropout = attention, feed_forward, Dropout(dropout)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)

    def forward(self, x: Tensor, **attention) -> Tensor:
        """[B, T, D] -> [B, T, D]; `attention` goes to the attention as it is."""
        x = self.attention_norm(x + self.dropout(self.attention(x, **attention)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class PreNormBlock(nn.Module):
    """x + sublayer(LayerNorm(x)): GPT-2, GPT-3, Sparse Transformer, and the Transformer's later code."""

    def __init__(self, attention: nn.Module, feed_forward: nn.Module, width: int, *, dropout: float, epsilon: float):
        super().__init__()
        self.attention, self.feed_forward, self.dropout = attention, feed_forward, Dropout(dropout)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)

    def forward(self, x: Tensor, **attention) -> Tensor:
        """[B, T, D] -> [B, T, D]; `attention` goes to the attention as it is."""
        x = x + self.dropout(self.attention(self.attention_norm(x), **attention))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))

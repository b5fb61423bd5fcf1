"""Attention layers: projections around `attend`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.attention.attend import attend, weigh
from regard.attention.masks import Mask
from regard.attention.record import Attention
from regard.layers.state import FillingCache, Hypotheses, WritingCache


@dataclass(frozen=True)
class Source:
    """What a decoder's layer attends to: keys and values [B, H, S, K] of the source, made once.

    With `hypotheses` the queries are their rows [1, R, D] instead of [B, T, D].
    """

    key: Tensor
    value: Tensor
    mask: Mask | None = None
    hypotheses: Hypotheses | None = None


class HeadProjections(Attention):
    """What multi-head attentions share: projections into H heads, and back (Vaswani et al. 2017, section 3.2.2)."""

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got width={width} and heads={heads}")
        self.width, self.heads, self.dropout = width, heads, dropout
        self.projection = nn.Linear(width, 3 * width, bias)  # query, key and value, one under the other: W^Q, W^K, W^V
        self.output = nn.Linear(width, width, bias)  # W^O

    def split(self, x: Tensor) -> Tensor:
        """[B, T, n * D] -> [B, n * H, T, K]."""
        return x.unflatten(-1, (-1, self.width // self.heads)).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        """[B, H, T, K] -> [B, T, D]."""
        return x.transpose(1, 2).flatten(2)

    def project(self, x: Tensor, first: int, last: int) -> Tensor:
        """Parts `first` up to `last` of query, key and value (0, 1, 2), as heads [B, n * H, T, K]."""
        rows = slice(first * self.width, last * self.width)
        bias = None if self.projection.bias is None else self.projection.bias[rows]
        return self.split(nn.functional.linear(x, self.projection.weight[rows], bias))

    def keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, S, K] of `context` [B, S, D]."""
        key, value = self.project(context, 1, 3).chunk(2, 1)
        return key, value

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, hypotheses: Hypotheses | None = None
    ) -> Tensor:
        """Heads [B, H, T, K] attend to heads [B, H, S, K]: [B, T, D].

        Queries of `hypotheses` are rows [1, H, R, K] and give rows [1, R, D]; those of one sentence are its positions.
        """
        if hypotheses is not None:
            query = spread_heads(query, hypotheses)
        dropout = self.dropout if self.training else 0.0
        result = self.merge(self.keep(attend(query, key, value, mask=mask, dropout=dropout, record=self.recorded)))
        return self.output(result if hypotheses is None else hypotheses.gather(result)[None])


def spread_heads(rows: Tensor, hypotheses: Hypotheses) -> Tensor:
    """Rows [1, H, R, K] -> sentences [B, H, N, K]."""
    return hypotheses.spread(rows[0].transpose(0, 1)).transpose(1, 2)


class MultiHeadAttention(HeadProjections):
    """Each position attends to positions of its own sequence (Vaswani et al. 2017, section 3.2.3)."""

    def forward(
        self, x: Tensor, *, mask: Mask | None = None, cache: WritingCache | FillingCache | None = None
    ) -> Tensor:
        """x [B, T, D] attends to itself; rows [1, R, D] to their past in a cache which is written, and to themselves.

        A cache which is filled takes in what a packed row [1, N, D] attends to.
        """
        query, key, value = self.split(self.projection(x)).chunk(3, 1)
        if cache is None:
            return self.attend(query, key, value, mask)
        key, value = cache.write(key[0].transpose(0, 1), value[0].transpose(0, 1))
        return self.attend(query, key, value, mask, cache.hypotheses)


class SourceAttention(HeadProjections):
    """Queries from the decoder, keys and values from the encoder's output (Vaswani et al. 2017, section 3.2.3)."""

    def forward(self, x: Tensor, source: Source) -> Tensor:
        """x [B, T, D], or rows [1, R, D] of `source.hypotheses`, attends to the source."""
        return self.attend(self.project(x, 0, 1), source.key, source.value, source.mask, source.hypotheses)


class AdditiveAttention(Attention):
    """v' tanh(W s + U h): a small network scores each key (Bahdanau et al. 2015, appendix A.1.2)."""

    def __init__(self, query_width: int, key_width: int, hidden: int):
        super().__init__()
        self.query = nn.Linear(query_width, hidden, bias=False)  # W_a
        self.key = nn.Linear(key_width, hidden, bias=False)  # U_a
        self.energy = nn.Linear(hidden, 1, bias=False)  # v_a

    def forward(self, state: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, T, Q] -> context vectors [B, T, C] and weights [B, T, S].

        Args:
            state: what the decoder knows, s_{i-1}.
            keys: `self.key(values)` [B, S, A], made once.
            values: annotations h_j, [B, S, C].
            allowed: True where a source token stands, [B, S].
        """
        scores = self.energy(torch.tanh(self.query(state)[:, :, None] + keys[:, None])).squeeze(-1)  # [B, T, S]
        weights: list[Tensor] = []
        context = weigh(scores[:, None], values[:, None], allowed[:, None, None], record=weights)  # [B, 1, T, C]
        if self.recorded is not None:
            self.recorded.append(weights[0])
        return self.keep(context)[:, 0], weights[0][:, 0]

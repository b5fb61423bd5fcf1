"""Attention layers: projections around `attend`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.attention.attend import attend
from regard.attention.fused import weigh
from regard.attention.masks import Mask
from regard.attention.record import Attention
from regard.layers.cache import FillingCache, WritingCache
from regard.layers.linear import Linear, product
from regard.layers.sizes import require_heads, require_rate
from regard.layers.state import Hypotheses


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
    """What multi-head attentions share: projections into H heads, and back (Vaswani et al. 2017, section 3.2.2).

    Args:
        width: D, which values have over all heads, as has what comes in and what goes out.
        heads: H.
        key_width: of queries, and of keys, over all heads; without, it is the width.
        dropout: probability of dropping an attention weight.
        bias: whether something is added to each product.

    Raises:
        ValueError: if heads do not share out one of the widths evenly, or the dropout is no rate.
    """

    scale: float | None = None  # of scores, where it is not 1/sqrt(K)

    def __init__(
        self, width: int, heads: int, *, key_width: int | None = None, dropout: float = 0.0, bias: bool = True
    ):
        super().__init__()
        require_rate("a rate of dropout", dropout)
        key_width = width if key_width is None else key_width
        require_heads(heads, width=width, key_width=key_width)
        self.width, self.heads, self.dropout = width, heads, dropout
        self.widths = key_width, key_width, width  # of query, key and value
        self.projection = Linear(width, sum(self.widths), bias)  # one under the other: W^Q, W^K, W^V
        self.output = Linear(width, width, bias)  # W^O

    def split(self, x: Tensor) -> Tensor:
        """[B, T, H * K] -> [B, H, T, K]."""
        B, T, _ = x.shape
        return x.view(B, T, self.heads, -1).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        """[B, H, T, K] -> [B, T, D]."""
        return x.transpose(1, 2).flatten(2)

    def project(self, x: Tensor) -> list[Tensor]:
        """Query, key and value of x [B, T, D], as heads [B, H, T, K] each."""
        return [self.split(part) for part in self.projection(x).split_with_sizes(self.widths, -1)]

    def queries(self, x: Tensor) -> Tensor:
        """Queries alone of x [B, T, D], as heads [B, H, T, K]."""
        return self._parts(x, 0, 1)[0]

    def keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, S, K] of `context` [B, S, D]."""
        key, value = self._parts(context, 1, 3)
        return key, value

    def _parts(self, x: Tensor, first: int, last: int) -> list[Tensor]:
        """Parts `first` up to `last` of query, key and value (0, 1, 2), as heads [B, H, T, K] each."""
        if not isinstance(self.projection, nn.Linear):  # its weights are rounded, and in one piece
            return self.project(x)[first:last]
        rows = slice(sum(self.widths[:first]), sum(self.widths[:last]))
        bias = None if self.projection.bias is None else self.projection.bias[rows]
        parts = product(x, self.projection.weight[rows], bias).split_with_sizes(self.widths[first:last], -1)
        return [self.split(part) for part in parts]

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Mask | None,
        hypotheses: Hypotheses | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Heads [B, H, T, K] attend to heads [B, H, S, K]: [B, T, D].

        Queries of `hypotheses` are rows [1, H, R, K] and give rows [1, R, D]; those of one sentence are its positions.
        """
        if hypotheses is not None:
            query = spread_heads(query, hypotheses)
        dropout = self.dropout if self.training else 0.0
        heads = attend(query, key, value, mask=mask, bias=bias, scale=self.scale, dropout=dropout, record=self.recorded)
        result = self.merge(self.keep(heads))
        return self.output(result if hypotheses is None else hypotheses.gather(result)[None])


def spread_heads(rows: Tensor, hypotheses: Hypotheses) -> Tensor:
    """Rows [1, H, R, K] -> sentences [B, H, N, K]."""
    if hypotheses.beams == 1 and hypotheses.is_full:
        return rows.transpose(0, 2)
    return hypotheses.spread(rows[0].transpose(0, 1)).transpose(1, 2)


class MultiHeadAttention(HeadProjections):
    """Each position attends to positions of its own sequence (Vaswani et al. 2017, section 3.2.3)."""

    def forward(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        mask: Mask | None = None,
        cache: WritingCache | FillingCache | None = None,
    ) -> Tensor:
        """x [B, T, D] attends to itself; rows [1, R, D] to their past in a cache which is written, and to themselves.

        A cache which is filled takes in what a packed row [1, N, D] attends to. Where only some positions are asked
        for, x [1, R, D] holds them, and `context` [1, N, D] all.
        """
        if context is not None:
            return self.attend(self.queries(x), *self.keys_and_values(context), mask)
        query, key, value = self.project(x)
        if cache is None:
            return self.attend(query, key, value, mask)
        key, value = cache.write(key[0].transpose(0, 1), value[0].transpose(0, 1))
        return self.attend(query, key, value, mask, cache.hypotheses)


class SourceAttention(HeadProjections):
    """Queries from the decoder, keys and values from the encoder's output (Vaswani et al. 2017, section 3.2.3)."""

    def forward(self, x: Tensor, source: Source) -> Tensor:
        """x [B, T, D], or rows [1, R, D] of `source.hypotheses`, attends to the source."""
        return self.attend(self.queries(x), source.key, source.value, source.mask, source.hypotheses)


class RelativeAttention(HeadProjections):
    """Scores from content and from distance, with learned biases u and v (Dai et al. 2019, section 3.3).

    score_ij = ((q_i + u) k_j + (q_i + v) r_{i-j}) / sqrt(K)
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0):
        super().__init__(width, heads, dropout=dropout, bias=False)
        self.distance = Linear(width, width, bias=False)  # W_{k,R}
        self.content_bias = nn.Parameter(torch.zeros(heads, width // heads))  # u
        self.distance_bias = nn.Parameter(torch.zeros(heads, width // heads))  # v

    def distance_keys(self, distances: Tensor) -> Tensor:
        """What encoded distances [P, D] are compared by: [1, H, P, K]."""
        return self.split(self.distance(distances)[None])

    def forward(self, x: Tensor, *, past: "Segment | Steps", mask: Mask | None = None) -> Tensor:
        """x [B, T, D] attends to its past and itself; rows [1, R, D] of hypotheses, where `past` is `Steps`.

        The mask must be causal: what lies ahead has no distance.
        """
        query, scale = self.queries(x), (self.width // self.heads) ** -0.5
        if isinstance(past, Segment):
            key, value = self.keys_and_values(torch.cat([past.memory, x], 1))
            by_distance = (query + self.distance_bias[:, None]) @ self.distance_keys(past.distances).mT
            bias, hypotheses = shifted(by_distance) * scale, None
        else:
            key, value = (y[0].transpose(0, 1) for y in self.keys_and_values(x))
            key, value = past.cache.write(key, value)
            hypotheses = past.cache.hypotheses
            by_distance = spread_heads(query + self.distance_bias[:, None], hypotheses) @ past.keys.mT
            apart = past.apart[:, None, None].expand(*by_distance.shape[:3], -1)
            bias = by_distance.gather(-1, apart) * scale
        return self.attend(query + self.content_bias[:, None], key, value, mask, hypotheses, bias)


@dataclass(frozen=True)
class Segment:
    """What a segment of T tokens follows: the layer's memory [B, M, D], and the encodings of M + T - 1 down to 0."""

    memory: Tensor
    distances: Tensor  # [M + T, D]


@dataclass(frozen=True)
class Steps:
    """What a single new token of each hypothesis follows: a cache, and how far away each of its places is."""

    cache: WritingCache
    keys: Tensor  # of the distances 0, 1, ...: [1, H, P, K]
    apart: Tensor  # distance of each place of the cache, [B, places]


def shifted(scores: Tensor) -> Tensor:
    """Scores by distance, S - 1 down to 0, as scores by key: [B, H, T, S] each (Dai et al. 2019, appendix B).

    Row i moves to the left by T - 1 - i places; what moves in from the right belongs to keys which lie ahead.
    """
    T, S = scores.shape[-2:]
    return nn.functional.pad(scores, (1, 0)).flatten(-2)[..., T:].unflatten(-1, (T, S))


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

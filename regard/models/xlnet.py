"""XLNet: Generalized Autoregressive Pretraining for Language Understanding.

Zhilin Yang, Zihang Dai, Yiming Yang, Jaime Carbonell, Ruslan Salakhutdinov, Quoc V. Le, 2019. Transformer-XL's layers
read a text in any order of its words: each word is predicted from those before it in that order, by a second stream
which knows where a word stands, but not which it is.

Details which the paper leaves open are those of the authors' code: layer norms with epsilon 1e-12, the tanh form of
GELU (Transformers' checkpoints say the exact one), and no scaling of embeddings. There a word which may see nothing
attends to everything alike, even to what is forbidden; here it sees nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from regard.attention.attend import attend
from regard.attention.blocks import Blocks
from regard.attention.masks import Mask, documents, padding
from regard.attention.packing import Packed
from regard.layers.activations import GELU
from regard.layers.attention import HeadProjections
from regard.layers.blocks import FeedForward, PostNormBlock, Stack
from regard.layers.dropout import Dropout
from regard.layers.initialise import normal
from regard.layers.linear import Linear
from regard.layers.positions import distances
from regard.layers.sizes import require_sizes
from regard.layers.vocabulary import require_known
from regard.storage.names import require

EPSILON = 1e-12  # of layer norms, from the code
Memory = tuple[Tensor, ...]  # what enters each layer, [B, M, D]


@dataclass(frozen=True)
class XLNetConfig:
    """Sizes, section 3.1 and appendix A.4 (those of BERT)."""

    vocabulary: int = 32000  # pieces of SentencePiece
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    memory: int = 0  # positions before a segment which are remembered in pre-training, 384 there
    dropout: float = 0.1
    attention_dropout: float = 0.1  # of attention weights
    clamp: int = 0  # distances beyond it, to either side, count as it; 0 or less does not clamp
    activation: str = "tanh"  # form of GELU
    pools: bool = False  # whether a layer over <cls> sums the input up
    deviation: float = 0.02  # of weights at the start, from the code

    def __post_init__(self):
        require_sizes(self, memory=0, clamp=None)


XLNET_SIZES = {
    "base": XLNetConfig(),
    "large": XLNetConfig(width=1024, depth=24, heads=16, hidden=4096),
    "tiny": XLNetConfig(256, 64, 2, 4, 128, memory=32),
}


@dataclass(frozen=True, eq=False)
class Vicinity:
    """What queries [G, T] of one group know of keys [G, S], beside their contents."""

    differs: Tensor  # whether they are of different segments, [G, T, S]
    apart: Tensor | None = None  # row of the encoded distances, [G, T, S]; None where queries are the last T keys
    mask: Mask | None = None
    backward: int = 0  # the last so many of the group are read backwards


@dataclass(frozen=True, eq=False)
class Around:
    """The surroundings of all queries, which the layers share.

    Args:
        encoded: distances, from the longest one back to the longest one ahead, [P, D]; or two of them, [2, P, D], of
            which what is read backwards has the second.
        zero: the row of distance 0.
        groups: of queries which are computed together.
        queries: cuts queries [1, N, H, K] or [B, T, H, K] into groups [G, T, H, K].
        keys: does so with keys and values.
        join: puts results of groups together again.
    """

    encoded: Tensor
    zero: int
    groups: Sequence[Vicinity]
    queries: Callable[[Tensor], Sequence[Tensor]]
    keys: Callable[[Tensor], Sequence[Tensor]]
    join: Callable[[list[Tensor]], Tensor]


class SegmentRelativeAttention(HeadProjections):
    """Scores from content, from signed distance, and from whether both are of one segment (section 2.5).

    score_ij = ((q_i + u) k_j + (q_i + v) r_{i-j} + (q_i + b) s_ij) / sqrt(K)
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0):
        super().__init__(width, heads, dropout=dropout, bias=False)
        self.distance = Linear(width, width, bias=False)  # W_{k,R}
        self.content_bias = nn.Parameter(torch.zeros(heads, width // heads))  # u
        self.distance_bias = nn.Parameter(torch.zeros(heads, width // heads))  # v
        self.segment = nn.Parameter(torch.zeros(2, heads, width // heads))  # s+ and s-: of one segment, of two
        self.segment_bias = nn.Parameter(torch.zeros(heads, width // heads))  # b

    def forward(self, x: Tensor, *, around: Around, context: Tensor | None = None) -> Tensor:
        """x [B, T, D] attends to `context` [B, S, D], or to itself; a packed row is one of [1, N, D]."""
        query = self.queries(x)
        key, value = self.keys_and_values(x if context is None else context)
        by_distance = [
            self.split(self.distance(way)[None]) for way in around.encoded.view(-1, *around.encoded.shape[-2:])
        ]
        sides = (around.queries, query), (around.keys, key), (around.keys, value)
        cut = (part(y.transpose(1, 2)) for part, y in sides)
        results = []
        for group, *parts in zip(around.groups, *cut, strict=True):
            q, k, v = (y.transpose(1, 2) for y in parts)  # [G, H, T, K]
            bias = (self.of_distance(q, k, by_distance, around.zero, group) + self.of_segment(q, group)) * self.factor
            dropout = self.dropout if self.training else 0.0
            q = q + self.content_bias[:, None]
            heads = attend(q, k, v, mask=group.mask, bias=bias, dropout=dropout, record=self.recorded)
            results.append(self.keep(heads).transpose(1, 2))
        return self.output(around.join(results).flatten(2))

    @property
    def factor(self) -> float:
        """1/sqrt(K)."""
        return (self.width // self.heads) ** -0.5

    def of_distance(self, query: Tensor, key: Tensor, ways: list[Tensor], zero: int, group: Vicinity) -> Tensor:
        """(q_i + v) r_{i-j}: [G, H, T, S]."""
        T, S = query.shape[2], key.shape[2]
        near = slice(zero - (S - 1), zero + T) if group.apart is None else slice(None)
        keys = [way[:, :, near] for way in ways]
        if len(keys) > 1:
            counts = len(query) - group.backward, group.backward
            keys = [way.expand(count, -1, -1, -1) for way, count in zip(keys, counts, strict=True)]
        scores = (query + self.distance_bias[:, None]) @ torch.cat(keys).mT
        if group.apart is None:
            return shifted(scores, S)
        return scores.gather(-1, group.apart[:, None].expand(-1, self.heads, -1, -1))

    def of_segment(self, query: Tensor, group: Vicinity) -> Tensor:
        """(q_i + b) (s_ij - s+), [G, H, T, S]: less what is the same for all keys, which no softmax sees."""
        same, different = self.segment
        scores = ((query + self.segment_bias[:, None]) * (different - same)[:, None]).sum(-1, keepdim=True)
        return scores * group.differs[:, None]


def shifted(scores: Tensor, keys: int) -> Tensor:
    """Scores by distance, S - 1 down to 1 - T, as scores by key: [..., T, S + T - 1] -> [..., T, S].

    Row i begins T - 1 - i places later than it lies: end to end, rows of one place less do so.
    """
    T, P = scores.shape[-2:]
    return scores.flatten(-2)[..., T - 1 : T * P - 1].unflatten(-1, (T, P - 1))[..., :keys] if P > 1 else scores


class XLNet(nn.Module):
    """A content stream h which sees itself, and a query stream g which knows its place but not its word (2.3)."""

    sums_up_last: ClassVar[bool] = True  # the token which sums the input up is the last, <cls>
    is_causal: ClassVar[bool] = False
    unread: ClassVar[tuple[str, ...]] = ("unknown",)

    def __init__(self, config: XLNetConfig):
        require("activation", config.activation, GELU)
        super().__init__()
        self.config = c = config
        self.token, self.unknown = nn.Embedding(c.vocabulary, c.width), nn.Parameter(torch.zeros(c.width))  # w
        self.dropout = Dropout(c.dropout)
        self.blocks = Stack(self.block() for _ in range(c.depth))
        if c.pools:
            self.pooler = Linear(c.width, c.width)
        self.initialise()

    @property
    def deviation(self) -> float:
        """Of weights at the start, those of heads too."""
        return self.config.deviation

    def block(self) -> PostNormBlock:
        """One layer."""
        c = self.config
        attention = SegmentRelativeAttention(c.width, c.heads, dropout=c.attention_dropout)
        feed_forward = FeedForward(c.width, c.hidden, GELU[c.activation], dropout=c.dropout)
        return PostNormBlock(attention, feed_forward, c.width, dropout=c.dropout, epsilon=EPSILON)

    def initialise(self) -> None:
        """All but vectors normal, from the code; w too, which Glorot's rule spread there by mistake."""
        normal([parameter for parameter in self.parameters() if parameter.ndim > 1], self.deviation)
        normal([self.unknown], self.deviation)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def encode(self, steps: Tensor) -> Tensor:
        """Signed distances [P] -> [P, D]."""
        clamp = self.config.clamp
        encoded = distances(steps.clamp(-clamp, clamp) if clamp > 0 else steps, self.config.width)
        return self.dropout(encoded.to(self.token.weight.dtype))

    def hidden(self, text: Packed, segments: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """What the content stream says of every token, each of which sees all of its own text: [N, D].

        Args:
            text: ids, with the special tokens around them.
            segments: of each token, [N]; without, all are of one.
            rows: ascending places of the packed row, in host memory, at least one of each sequence. The result is
                theirs alone, [R, D], and the last layer is spared the others.

        Raises:
            ValueError: if an id lies outside the vocabulary.
        """
        require_known(text.tokens, self.config.vocabulary)
        segments = torch.zeros_like(text.tokens) if segments is None else segments
        h = self.dropout(self.token(text.tokens))[None]
        if self.blocks[0].attention.recorded is not None:
            around = self._row(text, segments)
            for block in self.blocks:
                h = block(h, around=around)
            return self.dropout(h[0] if rows is None else h[0, rows])
        around = self._packed(text, segments)
        *lower, last = self.blocks
        for block in lower:
            h = block(h, around=around)
        if rows is None:
            return self.dropout(last(h, around=around))[0]
        return self.dropout(last(h[:, rows], context=h, around=self._packed(text, segments, rows)))[0]

    def pool(self, states: Tensor) -> Tensor:
        """States of <cls> -> what heads read of a whole input, [B, D] each."""
        return torch.tanh(self.pooler(states))

    def forward(self, text: Packed, segments: Tensor | None = None) -> Tensor:
        """The sum of each input, from its <cls>: [B, D]."""
        return self.pool(self.hidden(text, segments, text.starts + text.lengths - 1))

    def read(
        self,
        tokens: Tensor,
        segments: Tensor,
        allowed: Tensor,
        targets: Tensor,
        memory: Memory | None = None,
        *,
        reuse: int | None = None,
        backward: int = 0,
    ) -> tuple[Tensor, Memory]:
        """The query stream at the words which are to be predicted, [B, P, D], and the next memory (2.3, 2.4).

        Args:
            tokens: ids of a segment of each text, [B, T].
            segments: of each token, [B, T]; what is remembered counts as segment 0.
            allowed: whether a query at one place may see the word at another, [B, T, T]. The content stream sees its
                own word too. What is remembered is seen by all.
            targets: places of the words which are to be predicted, [B, P].
            memory: of the segments before.
            reuse: positions from the segment's start which are remembered; None for all.
            backward: of the texts the last so many stand here from their ends on, so that what comes before lies ahead.

        Raises:
            ValueError: if an id lies outside the vocabulary, or there are not so many texts.
        """
        require_known(tokens, self.config.vocabulary)
        (B, T), device = tokens.shape, tokens.device
        if not 0 <= backward <= B:
            raise ValueError(f"backward must lie between 0 and the {B} texts, got {backward}")
        h = self.dropout(self.token(tokens))
        g = self.dropout(self.unknown.expand(B, targets.shape[1], -1))
        memory = memory or (h[:, :0],) * self.config.depth
        M = memory[0].shape[1]
        steps = torch.arange(M + T - 1, -T, -1, device=device)
        encoded = torch.stack([self.encode(way) for way in ((steps, -steps) if backward else (steps,))])
        kinds = torch.cat([segments.new_zeros(B, M), segments], 1)
        seen = nn.functional.pad(allowed, (M, 0), value=True)
        own = torch.eye(T, dtype=torch.bool, device=device)
        content = Vicinity(
            segments[:, :, None] != kinds[:, None],
            mask=_table(seen | nn.functional.pad(own, (M, 0))),
            backward=backward,
        )
        at = targets[:, :, None]
        query = Vicinity(
            segments.gather(1, targets)[:, :, None] != kinds[:, None],
            apart=T - 1 - at + torch.arange(M + T, device=device),
            mask=_table(seen.gather(1, at.expand(-1, -1, M + T))),
            backward=backward,
        )
        streams = [Around(encoded, M + T - 1, [near], _alone, _alone, _only) for near in (content, query)]
        remembered = []
        for block, past in zip(self.blocks, memory, strict=True):
            context = torch.cat([past, h], 1)
            kept = torch.cat([past, h[:, :reuse]], 1)[:, -self.config.memory :] if self.config.memory else h[:, :0]
            remembered.append(kept.detach())
            g = block(g, context=context, around=streams[1])
            h = block(h, context=context, around=streams[0])
        return self.dropout(g), tuple(remembered)

    def _packed(self, text: Packed, segments: Tensor, rows: Tensor | None = None) -> Around:
        """The surroundings of packed texts, or of some places in them, in groups of like length."""
        counts = text.lengths if rows is None else text.counts(rows)
        blocks: Blocks = documents(counts, text.lengths).blocks
        longest, device = int(text.lengths.max()), segments.device
        encoded = self.encode(torch.arange(longest - 1, -longest, -1, device=device))
        kinds = blocks.keys.pad(segments)
        own = kinds if rows is None else blocks.queries.pad(segments[rows])
        places = [None] * len(kinds) if rows is None else blocks.queries.pad(text.positions[rows])
        groups = []
        for group, mine, others, place in zip(blocks.groups, own, kinds, places, strict=True):
            apart = None
            if place is not None:
                apart = longest - 1 - place[:, :, None] + torch.arange(group.keys, device=device)
                apart = apart.clamp(0, 2 * longest - 2)  # a place of the block without a token has any
            is_key = torch.arange(group.keys) < group.key_lengths[:, None]
            mask = None if is_key.all() else padding(is_key.to(device))
            groups.append(Vicinity(mine[:, :, None] != others[:, None], apart, mask))

        def cut(side: Callable[[Tensor], list[Tensor]]) -> Callable[[Tensor], list[Tensor]]:
            """Groups of a packed row [1, N, H, K]."""
            return lambda x: side(x.squeeze(0))

        pack = blocks.queries.pack
        return Around(
            encoded, longest - 1, groups, cut(blocks.queries.pad), cut(blocks.keys.pad), lambda parts: pack(parts)[None]
        )

    def _row(self, text: Packed, segments: Tensor) -> Around:
        """The same as one table over the whole row, as it is when it is looked into."""
        longest = int(text.lengths.max())
        encoded = self.encode(torch.arange(longest - 1, -longest, -1, device=segments.device))
        apart = longest - 1 - (text.positions[:, None] - text.positions)
        near = Vicinity(
            (segments[:, None] != segments)[None],
            apart.clamp(0, 2 * longest - 2)[None],  # of other texts, which are not seen
            documents(text.lengths),
        )
        return Around(encoded, longest - 1, [near], _alone, _alone, _only)


def _table(allowed: Tensor) -> Mask:
    """The mask of a table [B, T, S]."""
    before = allowed.shape[2] - allowed.shape[1]  # queries are counted as the last of the keys
    return Mask(lambda b, h, i, j: allowed[b, i - before, j])


def _alone(x: Tensor) -> Sequence[Tensor]:
    """One group of all."""
    return [x]


def _only(parts: list[Tensor]) -> Tensor:
    """The one group."""
    return parts[0]

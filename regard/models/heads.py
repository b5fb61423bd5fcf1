"""What stands on an encoder: one class a use, each the encoder with a few weights of its own.

Devlin et al. 2019, sections 3.1 and 4; Yang et al. 2019, sections 2.3 and A.3. All but that which is pre-trained on
permuted texts read packed inputs, and ask the encoder only for the states which they need.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from regard.attention.packing import Packed
from regard.data.inputs import Pairs
from regard.layers.activations import GELU
from regard.layers.dropout import Dropout
from regard.layers.initialise import truncated_normal
from regard.layers.linear import Linear, product
from regard.models.bert import EPSILON
from regard.models.protocols import Encoder
from regard.models.xlnet import Memory


class Head(nn.Module):
    """An encoder and what stands on it.

    Attributes:
        labels: names of the classes, where there are any.
        pools: whether the encoder must sum inputs up.
        has_weights: whether the head has weights beside the encoder's.
        size: numbers which the head gives, where that does not depend on labels; 0 where it does.
        pairs: how a pair of texts is read: as one input, or as two, one after the other.
    """

    pools: ClassVar[bool] = False
    has_weights: ClassVar[bool] = True
    size: ClassVar[int] = 0
    pairs: Pairs = "joined"

    def __init__(self, encoder: Encoder, labels: Sequence[str] = (), *, dropout: float = 0.1):
        super().__init__()
        if self.pools and not getattr(encoder.config, "pools", True):  # GPT needs no layer for it
            raise ValueError(f"{type(self).__name__} needs an encoder which sums inputs up: set pools=True")
        if bool(labels) == bool(self.size):
            raise ValueError(f"{type(self).__name__} {'has no' if self.size else 'needs'} labels, got {list(labels)}")
        if len(set(labels)) != len(labels):
            raise ValueError(f"labels must differ, got {list(labels)}")
        self.encoder: Any = encoder
        self.labels = tuple(labels)
        self.dropout = Dropout(dropout)
        self.build(encoder.config)

    @property
    def config(self) -> Any:
        """The encoder's configuration."""
        return self.encoder.config

    @property
    def options(self) -> dict[str, Any]:
        """What makes another such head beside labels and dropout, where it is not as usual."""
        return {}

    def build(self, config: Any) -> None:
        """Make the head's own weights: one linear map, which above GPT is a matrix alone (its equation 3)."""
        self.output = Linear(config.width, self.size or len(self.labels), bias=not self.encoder.is_causal)
        truncated_normal(self.output, self.encoder.deviation)


class OfSums(Head, ABC):
    """A head which reads one vector of each input."""

    def forward(self, text: Packed, segments: Tensor | None = None) -> Tensor:
        """What is said of the inputs, or of each two which are a pair."""
        return self.score(self.sums(text, segments))

    def sums(self, text: Packed, segments: Tensor | None = None) -> Tensor:
        """The vector of each input, [B, D]: what the encoder sums it up to."""
        return self.encoder(text, segments)

    @abstractmethod
    def score(self, sums: Tensor) -> Tensor:
        """What the vectors of inputs [B, D] say: as `forward`."""


class Classifier(OfSums):
    """A class for an input: scores from its sum (section 4.1).

    Args:
        encoder, labels, dropout: as of any head.
        both_orders: whether an example is two inputs: a pair of texts, and the same pair turned round (Radford et al.
            2018, section 3.3, of similarity). The head reads what their sums add up to.
    """

    pools = True

    def __init__(
        self, encoder: Encoder, labels: Sequence[str] = (), *, dropout: float = 0.1, both_orders: bool = False
    ):
        super().__init__(encoder, labels, dropout=dropout)
        self.pairs = "both" if both_orders else "joined"

    @property
    def options(self) -> dict[str, Any]:
        """Whether pairs are read in both orders."""
        return {"both_orders": True} if self.pairs == "both" else {}

    def score(self, sums: Tensor) -> Tensor:
        """[B, C], or of both orders [B / 2, C]."""
        if self.pairs == "both":
            sums = sums[::2] + sums[1::2]
        return self.output(self.dropout(sums))


class Regressor(Classifier):
    """A number for an input, from its sum (section 4.1, STS-B)."""

    size = 1

    def score(self, sums: Tensor) -> Tensor:
        """[B], or of both orders [B / 2]."""
        return super().score(sums)[:, 0]


class Chooser(Regressor):
    """A score for each option, which is an input of its own (section 4.4)."""


class Similarity(OfSums):
    """How alike two texts are: a number from the cosine of their vectors, each the mean of its own text's states.

    Reimers and Gurevych 2019, "Sentence-BERT", section 3, regression. There is no weight beside the encoder's, and a
    text's vector is the same beside any other, so that those of many texts can be kept and searched.

    Args:
        encoder, labels, dropout: as of any head; there are no labels, and nothing is dropped here.
        scale: the numbers for which a cosine of 0 and one of 1 stand.
    """

    has_weights = False
    size = 1
    pairs = "apart"

    def __init__(
        self,
        encoder: Encoder,
        labels: Sequence[str] = (),
        *,
        dropout: float = 0.1,
        scale: Sequence[float] = (0.0, 1.0),
    ):
        super().__init__(encoder, labels, dropout=dropout)
        require_scale(scale)
        self.scale = tuple(scale)

    @property
    def options(self) -> dict[str, Any]:
        """The scale."""
        return {"scale": list(self.scale)}

    def build(self, config: Any) -> None:
        """Nothing: the encoder says it all."""

    def sums(self, text: Packed, segments: Tensor | None = None) -> Tensor:
        """The mean of each input's states, [B, D]."""
        return text.means(self.encoder.hidden(text, segments))

    def score(self, sums: Tensor) -> Tensor:
        """[B / 2], of the inputs two and two."""
        least, most = self.scale
        return least + (most - least) * cosine_similarity(sums[::2], sums[1::2])


class Tagger(Head):
    """A class for every token (section 5.3)."""

    def forward(self, text: Packed, segments: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """[N, C], or [R, C] of the rows which are asked for."""
        return self.output(self.dropout(self.encoder.hidden(text, segments, rows)))


class SpanFinder(Head):
    """Where an answer starts and ends: a score of each for every token (section 4.2)."""

    size = 2

    def forward(self, text: Packed, segments: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[N] each."""
        starts, ends = self.output(self.encoder.hidden(text, segments)).unbind(-1)
        return starts, ends


class ConditionalSpanFinder(Head):
    """Where an answer starts, where it ends if it starts there, and whether there is none (of XLNet's authors).

    Only some tokens may be chosen: those of the context, and the one which sums the input up, for no answer. All others
    have the score minus infinity. ALBERT's authors use it too. Whether there is an answer is told from where it may
    start, in training as later, as by both; Transformers' XLNet is told in training where it does.
    """

    size = 1

    def build(self, config: Any) -> None:
        """The layers of all three scores."""
        width = config.width
        self.start = Linear(width, 1)
        self.end = nn.Linear(2 * width, width)  # of a token and of the start; used in two parts
        self.end_norm, self.end_score = nn.LayerNorm(width, EPSILON), Linear(width, 1)
        self.none, self.none_score = Linear(2 * width, width), Linear(width, 1, bias=False)
        for layer in (self.start, self.end, self.end_score, self.none, self.none_score):
            truncated_normal(layer, self.encoder.deviation)

    def forward(
        self, text: Packed, segments: Tensor | None, may_answer: Tensor, starts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of starts and ends, [N] each, and of there being no answer, [B].

        Args:
            text: ids, with the special tokens around them.
            segments: of each token, [N].
            may_answer: whether a token may be chosen, [N].
            starts: where each answer starts, counted from the input's first token, [B].

        Raises:
            ValueError: if the token which stands for no answer may not.
        """
        states, scores, none = self._read(text, segments, may_answer)
        ends = self._ends(text, states, starts[:, None])[:, 0].masked_fill(~may_answer, -torch.inf)
        return scores, ends, none

    def beams(
        self, text: Packed, segments: Tensor | None, may_answer: Tensor, *, starts: int = 5, ends: int = 5
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The most likely starts of each input, and the most likely ends after each of them.

        Returns: what `regard.decoding.spans.Beams` is made of. Places of starts, counted from the input's first token,
            and their log-probabilities, [B, K] each; those of the ends, [B, K, E] each; and scores of there being no
            answer, [B]. Where fewer tokens may be chosen, the rest has the log-probability minus infinity, and place 0.

        Raises:
            ValueError: if the token which stands for no answer may not be chosen.
        """
        states, scores, none = self._read(text, segments, may_answer)
        start_logs, start_places = _best(_table(text, scores, starts), starts)
        scores = self._ends(text, states, start_places).masked_fill(~may_answer[:, None], -torch.inf)
        tables = torch.stack([_table(text, row, ends) for row in scores.unbind(1)], 1)  # [B, K, T]
        end_logs, end_places = _best(tables, ends)
        is_filled = start_logs[..., None] > -torch.inf
        return (
            *(start_places, start_logs),
            *(end_places.masked_fill(~is_filled, 0), end_logs.masked_fill(~is_filled, -torch.inf)),
            none,
        )

    def summaries(self, text: Packed) -> Tensor:
        """Which token sums up each input, and stands for no answer: places in the packed row [B], in host memory."""
        return text.starts + text.lengths - 1 if self.encoder.sums_up_last else text.starts

    def _read(self, text: Packed, segments: Tensor | None, may_answer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States [N, D], scores of starts [N], and scores of there being no answer [B]."""
        summaries = self.summaries(text)
        if not may_answer.is_cuda and not may_answer[summaries].all():  # on a GPU, looking would wait for the device
            raise ValueError("the token which sums an input up stands for no answer, and may always be chosen")
        states = self.encoder.hidden(text, segments)
        scores = self.start(states)[:, 0].masked_fill(~may_answer, -torch.inf)
        shares = _table(text, scores).softmax(1)[text.is_token].type_as(states)
        likely = [share @ own for share, own in zip(text.unpack(shares), text.unpack(states), strict=True)]
        found = torch.cat([torch.stack(likely), states[summaries]], 1)
        return states, scores, self.none_score(self.dropout(torch.tanh(self.none(found))))[:, 0]

    def _ends(self, text: Packed, states: Tensor, starts: Tensor) -> Tensor:
        """Scores of each token as the end of what starts at each of `starts` [B, K]: [N, K]."""
        width = states.shape[1]
        of_tokens = product(states, self.end.weight[:, :width], self.end.bias)
        begins = states[text.starts.to(starts.device)[:, None] + starts]
        of_starts = product(begins, self.end.weight[:, width:])
        own = of_starts.repeat_interleave(text.lengths.to(states.device), 0, output_size=len(states))  # [N, K, D]
        return self.end_score(self.end_norm(torch.tanh(of_tokens[:, None] + own)))[..., 0]


def _table(text: Packed, scores: Tensor, least: int = 1) -> Tensor:
    """Scores of a packed row [N] as one row an input, [B, T] with `least` places or more; minus infinity elsewhere."""
    exact = scores.to(torch.promote_types(scores.dtype, torch.float32))
    table = exact.new_full(text.is_token.shape, -torch.inf)
    table[text.is_token] = exact
    missing = least - table.shape[1]
    return nn.functional.pad(table, (0, missing), value=-torch.inf) if missing > 0 else table


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest log-probabilities of scores [..., T] and their places, [..., count] each; 0 where there is none."""
    logs, places = scores.log_softmax(-1).topk(count, -1)
    return logs, places.masked_fill(logs == -torch.inf, 0)


class MaskedWords(Head):
    """Scores of the word behind a mask (section 3.1, task 1): a layer, then the table of embeddings.

    The layer has the width of the embeddings, which in ALBERT is less than the model's.
    """

    size = 1

    def build(self, config: Any) -> None:
        """The layer, its norm, and one bias a word."""
        table = self.encoder.token
        self.transform = Linear(config.width, table.embedding_dim)
        self.activation, self.norm = GELU[config.activation], nn.LayerNorm(table.embedding_dim, EPSILON)
        truncated_normal(self.transform, self.encoder.deviation)
        self.output = Linear(table.embedding_dim, config.vocabulary)
        self.output.weight = table.weight
        nn.init.zeros_(self.output.bias)

    def read(self, states: Tensor) -> Tensor:
        """States of the encoder -> what the output layer reads: [..., D] -> [..., E]."""
        return self.norm(self.activation(self.transform(states)))

    def hidden(self, text: Packed, segments: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """What the output layer reads, at every token or at the rows which are asked for."""
        return self.read(self.encoder.hidden(text, segments, rows))

    def forward(self, text: Packed, segments: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """Scores [N, V], or [R, V]."""
        return self.output(self.hidden(text, segments, rows))


class MaskedWordsAndPair(MaskedWords):
    """Masked words, and how two segments belong together (section 3.1, task 2): two scores from the sum.

    BERT: 0 is the next sentence, 1 another. ALBERT (section 3.1): 0 is their order, 1 the reverse.
    """

    pools = True

    def build(self, config: Any) -> None:
        """The layers of both tasks."""
        super().build(config)
        self.pair = Linear(config.width, 2)
        truncated_normal(self.pair, self.encoder.deviation)

    def both(self, text: Packed, segments: Tensor | None, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What the output layer reads at these rows, [R, E], and pair scores [B, 2].

        Args:
            text: ids, with the special tokens around them.
            segments: of each token, [N].
            rows: ascending places of the packed row, in host memory, none of which is the first of a sequence.
        """
        wanted = torch.cat([text.starts, rows]).sort().values
        first, others = (torch.searchsorted(wanted, own) for own in (text.starts, rows))
        states = self.encoder.hidden(text, segments, wanted)
        return self.read(states[others]), self.pair(self.encoder.pool(states[first]))


class PermutedWords(Head):
    """Scores of words from those before them in any order (Yang et al. 2019, section 2.3): the table of embeddings."""

    size = 1

    def build(self, config: Any) -> None:
        """One bias a word."""
        if not hasattr(self.encoder, "read"):
            raise ValueError(
                f"{type(self.encoder).__name__} reads no permuted texts, which PermutedWords needs: it lacks read"
            )
        self.output = Linear(config.width, config.vocabulary)
        self.output.weight = self.encoder.token.weight
        nn.init.zeros_(self.output.bias)

    def hidden(
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
        """What the output layer reads at each of `targets`, [B, P, D], and the next memory; as the encoder's `read`."""
        return self.encoder.read(tokens, segments, allowed, targets, memory, reuse=reuse, backward=backward)

    def forward(
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
        """Scores [B, P, V], and the next memory."""
        states, memory = self.hidden(tokens, segments, allowed, targets, memory, reuse=reuse, backward=backward)
        return self.output(states), memory


HEADS: dict[str, type[Head]] = {
    "classification": Classifier,
    "regression": Regressor,
    "similarity": Similarity,
    "choice": Chooser,
    "tagging": Tagger,
    "span": SpanFinder,
    "conditional-span": ConditionalSpanFinder,
    "masked": MaskedWords,
    "masked-pair": MaskedWordsAndPair,
    "permuted": PermutedWords,
}


IN_BOTH_ORDERS = ("classification", "regression")  # heads which may read pairs so


def pairs_of(head: str, options: Mapping[str, Any]) -> Pairs:
    """How a head of this name, with these options, reads pairs."""
    return "both" if options.get("both_orders") else HEADS[head].pairs


def require_options(head: str, options: Mapping[str, Any], place: str) -> None:
    """Refuse what cannot be said of a head of this name beside its labels and its dropout.

    Args:
        head: in `HEADS`.
        options: `both_orders` and `scale`, where they are given.
        place: where they stand, for errors.

    Raises:
        ValueError: if one of them is no option of this head, or has not its type.
    """
    turned = options.get("both_orders", False)
    if turned not in (False, True) or (turned and head not in IN_BOTH_ORDERS):
        heads = " and ".join(IN_BOTH_ORDERS)
        raise ValueError(f"{place}both_orders is true or false, and of {heads}, got {turned!r} for {head}")
    if "scale" in options and head != "similarity":
        raise ValueError(f"{place}scale is of similarity, got {options['scale']!r} for {head or 'no head'}")
    if head == "similarity":
        require_scale(options.get("scale"), place)


def require_scale(scale: Any, place: str = "") -> None:
    """Refuse what are not two numbers, of which the first is less.

    Raises:
        ValueError: says what is there.
    """
    is_scale = isinstance(scale, list | tuple) and len(scale) == 2 and all(map(_is_number, scale))
    if not is_scale or not scale[0] < scale[1]:
        raise ValueError(
            f"{place}scale must be two numbers, those for a cosine of 0 and of 1, of which the first is less; got "
            f"{scale!r}"
        )


def _is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def kind_of(model: nn.Module) -> str:
    """The name of a model's head; empty where it has none."""
    return next((name for name, head in HEADS.items() if type(model) is head), "")

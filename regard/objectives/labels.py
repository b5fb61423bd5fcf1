"""What heads learn: classes, numbers, options, tags and spans (Devlin et al. 2019, section 4).

Each is a module around its model, so that what wraps it (several processes, compilation) sees both. GPT learns the
texts themselves beside them (Radford et al. 2018, section 3.2).
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from regard.attention.packing import Packed
from regard.objectives.loss import Loss, smoothed_cross_entropy


class Labels(nn.Module):
    """A loss around a model with a head."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model: Any = model


class OfSums(Labels, ABC):
    """A loss of what a head says of whole inputs.

    Args:
        model: the head, on its encoder.
        auxiliary: share of the next token's loss beside that of the labels, for an encoder which sees only what comes
            before: lambda (Radford et al. 2018, equation 5). It is the mean over an input's tokens but the first, as in
            the authors' code; the paper's equation has the sum. The special tokens are to be predicted too.
    """

    def __init__(self, model: nn.Module, auxiliary: float = 0.0):
        super().__init__(model)
        self.auxiliary = auxiliary
        if auxiliary and not self.model.encoder.is_causal:
            raise ValueError(f"{type(self.model.encoder).__name__} sees all of a text: it has no next token to predict")

    def forward(self, text: Packed, segments: Tensor, labels: Tensor, counts: Tensor | None = None) -> Loss:
        """The loss of examples with these labels [E].

        Args:
            text: their inputs.
            segments: of each token, [N].
            labels: one an example.
            counts: inputs of each example, in host memory, [E], where it has several.
        """
        if not self.auxiliary:
            return self.loss(self.model(text, segments), labels, counts, len(text))
        states = self.model.encoder.hidden(text, segments)
        sums = self.model.encoder.pool(states[text.starts + text.lengths - 1])
        loss = self.loss(self.model.score(sums), labels, counts, len(text))
        per_example = len(labels) / len(text)  # the mean of its inputs
        beside = self.auxiliary * per_example * _next_tokens(self.model.encoder.output, states, text)
        return dataclasses.replace(loss, total=loss.total + beside)

    @abstractmethod
    def loss(self, scores: Tensor, labels: Tensor, counts: Tensor | None, inputs: int) -> Loss:
        """The loss of what a head says."""


class Classes(OfSums):
    """The class of each example, by cross-entropy."""

    def loss(self, scores: Tensor, labels: Tensor, counts: Tensor | None, inputs: int) -> Loss:
        """The loss of scores [E, C] and classes [E]."""
        return _of_classes(scores, labels, inputs)


class Numbers(OfSums):
    """The number of each example, by its squared error; what is reported as log-likelihood is its negative."""

    def loss(self, scores: Tensor, labels: Tensor, counts: Tensor | None, inputs: int) -> Loss:
        """The loss of numbers [E] which should be `labels` [E]."""
        total = (scores.to(labels.dtype) - labels).square().sum()
        return Loss(total, -total.detach(), len(labels), inputs)


class Options(OfSums):
    """Which of its options each example takes, by cross-entropy over their scores."""

    def loss(self, scores: Tensor, labels: Tensor, counts: Tensor | None, inputs: int) -> Loss:
        """The loss of examples which take option `labels` [E] of their `counts` [E]; each option is an input."""
        assert counts is not None
        table = nn.utils.rnn.pad_sequence(list(scores.split(counts.tolist())), True, -torch.inf)  # [E, options]
        return _of_classes(table, labels, inputs)


class Tags(Labels):
    """The tag of each word, at the first of its pieces (section 5.3), by cross-entropy."""

    def forward(self, text: Packed, segments: Tensor, labels: Tensor, rows: Tensor) -> Loss:
        """The loss of pieces at `rows` of the packed row, in host memory, whose tags are `labels`, [R] each."""
        scores = self.model(text, segments)
        return _of_classes(scores[rows], labels, len(text))


class Spans(Labels):
    """Where answers start and end: the mean of two cross-entropies, each over the tokens of an input (section 4.2)."""

    def forward(self, text: Packed, segments: Tensor, labels: Tensor) -> Loss:
        """The loss of inputs whose answers start and end at tokens `labels` [B, 2], counted from the input's first."""
        total = _of_places(text, self.model(text, segments), labels)
        return Loss(total, -total.detach(), len(labels), len(text))


class ConditionalSpans(Labels):
    """Spans whose end depends on their start, and whether there is one (XLNet's code, and ALBERT's).

    The mean of two cross-entropies, each over the tokens which may be chosen, and half of that of having no answer.
    """

    def forward(self, text: Packed, segments: Tensor, labels: Tensor, may_answer: Tensor) -> Loss:
        """The loss of inputs whose answers start and end at tokens `labels` [B, 2], counted from the input's first.

        Both are the token which sums the input up where there is no answer.

        Args:
            text: the inputs.
            segments: of each token, [N].
            labels: starts and ends.
            may_answer: whether a token may be chosen, [N].

        Raises:
            ValueError: if a label may not.
        """
        places = text.starts.to(labels.device)[:, None] + labels
        if not places.is_cuda and not may_answer[places].all():  # on a GPU, looking would wait for the device
            raise ValueError(
                "an answer starts and ends at tokens which may be chosen, or at that which sums the input up"
            )
        *scores, none = self.model(text, segments, may_answer, labels[:, 0])
        is_none = (places[:, 0] == self.model.summaries(text).to(places.device)).to(_exact(none))
        no_answer = binary_cross_entropy_with_logits(none.to(_exact(none)), is_none, reduction="sum")
        total = _of_places(text, scores, labels) + no_answer / 2
        return Loss(total, -total.detach(), len(labels), len(text))


def _exact(scores: Tensor) -> torch.dtype:
    """The type in which a loss of scores is computed."""
    return torch.promote_types(scores.dtype, torch.float32)


def _of_places(text: Packed, scores: Iterable[Tensor], labels: Tensor) -> Tensor:
    """The mean of cross-entropies over the tokens of each input, one for each column of labels [B, 2], summed."""
    places, total = text.starts.to(labels.device)[:, None] + labels, torch.zeros((), device=labels.device)
    for own, gold in zip(scores, places.unbind(1), strict=True):
        own = own.to(_exact(own))
        table = own.new_full(text.is_token.shape, -torch.inf)
        table[text.is_token] = own
        total = total + (table.logsumexp(1) - own[gold]).sum() / 2
    return total


def _next_tokens(output: nn.Linear, states: Tensor, text: Packed) -> Tensor:
    """Each input's mean loss of its tokens but the first, from states [N, D] of those before them, summed."""
    is_first = text.is_first.to(states.device)
    weights = (text.lengths - 1).double().reciprocal().repeat_interleave(text.lengths - 1)
    weights = weights.to(states.device, _exact(states))
    total, _ = smoothed_cross_entropy(states[~is_first.roll(-1, 0)], output, text.tokens[~is_first], weights=weights)
    return total


def _of_classes(scores: Tensor, labels: Tensor, sequences: int) -> Loss:
    """Cross-entropy of scores [L, C] and classes [L]."""
    total = cross_entropy(scores.to(_exact(scores)), labels, reduction="sum")
    return Loss(total, -total.detach(), len(labels), sequences)


LABELS: dict[str, type[Labels]] = {  # by the name of a head
    "classification": Classes,
    "regression": Numbers,
    "similarity": Numbers,
    "choice": Options,
    "tagging": Tags,
    "span": Spans,
    "conditional-span": ConditionalSpans,
}


def labels_of(kind: str, model: Any, auxiliary: float = 0.0) -> Labels:
    """The objective for a head of this name; `auxiliary` is of those on whole inputs."""
    objective = LABELS[kind]
    return objective(model, auxiliary) if issubclass(objective, OfSums) else objective(model)

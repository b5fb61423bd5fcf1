"""Masked words, alone or with how two texts belong together (Devlin et al. 2019, section 3.1; Lan et al. 2020, 3.1)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regard.attention.packing import Packed
from regard.objectives.loss import Loss, smoothed_cross_entropy


class MaskedWords(nn.Module):
    """The objective as a module around a model with a head for masked words, and for pairs where these have labels.

    "The training loss is the sum of the mean masked LM likelihood and the mean next sentence prediction likelihood",
    appendix A.2: what is summed here is divided by the number of masked words, so that each pair counts as much as the
    words which are masked in a sequence on average.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(
        self, text: Packed, segments: Tensor, positions: Tensor, words: Tensor, pair_labels: Tensor | None = None
    ) -> Loss:
        """The loss of a batch.

        Args:
            text: what is read, some of it hidden.
            segments: of each token, [N].
            positions: of the hidden tokens in the packed row, ascending, [M]; in host memory no device is waited for.
            words: their true ids, [M].
            pair_labels: what is said of the two texts of each sequence, [B].
        """
        positions = positions.cpu()  # what holds the objective in several processes moves all that it is given
        if pair_labels is None:
            # an encoder is asked for at least one row of each sequence
            rows = torch.cat([text.starts, positions]).unique()
            hidden, of_pairs = self.model.hidden(text, segments, rows), None
            hidden = hidden[torch.searchsorted(rows, positions)]
        else:
            hidden, scores = self.model.both(text, segments, positions)
            scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
            of_pairs = cross_entropy(scores, pair_labels) * len(words)
        total, likelihood = smoothed_cross_entropy(hidden, self.model.output, words)
        return Loss(total if of_pairs is None else total + of_pairs, likelihood, len(words), len(text))

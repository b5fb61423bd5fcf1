"""Permuted words: each from those before it in a random order (Yang et al. 2019, section 2.2, equation 3)."""

from typing import Any

import torch
from torch import Tensor, nn

from regard.data.permutation import may_attend
from regard.objectives.loss import Loss, Memory, smoothed_cross_entropy


class PermutedWords(nn.Module):
    """The objective as a module around its model; the memory is handed in with a batch, and comes out with its loss."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(
        self,
        tokens: Tensor,
        segments: Tensor,
        order: Tensor,
        positions: Tensor,
        reuse: int,
        backward: int,
        memory: Memory = (),
    ) -> Loss:
        """The loss of sequences of one length.

        Args:
            tokens: ids, [B, T].
            segments: of each token, [B, T].
            order: the place of each token in the order of factorisation, [B, T].
            positions: of the tokens which are predicted, [B, P].
            reuse: the first so many positions are remembered.
            backward: of the sequences the last so many are read from their ends.
            memory: of the sequences before.
        """
        is_target = torch.zeros_like(tokens, dtype=torch.bool).scatter_(1, positions, True)
        allowed = may_attend(order, is_target)
        hidden, memory = self.model.hidden(
            tokens, segments, allowed, positions, memory or None, reuse=reuse, backward=backward
        )
        words = tokens.gather(1, positions).flatten()
        total, likelihood = smoothed_cross_entropy(hidden.flatten(0, 1), self.model.output, words)
        return Loss(total, likelihood, len(words), len(tokens), memory)

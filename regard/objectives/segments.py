"""Next token with memory: segments of a text in order, each read with what is remembered of those before it.

Dai et al. 2019, section 3.2, "Segment-Level Recurrence with State Reuse".
"""

from torch import nn

from regard.attention.packing import Packed
from regard.models.protocols import RecurrentLanguageModel, offers
from regard.objectives.loss import Loss, Memory, summed_loss


class NextTokenOfSegments(nn.Module):
    """The objective as a module around its model; the memory is handed in with a batch, and comes out with its loss."""

    def __init__(self, model: nn.Module):
        super().__init__()
        if not offers(model, RecurrentLanguageModel):
            raise ValueError(f"{type(model).__name__} carries no memory: it lacks read")
        self.model = model

    def forward(self, text: Packed, memory: Memory = ()) -> Loss:
        """The loss of segments of one length, the first token of each given; they go on from `memory`, if there is any.

        Raises:
            ValueError: if the segments differ in length, or have no second token.
        """
        length = int(text.lengths[0])
        if length < 2 or not text.lengths.eq(length).all():
            raise ValueError(f"segments must be of one length above 1, got {text.lengths.tolist()}")
        tokens = text.tokens.unflatten(0, (-1, length))
        hidden, memory = self.model.read(tokens[:, :-1], memory or None)
        total, likelihood = summed_loss(self.model.output, hidden.flatten(0, 1), tokens[:, 1:].flatten())
        return Loss(total, likelihood, tokens[:, 1:].numel(), len(text), memory)

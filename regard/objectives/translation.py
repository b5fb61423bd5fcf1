"""Translation: each target word from the source and the words before it (all four encoder-decoder papers)."""

from torch import nn

from regard.attention.packing import Packed
from regard.models.protocols import TranslationModel, offers
from regard.objectives.loss import Loss, smoothed_cross_entropy


class Translation(nn.Module):
    """The objective as a module around its model, so that what wraps it (several processes, compilation) sees both.

    Args:
        model: an encoder-decoder.
        smoothing: of labels, Vaswani et al. 2017, section 5.4; 0 in the older papers.
    """

    def __init__(self, model: nn.Module, *, smoothing: float = 0.0):
        super().__init__()
        if not offers(model, TranslationModel):
            raise ValueError(f"{type(model).__name__} is not an encoder-decoder: it lacks start, step or hidden")
        self.model, self.smoothing = model, smoothing

    def forward(self, source: Packed, target: Packed) -> Loss:
        """The loss of a batch."""
        hidden = self.model.hidden(source, target)
        total, likelihood = smoothed_cross_entropy(hidden, self.model.output, target.tokens, smoothing=self.smoothing)
        return Loss(total, likelihood, len(target.tokens), len(target))

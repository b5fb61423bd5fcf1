"""Next token: each token of a text from those before it (Radford et al. 2018, section 3.1, equation 1)."""

from torch import nn

from regard.attention.packing import Packed
from regard.models.protocols import LanguageModel, offers
from regard.objectives.loss import Loss, summed_loss


class NextToken(nn.Module):
    """The objective as a module around its model, so that what wraps it (several processes, compilation) sees both.

    The first token of each sequence is given; texts which are to be predicted from nothing begin with a token which
    says so.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        if not offers(model, LanguageModel):
            raise ValueError(f"{type(model).__name__} is not a language model: it lacks start, step or hidden")
        self.model = model

    def forward(self, text: Packed) -> Loss:
        """The loss of a batch.

        Raises:
            ValueError: if no sequence has a second token.
        """
        longer = text.lengths > 1
        if not longer.any():
            raise ValueError("there is nothing to predict: no sequence has more than its first token")
        is_last = text.is_first.roll(-1, 0)
        read = Packed(text.tokens[~is_last], text.lengths[longer] - 1)
        targets = text.tokens[~text.is_first]
        total, likelihood = summed_loss(self.model.output, self.model.hidden(read), targets)
        return Loss(total, likelihood, len(targets), len(read))

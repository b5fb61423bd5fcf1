"""Dropout as a layer, and doing without it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from regard.attention.fused import dropped
from regard.layers.sizes import require_rate


class Dropout(nn.Module):
    """Zero each value with probability `rate` in training, and scale the others up (Srivastava et al. 2014)."""

    def __init__(self, rate: float):
        super().__init__()
        require_rate("a rate of dropout", rate)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged in evaluation."""
        if not self.training or self.rate == 0.0:
            return x
        return dropped(x, self.rate)

    def extra_repr(self) -> str:
        """The rate."""
        return f"rate={self.rate}"


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Compute inside the block as a model which is used, not trained; its mode is left as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)

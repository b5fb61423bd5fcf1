"""What the floors above may ask of a model."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from regard.attention.packing import Packed
from regard.layers.state import State


@runtime_checkable
class TranslationModel(Protocol):
    """An encoder-decoder from ids to scores.

    Targets end with the end token, and the model shifts them itself; none of the papers has a token for the beginning.
    """

    config: Any
    output: nn.Linear  # hidden states to one score a word

    def hidden(self, source: Packed, target: Packed) -> Tensor:
        """What the output layer reads, at every target token: [N_target, D]."""
        ...

    def __call__(self, source: Packed, target: Packed) -> Tensor:
        """Scores of every target token, given those before it: [N_target, V]."""
        ...

    def start(self, source: Packed) -> State:
        """Read the sources; the state before the first word."""
        ...

    def step(self, tokens: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """Last words [R], None at the first step -> scores of the next word [R, V], and the state after."""
        ...

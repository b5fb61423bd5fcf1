"""What the floors above may ask of a model."""

from typing import Any, Protocol, TypeVar

from torch import Tensor, nn
from typing_extensions import TypeIs

from regard.attention.packing import Packed
from regard.layers.state import State

P = TypeVar("P")


def offers(model: object, protocol: type[P]) -> TypeIs[P]:
    """Whether a model has all that a protocol names. The parts of a Module are not what typing's own check looks at."""
    members = {name for kind in protocol.__mro__ for name in (*vars(kind), *getattr(kind, "__annotations__", ()))}
    return all(hasattr(model, name) for name in members if not name.startswith("_"))


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


class LanguageModel(Protocol):
    """A model of texts, from ids to the scores of what follows each of them."""

    config: Any
    output: nn.Module  # hidden states [N, D] to one score a token [N, V]; a plain matrix, or it has `likelihood`

    def hidden(self, text: Packed) -> Tensor:
        """What the output layer reads, at every token: [N, D]."""
        ...

    def __call__(self, text: Packed) -> Tensor:
        """Scores of the token after each one, given it and those before it: [N, V]."""
        ...

    def start(self, prompts: Packed) -> State:
        """Read the prompts; the state before the first new token."""
        ...

    def step(self, tokens: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """Last tokens [R], None at the first step -> scores of the next token [R, V], and the state after."""
        ...


class RecurrentLanguageModel(LanguageModel, Protocol):
    """A language model which goes on from one segment of a text to the next."""

    def read(self, segment: Tensor, memory: Any = None) -> tuple[Tensor, Any]:
        """Ids of a segment [B, T] and the memory of those before it -> hidden states [B, T, D] and the next memory."""
        ...


class Encoder(Protocol):
    """A model which reads inputs as a whole, each token in the light of all others; or, as GPT, of those before it."""

    config: Any
    sums_up_last: bool  # whether the token which sums an input up is its last, not its first
    is_causal: bool  # whether a token sees those before it alone
    unread: tuple[str, ...]  # parameters which play no part where nothing is hidden
    token: nn.Embedding

    @property
    def deviation(self) -> float:
        """Of weights at the start, those of heads too."""
        ...

    def hidden(self, text: Packed, segments: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """States of every token [N, D], or of the ascending rows which are asked for, at least one of each sequence."""
        ...

    def pool(self, states: Tensor) -> Tensor:
        """States of the tokens which sum inputs up -> what heads read, [B, D] each."""
        ...

    def __call__(self, text: Packed, segments: Tensor | None = None) -> Tensor:
        """The sum of each input, [B, D]."""
        ...

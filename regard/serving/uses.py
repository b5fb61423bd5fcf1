"""What is the same of every endpoint which computes batches: from a request's body to a job, and on to the answer."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from regard.serving.limits import Limits, Refused


class Body(BaseModel):
    """Of a request: unknown fields are refused, and nothing is read as what it is not."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Of the service; stands for the shape of an answer in the description of the service."""


@dataclass(frozen=True)
class Asked:
    """What a request asks of the model.

    Args:
        items: which can be computed apart.
        sizes: of each, in tokens which are read.
        options: how; items of the same options can be computed together.
        truncated: texts which are read without their ends.
    """

    items: Sequence[Any]
    sizes: Sequence[int]
    options: Hashable = ()
    truncated: int = 0


Asks = TypeVar("Asks", bound=Body)


class Use(ABC, Generic[Asks]):
    """One endpoint.

    Args:
        model: which `regard.load` gives.
        limits: of a request.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    body: type[Asks]
    answer: ClassVar[type[Answer]]

    def __init__(self, model: Any, limits: Limits):
        self.model, self.limits = model, limits

    @abstractmethod
    def example(self) -> dict[str, Any]:
        """A body."""

    @abstractmethod
    def ask(self, body: Asks) -> Asked:
        """What is to be computed.

        Raises:
            Refused, ValueError: if it may not be.
        """

    @abstractmethod
    def compute(self, items: list[Any], options: Any) -> Sequence[Any]:
        """One result an item."""

    @abstractmethod
    def give(self, body: Asks, asked: Asked, results: list[Any]) -> dict[str, Any]:
        """The answer."""

    def require_count(self, name: str, values: Sequence[Any]) -> None:
        """Refuse too many texts."""
        if len(values) > self.limits.texts:
            raise Refused(422, f"{name} has {len(values)} entries, and the limit is {self.limits.texts}; ask in parts")


def refuse_long(place: str, size: int, longest: int, way: str = "") -> NoReturn:
    """Refuse a text of so many tokens.

    Raises:
        Refused: always.
    """
    raise Refused(
        422, f"{place} has {size:,} tokens with the special ones, and the limit is {longest:,}; shorten it{way}"
    )


def _one_or_pair(value: Any) -> Any:
    """A text, or a list of two."""
    if isinstance(value, str) or (
        isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
    ):
        return value
    raise PydanticCustomError("text_or_pair", "must be a text, or a list of two texts")


def _one_or_words(value: Any) -> Any:
    """A sentence, or a list of its words."""
    if isinstance(value, str) or (
        isinstance(value, list) and value and all(isinstance(word, str) and word.strip() for word in value)
    ):
        return value
    raise PydanticCustomError("sentence_or_words", "must be a sentence, or a list of words of which none is blank")


Texts = Annotated[list[str], Field(min_length=1)]
TextOrPair = Annotated[str | Annotated[list[str], Field(min_length=2, max_length=2)], BeforeValidator(_one_or_pair)]
SentenceOrWords = Annotated[str | Annotated[list[str], Field(min_length=1)], BeforeValidator(_one_or_words)]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
Truncate = Annotated[bool, Field(description="Read texts which are too long without their ends, and count them.")]

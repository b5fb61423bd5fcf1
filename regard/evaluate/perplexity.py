"""Perplexity from summed log-probabilities, always with the count which it is over.

A perplexity a token depends on the tokenizer, so it compares only models which share one. Over the words or the
characters of the raw text it compares any two models.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Perplexity:
    """The log-probability of a corpus, and what it is divided by.

    The end of a sentence is predicted as well, so it counts as one token, one word, one character and one byte of its
    sentence.
    """

    log_probability: float  # natural logarithm, summed over the corpus
    tokens: int
    words: int
    characters: int
    bytes: int

    @property
    def per_token(self) -> float:
        """exp(-log P / tokens)."""
        return _perplexity(self.log_probability, self.tokens)

    @property
    def per_word(self) -> float:
        """exp(-log P / words), words being what white space divides."""
        return _perplexity(self.log_probability, self.words)

    @property
    def per_character(self) -> float:
        """exp(-log P / characters), characters being Unicode code points."""
        return _perplexity(self.log_probability, self.characters)

    @property
    def bits_per_character(self) -> float:
        """-log2 P / characters."""
        return -self.log_probability / self.characters / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """-log2 P / bytes, bytes being those of UTF-8."""
        return -self.log_probability / self.bytes / math.log(2)

    def __str__(self) -> str:
        rows = [
            ("perplexity a token", self.per_token, self.tokens),
            ("perplexity a word", self.per_word, self.words),
            ("nats a token", -self.log_probability / self.tokens, self.tokens),
            ("bits a character", self.bits_per_character, self.characters),
            ("bits a byte", self.bits_per_byte, self.bytes),
        ]
        return "\n".join(f"{name:<18}  {value:>12,.4f}  over {count:,}" for name, value, count in rows)

    def as_dict(self) -> dict[str, float | int]:
        """Each perplexity beside its count, in plain types."""
        return {
            "log_probability": self.log_probability,
            "per_token": self.per_token,
            "tokens": self.tokens,
            "per_word": self.per_word,
            "words": self.words,
            "per_character": self.per_character,
            "characters": self.characters,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "bytes": self.bytes,
        }


def perplexity(log_probabilities: Sequence[float], tokens: Sequence[int], references: Sequence[str]) -> Perplexity:
    """The perplexity of a corpus.

    Args:
        log_probabilities: natural logarithm of the probability of each reference, its end included.
        tokens: tokens of each reference, its end included.
        references: the raw texts, whose words and characters are counted.

    Raises:
        ValueError: if the three differ in length or are empty, or a log-probability is positive or not a number.
    """
    if not len(log_probabilities) == len(tokens) == len(references):
        raise ValueError(
            "a log-probability, a token count and a reference belong to each sentence, got "
            f"{len(log_probabilities)}, {len(tokens)} and {len(references)}"
        )
    if not references:
        raise ValueError("there is no sentence to take the perplexity of")
    for sentence, (value, count) in enumerate(zip(log_probabilities, tokens, strict=True), 1):
        if not value <= 0:
            raise ValueError(f"a log-probability must not be above 0, got {value} for sentence {sentence}")
        if count < 1:
            raise ValueError(f"a reference has at least its end as a token, got {count} tokens for sentence {sentence}")
    return Perplexity(
        log_probability=math.fsum(log_probabilities),
        tokens=sum(tokens),
        words=sum(len(text.split()) + 1 for text in references),
        characters=sum(len(text) + 1 for text in references),
        bytes=sum(len(text.encode()) + 1 for text in references),
    )


def _perplexity(log_probability: float, count: int) -> float:
    """exp(-log P / count), infinite where it exceeds what a float can hold."""
    try:
        return math.exp(-log_probability / count)
    except OverflowError:
        return math.inf

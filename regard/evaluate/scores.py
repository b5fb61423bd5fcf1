"""One report of how well a system translates."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from regard.evaluate.bleu import Metric, bleu, check_pairs, chrf, tokenised_bleu
from regard.evaluate.perplexity import Perplexity, perplexity


class Translator(Protocol):
    """What `measure` asks of a translator."""

    def translate(self, sources: list[str], *, beams: int) -> list[str]:
        """The best translation of each source."""
        ...

    def score(self, sources: list[str], targets: list[str]) -> list[float]:
        """The natural logarithm of the probability of each target, its end included."""
        ...

    def counts(self, targets: list[str]) -> list[int]:
        """The tokens of each target, its end included."""
        ...


@dataclass(frozen=True)
class Scores:
    """What a system scores on a corpus; printed, a table."""

    sentences: int
    bleu: Metric
    chrf: Metric
    tokenised_bleu: Metric
    exact_match: float  # per cent
    perplexity: Perplexity | None = None

    def __str__(self) -> str:
        rows = [
            ("sentences", f"{self.sentences:,}", ""),
            ("BLEU", f"{self.bleu.value:.2f}", self.bleu.signature),
            ("chrF", f"{self.chrf.value:.2f}", self.chrf.signature),
            ("BLEU of lower-cased tokens", f"{self.tokenised_bleu.value:.2f}", self.tokenised_bleu.signature),
            ("exact match", f"{self.exact_match:.2f}", "per cent"),
        ]
        if self.perplexity is not None:
            rows += [
                ("perplexity", f"{self.perplexity.per_token:.3f}", f"a token, over {self.perplexity.tokens:,}"),
                ("", f"{self.perplexity.per_word:.3f}", f"a word, over {self.perplexity.words:,}"),
                ("", f"{self.perplexity.per_character:.3f}", f"a character, over {self.perplexity.characters:,}"),
            ]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        return "\n".join(f"{name:<{first}}  {value:>{second}}  {note}".rstrip() for name, value, note in rows)

    def as_dict(self) -> dict[str, object]:
        """The report in plain types."""
        report: dict[str, object] = {
            "sentences": self.sentences,
            "bleu": asdict(self.bleu),
            "chrf": asdict(self.chrf),
            "tokenised_bleu": asdict(self.tokenised_bleu),
            "exact_match": self.exact_match,
        }
        if self.perplexity is not None:
            # JSON knows no infinity; null says that there is no number.
            values = self.perplexity.as_dict().items()
            report["perplexity"] = {name: value if math.isfinite(value) else None for name, value in values}
        return report

    def as_json(self) -> str:
        """The report as JSON; an infinite perplexity is null."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def exact_match(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Per cent of hypotheses which equal their reference, white space at both ends aside.

    Raises:
        ValueError: if there is nothing to score, or not one reference a hypothesis.
    """
    check_pairs(hypotheses, references)
    pairs = zip(hypotheses, references, strict=True)
    return 100 * sum(one.strip() == other.strip() for one, other in pairs) / len(references)


def score(hypotheses: Sequence[str], references: Sequence[str], *, perplexity: Perplexity | None = None) -> Scores:
    """All measures of translations against their references, in raw, detokenised text.

    Raises:
        ValueError: if there is nothing to score, or not one reference a hypothesis.
    """
    check_pairs(hypotheses, references)
    return Scores(
        sentences=len(references),
        bleu=bleu(hypotheses, references),
        chrf=chrf(hypotheses, references),
        tokenised_bleu=tokenised_bleu(hypotheses, references),
        exact_match=exact_match(hypotheses, references),
        perplexity=perplexity,
    )


def measure(translator: Translator, sources: Sequence[str], references: Sequence[str], *, beams: int = 5) -> Scores:
    """Translate, and score the translations and the probability which the model gives the references.

    Raises:
        ValueError: if there is nothing to score, or not one reference a source.
    """
    check_pairs(sources, references, "sources")
    sources, references = list(sources), list(references)
    hypotheses = translator.translate(sources, beams=beams)
    certainty = perplexity(translator.score(sources, references), translator.counts(references), references)
    return score(hypotheses, references, perplexity=certainty)

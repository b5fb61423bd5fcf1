"""BLEU and chrF of a corpus, on two scales, each with the signature which says how it was taken.

The scale to report is `bleu`: sacreBLEU on raw, detokenised text (Post 2018). `tokenised_bleu` is the scale of many
public tutorials, and only there to be compared with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A score from 0 to 100, and sacreBLEU's signature of how it was taken."""

    value: float
    signature: str

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.signature})"


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Metric:
    """sacreBLEU's corpus BLEU with its defaults, on raw text (Papineni et al. 2002, Post 2018).

    Raises:
        ValueError: if there is nothing to score, or not one reference a hypothesis.
    """
    from sacrebleu.metrics.bleu import BLEU

    return _corpus(BLEU(), hypotheses, references)


def tokenised_bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Metric:
    """BLEU without smoothing over lower-cased tokens: the scale of tutorials which lower-case and tokenise with spaCy.

    The text is raw, as for `bleu`; the tokens are those of sacreBLEU's `intl`, which divides at hyphens and
    apostrophes as spaCy does. On the English side of Multi30k (validation and test_2016_flickr, lower-cased) 97.9 % of
    its sentences are those of spaCy's English tokenizer, token by token; `13a` gives 93.4 %. The other difference is
    that spaCy keeps `'s` in one piece.

    Raises:
        ValueError: if there is nothing to score, or not one reference a hypothesis.
    """
    from sacrebleu.metrics.bleu import BLEU

    return _corpus(BLEU(lowercase=True, tokenize="intl", smooth_method="none"), hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Metric:
    """sacreBLEU's corpus chrF2 with its defaults: F-score of character 6-grams (Popović 2015).

    Raises:
        ValueError: if there is nothing to score, or not one reference a hypothesis.
    """
    from sacrebleu.metrics.chrf import CHRF

    return _corpus(CHRF(), hypotheses, references)


def check_pairs(sentences: Sequence[str], references: Sequence[str], name: str = "hypotheses") -> None:
    """Require one reference for each sentence, and at least one pair.

    Args:
        name: what the sentences are called in messages.

    Raises:
        ValueError: with both counts.
    """
    for what, texts in ((name, sentences), ("references", references)):
        if isinstance(texts, str):
            raise ValueError(f"{what} must be a list of sentences, got one string; put it into a list")
    if len(sentences) != len(references):
        raise ValueError(
            f"{name} and references must pair up, got {len(sentences)} {name} and {len(references)} references"
        )
    if not sentences:
        raise ValueError(f"there is no sentence to score; give at least one of {name} and its reference")


def _corpus(metric, hypotheses: Sequence[str], references: Sequence[str]) -> Metric:
    """The score of a sacreBLEU metric over all sentences, one reference each."""
    check_pairs(hypotheses, references)
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Metric(value, metric.get_signature().format())

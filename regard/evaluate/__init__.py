"""Measures of what a model does."""

from regard.evaluate.bleu import Metric, bleu, chrf, tokenised_bleu
from regard.evaluate.lengths import BleuByLength, LengthBucket, bleu_by_length
from regard.evaluate.perplexity import Perplexity, perplexity
from regard.evaluate.scores import Scores, exact_match, measure, score

__all__ = [
    "BleuByLength",
    "LengthBucket",
    "Metric",
    "Perplexity",
    "Scores",
    "bleu",
    "bleu_by_length",
    "chrf",
    "exact_match",
    "measure",
    "perplexity",
    "score",
    "tokenised_bleu",
]

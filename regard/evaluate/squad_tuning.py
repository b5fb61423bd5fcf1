"""From which odds on a question of SQuAD 2.0 is taken to have no answer, chosen on questions kept apart for that."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from regard.data.squad import Question
from regard.evaluate.squad import Measure, check_odds, f1, labelled, of_question


@dataclass(frozen=True)
class Tuned:
    """A threshold, and what it gives on the questions by which it was chosen, in per cent."""

    threshold: float  # minus infinity where it is best to answer nothing
    value: float


def tune_threshold(
    questions: Iterable[Question],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float],
    measure: Measure = f1,
) -> Tuned:
    """The threshold which gives these questions the highest measure, the lowest one among equals.

    It is to be chosen on one part of the data and applied to another: `score(others, ..., threshold=tuned.threshold)`.
    What `score` finds at the threshold on the same questions is what is said here.

    Args:
        questions: with their answers.
        predictions: the best answer of each, even where there may be none: `Ranked.best`.
        no_answer: the odds of that, by id.
        measure: `exact` or `f1`.

    Raises:
        ValueError: if there are no questions, one is unlabelled or there twice, or has no prediction or no odds.
    """
    asked = labelled(questions)
    for question in asked:
        if question.id not in predictions:
            raise ValueError(f"question {question.id!r} has no prediction; a threshold is tuned on questions which do")
    check_odds(asked, no_answer)
    gains: dict[float, float] = {}  # of answering the questions of these odds, which go together
    for question in asked:
        odds, given_up = no_answer[question.id], float(not question.answers)
        gain = of_question(measure, question, predictions[question.id]) - given_up
        gains[odds] = gains.get(odds, 0.0) + gain
    current = float(sum(not question.answers for question in asked))
    best, threshold = current, -math.inf
    for odds in sorted(gains):
        current += gains[odds]
        if current > best + 1e-9:  # more than the rounding of sums
            best, threshold = current, odds
    return Tuned(threshold, 100 * best / len(asked))

"""The measures of SQuAD, as its own scripts compute them (Rajpurkar et al. 2016, section 6.1; 2.0: 2018).

Texts are compared without case, ASCII punctuation, articles and differences in white space. Exact match is 1 or 0, F1
that of the words which prediction and answer share, and of several answers the best counts. The empty prediction says
that there is no answer.

For predictions of every question the figures are the script's, to the last digit, with what is odd in them: an answer
of which nothing is left by that comparison (`the`) is left out, and a question which has no other still counts as one
with an answer, though none but a blank prediction is right. Where predictions are missing the two versions' scripts
differ: that of 1.1 counts them as wrong, that of 2.0 divides by the number of those which are there, and then fails.
Here they are wrong, they are counted, and the figures of the others stand beside.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

from regard.data.squad import Question

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)

Measure = Callable[[str, str], float]  # of an answer and a prediction


@dataclass(frozen=True)
class Figures:
    """Exact match and F1 in per cent, and of how many questions."""

    exact: float
    f1: float
    total: int


@dataclass(frozen=True)
class Best:
    """What the best threshold for these very questions would give, in per cent, as the script searches for it.

    It is optimistic, since it is chosen by the answers; and it need not be what the threshold gives. The script takes
    apart questions whose odds are equal, though no threshold does that; where answering nothing is best, it names the
    threshold 0.0, whatever the odds; and it charges a prediction such as `the` to a question without an answer, which
    the score takes for blank. `regard.evaluate.squad_tuning` does none of these.
    """

    exact: float
    exact_threshold: float
    f1: float
    f1_threshold: float


@dataclass(frozen=True)
class SquadScores:
    """What predictions score; printed, a table."""

    all: Figures  # missing predictions count as wrong
    with_answer: Figures | None  # of the questions which have one, if there are any
    without_answer: Figures | None
    predicted: Figures  # of the questions with a prediction; the same where none is missing
    best: Best | None  # where there are odds of no answer

    @property
    def missing(self) -> int:
        """Questions without a prediction."""
        return self.all.total - self.predicted.total

    def as_dict(self) -> dict[str, float]:
        """The figures under the script's names, behind which come those which it does not have."""
        report: dict[str, float] = {}
        parts = {"": self.all, "HasAns_": self.with_answer, "NoAns_": self.without_answer}
        for prefix, part in parts.items():
            if part is not None:
                report |= {prefix + "exact": part.exact, prefix + "f1": part.f1, prefix + "total": part.total}
        if self.best is not None:
            report |= {"best_exact": self.best.exact, "best_exact_thresh": self.best.exact_threshold}
            report |= {"best_f1": self.best.f1, "best_f1_thresh": self.best.f1_threshold}
        report |= {"missing": self.missing, "predicted_exact": self.predicted.exact, "predicted_f1": self.predicted.f1}
        return report | {"predicted_total": self.predicted.total}

    def __str__(self) -> str:
        parts = {"all": self.all, "with an answer": self.with_answer, "without": self.without_answer}
        if self.missing:
            parts["predicted"] = self.predicted
        rows = [f"{'questions':<16}{'number':>8}{'exact':>8}{'F1':>8}"]
        rows += [f"{name:<16}{p.total:>8,}{p.exact:>8.2f}{p.f1:>8.2f}" for name, p in parts.items() if p is not None]
        if self.best is not None:
            rows.append(f"{'best threshold':<24}{self.best.exact:>8.2f}{self.best.f1:>8.2f}  chosen by the answers")
        if self.missing:
            rows.append(f"{self.missing:,} predictions are missing, and count as wrong in the rows above `predicted`")
        return "\n".join(rows)


def normalised(text: str) -> str:
    """A text as it is compared: without case, ASCII punctuation, articles and differences in white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, prediction: str) -> float:
    """1 where both are the same, else 0."""
    return float(normalised(answer) == normalised(prediction))


def f1(answer: str, prediction: str) -> float:
    """The harmonic mean of the shares of words of either which the other has; of no words, 1 where both have none."""
    wanted, given = normalised(answer).split(), normalised(prediction).split()
    if not wanted or not given:
        return float(wanted == given)
    shared = sum((Counter(wanted) & Counter(given)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def of_question(measure: Measure, question: Question, prediction: str) -> float:
    """The measure beside the best of a question's answers; beside the empty text where none has words."""
    answers = [answer.text for answer in question.answers if normalised(answer.text)]
    return max(measure(answer, prediction) for answer in answers or [""])


def score(
    questions: Iterable[Question],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> SquadScores:
    """What predictions score by the measure of SQuAD 2.0.

    Args:
        questions: with their answers.
        predictions: an answer by id; those of other questions are left aside, as in the script.
        no_answer: by id, the probability of there being no answer, or any odds of it, such as `Ranked.null_odds`.
        threshold: a question is taken to have no answer where `no_answer` lies above.

    Raises:
        ValueError: if there are no questions, one is unlabelled or there twice, or none has a prediction; if a
            prediction has no odds, or odds are not numbers; or if there is a threshold and no odds.
    """
    asked = labelled(questions)
    there = _with_prediction(asked, predictions)
    if no_answer is None and threshold != 1.0:
        raise ValueError(f"threshold={threshold} needs no_answer, the odds which it is held against")
    raw = [
        {question.id: of_question(measure, question, predictions[question.id]) for question in there}
        for measure in (exact, f1)
    ]
    final, best = raw, None
    if no_answer is not None:
        check_odds(there, no_answer)
        given_up = {q.id: float(not q.answers) for q in there if no_answer[q.id] > threshold}
        final = [scores | given_up for scores in raw]
        best = Best(*(value for scores in raw for value in _best(asked, predictions, scores, no_answer)))
    return SquadScores(
        all=_figures(asked, final),
        with_answer=_figures(with_answer, final) if (with_answer := [q for q in asked if q.answers]) else None,
        without_answer=_figures(without, final) if (without := [q for q in asked if not q.answers]) else None,
        predicted=_figures(there, final),
        best=best,
    )


def score_version_1(questions: Iterable[Question], predictions: Mapping[str, str]) -> SquadScores:
    """What predictions score by the script of SQuAD 1.1, where every question has an answer.

    It differs from that of 2.0 in answers and predictions without words alone: none is left out, and F1 of two is 0.

    Raises:
        ValueError: if there are no questions, one has no answer or is there twice, or none has a prediction.
    """
    asked = labelled(questions)
    for question in asked:
        if not question.answers:
            raise ValueError(f"{question.place}: question {question.id!r} has no answer; SQuAD 1.1 has none such")
    there = _with_prediction(asked, predictions)
    best = [
        {q.id: max(measure(answer.text, predictions[q.id]) for answer in q.answers) for q in there}
        for measure in (exact, _f1_of_words)
    ]
    return SquadScores(_figures(asked, best), None, None, _figures(there, best), None)


def _with_prediction(asked: list[Question], predictions: Mapping[str, str]) -> list[Question]:
    """The questions with a prediction.

    Raises:
        ValueError: if there is none.
    """
    there = [question for question in asked if question.id in predictions]
    if not there:
        raise ValueError(f"none of {len(asked)} questions has a prediction; are these predictions of other questions?")
    return there


def _f1_of_words(answer: str, prediction: str) -> float:
    """F1, which is 0 where there are no words."""
    return f1(answer, prediction) if normalised(answer) else 0.0


def _best(
    asked: list[Question], predictions: Mapping[str, str], scores: Mapping[str, float], no_answer: Mapping[str, float]
) -> tuple[float, float]:
    """The highest score, in per cent, and its threshold, as the script finds them."""
    has_answer = {question.id: bool(question.answers) for question in asked}
    current: float = sum(not has_answer[id] for id in scores)
    best, threshold = current, 0.0
    for id in sorted(no_answer, key=lambda id: no_answer[id]):
        if id not in scores:
            continue
        if has_answer[id]:
            current += scores[id]
        elif predictions[id]:
            current -= 1
        if current > best:
            best, threshold = current, no_answer[id]
    return 100.0 * best / len(asked), threshold


def _figures(questions: list[Question], scores: list[dict[str, float]]) -> Figures:
    """The means of exact match and F1 over questions, those without a score counting 0."""
    # added one by one, as the script did when its figures were published: from Python 3.12 on `sum` rounds otherwise
    sums = (reduce(add, (one.get(question.id, 0.0) for question in questions), 0.0) for one in scores)
    exact, f1 = (100.0 * total / len(questions) for total in sums)
    return Figures(exact, f1, len(questions))


def labelled(questions: Iterable[Question]) -> list[Question]:
    """Questions which can be scored.

    Raises:
        ValueError: if there are none, one is unlabelled, or one is there twice.
    """
    found: dict[str, Question] = {}
    for question in questions:
        if not question.is_labelled:
            raise ValueError(f"{question.place}: question {question.id!r} has no answers to be scored by")
        if question.id in found:
            raise ValueError(f"{question.place}: question {question.id!r} is there twice")
        found[question.id] = question
    if not found:
        raise ValueError("there is no question to score")
    return list(found.values())


def check_odds(questions: list[Question], no_answer: Mapping[str, float]) -> None:
    """Refuse odds of no answer which are missing, or no numbers.

    Raises:
        ValueError: names the question.
    """
    for question in questions:
        if question.id not in no_answer:
            raise ValueError(f"question {question.id!r} has a prediction, but no odds of having no answer")
        if math.isnan(no_answer[question.id]):
            raise ValueError(f"the odds of question {question.id!r} having no answer must be a number, got nan")

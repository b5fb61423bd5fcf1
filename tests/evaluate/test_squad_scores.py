"""The measures of SQuAD, beside the script's numbers, a plain form of it, and cases worked out by hand."""

import collections
import math
import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as some

from regard.data.squad import Answer, Question, read_squad
from regard.evaluate.squad import (
    Best,
    Figures,
    exact,
    f1,
    normalised,
    of_question,
    score,
    score_version_1,
)
from regard.evaluate.squad_tuning import tune_threshold


def question(id, *answers) -> Question:
    """A question with these answers; impossible without any."""
    return Question(id, "who?", "", tuple(Answer(text, 0) for text in answers), is_impossible=not answers, place="here")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The Cat, a dog & an ox!", "cat dog ox"),
        ("U.S.A.", "usa"),
        ("anthem theatre", "anthem theatre"),
        ("the-a", "thea"),  # punctuation goes first, and leaves no word boundary
        ("“the” cat", "“ ” cat"),  # punctuation which is not ASCII stays
        ("\u00c9cole\u202f\t1 ", "école 1"),
        ("A the an", ""),
        ("a\u0301 b", "\u0301 b"),  # a combining accent is no part of a word
    ],
)
def test_texts_are_compared_without_case_punctuation_articles_and_spaces(text, wanted):
    assert normalised(text) == wanted


def test_f1_is_that_of_the_words_which_are_shared():
    assert f1("the cat sat", "cat sat down there") == pytest.approx(2 * (2 / 4) * (2 / 2) / (2 / 4 + 2 / 2))
    assert f1("cat cat dog", "cat cat cat") == pytest.approx(2 / 3)
    assert f1("cat", "dog") == f1("", "dog") == f1("dog", "the") == 0
    assert f1("", "") == f1("", "the") == f1("cat", "Cat!") == 1
    assert exact("The cat.", "cat") == exact("", "the") == 1
    assert exact("cat", "cat sat") == 0


def test_the_best_of_several_answers_counts():
    one = question("1", "black cat", "cat", "the")
    assert (of_question(exact, one, "Cat"), of_question(f1, one, "black")) == (1, pytest.approx(2 / 3))
    assert of_question(exact, one, "") == of_question(exact, one, "the") == 0
    assert of_question(exact, question("2", "the"), "") == of_question(f1, question("2"), "an") == 1


ASKED = [question("a", "cat"), question("b", "black dog", "dog"), question("c"), question("d"), question("e", "the")]
GIVEN = {"a": "the cat", "b": "black ox", "c": "", "d": "ox", "e": "ox"}


def test_figures_of_a_case_worked_out_by_hand():
    scores = score(ASKED, GIVEN)
    assert scores.all == Figures(40.0, 50.0, 5)  # a and c; and half of b
    assert scores.with_answer == Figures(100 / 3, 50.0, 3)
    assert scores.without_answer == Figures(50.0, 50.0, 2)
    assert scores.predicted == scores.all
    assert (scores.missing, scores.best) == (0, None)


def test_a_question_above_the_threshold_is_right_if_it_has_no_answer():
    odds = {"a": 0.9, "b": 0.5, "c": 0.4, "d": 0.6, "e": 0.7}
    scores = score(ASKED, GIVEN, odds, threshold=0.5)
    assert scores.with_answer == Figures(0.0, 50 / 3, 3)  # `e`, of which no word is left, still has an answer
    assert scores.without_answer == Figures(100.0, 100.0, 2)


def test_the_best_threshold_of_a_case_worked_out_by_hand():
    odds = {"a": 0.2, "b": 0.1, "c": 0.3, "d": 0.8, "e": 0.9}
    # from 2 for answering nothing: b +0 or +.5, a +1, c +0 (blank), d -1, e +0
    assert score(ASKED, GIVEN, odds).best == Best(60.0, 0.2, 70.0, 0.2)


def test_where_answering_nothing_is_best_the_scripts_threshold_is_zero():
    odds = dict.fromkeys("abcde", -3.0)
    assert score(ASKED, dict.fromkeys("abcde", "ox"), odds).best == Best(40.0, 0.0, 40.0, 0.0)


def test_missing_predictions_are_wrong_and_counted():
    scores = score(ASKED, {"a": "cat", "c": ""})
    assert scores.all == Figures(40.0, 40.0, 5)
    assert scores.with_answer == Figures(100 / 3, 100 / 3, 3)
    assert scores.predicted == Figures(100.0, 100.0, 2)
    assert scores.missing == 3
    report = scores.as_dict()
    assert (report["missing"], report["predicted_total"], report["predicted_exact"]) == (3, 2, 100)
    assert "3 predictions are missing" in str(scores)


def test_missing_predictions_are_not_found_right_by_any_threshold():
    scores = score(ASKED, {"a": "cat", "c": ""}, {"a": 0.2, "c": 0.1})
    assert scores.best == Best(40.0, 0.2, 40.0, 0.2)


def test_predictions_of_other_questions_are_left_aside():
    assert score(ASKED, GIVEN | {"z": "ox"}) == score(ASKED, GIVEN)


def test_the_first_version_knows_no_empty_answers():
    asked = [question("a", "cat"), question("b", "the", "dog"), question("e", "the")]
    scores = score_version_1(asked, {"a": "", "b": "an", "e": "an"})
    assert scores.all == scores.predicted == Figures(200 / 3, 0.0, 3)  # of no words: the same, but F1 is 0
    scores = score_version_1(asked, {"a": "black cat"})
    assert (scores.all.exact, scores.all.f1, scores.all.total) == (0, pytest.approx(100 * 2 / 3 / 3), 3)
    assert (scores.predicted.f1, scores.missing) == (pytest.approx(100 * 2 / 3), 2)


def test_what_cannot_be_scored_is_refused():
    for scored in (score, score_version_1):
        with pytest.raises(ValueError, match="there is no question to score"):
            scored([], {})
        with pytest.raises(ValueError, match="here: question 'a' is there twice"):
            scored([ASKED[0], ASKED[0]], GIVEN)
        with pytest.raises(ValueError, match="here: question 'a' has no answers to be scored by"):
            scored([ASKED[0].without_answers()], GIVEN)
    for scored, asked in ((score, ASKED), (score_version_1, ASKED[:1])):
        with pytest.raises(ValueError, match=f"none of {len(asked)} questions has a prediction"):
            scored(asked, {"z": "ox"})
    with pytest.raises(ValueError, match=r"threshold=0\.5 needs no_answer"):
        score(ASKED, GIVEN, threshold=0.5)
    with pytest.raises(ValueError, match="question 'b' has a prediction, but no odds"):
        score(ASKED, GIVEN, {"a": 0.5})
    with pytest.raises(ValueError, match="the odds of question 'a' having no answer must be a number, got nan"):
        score(ASKED, GIVEN, dict.fromkeys("abcde", math.nan))
    with pytest.raises(ValueError, match=r"question 'c' has no answer; SQuAD 1\.1 has none such"):
        score_version_1(ASKED, GIVEN)
    with pytest.raises(ValueError, match="question 'b' has no prediction"):
        tune_threshold(ASKED, {"a": "cat"}, {"a": 0.5})


def script(questions, predictions, odds, threshold):
    """The script of SQuAD 2.0 in its plainest form, from its specification."""

    def plain(text):
        text = "".join(character for character in text.lower() if character not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    def f1_of(gold, given):
        gold, given = plain(gold).split(), plain(given).split()
        if not gold or not given:
            return int(gold == given)
        same = sum((collections.Counter(gold) & collections.Counter(given)).values())
        precision, recall = same / len(given), same / len(gold)
        return 2 * precision * recall / (precision + recall) if same else 0

    measures = {"exact": lambda gold, given: int(plain(gold) == plain(given)), "f1": f1_of}
    has_answer = {one.id: bool(one.answers) for one in questions}
    report = {}
    for name, measure in measures.items():
        raw = {}
        for one in questions:
            golds = [answer.text for answer in one.answers if plain(answer.text)] or [""]
            raw[one.id] = max(measure(gold, predictions[one.id]) for gold in golds)
        final = {id: float(not has_answer[id]) if odds[id] > threshold else raw[id] for id in raw}
        groups = {"": has_answer, "HasAns_": [id for id in raw if has_answer[id]]}
        groups["NoAns_"] = [id for id in raw if not has_answer[id]]
        for prefix, ids in groups.items():
            if ids:
                report[prefix + name] = 100.0 * sum(final[id] for id in ids) / len(ids)
                report[prefix + "total"] = len(ids)
        current = best = len(groups["NoAns_"])
        at = 0.0
        for id in sorted(odds, key=odds.get):
            current += raw[id] if has_answer[id] else -1 if predictions[id] else 0
            if current > best:
                best, at = current, odds[id]
        report |= {f"best_{name}": 100.0 * best / len(raw), f"best_{name}_thresh": at}
    return report


TEXTS = some.sampled_from(["", "a", "the.", "cat", "The cat", "black cat", "dog cat", "cat cat", "“dog”", "ox, dog"])
CASES = some.lists(
    some.tuples(some.lists(TEXTS, max_size=3), TEXTS, some.floats(-3, 3, width=16)), min_size=1, max_size=12
)


def laid_out(case):
    """Questions, predictions and odds of a drawn case."""
    asked = [question(str(number), *answers) for number, (answers, *_) in enumerate(case)]
    predictions = {str(number): given for number, (_, given, _) in enumerate(case)}
    return asked, predictions, {str(number): odds for number, (*_, odds) in enumerate(case)}


@given(case=CASES, threshold=some.floats(-3, 3, width=16))
def test_scores_are_those_of_the_plain_script(case, threshold):
    report = score(*laid_out(case), threshold).as_dict()
    wanted = script(*laid_out(case), threshold)
    assert {name: report[name] for name in wanted} == wanted
    assert set(report) - set(wanted) == {"missing", "predicted_exact", "predicted_f1", "predicted_total"}


@given(case=CASES, measure=some.sampled_from([exact, f1]))
def test_a_tuned_threshold_gives_what_it_promises_and_no_other_gives_more(case, measure):
    asked, predictions, odds = laid_out(case)
    tuned = tune_threshold(asked, predictions, odds, measure)
    value = lambda threshold: getattr(score(asked, predictions, odds, threshold).all, measure.__name__)
    assert value(tuned.threshold) == pytest.approx(tuned.value, abs=1e-9)
    thresholds = [-math.inf, *sorted(odds.values())]
    assert tuned.value == pytest.approx(max(map(value, thresholds)), abs=1e-9)
    below = [value(threshold) for threshold in thresholds if threshold < tuned.threshold]
    assert all(other < tuned.value - 1e-9 for other in below)


def test_questions_of_equal_odds_are_answered_together():
    asked = [question("a", "cat"), question("b", "dog"), question("c")]
    given, odds = {"a": "cat", "b": "ox", "c": "ox"}, dict.fromkeys("abc", 0.5)
    assert score(asked, given, odds).best == Best(200 / 3, 0.5, 200 / 3, 0.5)
    tuned = tune_threshold(asked, given, odds)
    assert (tuned.threshold, tuned.value) == (-math.inf, pytest.approx(100 / 3))


def made_up(questions):
    """Predictions of many kinds: none, right, half right, of no words, and any words of the context; and odds."""
    chance = random.Random(14).random
    predictions, odds = {}, {}
    for one in questions:
        kind, words = chance(), one.context.split()
        begin, size = int(chance() * len(words)), 1 + int(chance() * 6)
        if kind < 0.25:
            text = ""
        elif kind < 0.6 and one.answers:
            text = one.answers[int(chance() * len(one.answers))].text
        elif kind < 0.8 and one.answers:
            text = one.answers[0].text + " " + words[begin]
        elif kind < 0.85:
            text = "The"
        else:
            text = " ".join(words[begin : begin + size])
        predictions[one.id] = text
        odds[one.id] = round(chance() - 0.3 * bool(one.answers), 2)
    return predictions, odds


# What the script's functions, as Transformers 4.44.2 carries them, say of these predictions.
PLAIN = {
    "exact": 57.68967874231032,
    "f1": 65.74361568249377,
    "total": 1463,
    "HasAns_exact": 34.43037974683544,
    "HasAns_f1": 49.3454553715045,
    "HasAns_total": 790,
    "NoAns_exact": 84.9925705794948,
    "NoAns_f1": 84.9925705794948,
    "NoAns_total": 673,
}
WITH_THRESHOLD = {
    "exact": 55.912508544087494,
    "f1": 60.8807118135186,
    "total": 1463,
    "HasAns_exact": 20.253164556962027,
    "HasAns_f1": 29.453773902756705,
    "HasAns_total": 790,
    "NoAns_exact": 97.77117384843982,
    "NoAns_f1": 97.77117384843982,
    "NoAns_total": 673,
    "best_exact": 52.358168147641834,
    "best_exact_thresh": 0.0,
    "best_f1": 55.353700036503234,
    "best_f1_thresh": 0.01,
}


@pytest.mark.data
def test_scores_of_real_questions_are_those_of_the_script_to_the_last_digit(data):
    questions = read_squad(data / "squad" / "dev-part.json")
    predictions, odds = made_up(questions)
    report = score(questions, predictions).as_dict()
    assert {name: report[name] for name in PLAIN} == PLAIN
    report = score(questions, predictions, odds, 0.25).as_dict()
    assert {name: report[name] for name in WITH_THRESHOLD} == WITH_THRESHOLD


@pytest.mark.data
def test_an_answer_scores_in_full_and_nothing_scores_where_there_is_none(data):
    questions = read_squad(data / "squad" / "dev-part.json")
    scores = score(questions, {one.id: one.answers[0].text if one.answers else "" for one in questions})
    assert scores.all == Figures(100.0, 100.0, 1463)
    scores = score(questions, {one.id: "" for one in questions})
    assert (scores.with_answer, scores.without_answer) == (Figures(0.0, 0.0, 790), Figures(100.0, 100.0, 673))


@pytest.mark.data
def test_a_threshold_is_tuned_on_one_part_and_applied_to_another(data):
    questions = read_squad(data / "squad" / "dev-part.json")
    predictions, odds = made_up(questions)
    random.Random(0).shuffle(questions)
    one, other = questions[:700], questions[700:]
    tuned = tune_threshold(one, predictions, odds)
    applied = score(other, predictions, odds, tuned.threshold).all.f1
    assert applied <= tune_threshold(other, predictions, odds).value + 1e-9  # rounding of sums
    assert applied > score(other, predictions, odds, 0.25).all.f1

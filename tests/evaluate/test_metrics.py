"""Metrics of classes, numbers and tags, against cases worked by hand, plain formulas and other implementations."""

import json
import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from regard.evaluate.agreement import confusion
from regard.evaluate.entities import Entity, entities, entity_scores
from regard.evaluate.metrics import OF_CLASSES, OF_NUMBERS, measure_classes, measure_numbers

LABELS = ("a", "b", "c")
# Of "a" 2 of 3 are found, of "b" 1 of 2, of "c" 1 of 1; "a" is predicted twice, "b" twice, "c" twice.
TRUE = ["a", "a", "a", "b", "b", "c"]
GUESS = ["a", "a", "b", "b", "c", "c"]
pairs_of_classes = some.lists(some.tuples(some.sampled_from(LABELS), some.sampled_from(LABELS)), min_size=1)
pairs_of_numbers = some.lists(some.tuples(*[some.floats(-100, 100).map(lambda x: round(x, 3))] * 2), min_size=2)


def of_classes(name, predictions, golds, labels=LABELS, positive="a"):
    """One metric of classes."""
    return measure_classes([name], predictions, golds, labels=labels, positive=positive)[name]


class TestClasses:
    """Metrics of predicted classes."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("accuracy", 4 / 6),
            ("f1", 2 * 2 / (2 + 3)),
            ("macro_f1", (4 / 5 + 2 / 4 + 2 / 3) / 3),
            ("weighted_f1", (3 * 4 / 5 + 2 * 2 / 4 + 1 * 2 / 3) / 6),
            # (c s - sum p t) / sqrt((s^2 - sum p^2) (s^2 - sum t^2)) with c = 4, s = 6, p = 2, 2, 2, t = 3, 2, 1
            ("matthews", (4 * 6 - 12) / math.sqrt((36 - 12) * (36 - 14))),
        ],
    )
    def test_a_case_worked_by_hand(self, name, value):
        assert of_classes(name, GUESS, TRUE) == pytest.approx(value, abs=1e-12)  # rounding of float64

    def test_matthews_of_two_classes_is_the_formula_of_the_four_counts(self):
        golds = ["1"] * 6 + ["0"] * 4
        guesses = ["1"] * 5 + ["0"] + ["1"] * 2 + ["0"] * 2
        right, missed, wrong, rejected = 5, 1, 2, 2
        bottom = math.sqrt((right + wrong) * (right + missed) * (rejected + wrong) * (rejected + missed))
        expected = (right * rejected - wrong * missed) / bottom
        assert of_classes("matthews", guesses, golds, ("0", "1"), "1") == pytest.approx(expected, abs=1e-12)

    @given(pairs_of_classes)
    def test_each_metric_is_its_definition(self, pairs):
        guesses, golds = map(list, zip(*pairs, strict=True))
        measured = measure_classes(OF_CLASSES, guesses, golds, labels=LABELS, positive="a")

        def f1(label):
            right = sum(guess == gold == label for guess, gold in pairs)
            return 2 * right / (guesses.count(label) + golds.count(label))

        occurring = set(guesses) | set(golds)
        assert measured["accuracy"] == pytest.approx(sum(guess == gold for guess, gold in pairs) / len(pairs))
        assert measured["f1"] == pytest.approx(f1("a") if "a" in occurring else 0)
        assert measured["macro_f1"] == pytest.approx(np.mean([f1(label) for label in sorted(occurring)]))
        assert measured["weighted_f1"] == pytest.approx(np.mean([f1(gold) for gold in golds]))

    @given(pairs_of_classes)
    def test_matthews_is_the_correlation_of_indicators(self, pairs):
        guesses, golds = map(list, zip(*pairs, strict=True))
        x, y = (np.array([[each == label for label in LABELS] for each in side], float) for side in (guesses, golds))
        x, y = x - x.mean(0), y - y.mean(0)
        bottom = math.sqrt((x * x).sum() * (y * y).sum())
        expected = (x * y).sum() / bottom if bottom else 0
        assert of_classes("matthews", guesses, golds) == pytest.approx(expected, abs=1e-9)  # sums of squares cancel

    @given(pairs_of_classes, some.permutations(LABELS))
    def test_names_of_classes_and_order_of_examples_do_not_matter(self, pairs, renamed):
        name = dict(zip(LABELS, renamed, strict=True))
        guesses, golds = map(list, zip(*pairs, strict=True))
        other_guesses, other_golds = ([name[each] for each in reversed(side)] for side in (guesses, golds))
        before = measure_classes(OF_CLASSES, guesses, golds, labels=LABELS, positive="a")
        after = measure_classes(OF_CLASSES, other_guesses, other_golds, labels=LABELS, positive=name["a"])
        for metric in OF_CLASSES:
            assert before[metric] == pytest.approx(after[metric], abs=1e-12)

    @pytest.mark.parametrize(
        ("guesses", "golds", "who"),
        [
            ("aaa", "aba", "predictions are"),
            ("aba", "bbb", "truths are"),
            ("aaa", "aaa", "predictions and truths are"),
        ],
    )
    def test_matthews_of_one_class_is_0_with_a_note(self, guesses, golds, who):
        (measure,) = measure_classes(["matthews"], list(guesses), list(golds), labels=LABELS).measures
        assert (measure.value, measure.note) == (0, f"not defined: {who} of one class")

    def test_f1_of_a_class_which_does_not_occur_is_0_with_a_note(self):
        (measure,) = measure_classes(["f1"], ["a"], ["b"], labels=LABELS, positive="c").measures
        assert measure.value == 0
        assert "'c' is neither true nor predicted" in measure.note

    def test_f1_of_a_class_which_is_never_right_is_0_and_defined(self):
        (measure,) = measure_classes(["f1"], ["a"], ["b"], labels=LABELS, positive="b").measures
        assert (measure.value, measure.note) == (0, "")

    @pytest.mark.parametrize(
        ("guesses", "golds", "message"),
        [
            (["a", "x"], ["a", "a"], "number 2 of the predictions must be one of a, b, c, got 'x'"),
            (["a", "a"], ["y", "a"], "number 1 of the truths must be one of a, b, c, got 'y'"),
            ([0, 1], ["a", "a"], "number 1 of the predictions must be one of a, b, c, got 0"),
            (["a"], [None], "number 1 of the truths must be one of a, b, c, got None"),
            (["a"], ["a", "a"], "one prediction a truth, got 1 for 2"),
            ([], [], "nothing to measure"),
        ],
    )
    def test_what_cannot_be_measured_is_an_error(self, guesses, golds, message):
        with pytest.raises(ValueError, match=message):
            measure_classes(["accuracy"], guesses, golds, labels=LABELS)
        with pytest.raises(ValueError, match=message):
            confusion(guesses, golds, LABELS)

    def test_f1_needs_its_positive_class(self):
        with pytest.raises(ValueError, match="positive class of f1 must be one of a, b, c, got ''"):
            measure_classes(["f1"], GUESS, TRUE, labels=LABELS)

    @pytest.mark.parametrize("name", ["pearson", "accurate"])
    def test_the_name_of_another_metric_is_an_error(self, name):
        with pytest.raises(ValueError, match=f"metric of classes must be one of accuracy.*got '{name}'"):
            measure_classes([name], GUESS, TRUE, labels=LABELS)

    def test_a_label_given_twice_is_an_error(self):
        with pytest.raises(ValueError, match="each label must be given once"):
            confusion(["a"], ["a"], ["a", "a"])


class TestNumbers:
    """Metrics of predicted numbers."""

    @pytest.mark.parametrize(
        ("name", "golds", "value"),
        [
            ("pearson", [1, 3, 3, 4, 4], (4 + 0 + 0 + 1 + 2) / math.sqrt(10 * 6)),  # less their mean -2 0 0 1 1
            ("spearman", [10, 20, 20, 90, 90], (4 + 0.5 + 0 + 1.5 + 3) / math.sqrt(10 * 9)),  # ranks 1 2.5 2.5 4.5 4.5
            ("mean_squared_error", [1, 1, 5, 3, 7], (0 + 1 + 4 + 1 + 4) / 5),
            ("mean_absolute_error", [1, 1, 5, 3, 7], (0 + 1 + 2 + 1 + 2) / 5),
        ],
    )
    def test_a_case_worked_by_hand(self, name, golds, value):
        assert measure_numbers([name], [1, 2, 3, 4, 5], golds)[name] == pytest.approx(value, abs=1e-12)

    @given(pairs_of_numbers)
    def test_each_metric_is_its_definition(self, pairs):
        guesses, golds = map(list, zip(*pairs, strict=True))
        assume(np.std(guesses) > 0.01)
        assume(np.std(golds) > 0.01)
        measured = measure_numbers(OF_NUMBERS, guesses, golds)

        def ranks(values):  # the mean place of equal values
            return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]

        def correlation(first, second):
            x, y = np.array(first) - np.mean(first), np.array(second) - np.mean(second)
            return (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())

        errors = np.array(guesses) - np.array(golds)
        assert measured["pearson"] == pytest.approx(correlation(guesses, golds), abs=1e-9)
        assert measured["spearman"] == pytest.approx(correlation(ranks(guesses), ranks(golds)), abs=1e-9)
        assert measured["mean_squared_error"] == pytest.approx((errors**2).mean())
        assert measured["mean_absolute_error"] == pytest.approx(abs(errors).mean())

    def test_a_correlation_does_not_change_with_scale_and_place(self):
        guesses, golds = [0.1, 0.9, 0.4, 0.3], [1, 5, 2, 2]
        names = ["pearson", "spearman"]
        before = measure_numbers(names, guesses, golds)
        after = measure_numbers(names, [5 * guess - 1 for guess in guesses], golds)
        assert all(before[name] == pytest.approx(after[name], abs=1e-12) for name in names)

    @pytest.mark.parametrize("name", ["pearson", "spearman"])
    @pytest.mark.parametrize(
        ("guesses", "golds", "who"),
        [([2, 2], [1, 3], "predictions are"), ([1, 3], [2, 2], "truths are"), ([1], [2], "predictions and truths are")],
    )
    def test_a_correlation_with_a_constant_is_0_with_a_note(self, name, guesses, golds, who):
        (measure,) = measure_numbers([name], guesses, golds).measures
        assert (measure.value, measure.note) == (0, f"not defined: {who} all the same")

    @pytest.mark.parametrize("value", [math.nan, math.inf, None, "4.5"])
    def test_what_is_no_finite_number_is_an_error(self, value):
        with pytest.raises(ValueError, match="number 2 of the predictions must be a finite number"):
            measure_numbers(["pearson"], [1, value], [1, 2])
        with pytest.raises(ValueError, match="number 1 of the truths must be a finite number"):
            measure_numbers(["pearson"], [1, 2], [value, 1])

    def test_numbers_of_numpy_are_taken(self):
        measured = measure_numbers(["mean_absolute_error"], list(np.array([1, 2], np.float32)), [1.5, 2.5])
        assert json.loads(measured.as_json())["mean_absolute_error"] == 0.5


class TestReports:
    """Tables and plain types."""

    def test_a_table_shows_values_and_notes_in_aligned_columns(self):
        lines = str(measure_classes(["accuracy", "matthews"], ["a", "a"], ["a", "b"], labels=LABELS)).split("\n")
        assert lines == [
            "examples       2",
            "accuracy  0.5000",
            "matthews  0.0000  not defined: predictions are of one class",
        ]

    def test_the_dictionary_holds_values_and_notes(self):
        measured = measure_numbers(["pearson", "mean_absolute_error"], [2, 2], [1, 3])
        assert measured.as_dict() == {
            "examples": 2,
            "pearson": 0.0,
            "mean_absolute_error": 1.0,
            "notes": {"pearson": "not defined: predictions are all the same"},
        }
        assert json.loads(measured.as_json()) == measured.as_dict()

    def test_a_metric_which_was_not_measured_is_an_error(self):
        with pytest.raises(ValueError, match="metric must be one of accuracy, got 'f1'"):
            measure_classes(["accuracy"], GUESS, TRUE, labels=LABELS)["f1"]

    def test_importing_metrics_does_not_import_the_libraries(self):
        code = "import sys, regard.evaluate.glue; print([n for n in ('sklearn', 'scipy') if n in sys.modules])"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]"


class TestConfusion:
    """Which classes were taken for which."""

    def test_a_case_worked_by_hand(self):
        report = confusion(GUESS, TRUE, LABELS)
        assert report.counts == ((2, 1, 0), (0, 1, 1), (0, 0, 1))
        assert [(each.precision, each.recall, each.true) for each in report.classes] == [
            (1, 2 / 3, 3),
            (1 / 2, 1 / 2, 2),
            (1 / 2, 1, 1),
        ]
        assert report.accuracy == 4 / 6

    def test_a_class_which_does_not_occur_has_a_row_of_zeros(self):
        report = confusion(["a"], ["a"], LABELS)
        assert report.counts == ((1, 0, 0), (0, 0, 0), (0, 0, 0))
        assert (report.classes[1].precision, report.classes[1].recall, report.classes[1].f1) == (0, 0, 0)

    @given(pairs_of_classes)
    def test_it_agrees_with_scikit_learn(self, pairs):
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        guesses, golds = map(list, zip(*pairs, strict=True))
        report = confusion(guesses, golds, LABELS)
        assert np.array_equal(report.counts, confusion_matrix(golds, guesses, labels=LABELS))
        options = {"labels": LABELS, "zero_division": 0}
        expected = precision_recall_fscore_support(golds, guesses, **options)
        mine = zip(*((each.precision, each.recall, each.f1, each.true) for each in report.classes), strict=True)
        for ours, theirs in zip(mine, expected, strict=True):
            assert list(ours) == pytest.approx(list(theirs))  # pyright: ignore[reportArgumentType]

    def test_it_prints_as_aligned_tables(self):
        assert str(confusion(GUESS, TRUE, LABELS)).split("\n") == [
            "true \\ predicted  a  b  c",
            "a                 2  1  0",
            "b                 0  1  1",
            "c                 0  0  1",
            "",
            "class  precision  recall     F1  predicted  true",
            "a         100.00   66.67  80.00          2     3",
            "b          50.00   50.00  50.00          2     2",
            "c          50.00  100.00  66.67          2     1",
            "",
            "accuracy 66.67 per cent of 6",
        ]

    def test_the_dictionary_holds_the_counts(self):
        report = json.loads(confusion(GUESS, TRUE, LABELS).as_json())
        assert report["counts"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
        assert report["classes"]["a"] == {
            "precision": 1,
            "recall": 2 / 3,
            "f1": 4 / 5,
            "correct": 2,
            "predicted": 2,
            "true": 3,
        }


def tags_of(spans, length, scheme):
    """The tags of entities (type, first, last) which are in order and do not overlap."""
    tags = ["O"] * length
    before = None
    for type, first, last in spans:
        touches = before is not None and before == (type, first - 1)
        for place in range(first, last + 1):
            begins = place == first
            if scheme == "IOB1":
                prefix = "B" if begins and touches else "I"
            elif scheme == "IOB2":
                prefix = "B" if begins else "I"
            elif first == last:
                prefix = "S"
            else:
                prefix = "B" if begins else "E" if place == last else "I"
            tags[place] = f"{prefix}-{type}"
        before = (type, last)
    return tags


@some.composite
def sentences(draw):
    """Entities which are in order and do not overlap, and the length of their sentence."""
    place, spans = 0, []
    for gap, length, type in draw(
        some.lists(some.tuples(some.integers(0, 2), some.integers(1, 3), some.sampled_from(["PER", "LOC"])), max_size=6)
    ):
        spans.append(Entity(type, place + gap, place + gap + length - 1))
        place += gap + length
    return spans, place + draw(some.integers(0, 2))


any_tags = some.lists(
    some.one_of(some.just("O"), some.tuples(some.sampled_from("BIES"), some.sampled_from("XY")).map("-".join)),
    min_size=1,
    max_size=8,
)


class TestEntities:
    """Entities of tags, and how well they were found."""

    @given(sentences(), some.sampled_from(["IOB1", "IOB2", "IOBES"]))
    def test_tags_of_every_scheme_give_the_entities_they_were_made_of(self, sentence, scheme):
        spans, length = sentence
        assert entities(tags_of(spans, length, scheme)) == spans

    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ("O I-X I-X O", [("X", 1, 2)]),  # IOB1 opens with I
            ("I-X I-Y", [("X", 0, 0), ("Y", 1, 1)]),  # another type is another entity
            ("B-X I-Y", [("X", 0, 0), ("Y", 1, 1)]),
            ("I-X B-X", [("X", 0, 0), ("X", 1, 1)]),
            ("E-X E-X", [("X", 0, 0), ("X", 1, 1)]),
            ("E-X I-X", [("X", 0, 0), ("X", 1, 1)]),
            ("S-X I-X", [("X", 0, 0), ("X", 1, 1)]),
            ("B-X S-X E-X", [("X", 0, 0), ("X", 1, 1), ("X", 2, 2)]),
            ("B-X B-X I-X", [("X", 0, 0), ("X", 1, 2)]),
            ("I-X E-X", [("X", 0, 1)]),
            ("B-X O I-X", [("X", 0, 0), ("X", 2, 2)]),
            ("B-geo-loc I-geo-loc", [("geo-loc", 0, 1)]),  # only the first dash parts
            ("O O", []),
            ("", []),
        ],
    )
    def test_broken_tags_are_read_as_in_the_shared_task(self, tags, expected):
        assert entities(tags.split()) == expected

    @given(some.lists(some.tuples(any_tags, any_tags), min_size=1, max_size=4))
    def test_scores_agree_with_seqeval(self, pairs):
        seqeval = pytest.importorskip("seqeval.metrics")
        pairs = [(guess[: len(gold)], gold[: len(guess)]) for guess, gold in pairs]
        guesses, golds = map(list, zip(*pairs, strict=True))
        scores = entity_scores(guesses, golds)
        ours = scores.all.precision, scores.all.recall, scores.all.f1
        theirs = [
            getattr(seqeval, f"{name}_score")(golds, guesses, zero_division=0) for name in ("precision", "recall", "f1")
        ]
        assert ours == pytest.approx(theirs, abs=1e-12)
        assert scores.accuracy == pytest.approx(seqeval.accuracy_score(golds, guesses))

    def test_every_pair_of_tags_is_read_as_seqeval_reads_it(self):
        labelling = pytest.importorskip("seqeval.metrics.sequence_labeling")
        tags = ["O", *(f"{prefix}-{type}" for prefix, type in product("BIES", "XY"))]
        for three in product(tags, repeat=3):
            assert entities(three) == labelling.get_entities(list(three)), three

    def test_a_case_worked_by_hand(self):
        golds = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"], ["O", "B-PER"]]
        guesses = [["B-PER", "I-PER", "O", "B-ORG"], ["B-ORG", "I-ORG"], ["O", "B-PER"]]
        # True are PER 0-1, LOC 3, ORG 0, PER 1; predicted PER 0-1, ORG 3, ORG 0-1, PER 1; right are both of PER.
        scores = entity_scores(guesses, golds)
        assert (scores.all.correct, scores.all.predicted, scores.all.true) == (2, 4, 4)
        assert scores.all.f1 == 2 / 4
        assert scores.accuracy == 6 / 8
        assert [(row.name, row.correct, row.predicted, row.true) for row in scores.types] == [
            ("LOC", 0, 0, 1),
            ("ORG", 0, 2, 1),
            ("PER", 2, 2, 2),
        ]

    def test_the_schemes_of_the_two_sides_need_not_be_the_same(self):
        assert entity_scores([["S-X", "O", "B-Y", "E-Y"]], [["I-X", "O", "I-Y", "I-Y"]]).all.f1 == 1

    def test_no_entity_on_either_side_scores_0(self):
        scores = entity_scores([["O", "O"]], [["O", "O"]])
        assert (scores.all.f1, scores.accuracy, scores.types) == (0, 1, ())

    def test_it_prints_as_an_aligned_table_and_gives_a_dictionary(self):
        scores = entity_scores([["B-PER", "O"]], [["B-PER", "B-LOC"]])
        assert str(scores).split("\n") == [
            "type  precision  recall      F1  predicted  true",
            "LOC        0.00    0.00    0.00          0     1",
            "PER      100.00  100.00  100.00          1     1",
            "all      100.00   50.00   66.67          1     2",
            "",
            "accuracy of tags 50.00 per cent of 2",
        ]
        report = json.loads(scores.as_json())
        assert (report["f1"], report["recall"], report["types"]["PER"]["f1"]) == (2 / 3, 1 / 2, 1)

    @pytest.mark.parametrize("tag", ["PER", "X-PER", "B", "B-", "-PER", "", "b-PER"])
    def test_what_is_no_tag_is_an_error_with_its_place(self, tag):
        with pytest.raises(ValueError, match=f"sentence 2: tag 1 must be O, or B-.*got '{tag}'"):
            entity_scores([["O"], [tag]], [["O"], ["O"]])

    def test_sentences_which_do_not_pair_up_are_an_error(self):
        with pytest.raises(ValueError, match="sentence 1: there must be one predicted tag a word, got 1 for 2"):
            entity_scores([["O"]], [["O", "O"]])
        with pytest.raises(ValueError, match="one prediction a truth, got 1 for 2"):
            entity_scores([["O"]], [["O"], ["O"]])
        with pytest.raises(ValueError, match="have no words"):
            entity_scores([[]], [[]])

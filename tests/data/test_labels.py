"""Which task labels make."""

import pytest
from labelled_texts import labelled

from regard.data.examples import Choices, TaggedWords
from regard.data.labels import class_name, listed, number_of, task_of, with_labels
from regard.data.rows import SkippedExamples
from regard.data.table import Table

NUMBERED = [str(number) for number in range(30)]  # as classes are numbered


class TestTask:
    """Which task it is."""

    @pytest.mark.parametrize(
        ("labels", "said", "names"),
        [
            (["0", "1", "1"], "label has 2 values, 0 and 1: classification", ("0", "1")),
            (["b", "a", "b"], "label has 2 values, a and b: classification", ("a", "b")),
            (["10", "9", "2"], "label has 3 values, 2, 9 and 10: classification", ("2", "9", "10")),
            (["x", "10", "9"], "label has 3 values, 10, 9 and x: classification", ("10", "9", "x")),
            (["true", "false"], "label has 2 values, false and true: classification", ("false", "true")),
            ([1.0, 0.0, 2.0], "label has 3 values, 0, 1 and 2: classification", ("0", "1", "2")),
            (["-1", "0", "1"], "label has 3 values, -1, 0 and 1: classification", ("-1", "0", "1")),
            (["0.5", "1"], "label has numbers from 0.5 to 1 which are not all whole, such as 0.5: regression", ()),
            ([0.25, 5.0], "label has numbers from 0.25 to 5 which are not all whole, such as 0.25: regression", ()),
            ([str(n * 7) for n in range(21)] * 50, "label has 21 whole numbers from 0 to 140: regression", ()),
            (NUMBERED * 9, "label has 30 whole numbers from 0 to 29: regression", ()),
        ],
    )
    def test_the_task_of_labels_and_why(self, labels, said, names):
        found = task_of(labelled(*labels))
        assert str(found) == said
        assert found.labels == names

    @pytest.mark.parametrize("first", [0, 1])
    def test_many_whole_numbers_without_a_gap_which_come_often_are_classes(self, first):
        labels = [str(number + first) for number in range(77)] * 10
        assert task_of(labelled(*labels)).task == "classification"
        assert task_of(labelled(*labels[:-1])).task == "regression"
        with_a_gap = ["99" if label == "40" else label for label in labels]
        assert task_of(labelled(*with_a_gap)).task == "regression"

    def test_a_task_which_is_said_is_taken(self):
        assert str(task_of(labelled("1", "2", "5"), "regression")) == (
            "label has 3 whole numbers from 1 to 5, as task='regression' says: regression"
        )
        assert str(task_of(labelled("0.5", "1"), "classification")) == (
            "label has 2 values, 0.5 and 1, as task='classification' says: classification"
        )
        with pytest.raises(ValueError, match=r"a\.csv:3: label 'x' is no number, which is to be learnt"):
            task_of(labelled("1", "x"), "regression")
        with pytest.raises(ValueError, match=r"task must be one of .*, got 'clasification'; did you mean"):
            task_of(labelled("1", "x"), "clasification")
        with pytest.raises(ValueError, match=r"a\.csv:2: tagging needs words with tags, got texts or pairs"):
            task_of(labelled("1", "x"), "tagging")

    @pytest.mark.parametrize(
        ("labels", "classes"),
        [
            (["1", 1.0, "1.0", "1.00", "2"], ("1", "2")),
            (["007", "7", "7.0"], ("007", "7")),
            (["1.10", "1.1", "x"], ("1.1", "1.10", "x")),
            (["v1.0", "1.0"], ("1", "v1.0")),
            (["10.0", "0.0"], ("0", "10")),
        ],
    )
    def test_a_whole_number_is_one_class_however_it_is_written(self, labels, classes):
        found = task_of(labelled(*labels), "classification")
        assert found.labels == classes
        assert {example.label for example in found.settled(labelled(*labels))} == set(classes)

    def test_text_which_says_nan_among_numbers_is_no_label(self):
        with pytest.raises(ValueError, match=r"a\.csv:3: label 'nan' stands for no number"):
            task_of(labelled("1", "nan", "0"))
        skipped = SkippedExamples()
        left = with_labels(labelled("1.5", "nan", "0", "NaN"), skipped=skipped)
        assert [example.label for example in left] == ["1.5", "0"]
        assert skipped == {"without a label": 2}
        assert task_of(left).task == "regression"
        assert task_of(labelled("nan", "yue", "wuu")).labels == ("nan", "wuu", "yue")  # languages
        assert task_of(labelled("nan", "x", "1")).labels == ("1", "nan", "x")

    def test_regression_passes_over_what_is_no_number_where_that_is_asked_for(self):
        skipped = SkippedExamples()
        left = with_labels(labelled("1.5", "nan", "high", "2"), "regression", skipped)
        assert [example.label for example in left] == ["1.5", "2"]
        assert skipped == {"without a label": 1, "with a label which is no number": 1}

    def test_words_with_tags_are_tagging(self):
        found = task_of([TaggedWords(("a", "b"), ("O", "B-X")), TaggedWords(("c",), ("O",))])
        assert str(found) == "the words have 2 tags, B-X and O: tagging"
        assert found.counts == (1, 2)

    def test_texts_with_options_are_choice(self):
        two, three = Choices("a", ("b", "c"), 0), Choices("a", ("b", "c", "d"), 0)
        assert str(task_of([two, two])) == "every text has 2 options: choice"
        assert str(task_of([two, three])) == "every text has 2 to 3 options: choice"

    @pytest.mark.parametrize(
        ("examples", "message"),
        [
            ([], "there are no examples"),
            (labelled("a", "a"), "each of 2 examples has the label 'a'; there is nothing to learn"),
            (labelled("1", "1.0"), "each of 2 examples has the label '1'"),
            ([TaggedWords(("a", "b"), ("O", "O"))], "has the label 'O'"),
            (labelled("a", None), r"a\.csv:3: this has no label"),
            ([Choices("a", ("b", "c"), None, "x:1")], "x:1: this has no label"),
            ([TaggedWords(("a",), None, "x:1")], "x:1: this has no label"),
            (
                [*labelled("a"), TaggedWords(("a",), ("O",), "x:1")],
                "x:1: classification needs texts or pairs, got words with tags",
            ),
            (labelled(*(f"text {n}" for n in range(40))), r"40 values in 40 examples, such as 'text 0' \(a\.csv:2\)"),
        ],
    )
    def test_what_nothing_can_be_learnt_from_is_an_error(self, examples, message):
        with pytest.raises(ValueError, match=message):
            task_of(examples)

    def test_equal_numbers_written_otherwise_are_constant_too(self):
        with pytest.raises(ValueError, match=r"each of 2 examples has the number 0\.5"):
            task_of(labelled("0.5", "0.50"), "regression")

    def test_classes_of_many_names_may_be_meant(self):
        assert len(task_of(labelled(*map(str, "abcdefghijklmnopqrstuvwxyz")), "classification").labels) == 26

    def test_the_order_of_examples_decides_nothing(self):
        labels = ["b", "a", "10", "9", "b"]
        assert task_of(labelled(*labels)) == task_of(labelled(*reversed(labels)))

    @pytest.mark.parametrize(
        ("text", "number"),
        [("1", 1.0), ("-.5", -0.5), ("1e3", 1000.0), ("+2.", 2.0), (3.5, 3.5)]
        + [(text, None) for text in ("", "1_000", "nan", "inf", "1e999", "1,5", "٣", "1 2", "0x1", ".", "-")],
    )
    def test_what_is_a_number(self, text, number):
        assert number_of(text) == number

    def test_what_numbers_are_called(self):
        assert [class_name(label) for label in (1.0, 0.5, -0.0, 1e20, True)] == [
            *("1", "0.5", "0", "100000000000000000000", "true")
        ]

    def test_names_are_listed_as_in_a_sentence(self):
        assert listed(["a"]) == "a"
        assert listed(["a", "b", "c"]) == "a, b and c"
        assert listed([str(n) for n in range(77)]) == "0, 1, 2, 3, 4 and 72 more"


class TestSettled:
    """Labels as the task has them."""

    def test_numbers_become_numbers(self):
        found = task_of(labelled("0.5", 2.0))
        assert [example.label for example in found.settled(labelled("1", 3.0, None))] == [1.0, 3.0, None]
        with pytest.raises(ValueError, match=r"a\.csv:2: label 'x' is no number"):
            found.settled(labelled("x"))

    def test_a_class_which_training_has_not_is_named_or_counted(self):
        found, other = task_of(labelled("right", "wrong")), labelled("right", "Right", "maybe", "Right")
        with pytest.raises(
            ValueError, match=r"a\.csv:3: label 'Right' is none of .* right and wrong; did you mean 'right'"
        ):
            found.settled(other)
        skipped = SkippedExamples()
        assert [example.label for example in found.settled(other, skipped)] == ["right"]
        assert skipped == {"with a label which is not learnt": 3}
        assert found.unseen(other) == {"Right": 2, "maybe": 1}
        assert found.unseen(labelled("right", None)) == {}

    @pytest.mark.parametrize("pair", [("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
    def test_true_and_false_mean_the_same_in_every_writing(self, pair):
        found, other = task_of(labelled(*pair)), labelled("true", "False", "TRUE", "tRue")
        assert set(found.labels) == set(pair)
        skipped = SkippedExamples()
        assert [example.label for example in found.settled(other, skipped)] == [pair[0], pair[1], pair[0]]
        assert found.unseen(other) == {"tRue": 1}

    def test_where_two_writings_of_true_are_two_classes_each_is_its_own(self):
        found = task_of(labelled("true", "True", "no"))
        assert found.labels == ("True", "no", "true")
        assert [example.label for example in found.settled(labelled("true", "True"))] == ["true", "True"]
        with pytest.raises(ValueError, match="label 'TRUE' is none of"):
            found.settled(labelled("TRUE"))

    @pytest.mark.parametrize("learnt", [("0.5", "2"), ("0", "1")])
    def test_text_which_says_nan_is_no_label_among_numbers(self, learnt):
        found, other = task_of(labelled(*learnt)), labelled("NaN", learnt[0], "nan")
        with pytest.raises(ValueError, match=r"a\.csv:2: label 'NaN' stands for no number"):
            found.settled(other)
        skipped = SkippedExamples()
        assert len(found.settled(other, skipped)) == 1
        assert skipped == {"without a label": 2}
        assert found.unseen(other) == {}

    def test_a_tag_which_training_has_not_is_named(self):
        found = task_of([TaggedWords(("a", "b"), ("O", "B-X"))])
        other = [TaggedWords(("a", "b"), ("O", "B-Y"), "x:1"), TaggedWords(("a",), None)]
        assert found.settled(other[1:]) == other[1:]
        with pytest.raises(ValueError, match="x:1: label 'B-Y' is none of those which are learnt, B-X and O"):
            found.settled(other)
        assert found.unseen(other) == {"B-Y": 1}

    def test_examples_of_another_kind_are_refused(self):
        with pytest.raises(ValueError, match="classification needs texts or pairs, got texts with options"):
            task_of(labelled("a", "b")).settled([Choices("a", ("b", "c"), 0)])

    def test_balance_says_how_classes_are_shared_out(self):
        found = task_of(labelled(*["a"] * 12, "b", "b", "b", "c"))
        assert found.counts == (12, 3, 1)
        assert found.balance() == "the most frequent class, a, has 75.0% of 16; fewer than 10 has b (3) and c (1)"
        assert found.balance(few=1) == "the most frequent class, a, has 75.0% of 16"
        with pytest.raises(ValueError, match="the labels of regression are no classes"):
            task_of(labelled("0.5", "1")).balance()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "task", "labels"),
    [
        ("SST-2/dev.tsv", "classification", ("0", "1")),
        ("RTE/train.tsv", "classification", ("entailment", "not_entailment")),
        ("STS-B/dev.tsv", "regression", ()),
    ],
)
def test_tasks_of_glue_are_known(data, name, task, labels):
    examples = list(Table(str(data / "glue" / name)).read())
    found = task_of(examples)
    assert (found.task, found.labels) == (task, labels)

"""GLUE's scores against those which papers print, their spread over seeds, and the submission."""

import json
import math
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from regard.data.examples import Example
from regard.data.glue import read_glue
from regard.evaluate.glue import SHEETS, GlueScores, Spread, over_seeds, score_sheet
from regard.evaluate.glue_files import write_submission
from regard.evaluate.metrics import Measure, Measures

FILES = ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "RTE", "WNLI", "AX"]
COUNTS = [1063, 1821, 1725, 1379, 390_965, 9796, 9847, 5463, 3000, 146, 1104]
# Table 1 of BERT's paper, and the average which it prints: of MNLI both, QQP F1, QNLI, SST-2, CoLA, STS-B Spearman,
# MRPC F1, RTE.
BERT_TABLE = {
    "OpenAI GPT": ((82.1, 81.4, 70.3, 87.4, 91.3, 45.4, 80.0, 82.3, 56.0), 75.1),
    "BERT base": ((84.6, 83.4, 71.2, 90.5, 93.5, 52.1, 85.8, 88.9, 66.4), 79.6),
    "BERT large": ((86.7, 85.9, 72.1, 92.7, 94.9, 60.5, 86.5, 89.3, 70.1), 82.1),
}


def examples(labels):
    """Pairs with these labels."""
    return [Example(("one", "other"), label, f"dev.tsv:{number}") for number, label in enumerate(labels, 2)]


def measures(name, *values):
    """Measures of a sheet with these values."""
    metrics = SHEETS[name].task.metrics
    return Measures(10, tuple(Measure(metric, value) for metric, value in zip(metrics, values, strict=True)))


def scores_of_table(row, wnli=None):
    """A row of BERT's table; the metrics which it does not print are 0."""
    mnli, mismatched, qqp, qnli, sst, cola, sts, mrpc, rte = (value / 100 for value in row)
    sheets = {
        "MNLI-m": measures("MNLI-m", mnli),
        "MNLI-mm": measures("MNLI-mm", mismatched),
        "QQP": measures("QQP", qqp, 0),
        "QNLI": measures("QNLI", qnli),
        "SST-2": measures("SST-2", sst),
        "CoLA": measures("CoLA", cola),
        "STS-B": measures("STS-B", 0, sts),
        "MRPC": measures("MRPC", mrpc, 0),
        "RTE": measures("RTE", rte),
    }
    return GlueScores(sheets | ({} if wnli is None else {"WNLI": measures("WNLI", wnli)}))


def all_sheets(**changes):
    """Scores of every task: each task's metrics average to a number of its own."""
    values = {
        "CoLA": (0.10,),
        "SST-2": (0.90,),
        "MRPC": (0.80, 0.70),
        "STS-B": (0.60, 0.50),
        "QQP": (0.70, 0.90),
        "MNLI-m": (0.80,),
        "MNLI-mm": (0.60,),
        "QNLI": (0.85,),
        "RTE": (0.55,),
        "WNLI": (0.65,),
        "AX": (0.33,),
    }
    return GlueScores({name: measures(name, *numbers) for name, numbers in (values | changes).items()})


class TestSheets:
    """What is scored at once."""

    def test_their_names_and_numbers_are_those_of_a_submission(self):
        assert list(SHEETS) == FILES
        assert [sheet.count for sheet in SHEETS.values()] == COUNTS

    @pytest.mark.parametrize(
        ("name", "golds", "guesses", "expected"),
        [
            ("CoLA", "1100", "1000", {"matthews": (1 * 2 - 0 * 1) / math.sqrt(1 * 2 * 2 * 3)}),
            ("SST-2", "1100", "1000", {"accuracy": 3 / 4}),
            ("MRPC", "1100", "1011", {"f1": 2 * 1 / (3 + 2), "accuracy": 1 / 4}),
            ("QQP", "1100", "1011", {"f1": 2 * 1 / (3 + 2), "accuracy": 1 / 4}),
            ("WNLI", "10", "11", {"accuracy": 1 / 2}),
        ],
    )
    def test_classes_are_scored_by_the_metrics_of_their_task(self, name, golds, guesses, expected):
        measured = score_sheet(name, list(guesses), examples(golds))
        assert {each.name: each.value for each in measured.measures} == pytest.approx(expected)

    def test_inference_is_scored_by_the_names_of_its_classes(self):
        golds = ["entailment", "neutral", "contradiction", "neutral"]
        guesses = ["entailment", "neutral", "neutral", "neutral"]
        for name in ("MNLI-m", "MNLI-mm"):
            assert score_sheet(name, guesses, examples(golds))["accuracy"] == 3 / 4
        # c = 3 of s = 4; predicted 1, 3, 0 and true 1, 2, 1: (3 * 4 - 7) / sqrt((16 - 10) (16 - 6))
        assert score_sheet("AX", guesses, examples(golds))["matthews"] == pytest.approx(5 / math.sqrt(6 * 10))

    def test_similarity_is_scored_by_two_correlations(self):
        measured = score_sheet("STS-B", [0.0, 1.0, 10.0], examples([1.0, 2.0, 3.0]))
        assert measured["spearman"] == pytest.approx(1)
        assert measured["pearson"] == pytest.approx(10 / math.sqrt(2 * (0 + 1 + 100 - 11 * 11 / 3)))

    def test_examples_of_a_test_split_are_an_error(self):
        with pytest.raises(ValueError, match=r"dev\.tsv:3: RTE is scored on examples with labels"):
            score_sheet("RTE", ["entailment"] * 2, examples(["entailment", None]))

    def test_a_prediction_which_is_no_label_is_an_error(self):
        with pytest.raises(ValueError, match="must be one of entailment, not_entailment, got 'neutral'"):
            score_sheet("RTE", ["neutral"], examples(["entailment"]))

    def test_a_task_with_two_sheets_is_named_by_one_of_them(self):
        with pytest.raises(ValueError, match="did you mean 'MNLI-m'"):
            score_sheet("MNLI", ["neutral"], examples(["neutral"]))

    @pytest.mark.data
    def test_the_majority_scores_what_it_must_on_real_data(self, data):
        golds = read_glue("WNLI", data / "glue", "dev")
        assert score_sheet("WNLI", ["0"] * len(golds), golds)["accuracy"] == pytest.approx(40 / 71)
        golds = read_glue("MRPC", data / "glue", "dev")
        measured = score_sheet("MRPC", ["1"] * len(golds), golds)
        assert measured["accuracy"] == pytest.approx(279 / 408)
        assert measured["f1"] == pytest.approx(2 * 279 / (408 + 279))
        golds = read_glue("CoLA", data / "glue", "dev")
        assert score_sheet("CoLA", ["1"] * len(golds), golds)["matthews"] == 0

    @pytest.mark.data
    def test_the_true_labels_score_1_on_real_data(self, data):
        for name in ("CoLA", "SST-2", "MRPC", "STS-B", "QNLI", "RTE", "WNLI"):
            golds = read_glue(name, data / "glue", SHEETS[name].dev)
            labels = [gold.label for gold in golds if gold.label is not None]
            for measure in score_sheet(name, labels, golds).measures:  # pyright: ignore[reportArgumentType]
                assert measure.value == pytest.approx(1), (name, measure.name)


class TestAverages:
    """GLUE's score and BERT's."""

    @pytest.mark.parametrize("system", BERT_TABLE)
    def test_the_average_of_bert_is_the_one_which_its_paper_prints(self, system):
        row, printed = BERT_TABLE[system]
        average = scores_of_table(row).bert_average
        assert average is not None
        assert 100 * average == pytest.approx(printed, abs=0.051)  # rounded to a tenth

    def test_wnli_is_not_in_the_average_of_bert(self):
        row, _ = BERT_TABLE["BERT base"]
        assert scores_of_table(row, wnli=0.5).bert_average == scores_of_table(row).bert_average

    def test_the_average_of_glue_is_the_mean_over_nine_tasks(self):
        assert all_sheets().average == pytest.approx(
            (0.10 + 0.90 + 0.75 + 0.55 + 0.80 + 0.70 + 0.85 + 0.55 + 0.65) / 9, abs=1e-12
        )

    def test_the_diagnostic_set_is_not_in_the_average(self):
        assert all_sheets(AX=(0.99,)).average == all_sheets().average

    def test_there_is_no_average_where_a_task_is_missing(self):
        scores = scores_of_table(BERT_TABLE["BERT base"][0])
        assert scores.average is None
        assert scores.missing == ("WNLI",)
        assert "no average of GLUE without WNLI" in str(scores)
        assert json.loads(scores.as_json())["average"] is None
        assert GlueScores({"RTE": measures("RTE", 0.6)}).bert_average is None

    def test_the_table_shows_scores_a_hundredfold_in_glues_order(self):
        assert str(all_sheets()).split("\n") == [
            "task     metric    x 100",
            "CoLA     matthews  10.00",
            "SST-2    accuracy  90.00",
            "MRPC     F1        80.00",
            "MRPC     accuracy  70.00",
            "STS-B    pearson   60.00",
            "STS-B    spearman  50.00",
            "QQP      F1        70.00",
            "QQP      accuracy  90.00",
            "MNLI-m   accuracy  80.00",
            "MNLI-mm  accuracy  60.00",
            "QNLI     accuracy  85.00",
            "RTE      accuracy  55.00",
            "WNLI     accuracy  65.00",
            "AX       matthews  33.00",
            "average  GLUE      65.00",
            "average  BERT      64.44",  # (80 + 60 + 70 + 85 + 90 + 10 + 50 + 80 + 55) / 9
        ]

    def test_a_note_is_in_the_table_and_in_the_dictionary(self):
        scores = GlueScores({"CoLA": score_sheet("CoLA", ["1", "1"], examples("10"))})
        assert "CoLA  matthews   0.00  not defined: predictions are of one class" in str(scores)
        assert "notes" in json.loads(scores.as_json())["tasks"]["CoLA"]

    def test_scores_by_other_metrics_are_an_error(self):
        with pytest.raises(ValueError, match="RTE is scored by accuracy, got f1"):
            GlueScores({"RTE": Measures(1, (Measure("f1", 0.5),))})
        with pytest.raises(ValueError, match="sheet must be one of CoLA"):
            GlueScores({"SNLI": measures("RTE", 0.5)})


class TestSeeds:
    """The spread over runs which differ in their seed."""

    @given(some.lists(some.floats(0, 1), min_size=1, max_size=9))
    def test_the_spread_is_that_of_numpy(self, values):
        spread = Spread("RTE", "accuracy", tuple(values))
        assert spread.median == pytest.approx(np.median(values))
        assert spread.quartiles == pytest.approx(tuple(np.percentile(values, [25, 75])))

    def test_one_run_which_failed_is_seen_in_the_range_alone(self):
        runs = [GlueScores({"CoLA": measures("CoLA", value)}) for value in (0.61, 0.0, 0.60, 0.62, 0.59)]
        assert str(over_seeds(runs)).split("\n")[:3] == [
            "task  metric    median       quartiles          range",
            "CoLA  matthews   60.00  59.00 to 61.00  0.00 to 62.00",
            "x 100, over 5 seeds",
        ]

    def test_averages_are_taken_of_each_run_and_then_spread(self):
        runs = [all_sheets(RTE=(value,)) for value in (0.1, 0.4, 1.0)]
        report = json.loads(over_seeds(runs).as_json())
        assert report["seeds"] == 3
        assert report["tasks"]["RTE"]["accuracy"]["values"] == [0.1, 0.4, 1.0]
        assert report["tasks"]["RTE"]["accuracy"]["median"] == 0.4
        assert report["averages"]["GLUE"]["values"] == [run.average for run in runs]
        assert report["averages"]["BERT"]["highest"] == runs[2].bert_average
        assert "average" not in report["tasks"]

    def test_missing_tasks_are_named_below_the_table(self):
        text = str(over_seeds([GlueScores({"RTE": measures("RTE", 0.5)})] * 2))
        assert text.endswith("no average of GLUE without CoLA, SST-2, MRPC, STS-B, QQP, MNLI-m, MNLI-mm, QNLI, WNLI")

    def test_runs_with_different_tasks_are_an_error(self):
        runs = [GlueScores({"RTE": measures("RTE", 0.5)}), GlueScores({"WNLI": measures("WNLI", 0.5)})]
        with pytest.raises(ValueError, match="got RTE in run 1 and WNLI in run 2"):
            over_seeds(runs)
        with pytest.raises(ValueError, match="no run to summarise"):
            over_seeds([])


@pytest.fixture(scope="module")
def predictions():
    """Predictions of every sheet: the labels in turn, and numbers which go beyond the scale."""
    turns = {}
    for name, sheet in SHEETS.items():
        labels = sheet.task.labels or (-1.0, 2.5, 7.25)
        turns[name] = [labels[index % len(labels)] for index in range(sheet.count)]
    return turns


@pytest.fixture(scope="module")
def sheets(predictions, tmp_path_factory):
    """The lines of every file in a submission."""
    path = tmp_path_factory.mktemp("submission") / "submission.zip"
    write_submission(path, predictions)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode().split("\n") for name in archive.namelist()}


class TestSubmission:
    """The zip file for GLUE's server."""

    def test_it_holds_the_eleven_files_and_nothing_else(self, sheets):
        assert list(sheets) == [f"{name}.tsv" for name in FILES]

    def test_each_file_has_a_header_and_a_line_for_each_example_numbered_from_0(self, sheets):
        for count, lines in zip(COUNTS, sheets.values(), strict=True):
            assert lines[0] == "index\tprediction"
            assert lines[-1] == ""
            assert [line.split("\t")[0] for line in lines[1:-1]] == [str(index) for index in range(count)]

    def test_inference_has_names_and_the_others_have_0_and_1(self, sheets):
        found = {name: {line.split("\t")[1] for line in lines[1:-1]} for name, lines in sheets.items()}
        for name in ("MNLI-m", "MNLI-mm", "AX"):
            assert found[f"{name}.tsv"] == {"contradiction", "entailment", "neutral"}
        for name in ("QNLI", "RTE"):
            assert found[f"{name}.tsv"] == {"entailment", "not_entailment"}
        for name in ("CoLA", "SST-2", "MRPC", "QQP", "WNLI"):
            assert found[f"{name}.tsv"] == {"0", "1"}

    def test_numbers_are_moved_into_the_scale(self, sheets):
        assert [line.split("\t")[1] for line in sheets["STS-B.tsv"][1:4]] == ["0.000000", "2.500000", "5.000000"]

    def test_the_same_predictions_give_the_same_bytes(self, predictions, tmp_path):
        one, other = tmp_path / "one.zip", tmp_path / "other.zip"
        write_submission(one, predictions)
        write_submission(other, dict(reversed(predictions.items())))
        assert one.read_bytes() == other.read_bytes()

    def test_missing_sheets_are_named_and_nothing_is_written(self, predictions, tmp_path):
        path = tmp_path / "submission.zip"
        few = {name: values for name, values in predictions.items() if name not in ("QQP", "AX")}
        with pytest.raises(ValueError, match="no predictions for QQP, AX;"):
            write_submission(path, few)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("RTE", lambda values: values[:-1], r"RTE has 3,000 predictions, .*test\.tsv, got 2,999"),
            ("MNLI-mm", lambda values: values[:-1], r"9,847 predictions, .*test_mismatched\.tsv, got 9,846"),
            ("RTE", lambda values: [*values[:-1], "0"], "prediction 2999 of RTE must be one of entailment"),
            ("CoLA", lambda values: [1, *values[1:]], "prediction 0 of CoLA must be one of 0, 1, got 1"),
            ("STS-B", lambda values: [math.nan, *values[1:]], "prediction 0 of STS-B must be a finite number"),
            ("STS-B", lambda values: ["1.0", *values[1:]], "must be a finite number, got '1.0'"),
        ],
    )
    def test_predictions_which_the_server_would_refuse_are_an_error(self, predictions, tmp_path, name, change, message):
        path = tmp_path / "submission.zip"
        with pytest.raises(ValueError, match=message):
            write_submission(path, predictions | {name: change(predictions[name])})
        assert not path.exists()

    def test_an_unknown_sheet_or_suffix_is_an_error(self, predictions, tmp_path):
        with pytest.raises(ValueError, match="did you mean 'MNLI-m'"):
            write_submission(tmp_path / "submission.zip", predictions | {"MNLI": []})
        with pytest.raises(ValueError, match="is a zip file, got"):
            write_submission(tmp_path / "submission.tsv", predictions)

"""GLUE: nine tasks and a diagnostic set, from the files as they are distributed (Wang et al. 2019).

Cells are parted by tabs and by nothing else: quotes are letters like others, and some sentences hold an unpaired one.
Texts come as they stand in the files. A file with the columns of another task is refused, and so is a label which the
task does not have, so that no example is ever read from the wrong column.

`GLUE_TASKS` says of each task what its files are and how it is scored.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from regard.data.examples import Example
from regard.data.lines import lines_of
from regard.data.rows import Skipped, Unusable
from regard.storage.names import require

LOWEST_SCORE, HIGHEST_SCORE = 0.0, 5.0  # of STS-B


@dataclass(frozen=True)
class Layout:
    """The columns of a file, by name, and which of them are read."""

    columns: tuple[str, ...]
    texts: tuple[str, ...]
    label: str = ""  # none in a test file, which begins with an index instead
    has_header: bool = True


@dataclass(frozen=True)
class GlueFile:
    """A file of a task."""

    name: str
    layout: Layout
    count: int  # examples, as published


@dataclass(frozen=True)
class GlueTask:
    """A task of GLUE: its files by split, its labels, and the names of its metrics (`regard.evaluate.metrics`)."""

    name: str
    files: Mapping[str, GlueFile]
    labels: tuple[str, ...]  # in the order of BERT's, ALBERT's and XLNet's code; none where a number is predicted
    metrics: tuple[str, ...]
    folder: str = ""  # its own name, where nothing else is said
    has_short_lines: bool = False

    def __post_init__(self):
        object.__setattr__(self, "folder", self.folder or self.name)

    @property
    def is_regression(self) -> bool:
        """Whether a number is predicted, not a class."""
        return not self.labels


def _three(labelled: Layout, test: Layout, train: int, dev: int, tests: int) -> Mapping[str, GlueFile]:
    """The files of a task which has the usual three."""
    return MappingProxyType(
        {
            "train": GlueFile("train.tsv", labelled, train),
            "dev": GlueFile("dev.tsv", labelled, dev),
            "test": GlueFile("test.tsv", test, tests),
        }
    )


SENTENCE = ("sentence",)
PAIR = ("sentence1", "sentence2")
STRINGS = ("#1 String", "#2 String")
QUESTIONS = ("question1", "question2")
PASSAGE = ("question", "sentence")
TEST_SENTENCES = Layout(("index", *SENTENCE), SENTENCE)
TEST_PAIRS = Layout(("index", *PAIR), PAIR)
LABELLED_PAIRS = Layout(("index", *PAIR, "label"), PAIR, "label")
STS = ("index", "genre", "filename", "year", "old_index", "source1", "source2", *PAIR)
MNLI = (
    *("index", "promptID", "pairID", "genre"),
    *("sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse", *PAIR),
)
# What five annotators said stands before what they agree on, which is the last column.
MNLI_DEV = Layout((*MNLI, *(f"label{number}" for number in range(1, 6)), "gold_label"), PAIR, "gold_label")
MNLI_TEST = Layout(MNLI, PAIR)
PHENOMENA = ("Lexical Semantics", "Predicate-Argument Structure", "Logic", "Knowledge", "Domain")

CLASSES = ("0", "1")
ENTAILMENT = ("entailment", "not_entailment")
INFERENCE = ("contradiction", "entailment", "neutral")

_TASKS = (
    GlueTask(
        "CoLA",
        _three(
            Layout(("source", "label", "star", *SENTENCE), SENTENCE, "label", has_header=False),
            TEST_SENTENCES,
            *(8551, 1043, 1063),
        ),
        CLASSES,
        ("matthews",),
    ),
    GlueTask(
        "SST-2",
        _three(Layout((*SENTENCE, "label"), SENTENCE, "label"), TEST_SENTENCES, 67_349, 872, 1821),
        CLASSES,
        ("accuracy",),
    ),
    GlueTask(
        "MRPC",
        _three(
            Layout(("Quality", "#1 ID", "#2 ID", *STRINGS), STRINGS, "Quality"),
            Layout(("index", "#1 ID", "#2 ID", *STRINGS), STRINGS),
            *(3668, 408, 1725),
        ),
        CLASSES,
        ("f1", "accuracy"),
    ),
    GlueTask(
        "STS-B",
        _three(Layout((*STS, "score"), PAIR, "score"), Layout(STS, PAIR), 5749, 1500, 1379),
        (),
        ("pearson", "spearman"),
    ),
    GlueTask(
        "QQP",
        _three(
            Layout(("id", "qid1", "qid2", *QUESTIONS, "is_duplicate"), QUESTIONS, "is_duplicate"),
            Layout(("id", *QUESTIONS), QUESTIONS),
            *(363_849, 40_430, 390_965),
        ),
        CLASSES,
        ("f1", "accuracy"),
        has_short_lines=True,
    ),
    GlueTask(
        "MNLI",
        MappingProxyType(
            {
                "train": GlueFile("train.tsv", Layout((*MNLI, "label1", "gold_label"), PAIR, "gold_label"), 392_702),
                "dev_matched": GlueFile("dev_matched.tsv", MNLI_DEV, 9815),
                "dev_mismatched": GlueFile("dev_mismatched.tsv", MNLI_DEV, 9832),
                "test_matched": GlueFile("test_matched.tsv", MNLI_TEST, 9796),
                "test_mismatched": GlueFile("test_mismatched.tsv", MNLI_TEST, 9847),
            }
        ),
        INFERENCE,
        ("accuracy",),
    ),
    GlueTask(
        "QNLI",  # the second version; the first, of 2018, has the same columns and 108,436 examples to train on
        _three(
            Layout(("index", *PASSAGE, "label"), PASSAGE, "label"),
            Layout(("index", *PASSAGE), PASSAGE),
            *(104_743, 5463, 5463),
        ),
        ENTAILMENT,
        ("accuracy",),
    ),
    GlueTask("RTE", _three(LABELLED_PAIRS, TEST_PAIRS, 2490, 277, 3000), ENTAILMENT, ("accuracy",)),
    GlueTask("WNLI", _three(LABELLED_PAIRS, TEST_PAIRS, 635, 71, 146), CLASSES, ("accuracy",)),
    GlueTask(
        "AX",
        MappingProxyType(
            {
                "test": GlueFile("diagnostic.tsv", TEST_PAIRS, 1104),
                "full": GlueFile(  # the same pairs, with what each of them tests
                    "diagnostic-full.tsv",
                    Layout((*PHENOMENA, "Premise", "Hypothesis", "Label"), ("Premise", "Hypothesis"), "Label"),
                    1104,
                ),
            }
        ),
        INFERENCE,  # a model of MNLI predicts them
        ("matthews",),
        folder="diagnostic",
    ),
)
GLUE_TASKS: Mapping[str, GlueTask] = MappingProxyType({task.name: task for task in _TASKS})


def read_glue(task: str, folder: str | Path, split: str, *, skipped: Skipped | None = None) -> list[Example]:
    """The examples of a split, in order, from `folder/TASK/`; those of a test split have no label.

    The examples of a test split are numbered from 0 without a gap, as a submission has to number them: their places in
    the list are their indices.

    Args:
        task: a key of `GLUE_TASKS`.
        split: train, dev or test; of MNLI dev_matched, dev_mismatched, test_matched and test_mismatched in their
            place; of AX test, or full, which has labels.
        skipped: counts the short lines of QQP. A few of its questions hold a line feed, and so fall on two lines; both
            are passed over, as in the published counts. Whatever else cannot be used is an error.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if there is no such task or split, or a line is not what the task has.
    """
    require("task", task, GLUE_TASKS)
    row = GLUE_TASKS[task]
    require(f"split of {task}", split, row.files)
    file = row.files[split]
    path = _found(row, Path(folder), file)
    lines = enumerate(lines_of(path), 1)
    if file.layout.has_header:
        _check_header(row, path, next(lines, (1, ""))[1], file.layout)
    passed_over = Skipped() if skipped is None else skipped
    may_be_short = row.has_short_lines and bool(file.layout.label)
    examples = []
    for number, line in lines:
        place = f"{path}:{number}"
        if isinstance(line, Unusable):
            raise line
        cells = line.split("\t")
        if may_be_short and len(cells) < len(file.layout.columns):
            passed_over["with a missing column"] += 1
            continue
        if len(cells) != len(file.layout.columns):
            columns = ", ".join(file.layout.columns)
            raise ValueError(f"{place}: a line of {row.name} has the columns {columns} here, got {len(cells)} cells")
        entry = dict(zip(file.layout.columns, cells, strict=True))
        if file.layout.label:
            label = _label(row, entry[file.layout.label], place)
        else:
            label = None
            _check_index(cells[0], len(examples), place)
        examples.append(Example(tuple(entry[text] for text in file.layout.texts), label, place))
    if not examples:
        raise ValueError(f"{path}: there is no example of {row.name} in the file")
    return examples


def _found(task: GlueTask, folder: Path, file: GlueFile) -> Path:
    """Where a file lies.

    Raises:
        FileNotFoundError: says which files are looked for, and where.
    """
    path = folder / task.folder / file.name
    if path.is_file():
        return path
    names = ", ".join(each.name for each in task.files.values())
    raise FileNotFoundError(
        f"no file {path}; {task.name} is read from {names} in {folder / task.folder}: the folder to give is the one "
        f"which holds {task.folder}"
    )


def _check_header(task: GlueTask, path: Path, header: str | Unusable, layout: Layout) -> None:
    """Refuse a file with other columns."""
    if isinstance(header, Unusable):
        raise header
    if tuple(header.split("\t")) != layout.columns:
        raise ValueError(
            f"{path}:1: {task.name} has the header {', '.join(layout.columns)} here, got "
            f"{', '.join(header.split(chr(9))) or 'nothing'}; is it the file of another task or split?"
        )


def _label(task: GlueTask, cell: str, place: str) -> str | float:
    """A class, or a number from 0 to 5.

    Raises:
        ValueError: if it is neither.
    """
    if not task.is_regression:
        if cell not in task.labels:
            raise ValueError(f"{place}: the labels of {task.name} are {', '.join(task.labels)}, got {cell!r}")
        return cell
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not LOWEST_SCORE <= score <= HIGHEST_SCORE:
        raise ValueError(f"{place}: a score of {task.name} is a number from 0 to 5, got {cell!r}")
    return score


def _check_index(cell: str, expected: int, place: str) -> None:
    """Refuse a test file with lines left out or moved, for its predictions would be scored beside others."""
    if cell != str(expected):
        raise ValueError(f"{place}: the lines of a test file are numbered in order, expected {expected}, got {cell!r}")

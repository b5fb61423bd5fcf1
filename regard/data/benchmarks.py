"""Where the examples of a benchmark are found, as a run's file says it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from regard.data.examples import Example
from regard.data.glue import GLUE_TASKS, read_glue
from regard.data.rows import Skipped
from regard.data.squad import Question, read_squad
from regard.storage.names import require


@dataclass(frozen=True)
class GluePart:
    """A split of one of GLUE's tasks, in the folder which holds them all.

    Raises:
        ValueError: if there is no such task or split.
    """

    path: str
    task: str
    split: str = "train"

    def __post_init__(self):
        require("task", self.task, GLUE_TASKS)
        require(f"split of {self.task}", self.split, GLUE_TASKS[self.task].files)

    def read(self, skipped: Skipped | None = None) -> list[Example]:
        """The examples, in order; those of a test split have no label."""
        return read_glue(self.task, Path(self.path), self.split, skipped=skipped)


@dataclass(frozen=True)
class SquadFile:
    """A file of SQuAD 1.1 or 2.0, or a share of its articles.

    In SQuAD 2.0 some articles have many questions without an answer, and most have none. Each share has its part of
    both, so that a threshold of no answer can be tuned on it.

    Raises:
        ValueError: if the share does not ascend within 0 and 1.
    """

    path: str
    share: tuple[float, float] = (0.0, 1.0)  # of the articles, from where to where in an order which mixes both kinds

    def __post_init__(self):
        object.__setattr__(self, "share", tuple(float(x) for x in self.share))  # a TOML file has lists
        if len(self.share) != 2 or not 0.0 <= self.share[0] < self.share[1] <= 1.0:
            raise ValueError(f"share must ascend within 0 and 1, got {list(self.share)}")

    def read(self) -> list[Question]:
        """The questions, in order; those of an article are in one share."""
        found = questions = read_squad(self.path)
        if self.share != (0.0, 1.0):
            places = _mixed(questions)
            found = [question for question in questions if self.share[0] <= places[question.title] < self.share[1]]
        if not found:
            articles = len({question.title for question in questions})
            raise ValueError(f"{self.path}: none of its {articles} articles is in the share {list(self.share)}")
        return found


def _mixed(questions: list[Question]) -> dict[str, float]:
    """A place in [0, 1) for each article, spread evenly over those with many impossible questions and with few."""
    from scipy.stats.qmc import Halton

    asked = Counter(question.title for question in questions)
    impossible = Counter(question.title for question in questions if question.is_impossible)
    titles = sorted(asked, key=lambda title: (-impossible[title] / asked[title], title))
    return dict(zip(titles, Halton(1, scramble=False).random(len(titles)).flatten().tolist(), strict=True))

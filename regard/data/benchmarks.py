"""Where the examples of a benchmark are found, as a run's file says it."""

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
    """A file of SQuAD 1.1 or 2.0, or a stretch of its articles' questions.

    Raises:
        ValueError: if the share does not ascend within 0 and 1.
    """

    path: str
    share: tuple[float, float] = (0.0, 1.0)  # of the questions, from where to where; cut between two articles

    def __post_init__(self):
        object.__setattr__(self, "share", tuple(float(x) for x in self.share))  # a TOML file has lists
        if len(self.share) != 2 or not 0.0 <= self.share[0] < self.share[1] <= 1.0:
            raise ValueError(f"share must ascend within 0 and 1, got {list(self.share)}")

    def read(self) -> list[Question]:
        """The questions, in order; those of an article are in one share."""
        questions = read_squad(self.path)
        whole, first = len(questions), {}
        for number, question in enumerate(questions):
            first.setdefault(question.title, number)
        low, high = (share * whole for share in self.share)
        found = [q for q in questions if low <= first[q.title] < high or (first[q.title] == 0 and low == 0)]
        if not found:
            raise ValueError(f"{self.path}: no article begins within the share {list(self.share)} of its questions")
        return found

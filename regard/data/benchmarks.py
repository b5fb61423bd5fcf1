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


# Of fewer articles a share is no share of the questions.
_MANY = 10


@dataclass(frozen=True)
class SquadFile:
    """A file of SQuAD 1.1 or 2.0, or a share of its articles; of its contexts, where there are hardly any articles.

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
        """The questions, in order; those of an article, or of a context, are in one share.

        Raises:
            ValueError: if there is none.
        """
        questions = read_squad(self.path)
        if not questions:
            raise ValueError(f"{self.path}: there is no question in it")
        if self.share == (0.0, 1.0):
            return questions
        titles = [question.title for question in questions]
        has_articles = len(set(titles)) >= _MANY  # files of one's own often have one, or do not name them
        groups = titles if has_articles else [question.context for question in questions]
        places = _mixed(questions, groups)
        chosen = [self.share[0] <= places[group] < self.share[1] for group in groups]
        if not any(chosen):
            what = f"{len(places)} {'articles' if has_articles else 'contexts'}"
            raise ValueError(
                f"{self.path}: none of its {what} is in the share {list(self.share)}; take a wider one, or more text"
            )
        return [question for question, is_in in zip(questions, chosen, strict=True) if is_in]


def _mixed(questions: list[Question], groups: list[str]) -> dict[str, float]:
    """A place in [0, 1) for each group, spread evenly over those with many impossible questions and with few."""
    from scipy.stats.qmc import Halton

    asked = Counter(groups)
    impossible = Counter(group for group, one in zip(groups, questions, strict=True) if one.is_impossible)
    names = sorted(asked, key=lambda name: (-impossible[name] / asked[name], name))
    return dict(zip(names, Halton(1, scramble=False).random(len(names)).flatten().tolist(), strict=True))

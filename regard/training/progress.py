"""Where a run stands."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from regard.data.loading import Cursor
from regard.training.budget import OPERATIONS, SECONDS, TOKENS
from regard.training.checkpoint import damaged, read_state

_LATER = {"extent": 0, "counted": 0, "counted_extent": 0, "memory": 0, "best_of": ""}  # which old checkpoints have not


@dataclass
class Progress:
    """Where a run stands; all of it is in the checkpoint."""

    step: int = 0
    cursor: Cursor = Cursor()
    best: float = -math.inf  # the highest `best_of`, or the lowest loss with its sign turned
    best_of: str = ""  # plan.best, by which it was found
    best_step: int = 0
    level: float | None = None  # smoothed loss, nats a token
    lowest: float = math.inf  # its lowest
    tokens: int = 0  # targets seen
    seconds: float = 0.0  # spent on updates
    extent: int = 0  # tokens of the sequences seen
    counted: int = 0  # operations of those updates whose operations were counted
    counted_extent: int = 0  # tokens of the sequences in them
    memory: int = 0  # peak of an update in bytes, where it was watched

    @property
    def operations(self) -> int:
        """Of all updates, if the others took as many a token as those which were counted."""
        return self.counted * self.extent // max(1, self.counted_extent)

    @property
    def spent(self) -> dict[str, int | float]:
        """What budgets are of, and how much of it."""
        return {SECONDS: self.seconds, TOKENS: self.extent, OPERATIONS: self.operations}

    def table(self) -> dict[str, Any]:
        """Plain values."""
        about = dict(vars(self))
        about["cursor"] = [self.cursor.epoch, self.cursor.pool, self.cursor.batch]
        return {key: None if value in (math.inf, -math.inf) else value for key, value in about.items()}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The reverse of `table`, from a checkpoint.

        Raises:
            ValueError: if it is damaged.
        """
        table = _LATER | read_state(folder)
        try:
            values = {key: table[key] for key in vars(cls())}
            values["cursor"] = Cursor(*values["cursor"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(folder, error) from error
        values["best"] = -math.inf if values["best"] is None else values["best"]
        values["lowest"] = math.inf if values["lowest"] is None else values["lowest"]
        return cls(**values)

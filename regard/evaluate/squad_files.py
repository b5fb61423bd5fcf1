"""The files in which predictions for SQuAD travel, under the names which BERT's code gives them.

`predictions.json` has the answer of each question by its id, and `null_odds.json` the odds of there being none: these
two the official script reads. `nbest_predictions.json` lists the answers of each question, the best first. The name
of `threshold.json` is ours: the odds above which a model gives no answer, in its directory.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from regard.data.squad_json import checked, entry, has, read_json
from regard.decoding.spans import Ranked, decided
from regard.storage.files import written_whole

PREDICTIONS = "predictions.json"
NBEST = "nbest_predictions.json"
NULL_ODDS = "null_odds.json"
THRESHOLD = "threshold.json"

Value = TypeVar("Value")


def write_answers(folder: str | Path, ranked: Mapping[str, Ranked], *, threshold: float = 0.0) -> None:
    """Write the three files into a folder.

    Args:
        folder: made where it is not there.
        ranked: the answers to each question.
        threshold: as of `decide`. Infinity writes the best answer of each, which is what a search for thresholds needs.
    """
    folder = Path(folder)
    nbest = {
        id: [
            {
                "text": span.text,
                "probability": span.probability,
                "start_logit": span.start_score,
                "end_logit": span.end_score,
            }
            for span in one.spans
        ]
        for id, one in ranked.items()
    }
    # JSON has no infinity, which is the odds where a context has no token
    null_odds = {id: min(one.null_odds, sys.float_info.max) for id, one in ranked.items()}
    write_predictions(folder / PREDICTIONS, decided(ranked, threshold))
    _write(folder / NBEST, nbest)
    _write(folder / NULL_ODDS, null_odds)


def write_predictions(path: str | Path, answers: Mapping[str, str]) -> None:
    """Write the answer to each question by its id, as the official script reads them."""
    _write(Path(path), answers)


def read_predictions(path: str | Path) -> dict[str, str]:
    """The answer to each question, by its id.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, or not such a file, or has an id twice.
    """
    return _read(path, lambda value, place: checked(value, str, place))


def read_null_odds(path: str | Path) -> dict[str, float]:
    """The probability or the odds of each question's having no answer, by its id.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, or not such a file, or has an id twice.
    """
    return _read(path, lambda value, place: checked(value, float, place))


def _read(path: str | Path, one: Callable[[object, str], Value]) -> dict[str, Value]:
    """What a file says of each id."""
    content = read_json(path)
    has(content, "", str(path))  # refuses what is no object
    assert isinstance(content, dict)
    return {id: one(value, f"{path}: {id}") for id, value in content.items()}


def _write(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    with written_whole(path) as file:
        json.dump(content, file, indent=4, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_threshold(folder: str | Path, threshold: float) -> None:
    """Keep the odds of no answer above which a model gives none, in its directory."""
    _write(Path(folder) / THRESHOLD, {"null_odds": max(threshold, -sys.float_info.max)})


def read_threshold(folder: str | Path) -> float:
    """The odds of no answer above which the model in this directory gives none; 0 where none were tuned.

    Raises:
        ValueError: if the file is not such a one.
    """
    path = Path(folder) / THRESHOLD
    return entry(read_json(path), "null_odds", float, str(path)) if path.is_file() else 0.0

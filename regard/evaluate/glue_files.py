"""The files in which predictions for GLUE travel: a sheet each, and the submission which its server scores."""

import math
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from regard.data.glue import HIGHEST_SCORE, LOWEST_SCORE, GlueTask
from regard.evaluate.glue import SHEETS
from regard.storage.files import written_whole
from regard.storage.names import require

HEADER = "index\tprediction"


def write_submission(path: str | Path, predictions: Mapping[str, Sequence[str] | Sequence[float]]) -> None:
    """Write the zip file which GLUE's server takes: a sheet for every task, and `AX`, with the test split's indices.

    A submission is whole or refused, since the server wants all sheets. For a task without a model one class can be
    predicted throughout, as BERT's authors did for WNLI; that is the caller's to do, and to say beside the scores. The
    numbers of STS-B are moved into 0 to 5, where all true ones lie. The same predictions give the same bytes.

    Raises:
        ValueError: if sheets are missing or not known, have not as many predictions as their split, or one is no label.
    """
    path = Path(path)
    require_submission(path, predictions)
    texts = {name: _sheet_text(name, predictions[name]) for name in SHEETS}
    with written_whole(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(f"{name}.tsv")  # dated 1980; not compressed, for zlib's versions differ in bytes
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every system
            archive.writestr(entry, text)


def require_submission(path: Path, sheets: Collection[str]) -> None:
    """Refuse what the server would not take, before there are predictions.

    Raises:
        ValueError: if the file is no zip, or sheets are missing or not known.
    """
    if path.suffix != ".zip":
        raise ValueError(f"a submission is a zip file, got {path}")
    for name in sheets:
        require("sheet", name, SHEETS)
    if missing := [name for name in SHEETS if name not in sheets]:
        raise ValueError(
            f"a submission has a sheet for each of {', '.join(SHEETS)}; there are no predictions for "
            f"{', '.join(missing)}; for a task without a model predict one class throughout, and say so"
        )


def _sheet_text(name: str, predictions: Sequence[str] | Sequence[float]) -> str:
    """A sheet as the server reads it.

    Raises:
        ValueError: if there is no such sheet, or the predictions are not as the split has them.
    """
    require("sheet", name, SHEETS)
    sheet = SHEETS[name]
    if len(predictions) != sheet.count:
        raise ValueError(
            f"{name} has {sheet.count:,} predictions, one for each example of {sheet.task.files[sheet.test].name}, got "
            f"{len(predictions):,}"
        )
    cells = (_cell(name, sheet.task, index, each) for index, each in enumerate(predictions))
    return "\n".join([HEADER, *(f"{index}\t{cell}" for index, cell in enumerate(cells))]) + "\n"


def _cell(name: str, task: GlueTask, index: int, prediction: str | float) -> str:
    """A prediction as it is written.

    Raises:
        ValueError: if it is not one of the labels, or no number.
    """
    if not task.is_regression:
        if prediction not in task.labels:
            labels = ", ".join(task.labels)
            raise ValueError(f"prediction {index} of {name} must be one of {labels}, got {prediction!r}")
        return str(prediction)
    if isinstance(prediction, str) or not math.isfinite(prediction):
        raise ValueError(f"prediction {index} of {name} must be a finite number, got {prediction!r}")
    return f"{min(max(float(prediction), LOWEST_SCORE), HIGHEST_SCORE):.6f}"

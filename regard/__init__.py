"""regard: the lineage of attention, each system as its paper has it.

    model = regard.load("runs/dates")
    model.translate(["de_CH 3. März 1998"])
    with regard.recording(model) as maps:
        model.score(["de_CH 3. März 1998"], ["1998-03-03"])
    maps["decoder.0.source_attention"]  # [B, H, T, S]

Names are imported when they are first used, so that `import regard` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regard.attention.attend import attend, kernel
    from regard.attention.packing import Packed
    from regard.attention.record import recording, without_heads
    from regard.decoding.translator import Translator
    from regard.decoding.writer import Writer
    from regard.models import MODELS
    from regard.reading.directory import load, save
    from regard.reading.reader import Reader
    from regard.training.loop import train
    from regard.training.run import Run, read_run
    from regard.visualise.view import view

__version__ = "0.1.0"

_HOMES = {
    "MODELS": "regard.models",
    "Packed": "regard.attention.packing",
    "Reader": "regard.reading.reader",
    "Run": "regard.training.run",
    "Translator": "regard.decoding.translator",
    "Writer": "regard.decoding.writer",
    "attend": "regard.attention.attend",
    "kernel": "regard.attention.attend",
    "load": "regard.reading.directory",
    "read_run": "regard.training.run",
    "recording": "regard.attention.record",
    "save": "regard.reading.directory",
    "train": "regard.training.loop",
    "view": "regard.visualise.view",
    "without_heads": "regard.attention.record",
}

__all__ = [
    "MODELS",
    "Packed",
    "Reader",
    "Run",
    "Translator",
    "Writer",
    "attend",
    "kernel",
    "load",
    "read_run",
    "recording",
    "save",
    "train",
    "view",
    "without_heads",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'regard' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]

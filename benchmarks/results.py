"""What the comparisons found: rows, the file which keeps them, and the page RESULTS.md made of it."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path

from benchmarks.measure import Speed, Workload
from regard.storage.files import written_whole

HERE = Path(__file__).parent
STORE = HERE / "results.json"
PAGE = HERE / "RESULTS.md"
NOTES = HERE / "notes"  # prose beside the tables, `NAME.md` for the comparison of that name
LIBRARIES = ("torch", "transformers", "ctranslate2", "tokenizers", "numpy")


@dataclass(frozen=True)
class Row:
    """One measurement of regard, and the peer's beside it."""

    work: str
    unit: str
    regard: float
    peer: str | None = None
    other: float | None = None
    ratio: float | None = None  # regard over the peer
    target: float | None = None  # for the ratio where there is a peer, else for regard's own number
    at_most: bool = False  # whether the target is an upper bound
    rounds: int | None = None  # of which the numbers are medians

    @classmethod
    def beside(cls, work: str, unit: str, speeds: Mapping[str, Speed], peer: str, target: float | None) -> "Row":
        """Speeds of `regard` and of `peer`, who took turns."""
        ours, theirs = speeds["regard"], speeds[peer]
        ratio = ours.over(theirs)
        return cls(work, unit, ours.median, peer, theirs.median, ratio, target, rounds=len(ours.rounds))

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        value = self.regard if self.peer is None else self.ratio
        if self.target is None or value is None:
            return None
        return value <= self.target if self.at_most else value >= self.target

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        sign = {True: "yes", False: "no", None: ""}[self.met]
        bound = "" if self.target is None else f"{'at most' if self.at_most else 'at least'} {self.target:g}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        rounds = "" if self.rounds is None else str(self.rounds)
        values = _number(self.regard), _number(self.other), self.unit
        return (self.work, self.peer or "", *values, rounds, ratio, bound, sign)


HEAD = ("work", "peer", "regard", "peer's", "unit", "rounds", "ratio", "target", "met")


@dataclass(frozen=True)
class Outcome:
    """The rows of a comparison, other facts worth keeping, and regard's own workload, for a profile."""

    rows: Sequence[Row]
    facts: Mapping[str, object] = field(default_factory=dict)
    profiled: Workload | None = None


def machine() -> dict[str, object]:
    """What the numbers depend on beside the code."""
    import torch

    from regard.layers.linear import has_bfloat16_products

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16 products in hardware": has_bfloat16_products(),
        "load before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version for name in LIBRARIES if (version := _version(name))},
    }


def keep(
    name: str, outcome: Outcome, before: Mapping[str, object], *, profile: str | None = None, path: Path = STORE
) -> None:
    """Put one comparison into the file, in the place of what it held of it; `before` is the machine as it started."""
    store = read(path) if path.exists() else {}
    store[name] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": dict(before),
        "rows": [{**asdict(row), "met": row.met} for row in outcome.rows],
        "facts": dict(outcome.facts),
        **({} if profile is None else {"profile": profile}),
    }
    with written_whole(path) as file:
        json.dump(store, file, indent=2, ensure_ascii=False)
        file.write("\n")


def read(path: Path = STORE) -> dict[str, dict]:
    """What the file holds, by the name of the comparison.

    Raises:
        FileNotFoundError: if nothing was measured yet.
    """
    if not path.exists():
        raise FileNotFoundError(f"no measurements at {path}; `python -m benchmarks` makes them")
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(entry: Mapping) -> list[Row]:
    """The rows of a comparison in the file."""
    return [Row(**{name: value for name, value in row.items() if name != "met"}) for row in entry["rows"]]


def table(rows: Sequence[Row]) -> str:
    """Rows as text for a terminal."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def write_page(store: Path = STORE, page: Path = PAGE) -> None:
    """Write RESULTS.md from the file of measurements: a table a comparison, how it was taken, and where time goes."""
    from benchmarks import COMPARISONS

    entries = read(store)
    parts = ["# regard beside its peers", import_module("benchmarks").__doc__.partition("\n\n")[2].strip()]
    parts.append("This page is written by `python -m benchmarks --write` from the measurements in results.json.")
    for name in (name for name in COMPARISONS if name in entries):
        entry = entries[name]
        title, _, prose = (import_module(COMPARISONS[name]).__doc__ or name).strip().partition("\n\n")
        parts += [f"## {title.rstrip('.')}", prose.strip(), _markdown(rows_of(entry))]
        facts = {**entry["machine"], **entry["facts"]}
        parts.append(f"Measured {entry['date']}: " + "; ".join(f"{key} {value}" for key, value in facts.items()) + ".")
        note = NOTES / f"{name}.md"
        if note.exists():
            parts.append(note.read_text(encoding="utf-8").strip())
        if "profile" in entry:
            parts.append(f"Where regard's time goes:\n\n```\n{entry['profile']}\n```")
    with written_whole(page) as file:
        file.write("\n\n".join(part for part in parts if part) + "\n")


def _markdown(rows: Sequence[Row]) -> str:
    """Rows as a table of Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None) -> str:
    """Three digits or more of a number."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _processor() -> str:
    """The name which the processor gives itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    """The version of an installed library."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

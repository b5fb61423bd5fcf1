"""Start-up.

Seconds from the start of a process to its end, the median of several, the interpreter's own start included (the first
row); the files are in the operating system's cache.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.material import ROOT
from benchmarks.measure import progress
from benchmarks.results import Outcome, Row

COMMANDS = {
    "python -c pass": (["-c", "pass"], None),
    "import regard": (["-c", "import regard"], 0.15),
    "regard --help": ([str(Path(sys.executable).parent / "regard"), "--help"], 0.3),
}


def compare(*, seconds: float, most: int = 21) -> Outcome:
    """Each command `most` times in turn, or as often as the seconds allow, once at least."""
    spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for arguments, _ in COMMANDS.values():
        run(arguments)
    begun = time.perf_counter()
    for turn in range(most):
        if turn and time.perf_counter() - begun > seconds:
            break
        for name, (arguments, _) in COMMANDS.items():
            progress(f"startup: {name}, {turn + 1} of {most}")
            spent[name].append(run(arguments))
    progress("")
    rows = [Row(name, "s", median(spent[name]), target=target, at_most=True) for name, (_, target) in COMMANDS.items()]
    return Outcome(rows, {"runs of each": len(next(iter(spent.values())))})


def run(arguments: list[str]) -> float:
    """Seconds of one run of this interpreter."""
    start = time.perf_counter()
    result = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    spent = time.perf_counter() - start
    if result.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{result.stderr}")
    return spent

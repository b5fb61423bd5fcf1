"""`python -m benchmarks [name ...] [--json FILE] [--seconds N] [--profile]`, and `python -m benchmarks --write`."""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import COMPARISONS, compare
from benchmarks.profile import profile
from benchmarks.results import PAGE, STORE, keep, machine, table, write_page

THREADS = 2


def main() -> int:
    """Run comparisons, or write the page of their results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure regard beside its peers.")
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"of {', '.join(COMPARISONS)}; all where none is given"
    )
    parser.add_argument("--json", type=Path, default=STORE, metavar="FILE", help="where the results are kept")
    parser.add_argument("--seconds", type=float, default=60, help="how long one measurement may take; 60 if not given")
    parser.add_argument("--profile", action="store_true", help="keep a profile of regard's side with the results")
    parser.add_argument("--write", action="store_true", help=f"measure nothing, and write {PAGE.name} from the results")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in COMPARISONS]
    if unknown:
        parser.error(f"there is no comparison {', '.join(unknown)}; there are {', '.join(COMPARISONS)}")
    if options.write:
        write_page(options.json)
        return 0

    import torch

    torch.set_num_threads(THREADS)
    failed = False
    for name in options.names or COMPARISONS:
        before, start = machine(), time.perf_counter()
        try:
            outcome = compare(name, seconds=options.seconds)
        except ModuleNotFoundError as error:
            print(f"{name}: skipped, {error.name} is not installed; pip install 'regard[benchmark]'", file=sys.stderr)
            failed = True
            continue
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
            failed = True
            continue
        where = profile(outcome.profiled) if options.profile and outcome.profiled is not None else None
        keep(name, outcome, before, profile=where, path=options.json)
        print(f"\n{name}, {time.perf_counter() - start:.0f} s\n{table(outcome.rows)}", flush=True)
        for key, value in outcome.facts.items():
            print(f"{key}: {value}")
        if where is not None:
            print(where)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Peak memory of a training step.

The largest resident set of a fresh process which builds the model and takes four training steps, from the kernel's own
count. Everything is in it: the interpreter, torch and the libraries, parameters, gradients, Adam's two moments, and the
activations. Both sides train in float32 on the same batches of Multi30k, regard packed, MarianMTModel padded.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.material import ROOT, Material, Pair, packed, padded
from benchmarks.measure import progress
from benchmarks.results import Outcome, Row
from regard.models.transformer import TransformerConfig

PEER = "MarianMT, padded"


def compare(
    *,
    seconds: float,
    material: Material | None = None,
    sizes: dict[str, TransformerConfig] | None = None,
    batches: Sequence[int] = (64, 128),
    steps: int = 4,
) -> Outcome:
    """Each size with each size of batch, in sentences; `seconds` plays no part, the work is fixed."""
    from benchmarks.training import SIZES

    material = material or Material.multi30k()
    rows = []
    for name, config in (sizes or {"6 x 512": SIZES["6 x 512"]}).items():
        config = replace(config, vocabulary=material.vocabulary)
        for batch in batches:
            lists = material.batches(steps, batch)
            progress(f"memory: {name}, {batch} sentences")
            ours, theirs = peak("regard", config, lists), peak(PEER, config, lists)
            work = f"{name}, float32, {batch} sentences"
            rows.append(Row(work, "MB", ours, PEER, theirs, ours / theirs, 0.7, at_most=True))
    progress("")
    return Outcome(rows, {"vocabulary": material.vocabulary, "training steps": steps})


def peak(contender: str, config: TransformerConfig, batches: Sequence[Sequence[Pair]]) -> float:
    """The peak of one contender in a process of its own, in megabytes of 10^6 bytes."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory) / "work.json"
        work.write_text(json.dumps({"contender": contender, "config": vars(config), "batches": batches}))
        command = [sys.executable, "-m", "benchmarks.memory", str(work)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{contender} failed:\n{result.stderr}")
    return float(result.stdout)


def child(path: Path) -> None:
    """Take the steps which `path` describes, and print the peak of this process."""
    import torch

    torch.set_num_threads(2)
    work = json.loads(path.read_text())
    config = TransformerConfig(**work["config"])
    if work["contender"] == PEER:
        from benchmarks.peers import marian, training

        model = marian.build(config)
        step, made = training.step(model, partial(marian.scores, model), bfloat16=False), padded
    else:
        from benchmarks import ours
        from regard.models.transformer import Transformer

        step, made = ours.step(Transformer(config), bfloat16=False), packed
    for batch in work["batches"]:
        step(*made(batch))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)  # the kernel counts in units of 1024 bytes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the peak memory of the work in a file, in megabytes.")
    parser.add_argument("work", type=Path)
    child(parser.parse_args().work)

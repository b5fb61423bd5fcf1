"""Prediction with BERT.

Inputs a second of BERT-base with weights drawn at random: sentences of SST-2's development set with a class each, and
windows of 384 tokens of questions and contexts out of SQuAD's, with scores of starts and ends. regard is given inputs
in the order of the file, and packs those of like length together. Its peers have the same weights and the same ids, in
batches of 32 which are padded to their longest: in the order of the file, and once more sorted by length, which saves
them most of the padding. Hugging Face's model has its default attention; with bfloat16 both sides keep their weights in
it. ONNX Runtime has the same model, exported and fused by its own optimiser; it computes as many batches side by side
as there are threads, which is faster than all threads on one batch, and has no bfloat16 on this kind of processor. With
int8, weights are rounded on both sides, and what is multiplied with them when it comes.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks import encoders
from benchmarks.measure import Workload, alternate
from benchmarks.results import Outcome, Row
from regard.data.inputs import Examples, Inputs, Integers
from regard.layers.linear import has_bfloat16_products
from regard.models.bert import BERT_SIZES, BERTConfig
from regard.models.heads import Classifier, Head, SpanFinder
from regard.reading.reader import Reader

TRANSFORMERS, ONNX = "Transformers", "ONNX Runtime"
SORTED = "sorted by length"
PRECISIONS = ("float32", "bfloat16", "int8")
TARGETS = {
    ("float32", TRANSFORMERS): (2.0, 1.3),  # in the order of the file, and sorted
    ("bfloat16", TRANSFORMERS): (2.0, 1.3),
    ("float32", ONNX): (1.2, 1.2),
    ("int8", ONNX): (1.0, 1.0),
}


@dataclass(frozen=True)
class Task:
    """What is predicted, and of how many inputs in one part."""

    head: type[Head]
    longest: int
    inputs: int
    examples: Callable[..., Examples]


TASKS = {
    "SST-2": Task(Classifier, 128, 256, lambda form: encoders.glue("SST-2", "dev", form)),
    "SQuAD": Task(SpanFinder, 384, 128, encoders.squad),
}
Compute = Callable[[dict[str, Tensor]], object]  # a padded batch


def compare(
    *,
    seconds: float,
    config: BERTConfig = BERT_SIZES["base"],
    tasks: Sequence[str] = tuple(TASKS),
    precisions: Sequence[str] = PRECISIONS,
    inputs: int | None = None,
) -> Outcome:
    """Each task in each precision.

    Args:
        inputs: of a part; those of `TASKS` by default.
    """
    rows: list[Row] = []
    facts: dict[str, object] = {"inputs in a peer's batch": encoders.BATCH}
    profiled: Workload | None = None
    for name in tasks:
        task = TASKS[name]
        torch.manual_seed(1)
        model = encoders.fresh(task.head, config).eval()
        examples = task.examples(encoders.form(model, task.longest)).inputs
        parts = encoders.batches(np.arange(len(examples)), inputs or task.inputs)[:-1]  # the last is smaller
        facts[f"inputs in a part, {name}"] = len(parts[0])
        for order, is_sorted in (("", False), (f", {SORTED}", True)):
            batches = [own for part in parts for own in peers_batches(examples, part, is_sorted=is_sorted)]
            share = encoders.padding_share(examples, batches)
            facts[f"padding, {name}{order}"] = f"{share:.0%}"
        for precision in precisions:
            if precision == "bfloat16" and not has_bfloat16_products():
                continue
            with TemporaryDirectory() as folder:
                workloads = contenders(model, examples, parts, precision, Path(folder))
                profiled = profiled or workloads[0]
                speeds = alternate(f"{name}, {precision}", workloads, seconds=seconds)
            for peer in (TRANSFORMERS, ONNX):
                targets = TARGETS.get((precision, peer), ())
                for order, target in zip(("", f", {SORTED}"), targets, strict=False):
                    rows.append(Row.beside(f"{name}, {precision}", "inputs/s", speeds, f"{peer}{order}", target))
    return Outcome(rows, facts, profiled)


def contenders(
    model: Head, inputs: Inputs, parts: Sequence[Integers], precision: str, folder: Path, *, device: str = "cpu"
) -> list[Workload]:
    """regard first, then each of its peers twice, with the same weights; a part is some of the inputs."""
    from benchmarks.peers import encoders as transformers
    from benchmarks.peers import onnx_runtime

    threads = torch.get_num_threads()
    peers: dict[str, tuple[Compute, int]] = {}  # and how many batches at once
    theirs = transformers.build(model)
    if (precision, ONNX) in TARGETS:
        path = folder / "model.onnx"
        onnx_runtime.export(theirs, path)
        if precision == "int8":
            onnx_runtime.round_weights(path)
        peers[ONNX] = partial(onnx_runtime.scores, onnx_runtime.load(path, threads=1)), threads
    if (precision, TRANSFORMERS) in TARGETS:
        theirs = theirs.bfloat16() if precision == "bfloat16" else theirs
        peers[TRANSFORMERS] = partial(transformers.scores, theirs.to(device)), 1
    reader = Reader(deepcopy(model), encoders.tokenizer()).to(device)
    if precision != "float32":
        reader.round_weights(precision)
    found = [Workload("regard", _reading(reader, inputs, parts))]
    for name, (compute, side_by_side) in peers.items():
        for suffix, is_sorted in (("", False), (f", {SORTED}", True)):
            batches = [peers_batches(inputs, part, is_sorted=is_sorted) for part in parts]
            found.append(Workload(f"{name}{suffix}", _padding(compute, inputs, batches, side_by_side)))
    return found


def peers_batches(inputs: Inputs, part: Integers, *, is_sorted: bool) -> list[Integers]:
    """A part in the batches of a peer, in its own order or with the longest first."""
    return encoders.batches(part[np.argsort(-inputs.lengths[part], kind="stable")] if is_sorted else part)


def _reading(reader: Reader, inputs: Inputs, parts: Sequence[Integers]) -> Callable[[int], int]:
    """regard's side."""
    compute = _spans if reader.head == "span" else Reader.scores
    chosen = [encoders.chosen(inputs, part) for part in parts]

    def run(part: int) -> int:
        own = chosen[part % len(chosen)]
        compute(reader, own)
        return len(own)

    return run


def _spans(reader: Reader, inputs: Inputs) -> list[tuple[Tensor, ...]]:
    """Scores of starts and ends of each input."""
    return reader.read(
        inputs, lambda text, segments: list(zip(*map(text.unpack, reader.model(text, segments)), strict=True))
    )


def _padding(
    compute: Compute, inputs: Inputs, parts: Sequence[Sequence[Integers]], side_by_side: int
) -> Callable[[int], int]:
    """A peer's side, which computes so many batches at once."""
    padded = [[encoders.padded(inputs, batch, encoders.Filling()) for batch in part] for part in parts]
    pool = ThreadPoolExecutor(side_by_side)

    def run(part: int) -> int:
        own = padded[part % len(padded)]
        for _ in pool.map(compute, own) if side_by_side > 1 else map(compute, own):
            pass
        return sum(len(batch["input_ids"]) for batch in own)

    return run

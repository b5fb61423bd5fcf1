"""On a GPU.

The same contests on one GPU, where a machine has one, with each side's own choice of kernels: the step of fine-tuning
in batches of 32, prediction with half-precision weights, and the training step of GPT-2's smallest size on full windows
of 1,024 tokens. Each time ends when the device has done its work. Inputs start in the host's memory and are moved as a
trainer would. The share of the device's products is what a training step's operations (6 for each parameter that is
multiplied with a token, and 12 times layers, width and half the context for attention) come to a second, over those of
a product of two 8,192 x 8,192 matrices in the same run.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks import encoders, encoders_prediction, encoders_training, language_training
from benchmarks.generation import published
from benchmarks.measure import Workload, alternate
from benchmarks.results import Outcome, Row
from regard.models.gpt2 import GPT2_SIZES

DEVICE = "cuda"
WORK = (("BERT-base", "MRPC"), ("MiniLM", "SST-2"))
SIDE = 8192


def compare(*, seconds: float, batches: int = 8) -> Outcome:
    """Fine-tuning, prediction and the training of GPT-2.

    Args:
        batches: of a round.

    Raises:
        FileNotFoundError: if there is no GPU.
    """
    if not torch.cuda.is_available():
        raise FileNotFoundError("there is no CUDA device here")
    rows = [*_fine_tuning(seconds, batches), *_prediction(seconds)]
    trained, share = _language_training(seconds)
    facts = {"device": torch.cuda.get_device_name(), "share of the device's products, GPT-2, bfloat16": f"{share:.0%}"}
    return Outcome([*rows, *trained], facts)


def _fine_tuning(seconds: float, batches: int) -> list[Row]:
    """A large model on longer inputs and a small one on short inputs, in both precisions."""
    rows = []
    for name, task in WORK:
        for bfloat16 in (False, True):
            torch.manual_seed(1)
            model = encoders_training.MODELS[name]()
            examples = encoders.glue(task, "train", encoders.form(model))
            order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(1)).numpy()
            parts = encoders.batches(order[: encoders.BATCH * batches])
            workloads = encoders_training.contenders(model, examples, parts, bfloat16=bfloat16, device=DEVICE)
            title = f"fine-tuning {name}, {task}, {'bfloat16' if bfloat16 else 'float32'}"
            speeds = _alternate(title, workloads, seconds, len(parts))
            rows.append(Row.beside(title, "examples/s", speeds, encoders_training.PEER, None))
    return rows


def _prediction(seconds: float) -> list[Row]:
    """BERT-base on the sentences of SST-2's development set, its weights in bfloat16."""
    torch.manual_seed(1)
    model = encoders_training.MODELS["BERT-base"]().eval()
    inputs = encoders.glue("SST-2", "dev", encoders.form(model)).inputs
    parts = [np.arange(len(inputs))]
    workloads = encoders_prediction.contenders(model, inputs, parts, "bfloat16", Path(), device=DEVICE)
    title = "prediction BERT-base, SST-2, bfloat16"
    speeds = _alternate(title, workloads, seconds, 1)
    return [Row.beside(title, "inputs/s", speeds, other.name, None) for other in workloads[1:]]


def _language_training(seconds: float, windows: int = 16, context: int = 1023) -> tuple[list[Row], float]:
    """Both precisions, and which part of the device's products of bfloat16 the step does."""
    batches = language_training.cut(published().encode(language_training.wikitext(400_000)), windows, context)
    config, rows, speed = GPT2_SIZES["124M"], [], 0.0
    for bfloat16 in (False, True):
        workloads = language_training.contenders(config, batches, bfloat16=bfloat16, device=DEVICE)
        title = f"training GPT-2 124M, {windows} x {context}, {'bfloat16' if bfloat16 else 'float32'}"
        speeds = _alternate(title, workloads, seconds, len(batches))
        rows.append(Row.beside(title, "tokens/s", speeds, language_training.PEER, None))
        speed = speeds["regard"].median
    multiplied = 12 * config.depth * config.width**2 + config.vocabulary * config.width
    operations = 6 * multiplied + 12 * config.depth * config.width * context / 2
    return rows, speed * operations / _products(seconds)


def _products(seconds: float) -> float:
    """Operations a second of a large product of bfloat16."""
    a, b = (torch.randn(SIDE, SIDE, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(a)

    def run(_: int) -> int:
        for _ in range(10):
            torch.mm(a, b, out=product)
        return 10 * 2 * SIDE**3

    return _alternate("products", [Workload("product", run)], min(seconds, 3.0), 1)["product"].median


def _alternate(title: str, workloads: Sequence[Workload], seconds: float, parts: int):
    """`alternate`, where a part has ended when the device has done its work."""

    def ended(run: Callable[[int], int]) -> Callable[[int], int]:
        def until_done(part: int) -> int:
            units = run(part)
            torch.cuda.synchronize()
            return units

        return until_done

    for workload in workloads:  # kernels are chosen and compiled, and memory is taken, by each shape once
        for part in range(parts):
            workload.run(part)
    return alternate(title, [Workload(one.name, ended(one.run)) for one in workloads], seconds=seconds, parts=parts)

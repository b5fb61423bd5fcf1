"""Fine-tuning step of BERT, MiniLM, XLNet and GPT-2.

Examples a second of forward, backward, clipping and optimiser in batches of 32, with dropout 0.1 everywhere: BERT-base,
XLNet-base and GPT-2's smallest size, but for its vocabulary, with weights drawn at random, and MiniLM as it was
published, each with a fresh layer for two classes. All read the same examples of MRPC and SST-2, in one random order,
as BERT's tokenizer cuts them. regard packs them; its peer is what Hugging Face's Trainer does in a step, on batches
which are padded to their longest example, as its default collator does, with its default attention and optimiser. Both
sides start from the same weights. bfloat16 is what both trainers have of it, and is measured where the processor has
products of it: elsewhere the peer's steps take minutes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from benchmarks import encoders, ours
from benchmarks.measure import Workload, alternate
from benchmarks.results import Outcome, Row
from regard.data.inputs import Examples, Integers
from regard.layers.linear import has_bfloat16_products
from regard.models.bert import BERT_SIZES
from regard.models.gpt2 import GPT2_SIZES
from regard.models.heads import Classifier, Head
from regard.models.xlnet import XLNET_SIZES
from regard.objectives.labels import Classes

PEER = "Trainer"
TARGET = 2.0
MODELS: dict[str, Callable[[], Head]] = {
    "BERT-base": partial(encoders.fresh, Classifier, BERT_SIZES["base"]),
    "MiniLM": partial(encoders.minilm, Classifier),
    "XLNet-base": partial(encoders.fresh, Classifier, XLNET_SIZES["base"]),
    "GPT-2": partial(encoders.fresh, Classifier, replace(GPT2_SIZES["124M"], vocabulary=30522)),
}
WORK = [(model, task) for model in ("BERT-base", "MiniLM", "GPT-2") for task in ("MRPC", "SST-2")]
WORK.append(("XLNet-base", "MRPC"))


def compare(
    *,
    seconds: float,
    models: Mapping[str, Callable[[], Head]] = MODELS,
    work: Sequence[tuple[str, str]] = WORK,
    batches: int = 4,
) -> Outcome:
    """Each model with each of its tasks, in each precision which the processor has.

    Args:
        batches: of a round.
    """
    rows: list[Row] = []
    facts: dict[str, object] = {"examples in a batch": encoders.BATCH}
    profiled: Workload | None = None
    for name, task in work:
        build = models[name]
        for bfloat16 in (False, True):
            if bfloat16 and not has_bfloat16_products():
                continue
            torch.manual_seed(1)
            model = build()
            examples = encoders.glue(task, "train", encoders.form(model))
            order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(1)).numpy()
            parts = encoders.batches(order[: encoders.BATCH * batches])
            facts.setdefault(f"padding, {task}", f"{encoders.padding_share(examples.inputs, parts):.0%}")
            workloads = contenders(model, examples, parts, bfloat16=bfloat16)
            profiled = profiled or workloads[0]
            title = f"{name}, {task}, {'bfloat16' if bfloat16 else 'float32'}"
            speeds = alternate(title, workloads, seconds=seconds, parts=len(parts))
            rows.append(Row.beside(title, "examples/s", speeds, PEER, TARGET))
    return Outcome(rows, facts, profiled)


def contenders(
    model: Head, examples: Examples, parts: Sequence[Integers], *, bfloat16: bool, device: str = "cpu"
) -> list[Workload]:
    """regard first, then its peer with the same weights; a part is one batch."""
    from benchmarks.peers import encoders as peers

    theirs = peers.step(peers.build(model), bfloat16=bfloat16, device=device)
    mine = ours.encoder_step(Classes(model), bfloat16=bfloat16, device=device)
    packed = [examples.batch(part) for part in parts]
    filling = encoders.filling(model)
    padded = [encoders.padded(examples.inputs, part, filling) | {"labels": examples.labels[part]} for part in parts]
    return [
        Workload("regard", lambda part: mine(packed[part % len(packed)])),
        Workload(PEER, lambda part: theirs(padded[part % len(padded)])),
    ]

"""Training step of the Transformer.

Target tokens a second (ends included, padding not counted) of forward, backward and Adam, with dropout 0.1 and labels
smoothed by 0.1. Everybody trains on the same Multi30k sentences with one joint vocabulary of about 8,000. regard packs
the batches which a shuffling loader gives; Hugging Face's MarianMTModel and torch.nn.Transformer pad them to their
longest sentence. MarianMTModel is also shown with batches of like length: that loader spares it most of the padding.
Adam is torch's fused one on all sides. bfloat16 is autocast for the peers, and what its trainer has for regard; where
the processor has no bfloat16 products, batches are smaller, since the peers' backward pass takes minutes otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from benchmarks import ours
from benchmarks.material import Material, Pair, bucketed, packed, padded, padding_share
from benchmarks.measure import Workload, alternate
from benchmarks.peers import training as peers
from benchmarks.results import Outcome, Row
from regard.layers.linear import has_bfloat16_products
from regard.models.transformer import TRANSFORMER_SIZES, Transformer, TransformerConfig

SIZES = {"6 x 512": TRANSFORMER_SIZES["base"], "3 x 256": TRANSFORMER_SIZES["small"]}
MARIAN, BUCKETS, TORCH = "MarianMT, padded", "MarianMT, length buckets", "nn.Transformer, padded"
TARGETS = {MARIAN: 2.0, BUCKETS: None, TORCH: 1.5}
UNIT = "target tokens/s"


def compare(
    *,
    seconds: float,
    material: Material | None = None,
    sizes: dict[str, TransformerConfig] = SIZES,
    batch: int = 64,
    batches: int = 4,
) -> Outcome:
    """Both sizes in both precisions.

    Args:
        batch: sentences.
        batches: of a round.
    """
    material = material or Material.multi30k()
    rows: list[Row] = []
    facts: dict[str, object] = {"vocabulary": material.vocabulary, "sentences in a batch": batch}
    profiled: Workload | None = None
    for size, config in sizes.items():
        config = replace(config, vocabulary=material.vocabulary)
        for bfloat16 in (False, True):
            # products of bfloat16 without hardware are about a hundred times slower in the backward pass
            small = bfloat16 and not has_bfloat16_products()
            lists = material.batches(1 if small else batches, max(1, batch // 8) if small else batch)
            precision = "bfloat16" if bfloat16 else "float32"
            if small:
                facts["sentences in a batch, bfloat16"] = len(lists[0])
            else:
                facts["padding"] = f"{padding_share(lists):.0%}"
                facts["padding in length buckets"] = f"{padding_share(bucketed(lists)):.0%}"
            workloads = contenders(config, lists, bfloat16=bfloat16)
            profiled = profiled or workloads[0]
            speeds = alternate(f"{size}, {precision}", workloads, seconds=seconds, parts=len(lists))
            rows += [Row.beside(f"{size}, {precision}", UNIT, speeds, name, target) for name, target in TARGETS.items()]
    return Outcome(rows, facts, profiled)


def contenders(config: TransformerConfig, batches: Sequence[Sequence[Pair]], *, bfloat16: bool) -> list[Workload]:
    """regard first, then its peers, with fresh weights; a part is one batch."""
    from benchmarks.peers import marian
    from benchmarks.peers.torch_transformer import TorchTransformer

    torch.manual_seed(1)
    plain = [padded(batch) for batch in batches]
    like = [padded(batch) for batch in bucketed(batches)]
    theirs = {MARIAN: marian.build(config), BUCKETS: marian.build(config), TORCH: TorchTransformer(config)}
    run = ours.step(Transformer(config), bfloat16=bfloat16)
    result = [Workload("regard", _over([packed(batch) for batch in batches], run))]
    for name, model in theirs.items():
        scores = model if name == TORCH else partial(marian.scores, model)
        run = peers.step(model, scores, bfloat16=bfloat16)
        result.append(Workload(name, _over(like if name == BUCKETS else plain, run)))
    return result


def _over(batches: Sequence, run: Callable[..., int]) -> Callable[[int], int]:
    """A part after another takes the batches in turn."""
    return lambda part: run(*batches[part % len(batches)])

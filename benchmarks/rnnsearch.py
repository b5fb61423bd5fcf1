"""Training step of RNNsearch.

Target tokens a second of forward, backward and Adam at embedding 256, width 512, with batches of 80 sentences as in the
paper, in random order. The peer is RNNsearch as tutorials write it: torch.nn.GRU reads the padded source, a loop over
torch.nn.GRUCell with additive attention writes, and each step computes its own scores. It is shown once more with the
projection of the annotations computed once before the loop, as a careful author would.
"""

from dataclasses import replace

import torch

from benchmarks import ours
from benchmarks.material import Material, packed, padded, padding_share
from benchmarks.measure import Workload, alternate
from benchmarks.peers import training as peers
from benchmarks.peers.gru_loop import GRULoop, GRULoopWithKeysOnce
from benchmarks.results import Outcome, Row
from regard.models.rnnsearch import RNNSEARCH_SIZES, RNNSearch, RNNSearchConfig

PEERS = {"GRUCell loop": (GRULoop, 2.0), "GRUCell loop, keys once": (GRULoopWithKeysOnce, None)}


def compare(
    *,
    seconds: float,
    material: Material | None = None,
    config: RNNSearchConfig = RNNSEARCH_SIZES["small"],
    batch: int = 80,
    batches: int = 4,
) -> Outcome:
    """regard beside both loops."""
    material = material or Material.multi30k()
    config = replace(config, source_vocabulary=material.vocabulary, target_vocabulary=material.vocabulary)
    torch.manual_seed(1)
    lists = material.batches(batches, batch)
    plain, dense = [padded(pairs) for pairs in lists], [packed(pairs) for pairs in lists]
    step = ours.step(RNNSearch(config), bfloat16=False)
    workloads = [Workload("regard", lambda part: step(*dense[part % batches]))]
    for name, (kind, _) in PEERS.items():
        model = kind(config)
        theirs = peers.step(model, model, bfloat16=False)
        workloads.append(Workload(name, lambda part, theirs=theirs: theirs(*plain[part % batches])))
    speeds = alternate("RNNsearch", workloads, seconds=seconds, parts=batches)
    work = f"{config.embedding}/{config.width}, float32"
    rows = [Row.beside(work, "target tokens/s", speeds, name, target) for name, (_, target) in PEERS.items()]
    facts = {"vocabulary": material.vocabulary, "sentences in a batch": batch, "padding": f"{padding_share(lists):.0%}"}
    return Outcome(rows, facts, workloads[0])

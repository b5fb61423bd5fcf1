"""Peak memory of a training step.

The largest resident set of a fresh process which builds the model and takes four training steps, from the kernel's own
count. Everything is in it: the interpreter, torch and the libraries, parameters, gradients, Adam's two moments, and the
activations. Both sides train in float32 on the same batches of Multi30k, regard packed, MarianMTModel padded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.material import ROOT, Material, packed, padded
from benchmarks.measure import progress
from benchmarks.results import Outcome, Row
from regard.models.transformer import TransformerConfig

if TYPE_CHECKING:  # a process of its own is as small as its contender
    from regard.data.masked_sequences import MaskedBatch

Step = Callable[[Sequence[Any]], Any]  # one training step on a batch
OURS, PEER = "regard", "MarianMT, padded"
OURS_OF_TEXT, PEER_OF_TEXT = "regard, of text", "GPT2LMHeadModel"
OURS_OF_MASKED, PEER_OF_MASKED = "regard, of masked text", "BertForPreTraining"


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
            ours, theirs = (peak(contender, vars(config), lists) for contender in (OURS, PEER))
            work = f"{name}, float32, {batch} sentences"
            rows.append(Row(work, "MB", ours, PEER, theirs, ours / theirs, 0.7, at_most=True))
    progress("")
    return Outcome(rows, {"vocabulary": material.vocabulary, "training steps": steps})


def peak(contender: str, config: dict[str, Any], batches: Sequence[Sequence[Any]]) -> float:
    """The peak of one contender in a process of its own, in megabytes of 10^6 bytes.

    Args:
        contender: one of STEPS.
        config: of its model.
        batches: of pairs of ids, or of ids, as it takes them.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory) / "work.json"
        work.write_text(json.dumps({"contender": contender, "config": config, "batches": batches}))
        command = [sys.executable, "-m", "benchmarks.memory", str(work)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{contender} failed:\n{result.stderr}")
    return float(result.stdout)


def _translation(config: dict[str, Any]) -> Step:
    """regard on pairs."""
    from benchmarks import ours
    from regard.models.transformer import Transformer

    step = ours.step(Transformer(TransformerConfig(**config)), bfloat16=False)
    return lambda batch: step(*packed(batch))


def _marian(config: dict[str, Any]) -> Step:
    """MarianMTModel on pairs."""
    from benchmarks.peers import marian, training

    model = marian.build(TransformerConfig(**config))
    step = training.step(model, partial(marian.scores, model), bfloat16=False)
    return lambda batch: step(*padded(batch))


def _text(config: dict[str, Any]) -> Step:
    """regard's GPT-2 on windows."""
    from benchmarks import ours
    from regard.attention.packing import Packed
    from regard.models.gpt2 import GPT2, GPT2Config

    step = ours.language_step(GPT2(GPT2Config(**config)), bfloat16=False)
    return lambda batch: step(Packed.of(batch))


def _gpt2(config: dict[str, Any]) -> Step:
    """GPT2LMHeadModel on windows."""
    import torch

    from benchmarks.peers import gpt2, language_training
    from regard.models.gpt2 import GPT2Config

    step = language_training.step(gpt2.fresh(GPT2Config(**config)), bfloat16=False)
    return lambda batch: step(torch.tensor(batch))


def _masked(config: dict[str, Any]) -> Step:
    """regard's BERT on masked sequences."""
    from benchmarks import encoders, ours
    from regard.models.bert import BERTConfig
    from regard.models.heads import MaskedWordsAndPair
    from regard.objectives.masked_words import MaskedWords

    step = ours.encoder_step(MaskedWords(encoders.fresh(MaskedWordsAndPair, BERTConfig(**config))), bfloat16=False)
    return lambda batch: step(_batch(batch))


def _bert(config: dict[str, Any]) -> Step:
    """BertForPreTraining on masked sequences."""
    from benchmarks import encoders
    from benchmarks.encoders_pretraining import padded
    from benchmarks.peers import encoders as peers
    from regard.models.bert import BERTConfig
    from regard.models.heads import MaskedWordsAndPair

    step = peers.step(peers.build(encoders.fresh(MaskedWordsAndPair, BERTConfig(**config))), bfloat16=False)
    return lambda batch: step(padded(_batch(batch)))


def listed(batch: "MaskedBatch") -> list[list[int]]:
    """A masked batch as plain numbers: ids, lengths, and the other parts in their order."""
    parts: list[Any] = [batch.text.tokens, batch.text.lengths, *batch.parts[1:]]
    return [part.tolist() for part in parts]


def _batch(lists: Sequence[list[int]]) -> "MaskedBatch":
    """The reverse of `listed`."""
    import torch

    from regard.attention.packing import Packed
    from regard.data.masked_sequences import MaskedBatch

    tokens, lengths, *others = map(torch.tensor, lists)
    return MaskedBatch(Packed(tokens, lengths), *others)


STEPS: dict[str, Callable[[dict[str, Any]], Step]] = {
    OURS: _translation,
    PEER: _marian,
    OURS_OF_TEXT: _text,
    PEER_OF_TEXT: _gpt2,
    OURS_OF_MASKED: _masked,
    PEER_OF_MASKED: _bert,
}


def child(path: Path) -> None:
    """Take the steps which `path` describes, and print the peak of this process."""
    import torch

    torch.set_num_threads(2)
    work = json.loads(path.read_text())
    step = STEPS[work["contender"]](work["config"])
    for batch in work["batches"]:
        step(batch)
    print(_highest())


def _highest() -> float:
    """The largest resident set which this process has had, in megabytes; of Linux.

    What `getrusage` says begins with the parent's, from before the program was loaded.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the peak memory of the work in a file, in megabytes.")
    parser.add_argument("work", type=Path)
    child(parser.parse_args().work)

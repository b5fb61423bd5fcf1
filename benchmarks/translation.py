"""Beam-5 translation of the test set.

Sentences a second, text in and text out, of a Transformer 6 x 512 in float32 with beams of 5, on slices of Multi30k's
test set. All three run the same network with the same weights (regard's, put into the peers' own formats), and all rank
by the plain sum of log-probabilities, with at most 50 tokens more than the source. Each groups by length as suits it:
regard and CTranslate2 by themselves, Hugging Face's `generate` on sorted batches of 32. CTranslate2 has the threads of
everybody: in one worker, with batches of 128, and with a worker for each thread, with batches of 32, as suits it best.

Sentences must end where sentences end, or the peers would be measured on nothing but their longest length. So one layer
of 512 is trained for a few hundred steps, and then gets five more which add nothing: how long a product takes does not
depend on what is multiplied.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from benchmarks import ours
from benchmarks.material import END, ROOT, Material, packed
from benchmarks.measure import Workload, alternate, progress
from benchmarks.results import Outcome, Row
from regard.decoding.translator import Translator
from regard.models.transformer import TRANSFORMER_SIZES, Transformer, TransformerConfig

CACHE = ROOT / "runs" / "benchmarks"
GENERATE, TOGETHER, APART = "MarianMT.generate", "CTranslate2, one worker", "CTranslate2, a worker a thread"
TARGETS = {GENERATE: 3.0, TOGETHER: 1.0, APART: 1.0}
BATCHES = {GENERATE: 32, TOGETHER: 128, APART: 32}  # sentences


def compare(
    *,
    seconds: float,
    material: Material | None = None,
    config: TransformerConfig = TRANSFORMER_SIZES["base"],
    beams: int = 5,
    slice_size: int = 250,
    steps: int = 400,
    cache: Path | None = CACHE,
) -> Outcome:
    """regard beside both peers.

    Args:
        slice_size: sentences in a round.
        steps: of training, before anything is measured.
        cache: where the trained weights are kept for the next time.
    """
    material = material or Material.multi30k()
    translator = trained(replace(config, vocabulary=material.vocabulary), material, steps, cache)
    threads = torch.get_num_threads()
    texts = [material.tokenizer.decode(source) for source, _ in material.test]
    slices = [texts[first :: max(1, len(texts) // slice_size)] for first in range(max(1, len(texts) // slice_size))]
    made: dict[str, dict[int, list[str]]] = {}

    def workload(name: str, translate: Callable[[Sequence[str]], list[str]]) -> Workload:
        def run(part: int) -> int:
            torch.set_num_threads(threads)  # a model of CTranslate2 changes what all others have
            number = part % len(slices)
            made.setdefault(name, {})[number] = translate(slices[number])
            return len(slices[number])

        return Workload(name, run)

    def alone(part: int) -> int:
        torch.set_num_threads(1)  # a profile sees one thread
        try:
            return len(own(slices[part % len(slices)]))
        finally:
            torch.set_num_threads(threads)

    def own(sentences: Sequence[str]) -> list[str]:
        return translator.translate(sentences, beams=beams, length_penalty=0.0)

    with tempfile.TemporaryDirectory() as directory:
        theirs = peers(translator, beams, Path(directory))
        workloads = [workload("regard", own), *(workload(name, run) for name, run in theirs.items())]
        speeds = alternate("translation", workloads, seconds=3 * seconds, most=len(slices))
    work = f"{config.depth} x {config.width}, float32, beams of {beams}"
    rows = [Row.beside(work, "sentences/s", speeds, name, TARGETS[name]) for name in theirs]
    facts: dict[str, object] = {"sentences in a round": len(slices[0])}
    for name, results in made.items():
        count = sum(translator.counts([text for number in sorted(results) for text in results[number]]))
        facts[f"tokens a sentence, {name}"] = round(count / sum(map(len, results.values())), 1)
        if name != "regard":
            pairs = [(number, place) for number in results for place in range(len(results[number]))]
            same = sum(results[number][place] == made["regard"][number][place] for number, place in pairs)
            facts[f"same translations, {name}"] = f"{same / len(pairs):.0%}"
    return Outcome(rows, facts, Workload("regard, one thread", alone))


def peers(translator: Translator, beams: int, directory: Path) -> dict[str, Callable[[Sequence[str]], list[str]]]:
    """Each peer from texts to texts, with the tokenizer and the weights of `translator`."""
    from benchmarks.peers import ctranslate2, marian

    generator = marian.from_regard(translator.model)
    ctranslate2.convert(translator.model, directory)
    threads = torch.get_num_threads()
    together, apart = (ctranslate2.load(directory, threads=threads, workers=workers) for workers in (1, threads))

    def with_text(translate: Callable, model: object, batch: int) -> Callable[[Sequence[str]], list[str]]:
        def run(sentences: Sequence[str]) -> list[str]:
            ids = [[*ids, END] for ids in translator.source.encode_batch(sentences)]
            return translator.target.decode_batch(translate(model, ids, beams=beams, batch=batch))

        return run

    return {
        GENERATE: with_text(marian.translate, generator, BATCHES[GENERATE]),
        TOGETHER: with_text(ctranslate2.translate, together, BATCHES[TOGETHER]),
        APART: with_text(ctranslate2.translate, apart, BATCHES[APART]),
    }


def trained(config: TransformerConfig, material: Material, steps: int, cache: Path | None) -> Translator:
    """A translator which has learnt how long sentences are, from `cache` where it lies there."""
    name = f"{config.depth}x{config.width}-{material.tokenizer.fingerprint[:8]}-{steps}"
    if cache is not None and (cache / name).is_dir():
        return Translator.load(cache / name)
    torch.manual_seed(1)
    model = Transformer(replace(config, depth=1))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):  # what is normal already then passes through the layers to come unchanged
            module.requires_grad_(False)
    step = ours.step(model, bfloat16=False, rate=1e-3, warmup=50)
    size = max(1, min(32, len(material.training) // max(1, steps)))
    for number, batch in enumerate(material.batches(steps, size), 1):
        progress(f"translation: training the weights, step {number} of {steps}")
        step(*packed(batch))
    translator = Translator(deepened(model, config.depth).eval(), material.tokenizer, material.tokenizer)
    if cache is not None:
        translator.save(cache / name)
    return translator


@torch.no_grad()
def deepened(model: Transformer, depth: int) -> Transformer:
    """The same function in `depth` layers, where `model` has one, and its norms neither scale nor shift."""
    deep = Transformer(replace(model.config, depth=depth))
    deep.load_state_dict(model.state_dict(), strict=False)
    for block in (*list(deep.encoder)[1:], *list(deep.decoder)[1:]):
        for name, parameter in block.named_parameters():
            if name.endswith(("attention.output.weight", "contract.weight", "contract.bias")):
                parameter.zero_()
    return deep

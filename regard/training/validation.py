"""What a model in training is worth on the validation set."""

import math
from contextlib import AbstractContextManager
from itertools import islice

import torch

from regard.data.loading import Batching, ordered
from regard.data.parallel import Skipped
from regard.data.store import PairStore
from regard.decoding.translator import Translator
from regard.evaluate.bleu import bleu
from regard.objectives.translation import Translation
from regard.training.run import Run, located


def measure(
    run: Run, translator: Translator, store: PairStore, products: AbstractContextManager[None]
) -> dict[str, float]:
    """Loss and perplexity of the validation set, and BLEU and exact match of its first greedy translations."""
    objective, device = Translation(translator.model).eval(), translator.device
    batching = Batching(tokens=max(run.plan.tokens, run.text.longest, 4096))
    nats, tokens = 0.0, 0
    with torch.no_grad(), products:
        for _, batch in ordered(store, batching):
            batch = batch.to(device)
            result = objective(batch.source, batch.target)
            nats, tokens = nats - float(result.log_likelihood), tokens + result.tokens
    measures = {"nats": nats / tokens, "perplexity": math.exp(min(50.0, nats / tokens))}
    if run.plan.validate_sentences and math.isfinite(nats):
        text = located(run.validation).read(Skipped() if run.text.skip else None)
        pairs = list(islice(text, run.plan.validate_sentences))
        outputs = translator.translate([pair.source for pair in pairs], beams=1, length_penalty=0.0)
        references = [pair.target for pair in pairs]
        measures["bleu"] = bleu(outputs, references).value
        same = sum(output == reference for output, reference in zip(outputs, references, strict=True))
        measures["exact_match"] = 100.0 * same / len(references)
    return measures


def merit(run: Run, measures: dict[str, float]) -> float:
    """What the best checkpoint has most of; a loss which is not finite is the worst."""
    if not math.isfinite(measures["nats"]):
        return -math.inf
    return -measures["nats"] if run.plan.best == "loss" else measures[run.plan.best]

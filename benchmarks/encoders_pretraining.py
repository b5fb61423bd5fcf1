"""Pre-training step of BERT.

Tokens a second of forward, backward, clipping and optimiser of BERT-base, with dropout 0.1 everywhere, which learns
hidden words and next sentences of WikiText-2: pairs of texts of 128 tokens at most, as regard makes them by BERT's own
rules, of which 15 % are to be found. regard packs them, and computes scores of words only where one is hidden; its peer
is BertForPreTraining in the step of Hugging Face's Trainer, on the same sequences, padded to the longest of a batch.
Both sides start from the same weights, drawn at random. bfloat16 is what both trainers have of it, and is measured
where the processor has products of it: elsewhere the peer's steps take minutes. Memory is the peak of four steps in
float32, each side in a process of its own.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks import encoders, memory, ours
from benchmarks.material import data
from benchmarks.measure import Workload, alternate
from benchmarks.results import Outcome, Row
from regard.attention.packing import Packed
from regard.data.corpus import Corpus
from regard.data.loading import Cursor
from regard.data.masked_sequences import MaskedBatch, MaskedSequences
from regard.data.masking import Masking
from regard.data.sentence_pairs import NextSentence
from regard.data.sentence_store import SentenceStore
from regard.layers.linear import has_bfloat16_products
from regard.models.bert import BERT_SIZES, BERTConfig
from regard.models.heads import Head, MaskedWordsAndPair
from regard.objectives.masked_words import MaskedWords

PEER = memory.PEER_OF_MASKED
LENGTH = 128  # tokens of a sequence at most, Devlin et al. 2019, appendix A.2
UNKNOWN = -100  # the label of a token which is not to be found, of Transformers


def compare(
    *, seconds: float, config: BERTConfig = BERT_SIZES["base"], tokens: int = 32 * LENGTH, batches: int = 4
) -> Outcome:
    """Each precision which the processor has, and memory.

    Args:
        tokens: of a batch at most.
        batches: of a round.
    """
    parts = drawn(tokens, batches)
    lengths = [part.text.lengths for part in parts]
    padding = 1 - sum(int(own.sum()) for own in lengths) / sum(int(own.max()) * len(own) for own in lengths)
    rows: list[Row] = []
    profiled: Workload | None = None
    for bfloat16 in (False, True):
        if bfloat16 and not has_bfloat16_products():
            continue
        torch.manual_seed(1)
        model = encoders.fresh(MaskedWordsAndPair, config)
        workloads = contenders(model, parts, bfloat16=bfloat16)
        profiled = profiled or workloads[0]
        work = "bfloat16" if bfloat16 else "float32"
        speeds = alternate(work, workloads, seconds=seconds)
        rows.append(Row.beside(work, "tokens/s", speeds, PEER, 1.7))
        del model, workloads
    lists = [memory.listed(part) for part in parts]
    ours_, theirs = (memory.peak(name, vars(config), lists) for name in (memory.OURS_OF_MASKED, PEER))
    rows.append(Row("float32, memory", "MB", ours_, PEER, theirs, ours_ / theirs, 0.75, at_most=True))
    return Outcome(rows, {"tokens in a batch at most": tokens, "padding": f"{padding:.0%}"}, profiled)


def drawn(tokens: int, count: int) -> list[MaskedBatch]:
    """The first batches of WikiText-2's validation text, of so many tokens at most."""
    tokenizer = encoders.tokenizer()
    corpus = Corpus(str(data("wikitext-2") / "wiki.valid.tokens"))
    with TemporaryDirectory() as folder:
        store = SentenceStore.build(Path(folder) / "store", corpus.read(), tokenizer, sentences="wikitext")
        masking = Masking(tokenizer.mask, tokenizer.size)
        sequences = MaskedSequences(store, NextSentence(), masking, tokenizer.framing(is_last=False), LENGTH, tokens)
        return [sequences.batch(item) for item, _ in islice(sequences.plan(Cursor()), count)]


def contenders(model: Head, parts: Sequence[MaskedBatch], *, bfloat16: bool) -> list[Workload]:
    """regard first, then its peer with the same weights; a part is one batch."""
    from benchmarks.peers import encoders as peers

    theirs = peers.step(peers.build(model), bfloat16=bfloat16)
    mine = ours.encoder_step(MaskedWords(model), bfloat16=bfloat16)
    stacked = [padded(part) for part in parts]

    def run(part: int) -> int:
        own = parts[part % len(parts)]
        mine(own)
        return len(own.text.tokens)

    def run_peer(part: int) -> int:
        own = stacked[part % len(stacked)]
        theirs(own)
        return int(own["attention_mask"].sum())

    return [Workload("regard", run), Workload(PEER, run_peer)]


def padded(batch: MaskedBatch) -> dict[str, Tensor]:
    """What BertForPreTraining is called with."""
    text = batch.text
    labels = torch.full_like(text.tokens, UNKNOWN)
    labels[batch.positions] = batch.words
    fills = {"input_ids": (text.tokens, 0), "token_type_ids": (batch.segments, 0), "labels": (labels, UNKNOWN)}
    found = {name: Packed(values, text.lengths).padded(fill) for name, (values, fill) in fills.items()}
    assert batch.pair_labels is not None
    return {**found, "attention_mask": text.is_token.long(), "next_sentence_label": batch.pair_labels}

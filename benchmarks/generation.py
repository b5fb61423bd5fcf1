"""Generation with GPT-2, and evaluation with memory.

New tokens a second of GPT-2's smallest size with weights drawn at random, greedy: after one prompt of 32 tokens, and
after 32 prompts of 4 to 128 tokens together, 64 new tokens each. The peer is Hugging Face's `generate` on the same
weights, with its usual cache; its prompts of different length are padded on the left, as it wants them. regard's texts
go through its tokenizer both ways, the peer works on ids. With bfloat16 both keep their weights in it; with int8 regard
rounds its weights to 8 bits, and the peer has float32. What one prompt can reach at best is what reading all weights
once takes: the share of that floor is beside it, memory being timed by the sum of a vector as large as the model.

The last row is the evaluation of a Transformer-XL which attends to 800 positions: with memory, in segments of 128, and
as a model without memory would do it, which reads its whole context anew for every token (Dai et al. 2019, table 9).
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.material import ROOT
from benchmarks.measure import Workload, alternate
from benchmarks.peers import gpt2
from benchmarks.results import Outcome, Row
from regard.attention.packing import Packed
from regard.decoding.writer import Writer
from regard.layers.linear import has_bfloat16_products
from regard.layers.rounded import round_weights
from regard.models.gpt2 import GPT2, GPT2_SIZES, GPT2Config
from regard.models.transformer_xl import TRANSFORMER_XL_SIZES, TransformerXL, TransformerXLConfig
from regard.text.tokenizer import Tokenizer

PEER, SLIDING = "generate", "sliding token by token"
TARGETS = {"float32": 1.4, "bfloat16": 1.4, "int8": 3.0}
FLOOR = 0.8


def compare(
    *,
    seconds: float,
    config: GPT2Config = GPT2_SIZES["124M"],
    memory: TransformerXLConfig = TRANSFORMER_XL_SIZES["enwik8-base"],
    reach: int = 800,
    tokens: int = 64,
    tokenizer: Tokenizer | None = None,
) -> Outcome:
    """One prompt in each precision which the processor has, many prompts, and Transformer-XL.

    Args:
        memory: of the Transformer-XL which attends to `reach` positions.
        tokens: new ones of each prompt.
        tokenizer: of as many ids as the model's; GPT-2's published one by default.
    """
    tokenizer = tokenizer or published()
    torch.manual_seed(1)
    model = GPT2(replace(config, vocabulary=tokenizer.size)).eval()
    one, several = _prompts(tokenizer, [32]), _prompts(tokenizer, [4 + 4 * n % 125 for n in range(0, 32)])
    rows: list[Row] = []
    workload: Workload | None = None
    for precision in TARGETS:
        if precision == "bfloat16" and not has_bfloat16_products():
            continue
        ours = _copied(model)
        theirs = gpt2.build(model)
        if precision == "bfloat16":
            theirs = theirs.bfloat16()
        if precision != "float32":
            round_weights(ours, precision)
        writer = Writer(ours, tokenizer)
        pair = [
            Workload("regard", _writing(writer, one, tokens)),
            Workload(PEER, _generating(theirs, tokenizer, one, tokens)),
        ]
        workload = workload or pair[0]
        speeds = alternate(f"one prompt, {precision}", pair, seconds=seconds)
        rows.append(Row.beside(f"one prompt, {precision}", "tokens/s", speeds, PEER, TARGETS[precision]))
        if precision == "float32":
            count = sum(parameter.numel() for parameter in model.parameters())
            share = speeds["regard"].median * _reading(count)
            rows.append(Row("one prompt, float32, of the floor of memory", "share", share, target=FLOOR))
            pair = [
                Workload("regard", _writing(writer, several, tokens)),
                Workload(PEER, _generating(theirs, tokenizer, several, tokens)),
            ]
            speeds = alternate("32 prompts", pair, seconds=seconds)
            rows.append(Row.beside("32 prompts of mixed length, float32", "tokens/s", speeds, PEER, 2.5))
        del ours, theirs, writer
    rows.append(_evaluation(replace(memory, memory=reach), seconds))
    return Outcome(rows, {"new tokens": tokens, "attention length": reach}, workload)


def published() -> Tokenizer:
    """GPT-2's own tokenizer.

    Raises:
        FileNotFoundError: if its files are not in the folder which REGARD_DATA names.
    """
    folder = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / "vocab"
    if not folder.is_dir():
        raise FileNotFoundError(f"no vocabulary at {folder}; set REGARD_DATA to the folder which holds vocab/")
    return Tokenizer.from_files(folder / "gpt2_encoder.json", folder / "gpt2_vocab.bpe")


def _copied(model: GPT2) -> GPT2:
    """The same weights in a model of its own."""
    copy = GPT2(model.config).eval()
    copy.load_state_dict(model.state_dict())
    return copy


def _prompts(tokenizer: Tokenizer, lengths: Sequence[int]) -> list[str]:
    """Prompts of about so many tokens: the words of the vocabulary which are letters, one after another."""
    words = [text for id in range(300, tokenizer.size) if (text := tokenizer.decode([id])).strip().isalpha()][:2000]
    starts = [7 * n for n in range(len(lengths))]
    return ["".join(words[start : start + length]) for start, length in zip(starts, lengths, strict=True)]


def _writing(writer: Writer, prompts: Sequence[str], tokens: int) -> Callable[[int], int]:
    """regard's side; an end of text counts as what is left to write, since it hardly ever comes."""

    def run(_: int) -> int:
        parts = list(writer.stream(prompts, tokens=tokens, temperature=0.0))
        if any(part.ended == "end" for part in parts):
            raise RuntimeError("a text ended by itself, and was not as long as the peer's")
        return tokens * len(prompts)

    return run


def _generating(model, tokenizer: Tokenizer, prompts: Sequence[str], tokens: int) -> Callable[[int], int]:
    """The peer's side."""
    ids = tokenizer.encode_batch(list(prompts))

    def run(_: int) -> int:
        gpt2.generate(model, ids, tokens)
        return tokens * len(prompts)

    return run


def _reading(count: int) -> float:
    """Seconds which reading so many float32 values takes, at best."""
    values, times = torch.ones(count), []
    for _ in range(9):
        start = time.perf_counter()
        values.sum()
        times.append(time.perf_counter() - start)
    return min(times)


def _evaluation(config: TransformerXLConfig, seconds: float, segment: int = 128) -> Row:
    """Transformer-XL with memory, and reading anew for every token."""
    model = TransformerXL(config).eval()
    text = torch.randint(config.vocabulary, (1, config.memory + 8 * segment))

    @torch.inference_mode()
    def with_memory(_: int) -> int:
        memory, read = None, 0
        for part in text.split(segment, 1):
            hidden, memory = model.read(part, memory)
            model.output(hidden[0])
            read += part.shape[1]
        return read

    @torch.inference_mode()
    def sliding(part: int) -> int:
        window = text[0, part : part + config.memory]
        model.output(model.hidden(Packed.of([window]))[-1:])
        return 1

    pair = [Workload("regard", with_memory), Workload(SLIDING, sliding)]
    speeds = alternate("Transformer-XL", pair, seconds=seconds, parts=1)
    work = f"Transformer-XL, evaluation at attention length {config.memory}"
    return Row.beside(work, "tokens/s", speeds, SLIDING, 300.0)

"""CTranslate2, built from regard's weights through its own specification of a Transformer."""

from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
import torch
from ctranslate2.specs import TransformerSpec
from torch import Tensor, nn

from benchmarks.material import END
from regard.models.transformer import EPSILON, Transformer


def convert(model: Transformer, directory: Path) -> None:
    """Write the model in CTranslate2's format, its tokens named by their ids."""
    config = model.config
    spec = TransformerSpec.from_config(config.depth, config.heads, pre_norm=False)
    places = model.positions(512, model.token.weight.device)
    for side in (spec.encoder.embeddings[0], spec.decoder.embeddings):
        side.weight = _array(model.token.weight)
    for side in (spec.encoder, spec.decoder):
        side.position_encodings.encodings = _array(places)
        side.scale_embeddings = True
    spec.decoder.start_from_zero_embedding = True  # regard has no token for the beginning
    spec.decoder.projection.weight = _array(model.output.weight)
    for theirs, ours in zip(spec.encoder.layer, model.encoder, strict=True):
        _self_attention(theirs.self_attention, ours)
        _feed_forward(theirs.ffn, ours)
    for theirs, ours in zip(spec.decoder.layer, model.decoder, strict=True):
        _self_attention(theirs.self_attention, ours)
        query, key, value = ours.source_attention.projection.weight.chunk(3)
        _linear(theirs.attention.linear[0], query)
        _linear(theirs.attention.linear[1], torch.cat([key, value]))
        _linear(theirs.attention.linear[2], ours.source_attention.output.weight)
        _norm(theirs.attention.layer_norm, ours.source_norm)
        _feed_forward(theirs.ffn, ours)
    words = [str(number) for number in range(config.vocabulary)]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "0", str(END), "2"
    spec.config.layer_norm_epsilon = EPSILON
    spec.config.decoder_start_token = "0"
    spec.config.add_source_eos = False
    spec.config.add_source_bos = False
    spec.validate()
    spec.optimize()
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))


def load(directory: Path, *, threads: int, workers: int = 1) -> ctranslate2.Translator:
    """The model in float32, with `threads` threads for `workers` batches at a time."""
    dealt = {"inter_threads": workers, "intra_threads": threads // workers}
    return ctranslate2.Translator(str(directory), device="cpu", compute_type="float32", **dealt)


def translate(
    translator: ctranslate2.Translator, sources: Sequence[Sequence[int]], *, beams: int, batch: int
) -> list[list[int]]:
    """The best hypothesis of each source, without its end; the library sorts by length itself.

    Hypotheses are ranked by plain sums of log-probabilities, and have 50 tokens more than the longest source at most.
    """
    results = translator.translate_batch(
        [[str(token) for token in source] for source in sources],
        beam_size=beams,
        length_penalty=0,
        max_batch_size=batch,
        max_decoding_length=max(len(source) for source in sources) + 50,
    )
    return [[int(token) for token in result.hypotheses[0]] for result in results]


def _self_attention(theirs, ours: nn.Module) -> None:
    """One fused projection on both sides."""
    _linear(theirs.linear[0], ours.attention.projection.weight)
    _linear(theirs.linear[1], ours.attention.output.weight)
    _norm(theirs.layer_norm, ours.attention_norm)


def _feed_forward(theirs, ours: nn.Module) -> None:
    """Two linear maps and the norm after them."""
    for linear, part in ((theirs.linear_0, ours.feed_forward.expand), (theirs.linear_1, ours.feed_forward.contract)):
        _linear(linear, part.weight, part.bias)
    _norm(theirs.layer_norm, ours.feed_forward_norm)


def _linear(theirs, weight: Tensor, bias: Tensor | None = None) -> None:
    """A linear map, with its bias where it has one."""
    theirs.weight = _array(weight)
    if bias is not None:
        theirs.bias = _array(bias)


def _norm(theirs, ours: nn.LayerNorm) -> None:
    """A layer norm."""
    theirs.gamma, theirs.beta = _array(ours.weight), _array(ours.bias)


def _array(x: Tensor) -> np.ndarray:
    """A parameter as an array of its own."""
    return np.array(x.detach().numpy(), dtype=np.float32)

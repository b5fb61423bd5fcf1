"""Hugging Face Transformers' MarianMTModel: the same network as the paper's Transformer, in padded batches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel

from benchmarks.material import END, PAD
from regard.models.transformer import EPSILON, Transformer, TransformerConfig


def build(config: TransformerConfig) -> MarianMTModel:
    """A model of these sizes with random weights, post-norm, and one shared embedding.

    Its attention is scaled_dot_product_attention, the library's default.
    """
    shared = {"attention_heads": config.heads, "ffn_dim": config.hidden, "layers": config.depth}
    return MarianMTModel(
        MarianConfig(
            vocab_size=config.vocabulary,
            d_model=config.width,
            dropout=config.dropout,
            activation_function="relu",
            scale_embedding=True,
            max_position_embeddings=256,
            pad_token_id=PAD,
            eos_token_id=END,
            decoder_start_token_id=PAD,
            forced_eos_token_id=None,
            **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in shared.items()},
        )
    )


def scores(model: MarianMTModel, source: Tensor, target: Tensor) -> Tensor:
    """[B, S] and [B, T] -> [B, T, V]; the target is shifted here, and not given as labels, which cost a second loss."""
    shifted = torch.cat([target.new_full((len(target), 1), PAD), target[:, :-1]], 1)
    result = model(
        input_ids=source,
        attention_mask=source != PAD,
        decoder_input_ids=shifted,
        decoder_attention_mask=target != PAD,
        use_cache=False,
    )
    return result.logits


@torch.no_grad()
def from_regard(model: Transformer) -> MarianMTModel:
    """The same function as a trained regard model, so that both translate to the same sentences.

    Marian starts with the embedding of `<pad>`, regard with zeros: that row becomes zero, and `<pad>` is shut out of
    the scores in another way.
    """
    peer = build(model.config).eval()
    peer.model.shared.weight.copy_(model.token.weight)
    peer.model.shared.weight[PAD] = 0
    peer.final_logits_bias[0, PAD] = -1e9
    for stack in (peer.model.encoder, peer.model.decoder):
        places = stack.embed_positions.weight
        places.copy_(model.positions(len(places), places.device))
    for theirs, ours in zip(peer.model.encoder.layers, model.encoder, strict=True):
        _attention(theirs.self_attn, ours.attention)
        _norm(theirs.self_attn_layer_norm, ours.attention_norm)
        _feed_forward(theirs, ours)
    for theirs, ours in zip(peer.model.decoder.layers, model.decoder, strict=True):
        _attention(theirs.self_attn, ours.attention)
        _norm(theirs.self_attn_layer_norm, ours.attention_norm)
        _attention(theirs.encoder_attn, ours.source_attention)
        _norm(theirs.encoder_attn_layer_norm, ours.source_norm)
        _feed_forward(theirs, ours)
    return peer


@torch.inference_mode()
def translate(model: MarianMTModel, sources: Sequence[Sequence[int]], *, beams: int, batch: int) -> list[list[int]]:
    """The best hypothesis of each source by `generate`, without its end; sorted by length, in batches of `batch`.

    Hypotheses are ranked by plain sums of log-probabilities, and have 50 tokens more than the longest source at most.
    """
    order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))
    results: list[list[int]] = [[] for _ in sources]
    for first in range(0, len(order), batch):
        numbers = order[first : first + batch]
        source = nn.utils.rnn.pad_sequence([torch.tensor(sources[number]) for number in numbers], True, PAD)
        made = model.generate(
            input_ids=source,
            attention_mask=source != PAD,
            num_beams=beams,
            length_penalty=0.0 if beams > 1 else None,  # greedy search knows none
            do_sample=False,
            max_new_tokens=source.shape[1] + 50,
        )
        for number, ids in zip(numbers, made[:, 1:].tolist(), strict=True):
            results[number] = [token for token in ids if token not in (PAD, END)]
    return results


def _attention(theirs: nn.Module, ours: nn.Module) -> None:
    """Projections; regard's have no biases."""
    parts = (theirs.q_proj, theirs.k_proj, theirs.v_proj)
    for linear, weight in zip(parts, ours.projection.weight.chunk(3), strict=True):
        linear.weight.copy_(weight)
        linear.bias.zero_()
    theirs.out_proj.weight.copy_(ours.output.weight)
    theirs.out_proj.bias.zero_()


def _feed_forward(theirs: nn.Module, ours: nn.Module) -> None:
    """The feed-forward and the norm after it."""
    theirs.fc1.load_state_dict(ours.feed_forward.expand.state_dict())
    theirs.fc2.load_state_dict(ours.feed_forward.contract.state_dict())
    _norm(theirs.final_layer_norm, ours.feed_forward_norm)


def _norm(theirs: nn.LayerNorm, ours: nn.LayerNorm) -> None:
    """A layer norm, its epsilon too."""
    theirs.load_state_dict(ours.state_dict())
    theirs.eps = EPSILON

"""The Transformer beside tensor2tensor, its authors' code: numbers which that code printed for the same weights."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.models.transformer import Transformer, TransformerConfig
from regard.objectives.translation import Translation

ORACLES = Path(__file__).parent.parent / "oracles"


class Tensor2Tensor(Transformer):
    """The published code's own positions: all sines, then all cosines, with other rates than the paper's."""

    def positions(self, count, device):
        half = self.config.width // 2
        rates = torch.exp(torch.arange(half) * (-math.log(10000.0) / (half - 1)))
        angles = torch.arange(count)[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], -1)


@pytest.fixture(scope="module")
def oracle():
    return np.load(ORACLES / "t2t_postln.npz")


@pytest.fixture(scope="module")
def model(oracle):
    model = Tensor2Tensor(TransformerConfig(vocabulary=23, width=24, depth=2, heads=4, hidden=40)).eval()
    weights, used = {}, set()

    def take(name: str) -> torch.Tensor:
        (key,) = (key for key in oracle.files if key.startswith("w/") and key.endswith(name))
        used.add(key)
        return torch.from_numpy(oracle[key])

    for side, attentions in (
        ("encoder", {"self_attention": "attention"}),
        ("decoder", {"self_attention": "attention", "encdec_attention": "source_attention"}),
    ):
        for layer in range(2):
            theirs, ours = f"{side}/layer_{layer}", f"{side}.{layer}"
            for source, target in attentions.items():
                kernels = [take(f"{theirs}/{source}/multihead_attention/{part}/kernel").T for part in "qkv"]
                weights[f"{ours}.{target}.projection.weight"] = torch.cat(kernels)
                output = take(f"{theirs}/{source}/multihead_attention/output_transform/kernel")
                weights[f"{ours}.{target}.output.weight"] = output.T
                norm = target.replace("attention", "norm") if "source" in target else "attention_norm"
                for part, name in (("scale", "weight"), ("bias", "bias")):
                    tensor = take(f"{theirs}/{source}/layer_postprocess/layer_norm/layer_norm_{part}")
                    weights[f"{ours}.{norm}.{name}"] = tensor
            for number, name in ((1, "expand"), (2, "contract")):
                weights[f"{ours}.feed_forward.{name}.weight"] = take(f"{theirs}/ffn/conv{number}/kernel").T
                weights[f"{ours}.feed_forward.{name}.bias"] = take(f"{theirs}/ffn/conv{number}/bias")
            for part, name in (("scale", "weight"), ("bias", "bias")):
                tensor = take(f"{theirs}/ffn/layer_postprocess/layer_norm/layer_norm_{part}")
                weights[f"{ours}.feed_forward_norm.{name}"] = tensor
    (table,) = (key for key in oracle.files if key.startswith("w/") and key not in used)
    weights["token.weight"] = weights["output.weight"] = torch.from_numpy(oracle[table])
    model.load_state_dict(weights)
    return model


@pytest.fixture(scope="module")
def batch(oracle):
    sides = (torch.from_numpy(oracle[f"in/{side}"]).long() for side in ("src", "tgt"))
    return tuple(Packed.from_padded(tokens, tokens != 0) for tokens in sides)


def packed(oracle, name: str, tokens: Packed) -> torch.Tensor:
    """Their padded [B, T, ...] without the padding."""
    return torch.cat([row[:n] for row, n in zip(torch.from_numpy(oracle[name]), tokens.lengths.tolist(), strict=True)])


def test_encoder(oracle, model, batch):
    assert_close(model.encode(batch[0])[0], packed(oracle, "out/encoder_output", batch[0]), atol=1e-5, rtol=1e-5)


def test_decoder_and_scores(oracle, model, batch):
    assert_close(model.hidden(*batch), packed(oracle, "out/decoder_output", batch[1]), atol=1e-5, rtol=1e-5)
    assert_close(model(*batch), packed(oracle, "out/logits", batch[1]), atol=1e-5, rtol=1e-5)


def test_loss_with_label_smoothing(oracle, model, batch):
    loss = Translation(model, smoothing=0.1)(*batch)
    assert loss.tokens == int(oracle["out/loss_denominator"])
    assert_close(loss.total.detach(), torch.tensor(oracle["out/loss_numerator"]), atol=0, rtol=1e-6)


def test_attention_weights_of_every_layer(oracle, model, batch):
    with recording(model) as maps:
        model(*batch)
    source, target = batch
    order = ["encoder.0.attention", "encoder.1.attention"]
    order += [f"decoder.{n}.{kind}" for n in range(2) for kind in ("attention", "source_attention")]
    for number, name in enumerate(order):
        theirs = torch.from_numpy(oracle[f"out/softmax_{number}"])
        queries = source if name.startswith("encoder") else target
        keys = target if name.startswith("decoder") and "source" not in name else source
        for n in range(2):
            t, s, T, S = (int(x[n]) for x in (queries.starts, keys.starts, queries.lengths, keys.lengths))
            assert_close(maps[name][0, :, t : t + T, s : s + S], theirs[n, :, :T, :S], atol=1e-6, rtol=1e-5)

"""Transformer-XL beside its authors' TensorFlow code: three segments with memory, and the gradients of the last."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from regard.attention.record import recording
from regard.models.transformer_xl import TransformerXL, TransformerXLConfig

ORACLES = Path(__file__).parent.parent / "oracles"
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
ROOT = "transformer/"
BLOCK = {  # theirs, ours, and whether a matrix is laid out the other way round
    "rel_attn/qkv/kernel": ("attention.projection.weight", True),
    "rel_attn/r/kernel": ("attention.distance.weight", True),
    "rel_attn/o/kernel": ("attention.output.weight", True),
    "rel_attn/LayerNorm/gamma": ("attention_norm.weight", False),
    "rel_attn/LayerNorm/beta": ("attention_norm.bias", False),
    "ff/layer_1/kernel": ("feed_forward.expand.weight", True),
    "ff/layer_1/bias": ("feed_forward.expand.bias", False),
    "ff/layer_2/kernel": ("feed_forward.contract.weight", True),
    "ff/layer_2/bias": ("feed_forward.contract.bias", False),
    "ff/LayerNorm/gamma": ("feed_forward_norm.weight", False),
    "ff/LayerNorm/beta": ("feed_forward_norm.bias", False),
}
BIASES = {"r_w_bias": "content_bias", "r_r_bias": "distance_bias"}


@pytest.fixture(scope="module", params=["txl_basic", "txl_adaptive_div2"])
def oracle(request):
    return np.load(ORACLES / f"{request.param}.npz")


def named(oracle, prefix: str, config: TransformerXLConfig) -> dict[str, torch.Tensor]:
    """Their tensors of one kind, by our names."""
    theirs = {
        key.removeprefix(prefix + ROOT): torch.from_numpy(oracle[key]) for key in oracle.files if key.startswith(prefix)
    }
    ours = {}
    for layer in range(config.depth):
        for key, (name, is_turned) in BLOCK.items():
            tensor = theirs.pop(f"layer_{layer}/{key}")
            ours[f"blocks.{layer}.{name}"] = tensor.T if is_turned else tensor
    for key, name in BIASES.items():
        tensor = theirs.pop(key)
        for layer in range(config.depth if config.untied else 1):
            ours[f"blocks.{layer}.attention.{name}"] = tensor[layer] if config.untied else tensor
    if not config.cutoffs:
        ours["token.tables.0.weight"] = theirs.pop("adaptive_embed/lookup_table")
        ours["output.biases.0"] = theirs.pop("adaptive_softmax/bias")
    else:
        for n in range(len(config.cutoffs) + 1):
            ours[f"token.tables.{n}.weight"] = theirs.pop(f"adaptive_embed/cutoff_{n}/lookup_table")
            ours[f"token.projections.{n}.weight"] = theirs.pop(f"adaptive_embed/cutoff_{n}/proj_W").T
            ours[f"output.biases.{n}"] = theirs.pop(f"adaptive_softmax/cutoff_{n}/b")
        ours["output.clusters.weight"] = theirs.pop("adaptive_softmax/cutoff_0/cluster_W")
        ours["output.clusters.bias"] = theirs.pop("adaptive_softmax/cutoff_0/cluster_b")
        ours["output.first.weight"] = theirs.pop("adaptive_softmax/cutoff_0/proj")
    assert not theirs
    return ours


@pytest.fixture(scope="module")
def model(oracle):
    c = json.loads(str(oracle["config"]))
    config = TransformerXLConfig(
        vocabulary=c["n_token"],
        width=c["d_model"],
        depth=c["n_layer"],
        heads=c["n_head"],
        hidden=c["d_inner"],
        memory=c["mem_len"],
        untied=c["untie_r"],
        cutoffs=tuple(c["cutoffs"]),
        division=c["div_val"],
    )
    model = TransformerXL(config).eval()
    weights = named(oracle, "w/", config)
    parameters = dict(model.named_parameters())
    assert weights.keys() == parameters.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-12  # of this code, where the PyTorch one has 1e-5
    return model


def at(oracle, key: str) -> torch.Tensor:
    """One of their tensors [T, B, ...] as ours [B, T, ...]."""
    return torch.from_numpy(oracle[f"out/{key}"]).transpose(0, 1)


def test_three_segments_with_memory_and_the_gradients_of_the_last(oracle, model):
    data, length = torch.from_numpy(oracle["in/data"]).long().T, int(oracle["in/qlen"])
    c = model.config
    memory = (torch.zeros(len(data), c.memory, c.width),) * c.depth  # their first memory is zeros, which are seen
    model.zero_grad()
    seen = []
    hooks = [block.register_forward_hook(lambda *call: seen.append(call[2])) for block in model.blocks]
    for segment in range(3):
        here = slice(segment * length, (segment + 1) * length)
        following = slice(segment * length + 1, (segment + 1) * length + 1)
        before = memory
        assert_close(model.embed(data[:, here]), at(oracle, f"seg{segment}/embedding"), **CLOSE)
        with recording(model) as maps:
            recorded, _ = model.read(data[:, here], before)
        seen.clear()
        hidden, memory = model.read(data[:, here], before)
        assert_close(hidden, at(oracle, f"seg{segment}/hidden"), **CLOSE)
        assert_close(recorded, hidden, **CLOSE)
        for layer in range(c.depth):
            weights = torch.from_numpy(oracle[f"out/seg{segment}/attn_probs_{layer}"]).permute(2, 3, 0, 1)
            assert_close(maps[f"blocks.{layer}.attention"], weights, **CLOSE)
            assert_close(seen[layer], at(oracle, f"seg{segment}/layer_{layer}"), **CLOSE)
            assert_close(memory[layer], at(oracle, f"seg{segment}/new_mems_{layer}"), **CLOSE)
        targets = data[:, following].flatten()
        losses = -model.output.likelihood(hidden.flatten(0, 1), targets)
        assert_close(losses, at(oracle, f"seg{segment}/nll_per_token").flatten(), **CLOSE)
        whole = -model.output(hidden.flatten(0, 1)).gather(1, targets[:, None])[:, 0]
        assert_close(whole, losses, **CLOSE)
        assert_close(losses.mean(), torch.from_numpy(oracle[f"out/seg{segment}/loss"]), **CLOSE)
    for hook in hooks:
        hook.remove()
    losses.mean().backward()
    wanted = named(oracle, "out/grad_last_segment/", c)
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, wanted.pop(name), **CLOSE)
    assert not wanted

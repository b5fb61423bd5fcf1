"""XLNet beside its authors' TensorFlow code: both streams, the attention, the loss of permuted words and all gradients.

Their query stream stands at every place; here it stands at the words which are predicted. No word of theirs sees
nothing, which would attend to everything alike there, and to nothing here.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.layers.positions import distances
from regard.models.google import GOOGLE_LAYOUTS
from regard.models.heads import PermutedWords
from regard.models.parameters import fill
from regard.models.xlnet import XLNet, XLNetConfig

ORACLES = Path(__file__).parent.parent / "oracles"
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


class Published:
    """What came out of the authors' code, as [B, T, ...], and a configuration of its model."""

    def __init__(self, name: str):
        self.oracle = np.load(ORACLES / f"{name}.npz")
        about = json.loads(str(self.oracle["config"]))
        run = {"clamp_len": about.pop("clamp_len"), "mem_len": about.pop("mem_len"), "bi_data": about.pop("bi_data")}
        assert run == {"clamp_len": -1, "mem_len": None, "bi_data": False}
        self.values = GOOGLE_LAYOUTS["xlnet"].read_config(about, "here") | {"dropout": 0.0, "attention_dropout": 0.0}

    def named(self, prefix: str, head: str, *, pools: bool) -> dict[str, Tensor]:
        """Their tensors of one kind by our names; of their four ways of summing up, that of the last token."""
        kinds = tuple(f"{prefix}model/{part}" for part in ("transformer", "lm_loss", "sum_last"))
        theirs = {
            key.removeprefix(prefix).replace("model/sum_last/", "model/"): torch.from_numpy(self.oracle[key])
            for key in self.oracle.files
            if key.startswith(kinds)
        }
        return GOOGLE_LAYOUTS["xlnet"].headed(head, pools=pools).read_tensors(theirs, "here", 3)

    def inside(self, name: str) -> Tensor:
        """What went in."""
        value = torch.from_numpy(self.oracle[f"in/{name}"]).transpose(0, 1)
        return value if value.is_floating_point() else value.long()

    def out(self, name: str) -> Tensor:
        """What came out, but for attention."""
        return torch.from_numpy(self.oracle[f"out/{name}"]).transpose(0, 1)

    def attention(self, name: str) -> Tensor:
        """Weights of attention, [B, H, T, T]."""
        return torch.from_numpy(self.oracle[f"out/attn_probs_{name}"]).permute(2, 3, 0, 1)


def blocks_watched(model: XLNet) -> list[Tensor]:
    """What every call of every block will give."""
    seen: list[Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda *call: seen.append(call[2]))
    return seen


@pytest.fixture(scope="module")
def finetune():
    return Published("xlnet_finetune")


@pytest.fixture
def encoder(finetune):
    model = XLNet(XLNetConfig(**finetune.values, pools=True))
    weights = finetune.named("w/", "", pools=True)
    fill(model, weights, "here")
    return model


@pytest.fixture
def inputs(finetune):
    """Packed inputs, their segments, and where they stand in the padded ones."""
    real = finetune.inside("input_mask") == 0
    return Packed.from_padded(finetune.inside("inp_k"), real), finetune.inside("seg_id")[real], real


@torch.no_grad()
def test_every_layer_is_that_of_the_authors(finetune, encoder, inputs):
    text, segments, real = inputs
    layers = blocks_watched(encoder)
    states = encoder.hidden(text, segments)
    assert len(layers) == 2
    for number, layer in enumerate(layers):
        assert_close(layer[0], finetune.out(f"h_layer_{number}")[real], **CLOSE)
    assert_close(states, finetune.out("output")[real], **CLOSE)
    assert_close(encoder(text, segments), torch.from_numpy(finetune.oracle["out/summary_last"]), **CLOSE)


@torch.no_grad()
def test_every_weight_of_attention_is_that_of_the_authors(finetune, encoder, inputs):
    text, segments, real = inputs
    with recording(encoder) as maps:
        encoder.hidden(text, segments)
    for number in range(2):
        (weights,), theirs = maps[f"blocks.{number}.attention"], finetune.attention(f"h_{number}")
        wanted = torch.zeros_like(weights)
        for own, is_real, start, length in zip(theirs, real, text.starts, text.lengths, strict=True):
            here = slice(start, start + length)
            wanted[:, here, here] = own[:, is_real][..., is_real]
        assert_close(weights, wanted, **CLOSE)


def test_distances_are_encoded_as_by_the_authors(finetune):
    theirs = finetune.out("pos_emb")[0]  # from as far back as there are keys, to one less ahead
    assert_close(distances(torch.arange(10, -10, -1), 24), theirs, **CLOSE)


@pytest.fixture
def permuted():
    return Published("xlnet_plm_full")


@pytest.fixture
def model(permuted):
    model = PermutedWords(XLNet(XLNetConfig(**permuted.values)))
    fill(model, permuted.named("w/", "permuted", pools=False), "here")
    return model


def read(permuted, model):
    """The model's states of the predicted words, [B, P, D], of which the first so many are real, and their places."""
    allowed = torch.from_numpy(permuted.oracle["in/perm_mask"]).permute(2, 0, 1) == 0
    is_target = permuted.inside("target_mask") == 1
    assert allowed.any(-1)[is_target].all()
    targets = torch.nn.utils.rnn.pad_sequence([row.nonzero()[:, 0] for row in is_target], True)
    states, memory = model.hidden(permuted.inside("inp_k"), permuted.inside("seg_id"), allowed, targets)
    assert all(layer.shape == (2, 0, 24) for layer in memory)
    return states, targets, torch.arange(targets.shape[1]) < is_target.sum(1, keepdim=True)


@torch.no_grad()
def test_both_streams_are_those_of_the_authors(permuted, model):
    layers = blocks_watched(model.encoder)
    states, targets, is_there = read(permuted, model)
    rows = torch.arange(2)[:, None]
    assert len(layers) == 4
    for number, (query, content) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
        assert_close(content, permuted.out(f"h_layer_{number}"), **CLOSE)
        assert_close(query[is_there], permuted.out(f"g_layer_{number}")[rows, targets][is_there], **CLOSE)
    assert_close(states[is_there], permuted.out("output")[rows, targets][is_there], **CLOSE)


@torch.no_grad()
def test_what_both_streams_attend_to_is_that_of_the_authors(permuted, model):
    with recording(model) as maps:
        _, targets, is_there = read(permuted, model)
    rows = torch.arange(2)[:, None]
    for number in range(2):
        query, content = maps.calls[f"encoder.blocks.{number}.attention"]
        assert_close(content, permuted.attention(f"h_{number}"), **CLOSE)
        wanted = permuted.attention(f"g_{number}").transpose(1, 2)[rows, targets]  # [B, P, H, T]
        assert_close(query.transpose(1, 2)[is_there], wanted[is_there], **CLOSE)


def test_the_loss_and_all_gradients_are_those_of_the_authors(permuted, model):
    states, targets, is_there = read(permuted, model)
    words = permuted.inside("target").gather(1, targets)
    losses = cross_entropy(model.output(states)[is_there], words[is_there], reduction="none")
    wanted = permuted.out("lm_loss_per_position").gather(1, targets)[is_there]
    assert_close(losses, wanted, **CLOSE)
    assert_close(losses.mean(), torch.from_numpy(permuted.oracle["out/total_loss"]), **CLOSE)
    losses.mean().backward()
    wanted = permuted.named("out/grad/", "permuted", pools=False)
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, wanted.pop(name), **CLOSE)
    assert not wanted

"""Transformer-XL's directories by the names of Transformers up to version 4: the authors' losses from such a one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import sentences, tiny
from torch import nn
from torch.testing import assert_close

from regard.attention.masks import banded
from regard.attention.packing import Packed
from regard.models.directory import read_config
from regard.models.saved import load_model, save_model
from regard.storage.weights import read_tensors, write_tensors

ORACLES = Path(__file__).parent.parent / "oracles"
LAYER = {  # the authors' TensorFlow names, those of Transformers, and whether a matrix lies the other way round
    "rel_attn/qkv/kernel": ("dec_attn.qkv_net.weight", True),
    "rel_attn/r/kernel": ("dec_attn.r_net.weight", True),
    "rel_attn/o/kernel": ("dec_attn.o_net.weight", True),
    "rel_attn/LayerNorm/gamma": ("dec_attn.layer_norm.weight", False),
    "rel_attn/LayerNorm/beta": ("dec_attn.layer_norm.bias", False),
    "ff/layer_1/kernel": ("pos_ff.CoreNet.0.weight", True),
    "ff/layer_1/bias": ("pos_ff.CoreNet.0.bias", False),
    "ff/layer_2/kernel": ("pos_ff.CoreNet.3.weight", True),
    "ff/layer_2/bias": ("pos_ff.CoreNet.3.bias", False),
    "ff/LayerNorm/gamma": ("pos_ff.layer_norm.weight", False),
    "ff/LayerNorm/beta": ("pos_ff.layer_norm.bias", False),
}
FILES = ["txl_basic", "txl_adaptive_div2"]
ADAPTIVE = FILES[1]


def write(folder: Path, file: str, **changes):
    """A directory as Transformers writes it, from the weights of the authors' code."""
    oracle = np.load(ORACLES / f"{file}.npz")
    about = json.loads(str(oracle["config"]))
    for told in ("proj_same_dim", "zero_mems", "qlen", "nseg"):
        del about[told]
    clusters = len(about["cutoffs"])
    about |= {"model_type": "transfo-xl", "vocab_size": about["n_token"], "dropout": 0.1, "dropatt": 0.0}
    about |= {"adaptive": True, "attn_type": 0, "pre_lnorm": False, "sample_softmax": -1, "tie_weight": True}
    about |= {"tie_projs": [False] + [True] * clusters, "layer_norm_epsilon": 1e-5, "tgt_len": 5, "ext_len": 0}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(about | changes))
    write_tensors(folder / "model.safetensors", {name: x.clone() for name, x in renamed(oracle, about).items()})
    return oracle


def renamed(oracle, about: dict) -> dict[str, torch.Tensor]:
    """The weights by Transformers' names, those which are another's among them."""
    keys = [key for key in oracle.files if key.startswith("w/")]
    theirs = {key.removeprefix("w/transformer/"): torch.from_numpy(oracle[key]) for key in keys}
    named: dict[str, torch.Tensor] = {"transformer.pos_emb.inv_freq": torch.ones(about["d_model"] // 2)}
    for layer in range(about["n_layer"]):
        for key, (name, is_turned) in LAYER.items():
            tensor = theirs[f"layer_{layer}/{key}"]
            named[f"transformer.layers.{layer}.{name}"] = tensor.T if is_turned else tensor
        for name in ("r_w_bias", "r_r_bias"):
            tensor = theirs[name]
            named[f"transformer.layers.{layer}.dec_attn.{name}"] = tensor[layer] if about["untie_r"] else tensor
            if not about["untie_r"]:
                named[f"transformer.{name}"] = tensor
    if not about["cutoffs"]:
        named["transformer.word_emb.emb_layers.0.weight"] = theirs["adaptive_embed/lookup_table"]
        named["crit.out_layers.0.weight"] = theirs["adaptive_embed/lookup_table"]
        named["crit.out_layers.0.bias"] = theirs["adaptive_softmax/bias"]
        return named
    for n in range(len(about["cutoffs"]) + 1):
        projection = theirs[f"adaptive_embed/cutoff_{n}/proj_W"].T
        named[f"transformer.word_emb.emb_layers.{n}.weight"] = theirs[f"adaptive_embed/cutoff_{n}/lookup_table"]
        named[f"transformer.word_emb.emb_projs.{n}"] = projection
        named[f"crit.out_layers.{n}.weight"] = theirs[f"adaptive_embed/cutoff_{n}/lookup_table"]
        named[f"crit.out_layers.{n}.bias"] = theirs[f"adaptive_softmax/cutoff_{n}/b"]
        named[f"crit.out_projs.{n}"] = projection if n else theirs["adaptive_softmax/cutoff_0/proj"].T
    named["crit.cluster_weight"] = theirs["adaptive_softmax/cutoff_0/cluster_W"]
    named["crit.cluster_bias"] = theirs["adaptive_softmax/cutoff_0/cluster_b"]
    return named


def change(folder: Path, **tensors: torch.Tensor | None):
    """Put tensors in place of others, or take them out."""
    path = folder / "model.safetensors"
    both = {**read_tensors(path), **{name.replace("__", "."): tensor for name, tensor in tensors.items()}}
    write_tensors(path, {name: tensor for name, tensor in both.items() if tensor is not None})


def without_prefix(folder: Path):
    path = folder / "model.safetensors"
    write_tensors(path, {name.removeprefix("transformer."): x for name, x in read_tensors(path).items()})


@pytest.mark.parametrize("file", FILES)
def test_their_losses_from_a_directory_of_transformers(file, tmp_path):
    oracle = write(tmp_path, file)
    model = load_model(tmp_path)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-12  # of the code which made the numbers
    data, length = torch.from_numpy(oracle["in/data"]).long().T, int(oracle["in/qlen"])
    memory = (torch.zeros(len(data), model.config.memory, model.config.width),) * model.config.depth
    for segment in range(3):
        here, next = (slice(segment * length + n, (segment + 1) * length + n) for n in (0, 1))
        hidden, memory = model.read(data[:, here], memory)
        losses = -model.output.likelihood(hidden.flatten(0, 1), data[:, next].flatten())
        wanted = torch.from_numpy(oracle[f"out/seg{segment}/nll_per_token"]).T.flatten()
        assert_close(losses, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("file", FILES)
def test_a_directory_is_written_as_it_was_read(file, tmp_path):
    write(tmp_path / "theirs", file)
    model = load_model(tmp_path / "theirs")
    save_model(model, tmp_path / "ours")
    theirs, ours = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("theirs", "ours"))
    del theirs["tgt_len"], theirs["proj_share_all_but_first"]  # which decide nothing, or nothing without projections
    assert {key: ours[key] for key in theirs} == theirs
    written, given = (read_tensors(tmp_path / name / "model.safetensors") for name in ("ours", "theirs"))
    assert all(torch.equal(tensor, given[name]) for name, tensor in written.items())
    again = load_model(tmp_path / "ours")
    assert again.config == model.config
    for name, parameter in model.named_parameters():
        assert torch.equal(dict(again.named_parameters())[name], parameter)


@pytest.mark.parametrize("file", FILES)
def test_one_of_two_names_is_enough(file, tmp_path):
    write(tmp_path, file)
    whole = load_model(tmp_path).state_dict()
    names = read_tensors(tmp_path / "model.safetensors")
    tied = [name for name in names if name.startswith(("transformer.word_emb.emb_layers", "transformer.r_"))]
    change(tmp_path, **dict.fromkeys(tied))
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_model(tmp_path).state_dict().items())


def test_the_authors_own_names_load_too(tmp_path):
    write(tmp_path, "txl_basic")
    whole = load_model(tmp_path).state_dict()
    without_prefix(tmp_path)
    change(tmp_path, **{f"layers.{n}.dec_attn.{name}": None for n in (0, 1) for name in ("r_w_bias", "r_r_bias")})
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_model(tmp_path).state_dict().items())


def test_the_authors_own_order_of_clusters_is_refused(tmp_path):
    write(tmp_path, ADAPTIVE)
    without_prefix(tmp_path)
    with pytest.raises(ValueError, match=r"counts clusters from the last; reverse the rows of crit.cluster_weight"):
        load_model(tmp_path)


@pytest.mark.parametrize("memory", [1, 5])
def test_positions_which_see_as_many_count_themselves_among_them(memory, tmp_path):
    write(tmp_path, "txl_basic", same_length=True, mem_len=memory)
    config = read_config(tmp_path)[1]
    assert config.memory == memory - 1
    model, data = load_model(tmp_path), torch.arange(3, 15)[None]
    theirs = banded(memory).dense(1, 1, 12, 12)  # of `mem_len` keys, in the mask of Transformers and of the authors
    assert torch.equal(model.mask.dense(1, 1, 12, 12), theirs)
    whole, past, parts = model.read(data)[0], None, []
    for part in data.split(4, 1):
        hidden, past = model.read(part, past)
        parts.append(hidden)
    assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)  # whatever the segments, they see the same
    save_model(model, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["mem_len"] == memory
    assert read_config(tmp_path / "again")[1] == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_head": 7}, "d_head is 7, but only 8 is computed here"),
        ({"d_embed": 12}, r"d_model and d_embed differ, but are one value here \(width\)"),
        ({"pre_lnorm": True}, "pre_lnorm is True, but only False"),
        ({"attn_type": 2}, "attn_type is 2, but only 0"),
        ({"tie_weight": False}, "tie_weight is False, but only True"),
        ({"tie_projs": [True, True, True]}, r"tie_projs is \[True, True, True\], but only \[False, True, True\]"),
        ({"proj_share_all_but_first": False}, "proj_share_all_but_first is False, but only True"),
        ({"sample_softmax": 100}, "sample_softmax is 100, but only -1"),
        ({"layer_norm_epsilon": 1e-12}, "layer_norm_epsilon is 1e-12, but only 1e-05"),
        ({"n_token": 41}, r"vocab_size and n_token differ, but are one value here \(vocabulary\)"),
        ({"proj_same_dim": True}, "proj_same_dim=True is not known for transfo-xl"),
        ({"same_length": True, "mem_len": 0}, "mem_len is 0, but same_length leaves nothing"),
        ({"n_head": 0}, "d_head is 8, but only None"),
    ],
)
def test_what_is_not_computed_here_is_refused(changes, message, tmp_path):
    write(tmp_path, ADAPTIVE, **changes)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)


def test_what_is_not_said_is_refused(tmp_path):
    write(tmp_path, ADAPTIVE)
    path = tmp_path / "config.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in about.items() if key not in ("untie_r", "clamp_len")}))
    with pytest.raises(ValueError, match="clamp_len, untie_r must be said, for Transformers' defaults are not ours"):
        read_config(tmp_path)


def test_every_wrong_tensor_is_listed(tmp_path):
    write(tmp_path, ADAPTIVE)
    change(
        tmp_path,
        crit__cluster_bias=None,
        crit__out_layers__1__weight=torch.zeros(10, 12),
        crit__out_projs__2=torch.zeros(24, 6),
        transformer__layers__0__pos_ff__layer_norm__gain=torch.ones(24),
        transformer__layers__1__dec_attn__o_net__weight=torch.zeros(24, 20),
    )
    with pytest.raises(ValueError, match="does not fit TransformerXL") as error:
        load_model(tmp_path)
    assert sorted(str(error.value).splitlines()[1:]) == [
        "  missing: output.clusters.bias (2,)",
        "  shape of blocks.1.attention.output.weight: (24, 20), not (24, 24)",
        "  unknown: transformer.layers.0.pos_ff.layer_norm.gain (24,)",
        "  values of output.projections.2.weight: not those of token.projections.2.weight, which is the same parameter "
        "here",
        "  values of output.tables.1.weight: not those of token.tables.1.weight, which is the same parameter here",
    ]


def test_a_bias_of_all_layers_must_be_that_of_each(tmp_path):
    write(tmp_path, "txl_basic")
    change(tmp_path, transformer__r_w_bias=torch.zeros(3, 8))
    with pytest.raises(ValueError, match=r"r_w_bias has other values under another of its names"):
        load_model(tmp_path)
    write(tmp_path, "txl_basic")
    change(tmp_path, transformer__layers__1__dec_attn__r_r_bias=torch.zeros(3, 8))
    with pytest.raises(ValueError, match=r"values of blocks.1.attention.distance_bias: not those of blocks.0"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"untied": True},
        {"cutoffs": (8, 20)},
        {"cutoffs": (8, 20), "division": 2},
        {"clamp": 4, "same_length": True},
    ],
    ids=str,
)
def test_a_model_of_ours_comes_back(changes, tmp_path):
    model = tiny("transformer-xl", words=29, dtype=torch.float32, **changes)
    save_model(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "transfo-xl"
    again, text = load_model(tmp_path), Packed.of(sentences(9, 2, words=29))
    assert again.config == model.config
    assert torch.equal(again(text), model(text))

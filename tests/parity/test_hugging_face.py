"""GPT and GPT-2 beside Hugging Face Transformers: the same scores, from each other's directories."""

import json

import pytest
import torch
from tiny import sentences, tiny
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.models.saved import load_model, read_config, save_model
from regard.storage.weights import read_tensors, write_tensors

transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 29, "n_positions": 24, "n_embd": 16, "n_layer": 3, "n_head": 4}
PEERS = {
    "gpt": (transformers.OpenAIGPTConfig, transformers.OpenAIGPTLMHeadModel),
    "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel),
}
EXACT = {"atol": 1e-12, "rtol": 1e-12}
TEXTS = sentences(24, 1, 7, words=29)

pytestmark = pytest.mark.parametrize("name", PEERS)


def published(name: str, **changes):
    """A model of theirs with weights at which every part matters."""
    torch.manual_seed(0)
    config, model = PEERS[name]
    peer = model(config(**SIZES, **changes)).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(0.0, 0.3)
    return peer


def scores(peer, text: list[int]) -> torch.Tensor:
    """Theirs of one sequence, [T, V]."""
    with torch.no_grad():
        return peer(torch.tensor([text])).logits[0]


def test_a_directory_of_theirs_gives_the_same_scores(name, tmp_path):
    peer = published(name)
    peer.save_pretrained(tmp_path)
    model, peer = load_model(tmp_path).double(), peer.double()
    together = Packed.of(TEXTS)
    for text, got in zip(TEXTS, together.unpack(model(together)), strict=True):
        assert_close(got, scores(peer, text), **EXACT)


def test_a_directory_of_ours_gives_the_same_scores(name, tmp_path):
    model = tiny(name, words=29, dtype=torch.float32, context=24)
    save_model(model, tmp_path)
    peer, report = PEERS[name][1].from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    model, peer = model.double(), peer.double()
    for text in TEXTS:
        assert_close(model(Packed.of([text])), scores(peer, text), **EXACT)


def test_old_files_load_too(name, tmp_path):
    peer = published(name)
    peer.save_pretrained(tmp_path)
    wanted = load_model(tmp_path)(Packed.of(TEXTS))
    tensors = {key.removeprefix("transformer."): x for key, x in read_tensors(tmp_path / "model.safetensors").items()}
    embedding = next(x for key, x in tensors.items() if key in ("wte.weight", "tokens_embed.weight"))
    buffers = {"h.0.attn.bias": torch.ones(1, 1, 24, 24), "lm_head.weight": embedding.clone()}
    write_tensors(tmp_path / "model.safetensors", tensors | buffers)
    assert torch.equal(load_model(tmp_path)(Packed.of(TEXTS)), wanted)


def test_a_head_of_its_own_is_refused(name, tmp_path):
    published(name).save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    write_tensors(tmp_path / "model.safetensors", {**tensors, "lm_head.weight": torch.zeros(29, 16)})
    with pytest.raises(ValueError, match=r"lm_head.weight must be the same as token.weight"):
        load_model(tmp_path)


def test_a_tensor_under_two_names_is_refused(name, tmp_path):
    published(name).save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    write_tensors(tmp_path / "model.safetensors", {**tensors, "h.0.ln_1.bias": torch.zeros(16)})
    with pytest.raises(ValueError, match=r"h.0.ln_1.bias is there twice, with and without 'transformer.'"):
        load_model(tmp_path)


def test_every_wrong_tensor_is_listed(name, tmp_path):
    published(name).save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    del tensors["transformer.h.1.attn.c_attn.weight"]
    write_tensors(tmp_path / "model.safetensors", {**tensors, "transformer.h.1.attn.q.weight": torch.zeros(2)})
    with pytest.raises(ValueError, match="does not fit") as error:
        load_model(tmp_path)
    assert str(error.value).splitlines()[1:] == [
        "  missing: blocks.1.attention.projection.weight (48, 16)",
        "  unknown: transformer.h.1.attn.q.weight (2,)",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06, but only 1e-05 is computed here"),
        ({"attn_pdrop": 0.3}, r"attn_pdrop and embd_pdrop and resid_pdrop differ.*\(dropout\); set them equal"),
        ({"rotary": True}, "rotary=True is not known for"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False, but only True"),
    ],
)
def test_what_is_not_computed_here_is_refused(name, tmp_path, change, message):
    published(name).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)


def test_a_feed_forward_of_four_widths_may_be_named(name, tmp_path):
    if name == "gpt":
        pytest.skip("its configuration has no such name")
    published(name, n_inner=64).save_pretrained(tmp_path)
    assert read_config(tmp_path)[1].width == 16
    published(name, n_inner=32).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="n_inner is 32"):
        read_config(tmp_path)

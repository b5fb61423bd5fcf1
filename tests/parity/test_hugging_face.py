"""GPTs beside Hugging Face Transformers: the same scores, from each other's directories."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_encoders import LINES
from tiny import sentences, tiny
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.decoding.writer import Writer
from regard.models.directory import read_config
from regard.models.saved import load_model, save_model
from regard.storage.weights import read_tensors, write_tensors
from regard.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")


@dataclass
class Peer:
    """A class of theirs, its sizes, and what it is called here."""

    ours: str
    config: Any
    model: Any
    sizes: dict
    changes: dict = field(default_factory=dict)  # of our tiny size, to the same kind


SIZES = {"vocab_size": 29, "n_positions": 24, "n_embd": 16, "n_layer": 3, "n_head": 4}
EXACT_GELU = {"activation_function": "gelu", "n_inner": 64}  # as Cerebras-GPT has them
NEO = {"vocab_size": 29, "max_position_embeddings": 24, "hidden_size": 16, "num_layers": 4, "num_heads": 2}
NEO |= {"attention_types": [[["global", "local"], 2]], "window_size": 5}  # heads of 8, whose root is no round number
PEERS = {
    "gpt": Peer("gpt", transformers.OpenAIGPTConfig, transformers.OpenAIGPTLMHeadModel, SIZES),
    "gpt2": Peer("gpt2", transformers.GPT2Config, transformers.GPT2LMHeadModel, SIZES),
    "cerebras-gpt": Peer(
        "gpt2", transformers.GPT2Config, transformers.GPT2LMHeadModel, SIZES | EXACT_GELU, {"activation": "exact"}
    ),
    "gpt-neo": Peer(
        "gpt-neo", transformers.GPTNeoConfig, transformers.GPTNeoForCausalLM, NEO, {"heads": 2, "depth": 3}
    ),
}
EXACT = {"atol": 1e-12, "rtol": 1e-12}
TEXTS = sentences(24, 1, 7, words=29)

every_peer = pytest.mark.parametrize("name", PEERS)


@pytest.fixture(autouse=True)
def scores_as_exact_as_weights(monkeypatch):
    """Their GPT-Neo computes its scores in float32, whatever its weights are; here in float64."""
    module = transformers.models.gpt_neo.modeling_gpt_neo
    monkeypatch.setattr(module, "torch", SimpleNamespace(**{**vars(torch), "float32": torch.float64}))


def published(name: str, **changes):
    """A model of theirs with weights at which every part matters."""
    torch.manual_seed(0)
    peer = PEERS[name].model(PEERS[name].config(**{**PEERS[name].sizes, **changes})).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(0.0, 0.3)
    return peer


def scores(peer, text: list[int]) -> torch.Tensor:
    """Theirs of one sequence, [T, V]."""
    with torch.no_grad():
        return peer(torch.tensor([text])).logits[0]


@every_peer
def test_a_directory_of_theirs_gives_the_same_scores(name, tmp_path):
    peer = published(name)
    peer.save_pretrained(tmp_path)
    model, peer = load_model(tmp_path).double(), peer.double()
    together = Packed.of(TEXTS)
    for text, got in zip(TEXTS, together.unpack(model(together)), strict=True):
        assert_close(got, scores(peer, text), **EXACT)


@every_peer
def test_a_directory_of_theirs_is_written_as_it_was_read(name, tmp_path):
    published(name).save_pretrained(tmp_path / "theirs")
    save_model(load_model(tmp_path / "theirs"), tmp_path / "ours")
    written, given = (read_tensors(tmp_path / whose / "model.safetensors") for whose in ("ours", "theirs"))
    assert written.keys() == given.keys() - {"lm_head.weight"}
    assert all(torch.equal(tensor, given[key]) for key, tensor in written.items())


@every_peer
def test_a_directory_of_ours_gives_the_same_scores(name, tmp_path):
    model = tiny(PEERS[name].ours, words=29, dtype=torch.float32, context=24, **PEERS[name].changes)
    save_model(model, tmp_path)
    peer, report = PEERS[name].model.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    model, peer = model.double(), peer.double()
    for text in TEXTS:
        assert_close(model(Packed.of([text])), scores(peer, text), **EXACT)


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "bytes", "words", "whitespace", "characters"])
@pytest.mark.parametrize("name", ["gpt2", "gpt", "gpt-neo"])
def test_texts_in_their_hands_go_on_the_same_from_a_directory_of_ours(name, kind, tmp_path):
    """Their tokenizer of our directory cuts texts as ours does, and their model ends them where ours does."""
    words = Tokenizer.train([line + "\n" for line in LINES], kind=kind, vocabulary=300 if kind == "bytes" else 90)
    writer = Writer(tiny(name, words=words.size, dtype=torch.float32, context=96), words)
    writer.save(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    peer = PEERS[name].model.from_pretrained(tmp_path)
    for text in ("the good film", "The day  was\ndull, wasn't it?"):
        assert tokenizer(text)["input_ids"] == words.encode(text)
    prompts = ["the good film", "the walk", "the dinner was bright"]
    wholes = peer.generate(**tokenizer(prompts, return_tensors="pt", padding=True), max_new_tokens=20, do_sample=False)
    written = writer.generate(prompts, tokens=20, temperature=0)
    for prompt, whole, own in zip(prompts, wholes.tolist(), written, strict=True):
        ids = [id for id in whole if id not in (words.end, words.pad)]
        assert words.decode(ids, keeps_unknown=True) == f"{prompt}{own}"
    assert (peer.generation_config.eos_token_id, tokenizer.pad_token_id) == (words.end, words.pad)


@every_peer
def test_a_directory_in_parts_is_read(name, tmp_path):
    peer = published(name)
    peer.save_pretrained(tmp_path / "whole")
    peer.save_pretrained(tmp_path / "parts", max_shard_size="6KB")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    assert len(list((tmp_path / "parts").glob("model-0000*-of-*.safetensors"))) > 2
    whole, parts = (load_model(tmp_path / place).state_dict() for place in ("whole", "parts"))
    assert all(torch.equal(parts[key], tensor) for key, tensor in whole.items())


@every_peer
def test_old_files_load_too(name, tmp_path):
    peer = published(name)
    peer.save_pretrained(tmp_path)
    wanted = load_model(tmp_path)(Packed.of(TEXTS))
    tensors = {key.removeprefix("transformer."): x for key, x in read_tensors(tmp_path / "model.safetensors").items()}
    embedding = next(x for key, x in tensors.items() if key in ("wte.weight", "tokens_embed.weight"))
    place = "h.0.attn.attention.bias" if name == "gpt-neo" else "h.0.attn.bias"
    buffers = {place: torch.ones(1, 1, 24, 24), "lm_head.weight": embedding.clone()}
    write_tensors(tmp_path / "model.safetensors", tensors | buffers)
    assert torch.equal(load_model(tmp_path)(Packed.of(TEXTS)), wanted)


@every_peer
def test_a_head_of_its_own_is_refused(name, tmp_path):
    published(name).save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    write_tensors(tmp_path / "model.safetensors", {**tensors, "lm_head.weight": torch.zeros(29, 16)})
    with pytest.raises(ValueError, match=r"values of output.weight: not those of token.weight, which is the same"):
        load_model(tmp_path)


@every_peer
def test_a_tensor_under_two_names_is_refused(name, tmp_path):
    published(name).save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    write_tensors(tmp_path / "model.safetensors", {**tensors, "h.0.ln_1.bias": torch.zeros(16)})
    with pytest.raises(ValueError, match=r"h.0.ln_1.bias is there twice, with and without 'transformer.'"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["gpt", "gpt2"])
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


def test_a_matrix_of_which_a_part_is_missing_is_refused(tmp_path):
    published("gpt-neo").save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    del tensors["transformer.h.1.attn.attention.k_proj.weight"]
    tensors["transformer.h.2.attn.attention.v_proj.weight"] = torch.zeros(16, 12)
    write_tensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(ValueError, match="does not fit GPTNeo") as error:
        load_model(tmp_path)
    assert sorted(str(error.value).splitlines()[1:]) == [
        "  missing: blocks.1.attention.projection.weight (48, 16)",
        "  missing: blocks.2.attention.projection.weight (48, 16)",
        "  unknown: transformer.h.1.attn.attention.q_proj.weight (16, 16)",
        "  unknown: transformer.h.1.attn.attention.v_proj.weight (16, 16)",
        "  unknown: transformer.h.2.attn.attention.k_proj.weight (16, 16)",
        "  unknown: transformer.h.2.attn.attention.q_proj.weight (16, 16)",
        "  unknown: transformer.h.2.attn.attention.v_proj.weight (16, 12)",
    ]


@pytest.mark.parametrize("name", ["gpt", "gpt2"])
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_types": [[["global"], 4]]}, "attention_types is .*, but only .*'local'.* is computed here"),
        ({"attention_layers": ["global", "local", "local", "global"]}, "attention_layers is .*, but only .*'local'"),
        ({"intermediate_size": 48}, "intermediate_size is 48, but only None"),
        ({"activation_function": "relu"}, "activation_function is 'relu', but only gelu_new, gelu_pytorch_tanh, gelu"),
        ({"activation_function": None}, "activation_function is None, but only gelu_new"),
        ({"embed_dropout": 0.1}, r"attention_dropout and embed_dropout and resid_dropout differ"),
    ],
)
def test_what_gpt_neo_does_not_compute_here_is_refused(tmp_path, change, message):
    published("gpt-neo").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize(("name", "key"), [("gpt2", "n_inner"), ("gpt-neo", "intermediate_size")])
def test_a_feed_forward_of_four_widths_may_be_named(name, key, tmp_path):
    published(name, **{key: 64}).save_pretrained(tmp_path)
    assert read_config(tmp_path)[1].width == 16
    published(name, **{key: 32}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{key} is 32"):
        read_config(tmp_path)


def test_a_form_of_gelu_without_a_name_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="a directory of openai-gpt has no word for activation='exact'"):
        save_model(tiny("gpt", activation="exact"), tmp_path)
    assert list(tmp_path.iterdir()) == []

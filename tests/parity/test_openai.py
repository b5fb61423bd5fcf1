"""GPT-2 beside its authors' code: numbers which that code printed for the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.models.gpt2 import GPT2, GPT2Config

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
NAMES = {  # theirs, ours, and whether a matrix is laid out the other way round
    "ln_1/g": ("attention_norm.weight", False),
    "ln_1/b": ("attention_norm.bias", False),
    "attn/c_attn/w": ("attention.projection.weight", True),
    "attn/c_attn/b": ("attention.projection.bias", False),
    "attn/c_proj/w": ("attention.output.weight", True),
    "attn/c_proj/b": ("attention.output.bias", False),
    "ln_2/g": ("feed_forward_norm.weight", False),
    "ln_2/b": ("feed_forward_norm.bias", False),
    "mlp/c_fc/w": ("feed_forward.expand.weight", True),
    "mlp/c_fc/b": ("feed_forward.expand.bias", False),
    "mlp/c_proj/w": ("feed_forward.contract.weight", True),
    "mlp/c_proj/b": ("feed_forward.contract.bias", False),
}
OUTER = {"wte": "token.weight", "wpe": "position.weight", "ln_f/g": "end.weight", "ln_f/b": "end.bias"}


@pytest.fixture(scope="module")
def oracle():
    return np.load(Path(__file__).parent.parent / "oracles" / "gpt2.npz")


def ours(oracle, prefix: str) -> dict[str, torch.Tensor]:
    """Their tensors of one kind, by our names."""
    found = {name: torch.from_numpy(oracle[f"{prefix}model/{key}"]) for key, name in OUTER.items()}
    for layer in range(3):
        for key, (name, is_turned) in NAMES.items():
            tensor = torch.from_numpy(oracle[f"{prefix}model/h{layer}/{key}"])
            found[f"blocks.{layer}.{name}"] = tensor[0].T if is_turned else tensor
    assert len(found) == sum(key.startswith(prefix) for key in oracle.files)
    return found


@pytest.fixture(scope="module")
def model(oracle):
    model = GPT2(GPT2Config(vocabulary=37, context=16, width=24, depth=3, heads=4)).eval()
    weights = ours(oracle, "w/")
    model.load_state_dict({**weights, "output.weight": weights["token.weight"]})
    return model


@pytest.fixture(scope="module")
def texts(oracle):
    return [torch.from_numpy(row).long() for row in oracle["in/X"]]


def test_scores_and_attention(oracle, model, texts):
    for n, text in enumerate(texts):
        with recording(model) as maps:
            scores = model(Packed.of([text]))
        assert_close(scores, torch.from_numpy(oracle["out/logits"][n]), **CLOSE)
        for layer in range(3):
            wanted = torch.from_numpy(oracle[f"out/attn_probs_{layer}"][n])
            assert_close(maps[f"blocks.{layer}.attention"][0], wanted, **CLOSE)
    together = model(Packed.of(texts)).unflatten(0, (2, 12))
    assert_close(together, torch.from_numpy(oracle["out/logits"]), **CLOSE)


def test_each_block(oracle, model, texts):
    seen = []
    hooks = [block.register_forward_hook(lambda *call: seen.append(call[2])) for block in model.blocks]
    model(Packed.of(texts))
    for hook in hooks:
        hook.remove()
    for layer, x in enumerate(seen):
        assert_close(x[0].unflatten(0, (2, 12)), torch.from_numpy(oracle[f"out/block_{layer}"]), **CLOSE)


def test_keys_and_values_of_a_prompt(oracle, model, texts):
    state = model.start(Packed.of(text[:7] for text in texts))
    scores, state = model.step(None, state)
    assert_close(scores, torch.from_numpy(oracle["out/logits_first7"][:, -1]), **CLOSE)
    present = torch.from_numpy(oracle["out/present_first7"])
    for layer, cache in enumerate(state.past):
        for got, wanted in zip(cache.held(), present[:, layer].unbind(1), strict=True):
            assert_close(got, wanted, **CLOSE)
    for place in range(5):
        scores, state = model.step(torch.stack([text[7 + place] for text in texts]), state)
        assert_close(scores, torch.from_numpy(oracle["out/logits_last5_with_past"][:, place]), **CLOSE)


def test_loss_and_gradients(oracle, model, texts):
    model.zero_grad()
    scores = model(Packed.of(texts)).unflatten(0, (2, 12))
    targets = torch.stack(texts)[:, 1:]
    loss = torch.nn.functional.cross_entropy(scores[:, :-1].flatten(0, 1), targets.flatten())
    assert_close(loss, torch.from_numpy(oracle["out/lm_loss"]), **CLOSE)
    loss.backward()
    wanted = ours(oracle, "out/grad/")
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, wanted.pop(name), **CLOSE)
    assert not wanted

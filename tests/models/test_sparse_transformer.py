"""What the Sparse Transformer sees, keeps and computes again."""

import dataclasses
import json
import math

import pytest
import torch
from tiny import sentences, tiny, tiny_config
from torch.testing import assert_close

from regard.attention.masks import causal
from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.models import MODELS
from regard.models.saved import load_model, save_model
from regard.models.sparse_transformer import PATTERNS, SPARSE_TRANSFORMER_SIZES, SparseTransformer
from regard.objectives.next_token import NextToken

EXACT = {"atol": 1e-9, "rtol": 1e-9}
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def model(pattern: str, **changes):
    return tiny("sparse-transformer", depth=4, stride=6, summary=2, pattern=pattern, **changes)


def sees(pattern: str, layer: int, head: int, i: int, j: int, subblocks: int) -> bool:
    """Section 4.2, with l = 6 and c = 2; every second layer, or the second half of four heads, looks far."""
    kind, _, over = pattern.partition(" over ")
    is_far = layer % 2 == 1 if over == "layers" else head >= 2
    if kind == "strided":
        return (i - j) % 6 == 0 if is_far else i - j < 6
    looking, heads = (head - 2, 2) if over == "heads" else (head, 4)
    subblock = looking * subblocks // heads
    is_summary, is_own = 4 - 2 * subblock <= j % 6 < 6 - 2 * subblock, i // 6 == j // 6
    if not over:
        return is_own or is_summary
    return is_summary if is_far else is_own


@pytest.mark.parametrize("subblocks", [1, 2])
@every_pattern
def test_each_layer_and_head_sees_its_part(pattern, subblocks):
    sparse = model(pattern, subblocks=subblocks)
    with recording(sparse) as maps:
        sparse(Packed.of([[3] * 40]))
    for layer in range(4):
        weights = maps[f"blocks.{layer}.attention"][0]
        for head in range(4):
            wanted = [[j <= i and sees(pattern, layer, head, i, j, subblocks) for j in range(40)] for i in range(40)]
            assert (weights[head] > 0).tolist() == wanted


@pytest.mark.parametrize(("pattern", "reach"), [("dense", 40), ("local", 6)])
def test_what_patterns_are_compared_with_looks_back_without_a_gap(pattern, reach):
    other = model(pattern)
    with recording(other) as maps:
        other(Packed.of([[3] * 40]))
    wanted = [[0 <= i - j < reach for j in range(40)] for i in range(40)]
    assert all((head > 0).tolist() == wanted for weights in maps.values() for head in weights[0])


@every_pattern
def test_two_steps_reach_the_whole_past(pattern):
    # two layers, or two kinds of heads in two layers, connect each position with all before it (section 4.2); what a
    # layer does not move stays where it is
    first, second = (mask.dense(1, 4, 48, 48).reshape(-1, 48, 48).any(0).float() for mask in model(pattern).masks()[:2])
    reached = (second + torch.eye(48)) @ first > 0
    assert torch.equal(reached, causal().dense(1, 1, 48, 48))


@every_pattern
def test_cached_is_uncached(pattern):
    sparse, text = model(pattern), torch.tensor(sentences(50)[0])
    for read in (1, 5, 6, 13, 30):
        whole = sparse(Packed.of([text]))
        scores, state = sparse.step(None, sparse.start(Packed.of([text[:read]])))
        for t in range(read, len(text)):
            assert_close(scores[0], whole[t - 1], **EXACT)
            scores, state = sparse.step(text[t, None], state)


@pytest.mark.parametrize("key_width", [4, 8, 16, 24])  # of heads from a fourth of those of values to more than theirs
def test_cached_is_uncached_with_keys_of_every_width(key_width):
    sparse = model("fixed over heads", key_width=key_width, context=96, axes=(8, 12))
    texts = [torch.tensor(text) for text in sentences(90, 81)]  # longer than the room with which a cache begins
    whole = [sparse(Packed.of([text])) for text in texts]
    scores, state = sparse.step(None, sparse.start(Packed.of([texts[0][:13], texts[1][:4]])))
    for t in range(77):
        for row, scored, read in zip(scores, whole, (13, 4), strict=True):
            assert_close(row, scored[read + t - 1], **EXACT)
        scores, state = sparse.step(torch.stack([texts[0][13 + t], texts[1][4 + t]]), state)


@every_pattern
def test_what_is_computed_again_gives_the_same_gradients(pattern):
    torch.manual_seed(0)
    one = MODELS["sparse-transformer"].model(tiny_config("sparse-transformer", pattern=pattern, dropout=0.3)).double()
    torch.nn.init.normal_(one.output.weight)
    batch, gradients = Packed.of(sentences(30, 64)), []
    for again in (True, False):
        if not again:
            one.run = lambda block, x, **attention: block(x, **attention)
        torch.manual_seed(1)
        one.train().zero_grad()
        one(batch).square().sum().backward()
        gradients.append([parameter.grad for parameter in one.parameters()])
    for got, wanted in zip(*gradients, strict=True):
        assert_close(got, wanted, **EXACT)


@every_pattern
def test_each_block_is_computed_once_more_in_the_backward_pass(pattern):
    one, computed = model(pattern).train(), []
    for block in one.blocks:
        block.register_forward_pre_hook(lambda *call: computed.append(call[0]))
    one(Packed.of(sentences(30, 64))).sum().backward()
    assert computed == [*one.blocks, *reversed(one.blocks)]


def test_positions_are_known_by_their_axes():
    one = tiny("sparse-transformer", context=24, axes=(2, 4, 3))
    rows, columns, channels = (table.weight for table in one.position.tables)
    for place in range(24):
        wanted = rows[place // 12] + columns[place // 3 % 4] + channels[place % 3]
        assert_close(one.position(torch.tensor([place]))[0], wanted, **EXACT)


def test_widths_which_are_not_given_are_those_of_gpt2(tmp_path):
    sparse, text = tiny("sparse-transformer", dtype=torch.float32, hidden=0, key_width=0), Packed.of(sentences(20))
    block = sparse.blocks[0]
    assert block.attention.projection.weight.shape == (3 * 16, 16)
    assert block.feed_forward.expand.weight.shape == (4 * 16, 16)
    save_model(sparse, tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    del about["hidden"], about["key_width"]  # as in directories from before there were these
    (tmp_path / "config.json").write_text(json.dumps(about))
    assert torch.equal(load_model(tmp_path).eval()(text), sparse(text))


def test_widths_of_its_own_are_saved_and_loaded(tmp_path):
    sparse, text = tiny("sparse-transformer", dtype=torch.float32, hidden=40, key_width=4), Packed.of(sentences(20))
    save_model(sparse, tmp_path)
    loaded = load_model(tmp_path).eval()
    assert (loaded.config.hidden, loaded.config.key_width) == (40, 4)
    assert loaded.blocks[0].attention.projection.weight.shape == (4 + 4 + 16, 16)
    assert loaded.blocks[0].feed_forward.expand.weight.shape == (40, 16)
    assert torch.equal(loaded(text), sparse(text))


def test_a_small_model_of_the_form_for_images_learns_them():
    torch.manual_seed(0)
    small = {"context": 48, "width": 32, "hidden": 64, "key_width": 16, "depth": 2, "axes": (4, 4, 3), "stride": 12}
    of_images = SPARSE_TRANSFORMER_SIZES["cifar10"]
    sparse = SparseTransformer(dataclasses.replace(of_images, **small, dropout=0.1)).train()
    images = Packed.of([[200, 30, 90] * 8 + [10, 180, 250] * 8, [60, 60, 60] * 8 + [255, 0, 128] * 8])
    optimiser, losses = torch.optim.Adam(sparse.parameters(), 0.01), []
    for _ in range(60):
        loss = NextToken(sparse)(images)
        losses.append(float(loss.total.detach()) / loss.tokens)
        optimiser.zero_grad()
        (loss.total / loss.tokens).backward()
        optimiser.step()
    assert losses[0] == pytest.approx(math.log(256), abs=1e-4)  # its output begins with zeros
    assert losses[-1] < 0.5


def test_it_begins_with_equal_odds():
    one = MODELS["sparse-transformer"].model(tiny_config("sparse-transformer"))
    assert one(Packed.of([[3, 4, 5]])).eq(0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": (8, 9)}, "hold 72 positions, not the 64"),
        ({"pattern": "sparse"}, "pattern must be one of strided over"),
        ({"summary": 9}, "a block of 8 cells has no subblock 0 of 9 cells"),
        ({"subblocks": 5}, "a block of 8 cells has no subblock 4 of 2 cells"),
        ({"subblocks": 3}, "4 heads cannot be shared out evenly among 3 patterns"),
        ({"subblocks": 4, "pattern": "fixed over heads"}, "4 heads cannot be shared out evenly among 8 patterns"),
        ({"key_width": 10}, "key_width must be a multiple of heads, got key_width=10 and heads=4"),
        ({"activation": "relu"}, "activation must be one of exact, tanh, sigmoid, got 'relu'"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny("sparse-transformer", **changes)

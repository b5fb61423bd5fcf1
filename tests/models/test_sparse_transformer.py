"""What the Sparse Transformer sees, keeps and computes again."""

import pytest
import torch
from tiny import sentences, tiny, tiny_config
from torch.testing import assert_close

from regard.attention.masks import causal
from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.models import MODELS
from regard.models.sparse_transformer import PATTERNS

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
        ({"activation": "relu"}, "activation must be one of exact, tanh, sigmoid, got 'relu'"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny("sparse-transformer", **changes)

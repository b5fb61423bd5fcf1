"""Bricks beside their formulas."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from regard.layers import initialise
from regard.layers.attention import AdditiveAttention, MultiHeadAttention, Source, SourceAttention
from regard.layers.dropout import Dropout
from regard.layers.maxout import maxout
from regard.layers.positions import sinusoids
from regard.layers.state import Hypotheses, KeyValueCache, Recurrent, Tree


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate, dtype):
    torch.manual_seed(0)
    x = torch.ones(100_000, dtype=dtype)
    y = Dropout(rate)(x)
    dropped = y.eq(0).double().mean().item()
    assert abs(dropped - rate) < 5 * math.sqrt(rate * (1 - rate) / len(x))  # five deviations
    kept = y[y != 0]
    assert kept.eq(kept[0]).all()
    near = 1e-2 if dtype is torch.bfloat16 else 2e-4  # the rate is rounded to 2**-16
    assert_close(kept[0].double().item(), 1 / (1 - rate), rtol=near, atol=0)
    assert y.dtype is dtype


def test_dropout_draws_each_value_by_itself():
    torch.manual_seed(0)
    y = Dropout(0.5)(torch.ones(4, 50_000)).eq(0).double()
    together = (y @ y.T / y.shape[1]).fill_diagonal_(0.25)
    assert_close(together, torch.full((4, 4), 0.25, dtype=torch.float64), atol=0.012, rtol=0)  # five deviations
    neighbours = (y[:, 1:] * y[:, :-1]).mean()
    assert abs(neighbours - 0.25) < 0.006


@pytest.mark.parametrize("shape", [(3,), (5, 7), (2, 3, 5), (1,), (0, 4)])
def test_dropout_keeps_the_shape(shape):
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


def test_dropout_in_evaluation_and_at_rate_zero_is_nothing():
    x = torch.randn(10)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_gives_the_same_for_the_same_seed_and_its_gradient_is_its_mask():
    x, results = torch.randn(1000, requires_grad=True), []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(Dropout(0.4)(x))
    assert torch.equal(*results)
    (gradient,) = torch.autograd.grad(results[0].sum(), x)
    assert_close(gradient * x, results[0])


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_dropout_rate_lies_between_none_and_all(rate):
    with pytest.raises(ValueError, match=r"a dropout rate lies in \[0, 1\)"):
        Dropout(rate)


def test_dropout_at_almost_one_is_finite():
    assert Dropout(0.9999999)(torch.ones(1000)).isfinite().all()


def test_sinusoids_are_the_papers_formula():
    table = sinusoids(torch.tensor([0, 1, 5, 200]), 6)
    for row, position in enumerate((0, 1, 5, 200)):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert_close(table[row, 2 * i].item(), math.sin(angle), atol=2e-5, rtol=0)  # float32 angles of up to 200
            assert_close(table[row, 2 * i + 1].item(), math.cos(angle), atol=2e-5, rtol=0)


def test_sinusoids_need_an_even_width():
    with pytest.raises(ValueError, match="even width, got 5"):
        sinusoids(torch.arange(3), 5)


def test_maxout_takes_the_larger_of_neighbours():
    assert maxout(torch.tensor([[1.0, 4.0, -3.0, -2.0], [0.0, 0.0, 9.0, 8.0]])).tolist() == [[4.0, -2.0], [0.0, 9.0]]


def test_additive_attention_by_hand():
    torch.manual_seed(0)
    attention = AdditiveAttention(3, 4, 5).double()
    state, values = (torch.randn(2, n, d, dtype=torch.float64) for n, d in ((2, 3), (6, 4)))
    allowed = torch.arange(6) < torch.tensor([[6], [2]])
    context, weights = attention(state, attention.key(values), values, allowed)
    for b, S in ((0, 6), (1, 2)):
        for t in range(2):
            powers = []
            for j in range(S):
                hidden = attention.query.weight @ state[b, t] + attention.key.weight @ values[b, j]
                powers.append((attention.energy.weight[0] @ torch.tanh(hidden)).exp())
            wanted = torch.stack(powers) / sum(powers)
            assert_close(weights[b, t, :S], wanted, atol=1e-13, rtol=1e-13)
            assert weights[b, t, S:].eq(0).all()
            assert_close(context[b, t], wanted @ values[b, :S], atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("bias", [False, True])
def test_multi_head_attention_is_torchs_with_the_same_weights(bias):
    torch.manual_seed(0)
    ours, theirs = (
        MultiHeadAttention(12, 3, bias=bias).double(),
        nn.MultiheadAttention(12, 3, bias=bias, batch_first=True),
    )
    with torch.no_grad():
        theirs.double().in_proj_weight.copy_(ours.projection.weight)
        theirs.out_proj.weight.copy_(ours.output.weight)
        if bias:
            theirs.in_proj_bias.copy_(ours.projection.bias)
            theirs.out_proj.bias.copy_(ours.output.bias)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    assert_close(ours(x), theirs(x, x, x)[0], atol=1e-12, rtol=1e-12)


def test_source_attention_is_torchs_with_the_same_weights():
    torch.manual_seed(0)
    ours, theirs = SourceAttention(12, 3).double(), nn.MultiheadAttention(12, 3, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.projection.weight)
        theirs.in_proj_bias.copy_(ours.projection.bias)
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    x, context = torch.randn(2, 5, 12, dtype=torch.float64), torch.randn(2, 7, 12, dtype=torch.float64)
    wanted = theirs(x, context, context)[0]
    assert_close(ours(x, Source(*ours.keys_and_values(context))), wanted, atol=1e-12, rtol=1e-12)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width must be a multiple of heads, got width=10 and heads=3"):
        MultiHeadAttention(10, 3)


def test_a_cache_gives_back_all_that_it_was_given():
    torch.manual_seed(0)
    cache, given = KeyValueCache(), []
    for count in (1, 3, 20, 1, 1, 40):  # past its first room, and past twice that
        given.append([torch.randn(2, 3, count, 4) for _ in range(2)])
        for got, parts in zip(cache.extend(*given[-1]), zip(*given, strict=True), strict=True):
            assert torch.equal(got, torch.cat(parts, 2))
    rows = torch.tensor([1, 1, 0])
    chosen, new = cache.select(rows), [torch.randn(3, 3, 1, 4) for _ in range(2)]
    for got, parts, more in zip(chosen.extend(*new), zip(*given, strict=True), new, strict=True):
        assert torch.equal(got, torch.cat([torch.cat(parts, 2)[rows], more], 2))


def test_hypotheses_stand_in_a_table():
    hypotheses = Hypotheses(2, 3, torch.tensor([0, 2, 4]))
    assert hypotheses.owners.tolist() == [0, 0, 1]
    assert hypotheses.rows.tolist() == [[0, -1, 1], [-1, 2, -1]]
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    table = hypotheses.spread(rows, -1.0)
    assert table.tolist() == [[[1, 2], [-1, -1], [3, 4]], [[-1, -1], [5, 6], [-1, -1]]]
    assert torch.equal(hypotheses.gather(table), rows)
    full = Hypotheses(2, 2, torch.arange(4))
    assert full.spread(torch.arange(4)).tolist() == [[0, 1], [2, 3]]
    assert full.gather(torch.arange(4).view(2, 2)).tolist() == [0, 1, 2, 3]
    assert Hypotheses.one_each(3).rows.tolist() == [[0], [1], [2]]


def test_a_tree_knows_the_past_of_each_hypothesis():
    tree, full = Tree.root(2, torch.device("cpu")).grow(), Hypotheses(2, 2, torch.arange(4))
    assert tree.mask is None  # one hypothesis a sentence sees all
    tree = tree.select(torch.tensor([0, 0, 1, 1]), full).grow()  # position 0 is everybody's, 1 and 2 are their own
    assert tree.past.int().tolist() == [[[1, 1, 0], [1, 0, 1]]] * 2
    # the first sentence goes on twice from its second hypothesis, the second sentence changes their places
    tree = tree.select(torch.tensor([1, 1, 3, 2]), full).grow()
    assert tree.past.int().tolist() == [
        [[1, 0, 1, 1, 0], [1, 0, 1, 0, 1]],
        [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]],
    ]
    assert torch.equal(tree.mask.dense(2, 1, 2, 5)[:, 0], tree.past)
    alone = tree.select(torch.tensor([3]), Hypotheses(1, 2, torch.tensor([1])))
    assert alone.past.int().tolist() == [[[0, 0, 0, 0, 0], [1, 1, 0, 0, 1]]]


def test_positions_which_are_nobodys_past_are_left_behind():
    past = torch.tensor([[[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]], [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]], dtype=torch.bool)
    tree, positions = Tree(past).compact()
    assert tree.past.int().tolist() == [[[1, 1, 0], [1, 0, 1]], [[1, 0, 0], [0, 0, 0]]]
    assert positions[0].tolist() == [0, 3, 4]
    assert positions[1, 0] == 1
    cache, given = KeyValueCache(), [torch.randn(2, 3, 5, 4) for _ in range(2)]
    cache.extend(*given)
    new = [torch.randn(2, 3, 1, 4) for _ in range(2)]
    for got, old, more in zip(cache.gather(positions).extend(*new), given, new, strict=True):
        assert torch.equal(got[0], torch.cat([old[0][:, [0, 3, 4]], more[0]], 1))
        assert torch.equal(got[1, :, 0], old[1, :, 1])


def test_what_joins_keeps_its_values_and_is_filled_up():
    one, two = KeyValueCache(), KeyValueCache()
    first, second = ([torch.randn(count, 3, length, 4) for _ in range(2)] for count, length in ((2, 5), (1, 2)))
    one.extend(*first)
    two.extend(*second)
    new = [torch.randn(3, 3, 1, 4) for _ in range(2)]
    for got, a, b, more in zip(one.join(two).extend(*new), first, second, new, strict=True):
        assert torch.equal(got[:2, :, :5], a)
        assert torch.equal(got[2:, :, :2], b)
        assert not got[2:, :, 2:5].any()
        assert torch.equal(got[:, :, 5:], more)
    hypotheses = Hypotheses(2, 2, torch.tensor([0, 3])).join(Hypotheses(1, 2, torch.tensor([1])))
    assert (hypotheses.sentences, hypotheses.places.tolist()) == (3, [0, 3, 5])
    with pytest.raises(ValueError, match="tables of 2 and 3 places"):
        hypotheses.join(Hypotheses(1, 3, torch.tensor([0])))


def test_a_recurrent_state_selects_hypotheses_and_sentences():
    state = Recurrent(Hypotheses.one_each(2), (torch.tensor([[1.0], [2.0]]),), (torch.tensor([[10.0], [20.0]]),))
    state = state.select(torch.tensor([0, 0, 1]), Hypotheses(2, 2, torch.tensor([0, 1, 3])))
    assert state.own[0].flatten().tolist() == [1, 1, 2]
    assert state.source[0].flatten().tolist() == [10, 20]
    state = state.select(torch.tensor([2, 2]), Hypotheses(1, 2, torch.tensor([0, 1])), torch.tensor([1]))
    assert state.own[0].flatten().tolist() == [2, 2]
    assert state.source[0].flatten().tolist() == [20]
    assert state.hypotheses.beams == 2


def test_published_initialisations():
    torch.manual_seed(0)
    weight = torch.empty(3 * 40, 40)
    initialise.orthogonal_blocks(weight)
    for block in weight.split(40):
        assert_close(block @ block.T, torch.eye(40), atol=1e-5, rtol=0)
    initialise.glorot_blocks(weight, 3)
    bound = math.sqrt(6 / (40 + 40))
    assert 0.95 * bound < weight.abs().max() <= bound
    model = nn.Linear(30, 50)
    initialise.uniform(model, 0.08)
    assert 0.07 < model.weight.abs().max() <= 0.08
    assert 0 < model.bias.abs().max() <= 0.08
    initialise.normal([weight], 0.01)
    assert_close(weight.std().item(), 0.01, rtol=0.05, atol=0)

"""Bricks beside their formulas."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from regard.attention.masks import causal
from regard.layers import initialise
from regard.layers.adaptive import AdaptiveEmbedding, AdaptiveSoftmax
from regard.layers.attention import AdditiveAttention, MultiHeadAttention, Source, SourceAttention
from regard.layers.cache import KeyValueCache, Slots
from regard.layers.continuation import Tree
from regard.layers.dropout import Dropout
from regard.layers.maxout import maxout
from regard.layers.positions import sinusoids
from regard.layers.state import Hypotheses, Recurrent


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
    with pytest.raises(ValueError, match=r"a rate of dropout must lie in \[0, 1\)"):
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


def by_hand(layer, x, context, sees):
    """Section 3.2.2 head by head: Q and K of one width, V of another; scores by 1/sqrt of a head's width of keys."""
    keys, width, heads = layer.widths[0], layer.width, layer.heads
    (query, key, value), biases = (y.split([keys, keys, width]) for y in layer.projection.parameters())
    query, key = x @ query.T + biases[0], context @ key.T + biases[1]
    value, results = context @ value.T + biases[2], []
    for h in range(heads):
        own, seen = (slice(h * n // heads, (h + 1) * n // heads) for n in (keys, width))
        powers = (query[..., own] @ key[..., own].mT / math.sqrt(keys // heads)).exp() * sees
        results.append(powers / powers.sum(-1, keepdim=True) @ value[..., seen])
    return torch.cat(results, -1) @ layer.output.weight.T + layer.output.bias


@pytest.mark.parametrize("key_width", [3, 6, 12, 24])
def test_queries_and_keys_may_be_of_another_width_than_values(key_width):
    torch.manual_seed(0)
    layer = MultiHeadAttention(12, 3, key_width=key_width).double()
    source = SourceAttention(12, 3, key_width=key_width).double()
    assert layer.projection.weight.shape == (2 * key_width + 12, 12)
    x, other = torch.randn(2, 5, 12, dtype=torch.float64), torch.randn(2, 7, 12, dtype=torch.float64)
    past, weighting = torch.ones(5, 5).tril(), torch.randn_like(x)
    for of, ours, wanted in (
        (layer, layer(x), by_hand(layer, x, x, 1)),
        (layer, layer(x, mask=causal()), by_hand(layer, x, x, past)),
        (layer, layer(x, context=other), by_hand(layer, x, other, 1)),
        (source, source(x, Source(*source.keys_and_values(other))), by_hand(source, x, other, 1)),
    ):
        assert_close(ours, wanted, atol=1e-12, rtol=1e-12)
        found, right = (torch.autograd.grad((y * weighting).sum(), [*of.parameters()]) for y in (ours, wanted))
        for got, want in zip(found, right, strict=True):
            assert_close(got, want, atol=1e-12, rtol=1e-12)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width must be a multiple of heads, got width=10 and heads=3"):
        MultiHeadAttention(10, 3)
    for key_width in (10, 2, 0, -3):
        wanted = f"key_width must be a multiple of heads, got key_width={key_width} and heads=3"
        with pytest.raises(ValueError, match=wanted):
            MultiHeadAttention(12, 3, key_width=key_width)


def written(cache: KeyValueCache, *, places: list[int], sentences: int, overwrites: bool = False):
    """`cache` after a position of each sentence was written, and the keys and values of it, [B, H, K] each."""
    slots = Slots(Hypotheses.one_each(sentences), torch.tensor(places), max(cache.length, *(p + 1 for p in places)))
    given = [torch.randn(sentences, 3, 4) for _ in range(2)]
    after = cache.at(replace(slots, overwrites=overwrites))
    for got, own in zip(after.write(*given), given, strict=True):
        assert torch.equal(got[torch.arange(sentences), :, places], own)
    return after, given


def test_a_cache_gives_back_all_that_it_was_given():
    torch.manual_seed(0)
    cache, given = KeyValueCache(), []
    with pytest.raises(ValueError, match="holds nothing yet"):
        cache.held()
    for position in range(70):  # past its first room, and past twice that
        cache, new = written(cache, places=[position] * 2, sentences=2)
        given.append(new)
        for got, parts in zip(cache.held(), zip(*given, strict=True), strict=True):
            assert torch.equal(got, torch.stack(parts, 2))
    rows = torch.tensor([1, 1, 0])
    chosen, new = written(cache.select(rows), places=[70] * 3, sentences=3)
    for got, parts, more in zip(chosen.held(), zip(*given, strict=True), new, strict=True):
        assert torch.equal(got, torch.cat([torch.stack(parts, 2)[rows], more[:, :, None]], 2))


def test_two_caches_of_one_past_do_not_disturb_each_other():
    torch.manual_seed(0)
    past, given = written(KeyValueCache(), places=[0, 0], sentences=2)
    one, first = written(past, places=[1, 1], sentences=2)
    two, second = written(past, places=[1, 1], sentences=2)
    for cache, new in ((one, first), (two, second)):
        for got, old, more in zip(cache.held(), given, new, strict=True):
            assert torch.equal(got, torch.stack([old, more], 2))


def test_what_was_written_over_cannot_be_gone_on_from():
    past, _ = written(KeyValueCache(), places=[0, 0], sentences=2)
    one, _ = written(past, places=[1, 1], sentences=2)
    written(one, places=[0, 2], sentences=2, overwrites=True)
    uses = (
        KeyValueCache.held,
        lambda lost: lost.select(torch.tensor([0])),
        lambda lost: lost.join(lost),
        lambda lost: written(lost, places=[2, 2], sentences=2),
    )
    for lost, use in itertools.product((past, one), uses):
        with pytest.raises(RuntimeError, match="has been written over"):
            use(lost)


def test_sentences_move_up_where_they_lie():
    torch.manual_seed(0)
    cache, given = written(KeyValueCache(), places=[0, 0, 0], sentences=3)
    last = cache.select(torch.tensor([2]))
    with pytest.raises(RuntimeError, match="has been written over"):
        cache.held()
    joined = last.join(other := KeyValueCache.of(*(torch.randn(2, 3, 2, 4) for _ in range(2))))
    for got, old, new in zip(joined.held(), given, other.held(), strict=True):
        assert torch.equal(got[0, :, 0], old[2])
        assert torch.equal(got[1:], new)
    again = last.join(KeyValueCache.of(*(torch.randn(1, 3, 1, 4) for _ in range(2))))  # in memory of its own
    for got, new, old in zip(joined.held(), other.held(), given, strict=True):
        assert torch.equal(got[1:], new)
        assert torch.equal(got[0, :, 0], old[2])
    assert again.held()[0].shape == (2, 3, 1, 4)
    assert [x.shape for x in joined.select(torch.tensor([1, 2]), 1).held()] == [(2, 3, 1, 4)] * 2


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
    full = Hypotheses(2, 2, torch.arange(4))
    tree, slots = Tree.root(2, torch.device("cpu")).grow(Hypotheses.one_each(2))
    assert (slots.places.tolist(), slots.length, slots.overwrites) == ([0, 0], 1, False)
    assert tree.mask is None  # all see all
    tree, slots = tree.select(torch.tensor([0, 0, 1, 1]), full).grow(full)  # place 0 is everybody's, 1 and 2 their own
    assert (slots.places.tolist(), slots.length, slots.overwrites) == ([1, 2, 1, 2], 3, False)
    assert tree.past.int().tolist() == [[[1, 1, 0], [1, 0, 1]]] * 2
    # the first sentence goes on twice from its second hypothesis, so that place 1 is free; in the second they swap
    tree, slots = tree.select(torch.tensor([1, 1, 3, 2]), full).grow(full)
    assert (slots.places.tolist(), slots.length, slots.overwrites) == ([1, 3, 3, 4], 5, True)
    assert tree.past.int().tolist() == [
        [[1, 1, 1, 0, 0], [1, 0, 1, 1, 0]],
        [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]],
    ]
    assert torch.equal(tree.mask.dense(2, 1, 2, 5)[:, 0], tree.past)
    alone = Hypotheses(1, 2, torch.tensor([1]))
    tree = tree.select(torch.tensor([1]), alone)
    assert tree.past.int().tolist() == [[[0, 0, 0, 0, 0], [1, 0, 1, 1, 0]]]
    tree, slots = tree.grow(alone)
    assert (slots.places.tolist(), slots.length, slots.overwrites) == ([4], 5, True)
    assert tree.past.int().tolist() == [[[0, 1, 0, 0, 0], [1, 0, 1, 1, 1]]]  # nobody stands in the first place


def test_a_tree_forgets_places_which_nobody_needs():
    past = torch.tensor([[[1, 0, 0, 0, 0, 0, 1]], [[1, 1, 0, 0, 0, 0, 0]]], dtype=torch.bool)
    kept = Tree(past).select(torch.tensor([1]), Hypotheses.one_each(1))
    tree, slots = kept.grow(Hypotheses.one_each(1))
    assert (tree.past.int().tolist(), slots.places.tolist(), slots.length) == ([[[1, 1, 1]]], [2], 3)


def test_what_joins_keeps_its_values_and_is_filled_up():
    torch.manual_seed(0)
    one, given = KeyValueCache(), []
    for position in range(5):
        one, new = written(one, places=[position] * 2, sentences=2)
        given.append(new)
    two, other = written(KeyValueCache(), places=[0], sentences=1)
    with pytest.raises(ValueError, match="holds nothing yet"):
        two.join(KeyValueCache())
    for got, parts, alone in zip(one.join(two).held(), zip(*given, strict=True), other, strict=True):
        assert torch.equal(got[:2], torch.stack(parts, 2))
        assert torch.equal(got[2, :, 0], alone[0])
        assert got[2].isfinite().all()
    joined = Tree(torch.ones(1, 1, 3, dtype=torch.bool)).join(Tree(torch.ones(1, 1, 1, dtype=torch.bool)))
    assert joined.mask.dense(2, 1, 1, 3).int().tolist() == [[[[1, 1, 1]]], [[[1, 0, 0]]]]  # a greedy search's too
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


@pytest.mark.parametrize("division", [1, 2])
def test_log_probabilities_are_float32_where_products_are_bfloat16(division):
    embedding = AdaptiveEmbedding(40, 16, [10, 20], division)
    softmax, hidden, targets = AdaptiveSoftmax(embedding), torch.randn(9, 16), torch.arange(0, 36, 4)
    with torch.autocast("cpu", torch.bfloat16):
        all_words, likelihood = softmax(hidden), softmax.likelihood(hidden, targets)
    assert all_words.dtype == likelihood.dtype == torch.float32
    assert_close(all_words.exp().sum(1), torch.ones(9), atol=1e-5, rtol=0)  # in bfloat16 they miss by hundredths


@pytest.mark.parametrize(
    ("cutoffs", "division", "message"),
    [
        ([30, 20], 1, "cutoffs must ascend"),
        ([10, 40], 1, "cutoffs must ascend"),
        ([10, 20], 0, "division must be 1 or more, got 0"),
        ([10, 20], -2, "division must be 1 or more, got -2"),
        ([10, 20], 5, "division=5 leaves the last of 3 tables no width"),
    ],
)
def test_clusters_which_make_no_sense_are_refused(cutoffs, division, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveEmbedding(40, 16, cutoffs, division)


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

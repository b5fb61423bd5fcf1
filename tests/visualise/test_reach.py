"""How far back heads look, against heads made by hand and against counting one weight at a time."""

import json

import numpy as np
import pytest
import torch
from looking_back import LETTERS, looking_back
from tiny import WRITING, tiny

import regard
from regard.attention.packing import Packed
from regard.data.corpus import Piece
from regard.data.text_store import TextStore
from regard.visualise.reach import measure_reach, reach_figure

TEXT = "".join("abcdefgh"[n * n % 7 % 8] for n in range(70))


@pytest.fixture
def store(tmp_path):
    """The text, and its ids with the end tokens around it."""
    return TextStore.build(tmp_path / "text", [Piece(TEXT, "here", 1)], LETTERS)


def ids_of(store):
    return store.packed(np.array([0]), np.array([store.size])).tokens


def counted_by_hand(recorded, past):
    """Sums [H, D], counts [D] and queries of maps [H, T, S], whose queries are the last positions; cell by cell."""
    sums, counts, queries = {}, {}, 0
    for weights in recorded:
        heads, T, S = weights.shape
        for query in range(T):
            place = S - T + query
            if place < past:
                continue
            queries += 1
            for key in range(place + 1):
                counts[place - key] = counts.get(place - key, 0) + 1
                for head in range(heads):
                    sums[head, place - key] = sums.get((head, place - key), 0.0) + float(weights[head, query, key])
    furthest = max(counts) + 1
    table = np.array([[sums[head, distance] for distance in range(furthest)] for head in range(heads)])
    return table, np.array([counts[distance] for distance in range(furthest)]), queries


def test_a_head_which_looks_three_back_reaches_three_back(store):
    found = measure_reach(looking_back(0, 3, 7), store, 16)
    assert (found.past, found.queries) == (8, store.size - 8)
    (weights,), (means,) = found.weights.values(), found.mean_distances.values()
    assert means == pytest.approx([0, 3, 7], abs=1e-6)
    assert weights == pytest.approx(np.eye(16)[[0, 3, 7]], abs=1e-6)


@pytest.mark.parametrize("name", WRITING)
def test_windows_are_measured_as_counted_by_hand(store, name):
    changes = {"memory": 0} if name == "transformer-xl" else {}
    model, ids = tiny(name, **changes), ids_of(store)
    found = measure_reach(model, store, 20)
    for layer, weights in enumerate(found.weights.values()):
        recorded = []
        for first in range(0, 61, 10):
            with torch.no_grad(), regard.recording(model) as maps:
                model.hidden(Packed.of([ids[first : first + 20]]))
            recorded.append(maps[f"blocks.{layer}.attention"][0])
        sums, counts, queries = counted_by_hand(recorded, 10)
        assert found.queries == queries == store.size - 10  # each token with ten before it counts once
        assert found.having.tolist() == counts.tolist()
        assert weights == pytest.approx(sums / counts, abs=1e-12)


def test_a_memory_is_looked_into_beyond_the_segment(store):
    model, ids = tiny("transformer-xl", memory=11), ids_of(store)
    found = measure_reach(model, store, 8)
    assert (found.past, len(found.having)) == (11, 19)
    recorded, memory = {name: [] for name in found.totals}, None
    for first in range(0, store.size, 8):
        with torch.no_grad(), regard.recording(model) as maps:
            _, memory = model.read(ids[None, first : first + 8], memory)
        for name, weights in maps.items():
            assert weights.shape[2:] == (min(8, store.size - first), min(11, first) + min(8, store.size - first))
            recorded[name].append(weights[0])
    for name, weights in found.weights.items():
        sums, counts, queries = counted_by_hand(recorded[name], 11)
        assert found.queries == queries == store.size - 11
        assert weights == pytest.approx(sums / counts, abs=1e-12)
        means = sums @ np.arange(19) / queries
        assert found.mean_distances[name] == pytest.approx(means, abs=1e-12)


def test_a_head_without_preference_looks_at_each_distance_alike(store):
    model = tiny("transformer-xl", memory=12, same_length=True)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.projection.weight[: 2 * model.config.width].zero_()
            block.attention.distance.weight.zero_()
    found = measure_reach(model, store, 5)
    for weights in found.weights.values():
        assert weights[:, :13] == pytest.approx(1 / 13, abs=1e-12)
        assert (weights[:, 13:] == 0).all()
    assert all(means == pytest.approx(6) for means in found.mean_distances.values())


@pytest.mark.parametrize("memory", [0, 1, 2, 3, 5, 8, 11])
def test_octaves_hold_all_attention(store, memory):
    found = measure_reach(tiny("transformer-xl", memory=memory), store, 7)
    assert found.edges == sorted(set(found.edges))
    assert (found.edges[0], found.edges[-1]) == (0, len(found.having))
    assert found.past + 1 in found.edges
    for shares in found.shares.values():
        assert shares.shape == (4, len(found.edges) - 1)
        assert shares.sum(1) == pytest.approx(1)


def test_only_so_many_tokens_are_read_as_asked_for(store):
    told = []
    found = measure_reach(tiny("gpt2"), store, 10, tokens=23, progress=told.append)
    assert found.queries == 23 - 5
    assert told == [10, 15, 20, 23]


def test_the_figure_has_a_row_a_head_and_a_dot_at_its_mean_distance(store):
    found = measure_reach(looking_back(0, 3, 7), store, 16)
    axes, _ = reach_figure(found).axes
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(np.sqrt(next(iter(found.shares.values()))))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "2", "3–4", "5–8", "9–15"]
    dots = np.asarray(axes.collections[0].get_offsets())
    assert dots[:, 1].tolist() == [0, 1, 2]
    assert dots[:, 0] == pytest.approx([-0.5, 2.5, 4])  # the beginning of 0, of 3–4, and the middle of 5–8
    assert [text.get_text() for text in axes.get_yticklabels()] == ["layer 0   0", "1", "2"]


def test_layers_are_set_apart(store):
    found = measure_reach(tiny("gpt2", depth=3), store, 16)
    image = reach_figure(found).axes[0].images[0].get_array()
    assert image.shape[0] == 3 * 4 + 2
    assert np.ma.getmaskarray(np.ma.masked_invalid(image)).all(1).nonzero()[0].tolist() == [4, 9]


def test_plain_values_are_json(store):
    found = measure_reach(tiny("gpt2"), store, 6)
    heads = json.loads(json.dumps(found.as_dict()))["heads"]
    assert list(heads) == ["blocks.0.attention", "blocks.1.attention"]
    assert [head["weights"] for head in heads["blocks.1.attention"]] == found.weights["blocks.1.attention"].tolist()


def test_the_model_is_left_as_it_was(store):
    model = tiny("transformer-xl").train()
    measure_reach(model, store, 6, tokens=66)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("name", "context", "options", "message"),
    [
        ("gpt2", 0, {}, "context must be 1 or more, and tokens not negative, got 0 and 0"),
        ("gpt2", 8, {"tokens": -1}, "got 8 and -1"),
        ("gpt2", 65, {}, "does not fit into the context of 64"),
        ("gpt2", 40, {"tokens": 20}, "the text is too short: no token of it has 20 before it"),
        ("transformer-xl", 8, {"tokens": 60}, "no token of it has 64 before it"),
        ("transformer", 8, {}, "Transformer does not say what its layers see of a text"),
    ],
)
def test_what_cannot_be_measured_is_refused(store, name, context, options, message):
    with pytest.raises(ValueError, match=message):
        measure_reach(tiny(name), store, context, **options)

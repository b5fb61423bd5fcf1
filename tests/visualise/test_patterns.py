"""Patterns as figure 3 of Child et al. 2019 has them."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from tiny import tiny

from regard.attention.masks import PerHead, banded, causal, fixed, strided
from regard.visualise.patterns import AHEAD, OUTPUT, UNSEEN, draw_patterns, patterns_of, published, row_of, sets_of

STRIDE, POSITIONS = 6, 36


def by_hand(i, j):
    """Which of the two heads, or the one, sees j from i in each published pattern, as the papers describe it."""
    own_row, own_column = j // STRIDE == i // STRIDE, (i - j) % STRIDE == 0
    return {
        "Transformer": [j <= i],
        "Sparse Transformer, strided": [i - STRIDE < j <= i, j <= i and own_column],
        "Sparse Transformer, fixed": [j <= i and own_row, j <= i and j % STRIDE == STRIDE - 1],
        "GPT-3, every second layer": [i - STRIDE < j <= i],
    }


def panels(figure, title):
    """The two axes under a title, and what is drawn in them: colours [rows, columns, 3] each."""
    column = next(n for n, axes in enumerate(figure.axes) if axes.get_title() == title)
    both = figure.axes[column], figure.axes[column + len(figure.axes) // 2]
    return both, [np.asarray(axes.images[0].get_array())[..., :3] for axes in both]


def shades(axes):
    """The colours which the legend of a matrix names, the output's first."""
    return [np.array(handle.get_facecolor()[:3]) for handle in axes.get_legend().legend_handles]


@pytest.mark.parametrize("title", list(published(STRIDE)))
def test_each_cell_has_the_shade_of_the_first_head_which_sees_it(title):
    (_, matrix), (above, below) = panels(draw_patterns(published(STRIDE)), title)
    _, *heads = shades(matrix)
    for i in range(POSITIONS):
        for j in range(POSITIONS):
            seeing = [shade for shade, sees in zip(heads, by_hand(i, j)[title], strict=True) if sees]
            wanted = seeing[0] if seeing else to_rgb(UNSEEN if j <= i else AHEAD)
            assert below[i, j] == pytest.approx(wanted), (i, j)
    output = 27  # in the middle of the fifth row of six
    row = below[output].copy()
    row[output] = to_rgb(OUTPUT)
    assert above == pytest.approx(row.reshape(6, 6, 3))


def test_two_heads_have_two_shades_of_blue_which_differ_in_lightness():
    figure = draw_patterns({"strided": published(6)["Sparse Transformer, strided"]})
    output, near, far = (shade @ [0.2126, 0.7152, 0.0722] for shade in shades(figure.axes[1]))
    assert output + 0.2 < near < far - 0.2


def test_sequences_which_fill_no_whole_row_are_drawn():
    _, (above, below) = panels(draw_patterns({"band": banded(3)}, positions=10, stride=4), "band")
    assert above.shape == (3, 4, 3)
    assert below.shape == (10, 10, 3)
    assert above[2, 2:] == pytest.approx(np.ones((2, 3)))


def test_heads_which_see_the_same_are_one_set():
    mask = PerHead(8, [banded(4), strided(4), banded(4), strided(4)])
    assert list(sets_of(mask, 16)) == [
        "heads 0, 1, 4, 5: banded, width 4",
        "heads 2, 3, 6, 7: strided, stride 4",
    ]


BOTH = PerHead(4, [banded(3), fixed(4, 1)])


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (causal() & BOTH, ["causal and banded, width 3", "causal and fixed, stride 4, cell 3"]),
        (BOTH | strided(5), ["banded, width 3 or strided, stride 5", "fixed, stride 4, cell 3 or strided, stride 5"]),
        (~BOTH, ["not banded, width 3", "not fixed, stride 4, cell 3"]),
        (causal() & ~BOTH, ["causal and (not banded, width 3)", "causal and (not fixed, stride 4, cell 3)"]),
    ],
)
def test_each_head_of_what_is_made_of_a_pattern_for_each_is_named(mask, names):
    assert list(sets_of(mask, 12)) == [f"heads 0, 1: {names[0]}", f"heads 2, 3: {names[1]}"]


@pytest.mark.parametrize(
    "mask",
    [
        *(causal() & ~banded(2), banded(2) | strided(5), causal() & BOTH),
        *(BOTH | strided(5), ~BOTH, causal() & (~BOTH | PerHead(4, [strided(3), banded(1)]))),
    ],
)
def test_any_mask_can_be_drawn(mask):
    sets = sets_of(mask, 12)
    dense = mask.dense(1, 4, 12, 12).reshape(-1, 12, 12).numpy()
    assert {own.tobytes() for own in sets.values()} == {own.tobytes() for own in dense}
    draw_patterns({"any": mask}, positions=12, stride=4)


@pytest.mark.parametrize(
    ("name", "changes", "layers", "row"),
    [
        ("gpt2", {}, ["layers 0, 1"], None),
        ("gpt3", {"depth": 8}, ["layers 0, 2, … 6", "layers 1, 3, … 7"], 4),
        ("sparse-transformer", {"depth": 4, "pattern": "strided over heads"}, ["layers 0–3"], 8),
        ("sparse-transformer", {"pattern": "fixed over layers"}, ["layer 0", "layer 1"], 8),
        ("transformer-xl", {"same_length": True, "memory": 9}, ["layers 0, 1"], 10),
    ],
)
def test_the_layers_of_a_model_are_those_of_its_masks(name, changes, layers, row):
    masks = patterns_of(tiny(name, **changes))
    assert list(masks) == layers
    assert row_of(masks) == row


def test_a_model_which_translates_is_refused():
    with pytest.raises(ValueError, match="Transformer does not say what its layers see of a text"):
        patterns_of(tiny("transformer"))


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        ({}, {}, "there is no mask to draw"),
        ({"band": banded(2)}, {"stride": 0}, "stride must lie between 1 and positions=36, got 0"),
        ({"band": banded(2)}, {"stride": 37}, "between 1 and positions=36, got 37"),
        ({"band": banded(2)}, {"output": 36}, "output must lie between 0 and 35, got 36"),
    ],
)
def test_numbers_which_make_no_figure_are_refused(masks, options, message):
    with pytest.raises(ValueError, match=message):
        draw_patterns(masks, **options)

"""Figures: what they draw, and that they are written whole and alike."""

import re
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from regard.visualise import (
    AttentionMap,
    Example,
    Pattern,
    alignment_figure,
    glyphs,
    heads_figure,
    links_figure,
    pattern_figure,
    save_figure,
)

WEIGHTS = np.random.default_rng(0).dirichlet(np.full(5, 0.3), size=(2, 4)).astype(np.float32)
QUERIES, KEYS = ["the", "red", "house", "."], ["la", "maison", "rouge", ".", "</s>"]
ATTENTION = AttentionMap("decoder.0.source_attention", WEIGHTS, QUERIES, KEYS)


def test_the_alignment_is_black_at_0_and_white_at_1():
    image = alignment_figure(ATTENTION, head=1).axes[0].images[0]
    assert (image.get_array() == WEIGHTS[1]).all()
    assert image.get_cmap()([0.0, 1.0]).tolist() == [[0, 0, 0, 1], [1, 1, 1, 1]]
    assert image.get_clim() == (0, 1)


def test_the_alignment_names_keys_along_the_top_and_queries_down_the_side():
    axes = alignment_figure(ATTENTION).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == KEYS
    assert [text.get_text() for text in axes.get_yticklabels()] == QUERIES
    assert axes.yaxis_inverted()


def test_a_pattern_is_drawn_from_a_plain_array():
    allowed = np.tri(6, dtype=bool)
    assert ((pattern_figure(allowed).axes[0].images[0].get_array() > 0) == allowed).all()


def test_all_heads_and_their_mean_are_drawn():
    example = Example("one", [ATTENTION], patterns=[Pattern("causal", np.tri(4, dtype=bool))])
    assert len(heads_figure(example).axes[0].images) == 1 + 2 + 1


@pytest.mark.parametrize("size", [4, 600])
def test_where_a_query_may_not_look_nothing_is_drawn(size):
    allowed = np.tri(size, dtype=bool)
    tokens = ["token"] * size
    causal = AttentionMap("attention", allowed / allowed.sum(1, keepdims=True), tokens, tokens, allowed)
    cells = np.ma.masked_invalid(heads_figure(Example("one", [causal])).axes[0].images[0].get_array())
    is_drawn = ~np.ma.getmaskarray(cells)
    assert (is_drawn == np.tri(len(cells), dtype=bool)).all()


def test_each_weight_of_at_least_the_limit_is_a_link():
    (lines,) = links_figure(ATTENTION, head=0, least=0.1).axes[0].collections
    assert len(lines.get_segments()) == (WEIGHTS[0] >= 0.1).sum()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, suffix):
    for name in ("one", "two"):
        save_figure(alignment_figure(ATTENTION), tmp_path / (name + suffix))
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_an_unknown_suffix_is_an_error_which_names_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"saved as \.png, \.svg, \.pdf, got '\.gif'"):
        save_figure(alignment_figure(ATTENTION), tmp_path / "figure.gif")
    assert not list(tmp_path.iterdir())


def test_any_token_can_be_drawn(tmp_path):
    tokens = [
        "$x^{",
        "<&>",
        "日本語",
        "رجل",
        "e\u0301",
        "\u0301",
        " ",
        "",
        "\n",
        "\ud800",
        "x" * 5000,
        "\\frac",
        "%",
        "_",
    ]
    weights = np.eye(len(tokens))
    strange = AttentionMap("attention", weights, tokens, tokens)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no installed font")
        for draw in (alignment_figure, links_figure):
            save_figure(draw(strange), tmp_path / "figure.svg")
            ElementTree.parse(tmp_path / "figure.svg")


def test_a_character_without_a_glyph_is_a_box_said_once(tmp_path):
    glyphs.font_with.cache_clear()
    unassigned = AttentionMap("attention", np.eye(2), ["\U000e0fff"] * 2, ["\U000e0fff", "a"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for draw in (alignment_figure, links_figure):
            save_figure(draw(unassigned), tmp_path / "figure.png")
    assert len(said) == 1
    assert re.search(r"no installed font has a glyph for .* \(U\+E0FFF\)", str(said[0].message))


def test_two_hundred_tokens_are_drawn_with_positions_for_names():
    tokens = ["token"] * 200
    axes = alignment_figure(AttentionMap("attention", np.eye(200), tokens, tokens)).axes[0]
    assert len(axes.get_xticklabels()) < 20


def test_pyplot_is_never_touched_and_matplotlib_only_when_drawing(tmp_path):
    program = """
import sys, numpy, regard.visualise as visualise
assert "matplotlib" not in sys.modules
visualise.save_figure(visualise.pattern_figure(numpy.eye(3, dtype=bool)), sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, tmp_path / "figure.png"], check=True)

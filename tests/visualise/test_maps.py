"""What a map, a pattern and an example accept, and how a token is shown."""

import numpy as np
import pytest
import torch

from regard.visualise.maps import LONGEST_LABEL, AttentionMap, Chances, Example, Passage, Pattern, label

HALF = np.full((2, 3, 2), 0.5)


def named(name, queries="abc", keys="xy"):
    return AttentionMap(name, HALF, list(queries), list(keys))


@pytest.mark.parametrize(
    ("name", "kind", "layer"),
    [
        ("encoder.0.attention", "encoder", 0),
        ("decoder.11.attention", "decoder", 11),
        ("decoder.2.source_attention", "cross", 2),
        ("attention", "cross", None),
        ("blocks.3.attention", "cross", 3),
    ],
)
def test_a_name_tells_kind_and_layer(name, kind, layer):
    assert (named(name).kind, named(name).layer) == (kind, layer)


def test_one_text_on_both_sides_is_self_attention():
    assert AttentionMap("blocks.0.attention", np.eye(2)[None], ["a", "b"], ["a", "b"]).kind == "self"


def test_two_axes_are_one_head():
    assert AttentionMap("attention", np.eye(2), "ab", "xy").weights.shape == (1, 2, 2)


def test_torch_weights_of_any_precision_are_taken():
    weights = torch.full((1, 2, 4), 0.25, dtype=torch.bfloat16, requires_grad=True)
    assert AttentionMap("attention", weights, list("ab"), list("wxyz")).weights.tolist() == [[[0.25] * 4] * 2]


def test_the_mean_is_over_heads():
    weights = np.stack([np.eye(2), 1 - np.eye(2)])
    assert AttentionMap("attention", weights, "ab", "xy").head(None).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_head_beyond_the_last_is_an_error():
    with pytest.raises(ValueError, match=r"heads 0\.\.1, got head=2"):
        named("attention").head(2)


def test_too_few_tokens_are_an_error_which_says_how_many():
    with pytest.raises(ValueError, match=r"attention: weights \[H, T, S\] = \[2, 3, 2\] needs 3 queries, got 2"):
        named("attention", queries="ab")


@pytest.mark.parametrize("shape", [(4,), (1, 1, 2, 2), (1, 0, 2), (0, 2, 2)])
def test_another_rank_or_an_empty_axis_is_an_error(shape):
    with pytest.raises(ValueError, match="no empty axis"):
        AttentionMap("attention", np.zeros(shape), "ab", "xy")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_which_are_not_finite_are_an_error_which_says_where(value):
    weights = HALF.copy()
    weights[1, 2, 0] = value
    with pytest.raises(ValueError, match=r"finite, got (nan|inf) at head 1, \[2, 0\]"):
        AttentionMap("attention", weights, "abc", "xy")


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_scores_are_not_taken_for_weights(value):
    with pytest.raises(ValueError, match=r"lie in 0\.\.1"):
        AttentionMap("attention", np.full((1, 2, 2), value), "ab", "xy")


@pytest.mark.parametrize("shape", [(3, 2), (1, 3, 2), (2, 3, 2)])
def test_where_a_query_may_look_is_said_for_all_heads_or_each(shape):
    attention = AttentionMap("attention", HALF, "abc", "xy", np.ones(shape, dtype=bool))
    assert attention.allowed.shape == (shape if len(shape) == 3 else (1, 3, 2))


@pytest.mark.parametrize("shape", [(2, 2), (3, 3, 2), (3,)])
def test_where_a_query_may_look_must_have_the_shape_of_the_weights(shape):
    with pytest.raises(ValueError, match=r"does not go with weights \[H, T, S\] = \[2, 3, 2\]"):
        AttentionMap("attention", HALF, "abc", "xy", np.ones(shape, dtype=bool))


def test_where_a_query_may_look_must_be_boolean():
    with pytest.raises(ValueError, match="allowed must be boolean"):
        AttentionMap("attention", HALF, "abc", "xy", np.ones((3, 2)))


@pytest.mark.parametrize(
    ("bits", "message"), [((1.0,), "2 tokens, but 1 numbers"), ((None, float("inf")), "finite, got inf")]
)
def test_a_passage_has_a_finite_number_for_each_token(bits, message):
    with pytest.raises(ValueError, match=message):
        Passage("text", ("a", "b"), bits)


def test_a_passage_has_notes_for_each_token_and_marks_some_which_are_there():
    assert Passage("text", ("a", "b"), notes=(("x",), ()), marked=(0, 1)).bits == ()
    with pytest.raises(ValueError, match="2 tokens, but 1 notes"):
        Passage("text", ("a", "b"), notes=(("x",),))
    for marked in ((1, 0), (0, 2), (-1, 0)):
        with pytest.raises(ValueError, match="2 tokens, but those marked are"):
            Passage("text", ("a", "b"), marked=marked)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_probability_lies_between_0_and_1(share):
    with pytest.raises(ValueError, match=r"class: the probability of 'good' must lie in 0\.\.1"):
        Chances("class", (("good", share),))


def test_a_pattern_without_tokens_names_positions():
    assert Pattern("causal", np.tri(3, dtype=bool)).keys == ("0", "1", "2")


def test_a_pattern_must_be_boolean():
    with pytest.raises(ValueError, match="boolean, True where attention is allowed, got float64"):
        Pattern("causal", np.tri(3))


def test_an_example_lists_encoder_decoder_cross_and_patterns_in_this_order():
    names = ["decoder.0.source_attention", "encoder.0.attention", "decoder.0.attention", "encoder.1.attention"]
    example = Example("one", [named(name) for name in names], patterns=[Pattern("causal", np.tri(3, dtype=bool))])
    assert [drawing.name for drawing in example.drawings] == [
        "encoder.0.attention",
        "encoder.1.attention",
        "decoder.0.attention",
        "decoder.0.source_attention",
        "causal",
    ]


def test_an_example_needs_something_to_draw():
    with pytest.raises(ValueError, match="'one' has nothing to draw"):
        Example("one")


def test_two_maps_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="several maps or patterns called attention"):
        Example("one", [named("attention"), named("attention")])


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("house", "house"),
        ("", "∅"),
        (" ", "␣"),
        ("\u00a0", "␣"),
        ("\n", "␊"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("\u202eabc", "U+202Eabc"),
        ("\ud800", "U+D800"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_each_token_is_shown_by_something_one_can_see(token, shown):
    assert label(token) == shown


def test_an_overlong_token_is_shortened():
    assert label("x" * 10_000) == "x" * (LONGEST_LABEL - 1) + "…"

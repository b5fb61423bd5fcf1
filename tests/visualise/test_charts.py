"""Charts say what they are given, and keep it in its place."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.visualise.charts import Chart, Curve, bars_chart, curves_chart, scatter_chart, ticks
from regard.visualise.markup import Markup, element, joined

HOSTILE = "</svg><script>alert(1)</script>\"'&"


@given(
    st.floats(-1e6, 1e6).flatmap(lambda low: st.tuples(st.just(low), st.floats(1e-3, 1e6).map(lambda d: low + d))),
    st.integers(2, 9),
)
def test_ticks_are_few_round_and_within(ends, most):
    low, high = ends
    found = ticks(low, high, most)
    assert len(found) <= most
    slack = 1e-7 * (high - low)  # which nobody sees
    assert all(low - slack <= tick <= high + slack for tick in found)
    if len(found) > 1:
        step = found[1] - found[0]
        mantissa = float(f"{step:e}".split("e")[0])
        assert any(mantissa == pytest.approx(round_one, rel=1e-3) for round_one in (1, 2, 2.5, 5, 10))


def test_ticks_by_hand():
    assert ticks(0.0, 1.0, 5) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(17.0, 912.0, 5) == [200.0, 400.0, 600.0, 800.0]
    assert ticks(0.42, 0.49, 5) == [0.42, 0.44, 0.46, 0.48]


def places(markup: str, kind: str) -> list[tuple[float, float]]:
    """Where the points of a kind stand."""
    return [
        (float(x), float(y))
        for x, y in re.findall(rf'<circle cx="([\d.]+)" cy="([\d.]+)" r="2.5" class="{kind}"', markup)
    ]


def test_points_stand_where_their_values_are():
    values = ((0.0, 2.0), (50.0, 1.0), (100.0, 4.0))
    found = places(curves_chart(Chart("loss", (Curve("training", values),))), "dot of-0")
    (left, top), (middle, lowest), (right, highest) = found[:3]
    assert middle - left == pytest.approx(right - middle, abs=0.11)  # written with one decimal
    assert (lowest - top) / (lowest - highest) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("names", [("all",), ("1-5", "6-10", "11-15", "16+")])
def test_names_share_the_axis_out_and_stand_below_the_middle_of_their_parts(names):
    shown = sorted({0, len(names) - 1})  # the ends; the others have a name and no point
    curve = Curve("bleu", tuple((float(place), 1.0) for place in shown))
    drawn = curves_chart(Chart("BLEU", (curve,), "words", names=names))
    left, right = map(float, re.search(r'<line x1="(\d+)" x2="(\d+)"', drawn).groups())
    middles = [left + (place + 0.5) * (right - left) / len(names) for place in range(len(names))]
    below = {name: float(x) for x, name in re.findall(r'<text x="([\d.]+)" y="[\d.]+">([^<]+)</text>', drawn)}
    assert [below[name] for name in names] == pytest.approx(middles, abs=0.06)  # written with one decimal
    assert [x for x, _ in places(drawn, "dot of-0")] == pytest.approx([middles[place] for place in shown], abs=0.06)


def test_a_curve_says_where_it_begins_and_ends():
    drawn = curves_chart(
        Chart("loss", (Curve("noted", ((1, 9.0),), True), Curve("validation", ((10, 0.5), (90, 0.25)))))
    )
    assert 'aria-label="loss by step. validation: 0.5 at step 10, 0.25 at step 90, between 0.25 and 0.5."' in drawn
    assert "<title>validation, step 90: 0.25</title>" in drawn


def test_curves_of_one_point_and_of_one_value_are_drawn():
    for points in (((5, 1.0),), ((5, 0.0), (6, 0.0))):
        assert "NaN" not in curves_chart(Chart("loss", (Curve("training", points),)))


@pytest.mark.parametrize("points", [(), ((1, float("nan")),), ((1, float("inf")),)])
def test_a_curve_needs_finite_points(points):
    with pytest.raises(ValueError, match="curve 'loss'"):
        Curve("loss", points)


def test_predictions_which_are_right_stand_on_the_line():
    drawn = scatter_chart("numbers", [(0.0, 0.0), (1.0, 3.0), (5.0, 5.0)])
    ends = re.search(r'<path d="M([\d.]+),([\d.]+)L([\d.]+),([\d.]+)" class="diagonal"', drawn)
    x, y, u, v = map(float, ends.groups())
    found = places(drawn, "point")
    assert (found[0], found[2]) == ((x, y), (u, v))
    assert found[1][1] < y + (found[1][0] - x) * (v - y) / (u - x)  # above the line: more was predicted
    assert "<title>true 1, predicted 3</title>" in drawn


def test_of_many_points_some_are_drawn_and_it_is_said():
    drawn = scatter_chart("numbers", [(float(n), float(n)) for n in range(5001)])
    assert len(places(drawn, "point")) == 1667
    assert "every 3th of 5,001" not in drawn
    assert "one in 3 of 5,001" in drawn


def test_bars_are_as_high_as_their_numbers():
    drawn = bars_chart("F1", ["1", "2"], [("F1", [50.0, 100.0]), ("exact", [25.0, 0.0])], "words")
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)" class="bar of-\d"><title>', drawn)]
    assert heights == pytest.approx([heights[2] / 2, heights[2] / 4, heights[2], 0.0], abs=0.2)
    assert "1: F1 50, exact 25; 2: F1 100, exact 0" in drawn


def test_words_stay_words():
    chart = Chart(HOSTILE, (Curve(HOSTILE, ((1, 2.0),)), Curve("b", ((1, 2.0),))))
    for drawn in (
        curves_chart(chart),
        scatter_chart(HOSTILE, [(0, 1)]),
        bars_chart(HOSTILE, [HOSTILE], [(HOSTILE, [1])], HOSTILE),
    ):
        assert "<script" not in drawn
        assert drawn.count("</svg>") == drawn.count("<svg")


def test_elements_escape_what_is_not_an_element():
    inside = element("b", "<i>")
    assert inside == "<b>&lt;i&gt;</b>"
    made = element(
        "p", "a & b ", inside, None, class_="x", data_pairs='["<"]', hidden=True, title=None, draggable=False
    )
    assert made == '<p class="x" data-pairs="[&quot;&lt;&quot;]" hidden>a &amp; b <b>&lt;i&gt;</b></p>'
    assert element("input", type="search") == '<input type="search">'
    assert isinstance(joined("<", Markup("<br>")), Markup)
    assert joined("<", Markup("<br>"), "\ud800") == "&lt;<br>?"

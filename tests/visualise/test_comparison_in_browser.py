"""The page of a comparison as a reader meets it: from a disk, on a desk and on a phone, without colours."""

import re

import pytest

from regard.visualise.charts import MARKS, Chart, Curve, curves_chart
from regard.visualise.comparison import Comparison, Standing, Table, write_comparison

READY = "document.querySelector('#about') !== null"
NAMES = [f"contestant-with-a-long-name-{n}" for n in range(7)]


def chart(title: str, **options) -> Chart:
    """Curves of seven contestants, with two seeds of the first."""
    curves = [Curve("", ((1, 1.0), (2, 2.1)), is_faint=True), Curve("", ((1, 1.2), (2, 2.4)), is_faint=True)]
    curves += [Curve(name, tuple((x, x * (n + 1.0)) for x in (1, 2))) for n, name in enumerate(NAMES)]
    return Chart(title, tuple(curves), **options)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with all parts."""
    table = Table("numbers", ["", *(f"measure {n}" for n in range(12))], [[name, *["1,234.5"] * 12] for name in NAMES])
    comparison = Comparison(
        title="Seven",
        summary="who is better, " * 20,
        standings=[Standing(name, "30.1 BLEU", [("cannot be told apart from another " * 3, False)]) for name in NAMES],
        table=table,
        charts=[chart("by time", label="time", unit="minutes")],
        points=table,
        lengths=(chart("by length", label="words", names=("", "1-5", "6-10")), table),
        about=[("Data", [("train", "/a/very/long/path" * 9)])],
        footer="How to read it.",
    )
    return write_comparison(tmp_path_factory.mktemp("comparison") / "page.html", comparison)


def test_every_curve_has_a_mark_or_a_colour_of_its_own():
    drawn = curves_chart(chart("loss"))
    key = re.findall(r"<li><svg.*?</svg>", drawn)
    assert len(key) == len(NAMES)  # the faint ones have no names
    assert len({re.sub(r"translate\(.*?\)", "", one) for one in key}) == len(NAMES)
    looks = [re.search(r'<(circle|path d="([^"]*)")[^>]*class="dot', one) for one in key]
    assert len({look.group(0).split("class")[0] for look in looks}) == len(MARKS)


def test_places_are_named_where_they_have_names():
    drawn = curves_chart(Chart("BLEU", (Curve("a", ((0, 1.0), (1, 2.0))),), "words", names=("1-5", "6-10")))
    assert 'aria-label="BLEU by words. a: 1 at words 1-5, 2 at words 6-10, between 1 and 2."' in drawn
    assert "<title>a, words 6-10: 2</title>" in drawn
    assert re.search(r"<text[^>]*>6-10</text>", drawn)


def test_of_many_names_some_are_written():
    names = tuple(f"{2**n}-{2 ** (n + 1) - 1}" for n in range(12))
    drawn = curves_chart(Chart("bits", (Curve("a", tuple((n, 1.0) for n in range(12))),), "place", names=names))
    written = [name for name in names if f">{name}</text>" in drawn]
    assert 2 <= len(written) < 12


@pytest.mark.browser
@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1280, 900, "light"), (390, 844, "light"), (1280, 900, "dark")]
)
def test_the_page_fits_asks_for_nothing_and_complains_of_nothing(browser, page, width, height, scheme):
    browser.open(page, width=width, height=height, scheme=scheme, ready=READY)
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("[...document.querySelectorAll('.scrolls')].every((one) => one.tabIndex === 0)")


@pytest.mark.browser
def test_letters_are_large_enough_and_dark_enough(browser, page):
    browser.open(page, width=390, height=844, ready=READY)
    small = "[...document.querySelectorAll('main *')].filter((one) => one.textContent && one.children.length === 0)"
    assert browser.ask(f"Math.min(...{small}.map((one) => parseFloat(getComputedStyle(one).fontSize)))") >= 11


@pytest.mark.browser
def test_numbers_of_curves_are_opened_by_the_keyboard(browser, page):
    browser.open(page, ready=READY)
    browser.ask("document.querySelector('#curves summary').focus()")
    browser.press("Enter")
    assert browser.ask("document.querySelector('#curves details').open")

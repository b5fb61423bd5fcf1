"""What is written of a comparison whose results are known by heart: table, JSON and page."""

import json
import re
from dataclasses import replace

import pytest

from regard.compare.contestants import read_comparison
from regard.compare.measuring import YARDSTICKS, Length
from regard.compare.presenting import Outcome, short
from regard.compare.running import Point, Result

NAMES = ["multi30k-rnnsearch", "multi30k-transformer", "seq2seq:small,model.width=8"]
BLEU = {NAMES[0]: (30.0, 31.0, 29.0), NAMES[1]: (30.5, 31.5, 29.5), NAMES[2]: (20.0, 20.5, 19.5)}


def result(name: str, seed: int) -> Result:
    """What is known of a run; each contestant is as fast as it is good."""
    bleu = BLEU[name][seed - 1]
    points = tuple(Point(60.0 * n, round(1e5 * n * bleu), round(1e12 * n * bleu), bleu * n / 4) for n in (1, 2, 3, 4))
    return Result(
        name=name,
        seed=seed,
        parameters=5_000_000,
        updates=1000 + seed,
        seconds=240.0,
        tokens=points[-1].tokens,
        operations=points[-1].operations,
        memory=300_000_000,
        measures={"BLEU": bleu, "chrF": 2 * bleu, "perplexity a token": 5.0},
        lengths=(Length("1-10", 40, bleu), Length("11-20", 30, bleu - 3 * seed)),
        points=points,
    )


def outcome(seeds: int = 3, results=None) -> Outcome:
    """Three systems with some seeds each."""
    comparison = read_comparison(NAMES, budget="4min", seeds=seeds)
    made = results or [result(name, seed) for seed in range(1, seeds + 1) for name in NAMES]
    return Outcome(comparison, made, YARDSTICKS["pairs"](comparison))


def test_the_table_has_medians_with_their_range():
    table = outcome().table()
    assert table.caption == "After 4min of training each: medians of 3 seeds, and in brackets the range"
    assert [row[0] for row in table.rows] == [NAMES[1], NAMES[0], NAMES[2]]  # the best first
    columns = dict(zip(table.head, table.rows[0], strict=True))
    assert columns["BLEU"] == "30.5 (29.5 to 31.5)"
    assert columns["chrF"] == "61.0"
    assert columns["perplexity a token"] == "5.000"
    assert (columns["parameters"], columns["updates"], columns["seconds"]) == ("5,000,000", "1,002", "240.0")
    assert columns["tokens"] == "12.2 M"  # 4 x 30.5 x 100,000
    assert columns["operations"] == "122 T"
    assert (columns["tokens/s"], columns["FLOP/s"], columns["memory"]) == ("50.8 k", "508 G", "300 MB")
    head, *rows = str(table).splitlines()
    assert len(rows) == 3
    assert all(len(row) <= len(head) for row in rows)


def test_one_seed_has_no_range():
    assert outcome(1).table().rows[0][1] == "30.5"
    assert outcome(1).table().caption.endswith("one seed")


def test_a_ranking_says_who_cannot_be_told_apart():
    first, second, third = outcome().standings()
    assert (first.name, first.quality, list(first.verdicts)) == (NAMES[1], "30.5 (29.5 to 31.5) BLEU", [])
    ((words, is_clear),) = second.verdicts
    assert not is_clear
    # both spread by 1: sqrt(1/3 + 1/3) times 2.776, for four degrees of freedom
    assert words == (
        f"cannot be told apart from {NAMES[1]}: the means differ by 0.5 BLEU, which is within the spread of the seeds "
        "(95 %: up to 2.27)"
    )
    assert [is_clear for _, is_clear in third.verdicts] == [True, True]
    assert third.verdicts[1][0].startswith(f"is worse than {NAMES[0]} by 10 BLEU (95 %: ")


def test_curves_are_medians_before_their_seeds():
    charts = outcome().charts()
    assert [chart.unit for chart in charts] == ["minutes", "million tokens", "TFLOP"]
    by_time, by_tokens, by_operations = charts
    named = [curve for curve in by_time.curves if curve.name]
    assert [curve.name for curve in named] == [NAMES[1], NAMES[0], NAMES[2]]
    assert named[0].points == ((1.0, 7.625), (2.0, 15.25), (3.0, 22.875), (4.0, 30.5))
    assert len([curve for curve in by_time.curves if curve.is_faint]) == 9
    assert next(curve for curve in by_tokens.curves if curve.name).points[-1] == (12.2, 30.5)
    assert next(curve for curve in by_operations.curves if curve.name).points[-1] == (122.0, 30.5)


def test_quality_by_length_is_the_mean_over_seeds():
    chart, table = outcome().lengths()
    assert chart.names == ("1-10", "11-20")
    assert chart.curves[0].points == ((0.0, 30.5), (1.0, 24.5))  # 30.5 less the mean of 3, 6 and 9
    assert table.rows[1] == ["11-20", "30", "24.5", "24", "14"]


def test_what_is_of_one_length_is_not_drawn_by_length():
    results = [replace(one, lengths=one.lengths[:1]) for one in outcome().results]
    assert outcome(results=results).lengths() is None


def test_json_holds_everything(tmp_path):
    outcome().save(tmp_path)
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert found["ranking"] == [NAMES[1], NAMES[0], NAMES[2]]
    assert found["contestants"][NAMES[0]] == {"median": 30.0, "lowest": 29.0, "highest": 31.0}
    assert len(found["runs"]) == 9
    assert found["runs"][0]["points"][3] == {
        "seconds": 240.0,
        "tokens": 12_000_000,
        "operations": 120 * 10**12,
        "value": 30.0,
    }
    assert found["comparison"]["contestants"][NAMES[1]]["plan"]["budget"] == "4min"
    assert [one["is_clear"] for one in found["verdicts"]] == [False, True, True]
    assert "cannot be told apart" in found["verdicts"][0]["in_words"]


def text_of(page: str) -> str:
    """The words of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("<main", 1)[1]))


def test_a_vocabulary_of_all_characters_is_called_so():
    comparison = read_comparison(["dates-rnnsearch", "dates-transformer"], budget="4min", seeds=1)
    about = dict(Outcome(comparison, [], YARDSTICKS["pairs"](comparison)).about())
    assert comparison.first.text.vocabulary == 0
    assert dict(about["Data, which all share"])["text"].endswith("kind characters, vocabulary all")


def test_the_page_has_all_parts(tmp_path):
    page = outcome().save(tmp_path).read_text()
    words = text_of(page)
    for part in ("Who is better", "Side by side", "By what was spent", "By length", "How it was done"):
        assert part in words
    assert "cannot be told apart from multi30k-transformer: the means differ by 0.5 BLEU" in words
    assert "After 4min of training each" in words
    for chart in ("by time", "by tokens", "by operations", "BLEU, by words of the source"):
        assert chart in words
    assert page.count("<svg") >= 4
    assert "$REGARD_DATA/multi30k/train.de" in words
    assert "<script" not in page
    assert 'aria-label="BLEU, validation, greedy by time. multi30k-transformer: 7.625 at 1 minutes' in page


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (7.25, "7.25"), (999, "999"), (1000, "1 k"), (12_345_678, "12.3 M"), (2e15, "2 P"), (5e18, "5e+03 P")],
)
def test_large_numbers_are_short(number, said):
    assert short(number) == said


HOSTILE = "</script><img src=x onerror='window.stolen = 1'>"


@pytest.fixture
def hostile(tmp_path):
    """The page of contestants with the worst of names."""
    comparison = read_comparison(NAMES, budget="4min", seeds=3)
    names = [f"{HOSTILE} {n}" for n in range(3)]
    runs = dict(zip(names, comparison.contestants.values(), strict=True))
    results = [
        replace(result(name, seed), name=new) for seed in (1, 2, 3) for name, new in zip(NAMES, names, strict=True)
    ]
    renamed = replace(comparison, contestants=runs, about=HOSTILE)
    return Outcome(renamed, results, YARDSTICKS["pairs"](renamed)).save(tmp_path)


def test_names_stay_names(hostile):
    page = hostile.read_text()
    assert "<img" not in page
    assert "&lt;img" in page

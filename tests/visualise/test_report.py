"""What a report holds, read without a browser."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from regard.visualise import AttentionMap, Chances, Example, Passage
from regard.visualise.cases import Case
from regard.visualise.charts import Chart, Curve
from regard.visualise.confusions import Confusions, Counted
from regard.visualise.content import PICTURE, compact
from regard.visualise.report import Length, Report, report_parts, write_report

HOSTILE = "</script><script>window.stolen = 1</script><img src=x onerror=alert(1)><!-- \"'&amp;$title"
VOID = {"meta", "input", "br"}
random = np.random.default_rng(0)


class Reading(HTMLParser):
    """The elements of a page, each with its text; complains about one which does not end where it should."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        one = {"tag": tag, "text": "", **dict(attributes)}
        self.found.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for one in self.open:
            one["text"] += data

    def all(self, tag, **attributes):
        """Elements with these attributes."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            one
            for one in self.found
            if one["tag"] == tag and all(value in (one.get(name) or "").split() for name, value in wanted.items())
        ]


def picture(title="one", heads=2, layers=2, tokens=5):
    """Attention of random weights."""
    names = [f"token{n}" for n in range(tokens)]
    maps = [
        AttentionMap(
            f"encoder.blocks.{layer}.attention", random.dirichlet(np.ones(tokens), size=(heads, tokens)), names, names
        )
        for layer in range(layers)
    ]
    chances = [Chances("class", (("good", 0.75), ("bad", 0.25)))]
    return Example(title, maps, {"prediction": "good"}, passages=[Passage("text", tuple(names))], chances=chances)


def case(loss=1.0, true="good", predicted="bad", **changes):
    """An example."""
    values = {"is_right": true == predicted, "pairs": ((true, predicted),), "texts": (("text", (("words", ""),)),)}
    return Case(loss, true, predicted, **{**values, **changes})


def report(**changes):
    """A report of three classes."""
    values = {
        "title": "Report of a run",
        "summary": "bert, classification",
        "measures": (("accuracy", "0.7500"), ("loss, nats", "0.6180")),
        "about": (("Model", (("kind", "bert"), ("parameters", "22,713,986"))),),
        "charts": (Chart("loss", (Curve("training", ((1, 0.9), (20, 0.5))), Curve("validation", ((20, 0.6),)))),),
        "confusions": Confusions(("good", "bad", "so so"), ((3, 1, 0), (0, 1200, 0), (0, 0, 0))),
        "counted": (Counted("good", 1.0, 0.75, 0.857, 3, 4), Counted("bad", 0.999, 1.0, 0.9996, 1201, 1200)),
        "cases": (case(3.0), case(2.0, "bad", "good"), case(0.5, "bad", "bad")),
        "examples": 1204,
    }
    return Report(**{**values, **changes})


def read(made, pictures=()):
    """The elements of a report."""
    return Reading("".join(report_parts(made, pictures)))


def test_each_confusion_is_there_in_numbers():
    page = read(report())
    (table,) = page.all("table", class_="confusions")
    cells = [one["text"].split() for one in page.all("td") if re.match("shade-", one.get("class") or "")]
    assert cells == [
        ["3", "75.0%"],
        ["1", "25.0%"],
        ["0", "0.0%"],
        ["0", "0.0%"],
        ["1,200", "100.0%"],
        ["0", "0.0%"],
        *[["0", "0.0%"]] * 3,
    ]
    assert "1,200" in table["text"]
    shades = [re.match(r"shade-(\d)", one["class"])[1] for one in page.all("td") if "shade" in (one.get("class") or "")]
    assert shades == ["4", "2", "0", "0", "6", "0", "0", "0", "0"]
    leading = [(one["data-true"], one["data-predicted"]) for one in page.all("button", class_="leads")]
    assert leading == [("good", "good"), ("good", "bad"), ("bad", "bad")]


def test_of_many_classes_the_most_frequent_confusions_are_listed():
    labels = tuple(f"class {n}" for n in range(30))
    counts = [[50 * (n == m) for m in range(30)] for n in range(30)]
    counts[3][7], counts[9][2] = 20, 5
    page = read(report(confusions=Confusions(labels, tuple(map(tuple, counts)))))
    assert not page.all("table", class_="confusions")
    leading = [(one["data-true"], one["data-predicted"], one["text"]) for one in page.all("button", class_="leads")]
    assert leading == [("class 3", "class 7", "20"), ("class 9", "class 2", "5")]
    assert any("2 confusions" in one["text"] for one in page.all("caption"))


def test_every_part_is_led_to_and_has_a_heading():
    lengths = (Length("none", 4, 100.0, 100.0), Length("1", 6, 50.0, 66.7))
    page = read(report(numbers=((1.0, 2.0), (3.0, 3.5)), lengths=lengths))
    sections = [one["id"] for one in page.all("section") if "id" in one and one["id"] not in ("overview", "detail")]
    assert sections == ["measures", "curves", "classes", "numbers", "lengths", "cases", "about"]
    assert [one["href"] for one in page.all("a")] == [f"#{id}" for id in sections]
    assert all(one["aria-label"] for one in page.all("svg", role="img"))
    assert len(page.all("svg", role="img")) == 4


def test_what_there_is_nothing_of_is_left_out():
    page = read(report(charts=(), confusions=None, counted=(), cases=()))
    assert [one["href"] for one in page.all("a")] == ["#measures", "#about"]


def test_curves_are_there_in_numbers():
    page = read(report())
    rows = [one["text"] for one in page.all("tr")]
    assert "10.9" in rows  # step 1: training 0.9, no validation
    assert "200.50.6" in rows


def test_cases_say_what_is_true_and_predicted_and_how_probable():
    stretches = (("see ", ""), ("Jordan", "true PER, predicted LOC"))
    found = case(2.5, probability=0.9, true_probability=0.0625, place="dev.tsv:7", texts=(("text", stretches),))
    (shown,) = read(report(cases=(found,))).all("li", class_="case")
    for words in (
        "✗ wrong",
        "true good p 0.062",
        "predicted bad p 0.900",
        "loss 2.500 nats",
        "dev.tsv:7",
        "see Jordan",
    ):
        assert words in shown["text"]
    assert json.loads(shown["data-pairs"]) == [["good", "bad"]]
    assert shown["data-right"] == "no"


def test_cases_stand_in_their_order_with_what_finds_them():
    page = read(report())
    assert [one["value"] for one in page.all("li", class_="case")] == ["1", "2", "3"]
    assert [one.get("value") for one in page.all("option")][:4] == ["", "=bad", "=good", ""]
    assert page.all("input", type="checkbox")
    assert not read(report(cases=(case(is_right=None, pairs=()),))).all("input", type="checkbox")


def test_whatever_words_there_are_stay_words(tmp_path):
    strange = case(1.0, HOSTILE, HOSTILE + "2", texts=((HOSTILE, ((HOSTILE, HOSTILE),)),), place=HOSTILE)
    made = report(
        title=HOSTILE,
        summary=HOSTILE,
        measures=((HOSTILE, HOSTILE),),
        about=((HOSTILE, ((HOSTILE, HOSTILE),)),),
        charts=(Chart(HOSTILE, (Curve(HOSTILE, ((1, 1.0),)),)),),
        confusions=Confusions((HOSTILE, HOSTILE + "2"), ((1, 1), (0, 1))),
        counted=(Counted(HOSTILE, 1, 1, 1, 1, 1),),
        lengths=(Length(HOSTILE, 1, 1, 1),),
        cases=(strange,),
    )
    shown = Example(HOSTILE, [AttentionMap(HOSTILE, np.eye(2), [HOSTILE, "b"], [HOSTILE, "b"])], {HOSTILE: HOSTILE})
    text = write_report(tmp_path / "report.html", made, [shown]).read_text("utf-8")
    page = Reading(text)
    assert len(page.all("script")) == text.count("<script") == text.count("</script") == 2  # a picture, the page's own
    assert not page.all("img")
    assert "<!--" not in text
    assert page.all("title")[0]["text"] == HOSTILE
    assert page.all("button", class_="leads")[0]["data-true"] == HOSTILE


def test_the_report_names_no_address(tmp_path):
    text = write_report(tmp_path / "report.html", report(), [picture()]).read_text("utf-8")
    assert set(re.findall(r"\b\w+://[^\s\"']*", text)) == {"http://www.w3.org/2000/svg"}


def weights_of(drawing):
    """Weights as the page unpacks them."""
    codes = np.frombuffer(zlib.decompress(base64.b64decode(drawing["weights"])), np.uint8)
    return (codes / 255.0) ** 2


def test_weights_are_within_four_thousandths():
    shown = picture(heads=3, tokens=40)
    content = compact(shown)
    assert content["isCoarse"]
    for drawing, attention in zip(content["drawings"], shown.maps, strict=True):
        assert np.abs(weights_of(drawing) - attention.weights.ravel()).max() < 0.004
    assert content["text"] == [["prediction", "good"]]


def test_where_heads_are_too_much_their_mean_is_kept_and_it_is_said():
    shown = picture(heads=8, layers=3, tokens=30)
    content = compact(shown, room=6000)
    assert [drawing["heads"] for drawing in content["drawings"]] == [1, 1, 1]
    for drawing, attention in zip(content["drawings"], shown.maps, strict=True):
        assert np.abs(weights_of(drawing) - attention.weights.mean(0).ravel()).max() < 0.004
    assert content["text"][1] == ["shown", "the mean over the heads of all layers, to keep the page small"]
    assert content["chances"]


def test_where_that_is_too_much_the_last_layers_are_kept():
    content = compact(picture(heads=8, layers=3, tokens=30), room=2200)
    assert [drawing["layer"] for drawing in content["drawings"]] == [1, 2]
    assert content["text"][1][1].startswith("the mean over the heads of the last 2 of 3 layers")


def test_the_largest_pictures_leave_the_page_small(tmp_path):
    pictures = (picture(heads=12, layers=12, tokens=120) for _ in range(3))
    path = write_report(tmp_path / "report.html", report(), pictures)
    assert path.stat().st_size < 3 * PICTURE + 200_000  # bytes


def test_more_pictures_than_cases_are_an_error():
    with pytest.raises(ValueError, match="there are 2 pictures, but 1 examples"):
        list(report_parts(report(cases=(case(),)), [picture(), picture()]))


def test_confusions_are_square():
    with pytest.raises(ValueError, match="2 classes need 2 rows of 2 counts"):
        Confusions(("a", "b"), ((1, 2), (3,)))


def test_a_report_which_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")

    def failing():
        yield picture()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_report(path, report(), failing())
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]

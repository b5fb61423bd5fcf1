"""The report as a reader meets it: opened from a disk in a browser, searched, pointed at, typed at, on a phone."""

import numpy as np
import pytest

from regard.visualise import AttentionMap, Example, Passage
from regard.visualise.cases import Case
from regard.visualise.charts import Chart, Curve
from regard.visualise.confusions import Confusions, Counted
from regard.visualise.report import Length, Report, write_report

pytestmark = pytest.mark.browser

READY = "document.querySelector('#finders') !== null && !document.querySelector('#finders').hidden"
HOSTILE = "</script><script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'>"
WORDS = [f"word{n}" for n in range(12)]
LABELS = ("good", "bad", HOSTILE)
PRECISION = 0.0045  # of one byte a weight, and three decimals

random = np.random.default_rng(0)


def picture(number):
    """Two layers of three heads."""
    maps = [
        AttentionMap(f"blocks.{layer}.attention", random.dirichlet(np.full(12, 0.3), size=(3, 12)), WORDS, WORDS)
        for layer in range(2)
    ]
    passage = Passage("text", tuple(WORDS), notes=tuple((f"{HOSTILE}",) for _ in WORDS), marked=(2, 3))
    return Example(f"picture {number}", maps, {"prediction": f"of {number}"}, passages=[passage])


def cases():
    """Examples of which every third one is right."""
    for number in range(30):
        true, predicted = LABELS[number % 3], LABELS[number * 5 // 3 % 3]
        texts = (
            ("text", ((f"Example number{number} with a FINE word ", ""), ("here", "true"))),
            ("pair", ((HOSTILE, ""),)),
        )
        yield Case(
            30.0 - number, true, predicted, true == predicted, texts, 0.1, 0.8, "dev.tsv:1", ((true, predicted),)
        )


@pytest.fixture(scope="module")
def pictures():
    """Of the first three."""
    return [picture(number) for number in range(3)]


@pytest.fixture(scope="module")
def found():
    """All examples."""
    return list(cases())


@pytest.fixture(scope="module")
def page(pictures, found, tmp_path_factory):
    """A report with all of its parts."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    counts = [[sum(one.pairs[0] == (true, guess) for one in found) for guess in LABELS] for true in LABELS]
    report = Report(
        title=f"Report {HOSTILE}",
        summary="bert, classification",
        measures=(("accuracy", "0.9"),),
        about=(("Model", (("from", "/a/very/long/path/" * 9),)),),
        charts=(Chart("loss", (Curve("training", ((1, 2.0), (9, 1.0))), Curve("validation", ((9, 1.5),)))),),
        confusions=Confusions(LABELS, tuple(map(tuple, counts))),
        counted=tuple(Counted(label, 0.5, 0.5, 0.5, 10, 10) for label in LABELS),
        numbers=((1.0, 2.0), (2.0, 3.0)),
        lengths=(Length("none", 3, 50.0, 60.0), Length("1", 4, 10.0, 20.0)),
        cases=tuple(found),
        examples=99,
    )
    return write_report(path, report, pictures)


def listed(browser):
    """Numbers of the examples which are listed."""
    return browser.ask("[...document.querySelectorAll('.case:not([hidden])')].map((one) => one.value - 1)")


def write(browser, words):
    """Type into the search field."""
    browser.ask("document.querySelector('#words').focus()")
    browser.call("Input.insertText", text=words)


def choose(browser, select, value):
    """Choose of a select."""
    browser.ask(
        f"""(() => {{
            const select = document.querySelector({select!r});
            select.value = {value!r};
            select.dispatchEvent(new Event('input', {{bubbles: true}}));
        }})()"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_without_a_complaint_and_asks_for_nothing(browser, page, scheme):
    browser.open(page, scheme=scheme, ready=READY)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.ask("window.stolen === undefined && document.images.length === 0")


def test_all_examples_are_listed_at_first(browser, page):
    browser.open(page, ready=READY)
    assert listed(browser) == list(range(30))
    assert browser.ask("document.querySelector('#found').textContent") == "30 of 30 listed"


def test_examples_are_found_by_their_words_in_any_case(browser, page):
    browser.open(page, ready=READY)
    write(browser, "NUMBER17 fine")
    assert listed(browser) == [17]
    assert browser.ask("document.querySelector('#found').textContent") == "1 of 30 listed"
    write(browser, " nowhere")
    assert listed(browser) == []
    assert not browser.ask("document.querySelector('#none').hidden")
    browser.click("#all")
    assert listed(browser) == list(range(30))


def test_examples_are_found_by_true_and_predicted_class(browser, page, found):
    browser.open(page, ready=READY)
    for true in ("", *LABELS):
        for predicted in ("", *LABELS):
            choose(browser, "#true-class", f"={true}" if true else "")
            choose(browser, "#predicted-class", f"={predicted}" if predicted else "")
            wanted = [n for n, one in enumerate(found) if true in ("", one.true) and predicted in ("", one.predicted)]
            assert listed(browser) == wanted


def test_mistakes_alone_are_listed_where_asked_for(browser, page, found):
    browser.open(page, ready=READY)
    browser.click("#mistakes")
    assert listed(browser) == [n for n, one in enumerate(found) if not one.is_right]


def test_a_cell_of_the_matrix_lists_its_examples_by_keys_alone(browser, page, found):
    browser.open(page, ready=READY)
    write(browser, "number3")
    browser.ask("document.querySelector('.confusions .leads[data-true=good][data-predicted=bad]').focus()")
    browser.press("Enter")
    wanted = [n for n, one in enumerate(found) if one.pairs == (("good", "bad"),)]
    assert wanted
    assert listed(browser) == wanted
    assert browser.ask("document.activeElement.id") == "true-class"
    assert len(wanted) == int(
        browser.ask("document.querySelector('.confusions .leads[data-true=good][data-predicted=bad] b').textContent")
    )


def opened(browser, number):
    """Open the attention of an example by keys, and wait for its matrix."""
    browser.ask(f"document.querySelectorAll('.case summary')[{number}].focus()")
    browser.press("Enter")
    browser.until(
        f"document.querySelectorAll('.case details')[{number}].contains(document.querySelector('.matrix')) && "
        f"document.querySelector('#text dd')?.textContent === 'of {number}'"
    )


def test_the_attention_of_an_example_opens_with_its_true_weights(browser, page, pictures):
    browser.open(page, ready=READY)
    assert browser.ask("document.querySelectorAll('.case summary').length") == 3
    for number in (1, 0):
        opened(browser, number)
        assert browser.ask("[...document.querySelectorAll('.case details[open]')].length") == 1
        browser.ask("document.querySelector('#head').value = 2")
        browser.ask("document.querySelector('#head').dispatchEvent(new Event('change'))")
        browser.until("document.querySelector('.matrix').ariaLabel.includes('layer 0, head 2')")
        left, top, width, height = browser.box(".cells")
        for query, key in [(0, 0), (7, 3), (11, 11)]:
            browser.point(left + (key + 0.5) * width / 12, top + (query + 0.5) * height / 12)
            told = browser.ask("document.querySelector('#tip').innerText").split("\n")
            assert told[1:] == [f"query {query}", WORDS[query], f"key {key}", WORDS[key]]
            assert abs(float(told[0]) - pictures[number].maps[0].weights[2, query, key]) <= PRECISION
            assert len(told[0]) == 5  # three decimals
        marked = browser.ask("[...document.querySelectorAll('#text mark')].map((one) => one.textContent)")
        assert marked == WORDS[2:4]
    assert browser.complaints() == []
    assert browser.ask("window.stolen === undefined && document.images.length === 0")


def test_attention_which_was_closed_is_away(browser, page):
    browser.open(page, ready=READY)
    opened(browser, 2)
    browser.press("Enter")
    browser.until("document.querySelector('#viewer').hidden")
    assert browser.ask("document.querySelector('#picture').offsetHeight") == 0


def test_small_pictures_of_an_opened_example_are_drawn(browser, page):
    browser.open(page, ready=READY)
    opened(browser, 0)
    browser.ask("document.querySelector('#overview').scrollIntoView()")
    browser.until("[...document.querySelectorAll('.tile canvas')].every((one) => one.width !== 300)")
    assert browser.ask("document.querySelectorAll('.tile').length") == 2 * 4


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_never_scrolls_the_report_sideways(browser, page, width):
    browser.open(page, width=width, height=844, ready=READY)
    assert browser.ask("document.documentElement.scrollWidth") == width
    opened(browser, 0)
    assert browser.ask("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_of_the_report_can_be_read_on_its_ground(browser, page, scheme):
    browser.open(page, scheme=scheme, ready=READY)
    read = """(() => {
        const numbers = (colour) => {
            const canvas = document.createElement('canvas').getContext('2d');
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
        };
        const paper = numbers(getComputedStyle(document.body).backgroundColor);
        const ground = (one) => {
            if (!one) return paper;
            const [r, g, b, a] = numbers(getComputedStyle(one).backgroundColor);
            const below = a === 255 ? null : ground(one.parentElement);
            return below ? [r, g, b].map((part, k) => (part * a + below[k] * (255 - a)) / 255) : [r, g, b];
        };
        const texts = '.confusions b, .confusions small, .told, .told small, .verdict, .quiet, .claim, .key li, td, th';
        return [...document.querySelectorAll(texts)].map((one) => [
            numbers(getComputedStyle(one).color).slice(0, 3), ground(one).slice(0, 3)]);
    })()"""
    colours = np.array(browser.ask(read)) / 255  # [texts, ink and ground, 3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    light = np.sort(linear @ [0.2126, 0.7152, 0.0722] + 0.05, axis=1)
    assert len(colours) > 100
    assert (light[:, 1] / light[:, 0] >= 4.5).all()  # WCAG 2.2, success criterion 1.4.3


def test_everything_one_can_operate_in_the_report_has_a_name(browser, page):
    browser.open(page, ready=READY)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "searchbox", "checkbox", "link", "image", "region", "DisclosureTriangle"}
    names = [one["name"]["value"] for one in nodes if one.get("role", {}).get("value") in roles and not one["ignored"]]
    assert len(names) > 20
    assert all(names)


def test_what_has_the_focus_in_the_report_can_be_seen(browser, page):
    browser.open(page, ready=READY)
    browser.press("Tab")
    seen = []
    while not browser.ask("document.activeElement === document.body"):
        seen.append(browser.ask("getComputedStyle(document.activeElement).outlineStyle"))
        browser.press("Tab")
    assert len(seen) > 20
    assert set(seen) == {"solid"}

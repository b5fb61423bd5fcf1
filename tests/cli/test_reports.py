"""The commands which draw encoders, and the report of a run: what they write, and what they refuse."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
import torch
import typer
from small_encoders import THINGS, save_reader, write_reviews
from typer.testing import CliRunner

from regard.cli import report, reporting, view
from regard.cli.reporting import report_run
from regard.data.table import Table
from regard.evaluate.assessment import assess
from regard.reading.preparing import SPANS, form_of, prepare
from regard.reading.reader import Reader
from regard.training.labelled import items_of
from regard.training.loop import train
from regard.training.planning import Wishes, plan_finetuning, source_of

HEADS = ["classification", "regression", "similarity", "choice", "tagging", "span", "conditional-span"]


def run(*arguments):
    """Run a command in this process."""
    app = typer.Typer()
    view.register(app)
    report.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def examples(folder: Path, head: str) -> Path:
    """A file of twelve examples, some of which have no sense, so that something is wrong."""
    suffix = {"tagging": "conll", "choice": "jsonl", **dict.fromkeys(SPANS, "json")}.get(head, "csv")
    path = folder / f"{head}.{suffix}"
    if head == "classification":
        return write_reviews(path, 24)
    if head == "regression":
        path.write_text(
            "text,score\n" + "".join(f"the {thing} was good,{n + 0.5}\n" for n, thing in enumerate(THINGS * 2))
        )
    elif head == "similarity":
        pairs = [f"the {thing} was good,good {THINGS[n % 5]},{n + 0.5}\n" for n, thing in enumerate(THINGS * 2)]
        path.write_text("text1,text2,score\n" + "".join(pairs))
    elif head == "choice":
        rows = [
            {"question": thing, "choices": ["good", "bad", "dull"], "answer": n % 3}
            for n, thing in enumerate(THINGS * 2)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif head == "tagging":
        words = ["the O\n{} B-X\nfilm I-X\nended O\n\n", "good B-Y\n{} O\n\n"]
        path.write_text("".join(words[n % 2].format(thing) for n, thing in enumerate(THINGS * 2)))
    else:
        path.write_text(
            json.dumps({"version": "v2.0", "data": [article(n, thing) for n, thing in enumerate(THINGS * 2)]})
        )
    return path


def article(number: int, thing: str) -> dict:
    """A context with a question; every third one has no answer."""
    context = f"the {thing} was good and the walk ended"
    answers = [] if number % 3 == 0 else [{"text": thing, "answer_start": 4}]
    asked = {"id": str(number), "question": "what was it", "is_impossible": not answers, "answers": answers}
    return {"title": str(number), "paragraphs": [{"context": context, "qas": [asked]}]}


@pytest.fixture(scope="module", params=HEADS)
def trained(request, tmp_path_factory):
    """The folder of a short run, its examples, and its head."""
    place = tmp_path_factory.mktemp(request.param)
    bert, path = save_reader(place / "bert"), examples(place, request.param)
    source = source_of(str(path), "", {})
    wishes = Wishes(1.0, text={"longest": 32}, plan={"examples": 4, "rate": 3e-3})
    validation = source_of(str(path), "", {"share": (0.0, 1.0)} if request.param in SPANS else {})
    if request.param in SPANS:
        source = source_of(str(path), "", {"share": (0.0, 0.99)})
    elif request.param in ("classification", "regression", "similarity", "choice"):
        validation = Table(str(path), count=12)
    else:
        validation = source_of(str(path), "", {"count": 12})
    planned, _ = plan_finetuning(bert, "small", source, validation, wishes, request.param)
    train(planned, place / "run")
    return place / "run", path, request.param


def page(folder, out, file=""):
    """The text of a report."""
    return report_run(folder, out, file).read_text("utf-8")


def losses_in(text):
    """The loss of each example which is listed."""
    return [float(loss) for loss in re.findall(r">loss (-?[\d.]+) (?:nats|squared error)<", text)]


def test_the_measures_and_losses_of_a_report_are_those_of_the_model(trained, tmp_path):
    folder, path, head = trained
    text = page(folder, tmp_path / "report.html", str(path))
    reader = Reader.load(folder)
    items = items_of({"head": head, "labels": reader.labels}, source_of(str(path), "", {}))
    prepared = prepare(head, items, reader.labels, form_of(reader))
    measures = assess(reader, prepared, items).measures
    for name, value in measures.items():
        shown = f"{value:.2f} %" if head in SPANS and name != "nats" else f"{value:.4f}"
        assert f"<dd>{shown}</dd>" in text
    losses = losses_in(text)
    assert len(losses) == len(items)
    assert losses == sorted(losses, reverse=True)
    words = sum(len(item.tags) for item in items) if head == "tagging" else len(items)
    assert sum(losses) / words == pytest.approx(measures["nats"], abs=2e-3)  # written with three decimals


def test_a_report_shows_what_its_task_has(trained, tmp_path):
    folder, path, head = trained
    text = page(folder, tmp_path / "report.html")
    parts = re.findall(r'<section id="(\w+)"><h2>', text)
    own = {
        "regression": ["numbers"],
        "similarity": ["numbers"],
        "choice": [],
        **{head: ["classes", "lengths"] for head in SPANS},
    }
    assert parts == ["measures", "curves", *own.get(head, ["classes"]), "cases", "about"]
    assert str(path) in unescape(text)
    blocks = re.findall(r'class="example">(.*?)</script>', text, re.DOTALL)
    assert len(blocks) == 10 == len(re.findall("<summary>Attention", text))
    for block in map(json.loads, blocks):
        assert len(block["drawings"]) == 2


def test_a_report_computes_every_token_once(trained, tmp_path, monkeypatch):
    folder, path, head = trained
    monkeypatch.setattr(reporting, "PICTURES", 0)  # which are computed with their attention, each by itself
    read = []

    def count(module, given):
        """Note the tokens of a forward pass, where they are embedded."""
        if isinstance(module, torch.nn.Embedding) and module.num_embeddings == vocabulary:
            read.append(given[0].numel())

    reader = Reader.load(folder)
    vocabulary = reader.model.config.vocabulary
    items = items_of({"head": head, "labels": reader.labels}, source_of(str(path), "", {}))
    tokens = len(prepare(head, items, reader.labels, form_of(reader)).examples.inputs.ids)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        page(folder, tmp_path / "report.html", str(path))
    finally:
        hook.remove()
    assert sum(read) == tokens


def test_a_report_says_what_was_trained(trained, tmp_path):
    folder, _, head = trained
    text = re.sub(r"<[^>]*>", " ", page(folder, tmp_path / "report.html").partition('id="about"')[2])
    for words in ("kind bert", f"head {head}", "sizes depth 2, width 32, heads 2", "rate 0.003", "longest input 32"):
        assert words in re.sub(r"\s+", " ", text)
    assert re.search(r"seconds of updates\s+\d", text)


def test_the_command_writes_the_report(trained, tmp_path):
    folder, path, _ = trained
    result = run("report", folder, path, "--out", tmp_path / "one.html", "--worst", 3)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "one.html")
    assert len(losses_in((tmp_path / "one.html").read_text("utf-8"))) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--out", "report.txt"), ValueError, "report.txt must end in .html"),
        (("--worst", "0"), ValueError, "worst must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_reported_is_refused(trained, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    result = run("report", trained[0], *arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no run: it has no run\.toml"):
        report_run(tmp_path, tmp_path / "report.html")


def blocks(path: Path) -> list[dict]:
    """What a page holds of its examples."""
    found = re.findall(r'class="example">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    return list(map(json.loads, found))


GIVEN = {
    "classification": ("--text", "the film was good", "--text", "bad song"),
    "regression": ("--text", "the film", "--pair", "was good"),
    "similarity": ("--text", "the film", "--pair", "was good"),
    "choice": ("--text", "the film", "--pair", "good", "--pair", "bad"),
    "tagging": ("--text", "the film ended"),
    **dict.fromkeys(SPANS, ("--question", "what was it", "--context", "the day was dull and the walk ended")),
}


def test_view_draws_what_each_encoder_reads(trained, tmp_path):
    folder, _, head = trained
    result = run("view", folder, *GIVEN[head], "--out", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    count = len(blocks(tmp_path / "page.html"))
    assert count == (2 if head in ("classification", "choice") else 1)
    result = run("view", folder, *GIVEN[head], "--out", tmp_path / "page.svg")
    if count == 1:
        assert (tmp_path / "page.svg").read_bytes().startswith(b"<?xml")
    else:
        assert "a figure shows one example, got 2" in str(result.exception)


def test_a_context_is_read_from_a_file_of_that_name(tmp_path):
    folder = save_reader(tmp_path / "span", "bert", "span")
    (tmp_path / "text.txt").write_text("the day was dull\nand the walk ended\n")
    given = ("view", folder, "--question", "what was it", "--out", tmp_path / "page.html", "--context")
    assert run(*given, tmp_path / "text.txt").exit_code == 0
    (found,) = blocks(tmp_path / "page.html")
    assert found["passages"][1]["tokens"][-2] == "ended"
    result = run(*given, "missing.txt")
    assert isinstance(result.exception, FileNotFoundError)
    assert str(result.exception) == "no file missing.txt"


@pytest.mark.parametrize(
    ("head", "arguments", "message"),
    [
        ("", ("--text", "a", "--tokens", "3"), "--tokens cannot be used here"),
        ("", ("--text", "a", "--beams", "3"), "--beams cannot be used here"),
        ("", ("--question", "a", "--context", "b c"), "this model has no head: give it --text"),
        ("span", ("--text", "a"), "this model has a head for span: give it --question and --context"),
        ("span", ("--question", "a"), "give it --question and --context"),
        ("span", ("--question", "a", "--context", "b c", "--pair", "d"), "--pair cannot be used here"),
        ("choice", ("--text", "a", "--text", "b", "--pair", "c"), "give one --text, and each option as --pair"),
        ("", ("--text", "a", "--text", "b", "--pair", "c"), "each --text needs its --pair, got 2 and 1"),
        ("", ("--text", "a", "--question", "b"), "give sentences with --text, a file of them with --source, or"),
    ],
)
def test_view_refuses_what_an_encoder_does_not_read(tmp_path, head, arguments, message):
    folder = save_reader(tmp_path / "model", "bert", head)
    result = run("view", folder, *arguments, "--out", tmp_path / "page.html")
    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)
    assert not (tmp_path / "page.html").exists()

"""The commands which draw language models: what they write, and what they refuse."""

import json
import re
from xml.etree import ElementTree

import pytest
from tiny import tiny
from typer.testing import CliRunner

from regard.cli.__main__ import app
from regard.decoding.translator import Translator
from regard.decoding.writer import Writer
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["abcdefgh"], kind="characters")  # 11 ids, as many as a tiny model knows


def run(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def saved(place, name, **changes):
    """The folder of a tiny language model."""
    Writer(tiny(name, **changes).float(), LETTERS).save(place)
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GPT-2."""
    return saved(tmp_path_factory.mktemp("gpt2"), "gpt2")


@pytest.fixture(scope="module")
def remembering(tmp_path_factory):
    """A Transformer-XL."""
    return saved(tmp_path_factory.mktemp("txl"), "transformer-xl", memory=12)


@pytest.fixture(scope="module")
def translating(tmp_path_factory):
    """A Transformer which translates."""
    place = tmp_path_factory.mktemp("transformer")
    Translator(tiny("transformer").float(), LETTERS, LETTERS).save(place)
    return place


@pytest.fixture
def text(tmp_path):
    """A file of letters."""
    path = tmp_path / "text.txt"
    path.write_text("abcdhgfe" * 12)
    return path


def test_view_writes_the_page_of_texts(folder, tmp_path):
    out = tmp_path / "page.html"
    result = run("view", folder, "--text", "abc", "--text", "fgh", "--tokens", 5, "--out", out)
    assert result.exit_code == 0, result.output
    found = re.findall(r'class="example">(.*?)</script>', out.read_text("utf-8"), re.DOTALL)
    for block, prompt in zip(map(json.loads, found), ["abc", "fgh"], strict=True):
        before, written = block["passages"]
        text = Writer.load(folder).generate([prompt], tokens=5, temperature=0)[0]
        assert before["tokens"] == list(prompt)
        assert "".join(written["tokens"]).removesuffix("</s>") == text


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_view_draws_a_picture_of_a_text(remembering, tmp_path, suffix):
    result = run("view", remembering, "--text", "abc", "--out", tmp_path / f"one{suffix}")
    assert result.exit_code == 0, result.output
    assert (tmp_path / f"one{suffix}").stat().st_size > 1000


@pytest.mark.parametrize(
    "option",
    [("--source", "x.txt"), ("--target", "x.txt"), ("--forced",), ("--beams", "5"), ("--first", "20")],
    ids=lambda option: option[0],
)
def test_view_refuses_what_means_nothing_to_a_language_model(folder, tmp_path, option):
    where = () if option[0] == "--source" else ("--text", "abc")
    result = run("view", folder, *where, *option, "--out", tmp_path / "page.html")
    message = str(result.exception)
    assert message.startswith(f"{option[0]} cannot be used here: {folder} holds a language model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [("--tokens", "3"), ("--seed", "0")], ids=lambda option: option[0])
def test_view_refuses_what_means_nothing_to_an_encoder_decoder(translating, tmp_path, option):
    result = run("view", translating, "--text", "abc", *option, "--out", tmp_path / "page.html")
    assert str(result.exception).startswith(f"{option[0]} cannot be used here: {translating} holds an encoder-decoder")
    assert not list(tmp_path.iterdir())


def test_patterns_are_drawn_of_papers_and_of_models(folder, tmp_path):
    sparse = saved(tmp_path / "sparse", "sparse-transformer", pattern="strided over layers")
    for number, arguments in enumerate([(), ("--stride", 4), (folder,), (sparse, "--positions", 32)]):
        out = tmp_path / f"{number}.svg"
        result = run("patterns", *arguments, "--out", out)
        assert result.exit_code == 0, result.output
        assert ElementTree.parse(out).getroot().tag.endswith("svg")


@pytest.mark.parametrize("option", ["--positions", "--stride"])
def test_patterns_of_too_many_positions_are_refused(tmp_path, option):
    result = run("patterns", option, 100000, "--out", tmp_path / "patterns.svg")
    assert "--positions and --stride must be 2048 or less" in str(result.exception)


@pytest.mark.parametrize("sources", ["--source", "--text"])
def test_view_refuses_references_of_other_sentences(translating, tmp_path, sources):
    (tmp_path / "a").write_text("abc\nabd\n")
    (tmp_path / "b").write_text("abc\nabd\nabe\n")
    given = tmp_path / "a" if sources == "--source" else "abc"
    result = run("view", translating, sources, given, "--target", tmp_path / "b", "--out", tmp_path / "page.html")
    assert f"{tmp_path / 'b'} has 3" in str(result.exception)
    assert not (tmp_path / "page.html").exists()


def test_reach_refuses_what_is_no_figure_before_it_reads(remembering, text, tmp_path):
    result = run("reach", remembering, text, "--out", tmp_path / "reach.txt")
    assert "reach.txt: a figure is saved as .png, .svg, .pdf, got '.txt'" in str(result.exception)


def test_patterns_of_an_encoder_decoder_are_refused(translating, tmp_path):
    result = run("patterns", translating, "--out", tmp_path / "patterns.svg")
    assert "Transformer does not say what its layers see" in str(result.exception)


def test_reach_is_drawn_and_measured(remembering, text, tmp_path):
    result = run("reach", remembering, text, "--context", 8, "--out", tmp_path / "reach.svg", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["past"], found["queries"]) == (12, 12 * 8 + 2 - 12)  # the ends of texts around it are tokens too
    heads = found["heads"]["blocks.1.attention"]
    assert len(heads) == 4
    for head in heads:
        assert len(head["weights"]) == 12 + 8
        assert 0 < head["mean_distance"] < 20
    assert ElementTree.parse(tmp_path / "reach.svg").getroot().tag.endswith("svg")


def test_reach_with_another_memory_is_measured_farther(remembering, text, tmp_path):
    out = tmp_path / "reach.png"
    result = run("reach", remembering, text, "--context", 8, "--set", "memory=30", "--out", out)
    assert result.exit_code == 0, result.output
    assert "68 tokens with 30 or more before them" in result.stdout


def test_reach_reads_windows_of_the_whole_context_where_there_is_no_memory(folder, text, tmp_path):
    result = run("reach", folder, text, "--tokens", 80, "--out", tmp_path / "reach.png", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["context"] == 64
    assert json.loads(result.stdout)["queries"] == 80 - 32


def test_reach_needs_to_know_how_long_a_segment_is(remembering, text, tmp_path):
    result = run("reach", remembering, text, "--out", tmp_path / "reach.png")
    assert "has no context of its own; give --context" in str(result.exception)

"""`regard generate` and `regard score` as a user meets them."""

import json
import math
import shutil

import pytest
from test_commands import run
from tiny import tiny

import regard
from regard.data.corpus import Corpus
from regard.decoding.writer import Writer
from regard.layers.linear import has_bfloat16_products
from regard.models.saved import save_model
from regard.text.tokenizer import Tokenizer
from regard.training.language import LanguagePlan, LanguageText
from regard.training.run import Run

LETTERS = Tokenizer.train(["abcdefgh"], kind="characters")  # 11 ids, as many as a tiny model knows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory of a GPT-2 with random weights."""
    place = tmp_path_factory.mktemp("models") / "gpt2"
    regard.save(Writer(tiny("gpt2").float(), LETTERS), place)
    return place


@pytest.fixture(scope="module")
def with_memory(tmp_path_factory):
    """A directory of a Transformer-XL with random weights."""
    place = tmp_path_factory.mktemp("models") / "transformer-xl"
    regard.save(Writer(tiny("transformer-xl", memory=6).float(), LETTERS), place)
    return place


@pytest.fixture
def text(tmp_path):
    """A text of 40 letters, on four lines."""
    path = tmp_path / "text"
    path.write_text("abcdefghab\n" * 4)
    return path


def test_one_text_is_the_prompt_and_what_comes_after_it(folder):
    result = run("generate", str(folder), "--prompt", "abc", "--tokens", "20", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert result.stdout == "abc" + regard.load(folder).generate(["abc"], tokens=20, seed=3)[0] + "\n"


def test_prompts_of_a_file_come_back_as_json(folder, tmp_path):
    (tmp_path / "prompts").write_text("ab\nhgf\n")
    result = run(
        "generate", str(folder), "--file", str(tmp_path / "prompts"), "--tokens", "5", "--samples", "2", "--json"
    )
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["prompt"], one["seed"]) for one in found] == [("ab", 0), ("ab", 1), ("hgf", 2), ("hgf", 3)]
    assert [one["text"] for one in found] == regard.load(folder).generate(["ab", "ab", "hgf", "hgf"], tokens=5)
    assert {one["ended"] for one in found} <= {"end", "length"}


def test_8_bits_write_nearly_the_same(folder):
    exact, rounded = (
        run("generate", str(folder), "--prompt", "abc", "--tokens", "6", "--temperature", "0", *extra).stdout
        for extra in ((), ("--int8",))
    )
    assert rounded.startswith("abc")
    assert len(rounded) <= len("abc") + 6 + 1
    assert exact.startswith("abc")


def test_16_bits_are_taken_where_the_processor_has_them(folder):
    result = run("generate", str(folder), "--prompt", "abc", "--tokens", "6", "--temperature", "0", "--bfloat16")
    if has_bfloat16_products():
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("abc")
    else:
        assert result.exit_code == 1
        assert "no products of bfloat16" in str(result.exception)


def test_rounded_weights_score_nearly_the_same(folder, text):
    exact, rounded = (
        json.loads(run("score", str(folder), str(text), "--json", *extra).stdout) for extra in ((), ("--int8",))
    )
    assert rounded["tokens"] == exact["tokens"]
    assert rounded["per_token"] != exact["per_token"]
    assert rounded["per_token"] == pytest.approx(exact["per_token"], rel=0.3)


def test_weights_are_rounded_in_one_way(folder):
    result = run("score", str(folder), "--int8", "--bfloat16")
    assert result.exit_code == 1
    assert "two ways to round weights" in str(result.exception)


def test_a_score_has_its_counts(folder, text):
    result = run("score", str(folder), str(text), "--documents", "lines", "--json", "--stride", "4")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["tokens"], found["words"], found["characters"], found["bytes"]) == (44, 8, 44, 44)
    nats = -found["log_probability"]
    assert found["per_token"] == pytest.approx(math.exp(nats / 44))
    assert found["bits_per_byte"] == pytest.approx(nats / 44 / math.log(2))
    assert "over 44" in run("score", str(folder), str(text), "--documents", "lines").stdout


def test_documents_apart_are_scored_as_by_hand(folder, text):
    result = run("score", str(folder), str(text), "--documents", "lines", "--apart", "--json")
    assert -json.loads(result.stdout)["log_probability"] == pytest.approx(
        -4 * regard.load(folder).score(["abcdefghab"])[0], abs=1e-3
    )


def test_memory_changes_a_score(with_memory, text):
    arguments = ("score", str(with_memory), str(text), "--context", "5", "--json")
    scores = [
        json.loads(run(*arguments, *extra).stdout)["log_probability"]
        for extra in ((), ("--set", "memory=30"), ("--lanes", "0"))
    ]
    assert len(set(scores)) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate"], "give prompts with --prompt, or a file of them with --file"),
        (["generate", "--prompt", "a" * 60, "--tokens", "30"], "does not fit into the context of 64"),
        (["generate", "--prompt", "a", "--samples", "0"], "--samples must be 1 or more"),
        (["score"], "names no test text of its own; give a file"),
        (["score", "TEXT", "--context", "65"], "--context 65 exceeds the 64 positions"),
        (["score", "TEXT", "--set", "width=3"], "does not fit GPT2|must be a multiple"),
        (["score", "TEXT", "--set", "widht=3"], "did you mean 'width'"),
        (["score", "nowhere"], "no file nowhere"),
        (["score", "TEXT", "--lanes", "2"], "--lanes 2 means nothing where no memory is carried on"),
        (
            ["generate", "--prompt", "a", "--seed", "9999999999999999999999"],
            "seeds must lie in 0 to 9223372036854775807",
        ),
        (["score", "TEXT", "--stride", "99"], "stride must lie between 1 and context=64"),
    ],
)
def test_mistakes_are_named(folder, text, arguments, says):
    command, *rest = [str(text) if argument == "TEXT" else argument for argument in arguments]
    result = run(command, str(folder), *rest)
    assert isinstance(result.exception, ValueError | FileNotFoundError)
    import re

    assert re.search(says, str(result.exception))
    assert not result.stdout, "what cannot be gone on from is not shown"


@pytest.mark.parametrize("option", [("--batch", "0"), ("--lanes", "-1"), ("--context", "-1"), ("--stride", "-1")])
def test_numbers_of_a_score_which_count_nothing_are_refused(with_memory, text, option):
    result = run("score", str(with_memory), str(text), "--context", "5", *option)
    assert result.exit_code == 2
    assert f"Invalid value for '{option[0]}'" in result.stderr


def test_a_text_which_is_too_short_is_named_as_it_was_given(with_memory, text):
    said = str(run("score", str(with_memory), str(text), "--context", "5", "--lanes", "50").exception)
    assert said == f"{text} has 45 tokens, too few for 50 lanes; lower tokens, or raise context"


@pytest.mark.parametrize("command", ["evaluate", "tune"])
def test_a_writer_does_not_translate_and_its_run_names_no_pairs(folder, text, tmp_path, command):
    corpus = Corpus(str(text))
    model, settings = {"kind": "gpt2", "size": "tiny"}, LanguageText(kind="characters", vocabulary=0)
    run_of_it = Run("written", model, corpus, corpus, settings, LanguagePlan(context=8), test=corpus)
    place = shutil.copytree(folder, tmp_path / "written")
    run_of_it.save(place)
    result = run(command, str(place))
    assert "holds gpt2, a language model, which `regard generate` and `score` use" in str(result.exception)


def test_a_translator_does_not_write(tmp_path):
    save_model(tiny("rnnsearch").float(), tmp_path)
    result = run("generate", str(tmp_path), "--prompt", "a")
    assert "holds rnnsearch, an encoder-decoder, which `regard translate` uses" in str(result.exception)

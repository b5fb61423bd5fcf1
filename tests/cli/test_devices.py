"""Where models compute: every command which uses one takes `--device`, and what it reads follows the model there."""

import contextlib
import re

import pytest
import torch
import typer
from another_device import DEVICE, AnotherDevice
from small_encoders import save_reader, small_reader, write_reviews
from tiny import tiny
from typer.core import TyperGroup
from typer.testing import CliRunner

import regard.serving.server
from regard.cli.__main__ import app
from regard.decoding.loaded import Loaded
from regard.decoding.translator import Translator
from regard.decoding.writer import Writer
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["abcdefgh"], kind="characters")  # 11 ids, as many as a tiny model knows
HEADS = {"": (), "classification": ("neg", "pos"), "span": (), "conditional-span": (), "masked": (), "similarity": ()}
ENCODERS = {  # commands which use an encoder, by what they are called in the tests' names
    "predict": "predict classification --text 'the film was good' --text dull",
    "predict a number of two texts": "predict similarity --text 'the film was good' --pair dull",
    "predict a table": "predict classification reviews.csv",
    "answer": "answer span 'what was it' --context letter --json",
    "answer conditionally": "answer conditional-span 'what was it' --context letter --json",
    "fill": "fill masked 'the [MASK] was [MASK]' --json",
    "embed": "embed encoder --text 'the film' --text dull",
    "evaluate": "evaluate classification reviews.csv --json",
    "view": "view classification --text 'the film was good' --out out.html",
    "report": "report run --out out.html",
}
OTHERS = {
    "translate": "translate translator lines",
    "generate": "generate writer --prompt abc --tokens 3",
    "score": "score writer letters",
    "reach": "reach writer letters --out out.svg",
    "serve": "serve encoder --port 0",
    "evaluate": "evaluate translator --source lines --target lines",
    "tune": "tune translator --source lines --target lines --penalty 0.6",
    "view": "view translator --text abc --out out.html",
}
EVERY = sorted(command.split()[0] for command in {**ENCODERS, **OTHERS}.values())


def run(command: str, *more: str):
    """Run a command line in this process."""
    return CliRunner().invoke(app, [part.strip("'") for part in re.findall(r"'.*?'|\S+", command)] + list(more))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models of each kind, a run, and what they read."""
    place = tmp_path_factory.mktemp("devices")
    for head, labels in HEADS.items():
        save_reader(place / (head or "encoder"), "bert", head, labels)
    Writer(tiny("gpt2").float(), LETTERS).save(place / "writer")
    Translator(tiny("transformer").float(), LETTERS, LETTERS).save(place / "translator")
    write_reviews(place / "reviews.csv", 30)
    (place / "letter").write_text("the film was good and the walk ended")
    (place / "letters").write_text("abcdhgfe" * 12)
    (place / "lines").write_text("abc\nfgh\n")
    tuned = ("--train", str(place / "reviews.csv"), "--out", str(place / "run"), "--set", "plan.steps=1")
    result = run("finetune", "--model", str(place / "encoder"), *tuned)
    assert result.exit_code == 0, result.output
    return place


def numbers(text: str) -> tuple[str, list[float]]:
    """A text without its numbers, and these."""
    number = r"-?\d+\.\d+(?:e-\d+)?"
    return re.sub(number, "", text), [float(one) for one in re.findall(number, text)]


@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_and_what_they_read_are_on_the_device(folder, monkeypatch, name, device):
    monkeypatch.chdir(folder)
    wanted = run(ENCODERS[name])
    assert wanted.exit_code == 0, wanted.output
    another = AnotherDevice(monkeypatch) if device == "meta" else None
    with another or contextlib.nullcontext():
        found = run(ENCODERS[name], "--device", device)
    assert found.exit_code == 0, (found.output, found.exception)
    (words, values), (other_words, other_values) = numbers(wanted.stdout), numbers(found.stdout)
    assert words == other_words
    assert values == pytest.approx(other_values, abs=1e-4)  # of a GPU; sums of another order
    if another is not None:
        assert another.products > 0
        assert another.products_here == 0


@pytest.mark.parametrize("command", [*ENCODERS.values(), *OTHERS.values()])
def test_no_command_keeps_its_model_where_it_was(folder, monkeypatch, command):
    moved = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: DEVICE)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(Loaded, "to", lambda model, device: moved.append(device) or model)
    monkeypatch.setattr(regard.serving.server, "run", lambda *_: None)
    result = run(command, "--device", "meta:1")
    assert result.exit_code == 0, (result.output, result.exception)
    assert moved == ["meta:1"]


def test_every_command_which_uses_a_model_takes_a_device():
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    options = {
        name: [option for one in command.params for option in one.opts] for name, command in group.commands.items()
    }
    assert sorted(name for name in options if "--device" in options[name]) == sorted(set(EVERY))


@pytest.mark.parametrize("command", sorted(set(EVERY)))
@pytest.mark.parametrize("device", ["cuda:99", "gpu", ""])
def test_a_device_which_is_not_here_is_refused_before_all_else(command, device):
    result = run(command, "--device", device)
    assert isinstance(result.exception, ValueError)
    assert str(result.exception).startswith(f"there is no device '{device}' here; --device can be cpu")


def test_a_model_says_where_it_computes(monkeypatch):
    reader = small_reader()
    with AnotherDevice(monkeypatch):
        assert reader.to("meta") is reader
        assert reader.device == DEVICE


def test_rounded_weights_are_not_moved():
    reader = small_reader()
    reader.round_weights("int8")
    with pytest.raises(ValueError, match="move the model to cuda before it is rounded"):
        reader.to("cuda")

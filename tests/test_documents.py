"""Every command and every piece of Python in the documents is one which there is.

Command lines are read by the parsers of their programs, and values by what reads them in a run. What needs neither data
nor long is run here; of every other command a test elsewhere is named which runs it.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import typer
from documents import ROOT, Line, blocks, command_lines, documents, is_python, is_shell, programs, spans
from small_encoders import small_reader
from tiny import tiny
from typer.testing import CliRunner

import regard
from regard.cli.__main__ import app
from regard.cli.finetune import _check_settings
from regard.data.corpus import Corpus
from regard.data.glue import GLUE_TASKS
from regard.data.glue_settings import SETTINGS
from regard.decoding.translator import Translator
from regard.models import MODELS
from regard.models.hugging_face import LAYOUTS
from regard.recipes import recipes
from regard.storage.configuration import configured
from regard.storage.names import require
from regard.text.tokenizer import Tokenizer
from regard.training.finetuning import FineTuningPlan, FineTuningText
from regard.training.language import LanguagePlan, LanguageText
from regard.training.planning import Wishes, source_of
from regard.training.pretraining import PretrainingPlan, PretrainingText
from regard.training.run import parsed_settings, read_run
from regard.training.translation import TranslationPlan, TranslationText

COMMANDS = typer.main.get_command(app).commands
RUN = ("recipes", "patterns")  # which need nothing, as long as they are given no folder
COVERED = {  # the test which runs a command
    "answer": "cli/test_reading.py::test_questions_are_learnt_scored_and_answered",
    "curves": "cli/test_commands.py::test_curves_draws_runs",
    "demo": "cli/test_commands.py::test_demo_trains_both_models_and_draws_what_they_attend_to",
    "embed": "cli/test_reading.py::test_vectors_are_printed_and_written",
    "evaluate": "cli/test_reading.py::test_it_is_evaluated_with_a_table_of_mistakes",
    "fill": "cli/test_reading.py::test_masks_are_filled",
    "finetune": "cli/test_reading.py::reviews",
    "generate": "cli/test_writing.py::test_one_text_is_the_prompt_and_what_comes_after_it",
    "glue": "cli/test_reading.py::test_glue_prints_its_table_over_seeds_and_runs_nothing_twice",
    "info": "cli/test_commands.py::test_info_counts_parameters",
    "patterns": "cli/test_pictures.py::test_patterns_are_drawn_of_papers_and_of_models",
    "predict": "cli/test_reading.py::test_a_tuned_model_predicts_texts_and_files",
    "reach": "cli/test_pictures.py::test_reach_is_drawn_and_measured",
    "report": "cli/test_reports.py::test_the_command_writes_the_report",
    "score": "cli/test_writing.py::test_a_score_has_its_counts",
    "serve": "serving/test_process.py::served",
    "squad": "cli/test_reading.py::test_questions_are_learnt_scored_and_answered",
    "train": "cli/test_commands.py::folder",
    "translate": "cli/test_commands.py::test_translate_gives_one_line_for_each_line_in_order",
    "tune": "cli/test_commands.py::test_tune_keeps_a_length_penalty_which_all_commands_use",
    "view": "cli/test_commands.py::test_view_writes_one_page",
}
TEXTS = {"text": "the film", "options": ["was good", "ended"], "question": "what was it", "context": "the day was dull"}


def _lines() -> list[Line]:
    """All command lines: of documents, of the texts of lessons and exercises, and of the commands' own help."""
    paths = [*documents(), *programs()]
    found = [(block.text, block.place) for path in paths for block in blocks(path) if is_shell(block)]
    helps = [(command.help or "", f"regard {name} --help") for name, command in COMMANDS.items()]
    return [line for text, place in [*found, *helps] for line in command_lines(text, place)]


LINES = _lines()


def _regard(line: Line) -> tuple[str, ...] | None:
    """What regard is given in a command line, be it behind a launcher of several processes."""
    if line.program == "regard":
        return line.arguments
    if line.program in ("accelerate", "torchrun") and "regard" in line.arguments:
        return line.arguments[line.arguments.index("regard") + 1 :]
    return None


REGARD = [(line.place, given) for line in LINES if (given := _regard(line)) is not None]


def _parsed(given: tuple[str, ...]) -> tuple[str, dict]:
    """The command of a command line, and its parameters."""
    name, *arguments = given
    require("command", name, COMMANDS)
    return name, COMMANDS[name].make_context(name, arguments).params


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("regard train a --out b   # it's a comment", [("train", "a", "--out", "b")]),
        ("$ regard train a \\\n    --out 'b c'", [("train", "a", "--out", "b c")]),
        ("echo 'a | b' | regard translate runs/m > out.txt", [("translate", "runs/m")]),
        (
            "REGARD_DATA=data regard glue && regard report runs/a; regard --version",
            [("glue",), ("report", "runs/a"), ("--version",)],
        ),
        ("for a in x y; do\n  regard tune runs/$a\ndone", [("tune", "runs/x"), ("tune", "runs/y")]),
        ("regard/data   what regard reads\nit's regard's own\nregard", []),
    ],
)
def test_command_lines_are_found_as_a_shell_reads_them(text, arguments):
    assert [line.arguments for line in command_lines(text, "") if line.program == "regard"] == arguments


def test_a_wrong_command_line_is_found_out():
    with pytest.raises(ValueError, match="did you mean 'train'"):
        _parsed(("trian", "dates-transformer"))
    with pytest.raises(Exception, match="No such option: --outt"):
        _parsed(("train", "dates-transformer", "--outt", "runs/a"))
    with pytest.raises(ValueError, match="did you mean 'dates-transformer'"):
        _check_train(_parsed(("train", "date-transformer", "--out", "runs/a"))[1])
    with pytest.raises(ValueError, match="unknown key 'step'"):
        _check_train(_parsed(("train", "dates-transformer", "--out", "runs/a", "--set", "plan.step=3"))[1])


def test_there_are_commands_in_the_documents():
    named = {given[0] for place, given in REGARD if not place.startswith("regard ")}
    assert {"train", "finetune", "predict", "glue", "squad", "serve", "generate"} <= named


@pytest.mark.parametrize(("place", "given"), REGARD, ids=[f"{place} {' '.join(given)}" for place, given in REGARD])
def test_a_command_line_is_one_which_regard_takes(place, given, monkeypatch):
    monkeypatch.setattr("regard.reading.pretrained.find_model", Path)  # folders of documents are not here
    if given[0].startswith("-"):
        assert given[0] in [name for one in typer.main.get_command(app).params for name in one.opts]
        return
    name, values = _parsed(given)
    if name in CHECKS:
        CHECKS[name](values)


def _check_train(values: dict) -> None:
    """A recipe there is, or a file; and settings which it takes."""
    if values["run"] and not values["run"].endswith(".toml"):
        require("recipe", values["run"], recipes())
        with TemporaryDirectory() as folder:
            if first := values["model"]:  # a directory which is called as its kind, in the published size
                about = LAYOUTS[first].write_config(dataclasses.asdict(next(iter(MODELS[first].sizes.values()))))
                (Path(folder) / "config.json").write_text(json.dumps(about))
            read_run(values["run"], values["settings"] or (), folder if first else "")
        return
    kinds = {
        "plan": (FineTuningPlan, LanguagePlan, PretrainingPlan, TranslationPlan),
        "text": (FineTuningText, LanguageText, PretrainingText, TranslationText),
    }
    for table, inner in parsed_settings(values["settings"] or ()).items():
        for key in inner:
            require(f"key of {table}", key, {key for kind in kinds[table] for key in kind.__dataclass_fields__})


def _check_finetune(values: dict) -> None:
    """Files of known kinds, and settings which are taken."""
    settings = parsed_settings(values["settings"] or ())
    configured(FineTuningPlan, settings.get("plan", {}), "plan")
    configured(FineTuningText, settings.get("text", {}), "text")
    _check_settings(settings, values["validation"])
    Wishes(values["epochs"], values["warmup"])
    columns = {name: values[name] for name in ("text", "pair", "label")} | {"options": tuple(values["options"] or ())}
    for name in ("train", "validation"):
        if values[name]:
            source_of(values[name], values["task"], columns, settings.get(name), name)


def _check_glue(values: dict) -> None:
    """Tasks and settings there are."""
    for task in filter(None, values["tasks"].split(",")):
        require("task", task, GLUE_TASKS)
    require("settings", values["settings"] or "bert", SETTINGS)


def _check_corpus(values: dict) -> None:
    """A text which can be read."""
    Corpus(str(values["file"]), documents=values["documents"], column=values["column"])


CHECKS = {
    "train": _check_train,
    "finetune": _check_finetune,
    "glue": _check_glue,
    "score": _check_corpus,
    "reach": _check_corpus,
}


@pytest.mark.parametrize(("place", "given"), [pair for pair in REGARD if pair[1][0] in RUN])
def test_what_needs_nothing_is_run(place, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, values = _parsed(given)
    if values.get("folder") is not None:
        pytest.skip(f"{values['folder']} is trained; {COVERED[name]} runs the command")
    result = CliRunner().invoke(app, list(given))
    assert result.exit_code == 0, result.output
    assert "out" not in values or (tmp_path / values["out"]).is_file()


def _body(test: str) -> str:
    """The lines of a test, or of what it is given.

    Raises:
        StopIteration: if there is none.
    """
    file, _, name = test.partition("::")
    source = (ROOT / "tests" / file).read_text("utf-8")
    node = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name)
    return ast.get_source_segment(source, node) or ""


@pytest.mark.parametrize("name", sorted({given[0] for _, given in REGARD if given[0] in COMMANDS} - set(RUN)))
def test_every_other_command_is_run_by_a_test(name):
    if name in COVERED:
        assert re.search(rf"\b{name}\b", _body(COVERED[name]))
        return
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    assert any(f'"{name}"' in path.read_text("utf-8") for path in tests), f"name a test which runs {name} in COVERED"


@pytest.mark.parametrize("line", [line for line in LINES if line.program in ("accelerate", "torchrun")])
def test_a_launcher_takes_its_options(line):
    if line.program == "torchrun":
        from torch.distributed.run import get_args_parser

        assert get_args_parser().parse_args(list(line.arguments)).training_script == "regard"
    elif line.arguments[0] == "launch":
        from accelerate.commands.launch import launch_command_parser

        found = launch_command_parser().parse_args(list(line.arguments[1:]))
        assert found.training_script == "regard"
        assert found.module


def test_every_target_of_make_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.arguments[0] for line in LINES if line.program == "make" and line.arguments}
    assert {"demo", "test"} <= named <= targets


def test_every_extra_which_is_installed_is_there():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        extra
        for line in LINES
        if line.program == "pip"
        for extras in re.findall(r"\[([\w,]+)\]", " ".join(line.arguments))
        for extra in extras.split(",")
    }
    assert {"hub", "serve", "minilm"} <= named <= set(about)


def test_every_command_which_a_sentence_names_is_there():
    for path in [*documents(), *programs()]:
        if path.name == "CHANGELOG.md":  # which may tell of what is gone
            continue
        for place, text in spans(path):
            word, *rest = [*text.split(), ""]
            if word == "regard" and re.fullmatch(r"[a-z]+", rest[0]):
                assert rest[0] in COMMANDS, f"{place}: there is no command `{text}`"


PYTHON = [block for path in documents() for block in blocks(path) if is_python(block)]


@pytest.mark.parametrize("block", PYTHON, ids=[block.place for block in PYTHON])
def test_python_in_documents_names_what_there_is(block):
    _resolve(ast.parse(block.text), block.place)


def test_calls_in_sentences_are_ones_which_can_be_made():
    for path in documents():
        for place, text in spans(path):
            if text.startswith("regard.") and "..." not in text:
                try:
                    tree = ast.parse(text)
                except SyntaxError:  # not Python
                    continue
                _resolve(tree, place)


def _resolve(tree: ast.AST, place: str) -> None:
    """Import what is imported, look up what is taken from regard, and see whether its functions take what they get."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                _module(one.name)
        elif isinstance(node, ast.ImportFrom) and (module := _module(node.module or "")) is not None:
            for one in node.names:
                assert hasattr(module, one.name) or find_spec(f"{node.module}.{one.name}"), f"{place}: no {one.name}"
        elif isinstance(node, ast.Attribute):
            _named(node, place)
        elif isinstance(node, ast.Call) and inspect.isfunction(function := _named(node.func, place)):
            named = {one.arg: None for one in node.keywords if one.arg}
            inspect.signature(function).bind_partial(*[None] * len(node.args), **named)


def _module(name: str):
    """A module of regard, or another which is installed; of others only the environment can tell."""
    if name.partition(".")[0] == "regard" or find_spec(name.partition(".")[0]) is not None:
        return importlib.import_module(name) if name.partition(".")[0] in ("regard", "numpy", "torch") else None
    return None


def _named(node: ast.AST, place: str):
    """What a dotted name below `regard` stands for; None of any other."""
    if isinstance(node, ast.Name):
        return regard if node.id == "regard" else None
    if not isinstance(node, ast.Attribute) or (owner := _named(node.value, place)) is None:
        return None
    if inspect.ismodule(owner) and not hasattr(owner, node.attr):
        return importlib.import_module(f"{owner.__name__}.{node.attr}")
    assert hasattr(owner, node.attr), f"{place}: {owner.__name__} has no {node.attr}"
    return getattr(owner, node.attr)


HEADS = {"predict": "classification", "tag": "tagging", "choose": "choice", "answer": "span", "fill": "masked"}


class Everything:
    """A reader with the head which each use needs."""

    def __getattr__(self, use: str):
        head = HEADS.get(use, "")
        return getattr(small_reader("bert", head, ("A", "B") if use in ("predict", "tag") else ()), use)


def _loaded(folder: str):
    """A small model of the kind which a document has in a folder."""
    if folder == "runs/reviews":
        return Everything()
    words = Tokenizer.train(["de_CH 3. März 1998", "1998-03-03"], kind="characters")
    return Translator(tiny("transformer", words=words.size), words, words)


RUNS = [block for block in PYTHON if re.search(r'regard\.load\("runs/(demo/transformer|dates|reviews)"\)', block.text)]


@pytest.mark.parametrize("block", RUNS, ids=[block.place for block in RUNS])
def test_python_which_uses_a_model_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(regard, "load", _loaded)
    exec(compile(block.text, block.place, "exec"), {"regard": regard, **TEXTS})

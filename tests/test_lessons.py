"""Lessons tell only what they have computed: their form is checked always, and what they say where time allows."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent / "lessons"
LESSONS = sorted(HOME.glob("[0-9][0-9]_*.py"))
TOLD = {"attention", "bars", "begin", "claim", "curves", "figure", "heat", "question", "table", "tell"}

# Where a number may stand which is not computed: in formulae, addresses, places in papers, names, and years.
EXEMPT = re.compile(
    r"""\$\$.*?\$\$ | \$.*?\$
    | \]\([^)]*\)
    | \b(?i:section|equation|table|figure|appendix|page|chapter|algorithm)s?\ [A-Z]?\d[\d.]*
      (?:(?:,\ |\ and\ |–)\d[\d.]*)*
    | \bISO\ 8601
    | \b[A-Za-z_][\w.-]*
    | (?<=[(]) (?:19|20)\d\d (?=[),;]) | (?<=al[.]\ ) (?:19|20)\d\d | (?<=\b[Ii]n\ ) (?:19|20)\d\d""",
    re.VERBOSE | re.DOTALL,
)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """What a lesson calls by a plain name, in the order of the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def words(node: ast.AST) -> Iterator[str]:
    """Every text and number below a node which is told as it stands in the file, not computed."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword) and child.arg == "form":  # of numbers, such as .2f
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
        elif isinstance(child, ast.Constant) and isinstance(node, ast.List | ast.Tuple | ast.Dict):
            yield str(child.value)
        elif isinstance(child, ast.Call | ast.List | ast.Tuple | ast.Dict | ast.JoinedStr | ast.BinOp | ast.keyword):
            yield from words(child)


lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def test_lessons_are_numbered_in_order():
    assert [int(path.stem[:2]) for path in LESSONS] == list(range(1, len(LESSONS) + 1))


@lesson
def test_a_lesson_begins_with_the_answer_in_three_sentences(path):
    opened = [call for name, call in calls(path) if name == "begin"]
    assert len(opened) == 1
    told = [call for name, call in calls(path) if name in TOLD]
    assert min(call.lineno for call in told) == opened[0].lineno
    asked, *sentences = (ast.literal_eval(argument) for argument in opened[0].args)
    assert asked.endswith("?")
    assert len(sentences) == 3
    for sentence in sentences:
        assert sentence.endswith(".")
        assert not re.search(r"[.?!] [A-Z]", sentence), f"more than one sentence: {sentence}"


@lesson
def test_a_lesson_ends_with_three_questions(path):
    asked = [call for name, call in calls(path) if name == "question"]
    assert len(asked) == 3
    assert all(ast.literal_eval(call.args[0]).endswith("?") for call in asked)
    others = [call.lineno for name, call in calls(path) if name in TOLD - {"question"}]
    assert min(call.lineno for call in asked) > max(others)


@lesson
def test_what_a_lesson_claims_is_computed(path):
    for name, call in calls(path):
        if name in ("claim", "question"):
            holds = call.args[-1]
            names = {node.id for node in ast.walk(holds) if isinstance(node, ast.Name)}
            assert names, f"line {call.lineno}: nothing is computed by {ast.unparse(holds)}"
        if name == "tell":
            told = call.args[0]
            assert isinstance(told, ast.Constant), f"line {call.lineno}: what is computed is told by claim"


@lesson
def test_a_lesson_writes_no_number_which_it_has_not_computed(path):
    for name, call in calls(path):
        if name in TOLD:
            for text in words(call):
                left = EXEMPT.sub("", text)
                found = re.search(r".{0,30}\d.{0,30}", left)
                assert not found, f"line {call.lineno}: {found and found[0]!r}"


@lesson
def test_a_cell_tells_or_computes(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text), "a control character; a formula needs a raw string"
    for cell in text.split("# %%")[1:]:
        lines = ast.parse(cell).body
        telling = [line for line in lines if _called(line) in TOLD | {"source"}]
        assert not telling or telling == lines, f"a cell tells and computes: {ast.unparse(telling[0])[:200]}"


def _called(line: ast.stmt) -> str:
    """The plain name which a statement calls."""
    is_call = isinstance(line, ast.Expr) and isinstance(line.value, ast.Call) and isinstance(line.value.func, ast.Name)
    return line.value.func.id if is_call else ""


@lesson
def test_the_lines_which_a_lesson_shows_are_in_the_library(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    homes = {
        (alias.asname or alias.name): (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    shown = [argument for name, call in calls(path) if name == "source" for argument in call.args]
    assert shown
    for argument in shown:
        first, *rest = ast.unparse(argument).split(".")
        module, name = homes[first]
        assert module.split(".")[0] == "regard"
        found = getattr(importlib.import_module(module), name)
        for part in rest:
            found = getattr(found, part)
        assert inspect.getsource(inspect.unwrap(found))


@pytest.mark.parametrize(
    ("text", "is_exempt"),
    [
        ("Vaswani et al. (2017), section 3.2.1, equation 1, GPT-2, $d_k = 64$", True),
        ("tables 1 and 2, [paper](https://arxiv.org/abs/1706.03762), ISO 8601, `encoder.0.attention`", True),
        ("it reads 98 % of dates", False),
        ("after 2000 steps", False),
        ("`64`", False),
        ("3.5 times as fast", False),
    ],
)
def test_numbers_are_told_from_names(text, is_exempt):
    assert (re.search(r"\d", EXEMPT.sub("", text)) is None) == is_exempt


@pytest.mark.slow
@lesson
def test_what_a_lesson_says_holds(path, tmp_path, monkeypatch):
    monkeypatch.setenv("REGARD_LESSON_FOLDER", str(tmp_path))
    monkeypatch.delenv("REGARD_DATA", raising=False)
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert "Three questions" in result.stdout
    assert any(tmp_path.iterdir())

"""Who may import whom: a package may import those of the floors below. This table is the document."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "regard"
FLOORS = [
    {"attention", "text", "storage", "recipes"},
    {"layers", "data"},
    {"models"},
    {"objectives", "decoding", "reading"},
    {"evaluate", "visualise"},
    {"training", "serving"},
    {"compare"},
    {"cli"},
]
SIDEWAYS = {("text", "storage"), ("reading", "decoding")}  # the only edges within a floor
MODELS_BY_NAME = {  # floors above know models by their protocols, but for these files
    "compare/comparison.py": {"regard.models"},
    "compare/contestants.py": {"regard.models"},
    "compare/running.py": {"regard.models.parameters"},
    "decoding/translator.py": {"regard.models.directory", "regard.models.saved"},
    "decoding/writer.py": {"regard.models.directory", "regard.models.saved"},
    "reading/directory.py": {"regard.models", "regard.models.directory"},
    "reading/embedding.py": {"regard.models.directory"},
    "reading/packed.py": {"regard.models.directory", "regard.models.heads", "regard.models.saved"},
    "training/beginning.py": {
        "regard.models",
        "regard.models.directory",
        "regard.models.parameters",
        "regard.models.saved",
    },
    "training/finetuning.py": {
        "regard.models",
        "regard.models.directory",
        "regard.models.heads",
        "regard.models.parameters",
        "regard.models.saved",
    },
    "training/language.py": {"regard.models"},
    "training/loop.py": {"regard.models.parameters"},
    "training/plan.py": {"regard.models"},
    "training/planning.py": {"regard.models", "regard.models.directory", "regard.models.heads"},
    "training/pretraining.py": {
        "regard.models",
        "regard.models.directory",
        "regard.models.heads",
        "regard.models.parameters",
        "regard.models.saved",
    },
    "training/run.py": {"regard.models"},
    "training/translation.py": {"regard.models"},
}
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Modules of ours which a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.split(".")[0] == "regard"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_imports_from_above(path):
    place = path.relative_to(PACKAGE).as_posix()
    own = place.split("/")[0]
    if own in ("__init__.py", "__main__.py", "cli"):
        return  # the public face and the command line join all
    for module in imports(path):
        other = [*module.split("."), ""][1]
        edge = f"regard/{place} imports {module}"
        if other == own or (own, other) in SIDEWAYS:
            continue
        assert other in FLOOR, edge
        assert FLOOR[other] < FLOOR[own], edge
        if other == "models" and module != "regard.models.protocols":
            assert module in MODELS_BY_NAME.get(place, set()), edge


def test_every_package_has_its_floor_and_every_exception_is_used():
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages <= set(FLOOR)
    for place, modules in MODELS_BY_NAME.items():
        assert modules <= imports(PACKAGE / place), place
    for own, other in SIDEWAYS:
        edges = {module.split(".")[1] for path in (PACKAGE / own).rglob("*.py") for module in imports(path)}
        assert other in edges


def test_the_architecture_names_every_module_once():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = re.split(r"\n(?=\w)", text.split("## The modules")[1].split("```")[1])
    tree = next(folder for folder in folders if folder.startswith("regard/")).split("\n  ")
    starts = [number for number, line in enumerate(tree) if re.match(r"\w+/ ", line)]
    named = {}
    for start, end in zip(starts, [*starts[1:], len(tree)], strict=True):
        names = re.findall(r"(\w+)\.py\b", "\n".join(tree[start:end]))
        assert len(names) == len(set(names)), f"{tree[start]}: {names}"
        named[tree[start].split("/")[0]] = set(names) - {"__init__"}
    there = {
        package: {path.stem for path in (PACKAGE / package).glob("*.py")} - {"__init__"} for package in sorted(FLOOR)
    }
    assert named == there


def test_importing_regard_imports_nothing_heavy():
    heavy = "torch", "numpy", "tokenizers", "matplotlib", "babel"
    code = f"import sys, regard; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

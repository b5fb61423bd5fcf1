"""The form which the course asks of its files, in the exercises and in the lessons."""

import ast
import os
from pathlib import Path

import pytest

pycodestyle = pytest.importorskip("pycodestyle", reason="pycodestyle is not installed; pip install -e '.[develop]'")

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ["course", "lessons"]  # each if it is there
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())


def test_there_is_one_file_for_each_task():
    assert sorted(path.name for path in (ROOT / "course").glob("*.py")) == sorted(
        [
            "0-rnn_encoder.py",
            "1-self_attention.py",
            "2-rnn_decoder.py",
            "4-positional_encoding.py",
            "5-sdp_attention.py",
            "6-multihead_attention.py",
            "7-transformer_encoder_block.py",
            "8-transformer_decoder_block.py",
            "9-transformer_encoder.py",
            "10-transformer_decoder.py",
            "11-transformer.py",
        ]
    )


@every_file
def test_first_line_last_line_and_permission(path):
    content = path.read_bytes()
    assert content.split(b"\n")[0] == b"#!/usr/bin/env python3"
    assert content.endswith(b"\n")
    assert os.access(path, os.X_OK), f"chmod +x {path}"


@every_file
def test_style(path, capsys):
    faults = pycodestyle.StyleGuide(max_line_length=79).check_files([str(path)]).total_errors
    assert not faults, capsys.readouterr().out


@every_file
def test_every_module_class_and_function_is_documented(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            text = ast.get_docstring(node) or ""
            assert len(text.split()) > 2, f"{path.name}: {getattr(node, 'name', 'the module')} says {text!r}"

"""The TensorFlows under which the course's exercises are tested, each in a process of its own which is started once."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np

HERE = Path(__file__).parent
COURSE = HERE.parent.parent / "course"
HOW = (
    "python3.7 -m venv old && old/bin/pip install 'tensorflow==1.15.*' 'protobuf<3.21', "
    "and REGARD_PYTHON37=old/bin/python names it"
)
VERSION = "import pkg_resources; print(pkg_resources.get_distribution('tensorflow').version)"


class Missing(Exception):
    """There is no such TensorFlow, and why."""


class TensorFlow:
    """A process which runs code, with the exercises on its path.

    Args:
        python: its interpreter.
        folder: where what goes there and back is written.
    """

    def __init__(self, python: str, folder: Path):
        self.folder, self._log = folder, open(folder / "log", "w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, str(HERE / "driver.py"), str(COURSE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def __call__(
        self, code: str, *, weights: dict[str, list[np.ndarray]] | None = None, **given
    ) -> dict[str, np.ndarray]:
        """Run code which is given tensors by their names; what it has given a name comes back as arrays.

        Raises:
            AssertionError: if the code fails, with its traceback.
        """
        arrays = {f"weights/{path}/{n}": x for path, parts in (weights or {}).items() for n, x in enumerate(parts)}
        text, inputs, outputs = (self.folder / name for name in ("code.py", "given.npz", "found.npz"))
        text.write_text(code, encoding="utf-8")
        np.savez(inputs, **arrays, **given)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(text), str(inputs), str(outputs)]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise AssertionError(f"TensorFlow has ended:\n{self._log.read()[-5000:]}")
        failure = json.loads(line)
        assert failure is None, f"{code}\n{failure}"
        with np.load(outputs) as found:
            return {name: found[name] for name in found.files}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._process.communicate()
        self._log.close()


def interpreter(version: str) -> str:
    """The Python which has TensorFlow of this version, "2" or "1.15".

    Raises:
        Missing: with what to install.
        ValueError: if REGARD_PYTHON37 names one which has not.
    """
    if version == "2":
        if find_spec("tensorflow") is None:
            raise Missing("TensorFlow is not installed: pip install --constraint constraints.txt -e '.[course]'")
        return sys.executable
    named = os.environ.get("REGARD_PYTHON37")
    python = named or shutil.which("python3.7")
    if python is None:
        raise Missing(f"no python3.7 on PATH and no REGARD_PYTHON37: {HOW}")
    asked = subprocess.run([python, "-c", VERSION], capture_output=True, text=True)
    if asked.returncode == 0 and asked.stdout.startswith("1.15"):
        return python
    reason = f"{python} has no TensorFlow 1.15: {HOW}"
    raise ValueError(reason) if named else Missing(reason)

"""The log of a run."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

WRITE = """
import sys
from pathlib import Path
from regard.training.log import Log
log = Log(Path("."), 0, writes=True)
log.add(1, loss=2.5)
log.close()
print("tensorflow" in sys.modules)
"""


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed; pip install -e '.[course]'")
def test_curves_are_written_without_starting_tensorflow(tmp_path):
    run = subprocess.run([sys.executable, "-c", WRITE], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
    assert list((tmp_path / "curves").glob("events.*"))

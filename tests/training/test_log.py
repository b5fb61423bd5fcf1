"""The log of a run."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from regard.training.log import MEASURES, Log, read_measures

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


def test_a_last_line_of_measures_which_a_kill_cut_short_is_left_out(tmp_path):
    path = tmp_path / MEASURES
    for end in ("", '{"step": 2', "{"):
        path.write_text('{"step": 1, "loss": 2.0}\n' + end)
        assert read_measures(path) == [{"step": 1, "loss": 2.0}]


@pytest.mark.parametrize("damage", ['{"step": 2', "", "7", '{"loss": 1.0}'])
def test_a_damaged_line_before_the_last_is_named_and_nothing_after_it_is_dropped(tmp_path, damage):
    path = tmp_path / MEASURES
    text = '{"step": 1}\n' + damage + '\n{"step": 3}\n'
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"{MEASURES}:2 is no line of measures, .*; delete the line"):
        Log(tmp_path, 9, writes=True)
    assert path.read_text() == text

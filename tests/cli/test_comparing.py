"""`regard compare` as a user meets it."""

import json
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from regard.cli.__main__ import app

SETTINGS = [
    *("train.count=150", "validation.count=12", "test.count=2", "plan.tokens=300", "plan.pool=40", "model.width=16"),
    *("plan.best=loss", "plan.validate_sentences=0", "plan.steps=100", "plan.warmup=10", "plan.validate_every=50"),
]
ARGUMENTS = ["dates-transformer", "dates-rnnsearch", "--budget", "1.5ktokens"]
ARGUMENTS += [part for setting in SETTINGS for part in ("--set", setting)]


def run(*arguments: str):
    """Run the command in this process."""
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A comparison which is done."""
    place = tmp_path_factory.mktemp("comparisons") / "dates"
    result = run(*ARGUMENTS, "--seeds", "2", "--out", place)
    assert result.exit_code == 0, result.output
    return place, result


def test_a_comparison_prints_its_table_and_who_is_better(folder):
    place, result = folder
    assert "After 1.5ktokens of training each: medians of 2 seeds, and in brackets the range" in result.stdout
    assert "dates-transformer: " in result.stdout
    assert "dates-rnnsearch: " in result.stdout
    assert "is worse than" in result.stdout or "cannot be told apart from" in result.stdout
    assert result.stdout.strip().endswith(str(place / "comparison.html"))
    assert "dates-rnnsearch, seed 2 (4 of 4)" in result.stderr


def test_its_folder_has_the_page_the_json_and_model_directories(folder):
    place, _ = folder
    names = {"comparison.html", "comparison.json", "comparison.toml", "runs", "shared"}
    assert {path.name for path in place.iterdir()} == names
    result = CliRunner().invoke(app, ["info", str(place / "runs" / "dates-rnnsearch-1")])
    assert "model: rnnsearch" in result.output


def test_it_goes_on_by_its_folder_alone(folder):
    place, _ = folder
    before = (place / "comparison.json").read_text()
    result = run("--out", place, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(before)
    assert "seed 1 (1 of 4)" not in result.stderr  # nothing is trained


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b"], "say where the comparison goes"),
        (["--out", "nowhere"], "there is no comparison in nowhere"),
        (["--out", "nowhere", "--budget", "1min"], "say who competes"),
        (["dates-transformer", "dates-rnnsearch", "--out", "x", "--budget", "10"], "a number and a unit"),
        (["dates-transformer", "gpt2:tiny", "--out", "x", "--budget", "1min"], "contestants must do the same"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_signal_stops_it_so_that_the_same_command_goes_on(tmp_path):
    arguments = ["12ktokens" if one == "1.5ktokens" else one for one in ARGUMENTS]  # long enough to be stopped
    command = [sys.executable, "-m", "regard", "compare", *arguments, "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "dates-transformer, seed 1 (1 of 2): step" in line:
                time.sleep(0.05)
                process.send_signal(signal.SIGTERM)
                break
        said += process.stderr.read()
        assert process.wait(60) == 128 + signal.SIGTERM, said
    assert "stopped by SIGTERM after step" in said
    assert "the same command goes on from there" in said
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert "After 12ktokens of training each: one seed" in again.stdout


def test_two_processes_share_the_runs_and_both_give_the_whole(tmp_path, folder):
    command = [sys.executable, "-m", "regard", "compare", *ARGUMENTS, "--seeds", "2", "--out", str(tmp_path / "out")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    said = "".join(error for _, error in ended)
    for number in range(1, 5):
        assert said.count(f"({number} of 4): measuring") == 1
    found, wanted = (json.loads((place / "comparison.json").read_text()) for place in (tmp_path / "out", folder[0]))
    for one, other in zip(found["runs"], wanted["runs"], strict=True):
        assert one["measures"] == pytest.approx(other["measures"], rel=1e-5)  # sums of another number of threads
    assert all("comparison.html" in out for out, _ in ended)

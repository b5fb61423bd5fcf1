"""Two gloo processes on the CPU train as one would."""

import json
import os
import shutil
import signal
import time
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_runs import ended, launch, launch_several, outcome, small

from regard.training.checkpoint import checkpoints
from regard.training.loop import train

PLAN = {"steps": 4, "save_every": 2, "validate_every": 4, "validate_sentences": 1, "workers": 0}
SHARDED = {"ACCELERATE_USE_FSDP": "true"}


def losses(folder, rank: int) -> list[dict[str, float]]:
    """What a process said of its updates."""
    lines = folder.with_name(f"{folder.name}.{rank}.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def without_dropout(**plan):
    run = small("transformer", **{**PLAN, **plan})
    return replace(run, model={**run.model, "dropout": 0.0})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two replicating and two sharding processes, with dropout, which nobody stopped."""
    folder = tmp_path_factory.mktemp("several")
    run = small("transformer", **PLAN)
    for name, environment in (("replicated", {}), ("sharded", SHARDED)):
        processes = launch_several(run, folder / name, 2, environment=environment, kill=("losses", None))
        assert ended(*processes) == [0, 0], [(folder / f"{name}.{rank}.log").read_text() for rank in (0, 1)]
    return folder


@pytest.mark.parametrize(("name", "environment"), [("replicated", {}), ("sharded", SHARDED)])
def test_killed_processes_end_as_if_they_never_stopped(tmp_path, whole, name, environment):
    run, folder = small("transformer", **PLAN), tmp_path / "run"
    assert ended(*launch_several(run, folder, 2, environment=environment, kill=("step", 3))) == [-9, -9]
    assert ended(*launch_several(run, folder, 2, environment=environment, resume=True)) == [0, 0]
    found, wanted = outcome(folder), outcome(whole / name)
    assert [part for part in wanted if found.get(part) != wanted[part]] == []
    assert {"random-0.safetensors", "random-1.safetensors"} <= found.keys()


@pytest.mark.parametrize("name", ["replicated", "sharded"])
def test_processes_agree_on_the_loss(whole, name):
    first, second = losses(whole / name, 0), losses(whole / name, 1)
    assert len(first) == 4
    assert first == second


@pytest.mark.parametrize("name", ["replicated", "sharded"])
def test_only_the_main_process_speaks_and_measures(whole, name):
    assert "validation" in (whole / f"{name}.0.log").read_text()
    assert "validation" not in (whole / f"{name}.1.log").read_text()
    assert len(list((whole / name / "curves").iterdir())) == 1
    steps = [json.loads(line)["step"] for line in (whole / name / "measures.jsonl").read_text().splitlines()]
    assert steps == [1, 4]


def test_sharded_processes_train_as_replicated_ones(whole):
    one, other = (load_file(whole / name / "model.safetensors") for name in ("replicated", "sharded"))
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=0)  # sums of another order, through Adam


@pytest.mark.parametrize("environment", [{}, SHARDED], ids=["replicated", "sharded"])
def test_two_processes_have_the_gradient_of_one_which_accumulates_twice_as_much(tmp_path, environment):
    # One step of plain descent at rate 1 takes the gradient from the weights.
    plan = {"steps": 1, "optimiser": "sgd", "schedule": "constant", "warmup": 0, "rate": 1.0, "clip": 0.0}
    several, one = tmp_path / "several", tmp_path / "one"
    run = without_dropout(**plan, accumulate=2)
    assert ended(*launch_several(run, several, 2, environment=environment)) == [0, 0]
    train(without_dropout(**plan, accumulate=4), one)
    found, wanted = (load_file(checkpoints(f / "checkpoints")[-1] / "model.safetensors") for f in (several, one))
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], atol=1e-6, rtol=0)


def test_processes_agree_on_how_long_patience_lasts(tmp_path):
    """Only the main one measures; the others must not take an improving model for one which does not improve."""
    run = without_dropout(steps=8, validate_every=2, save_every=8, patience=2, best="loss")
    assert ended(*launch_several(run, tmp_path / "run", 2)) == [0, 0]
    assert [folder.name for folder in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000008"]


@pytest.mark.slow
def test_three_processes_add_up_in_the_same_order_after_a_resumption(tmp_path):
    run = small("transformer", **{**PLAN, "steps": 8, "save_every": 4})
    assert ended(*launch_several(run, tmp_path / "whole", 3)) == [0, 0, 0]
    assert ended(*launch_several(run, tmp_path / "run", 3, kill=("step", 6))) == [-9, -9, -9]
    assert ended(*launch_several(run, tmp_path / "run", 3, resume=True)) == [0, 0, 0]
    found, wanted = outcome(tmp_path / "run"), outcome(tmp_path / "whole")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_in_one_and_says_that_it_is_not_the_same(tmp_path, whole):
    for name in ("replicated", "sharded"):
        folder = shutil.copytree(whole / name, tmp_path / name)
        assert ended(launch(small("transformer", **{**PLAN, "steps": 6}), folder, resume=True)) == [0]
        assert "had 2 processes and now has 1" in (tmp_path / f"{name}.0.log").read_text()


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_of_them(tmp_path):
    run = small("transformer", **{**PLAN, "steps": 100000, "save_every": 100000})
    processes = launch_several(run, tmp_path / "run", 2, kill=("say", None))
    until, log = time.monotonic() + 90, tmp_path / "run.1.log"
    while time.monotonic() < until and not (log.exists() and "at 3\n" in log.read_text()):
        time.sleep(0.1)
    os.kill(processes[1].pid, signal.SIGTERM)
    assert ended(*processes) == [143, 143]
    assert len(checkpoints(tmp_path / "run" / "checkpoints")) == 1


def test_more_processes_than_accelerate_finds_are_refused(monkeypatch, tmp_path):
    alone = Accelerator()
    monkeypatch.setattr("regard.training.processes.Accelerator", lambda **_: alone)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes were launched, but accelerate found 1"):
        train(small(), tmp_path / "run")

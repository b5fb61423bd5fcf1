"""A run which was stopped, however that happened, ends as one which never was."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from small_runs import ended, launch, outcome, small, train_until, written

import regard
from regard.decoding.translator import save_search
from regard.training.checkpoint import checkpoints, read_state
from regard.training.log import read_measures
from regard.training.loop import train
from regard.training.run import read_run
from regard.training.translation import TranslationText

TEXT = Path(tempfile.mkdtemp()) / "text"
RUNS = {
    "transformer": small("transformer", steps=9, accumulate=2, workers=2, average=2, keep=1),
    "rnnsearch": small("rnnsearch", optimiser="adadelta", schedule="constant", rate=1.0),
    "sgd": small("encoder-decoder", optimiser="sgd", divide="sentences"),
    "gpt2": written(TEXT, "gpt2", reading="documents", workers=2, average=2),
    "transformer-xl": written(TEXT, "transformer-xl", reading="segments", accumulate=2),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcomes of runs which nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    statuses = ended(*(launch(run, folder / name) for name, run in RUNS.items()))
    assert statuses == [0] * len(RUNS), [(folder / f"{name}.0.log").read_text() for name in RUNS]
    return {name: outcome(folder / name) for name in RUNS}


@pytest.mark.parametrize(
    ("name", "kill"),
    [
        ("transformer", ("step", 2)),  # before the first checkpoint
        ("transformer", ("step", 7)),  # in the middle of an epoch, between checkpoints
        ("transformer", ("file", "model.safetensors")),  # while a checkpoint is written
        ("rnnsearch", ("file", "optimiser.safetensors")),
        ("sgd", ("step", 11)),
        ("gpt2", ("step", 6)),
        ("transformer-xl", ("step", 7)),  # with the memory of what was read
        ("transformer-xl", ("file", "memory-0.safetensors")),
    ],
    ids=str,
)
def test_a_killed_run_ends_as_one_which_never_stopped(tmp_path, whole, name, kill):
    folder = tmp_path / "run"
    assert ended(launch(RUNS[name], folder, kill=kill)) == [-signal.SIGKILL]
    assert ended(launch(RUNS[name], folder, resume=True)) == [0], (tmp_path / "run.0.log").read_text()
    found, wanted = outcome(folder), whole[name]
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def test_a_run_killed_again_and_again_at_any_moment_ends_as_one_which_never_stopped(tmp_path, whole):
    folder, moments = tmp_path / "run", random.Random(3)
    for _ in range(4):
        process = launch(RUNS["transformer"], folder, resume=(folder / "run.toml").exists())
        process.join(moments.uniform(0.5, 2.5))
        if process.exitcode is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    resume = (folder / "run.toml").exists()
    assert ended(launch(RUNS["transformer"], folder, resume=resume)) == [0], (tmp_path / "run.0.log").read_text()
    found, wanted = outcome(folder), whole["transformer"]
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def said(log, what, seconds=60.0):
    """Wait until a process has written something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if log.exists() and what in log.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what!r} was not said in {log.read_text()!r}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_before_it_ends_a_run(tmp_path, whole, number):
    folder, log = tmp_path / "run", tmp_path / "run.0.log"
    process = launch(RUNS["transformer"], folder, kill=("wait", 6))
    said(log, "at 6")
    os.kill(process.pid, number)
    assert ended(process) == [128 + number]
    stopped = checkpoints(folder / "checkpoints")[-1].name
    assert stopped in ("step-00000006", "step-00000007")
    assert f"stopped by {signal.Signals(number).name} after step {int(stopped[-2:])}" in log.read_text()
    assert f"--resume {folder}" in log.read_text()
    assert ended(launch(RUNS["transformer"], folder, resume=True)) == [0]
    assert outcome(folder)["model.safetensors"] == whole["transformer"]["model.safetensors"]


def test_a_second_signal_ends_a_run_at_once(tmp_path):
    code = (
        "import time\n"
        "from regard.training.signals import asked_to_stop\n"
        "with asked_to_stop() as caught:\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        time.sleep(0.01)\n"
        "        if len(caught) == 1: print('once', flush=True); caught.append(0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "once\n"
        process.send_signal(signal.SIGTERM)  # the same request, passed on twice
        time.sleep(1.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


def test_no_worker_outlives_a_killed_run(tmp_path):
    process = launch(RUNS["transformer"], tmp_path / "run", kill=("wait", 3))
    said(tmp_path / "run.0.log", "at 3")
    workers = psutil.Process(process.pid).children()
    process.kill()
    process.join()
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=30)[1] == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a whole run of 4 updates and a checkpoint after each of the last two."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(small(steps=4, save_every=1), folder)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


LONGER = small(steps=6, save_every=1)


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.safetensors", "random-0.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_a_damaged_checkpoint_is_an_error_which_says_what_to_delete(copy, name, damage):
    last = copy / "checkpoints" / "step-00000004"
    if damage == "missing":
        (last / name).unlink()
    else:
        os.truncate(last / name, (last / name).stat().st_size // 2)
    with pytest.raises(ValueError, match=rf"{last} is damaged: .*Delete this folder to go on from step-00000003"):
        train(LONGER, copy, resume=True)
    shutil.rmtree(last)
    train(LONGER, copy, resume=True)
    assert checkpoints(copy / "checkpoints")[-1].name == "step-00000006"


@pytest.mark.parametrize("content", ["{}", "[]", '{"step": 4, "cursor": [0]}'])
def test_a_state_which_lacks_something_is_a_damaged_checkpoint(copy, content):
    (copy / "checkpoints" / "step-00000004" / "state.json").write_text(content)
    with pytest.raises(ValueError, match="step-00000004 is damaged"):
        train(LONGER, copy, resume=True)


def test_a_half_written_checkpoint_is_passed_over_and_removed(copy):
    partial = copy / "checkpoints" / ".step-00000099.partial"
    shutil.copytree(copy / "checkpoints" / "step-00000003", partial)
    (copy / ".model.safetensors.abc.partial").write_text("half")
    train(LONGER, copy, resume=True)
    assert sorted(os.listdir(copy / "checkpoints")) == ["step-00000005", "step-00000006"]
    assert not list(copy.glob(".*.partial"))


def test_a_folder_with_a_run_is_not_begun_again(copy):
    with pytest.raises(ValueError, match="holds a run already; resume it with --resume"):
        train(LONGER, copy)


def test_a_folder_without_a_run_is_not_resumed(tmp_path):
    with pytest.raises(ValueError, match=r"no run to resume in .*run\.toml"):
        train(LONGER, tmp_path, resume=True)


def test_a_run_is_not_resumed_as_one_of_another_model(copy):
    with pytest.raises(ValueError, match=r"holds a run which differs in model\.kind"):
        train(small("rnnsearch"), copy, resume=True)


def test_a_run_is_not_resumed_with_another_validation_set(copy):
    other = replace(LONGER, validation=replace(LONGER.validation, count=5))
    with pytest.raises(ValueError, match=r"holds a run which differs in validation\.count"):
        train(other, copy, resume=True)


def test_a_resumed_run_keeps_the_length_penalty_which_was_chosen(copy):
    save_search(1.4, copy)
    assert train(LONGER, copy, resume=True).length_penalty == 1.4


def test_other_settings_of_a_resumed_run_are_said_and_kept(copy, capfd):
    train(LONGER, copy, resume=True)
    assert "the run goes on with another plan.steps" in capfd.readouterr().err
    assert "steps = 6" in (copy / "run.toml").read_text()


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    first = launch(small(), tmp_path / "run", kill=("wait", 2))
    said(tmp_path / "run.0.log", "at 2")
    try:
        with pytest.raises(ValueError, match="another process trains in"):
            train(small(), tmp_path / "run", resume=True)
    finally:
        first.kill()
        first.join()


def test_a_run_which_cannot_go_on_with_other_settings_still_goes_on_with_its_own(copy):
    before = (copy / "run.toml").read_bytes()
    with pytest.raises(ValueError, match="is not a place in"):
        train(small(steps=6, save_every=1, tokens=100, pool=2000), copy, resume=True)
    assert (copy / "run.toml").read_bytes() == before
    train(LONGER, copy, resume=True)


@pytest.mark.parametrize("optimiser", ["sgd", "adadelta", "adamw"])
def test_a_run_is_not_resumed_with_another_optimiser(copy, optimiser):
    before = (copy / "run.toml").read_bytes()
    with pytest.raises(ValueError, match=rf"plan\.optimiser='adam', which is none of '{optimiser}'; .*--model {copy}"):
        train(small(steps=6, save_every=1, optimiser=optimiser), copy, resume=True)
    assert (copy / "run.toml").read_bytes() == before


@pytest.mark.parametrize("change", [{"tokens": 96}, {"context": 8}, {"reading": "stream"}])
def test_a_run_with_a_memory_is_not_resumed_with_other_lanes(tmp_path, change):
    run = written(TEXT, "transformer-xl", reading="segments", steps=2)
    train(run, tmp_path / "run")
    other = replace(run, plan=replace(run.plan, steps=3, **change))
    name = f"plan.{next(iter(change))}"
    with pytest.raises(ValueError, match=rf"memory laid out by .*another {name} does not fit it.*--model"):
        train(other, tmp_path / "run", resume=True)
    train(replace(run, plan=replace(run.plan, steps=3)), tmp_path / "run", resume=True)


def test_values_of_another_measure_are_not_compared(copy, capfd):
    train(small(steps=6, save_every=1, best="loss"), copy, resume=True)
    assert "the best model was found by bleu: with plan.best='loss' the next is the first" in capfd.readouterr().err
    state = read_state(checkpoints(copy / "checkpoints")[-1])
    assert (state["best_of"], state["best_step"] > 4, state["best"] < 0) == ("loss", True, True)


def test_a_finished_run_keeps_its_weights_when_another_measure_tells(copy):
    before = (copy / "model.safetensors").read_bytes()
    train(small(steps=4, save_every=1, best="loss", average=2), copy, resume=True)
    assert (copy / "model.safetensors").read_bytes() == before


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A run which ends with the mean of its last checkpoints: it is better than the last one, for the rate is high."""
    folder = tmp_path_factory.mktemp("averaged") / "run"
    plan = {"average": 6, "best": "loss", "rate": 0.02, "schedule": "constant", "rise": 100.0, "validate_every": 100}
    run = small(steps=20, save_every=1, **plan)
    train(run, folder)
    return run, folder


def test_what_a_kept_mean_is_worth_must_be_exceeded(averaged):
    run, folder = averaged
    task = run.task(run, folder)
    task.prepare(lambda text: None, keeps=True)
    worth = -task.measure(regard.load(folder), nullcontext())["nats"]
    (last,) = (
        line["validation_nats"] for line in read_measures(folder / "measures.jsonl") if "validation_nats" in line
    )
    assert worth > -last
    state = read_state(checkpoints(folder / "checkpoints")[-1])
    assert state["best"] == pytest.approx(worth, abs=1e-6)  # float32 on one machine


def test_a_run_with_a_kept_mean_and_nothing_left_to_do_stays_as_it_is(averaged, tmp_path):
    run, folder = averaged
    again = shutil.copytree(folder, tmp_path / "run")
    train(run, again, resume=True)
    assert outcome(again) == outcome(folder)


def test_a_run_without_a_checkpoint_may_be_begun_anew_with_other_settings(tmp_path, capfd):
    folder = tmp_path / "run"
    train_until(small(), folder, 2)
    train(replace(small("rnnsearch", steps=2), text=TranslationText(kind="bpe", vocabulary=300)), folder)
    assert f"the run in {folder} has come to no checkpoint: it begins anew" in capfd.readouterr().err
    assert read_run(folder / "run.toml").model["kind"] == "rnnsearch"
    assert regard.load(folder).source.size > 100  # the tokenizer is the new one


def test_a_run_without_a_checkpoint_which_has_a_model_is_not_begun_anew(tmp_path):
    train_until(small(validate_every=1), tmp_path / "run", 3)
    assert (tmp_path / "run" / "model.safetensors").is_file()
    with pytest.raises(ValueError, match="holds a run already"):
        train(small(), tmp_path / "run")


def test_to_resume_a_run_without_a_checkpoint_as_another_says_how_to_begin_it_anew(tmp_path):
    train_until(small(), tmp_path / "run", 2)
    with pytest.raises(
        ValueError, match=r"differs in model\.kind.*; it has no checkpoint: begin anew, without --resume"
    ):
        train(small("rnnsearch"), tmp_path / "run", resume=True)


def test_a_model_which_cannot_be_made_leaves_no_run_behind(tmp_path):
    run = written(TEXT, "transformer-xl", reading="segments", steps=2)
    wrong = replace(run, model={**run.model, "cutoffs": [200000]})
    with pytest.raises(ValueError, match="cutoffs must ascend between 0 and the vocabulary"):
        train(wrong, tmp_path / "run")
    assert not (tmp_path / "run" / "run.toml").exists()
    assert not (tmp_path / "run" / "data").exists()
    train(run, tmp_path / "run")

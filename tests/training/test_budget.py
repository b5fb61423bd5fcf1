"""Runs which end with a budget of time, tokens or operations."""

import re
import signal
import tempfile
from pathlib import Path

import pytest
from small_runs import ended, launch, outcome, small, written

from regard.data.loading import Cursor
from regard.training import meter
from regard.training.budget import Budget
from regard.training.checkpoint import checkpoints, read_state
from regard.training.log import read_measures
from regard.training.loop import train
from regard.training.memory import PeakMemory
from regard.training.run import build_run

TEXT = Path(tempfile.mkdtemp()) / "text"
ONCE = {"validate_every": 1000, "save_every": 1000}  # at the end


@pytest.mark.parametrize(
    ("text", "amount", "of"),
    [
        ("90s", 90.0, "seconds"),
        ("10min", 600.0, "seconds"),
        ("1.5h", 5400.0, "seconds"),
        ("0.25 s", 0.25, "seconds"),
        ("3ktokens", 3_000, "tokens"),
        ("5Mtokens", 5_000_000, "tokens"),
        ("0.001Gtokens", 1_000_000, "tokens"),
        ("7GFLOP", 7 * 10**9, "operations"),
        ("0.07TFLOP", 7 * 10**10, "operations"),
        ("2PFLOP", 2 * 10**15, "operations"),
    ],
)
def test_a_budget_is_a_number_and_a_unit(text, amount, of):
    found = Budget.read(text)
    assert (found.amount, found.of) == (amount, of)
    assert type(found.amount) is type(amount)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "a number and a unit, as 10min, 5Mtokens or 2PFLOP, got '10'"),
        ("min", "got 'min'"),
        ("-3min", "got '-3min'"),
        ("1e3s", "got '1e3s'"),
        ("1,000s", "got '1,000s'"),
        ("10minutes", "one of s, min, h, ktokens, Mtokens, Gtokens, GFLOP, TFLOP, PFLOP, got 'minutes'"),
        ("5mtokens", "got 'mtokens' in '5mtokens'; did you mean 'Mtokens'"),
        ("2Pflop", "did you mean 'PFLOP'"),
        ("0min", "more than nothing"),
        ("0.0001ktokens", "whole tokens, got '0.0001ktokens', which is 0.1 of them"),
    ],
)
def test_what_is_no_budget_is_named(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Budget.read(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        small(budget=text)


def test_a_budget_goes_with_no_patience():
    with pytest.raises(ValueError, match=r"plan\.patience ends a run before plan\.budget is spent"):
        small(budget="10min", patience=2)


def test_a_place_is_the_share_which_is_spent():
    budget = Budget.read("2ktokens")
    assert [budget.place(spent, 10) for spent in (0, 200, 500, 2000, 2100)] == [0.0, 1.0, 2.5, 10.0, 10.0]


def test_where_updates_are_alike_a_budget_of_their_tokens_is_the_plan_itself(tmp_path):
    plan = {"steps": 8, "reading": "segments", "validate_every": 3, "save_every": 3}
    train(written(TEXT, "transformer-xl", **plan), tmp_path / "steps")
    train(written(TEXT, "transformer-xl", **plan, budget="1.28ktokens"), tmp_path / "budget")  # 8 updates of 10 x 16
    steps, budget = outcome(tmp_path / "steps"), outcome(tmp_path / "budget")
    for part in ("model.safetensors", "optimiser.safetensors", "random-0.safetensors", "best model", "checkpoints"):
        assert budget[part] == steps[part], part
    kept = ("step", "loss", "rate", "tokens", "validation_nats")
    measures = [{key: value for key, value in line.items() if key in kept} for line in budget["measures"]]
    assert measures == [{key: value for key, value in line.items() if key in kept} for line in steps["measures"]]


def extents(run, folder):
    """The tokens of each update of a run which was trained in a folder."""
    task = run.task(run, folder)
    task.prepare(lambda text: None, keeps=True)
    for batch, _ in task.batches(Cursor(), 0, 1):
        yield batch.extent


@pytest.mark.parametrize("kind", ["rnnsearch", "gpt2"])
def test_tokens_are_spent_to_within_one_batch(tmp_path, kind):
    options = {"budget": "4.321ktokens", "steps": 100, "validate_every": 25, "save_every": 50}
    run = written(TEXT, kind, reading="stream", **options) if kind == "gpt2" else small(kind, **options)
    train(run, tmp_path / "run")
    state = read_state(checkpoints(tmp_path / "run" / "checkpoints")[-1])
    taken = [extent for extent, _ in zip(extents(run, tmp_path / "run"), range(state["step"]), strict=False)]
    assert state["extent"] == sum(taken)
    assert sum(taken[:-1]) < 4321 <= sum(taken)
    lines = [line for line in read_measures(tmp_path / "run" / "measures.jsonl") if "validation_nats" in line]
    assert len(lines) == 4  # at each quarter
    for quarter, line in enumerate(lines, 1):
        assert 0 <= line["extent"] - 4321 * quarter / 4 < max(taken)


def test_operations_are_spent_to_within_one_update(tmp_path):
    run = small("transformer", budget="0.1GFLOP", steps=100, **ONCE)
    train(run, tmp_path / "run")
    state = read_state(checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert state["counted_extent"] == state["extent"]  # all are counted
    shorter = small("transformer", steps=state["step"] - 1, **ONCE)
    operations = 0
    with pytest.MonkeyPatch.context() as patch:  # the updates but the last one, counted from outside
        update = counting(patch)
        train(shorter, tmp_path / "shorter")
        operations = sum(update)
    assert operations < 10**8 <= state["counted"]


def counting(patch) -> list[int]:
    """The operations of each update of runs from now on."""
    from regard.training import loop
    from regard.training.operations import counted

    found, plain = [], loop._Training.update

    def update(self):
        with counted() as counter:
            result = plain(self)
        found.append(counter.get_total_flops())
        return result

    patch.setattr(loop._Training, "update", update)
    return found


def test_where_operations_are_not_the_budget_some_are_counted_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "COUNTED", 3)
    run = written(TEXT, "gpt2", reading="stream", budget="1.6ktokens")
    with pytest.MonkeyPatch.context() as patch:
        each = counting(patch)
        train(run, tmp_path / "run")
    state = read_state(checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert state["counted"] == sum(each[::3])
    said = read_measures(tmp_path / "run" / "measures.jsonl")[-1]
    assert said["operations"] == pytest.approx(sum(each), rel=0.02)  # some windows are shorter


def test_time_is_that_of_updates(tmp_path, monkeypatch):
    clock = iter(range(1000))  # which is read before and after each update, and nowhere else
    monkeypatch.setattr(meter.time, "monotonic", lambda: float(next(clock)))
    train(small(budget="5s", steps=10, validate_every=2, save_every=2), tmp_path / "run")
    state = read_state(checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert (state["step"], state["seconds"]) == (5, 5.0)
    lines = read_measures(tmp_path / "run" / "measures.jsonl")
    assert [line["seconds"] for line in lines if "validation_nats" in line] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_the_rate_ends_with_the_budget(tmp_path, monkeypatch):
    from regard.training import loop

    rates, plain = [], loop._Training.rate
    monkeypatch.setattr(loop._Training, "rate", lambda self: rates.append(plain(self)) or rates[-1])
    train(
        small("encoder-decoder", budget="3ktokens", tokens=150, steps=1000, warmup=500, rate=0.01, **ONCE),
        tmp_path / "run",
    )
    assert max(rates) == pytest.approx(0.01, rel=0.2)
    assert rates.index(max(rates)) == pytest.approx(len(rates) / 2, abs=2)
    assert rates[-1] == 0.0


@pytest.mark.parametrize("budget", ["0.01ktokens", "0.0001GFLOP", "0.0001s"])
def test_a_budget_must_suffice_for_one_update(tmp_path, budget):
    with pytest.raises(ValueError, match=f"{budget}' does not suffice for one update, which takes [0-9.,e]+ "):
        train(small(budget=budget), tmp_path / "run")


RUNS = {
    "tokens": small("transformer", budget="5ktokens", steps=12, accumulate=2, workers=2, average=2),
    "operations": small("rnnsearch", budget="0.05GFLOP", steps=12),
    "segments": written(TEXT, "transformer-xl", reading="segments", budget="0.03GFLOP", steps=12),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_with_a_budget_ends_as_one_which_never_stopped(tmp_path, name):
    assert ended(launch(RUNS[name], tmp_path / "whole")) == [0], (tmp_path / "whole.0.log").read_text()
    wanted = outcome(tmp_path / "whole")
    step = max(2, int(wanted["state"]["step"] * 0.6))
    assert ended(launch(RUNS[name], tmp_path / "run", kill=("step", step))) == [-signal.SIGKILL]
    assert ended(launch(RUNS[name], tmp_path / "run", resume=True)) == [0], (tmp_path / "run.0.log").read_text()
    found = outcome(tmp_path / "run")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def test_a_checkpoint_from_before_there_were_budgets_is_gone_on_from(tmp_path):
    import json

    train(small(steps=4), tmp_path / "run")
    path = checkpoints(tmp_path / "run" / "checkpoints")[-1] / "state.json"
    state = json.loads(path.read_text())
    for name in ("extent", "counted", "counted_extent", "memory"):
        del state[name]
    path.write_text(json.dumps(state))
    train(small(steps=6), tmp_path / "run", resume=True)
    assert read_state(checkpoints(tmp_path / "run" / "checkpoints")[-1])["step"] == 6


def test_the_peak_of_memory_is_what_came_to_it_and_what_was_held():
    import torch

    held = torch.ones(4_000_000)
    memory = PeakMemory(torch.device("cpu"), held.nbytes)
    if not memory._is_known:
        pytest.skip("nothing tells here")
    with memory.watched():
        torch.ones(8_000_000)
    outside = torch.ones(30_000_000)
    del outside
    with memory.watched():
        torch.ones(2_000_000)
    assert memory.peak == pytest.approx(48_000_000, rel=0.25)  # a little is the process's own


def test_a_run_takes_the_same_memory_whatever_was_trained_before(tmp_path):
    def peak(name, **sizes):
        run = small("transformer", budget="1.5ktokens", tokens=4000, validate_sentences=0, best="loss", **ONCE)
        table = run.table()
        table["model"].update(width=128, hidden=256, dropout=0.0, **sizes)
        train(build_run(table, "x"), tmp_path / name)
        return read_state(checkpoints(tmp_path / name / "checkpoints")[-1])["memory"]

    first, deep, again = peak("first"), peak("deep", depth=5), peak("again")
    assert deep > 1.5 * max(first, again)
    assert again == pytest.approx(first, rel=0.5)  # a heap in pieces holds a little less

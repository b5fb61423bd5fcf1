"""Runs of a few steps on dates, in this process or in others which can be killed."""

import atexit
import json
import multiprocessing
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import torch

from regard.data.corpus import Corpus
from regard.data.parallel import ParallelText
from regard.training import checkpoint
from regard.training.language import LanguagePlan, LanguageText
from regard.training.log import read_measures
from regard.training.loop import Diverged, Interrupted, train
from regard.training.run import Run
from regard.training.translation import TranslationPlan, TranslationText

# Imported once, not by every child.
HEAVY = ["regard.training.loop", "torch._dynamo", "torch.utils.tensorboard", "sacrebleu", "babel.dates"]
NARROW = {
    "seq2seq": {"kind": "seq2seq", "size": "tiny", "width": 12, "embedding": 8, "dropout": 0.2},
    "encoder-decoder": {"kind": "encoder-decoder", "size": "tiny", "width": 12, "embedding": 8, "maxout": 8},
    "rnnsearch": {"kind": "rnnsearch", "size": "tiny", "width": 12, "embedding": 8, "alignment": 8, "dropout": 0.2},
    "transformer": {"kind": "transformer", "size": "tiny", "width": 16, "heads": 2, "hidden": 24, "dropout": 0.2},
}


def small(kind: str = "transformer", *, pairs: int = 90, **plan) -> Run:
    """A run of 12 updates over 90 dates, about 3 of which make an epoch, with a checkpoint every 4."""
    few = {"steps": 12, "tokens": 900, "pool": 40, "warmup": 4, "validate_every": 5, "validate_sentences": 3}
    values = {**few, "rate": 0.003, "schedule": "linear", "clip": 1.0, "smoothing": 0.1, "save_every": 4, **plan}
    return Run(
        name="small",
        model=NARROW[kind],
        train=ParallelText("dates", count=pairs, seed=1),
        validation=ParallelText("dates", split="validation", count=12, seed=1),
        text=TranslationText(kind="characters", vocabulary=0),
        plan=TranslationPlan(**values),
    )


def written(text: Path, kind: str = "gpt2", **plan) -> Run:
    """A run of 12 updates over a text of some 2,000 letters, with a checkpoint every 4."""
    if not text.is_file():
        text.write_text("".join(f"{n} and {n * n % 97} make {n * 31 % 89}, or so.\n\n" for n in range(70)))
    few = {"steps": 12, "tokens": 160, "context": 16, "warmup": 4, "validate_every": 5, "save_every": 4}
    values = {**few, "rate": 0.003, "schedule": "cosine", "optimiser": "adamw", "decay": 0.1, "clip": 1.0, **plan}
    return Run(
        name="written",
        model={"kind": kind, "size": "tiny", "width": 16, "heads": 2, "dropout": 0.2},
        train=Corpus(str(text), documents="paragraphs", share=(0.0, 0.9)),
        validation=Corpus(str(text), documents="paragraphs", share=(0.9, 1.0)),
        text=LanguageText(kind="characters", vocabulary=0),
        plan=LanguagePlan(**values),
    )


def outcome(folder: Path) -> dict[str, object]:
    """All that must be the same of two runs: the model, the last checkpoint to the byte, and the measures."""
    last = checkpoint.checkpoints(folder / "checkpoints")[-1]
    found: dict[str, object] = {path.name: path.read_bytes() for path in last.glob("*.safetensors")}
    found["best model"] = (folder / "model.safetensors").read_bytes()
    found["state"] = {
        key: value for key, value in checkpoint.read_state(last).items() if key not in ("seconds", "memory")
    }
    measures = read_measures(folder / "measures.jsonl")
    found["measures"] = [{key: value for key, value in line.items() if key != "seconds"} for line in measures]
    found["checkpoints"] = sorted(os.listdir(folder / "checkpoints"))
    return found


def train_until(run: Run, folder: Path, step: int) -> None:
    """Train, and stop with Ctrl-C after this update."""

    def stop(now: int, loss: float, model: object) -> None:
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, folder, on_step=stop)


def kill_at_step(step: int):
    """A callback which kills its process outright after an update."""

    def on_step(now: int, loss: float, model: object) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


def kill_while_writing(name: str):
    """Kill this process when the second checkpoint writes the file `name`, and leave half of that file."""
    write, seen = checkpoint.write_tensors, []

    def killed(path: Path, tensors) -> None:
        write(path, tensors)
        seen.append(path.name)
        if seen.count(name) == 2:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.write_tensors = killed


def child(run: Run, folder: str, resume: bool, kill: tuple[str, object] | None, environment: dict[str, str]) -> None:
    """A process of its own: train, say how it ended in `FOLDER.RANK.log`, and end with the status of that."""
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # of its workers, as where it is started from a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    log = os.open(f"{folder}.{environment.get('RANK', 0)}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    torch.set_num_threads(1)
    on_step = None
    match kill:
        case ("step", int(step)):
            on_step = kill_at_step(step)
        case ("file", str(name)):
            kill_while_writing(name)
        case ("say", _):
            on_step = lambda step, loss, model: print(f"at {step}")
        case ("wait", int(after)):
            on_step = lambda step, loss, model: (print(f"at {step}"), signal.pause() if step == after else None)
        case ("losses", _):
            on_step = lambda step, loss, model: print(json.dumps({"step": step, "loss": loss}))
    try:
        train(run, folder, resume=resume, on_step=on_step)
    except Interrupted as error:
        print(error)
        sys.exit(error.status)
    except (Diverged, ValueError) as error:
        print(error)
        sys.exit(1)


def launch(run: Run, folder: Path, *, resume: bool = False, kill=None, environment=None):
    """Start a `child`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    process = context.Process(target=child, args=(run, str(folder), resume, kill, environment or {}))
    process.start()
    atexit.register(process.kill)  # where a test fails; else the end of the tests would wait for it
    return process


def launch_several(run: Run, folder: Path, count: int, *, environment=None, **options) -> list:
    """Start `count` children which train one model together."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    whole = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    whole.update({"OMP_NUM_THREADS": 1, **(environment or {})})
    return [
        launch(
            run,
            folder,
            environment={key: str(value) for key, value in {**whole, "RANK": rank, "LOCAL_RANK": rank}.items()},
            **options,
        )
        for rank in range(count)
    ]


def ended(*processes, seconds: float = 120.0) -> list[int | None]:
    """Exit statuses; a process which takes too long is killed, and has status None."""
    for process in processes:
        process.join(seconds)
    statuses = [process.exitcode for process in processes]
    for process in processes:
        if process.exitcode is None:
            process.kill()
    return statuses

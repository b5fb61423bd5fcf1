"""Checkpoints which are whole or not there, and from which a run goes on to the bit.

A checkpoint is a folder `step-00001000` of weights, optimiser state, the state of every process's random generators and
a small JSON file with the rest. It is written under another name and renamed when all of it is on the disk. What a kill
leaves under another name is never read, and goes with the next checkpoint.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.storage.files import sync_directory, written_whole
from regard.storage.weights import read_tensors, write_tensors

MODEL, OPTIMISER, STATE = "model.safetensors", "optimiser.safetensors", "state.json"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir()) if folder.is_dir() else []


def random_state() -> dict[str, Tensor]:
    """The state of every random generator which training may draw from."""
    state = {"torch": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Put every random generator where `random_state` found it."""
    torch.random.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


class Writer:
    """One checkpoint in the making: every process adds its part, and the main process finishes it.

    Args:
        folder: where checkpoints lie.
        step: the update after which it is made.
    """

    def __init__(self, folder: Path, step: int):
        self.place = folder / f".step-{step:08d}.partial"
        self.final = folder / f"step-{step:08d}"

    def begin(self) -> None:
        """Make room, in the main process."""
        for left in self.place.parent.glob(".step-*.partial"):
            shutil.rmtree(left)
        self.place.mkdir(parents=True)

    def add(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Write tensors."""
        write_tensors(self.place / name, tensors)

    def finish(self, state: dict[str, Any], keep: int) -> None:
        """Give it its name, in the main process, and remove all but the last `keep`."""
        with written_whole(self.place / STATE) as file:
            json.dump(state, file, indent=2)
        sync_directory(self.place)
        os.rename(self.place, self.final)
        sync_directory(self.final.parent)
        for old in checkpoints(self.final.parent)[:-keep]:
            out_of_sight = old.with_name(f".{old.name}.partial")  # first, so that a kill leaves no half of it
            os.rename(old, out_of_sight)
            shutil.rmtree(out_of_sight)


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint.

    Raises:
        ValueError: if it is missing or damaged; says what to delete.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError(f"{STATE} holds no table")
        return state
    except (OSError, ValueError) as error:
        raise damaged(folder, error) from error


def amend(folder: Path, changes: dict[str, Any]) -> None:
    """Change values of the JSON part of a checkpoint, which is as it was or changed, at any moment."""
    state = read_state(folder) | changes
    with written_whole(folder / STATE) as file:
        json.dump(state, file, indent=2)


def read_part(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors of one file of a checkpoint.

    Raises:
        ValueError: if it is missing or damaged; says what to delete.
    """
    try:
        return read_tensors(folder / name)
    except (FileNotFoundError, ValueError) as error:
        raise damaged(folder, error) from error


def damaged(folder: Path, error: Exception) -> ValueError:
    """The error of a checkpoint which is not as it was written, with the way out."""
    before = [path for path in checkpoints(folder.parent) if path < folder]
    other = f"from {before[-1].name}" if before else "from the beginning"
    return ValueError(f"the checkpoint {folder} is damaged: {error}. Delete this folder to go on {other}")


def pack_optimiser(state: dict[str, dict[str, Any]]) -> dict[str, Tensor]:
    """Optimiser state by parameter name and key, as tensors by one name."""
    return {
        f"{name}/{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, values in state.items()
        for key, value in values.items()
    }


def unpack_optimiser(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The reverse of `pack_optimiser`."""
    state: dict[str, dict[str, Tensor]] = {}
    for packed, tensor in tensors.items():
        name, _, key = packed.rpartition("/")
        state.setdefault(name, {})[key] = tensor
    return state


def average(folders: list[Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints (Vaswani et al. 2017, section 6.1)."""
    if not folders:
        raise ValueError("there is no checkpoint to average")
    total: dict[str, Tensor] = {}
    for folder in folders:
        for name, tensor in read_part(folder, MODEL).items():
            total[name] = tensor.double() + total.get(name, 0.0)
    return {name: (tensor / len(folders)).float() for name, tensor in total.items()}

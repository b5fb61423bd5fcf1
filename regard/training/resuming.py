"""What may be different in a run which goes on, and what may not."""

from pathlib import Path

from regard.training.run import RUN_FILE, Run, differences, read_run

MOVED = ("path", "target_path")  # which may be others, for the tokenised text is in the folder of the run


def compare_settings(run: Run, folder: Path, *, has_checkpoint: bool) -> tuple[Run, list[str]]:
    """The run in a folder as it was before, and the settings in which the one which goes on with it is different.

    Raises:
        ValueError: if one of them makes it another run, or does not go with what a checkpoint holds.
    """
    before = read_run(folder / RUN_FILE)
    changes = differences(before, run)
    fixed = ("model", "text", "train", "validation")  # the best weights are the best on one validation set
    parts = ((name, *name.partition(".")[::2]) for name in changes)
    other = [name for name, table, key in parts if table in fixed and (table == "model" or key not in MOVED)]
    if other:
        way_out = "choose another folder" if has_checkpoint else "it has no checkpoint: begin anew, without --resume"
        raise ValueError(f"{folder} holds a run which differs in {', '.join(other)}; {way_out}")
    if before.validation == before.train and run.validation != run.train:
        raise ValueError(
            f"the run in {folder} is validated on a share of {before.train.path}, which would become all of "
            f"{run.validation.path}; where the file was moved, set train.path and validation.path to one place"
        )
    if has_checkpoint:
        _require_same_state(before, run, changes, folder)
    return before, changes


def _require_same_state(before: Run, run: Run, changes: list[str], folder: Path) -> None:
    """Refuse settings with which a checkpoint's optimiser or memory is of no use."""
    way_out = f"leave it as it is, or go on from the weights in another folder, with --model {folder}"
    if "plan.optimiser" in changes:
        raise ValueError(
            f"the checkpoint holds the state of plan.optimiser={before.plan.optimiser!r}, which is none of "
            f"{run.plan.optimiser!r}; {way_out}"
        )
    frozen, now = (getattr(one.plan, "freeze", 0) for one in (before, run))
    if frozen > now:
        raise ValueError(
            f"the checkpoint holds no state of the optimiser for layers which plan.freeze={frozen} froze, and "
            f"plan.freeze={now} would train; {way_out}"
        )
    laid_out = {name for one in (before, run) for name in one.task(one, folder).of_memory}
    if other := [name for name in changes if name.removeprefix("plan.") in laid_out]:
        raise ValueError(
            f"the checkpoint holds a memory laid out by {', '.join(f'plan.{name}' for name in sorted(laid_out))}, "
            f"and another {', '.join(other)} does not fit it; {way_out}"
        )


def is_moved(changes: list[str]) -> bool:
    """Whether one of these settings says that the text lies somewhere else."""
    return any(name.partition(".")[2] in MOVED for name in changes)

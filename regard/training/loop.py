"""The training loop: steps, not epochs; one function, whose state is all in the checkpoint.

A step gathers `accumulate` batches on every process, counts their targets on all of them, and divides the summed loss
once by that count, so that neither accumulation nor the number of processes changes what is minimised.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any

import torch
from torch import Tensor, nn

from regard.layers.linear import has_bfloat16_products
from regard.models.parameters import fill, plain_weights
from regard.objectives.loss import Memory
from regard.storage.folders import taken
from regard.training.checkpoint import (
    MODEL,
    OPTIMISER,
    Writer,
    amend,
    average,
    checkpoints,
    pack_optimiser,
    random_state,
    read_part,
    read_state,
    set_random_state,
    unpack_optimiser,
)
from regard.training.log import Bar, Log, Part
from regard.training.meter import Meter
from regard.training.optimisers import OPTIMISERS
from regard.training.plan import Batch, Trained
from regard.training.precision import bfloat16
from regard.training.processes import Processes
from regard.training.progress import Progress
from regard.training.resuming import compare_settings, is_moved
from regard.training.run import RUN_FILE, Run
from regard.training.schedules import SCHEDULES
from regard.training.signals import asked_to_stop

OnStep = Callable[[int, float, nn.Module], None]


class Diverged(RuntimeError):
    """The loss is not finite, or rose out of bounds."""


class Interrupted(RuntimeError):
    """The run was asked to stop, and wrote a checkpoint first; `status` is the exit status which says so to a shell."""

    def __init__(self, message: str, number: int = SIGTERM):
        super().__init__(message)
        self.status = 128 + number


def train(
    run: Run, folder: str | Path, *, resume: bool = False, on_step: OnStep | None = None, part: Part | None = None
) -> Any:
    """Train what `run` says in `folder`, which then is a model directory of its best weights: what `regard.load` gives.

    It computes where it was trained.

    Args:
        run: all that decides how it goes.
        folder: of the run: its run.toml, tokenizers, tokenised data, checkpoints, measures and the best model.
        resume: go on from the folder's last checkpoint; the outcome is that of a run which never stopped, to the bit,
            on the same number of processes.
        on_step: called with step, loss a token and model after each update.
        part: of several runs, for the progress bar.

    Raises:
        ValueError: if the folder holds a run already which has come to a checkpoint or a model, or, to resume, none, or
            one of another model or other data, or with whose checkpoint the plan does not go; if its last checkpoint is
            damaged; if another process trains in it.
        Diverged: if the loss is not finite or rises out of bounds; the last checkpoint is good.
        Interrupted: after SIGTERM or Ctrl-C, once a checkpoint is written.
    """
    folder, processes = Path(folder), Processes()
    if resume and not (folder / RUN_FILE).is_file():
        raise ValueError(f"there is no run to resume in {folder}: it has no {RUN_FILE}")
    if not resume:
        _require_no_run(folder)
    processes.wait()  # until all have looked, before the first one writes
    with _alone(folder, processes.is_main):
        return _Training(run, folder, processes, resume, on_step, part).run_all()


def _require_no_run(folder: Path) -> None:
    """Refuse to begin a run where another one has come to a checkpoint, or to a model."""
    if Run.is_begun(folder) and (checkpoints(folder / "checkpoints") or (folder / MODEL).is_file()):
        raise ValueError(f"{folder} holds a run already; resume it with --resume {folder}, or choose another folder")


@contextmanager
def _alone(folder: Path, is_main: bool) -> Iterator[None]:
    """Keep other runs out of a folder, and remove what killed ones left half written there."""
    if not is_main:
        yield
        return
    with taken(folder / ".lock", waits=False) as is_ours:
        if not is_ours:
            raise ValueError(f"another process trains in {folder}; wait for it, or choose another folder")
        for left in folder.glob(".*.partial"):
            if left.is_file():  # of a folder, whoever fills it anew removes what was left
                left.unlink()
        yield


class _Training:
    """The parts of one run, put together."""

    def __init__(
        self, run: Run, folder: Path, processes: Processes, resume: bool, on_step: OnStep | None, part: Part | None
    ):
        self.run, self.folder, self.processes, self.on_step, self.part = run, folder, processes, on_step, part
        self.task = run.task(run, folder)
        self.memory: Memory = ()  # of the segments before, where the task has any
        self.is_resumed, self.checkpoints = resume, folder / "checkpoints"
        found = checkpoints(self.checkpoints) if resume else []
        self.last = found[-1] if found else None
        self.progress = Progress.read(self.last) if self.last else Progress()
        self.meter = Meter(run.plan, self.progress, processes)

    def run_all(self) -> Trained:
        """Prepare, train to the end, and give the best model."""
        is_main = self.processes.is_main
        plan, place = self.run.plan, self.meter.place
        with Bar(plan.steps, place, plan.budget, self.part, shows=is_main, unit=self.task.unit) as self.bar:
            changes = self.go_on_as() if self.is_resumed else self.begin_anew()
            with self.processes.main_first():
                self.task.prepare(self.bar.say, keeps=self.last is not None)
            self.build()
            self.keep_settings(changes)
            self.begin_best()
            self.log = Log(self.folder, self.progress.step, writes=is_main)
            try:
                with asked_to_stop() as self.signals:
                    self.steps()
            finally:
                self.log.close()
                self.batches.close()  # and with it the workers
            self.finish()
        self.processes.wait()
        return self.trained.load(self.folder).to(self.processes.device)

    def begin_anew(self) -> list[str]:
        """Forget a run which came to no checkpoint here: to go on with it would be to begin it too."""
        if self.processes.is_main and Run.is_begun(self.folder):
            _require_no_run(self.folder)  # now that no other process trains here
            self.bar.say(f"the run in {self.folder} has come to no checkpoint: it begins anew")
            (self.folder / RUN_FILE).unlink()
        return []

    def go_on_as(self) -> list[str]:
        """The settings which are different from those of the run in the folder, all of which may be."""
        before, changes = compare_settings(self.run, self.folder, has_checkpoint=self.last is not None)
        self.progress.best_of = self.progress.best_of or before.plan.best  # which older checkpoints do not say
        return changes

    def keep_settings(self, changes: list[str]) -> None:
        """Say what is different from the run in the folder, and write it there, once all of the checkpoint fits it."""
        self.processes.wait()  # until all have read what is written over, and found that theirs fits
        if not changes:
            return
        stays = "; what is tokenised in its folder stays as it is" if is_moved(changes) else ""
        self.bar.say(f"the run goes on with another {', '.join(changes)}{stays}")
        if self.processes.is_main:
            self.run.save(self.folder)

    def begin_best(self) -> None:
        """Let the next validation decide anew which model is the best, where another measure tells than before."""
        progress, best = self.progress, self.run.plan.best
        if progress.best_of not in ("", best) and progress.best_step:
            self.bar.say(
                f"the best model was found by {progress.best_of}: with plan.best={best!r} the next is the first"
            )
            progress.best, progress.best_step = -math.inf, progress.step  # from here patience counts
        progress.best_of = best

    def build(self) -> None:
        """Model, optimiser and stream of batches, as they were at the last checkpoint."""
        plan, processes = self.run.plan, self.processes
        if self.last:
            model = self.task.build_model()
            fill(model, read_part(self.last, MODEL), str(self.last / MODEL))
        else:
            model = self.task.begun(self.bar.say)
        self.names, self.width = list(plain_weights(model)), self.task.build_config().width
        self.trained = self.task.trained(model)
        self.objective = processes.hold(self.task.objective(model))
        self.optimiser = OPTIMISERS[plan.optimiser](self.task.groups(self.objective), plan.decay, plan.beta2)
        if self.last:
            state = unpack_optimiser(read_part(self.last, OPTIMISER))
            processes.set_optimiser_state(self.objective, self.optimiser, state)
        self.batches = self.task.batches(self.progress.cursor, processes.rank, processes.count)
        if processes.is_main and not self.progress.step:
            parameters = sum(tensor.numel() for tensor in plain_weights(model).values())
            self.bar.say(f"{self.run.model['kind']}: {parameters:,} parameters; {self.task.about_batches()}")
        if plan.precision == "bfloat16" and processes.device.type == "cpu" and not has_bfloat16_products():
            self.bar.say("this processor has no products of bfloat16: rounded values are multiplied in float32")
        self.go_on()

    def go_on(self) -> None:
        """Each process's own random numbers and memory: from the seed, or as the checkpoint left them."""
        rank, processes = self.processes.rank, self.processes.count
        torch.manual_seed(self.run.plan.seed * 1000 + rank + (self.progress.step << 20))
        if self.last is None:
            return
        before = read_state(self.last)["processes"]
        if before == processes:
            set_random_state(read_part(self.last, f"random-{rank}.safetensors"))
            if (self.last / f"memory-{rank}.safetensors").is_file():
                parts = read_part(self.last, f"memory-{rank}.safetensors")
                self.memory = tuple(parts[str(n)].to(self.processes.device) for n in range(len(parts)))
        elif self.task.of_memory:
            raise ValueError(
                f"the run had {before} processes and now has {processes}, but each of them has a part of the text and "
                f"the memory of it; go on with {before}"
            )
        else:
            self.bar.say(f"the run had {before} processes and now has {processes}: it goes on, but not to the bit")

    def steps(self) -> None:
        """Update by update to the end of the plan."""
        plan, progress = self.run.plan, self.progress
        self.objective.train()
        self.meter.begin(self.held)
        while (before := self.meter.place) < plan.steps and not self.is_over():
            with self.meter.update():
                loss, stopping = self.update()
            place = self.meter.place
            self.bar.update(place, progress.step, loss, progress.tokens / max(progress.seconds, 1e-9))
            if progress.step % 20 == 0 or progress.step == 1:
                self.log.add(progress.step, loss=loss, rate=self.rate(), tokens=progress.tokens, **self.meter.spent)
            if self.on_step is not None:
                self.on_step(progress.step, loss, self.trained.model)
            is_last = place >= plan.steps
            if _comes(plan.validate_every, before, place) or is_last:
                self.validate()
                if not is_last and self.is_over():
                    self.bar.say(f"no better model in {plan.patience} validations: the run ends here")
                    is_last = True
            if _comes(plan.save_every, before, place) or is_last or stopping:
                self.save()
            if _comes(plan.validate_every, before, place) or _comes(plan.save_every, before, place):
                self.meter.settle()
            if stopping and not is_last:
                number = Signals(self.signals[0]) if self.signals else SIGTERM  # another process got it
                raise Interrupted(
                    f"stopped by {number.name} after step {progress.step:,}; a checkpoint is written: "
                    f"go on with --resume {self.folder}",
                    number,
                )

    def held(self) -> int:
        """Bytes of weights, and of what the optimiser keeps."""
        states = (value for state in self.optimiser.state.values() for value in state.values())
        return sum(x.nbytes for x in (*self.objective.parameters(), *states) if isinstance(x, Tensor))

    def is_over(self) -> bool:
        """Whether patience ran out."""
        plan, progress = self.run.plan, self.progress
        return 0 < plan.patience <= (progress.step - progress.best_step) // plan.validate_every

    def rate(self) -> float:
        """The learning rate of the current step."""
        plan = self.run.plan
        return plan.rate * SCHEDULES[plan.schedule](max(1, self.meter.place), plan, self.width)

    def products(self) -> AbstractContextManager[None]:
        """Where matrix products are in the plan's precision."""
        return bfloat16(self.processes.device) if self.run.plan.precision == "bfloat16" else nullcontext()

    def update(self) -> tuple[float, bool]:
        """One update: loss a token, and whether any process was asked to stop."""
        plan, processes, progress = self.run.plan, self.processes, self.progress
        batches: list[Batch] = []
        for batch, cursor in islice(self.batches, plan.accumulate):
            batches.append(batch.to(processes.device))
            progress.cursor = cursor
        counts = [sum(each) for each in zip(*((one.targets, len(one), one.extent) for one in batches), strict=True)]
        targets, sentences, extent = processes.summed(torch.tensor(counts)).tolist()
        divisor = {"tokens": targets, "sentences": sentences, "nothing": 1}[plan.divide]
        total = torch.zeros(3, device=processes.device)
        with self.meter.passes(extent):
            for batch in batches:
                with processes.gathering(self.objective, is_last=batch is batches[-1]):
                    with self.products():
                        result = self.objective(*batch.parts, *((self.memory,) if batch.goes_on else ()))
                    self.memory = result.memory
                    # processes average their gradients; here they are summed
                    (result.total * (processes.count / divisor)).backward()
                total[:2] += torch.stack([result.total.detach(), -result.log_likelihood]).float()
        total[2] = bool(self.signals)
        summed, nats, stopping = processes.summed(total).tolist()
        norm = processes.clip(self.objective, plan.clip)
        progress.step += 1
        self.check(summed / targets, nats / targets, norm)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate() * group["scale"]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        progress.tokens += targets
        return summed / targets, stopping > 0

    def check(self, loss: float, nats: float, norm: float) -> None:
        """Stop before an update which would spoil the weights."""
        progress = self.progress
        for what, value in (("loss", loss), ("loss", nats), ("gradient's norm", norm)):
            if not math.isfinite(value):
                self.stop(
                    f"the {what} is {value} at step {progress.step:,}", "A lower plan.rate or a plan.clip may help"
                )
        progress.level = nats if progress.level is None else 0.95 * progress.level + 0.05 * nats
        progress.lowest = min(progress.lowest, progress.level)
        if progress.level > progress.lowest + self.run.plan.rise:
            what = (
                f"the loss rose to {progress.level:.2f} nats a token at step {progress.step:,}, more than plan.rise="
                f"{self.run.plan.rise} above its lowest, {progress.lowest:.2f}"
            )
            self.stop(what, "A lower plan.rate may help")

    def stop(self, what: str, advice: str) -> None:
        """Stop for good, and say from where one can go on."""
        found = checkpoints(self.checkpoints)
        last = f"the last good checkpoint is {found[-1]}" if found else "there is no checkpoint"
        best = f", the best weights, of step {self.progress.best_step:,}, lie in {self.folder}"
        raise Diverged(f"{what}; {last}{best if self.progress.best_step else ''}. {advice}")

    def plain_model(self) -> nn.Module | None:
        """The model as one process can use it; None in processes which have nothing to do."""
        if not self.processes.shards:
            return self.trained.model if self.processes.is_main else None
        weights = self.weights()  # every process takes part
        if not self.processes.is_main:
            return None
        model = self.task.build_model()
        fill(model, weights, "the sharded model")
        return model.to(self.processes.device)

    def weights(self) -> dict[str, Tensor]:
        """All weights, whole, by the plain model's names, in the main process."""
        whole = self.processes.weights(self.objective)
        return {name: whole[f"model.{name}"] for name in self.names} if whole else {}

    def measure(self, model: nn.Module) -> tuple[Trained, dict[str, float], str]:
        """A model with its tokenizers, its measures, and these in words."""
        trained = self.task.trained(model)
        measures = self.task.measure(trained, self.products())
        return trained, measures, "  ".join(f"{name} {number:.4g}" for name, number in measures.items())

    def merit(self, measures: dict[str, float]) -> float:
        """What the best checkpoint has most of; a loss which is not finite is the worst."""
        if not math.isfinite(measures["nats"]):
            return -math.inf
        return -measures["nats"] if self.run.plan.best == "loss" else measures[self.run.plan.best]

    def validate(self) -> None:
        """Measure on the validation set, and keep the model if it is the best so far; no random number is used up."""
        progress, state, model = self.progress, random_state(), self.plain_model()
        if model is not None:
            trained, measures, words = self.measure(model)
            named = {f"validation_{name}": number for name, number in measures.items()}
            self.log.add(progress.step, **named, **self.meter.spent)
            value, mark = self.merit(measures), ""
            if value > progress.best:
                progress.best, progress.best_step, mark = value, progress.step, "  (best)"
                trained.save(self.folder)
            self.bar.say(f"step {progress.step:,} validation: {words}{mark}")
        # every process asks whether patience ran out
        progress.best, best_step = self.processes.from_main(progress.best, progress.best_step)
        progress.best_step = int(best_step)
        set_random_state(state)
        self.objective.train()

    def save(self) -> None:
        """Write a checkpoint, every process its part."""
        processes, progress, plan = self.processes, self.progress, self.run.plan
        if not processes.is_finite(self.objective):
            self.stop(
                f"a weight is not finite after step {progress.step:,}", "A lower plan.rate or a plan.clip may help"
            )
        self.log.flush()
        writer = Writer(self.checkpoints, progress.step)
        if processes.is_main:
            writer.begin()
        processes.wait()
        writer.add(f"random-{processes.rank}.safetensors", random_state())
        if self.memory:
            parts = {str(n): part for n, part in enumerate(self.memory)}
            writer.add(f"memory-{processes.rank}.safetensors", parts)
        weights, state = self.weights(), processes.optimiser_state(self.objective, self.optimiser)
        processes.wait()
        if processes.is_main:
            writer.add(MODEL, weights)
            writer.add(OPTIMISER, pack_optimiser(state))
            writer.finish({**progress.table(), "processes": processes.count}, max(plan.keep, plan.average))
        processes.wait()

    def finish(self) -> None:
        """Try the mean of the last checkpoints, and keep it if it is better than the best."""
        progress = self.progress
        if not self.processes.is_main or self.run.plan.average < 2:
            return
        if progress.best == -math.inf and progress.best_step:
            return  # nothing was measured since another measure tells what is best, so that nothing compares
        folders = checkpoints(self.checkpoints)[-self.run.plan.average :]
        model = self.task.build_model()
        fill(model, average(folders), str(self.checkpoints))
        trained, measures, words = self.measure(model.to(self.processes.device))
        value = self.merit(measures)
        if kept := value >= progress.best:
            trained.save(self.folder)
            progress.best = value  # which whatever trains on has to exceed; patience still counts from the best step
            amend(folders[-1], {"best": value})
        verdict = "kept" if kept else f"not better than step {progress.best_step:,}"
        self.bar.say(f"mean of the last {len(folders)} checkpoints: {words}  ({verdict})")


def _comes(every: int, before: float, now: float) -> bool:
    """Whether what is done every so many steps comes between two places of a run."""
    return now // every > before // every


__all__ = ["Diverged", "Interrupted", "train"]

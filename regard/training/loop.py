"""The training loop: steps, not epochs; one function, whose state is all in the checkpoint.

A step gathers `accumulate` batches on every process, counts their targets on all of them, and divides the summed loss
once by that count, so that neither accumulation nor the number of processes changes what is minimised.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from regard.data.batches import PairBatch
from regard.data.loading import Batching, Cursor, ordered, padding, stream
from regard.data.parallel import ParallelText
from regard.data.store import PairStore
from regard.decoding.translator import SOURCE, TARGET, Translator
from regard.models import MODELS
from regard.models.saved import fill, plain_weights
from regard.objectives.translation import Translation
from regard.storage.weights import read_tensors
from regard.text.tokenizer import Tokenizer
from regard.training.checkpoint import (
    MODEL,
    OPTIMISER,
    Writer,
    average,
    checkpoints,
    pack_optimiser,
    random_state,
    read_state,
    set_random_state,
    unpack_optimiser,
)
from regard.training.log import Bar, Log
from regard.training.optimisers import OPTIMISERS
from regard.training.run import RUN_FILE, Run, located
from regard.training.schedules import SCHEDULES

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
OnStep = Callable[[int, float, nn.Module], None]


class Diverged(RuntimeError):
    """The loss is not finite, or rose out of bounds."""


class Interrupted(RuntimeError):
    """The run was asked to stop, and wrote a checkpoint first."""


@dataclass
class _Progress:
    """Where a run stands; all of it is in the checkpoint."""

    step: int = 0
    cursor: Cursor = Cursor()
    best: float = -math.inf
    best_step: int = 0
    level: float | None = None  # smoothed loss, nats a token
    lowest: float = math.inf  # its lowest
    tokens: int = 0  # targets seen
    seconds: float = 0.0

    def table(self) -> dict[str, Any]:
        """Plain values."""
        about = dict(vars(self))
        about["cursor"] = [self.cursor.epoch, self.cursor.pool, self.cursor.batch]
        return {key: None if value in (math.inf, -math.inf) else value for key, value in about.items()}

    @classmethod
    def of(cls, table: dict[str, Any]) -> "_Progress":
        """The reverse of `table`."""
        values = {key: table[key] for key in vars(cls())}
        values["cursor"] = Cursor(*values["cursor"])
        values["best"] = -math.inf if values["best"] is None else values["best"]
        values["lowest"] = math.inf if values["lowest"] is None else values["lowest"]
        return cls(**values)


def train(run: Run, folder: str | Path, *, resume: bool = False, on_step: OnStep | None = None) -> Translator:
    """Train what `run` says in `folder`, which then is a model directory of its best weights.

    Args:
        run: all that decides how it goes.
        folder: of the run: its run.toml, tokenizers, tokenised data, checkpoints, measures and the best model.
        resume: go on from the folder's last checkpoint; the outcome is that of a run which never stopped, to the bit,
            on the same number of processes.
        on_step: called with step, loss a token and model after each update.

    Raises:
        ValueError: if the folder holds a run already, or, to resume, none.
        Diverged: if the loss is not finite or rises out of bounds; the last checkpoint is good.
        Interrupted: after SIGTERM or Ctrl-C, once a checkpoint is written.
    """
    folder = Path(folder)
    if resume and not (folder / RUN_FILE).is_file():
        raise ValueError(f"there is no run to resume in {folder}: it has no {RUN_FILE}")
    if not resume and (folder / RUN_FILE).is_file():
        raise ValueError(f"{folder} holds a run already; resume it with --resume {folder}, or choose another folder")
    precision = {"float32": "no", "bfloat16": "bf16"}[run.plan.precision]
    accelerator = Accelerator(mixed_precision=precision)
    with _signals() as stop:
        return _Training(run, folder, accelerator, stop, resume, on_step).run_all()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them; a second one acts as ever."""
    caught: list[int] = []
    before = {}

    def note(number: int, _frame: Any) -> None:
        caught.append(number)
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: whoever started us handles signals
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Training:
    """The parts of one run, put together."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        accelerator: Accelerator,
        stop: list[int],
        resume: bool,
        on_step: OnStep | None,
    ):
        self.run, self.folder, self.accelerator, self.stop, self.on_step = run, folder, accelerator, stop, on_step
        self.checkpoints = folder / "checkpoints"
        found = checkpoints(self.checkpoints) if resume else []
        self.last = found[-1] if found else None
        self.progress = _Progress.of(read_state(self.last)) if self.last else _Progress()
        self.log = Log(folder, self.progress.step, writes=False)

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.accelerator.is_main_process

    def run_all(self) -> Translator:
        """Prepare, train to the end, and give the best model."""
        plan, accelerator = self.run.plan, self.accelerator
        with Bar(plan.steps, self.progress.step, shows=self.is_main) as bar:
            self.bar = bar
            with accelerator.main_process_first():
                source, target = self.tokenizers()
                self.train_store = self.store("train", self.run.train, source, target)
                self.validation_store = self.store("validation", self.run.validation, source, target)
            self.build(source, target)
            self.log = Log(self.folder, self.progress.step, writes=self.is_main)
            try:
                self.steps()
            finally:
                self.log.close()
            self.finish()
        accelerator.wait_for_everyone()
        return Translator.load(self.folder)

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Those of the folder; at first, loaded or trained, and written there together with run.toml."""
        text, folder = self.run.text, self.folder
        if not (folder / RUN_FILE).is_file():
            if text.load:
                source = Tokenizer.load(text.load)
                other = Path(text.load) / TARGET
                target = Tokenizer.load(other) if other.is_file() else source
            else:
                source, target = self.train_tokenizers()
            folder.mkdir(parents=True, exist_ok=True)
            source.save(folder / SOURCE)
            if target is not source:
                target.save(folder / TARGET)
            self.run.save(folder)  # last: a folder with a run.toml has its tokenizers
        source = Tokenizer.load(folder / SOURCE)
        return source, Tokenizer.load(folder / TARGET) if (folder / TARGET).is_file() else source

    def train_tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """One tokenizer of both languages, or one of each."""
        text, corpus = self.run.text, located(self.run.train)
        self.bar.say(f"training {'one tokenizer' if text.joint else 'two tokenizers'} of kind {text.kind}")
        options: dict[str, Any] = {"kind": text.kind, "minimum": text.minimum, "lowercase": text.lowercase}
        options["vocabulary"] = text.vocabulary or None
        from regard.data.parallel import Skipped

        def pairs() -> Iterator[Any]:
            return corpus.read(Skipped() if text.skip else None)

        if text.joint:
            both = Tokenizer.train((side for pair in pairs() for side in (pair.source, pair.target)), **options)
            return both, both
        source = Tokenizer.train((pair.source for pair in pairs()), **options)
        return source, Tokenizer.train((pair.target for pair in pairs()), **options)

    def store(self, name: str, text: ParallelText, source: Tokenizer, target: Tokenizer) -> PairStore:
        """The tokenised corpus of this name, built where it is not up to date."""
        place = self.folder / "data" / name
        store = PairStore.prepare(
            place, located(text), source, target, longest=self.run.text.longest, skips=self.run.text.skip
        )
        if self.is_main:
            self.bar.say(
                f"{name}: {len(store):,} pairs, {store.tokens[0]:,} + {store.tokens[1]:,} tokens; {store.skipped}"
            )
        return store

    def build(self, source: Tokenizer, target: Tokenizer) -> None:
        """Model, optimiser and stream of batches, as they were at the last checkpoint."""
        plan, accelerator = self.run.plan, self.accelerator
        config = self.run.build_config(source.size, target.size)
        torch.manual_seed(plan.seed)
        model = MODELS[self.run.model["kind"]].model(config)
        self.width = getattr(config, "width")  # noqa: B009
        self.names = list(plain_weights(model))
        self.model_type, self.config = type(model), config
        self.translator = Translator(model, source, target)
        if self.last:
            fill(model, read_tensors(self.last / MODEL), str(self.last / MODEL))
        objective: nn.Module = Translation(model, smoothing=plan.smoothing)
        if plan.compile:
            objective.compile(dynamic=True)
        optimiser = OPTIMISERS[plan.optimiser](objective.parameters())
        self.objective, self.optimiser = accelerator.prepare(objective, optimiser)
        if self.last:
            self.restore_optimiser(self.last)
        batching = Batching(
            tokens=plan.tokens or None, sentences=plan.sentences or None, pool=plan.pool, seed=plan.seed
        )
        if self.is_main and not self.progress.step:
            parameters = sum(p.numel() for p in model.parameters())
            self.bar.say(f"{self.run.model['kind']}: {parameters:,} parameters; {padding(self.train_store, batching)}")
        self.validation_batching = Batching(tokens=max(plan.tokens, 4096))
        self.batches = stream(
            self.train_store,
            batching,
            self.progress.cursor,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
            workers=plan.workers,
        )
        self.settle_randomness()

    def settle_randomness(self) -> None:
        """Each process's own random numbers: from the seed, or where the checkpoint left them."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        own = None if self.last is None else self.last / f"random-{rank}.safetensors"
        torch.manual_seed(self.run.plan.seed * 1000 + rank + (self.progress.step << 20 if own else 0))
        if own is None:
            return
        before = read_state(own.parent)["processes"]
        if before == processes:
            set_random_state(read_tensors(own))
        else:
            self.bar.say(f"the run had {before} processes and now has {processes}: it goes on, but not to the bit")

    def restore_optimiser(self, folder: Path) -> None:
        """Put the optimiser's state back."""
        inner = getattr(self.optimiser, "optimizer", self.optimiser)
        whole: Any = get_optimizer_state_dict(self.objective, inner, options=_FULL)
        state = unpack_optimiser(read_tensors(folder / OPTIMISER))
        set_optimizer_state_dict(self.objective, inner, {**whole, "state": state}, options=_FULL)

    def steps(self) -> None:
        """Update by update to the end of the plan."""
        plan, progress = self.run.plan, self.progress
        self.objective.train()
        started, tokens = time.monotonic(), 0
        while progress.step < plan.steps:
            loss, counted = self.update()
            progress.seconds += (now := time.monotonic()) - started
            tokens, started = tokens + counted, now
            self.bar.update(progress.step, loss, progress.tokens / max(progress.seconds, 1e-9))
            if progress.step % 20 == 0 or progress.step == 1:
                self.log.add(progress.step, loss=loss, rate=self.rate(), tokens=progress.tokens)
            if self.on_step is not None:
                self.on_step(progress.step, loss, self.translator.model)
            is_last = progress.step == plan.steps
            if progress.step % plan.validate_every == 0 or is_last:
                self.validate()
            stopping = self.agreed_to_stop() and not is_last
            if progress.step % plan.save_every == 0 or is_last or stopping:
                self.save()
            if stopping:
                raise Interrupted(
                    f"stopped at step {progress.step:,}; a checkpoint is written: go on with --resume {self.folder}"
                )
            started = time.monotonic()

    def rate(self) -> float:
        """The learning rate of the current step."""
        plan = self.run.plan
        return plan.rate * SCHEDULES[plan.schedule](max(1, self.progress.step), plan, self.width)

    def update(self) -> tuple[float, int]:
        """One update: loss in nats a token, and its number of targets."""
        plan, accelerator, progress = self.run.plan, self.accelerator, self.progress
        batches: list[PairBatch] = []
        for batch, cursor in islice(self.batches, plan.accumulate):
            batches.append(batch.to(accelerator.device))
            progress.cursor = cursor
        counts = torch.tensor(
            [sum(batch.target_tokens for batch in batches), sum(len(batch) for batch in batches)],
            dtype=torch.float64 if accelerator.device.type == "cpu" else torch.float32,
            device=accelerator.device,
        )
        targets, sentences = (int(count) for count in self.summed(counts).tolist())
        divisor = {"tokens": targets, "sentences": sentences, "nothing": 1}[plan.divide]
        total = torch.zeros(2, device=accelerator.device)
        for number, batch in enumerate(batches, 1):
            waits = number < len(batches)
            with accelerator.no_sync(self.objective) if waits else nullcontext(), accelerator.autocast():
                result = self.objective(batch.source, batch.target)
            with accelerator.no_sync(self.objective) if waits else nullcontext():
                # processes average their gradients; here they are summed
                accelerator.backward(result.total * (accelerator.num_processes / divisor))
            total += torch.stack([result.total.detach(), -result.log_likelihood]).float()
        total = self.summed(total)
        parameters = list(self.objective.parameters())
        norm = accelerator.clip_grad_norm_(parameters, plan.clip or math.inf)
        loss = float(total[0]) / targets
        progress.step += 1
        self.check(loss, float(total[1]) / targets, float(norm) if norm is not None else 0.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        progress.tokens += targets
        return loss, targets

    def summed(self, values: Tensor) -> Tensor:
        """The sum over processes."""
        return values if self.accelerator.num_processes == 1 else self.accelerator.reduce(values, "sum")  # pyright: ignore

    def check(self, loss: float, nats: float, norm: float) -> None:
        """Stop before an update which would spoil the weights."""
        progress = self.progress
        step = progress.step
        good = (
            f"the last good checkpoint is {found[-1]}" if (found := checkpoints(self.checkpoints)) else "no checkpoint"
        )
        if not math.isfinite(loss) or not math.isfinite(norm):
            what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
            raise Diverged(f"{what} at step {step:,}; {good}. A lower plan.rate or a plan.clip may help")
        progress.level = nats if progress.level is None else 0.95 * progress.level + 0.05 * nats
        progress.lowest = min(progress.lowest, progress.level)
        if progress.level > progress.lowest + self.run.plan.rise:
            raise Diverged(
                f"the loss rose to {progress.level:.2f} nats a token at step {step:,}, more than plan.rise="
                f"{self.run.plan.rise} above its lowest, {progress.lowest:.2f}; {good}. A lower plan.rate may help"
            )

    def agreed_to_stop(self) -> bool:
        """Whether any process was asked to stop."""
        flag = torch.tensor([float(bool(self.stop))], device=self.accelerator.device)
        return bool(self.summed(flag) > 0)

    def plain_model(self) -> nn.Module | None:
        """The model as one process can use it; None in processes which have nothing to do."""
        if self.accelerator.distributed_type != DistributedType.FSDP:
            return self.translator.model if self.is_main else None
        weights = self.weights()  # every process takes part
        if not self.is_main:
            return None
        model = self.model_type(self.config)
        fill(model, weights, "the sharded model")
        return model

    def weights(self) -> dict[str, Tensor]:
        """All weights, whole, by the plain model's names."""
        whole: Any = get_model_state_dict(self.objective, options=_FULL)
        return {name: whole[f"model.{name}"] for name in self.names} if whole else {}

    def validate(self) -> None:
        """Measure on the validation set, and keep the model if it is the best so far."""
        state, model = random_state(), self.plain_model()
        if model is not None:
            measures = self.measure(model)
            best = {"bleu": measures.get("bleu"), "exact_match": measures.get("exact_match"), "loss": -measures["nats"]}
            value = best[self.run.plan.best]
            assert value is not None
            self.log.add(self.progress.step, **{f"validation_{name}": number for name, number in measures.items()})
            shown = "  ".join(f"{name} {number:.4g}" for name, number in measures.items())
            mark = ""
            if value > self.progress.best:
                self.progress.best, self.progress.best_step, mark = value, self.progress.step, "  (best)"
                Translator(model, self.translator.source, self.translator.target).save(self.folder)
            self.bar.say(f"step {self.progress.step:,} validation: {shown}{mark}")
        self.accelerator.wait_for_everyone()
        set_random_state(state)
        self.objective.train()

    def measure(self, model: nn.Module) -> dict[str, float]:
        """Loss and perplexity of the validation set, and BLEU and exact match of its first greedy translations."""
        objective = Translation(model).eval()
        nats, tokens = 0.0, 0
        with torch.no_grad(), self.accelerator.autocast():
            for _, batch in ordered(self.validation_store, self.validation_batching):
                result = objective(*(side.to(self.accelerator.device) for side in (batch.source, batch.target)))
                nats, tokens = nats - float(result.log_likelihood), tokens + result.tokens
        measures = {"nats": nats / tokens, "perplexity": math.exp(min(50.0, nats / tokens))}
        if self.run.plan.validate_sentences:
            text = located(self.run.validation)
            pairs = list(islice(text.read(), self.run.plan.validate_sentences))
            translator = Translator(model, self.translator.source, self.translator.target)
            outputs = translator.translate([pair.source for pair in pairs], beams=1, length_penalty=0.0)
            references = [pair.target for pair in pairs]
            measures["bleu"] = sacrebleu.corpus_bleu(outputs, [references]).score
            same = sum(output == reference for output, reference in zip(outputs, references, strict=True))
            measures["exact_match"] = 100.0 * same / len(references)
        return measures

    def save(self) -> None:
        """Write a checkpoint, every process its part."""
        accelerator, progress = self.accelerator, self.progress
        writer = Writer(self.checkpoints, progress.step)
        if self.is_main:
            writer.begin()
        accelerator.wait_for_everyone()
        writer.add(f"random-{accelerator.process_index}.safetensors", random_state())
        weights = self.weights()
        inner = getattr(self.optimiser, "optimizer", self.optimiser)
        state: Any = get_optimizer_state_dict(self.objective, inner, options=_FULL)
        accelerator.wait_for_everyone()
        if self.is_main:
            writer.add(MODEL, weights)
            writer.add(OPTIMISER, pack_optimiser(state["state"]))
            about = {**progress.table(), "processes": accelerator.num_processes}
            writer.finish(about, max(self.run.plan.keep, self.run.plan.average))
        accelerator.wait_for_everyone()

    def finish(self) -> None:
        """Try the mean of the last checkpoints, and keep it if it is better than the best."""
        if not self.is_main or self.run.plan.average < 2:
            return
        folders = checkpoints(self.checkpoints)[-self.run.plan.average :]
        model = self.model_type(self.config).eval()
        fill(model, average(folders), str(self.checkpoints))
        measures = self.measure(model.to(self.accelerator.device))
        value = -measures["nats"] if self.run.plan.best == "loss" else measures[self.run.plan.best]
        kept = value >= self.progress.best
        if kept:
            Translator(model.cpu(), self.translator.source, self.translator.target).save(self.folder)
        shown = "  ".join(f"{name} {number:.4g}" for name, number in measures.items())
        verdict = "kept" if kept else f"not better than step {self.progress.best_step:,}"
        self.bar.say(f"mean of the last {len(folders)} checkpoints: {shown}  ({verdict})")


def interrupted_status(number: int = signal.SIGINT) -> int:
    """The exit status by which a shell knows a process that was stopped."""
    return 128 + number


__all__ = ["Diverged", "Interrupted", "interrupted_status", "train"]

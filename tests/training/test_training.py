"""What the loop promises, step by step."""

import json
import math
import re
import tracemalloc
from dataclasses import replace
from itertools import islice

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from small_runs import NARROW, outcome, small

import regard
from regard.data.buckets import Batching, Buckets
from regard.data.loading import Cursor, stream
from regard.data.pair_store import PairStore
from regard.data.parallel import ParallelText
from regard.models import MODELS
from regard.objectives.translation import Translation
from regard.text.tokenizer import Tokenizer
from regard.training import loop
from regard.training.checkpoint import checkpoints
from regard.training.log import Bar, read_measures
from regard.training.loop import Diverged, train
from regard.training.run import read_run
from regard.training.translation import TranslationTask


def noting(losses):
    """A callback which notes the loss of every update."""
    return lambda step, loss, model: losses.append(loss)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 22 updates with every kind of output."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(small(steps=22, average=3, best="loss"), folder)
    return folder


def test_the_folder_of_a_run_is_a_model_directory(trained):
    assert len(regard.load(trained).translate(["de_CH 3. März 1998"], beams=1, longest=5)) == 1


def test_a_run_is_written_as_it_was(trained):
    assert read_run(trained / "run.toml").table() == small(steps=22, average=3, best="loss").table()


def test_only_the_last_checkpoints_are_kept(trained):
    assert [path.name for path in checkpoints(trained / "checkpoints")] == [
        "step-00000016",
        "step-00000020",
        "step-00000022",
    ]


def test_measures_have_their_steps(trained):
    measures = read_measures(trained / "measures.jsonl")
    assert [line["step"] for line in measures if "loss" in line] == [1, 20]
    assert [line["step"] for line in measures if "validation_nats" in line] == [5, 10, 15, 20, 22]


def test_tensorboard_finds_every_curve(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "curves")).Reload()
    training = {"loss", "rate", "tokens"}
    validation = {"validation_nats", "validation_perplexity", "validation_bleu", "validation_exact_match"}
    assert set(events.Tags()["scalars"]) == training | validation
    assert [event.step for event in events.Scalars("validation_nats")] == [5, 10, 15, 20, 22]


def test_the_model_kept_at_the_end_is_the_better_of_the_best_and_the_mean(tmp_path, trained, capfd):
    def nats(tensors):
        objective = Translation(MODELS["transformer"].model(regard.load(trained).model.config)).eval()
        objective.model.load_state_dict({**tensors, "output.weight": tensors["token.weight"]})
        store = PairStore.open(trained / "data" / "validation")
        batch = store.batch(range(len(store)))
        with torch.no_grad():
            result = objective(batch.source, batch.target)
        return -float(result.log_likelihood) / result.tokens

    kept = load_file(trained / "model.safetensors")
    last = [load_file(path / "model.safetensors") for path in checkpoints(trained / "checkpoints")]
    mean = {name: torch.stack([one[name].double() for one in last]).mean(0).float() for name in last[0]}
    best = min(line["validation_nats"] for line in read_measures(trained / "measures.jsonl") if "loss" not in line)
    assert nats(kept) == pytest.approx(min(best, nats(mean)), abs=1e-6)  # float32 sums of another order


def test_the_mean_of_checkpoints_is_the_arithmetic_mean(trained):
    from regard.training.checkpoint import average

    folders = checkpoints(trained / "checkpoints")
    files = [load_file(folder / "model.safetensors") for folder in folders]
    for name, tensor in average(folders).items():
        torch.testing.assert_close(tensor, sum(file[name] for file in files) / 3, atol=1e-7, rtol=1e-6)


def test_validation_changes_no_weight(tmp_path):
    for name, every in (("often", 1), ("seldom", 100)):
        train(small(steps=3, save_every=3, validate_every=every), tmp_path / name)
    assert outcome(tmp_path / "often")["model.safetensors"] == outcome(tmp_path / "seldom")["model.safetensors"]


def gradients(monkeypatch, folder, *, clip: float = 0.0, **plan) -> list[dict[str, torch.Tensor]]:
    """The gradients of each update, in float64, of a model without dropout."""
    seen: list[dict[str, torch.Tensor]] = []
    run = small("rnnsearch", clip=clip, sentences=20, tokens=0, validate_sentences=0, best="loss", **plan)
    run = replace(run, model={**run.model, "dropout": 0.0})

    def sgd(parameters, decay, beta2):
        class Watched(torch.optim.SGD):
            def step(self, closure=None):
                if self.param_groups[0]["lr"]:  # torch makes the state to be saved by a step of rate 0
                    seen.append({n: p.grad.clone() for n, p in enumerate(self.param_groups[0]["params"])})

        return Watched(parameters, lr=1.0)

    monkeypatch.setitem(loop.OPTIMISERS, "adam", sgd)
    torch.set_default_dtype(torch.float64)
    try:
        train(run, folder)
    finally:
        torch.set_default_dtype(torch.float32)
    return seen


def together(folder, divisor: str) -> dict[int, torch.Tensor]:
    """The same gradient, of two batches made one by hand."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("model_type")
    store = PairStore.open(folder / "data" / "train")
    batches = stream(Buckets(store, Batching(sentences=20, pool=40, seed=1)))
    from regard.attention.packing import Packed

    two = [next(batches)[0] for _ in range(2)]
    source = Packed.of(ids.tolist() for batch in two for ids in batch.source.unpack(batch.source.tokens))
    target = Packed.of(ids.tolist() for batch in two for ids in batch.target.unpack(batch.target.tokens))
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(1)
        objective = Translation(MODELS["rnnsearch"].model(MODELS["rnnsearch"].config(**config)), smoothing=0.1)
        total = objective(source, target).total
    finally:
        torch.set_default_dtype(torch.float32)
    (total / {"tokens": len(target.tokens), "sentences": 40, "nothing": 1}[divisor]).backward()
    return {n: p.grad for n, p in enumerate(objective.parameters()) if p.grad is not None}


@pytest.mark.parametrize("divide", ["tokens", "sentences", "nothing"])
def test_accumulated_batches_are_one_batch(tmp_path, monkeypatch, divide):
    (found,) = gradients(monkeypatch, tmp_path / "run", steps=1, accumulate=2, divide=divide)
    wanted = together(tmp_path / "run", divide)
    assert found.keys() == wanted.keys()
    for n in wanted:  # float64
        torch.testing.assert_close(found[n], wanted[n], atol=1e-11, rtol=1e-9)


def test_the_summed_gradient_is_clipped_as_a_whole(tmp_path, monkeypatch):
    (whole,) = gradients(monkeypatch, tmp_path / "whole", steps=1, divide="nothing")
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in whole.values()))
    assert norm > 1.0
    (clipped,) = gradients(monkeypatch, tmp_path / "clipped", steps=1, divide="nothing", clip=1.0)
    for n in whole:  # torch adds 1e-6 to the norm
        torch.testing.assert_close(clipped[n], whole[n] / norm, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", NARROW)
def test_bfloat16_trains_close_to_float32(tmp_path, kind):
    losses = {}
    for precision in ("float32", "bfloat16"):
        seen = losses.setdefault(precision, [])
        run = small(kind, steps=3, precision=precision, validate_sentences=1, validate_every=100)
        train(run, tmp_path / precision, on_step=noting(seen))
    assert all(math.isfinite(loss) for loss in losses["bfloat16"])
    assert losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.05)  # 8 bits of significand
    exact, rounded = (load_file(tmp_path / name / "model.safetensors") for name in ("float32", "bfloat16"))
    assert {tensor.dtype for tensor in rounded.values()} == {torch.float32}
    assert any(not torch.equal(rounded[name], exact[name]) for name in exact)


def test_a_weight_which_is_not_a_number_stops_the_run_before_the_next_update(tmp_path):
    def spoil(step, loss, model):
        if step == 6:
            with torch.no_grad():
                next(model.parameters()).fill_(math.nan)

    with pytest.raises(Diverged, match=r"the loss is nan at step 7; the last good checkpoint is .*step-00000004"):
        train(small(save_every=4, validate_every=100), tmp_path / "run", on_step=spoil)


def test_weights_which_are_not_finite_are_neither_saved_nor_called_best(tmp_path):
    def spoil(step, loss, model):
        if step == 5:
            with torch.no_grad():
                next(model.parameters()).fill_(math.inf)

    with pytest.raises(Diverged, match=r"a weight is not finite after step 5; the last good checkpoint is .*00000004"):
        train(small(save_every=1, validate_every=1, validate_sentences=1), tmp_path / "run", on_step=spoil)
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run" / "model.safetensors").values())


def test_a_gradient_which_is_not_finite_spoils_no_weight(tmp_path):
    weights = []

    def spoil(step, loss, model):
        weights[:] = [parameter.detach().clone() for parameter in model.parameters()]
        weights.append(model)
        if step == 3:
            next(model.parameters()).register_hook(lambda gradient: gradient * math.inf)

    with pytest.raises(Diverged, match=r"the gradient's norm is (nan|inf) at step 4; there is no checkpoint"):
        train(small(), tmp_path / "run", on_step=spoil)
    *before, model = weights
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_a_loss_which_rises_out_of_bounds_stops_the_run(tmp_path):
    with pytest.raises(Diverged, match=r"(the loss rose to .* plan\.rise=1\.0 above its lowest|is not finite|is nan)"):
        train(small(steps=60, rate=30.0, clip=0.0, schedule="constant", rise=1.0, warmup=0), tmp_path / "run")


def test_lines_stand_in_for_the_bar_where_there_is_no_terminal(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(Bar, "SECONDS", 0.0)
    folder = tmp_path / ("a folder with a name [red]longer[/] than a line " * 2)
    train(small(steps=4), folder)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "\x1b" not in captured.err
    assert "\r" not in captured.err
    lines = captured.err.splitlines()
    assert re.fullmatch(r"step 4/4  loss \d\.\d{3}  [\d,]+ target tokens/s  0:00:00 left", lines[-2])
    assert lines[-1].startswith("step 4 validation: nats ")
    with Bar(1, 0, shows=True) as bar:
        bar.say(str(folder))
    assert capfd.readouterr().err == f"{folder}\n"


def test_training_does_not_hold_the_corpus(tmp_path):
    def peak(pairs: int) -> int:
        source = tmp_path / f"{pairs}.tsv"
        with source.open("w") as file:
            file.writelines(f"{'a b c d ' * 8}{n % 7}\t{'x y ' * 8}{n % 5}\n" for n in range(pairs))
        text = ParallelText(str(source), columns=("1", "2"))
        run = small(steps=1, validate_sentences=1, best="loss")
        tracemalloc.start()
        try:
            train(replace(run, train=text, validation=replace(text, count=5)), tmp_path / str(pairs))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(2_000), peak(8_000)  # each of several chunks
    assert many - few < 200_000  # bytes; the text grows by 600,000, and held as strings or ids by some millions


def test_validation_skips_what_training_may_skip(tmp_path):
    lines = ["a b\tx", "\tnothing", "b a\ty", "a\t"]
    (tmp_path / "text.tsv").write_text("\n".join(lines) + "\n")
    text = ParallelText(str(tmp_path / "text.tsv"), columns=("1", "2"))
    run = small(steps=1)
    run = replace(run, train=text, validation=text, text=replace(run.text, skip=True))
    train(run, tmp_path / "run")
    assert "validation_bleu" in (tmp_path / "run" / "measures.jsonl").read_text()


def test_two_runs_of_different_precision_follow_each_other(tmp_path):
    for precision in ("float32", "bfloat16", "float32"):
        train(small(steps=1, precision=precision), tmp_path / f"{precision}{len(list(tmp_path.iterdir()))}")


def test_a_trainer_of_transformers_which_ran_before_moves_nothing(tmp_path):
    accelerate_state = AcceleratorState._shared_state.copy()
    try:
        for name, theirs in (("before", "no"), ("after", "bf16")):
            AcceleratorState._reset_state()
            Accelerator(mixed_precision=theirs, cpu=True)
            train(small(steps=2), tmp_path / name)
    finally:
        AcceleratorState._shared_state.clear()
        AcceleratorState._shared_state.update(accelerate_state)
    before, after = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("before", "after"))
    assert before == after


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        train(small(steps=2, seed=seed), tmp_path / name)
    one, same, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "same", "other"))
    assert one == same != other


def test_the_rate_of_tokens_leaves_validation_out(tmp_path, monkeypatch):
    import time

    measure = TranslationTask.measure
    monkeypatch.setattr(TranslationTask, "measure", lambda *values: (time.sleep(0.5), measure(*values))[1])
    train(small(steps=3, validate_every=1, validate_sentences=1), tmp_path / "run")
    state = json.loads((checkpoints(tmp_path / "run" / "checkpoints")[-1] / "state.json").read_text())
    updates = state["seconds"]
    monkeypatch.setattr(TranslationTask, "measure", measure)
    train(small(steps=3, validate_every=1, validate_sentences=1), tmp_path / "other")
    other = json.loads((checkpoints(tmp_path / "other" / "checkpoints")[-1] / "state.json").read_text())["seconds"]
    assert updates < other + 1.0


def test_a_checkpoint_keeps_the_place_in_the_stream(tmp_path):
    train(small(steps=3), tmp_path / "run")
    store = PairStore.open(tmp_path / "run" / "data" / "train")
    *_, (_, wanted) = islice(stream(Buckets(store, Batching(tokens=900, pool=40, seed=1))), 3)
    state = json.loads((checkpoints(tmp_path / "run" / "checkpoints")[-1] / "state.json").read_text())
    assert Cursor(*state["cursor"]) == wanted


def test_a_loaded_tokenizer_is_used(tmp_path):
    tokenizer = Tokenizer.train(["0123456789-abc"], kind="characters")
    tokenizer.save(tmp_path / "tokenizer.json")
    run = small(steps=1, validate_sentences=0, best="loss")
    found = train(replace(run, text=replace(run.text, load=str(tmp_path))), tmp_path / "run")
    assert found.source.size == tokenizer.size

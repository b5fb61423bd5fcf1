"""Training of language models."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from small_runs import ended, launch_several, outcome, written

import regard
from regard.data.corpus import Corpus
from regard.data.loading import Cursor, stream
from regard.data.text_store import TextStore
from regard.data.windows import Segments
from regard.models import MODELS
from regard.training.checkpoint import checkpoints
from regard.training.log import read_measures
from regard.training.loop import train
from regard.training.run import read_run


@pytest.fixture
def text(tmp_path):
    """A file for the text of a run."""
    return tmp_path / "text"


READINGS = [("gpt", "stream"), ("gpt2", "documents"), ("gpt3", "stream"), ("transformer-xl", "segments")]


@pytest.mark.parametrize(("kind", "reading"), [*READINGS, ("sparse-transformer", "documents")])
def test_every_model_learns_in_its_way_of_reading(tmp_path, text, kind, reading):
    losses = []
    run = written(text, kind, reading=reading, steps=60, rate=0.01)
    writer = train(run, tmp_path / "run", on_step=lambda step, loss, model: losses.append(loss))
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    assert isinstance(writer.generate(["4 and "], tokens=8, seed=1)[0], str)
    assert read_run(tmp_path / "run" / "run.toml") == run


def test_the_folder_of_a_run_is_a_model_directory(tmp_path, text):
    train(written(text), tmp_path / "run")
    assert regard.load(tmp_path / "run").score(["4 and 16"])[0] < 0


def test_validation_is_the_loss_of_the_best_weights(tmp_path, text):
    train(written(text, reading="stream", average=2), tmp_path / "run")
    writer = regard.load(tmp_path / "run")
    store = TextStore.open(tmp_path / "run" / "data" / "validation")
    ids = store.packed(*([torch.tensor([n]).numpy() for n in (0, store.size)])).tokens
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(ids) - 1, 16):
            part = ids[first : first + 17]
            logs = writer.model(regard.Packed.of([part[:-1]])).log_softmax(-1)
            total -= float(logs.gather(1, part[1:, None]).double().sum())
    measures = [line for line in read_measures(tmp_path / "run" / "measures.jsonl") if "validation_nats" in line]
    nats = total / (len(ids) - 1)
    best = min(line["validation_nats"] for line in measures)
    assert nats == pytest.approx(best, abs=1e-5) or nats < best  # the mean of the last, where it is better
    last = measures[-1]
    assert math.isclose(last["validation_perplexity"], math.exp(last["validation_nats"]), rel_tol=1e-9)
    per_character = last["validation_nats"] / math.log(2)  # a token is a character
    assert math.isclose(last["validation_bits_per_character"], per_character, rel_tol=1e-9)
    assert math.isclose(last["validation_bits_per_byte"], per_character, rel_tol=1e-9)  # and that a byte


@pytest.mark.parametrize("length", [64, 0])
def test_memory_is_that_of_the_segments_before(tmp_path, text, length):
    losses = []
    run = written(text, "transformer-xl", reading="segments", steps=4, optimiser="sgd", decay=0.0, rate=1e-30)
    run = replace(run, model={**run.model, "dropout": 0.0, "memory": length})
    train(run, tmp_path / "run", on_step=lambda step, loss, model: losses.append(loss))
    torch.manual_seed(1)
    folder = tmp_path / "run"
    model = MODELS["transformer-xl"].model(regard.load(folder).model.config)
    model.load_state_dict(regard.load(folder).model.state_dict())
    memory, wanted = None, []
    batches = stream(Segments(TextStore.open(folder / "data" / "train"), 16, 160), Cursor())
    for _, (batch, _) in zip(range(4), batches, strict=False):
        tokens = batch.text.tokens.unflatten(0, (10, -1))
        with torch.no_grad():
            hidden, memory = model.read(tokens[:, :-1], memory if length else None)
            logs = model.output(hidden.flatten(0, 1)).gather(1, tokens[:, 1:].flatten()[:, None])
        wanted.append(-float(logs.mean()))
    assert losses == pytest.approx(wanted, abs=1e-5)  # float32


def test_two_processes_have_lanes_of_their_own_and_go_on_together(tmp_path, text):
    run = written(text, "transformer-xl", reading="segments", tokens=80)
    assert ended(*launch_several(run, tmp_path / "whole", 2)) == [0, 0], (tmp_path / "whole.0.log").read_text()
    assert None not in ended(*launch_several(run, tmp_path / "run", 2, kill=("step", 6)))
    resumed = launch_several(run, tmp_path / "run", 2, resume=True)
    assert ended(*resumed) == [0, 0], (tmp_path / "run.0.log").read_text()
    found, wanted = outcome(tmp_path / "run"), outcome(tmp_path / "whole")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []
    last = checkpoints(tmp_path / "run" / "checkpoints")[-1]
    memories = [load_file(last / f"memory-{rank}.safetensors") for rank in (0, 1)]
    assert not torch.equal(memories[0]["0"], memories[1]["0"])
    with pytest.raises(ValueError, match="the run had 2 processes and now has 1, but each of them has a part"):
        train(run, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["plan.context=65"], "plan.context=65 exceeds the 64 positions of the model's context"),
        (["plan.tokens=32"], "plan.tokens=32 cannot hold one stretch of 64 tokens"),
        (["plan.reading=segments"], "gpt2 carries no memory from segment to segment: set plan.reading = 'stream'"),
        (["plan.reading=lines"], "plan.reading must be one of documents, stream, segments, got 'lines'"),
        (["model.kind=transformer-xl"], "unknown key 'context'"),
        (["plan.smoothing=0.1"], "unknown key 'smoothing'"),
        (["plan.best=bleu"], "plan.best must be one of loss, got 'bleu'"),
        (["plan.optimiser=adam"], "plan.decay is of plan.optimiser='adamw', got 'adam'"),
        (["plan.schedule=constant"], "plan.floor is of the schedules linear and cosine"),
        (["train.share=0.5"], "train: share must be of type list, got 0.5"),
        (["text.kind=words_"], "text.kind must be one of .*did you mean 'words'"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        read_run("tinyshakespeare-gpt2", settings)


def test_a_run_of_parts_which_do_not_go_together_is_refused(text):
    run = written(text)
    with pytest.raises(ValueError, match="train of a run of rnnsearch must be a ParallelText"):
        replace(run, model={"kind": "rnnsearch", "size": "tiny"})


def test_a_published_tokenizer_can_be_given(tmp_path, text):
    written(text)
    from regard.text.tokenizer import Tokenizer

    Tokenizer.train([text.read_text()], kind="bytes", vocabulary=300).save(tmp_path / "tokenizer.json")
    run = written(text, steps=2)
    run = replace(run, text=replace(run.text, load=str(tmp_path / "tokenizer.json")), train=Corpus(str(text)))
    assert train(run, tmp_path / "run").tokenizer.size == 300

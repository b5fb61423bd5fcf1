"""Runs which go on from a model which is there: its size, its tokenizer, its weights."""

import dataclasses
import json

import pytest
import torch
from small_encoders import save_reader
from small_runs import outcome, train_until, written
from tiny import tiny

from regard.decoding.translator import Translator
from regard.decoding.writer import Writer
from regard.models.parameters import plain_weights
from regard.models.saved import load_model
from regard.text.tokenizer import Tokenizer
from regard.training.loop import train
from regard.training.run import build_run, read_run

WORDS = Tokenizer.train(["4 and 16\n", "the cat sees\n", "3 and 9\n"] * 4, kind="bpe", vocabulary=60)
SMALL = {"steps": 4, "rate": 1e-4, "warmup": 0, "save_every": 2, "validate_every": 2}


@pytest.fixture
def writer(tmp_path):
    """The folder of a GPT-2."""
    Writer(tiny("gpt2", words=WORDS.size, dtype=torch.float32, context=24), WORDS).save(tmp_path / "first")
    return tmp_path / "first"


@pytest.fixture
def table(tmp_path):
    """A run of a language model which has a tokenizer and a size of its own."""
    found = written(tmp_path / "text", "gpt2", reading="stream", tokens=48).table()
    return {**found, "plan": {**found["plan"], **SMALL, "context": 12}}


def near(folder, first) -> bool:
    """Whether a model is not the first one, but not far from it."""
    one, other = (plain_weights(load_model(place)) for place in (folder, first))
    assert one.keys() == other.keys()
    apart = max(float((one[name] - other[name]).abs().max()) for name in one)
    return 0 < apart < 1e-3 < min(float(one[name].abs().max()) for name in one)


def test_a_language_model_goes_on_and_then_needs_its_beginning_no_more(tmp_path, table, writer):
    run = build_run({**table, "model": {"kind": "gpt2", "from": str(writer)}, "text": {}}, "run")
    train(run, tmp_path / "whole")
    assert near(tmp_path / "whole", writer)
    assert Tokenizer.load(tmp_path / "whole").encode("the cat") == WORDS.encode("the cat")
    train_until(run, tmp_path / "run", 3)
    for path in writer.iterdir():
        path.unlink()
    train(read_run(tmp_path / "run" / "run.toml"), tmp_path / "run", resume=True)
    found, wanted = outcome(tmp_path / "run"), outcome(tmp_path / "whole")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def test_fields_which_do_not_shape_weights_can_be_changed(tmp_path, table, writer):
    model = {"kind": "gpt2", "from": str(writer), "dropout": 0.25}
    trained = train(build_run({**table, "model": model, "text": {}}, "run"), tmp_path / "run")
    assert (trained.model.config.dropout, trained.model.config.context) == (0.25, 24)
    model = {"kind": "gpt2", "from": str(writer), "width": 32}
    with pytest.raises(ValueError, match=r"weights of .* are of another shape: they have width=\d+, not 32$"):
        train(build_run({**table, "model": model, "text": {}}, "run"), tmp_path / "other")
    assert not (tmp_path / "other" / "data").exists()


def test_a_translator_goes_on(tmp_path):
    model = tiny("transformer", words=WORDS.size, dtype=torch.float32)
    Translator(model, WORDS, WORDS).save(tmp_path / "first")
    (tmp_path / "de").write_text("4 and 16\n3 and 9\nthe cat\n" * 5)
    sides = {"path": str(tmp_path / "de"), "target_path": str(tmp_path / "de")}
    plan = {**SMALL, "tokens": 40, "validate_sentences": 2, "best": "loss"}
    table = {"name": "t", "train": sides, "validation": sides, "plan": plan}
    run = build_run({**table, "model": {"kind": "transformer", "from": str(tmp_path / "first")}}, "run")
    train(run, tmp_path / "run")
    assert near(tmp_path / "run", tmp_path / "first")


def test_a_recipe_takes_a_model_in_place_of_its_own(tmp_path, table, writer):
    import tomli_w

    table["text"] = {"kind": "characters", "vocabulary": 90, "skip": True}
    (tmp_path / "run.toml").write_bytes(tomli_w.dumps(table).encode())
    run = read_run(tmp_path / "run.toml", ["plan.steps=3", "model.dropout=0.5"], str(writer))
    assert run.model == {"kind": "gpt2", "from": str(writer), "dropout": 0.5}
    assert (run.text.kind, run.text.skip, run.plan.steps) == ("bytes", True, 3)
    for setting, key in (("text.kind=bytes", "text.kind"), ("model.vocabulary=99", "model.vocabulary")):
        with pytest.raises(ValueError, match=f"{key} means nothing"):
            read_run(tmp_path / "run.toml", [setting], str(writer))
    bert = save_reader(tmp_path / "bert", "bert")
    with pytest.raises(ValueError, match=r"holds bert, and .* is a run of gpt2, which reads something else"):
        read_run(tmp_path / "run.toml", (), str(bert))
    with pytest.raises(FileNotFoundError, match="no model at nowhere"):
        read_run(tmp_path / "run.toml", (), "nowhere")


def test_what_cannot_be_gone_on_from_is_refused(tmp_path, table, writer):
    for model, message in (
        ({"kind": "gpt2", "from": str(writer), "size": "tiny"}, "has its size: leave model.size out"),
        ({"kind": "gpt", "from": str(writer)}, "holds gpt2, not gpt"),
        ({"kind": "gpt2"}, "model.size"),
    ):
        with pytest.raises(ValueError, match=message):
            build_run({**table, "model": model}, "run")
    Tokenizer.train(["another text"], kind="characters", vocabulary=40).save(tmp_path / "other.json")
    other = {**table, "model": {"kind": "gpt2", "from": str(writer)}, "text": {"load": str(tmp_path / "other.json")}}
    with pytest.raises(ValueError, match="are of another shape: they have vocabulary="):
        train(build_run(other, "run"), tmp_path / "run")


def test_a_published_directory_begins_a_run(tmp_path, table):
    """As Transformers writes it, with the tokenizer's two files of GPT-2."""
    transformers = pytest.importorskip("transformers")
    import tokenizers

    words = tokenizers.ByteLevelBPETokenizer()
    words.train_from_iterator(["the cat sees 4 and 16"] * 9, vocab_size=300, special_tokens=["<|endoftext|>"])
    words.save_model(str(tmp_path))
    config = transformers.GPT2Config(vocab_size=words.get_vocab_size(), n_positions=32, n_embd=16, n_layer=2, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    run = build_run({**table, "model": {"kind": "gpt2", "from": str(tmp_path)}, "text": {}}, "run")
    train(run, tmp_path / "run")
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["eos_token_id"] == words.token_to_id("<|endoftext|>")
    assert dataclasses.asdict(load_model(tmp_path / "run").config)["depth"] == 2

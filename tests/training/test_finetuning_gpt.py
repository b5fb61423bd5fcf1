"""GPT and GPT-2 fine-tuned by labels: from a language model to the model directory."""

import json

import pytest
import torch
from small_encoders import BAD, GOOD, LINES, THINGS, save_reader
from small_runs import outcome, train_until
from test_finetuning import planned
from tiny import tiny_config

from regard.data.inputs import Inputs
from regard.data.table import Table
from regard.decoding.writer import Writer
from regard.models import MODELS
from regard.models.parameters import plain_weights
from regard.models.saved import load_model, save_model
from regard.reading.reader import Reader
from regard.text.tokenizer import Tokenizer
from regard.training.finetuning import FineTuningTask
from regard.training.loop import train
from regard.training.planning import source_of
from regard.training.run import read_run

KINDS = ["gpt", "gpt2"]


def save_language_model(folder, kind="gpt", **changes):
    """A small language model at its published start."""
    words = Tokenizer.train(LINES * 3, kind="bpe", vocabulary=120)
    torch.manual_seed(3)
    config = tiny_config(kind, words.size, width=32, depth=2, heads=2, context=32, **changes)
    Writer(MODELS[kind].model(config).eval(), words).save(folder)
    return folder


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("models") / "gpt")


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_learnt_beside_the_texts(tmp_path, kind, table):
    model = save_language_model(tmp_path / "model", kind)
    run, _ = planned(model, table, epochs=16.0)
    assert (run.model["kind"], run.plan.auxiliary) == (f"{kind}-encoder", 0.5)
    train(run, tmp_path / "run")
    reader = Reader.load(tmp_path / "run")
    assert [one.label for one in reader.predict(["the film was good", "dull song"])] == ["pos", "neg"]
    size = Tokenizer.load(model).size
    assert reader.tokenizer.size == reader.encoder.config.vocabulary == size + 3


def test_the_texts_are_learnt_as_far_as_they_are_to_be(tmp_path, gpt, table):
    """Without the auxiliary loss the scores of next tokens stay as bad as they were."""
    losses = {}
    for share in (0.0, 0.5):
        run, _ = planned(gpt, table, epochs=6.0, auxiliary=share)
        reader = train(run, tmp_path / f"run-{share}")
        text, _ = reader.frame(["the film was good", "bright dinner"])[0].packed(torch.arange(2).numpy())
        states = reader.encoder.hidden(text)[:-1]
        of_next = reader.encoder.output(states).log_softmax(-1)[torch.arange(len(states)), text.tokens[1:]]
        losses[share] = float(-of_next.detach().mean())
    assert losses[0.5] < losses[0.0] - 1


def test_new_tokens_begin_at_random_and_all_else_as_it_was(tmp_path, gpt, table):
    run, _ = planned(gpt, table)
    task = FineTuningTask(run, tmp_path)
    task.prepare(lambda _: None, keeps=False)
    torch.manual_seed(0)
    model = task.build_model()
    fresh = plain_weights(model.encoder)["token.weight"].clone()
    task.begin(model, lambda _: None)
    given, found = plain_weights(load_model(gpt)), plain_weights(model.encoder)
    known = len(given["token.weight"])
    assert torch.equal(found["token.weight"][:known], given["token.weight"])
    assert torch.equal(found["token.weight"][known:], fresh[known:])
    assert 0.01 < fresh[known:].std() < 0.03
    assert all(torch.equal(found[name], given[name]) for name in given if name != "token.weight")
    assert model.encoder.output.weight is model.encoder.token.weight


def test_rows_which_a_model_has_to_spare_are_not_taken_for_tokens(tmp_path, table):
    """A table of embeddings may be larger than the vocabulary; its spare rows have been pushed away from all texts."""
    model = save_language_model(tmp_path / "model")
    plain = Tokenizer.load(model)
    grown = MODELS["gpt"].model(tiny_config("gpt", plain.size + 13, width=32, depth=2, heads=2, context=32))
    with torch.no_grad():
        grown.token.weight[plain.size :] = 9.0
    save_model(grown, model)
    run, _ = planned(model, table)
    assert run.model["vocabulary"] == plain.size + 13
    task = FineTuningTask(run, tmp_path / "run")
    task.prepare(lambda _: None, keeps=False)
    tuned = task.build_model()
    task.begin(tuned, lambda _: None)
    assert tuned.encoder.token.weight.abs().max() < 1


def test_a_stopped_run_ends_as_one_which_never_was(tmp_path, gpt, table):
    run, _ = planned(gpt, table, workers=2)
    train(run, tmp_path / "whole")
    train_until(run, tmp_path / "run", 5)
    train(read_run(tmp_path / "run" / "run.toml"), tmp_path / "run", resume=True)
    found, wanted = outcome(tmp_path / "run"), outcome(tmp_path / "whole")
    assert [part for part in wanted if found.get(part) != wanted[part]] == []


def test_what_was_tuned_once_is_tuned_again(tmp_path, gpt, table):
    first, _ = planned(gpt, table)
    train(first, tmp_path / "first")
    run, _ = planned(tmp_path / "first", table)
    assert run.model["vocabulary"] == first.model["vocabulary"]
    train(run, tmp_path / "second")
    assert Tokenizer.load(tmp_path / "second") == Tokenizer.load(tmp_path / "first")


def test_frozen_layers_stay_and_the_last_norm_moves(tmp_path, table):
    model = save_language_model(tmp_path / "model", "gpt2")
    run, _ = planned(model, table, epochs=0.5, freeze=2)
    assert run.plan.auxiliary == 0.0  # nothing is left which could learn the texts
    train(run, tmp_path / "run")
    before, after = plain_weights(load_model(model)), plain_weights(load_model(tmp_path / "run").encoder)
    after["token.weight"] = after["token.weight"][: len(before["token.weight"])]
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"end"}


def pairs(path, count=60):
    """Pairs which are alike in being good or bad, or not; in one order each."""
    rows = []
    for number in range(count):
        word, other = (GOOD, BAD)[number % 2][number % 3], (GOOD + BAD)[number % 5]
        alike = (other in GOOD) == (number % 2 == 0)
        rows.append(f"the {THINGS[number % 6]} was {word},{other} {THINGS[number % 4]},{'same' if alike else 'other'}")
    path.write_text("text,pair,label\n" + "\n".join(rows) + "\n")
    return Table(str(path), text="text", pair="pair")


@pytest.mark.parametrize("which", ["gpt", "bert"])
def test_pairs_are_read_in_both_orders_in_training_and_in_use(tmp_path, gpt, which):
    model = gpt if which == "gpt" else save_reader(tmp_path / "bert")
    source = pairs(tmp_path / "t.csv")
    run, _ = planned(model, source, both_orders=True, text={"longest": 24})
    reader = train(run, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["both_orders"] is True
    loaded = Reader.load(tmp_path / "run")
    asked = [("the film was good", "dull"), ("a walk", "the bright day was fine"), ("dull", "the film was good")]
    one, two, turned = (list(found.probabilities.values()) for found in loaded.predict(asked))
    assert one == pytest.approx(turned, abs=1e-6)
    assert one != pytest.approx(two, abs=1e-6)
    # what both orders say by themselves, added up before the head
    (a, b), framing = ([loaded.tokenizer.encode(text) for text in asked[0]], loaded.framing)
    text, segments = Inputs.of([framing.frame(a, b), framing.frame(b, a)]).packed(torch.arange(2).numpy())
    with torch.no_grad():
        sums = loaded.encoder(text, segments).sum(0, keepdim=True)
        wanted = loaded.model.output(sums).softmax(-1)[0].tolist()
    assert one == pytest.approx(wanted, abs=1e-6)
    assert reader.pairs == "both"
    with pytest.raises(ValueError, match="pairs are read in both orders here, got one text, 'the film'"):
        loaded.predict(["the film"])


def test_what_does_not_go_together_is_refused_before_training(tmp_path, gpt, table):
    with pytest.raises(ValueError, match=r"train\.csv:2: pairs are read in both orders here, got one text"):
        planned(gpt, table, both_orders=True)
    rows = [{"question": "the film", "choices": ["good", "bad"], "answer": n % 2} for n in range(20)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = Table(str(tmp_path / "t.jsonl"))
    with pytest.raises(ValueError, match=r"model\.both_orders is true or false, and of .*, got True for choice"):
        planned(gpt, options, Table(options.path, count=10), both_orders=True)
    with pytest.raises(
        ValueError, match=r"plan\.auxiliary is of models which see what comes before alone, as gpt, got"
    ):
        planned(save_reader(tmp_path / "bert"), table, auxiliary=0.5)
    (tmp_path / "t.conll").write_text("good A\nfilm B\n\nfilm B\ngood A\n\n")
    tagged = source_of(str(tmp_path / "t.conll"), "", {})
    with pytest.raises(
        ValueError, match="head of gpt-encoder must be one of classification, regression, choice, got 't"
    ):
        planned(gpt, tagged, source_of(tagged.path, "", {"count": 1}))
    questions = source_of(str(tmp_path / "t.json"), "", {})
    with pytest.raises(
        ValueError, match="task of gpt-encoder must be one of classification, regression, choice, got 's"
    ):
        planned(gpt, questions)
    for kind in ("gpt-neo", "gpt3"):
        model = save_language_model(tmp_path / kind, kind)
        with pytest.raises(ValueError, match=f"holds {kind}, which is no encoder, and is not fine-tuned by labels"):
            planned(model, table)

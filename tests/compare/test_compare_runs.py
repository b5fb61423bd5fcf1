"""Comparisons at toy size: what contestants share, what they may spend, and how they go on."""

import dataclasses
import json
import os
import signal
from itertools import islice

import pytest
import torch
from small_encoders import LINES, write_reviews

from regard.compare import running
from regard.compare.comparison import Comparison
from regard.compare.contestants import read_comparison
from regard.compare.measuring import YARDSTICKS
from regard.compare.presenting import Outcome
from regard.compare.running import Result, compare
from regard.data.loading import Cursor
from regard.models.saved import load_model
from regard.training.checkpoint import checkpoints, read_state
from regard.training.loop import Diverged, Interrupted
from regard.training.run import read_run

SMALL = ["train.count=150", "validation.count=12", "test.count=2", "plan.tokens=300", "plan.pool=40", "model.width=16"]
LOSS = ["plan.best=loss", "plan.validate_sentences=0"]
SELDOM = ["plan.steps=100", "plan.warmup=10", "plan.validate_every=25", "plan.save_every=25"]
PAIRS = ["dates-transformer", "dates-rnnsearch"]


def silent(text: str) -> None:
    """Nobody listens."""


def dates(budget: str = "2.5ktokens", seeds: int = 2, **options) -> Comparison:
    """Two systems which read dates."""
    return read_comparison(PAIRS, budget=budget, seeds=seeds, settings=[*SMALL, *LOSS, *SELDOM], **options)


def plain(result: Result) -> dict:
    """A result without what is never twice the same."""
    values = dataclasses.asdict(dataclasses.replace(result, seconds=0.0, memory=0))
    return {**values, "points": [{**point, "seconds": 0.0} for point in values["points"]]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A comparison which nobody stopped: its folder and its results."""
    folder = tmp_path_factory.mktemp("whole") / "comparison"
    return folder, compare(dates(), folder, silent)[0]


def batches(folder, count):
    """The first batches of the run in a folder."""
    run = read_run(folder / "run.toml")
    task = run.task(run, folder)
    task.prepare(silent, keeps=True)
    return [batch for batch, _ in islice(task.batches(Cursor(), 0, 1), count)]


def test_all_read_the_same_examples_in_the_same_order(whole):
    folder, results = whole
    for seed in (1, 2):
        transformer, rnnsearch = (batches(folder / "runs" / f"{name}-{seed}", 20) for name in PAIRS)
        for one, other in zip(transformer, rnnsearch, strict=True):
            assert torch.equal(one.source.tokens, other.source.tokens)
            assert torch.equal(one.target.tokens, other.target.tokens)
    first, second = (batches(folder / "runs" / f"{PAIRS[0]}-{seed}", 20) for seed in (1, 2))
    assert any(
        not torch.equal(one.source.tokens, other.source.tokens) for one, other in zip(first, second, strict=True)
    )
    assert len({result.tokens for result in results if result.seed == 1}) == 1


def test_tokens_are_spent_to_within_one_batch(whole):
    folder, results = whole
    for result in results:
        largest = max(
            batch.extent for batch in batches(folder / "runs" / f"{result.name}-{result.seed}", result.updates)
        )
        assert 0 <= result.tokens - 2500 < largest


def test_a_tokenizer_and_a_text_are_made_once(whole):
    folder, _ = whole
    shared = folder / "shared"
    for run in (folder / "runs").iterdir():
        assert (run / "tokenizer.json").read_bytes() == (shared / "tokenizer.json").read_bytes()
        for path in (shared / "data").rglob("*.ids"):
            assert os.path.samefile(path, run / "data" / path.relative_to(shared / "data"))


def test_all_is_measured_at_shares_of_the_budget(whole):
    for result in whole[1]:
        assert [point.tokens // 625 for point in result.points] == [1, 2, 3, 4]  # each quarter of the budget
        assert [point.tokens for point in result.points] == sorted(point.tokens for point in result.points)
        assert result.points[-1].tokens == result.tokens
        assert result.points[-1].operations == result.operations > 0
        assert set(result.measures) == {"BLEU", "chrF", "exact match, per cent", "perplexity a token"}
        assert result.parameters > 1000


def test_a_comparison_which_was_stopped_ends_as_one_which_never_was(tmp_path, whole, monkeypatch):
    trained, train = [], running.train

    def stopping(run, folder, **options):
        """Train, and be told to stop in the second run."""
        trained.append(run.name)
        if len(trained) == 2:
            options["on_step"] = lambda step, loss, model: os.kill(os.getpid(), signal.SIGTERM) if step == 4 else None
        return train(run, folder, **options)

    monkeypatch.setattr(running, "train", stopping)
    with pytest.raises(
        Interrupted,
        match=r"dates-rnnsearch, seed 1 \(2 of 4\): stopped by SIGTERM after step 5; the same command goes on",
    ):
        compare(dates(), tmp_path, silent)
    assert (
        read_state(checkpoints(tmp_path / "runs" / "dates-rnnsearch-1" / "checkpoints")[-1])["step"] == 5
    )  # the update in which the signal was noted
    results, _ = compare(dates(), tmp_path, silent)
    assert trained == [
        "dates-transformer, seed 1",
        "dates-rnnsearch, seed 1",  # stopped
        "dates-rnnsearch, seed 1",
        "dates-transformer, seed 2",
        "dates-rnnsearch, seed 2",
    ]
    assert [plain(result) for result in results] == [plain(result) for result in whole[1]]
    for result in results:
        weights = f"runs/{result.name}-{result.seed}/model.safetensors"
        assert (tmp_path / weights).read_bytes() == (whole[0] / weights).read_bytes()


def test_operations_are_spent_to_within_one_update_and_resumed_to_the_bit(tmp_path, monkeypatch):
    comparison = dates(budget="0.4GFLOP", seeds=1)
    wanted, _ = compare(comparison, tmp_path / "whole", silent)
    for result in wanted:
        each = result.operations / result.updates
        assert 0 <= result.operations - 4 * 10**8 < 3 * each
    assert wanted[0].tokens != wanted[1].tokens  # the same operations are another number of tokens
    train = running.train

    def stopping(run, folder, **options):
        return train(
            run, folder, **options, on_step=lambda step, *_: os.kill(os.getpid(), signal.SIGTERM) if step == 3 else None
        )

    monkeypatch.setattr(running, "train", stopping)
    with pytest.raises(Interrupted):
        compare(comparison, tmp_path / "stopped", silent)
    monkeypatch.setattr(running, "train", train)
    found, _ = compare(comparison, tmp_path / "stopped", silent)
    assert [plain(result) for result in found] == [plain(result) for result in wanted]


def test_what_is_done_is_not_done_again_and_seeds_may_be_added(tmp_path, monkeypatch):
    trained, train = [], running.train
    monkeypatch.setattr(
        running, "train", lambda run, *args, **options: trained.append(run.name) or train(run, *args, **options)
    )
    first, _ = compare(dates(seeds=1), tmp_path, silent)
    again, _ = compare(dates(seeds=1), tmp_path, silent)
    assert again == first
    assert len(trained) == 2
    said = []
    more, _ = compare(dates(seeds=2), tmp_path, said.append)
    assert "2 seeds instead of 1" in said
    assert trained[2:] == ["dates-transformer, seed 2", "dates-rnnsearch, seed 2"]
    assert more[:2] == first


def test_a_folder_holds_one_comparison(tmp_path):
    dates().save(tmp_path)
    (tmp_path / "runs" / "dates-transformer-1").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"differs in budget, contestants.dates-transformer.plan.budget"):
        compare(dates(budget="3ktokens"), tmp_path, silent)


def test_a_damaged_result_is_named(tmp_path, whole):
    dates(seeds=1).save(tmp_path)
    for name in PAIRS:
        (tmp_path / "runs" / f"{name}-1").mkdir(parents=True)
        (tmp_path / "runs" / f"{name}-1" / "result.json").write_text("{")
    with pytest.raises(ValueError, match=r"dates-transformer-1/result\.json is damaged: .* delete it"):
        compare(dates(seeds=1), tmp_path, silent)


def test_several_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ValueError,
        match="2 processes were launched, and this is done by one; contestants are compared on the same machine",
    ):
        compare(dates(), tmp_path, silent)


def test_a_budget_which_does_not_suffice_for_one_update_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"'0\.05ktokens' does not suffice for one update, which takes [\d,]+ tokens"):
        compare(dates(budget="0.05ktokens"), tmp_path, silent)


def test_a_contestant_which_diverges_does_not_keep_others_from_their_end(tmp_path, monkeypatch):
    train = running.train

    def diverging(run, folder, **options):
        """Train; RNNsearch comes to nothing with the second seed."""
        if run.name == "dates-rnnsearch, seed 2":
            raise Diverged("the loss is nan at step 7; there is no checkpoint. A lower plan.rate may help")
        return train(run, folder, **options)

    monkeypatch.setattr(running, "train", diverging)
    results, yardstick = compare(dates(budget="1ktokens"), tmp_path, silent)
    assert [result.diverged for result in results] == ["", "", "", "the loss is nan at step 7"]
    outcome = Outcome(dates(budget="1ktokens"), results, yardstick)
    first, last = outcome.standings()
    assert (first.name, first.verdicts) == ("dates-transformer", [])
    assert last.quality == "not ranked, for not all of its runs came to their ends"
    assert last.verdicts == [("seed 2: the loss is nan at step 7", False)]
    assert outcome.save(tmp_path).is_file()


def test_time_is_spent_to_within_one_update(tmp_path):
    comparison = read_comparison(PAIRS, budget="3s", settings=[*SMALL, *LOSS, *SELDOM])
    for result in compare(comparison, tmp_path, silent)[0]:
        assert result.seconds >= 3.0
        assert result.points[-2].seconds < 3.0


TEXT = "".join(f"{n} and {n * n % 97} make {n * 31 % 89}, or so.\n\n" for n in range(80))
FIVE = ["gpt:tiny", "gpt2:tiny", "gpt3:tiny", "sparse-transformer:tiny", "transformer-xl:tiny,plan.reading=segments"]
WRITING = [
    "text.kind=characters",
    "plan.context=16",
    "plan.tokens=128",
    "model.width=16",
    "model.depth=2",
    "model.heads=2",
    *SELDOM,
]


def test_five_language_models_are_measured_by_bits_a_byte(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    comparison = read_comparison(FIVE, data=str(tmp_path / "text"), budget="1.3ktokens", settings=WRITING)
    results, yardstick = compare(comparison, tmp_path / "out", silent)
    assert yardstick.quality == "bits a byte"
    for result in results:
        nats = json.loads(
            (tmp_path / "out" / "runs" / running.folder_name(f"{result.name}-1") / "measures.jsonl")
            .read_text()
            .splitlines()[-1]
        )
        assert result.measures["bits a byte"] == pytest.approx(min(point.value for point in result.points))
        assert result.points[-1].value == nats["validation_bits_per_byte"]
        assert [length.name for length in result.lengths] == ["0", "1", "2-3", "4-7", "8-15"]
        whole = sum(length.count * length.value for length in result.lengths) / sum(one.count for one in result.lengths)
        assert whole == pytest.approx(result.measures["bits a byte"])


def test_a_text_which_changes_meanwhile_is_named(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    comparison = read_comparison(FIVE[:2], data=str(tmp_path / "text"), budget="0.3ktokens", settings=WRITING)
    first, _ = compare(comparison, tmp_path / "out", silent)
    (tmp_path / "text").write_text(TEXT[:-1])
    again, _ = compare(comparison, tmp_path / "out", silent)  # all is done
    assert again == first
    with pytest.raises(
        ValueError, match=r"has changed since the comparison began, and .*gpt-tiny-2 was trained on the new"
    ):
        compare(dataclasses.replace(comparison, seeds=2), tmp_path / "out", silent)


def test_patterns_of_attention_are_compared_inside_one_model(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    sparse = "sparse-transformer:tiny,model.stride=4,model.summary=1,model.pattern="
    names = [f"{sparse}{pattern}" for pattern in ("dense", "local", "strided over heads", "fixed over layers")]
    comparison = read_comparison(names, data=str(tmp_path / "text"), budget="0.6ktokens", settings=WRITING)
    results, _ = compare(comparison, tmp_path / "out", silent)
    assert [run.model["pattern"] for run in comparison.contestants.values()] == [
        name.rpartition("=")[2] for name in names
    ]
    assert len({result.tokens for result in results}) == 1
    assert len({result.parameters for result in results}) == 1


READING = [
    *("plan.tokens=256", "plan.context=32", "model.width=16", "model.depth=2", "model.heads=2", "model.hidden=24"),
    *(
        "train.documents=paragraphs",
        "validation.documents=paragraphs",
        "text.vocabulary=120",
        "text.sentences=prose",
        "finetune.epochs=1",
        "finetune.longest=16",
        "finetune.examples=8",
    ),
    *SELDOM,
]

DOCUMENTS = "\n\n".join("\n".join(LINES[n : n + 9]) for n in range(28)) * 3  # sentences in lines


def test_encoders_are_measured_by_what_they_learn_of_labelled_examples(tmp_path):
    (tmp_path / "text").write_text(DOCUMENTS)
    table = write_reviews(tmp_path / "reviews.csv", 60)
    names = ["bert:tiny", "albert:tiny,plan.pairs=order", "xlnet:tiny"]
    settings = [*READING, "finetune.untrained=true"]
    comparison = read_comparison(
        names, data=str(tmp_path / "text"), budget="1.5ktokens", finetune=str(table), settings=settings
    )
    results, yardstick = compare(comparison, tmp_path / "out", silent)
    assert (yardstick.quality, yardstick.is_higher_better) == ("accuracy", True)
    for result in results:
        assert result.tokens >= 1500  # of whole sequences, not of hidden words alone
        assert 0 <= result.measures["accuracy"] <= 1
        assert result.measures["nats a hidden word"] > 0
        assert 0 <= result.measures["accuracy before pre-training"] <= 1
    for place in (tmp_path / "out" / "runs").iterdir():  # each began as a run of this seed begins, and moved from there
        begun, run = load_model(place / "untrained"), read_run(place / "run.toml")
        task = run.task(run, place)
        task.prepare(lambda text: None, keeps=True)
        torch.manual_seed(run.plan.seed)
        fresh, pretrained = task.build_model().state_dict(), load_model(place).state_dict()
        assert all(weight.equal(fresh[name]) for name, weight in begun.state_dict().items())
        assert not all(weight.equal(pretrained[name]) for name, weight in begun.state_dict().items())
    again, _ = compare(comparison, tmp_path / "out", silent)
    assert again == results
    place = tmp_path / "out" / "runs" / "bert-tiny-1"  # killed while the model with which it began was written
    (place / "untrained").rename(place / ".untrained.1.partial")
    (place / "result.json").unlink()
    after, _ = compare(comparison, tmp_path / "out", silent)
    assert [one.measures for one in after] == [one.measures for one in results]
    assert not list(place.glob(".*.partial"))


def test_next_words_are_compared_with_masked_ones(tmp_path):
    (tmp_path / "text").write_text(DOCUMENTS)
    table = write_reviews(tmp_path / "reviews.csv", 60)
    settings = [setting for setting in READING if not setting.startswith("model.hidden")]
    names = ["bert:tiny", "gpt-encoder:tiny"]
    data, settings = str(tmp_path / "text"), [*settings, "plan.pairs=none", "finetune.untrained=true"]
    comparison = read_comparison(names, data=data, budget="1ktokens", finetune=str(table), settings=settings)
    results, _ = compare(comparison, tmp_path / "out", silent)
    assert all(result.measures.keys() >= {"accuracy", "accuracy before pre-training"} for result in results)
    assert abs(results[0].tokens - results[1].tokens) < 256


def test_encoders_of_one_kind_are_compared_by_their_loss(tmp_path):
    (tmp_path / "text").write_text(DOCUMENTS)
    shared = "albert:tiny,model.groups="
    names = [f"{shared}1", f"{shared}2"]
    settings = [setting for setting in READING if "finetune" not in setting]
    comparison = read_comparison(names, data=str(tmp_path / "text"), budget="1ktokens", settings=settings)
    results, yardstick = compare(comparison, tmp_path / "out", silent)
    assert (yardstick.quality, yardstick.is_higher_better) == ("nats a hidden word", False)
    assert results[0].parameters < results[1].parameters
    assert set(results[0].measures) == {"nats a hidden word"}


def test_every_way_of_reading_has_its_measure():
    assert set(YARDSTICKS) == {"pairs", "text", "inputs"}


def test_no_budget_is_spent_before_all_models_are_known_to_be_possible(tmp_path):
    text = tmp_path / "text"
    text.write_text("\n".join(LINES) * 20)
    settings = ["plan.tokens=64", "plan.context=16", "plan.steps=10", "model.width=16", "text.kind=characters"]

    def asked(cutoffs):
        models = ["gpt2:tiny", f"transformer-xl:tiny,model.cutoffs=[{cutoffs}]"]
        return read_comparison(models, data=str(text), budget="1ktokens", settings=settings)

    with pytest.raises(ValueError, match=r"transformer-xl.*: cutoffs must ascend"):
        compare(asked(5000), tmp_path / "out", silent)
    assert not (tmp_path / "out" / "runs").exists()
    said = []
    compare(asked(5), tmp_path / "out", said.append)
    assert "nothing was trained here so far: the comparison begins anew" in said

"""How likely a model holds a text, against reading it anew for every token."""

import pytest
import torch
from tiny import tiny

from regard.attention.packing import Packed
from regard.data.corpus import Piece
from regard.data.text_store import TextStore
from regard.evaluate.likelihood import Reading, likelihood
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["abcdefgh"], kind="characters")  # 11 ids, as many as a tiny model knows
TEXTS = ["abc", "hgfedcbaabcdefghhh", "", "c", "bdbdbdbdbdbdbdbdbdbdbdbdb"]
IDS = [LETTERS.end, *(id for text in TEXTS for id in [*LETTERS.encode(text), LETTERS.end])]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five documents."""
    pieces = [Piece(text, "x", 1) for text in TEXTS]
    return TextStore.build(tmp_path_factory.mktemp("text") / "store", pieces, LETTERS)


def log(model, before, token) -> float:
    """The log-probability of a token after others."""
    with torch.no_grad():
        return float(model(Packed.of([before]))[-1].log_softmax(-1)[token])


def places(size, stride):
    """From where to where a text of `size` tokens is read to predict each of them, in windows of 8."""
    for place in range(1, size):
        if stride:
            last = min(size - 1, ((place - 1) // stride + 1) * stride)  # which the same window predicts
            yield max(0, last - 8), place
        else:
            yield (place - 1) // 8 * 8, place


@pytest.mark.parametrize("stride", [0, 1, 3, 8])
@pytest.mark.parametrize("tokens", [8, 1000])
@pytest.mark.parametrize("name", ["gpt2", "transformer-xl"])
def test_a_stream_is_read_in_windows(store, name, stride, tokens):
    model = tiny(name)
    wanted = -sum(log(model, IDS[first:place], IDS[place]) for first, place in places(len(IDS), stride))
    found = likelihood(model, store, Reading(context=8, stride=stride, tokens=tokens))
    assert found.tokens == len(IDS) - 1
    assert found.nats == pytest.approx(wanted, abs=1e-9)
    by_place, counts = torch.zeros(8, dtype=torch.float64), [0] * 8
    for first, place in places(len(IDS), stride):
        by_place[place - first - 1] -= log(model, IDS[first:place], IDS[place])
        counts[place - first - 1] += 1
    assert found.counts.tolist() == counts
    assert found.by_place.tolist() == pytest.approx(by_place.tolist(), abs=1e-9)


@pytest.mark.parametrize("stride", [0, 2])
def test_documents_do_not_see_one_another(store, stride):
    model, wanted = tiny("gpt"), 0.0
    for text in TEXTS:
        ids = [LETTERS.end, *LETTERS.encode(text), LETTERS.end]
        wanted -= sum(log(model, ids[first:place], ids[place]) for first, place in places(len(ids), stride))
    found = likelihood(model, store, Reading(context=8, stride=stride, documents=True))
    assert (found.tokens, found.nats) == (len(IDS) - 1, pytest.approx(wanted, abs=1e-9))


@pytest.mark.parametrize("lanes", [1, 3])
def test_memory_is_carried_from_segment_to_segment(store, lanes):
    model = tiny("transformer-xl", memory=5)
    reach = (len(IDS) - 1) // lanes
    wanted = 0.0
    for lane in range(lanes):
        ids, memory = torch.tensor(IDS[lane * reach : (lane + 1) * reach + 1]), None
        for first in range(0, reach, 4):
            part = ids[first : first + 5]
            with torch.no_grad():
                hidden, memory = model.read(part[None, :-1], memory)
                wanted -= float(model.output(hidden[0]).gather(1, part[1:, None]).sum())
    found = likelihood(model, store, Reading(context=4, lanes=lanes))
    assert (found.tokens, found.nats) == (lanes * reach, pytest.approx(wanted, abs=1e-9))
    assert found.counts.tolist() == [lanes * len(range(place, reach, 4)) for place in range(4)]
    assert float(found.by_place.sum()) == pytest.approx(wanted, abs=1e-9)


def test_segments_with_all_of_the_memory_are_the_text_at_once(store):
    model = tiny("transformer-xl", memory=1000)
    whole = likelihood(model, store, Reading(context=1000))
    for context in (1, 7):
        assert likelihood(model, store, Reading(context=context, lanes=1)).nats == pytest.approx(whole.nats, abs=1e-9)


def test_the_adaptive_softmax_gives_the_same(store):
    model = tiny("transformer-xl", cutoffs=(4, 7), division=2)
    wanted = -sum(log(model, IDS[first:place], IDS[place]) for first, place in places(len(IDS), 0))
    assert likelihood(model, store, Reading(context=8)).nats == pytest.approx(wanted, abs=1e-9)


def test_scoring_leaves_the_model_as_it_was(store):
    model = tiny("gpt2").train()
    steps = []
    likelihood(model, store, Reading(context=8), steps.append)
    assert model.training
    assert steps[-1] == len(IDS) - 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context": 0}, "context and tokens must be 1 or more"),
        ({"context": 8, "stride": 9}, "stride must lie between 1 and context=8"),
        ({"context": 8, "lanes": -1}, "lanes must not be negative"),
        ({"context": 8, "lanes": 1, "stride": 4}, "without stride"),
    ],
)
def test_readings_which_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Reading(**fields)


def test_a_model_without_memory_is_refused_lanes(store):
    with pytest.raises(ValueError, match="GPT2 carries no memory"):
        likelihood(tiny("gpt2"), store, Reading(context=8, lanes=1))

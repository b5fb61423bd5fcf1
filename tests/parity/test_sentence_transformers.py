"""Vectors of texts and their likeness, beside Sentence Transformers, in whose directories they are kept."""

import dataclasses
import json

import pytest
import torch
from small_encoders import LINES, small_reader
from tiny import shaken
from torch.testing import assert_close

from regard.data.examples import Example
from regard.objectives.labels import labels_of
from regard.reading.embedding import Pooling
from regard.reading.preparing import form_of, prepare
from regard.reading.reader import Reader

peer = pytest.importorskip("sentence_transformers")
losses = pytest.importorskip("sentence_transformers.losses")
EXACT = {"atol": 1e-12, "rtol": 1e-12}
every = pytest.mark.parametrize("kind", ["bert", "albert", "xlnet"])
PAIRS = [(LINES[0], "dull"), ("the good film", LINES[7]), ("a", "the the the"), (LINES[3], LINES[3])]


def saved(folder, kind: str) -> Reader:
    """A small encoder whose texts are compared, in a folder."""
    reader = small_reader(kind, "similarity")
    torch.manual_seed(1)
    shaken(reader.model)
    reader.model.scale = (1.0, 5.0)
    reader.save(folder)
    return reader


@every
def test_a_directory_gives_the_same_vectors_and_cosines_there(kind, tmp_path):
    reader = saved(tmp_path, kind)
    theirs = peer.SentenceTransformer(str(tmp_path), device="cpu")
    texts = [text for pair in PAIRS for text in pair]
    vectors = theirs.encode(texts, convert_to_tensor=True)
    assert_close(reader.embed(texts), vectors, atol=1e-5, rtol=0)
    cosines = torch.stack(
        [theirs.similarity(one, other)[0, 0] for one, other in zip(vectors[::2], vectors[1::2], strict=True)]
    )
    loaded = Reader.load(tmp_path)
    assert loaded.head == "similarity"
    assert loaded.model.scale == (1.0, 5.0)
    found = [one.label for one in loaded.predict(PAIRS)]
    assert found == pytest.approx((1 + 4 * cosines).tolist(), abs=1e-4)
    assert found[-1] == pytest.approx(5.0)  # a text beside itself


@every
def test_what_they_save_is_an_encoder_here(kind, tmp_path):
    """Their directories do not keep our word of a scale, so that there is no number but the cosine."""
    reader = saved(tmp_path / "ours", kind)
    peer.SentenceTransformer(str(tmp_path / "ours"), device="cpu").save(str(tmp_path / "theirs"))
    about = json.loads((tmp_path / "theirs" / "config.json").read_text())
    again = Reader.load(tmp_path / "theirs")
    assert again.head == ("similarity" if "similarity_scale" in about else "")
    assert_close(again.embed(LINES[:3]), reader.embed(LINES[:3]), atol=1e-6, rtol=0)
    assert again.pooling.kind == Pooling().kind


def test_the_loss_and_every_gradient_are_theirs(tmp_path):
    """Their loss is of cosines; ours of numbers, so greater by the square of the scale."""
    reader = saved(tmp_path, "bert")
    model = reader.model.double()
    theirs = peer.SentenceTransformer(str(tmp_path), device="cpu").double().eval()
    golds = [0.875, 0.125, 0.375, 1.0]  # which they round to float32
    items = [Example(pair, 1 + 4 * gold) for pair, gold in zip(PAIRS, golds, strict=True)]
    examples = prepare("similarity", items, (), form_of(reader)).examples
    labels = torch.tensor([item.label for item in items], dtype=torch.float64)
    batch = dataclasses.replace(examples, labels=labels).batch(torch.arange(4).numpy())
    loss = labels_of("similarity", model)(*batch.parts)
    (loss.total / loss.tokens).backward()
    features = [theirs.tokenize([pair[side] for pair in PAIRS]) for side in (0, 1)]
    wanted = losses.CosineSimilarityLoss(theirs)(features, torch.tensor(golds, dtype=torch.float64))
    wanted.backward()
    assert_close(loss.total.detach() / loss.tokens, 16 * wanted.detach(), **EXACT)
    parameter = theirs[0].auto_model.get_parameter("encoder.layer.0.output.dense.weight")
    own = model.encoder.get_parameter("blocks.0.feed_forward.contract.weight")
    assert_close(own.grad, 16 * parameter.grad, **EXACT)
    assert own.grad.abs().max() > 1e-4
    table = theirs[0].auto_model.get_parameter("embeddings.word_embeddings.weight")
    assert_close(model.encoder.token.weight.grad, 16 * table.grad, **EXACT)

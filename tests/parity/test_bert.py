"""BERT beside its authors' TensorFlow code: every layer, the attention, both losses and all gradients."""

import pytest
import torch
from masked_oracles import CLOSE, Published
from torch.testing import assert_close

from regard.attention.record import recording


@pytest.fixture(scope="module")
def bert():
    return Published("bert", "nsp", "next_sentence_labels")


@torch.no_grad()
def test_every_layer_is_that_of_the_authors(bert):
    with bert.watched() as layers:
        states = bert.model.encoder.hidden(bert.text, bert.segments)
    assert_close(bert.model.encoder.embed(bert.text, bert.segments), bert.out("embedding_output")[bert.real], **CLOSE)
    assert len(layers) == 3
    for number, layer in enumerate(layers):
        assert_close(layer, bert.out(f"layer_{number}")[bert.real], **CLOSE)
    assert_close(states, bert.out("sequence_output")[bert.real], **CLOSE)
    assert_close(bert.model.encoder(bert.text, bert.segments), bert.out("pooled_output"), **CLOSE)


@torch.no_grad()
def test_every_weight_of_attention_is_that_of_the_authors(bert):
    with recording(bert.model) as maps:
        bert.model.encoder.hidden(bert.text, bert.segments)
    for number in range(3):
        (weights,) = maps[f"encoder.blocks.{number}.attention"]
        bert.compare_attention(weights, number)


@torch.no_grad()
def test_scores_of_masked_words_and_pairs_are_those_of_the_authors(bert):
    logs = bert.model(bert.text, bert.segments).log_softmax(-1)
    assert_close(logs[bert.rows().flatten()], bert.out("mlm_log_probs"), **CLOSE)
    _, pairs = bert.model.both(bert.text, bert.segments, bert.rows()[bert.is_masked].sort().values)
    assert_close(pairs.log_softmax(-1), bert.out("nsp_log_probs"), **CLOSE)


def test_losses_and_all_gradients_are_those_of_the_authors(bert):
    bert.model.zero_grad()
    words, pairs = bert.losses()
    assert_close(words, bert.out("mlm_loss"), **CLOSE)
    assert_close(pairs, bert.out("nsp_loss"), **CLOSE)
    assert_close(words + pairs, bert.out("total_loss"), **CLOSE)
    (words + pairs).backward()
    wanted = bert.named("out/grad/")
    for name, parameter in bert.model.named_parameters():
        assert_close(parameter.grad, wanted.pop(name), **CLOSE)
    assert not wanted

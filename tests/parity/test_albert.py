"""ALBERT beside its authors' TensorFlow code: every layer, the attention, both losses and all gradients.

Their numbers are of one group of layers; several groups of several blocks are beside Transformers.
"""

import pytest
import torch
from masked_oracles import CLOSE, Published
from torch.testing import assert_close

from regard.attention.record import recording


@pytest.fixture(scope="module")
def albert():
    return Published("albert", "sop", "sentence_order_labels")


@torch.no_grad()
def test_every_layer_is_that_of_the_authors(albert):
    encoder, real = albert.model.encoder, albert.real
    with albert.watched() as layers:
        states = encoder.hidden(albert.text, albert.segments)
    assert_close(encoder.token(albert.text.tokens), albert.out("word_embedding_output")[real], **CLOSE)
    embedded = encoder.projection(albert.out("embedding_output")[real])
    assert_close(encoder.embed(albert.text, albert.segments), embedded, **CLOSE)
    assert len(layers) == 4
    for number, layer in enumerate(layers):
        assert_close(layer, albert.out(f"layer_{number}")[real], **CLOSE)
    assert_close(states, albert.out("sequence_output")[real], **CLOSE)
    assert_close(encoder(albert.text, albert.segments), albert.out("pooled_output"), **CLOSE)


@torch.no_grad()
def test_every_weight_of_attention_is_that_of_the_authors(albert):
    with recording(albert.model) as maps:
        albert.model.encoder.hidden(albert.text, albert.segments)
    calls = maps.calls["encoder.blocks.0.0.attention"]
    assert len(calls) == 4
    for number, (weights,) in enumerate(calls):
        albert.compare_attention(weights, number)


@torch.no_grad()
def test_scores_of_masked_words_and_pairs_are_those_of_the_authors(albert):
    logs = albert.model(albert.text, albert.segments).log_softmax(-1)
    assert_close(logs[albert.rows().flatten()], albert.out("mlm_log_probs"), **CLOSE)
    _, pairs = albert.model.both(albert.text, albert.segments, albert.rows()[albert.is_masked].sort().values)
    assert_close(pairs.log_softmax(-1), albert.out("sop_log_probs"), **CLOSE)


def test_losses_and_all_gradients_are_those_of_the_authors(albert):
    albert.model.zero_grad()
    words, pairs = albert.losses()
    assert_close(words, albert.out("mlm_loss"), **CLOSE)
    assert_close(pairs, albert.out("sop_loss"), **CLOSE)
    assert_close(words + pairs, albert.out("total_loss"), **CLOSE)
    (words + pairs).backward()
    wanted = albert.named("out/grad/")
    for name, parameter in albert.model.named_parameters():
        assert_close(parameter.grad, wanted.pop(name), **CLOSE)
    assert not wanted

"""The course's exercises beside the bricks of this library: the same weights, the same numbers to 1e-5.

The two write the same formulas down in other ways, which the functions here carry over: kernels are the transposed
matrices, query, key and value stand in one matrix or in three, and the update gate says what is let in or what is kept.
"""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny import shaken
from torch import Tensor, nn

from regard.attention.masks import causal, padding
from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.layers.attention import AdditiveAttention, HeadProjections, MultiHeadAttention, Source, SourceAttention
from regard.layers.blocks import FeedForward, PostNormBlock
from regard.layers.positions import sinusoids
from regard.layers.recurrent import GRU, Timeline
from regard.models.rnnsearch import RNNSearch, RNNSearchConfig
from regard.models.transformer import EPSILON, DecoderBlock, Transformer, TransformerConfig

Weights = dict[str, list[np.ndarray]]
WIDTH, HEADS, HIDDEN = 12, 3, 20
LENGTHS = torch.tensor([7, 4]), torch.tensor([5, 6])  # of sources and of targets
ZEROS = np.zeros(WIDTH, np.float32)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def same(found: np.ndarray, expected: Tensor) -> None:
    """Equal to 1e-5, of values near one."""
    assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-5)


def array(x: Tensor) -> np.ndarray:
    """A copy."""
    return x.detach().numpy().copy()


def dense(linear: nn.Linear, bias: np.ndarray | None = None) -> list[np.ndarray]:
    """Kernel and bias of a linear layer, `bias` where it has none."""
    own = linear.bias if linear.bias is not None else None
    return [array(linear.weight.T), bias if own is None else array(own)]


def heads(attention: HeadProjections, path: str) -> Weights:
    """Weights of MultiHeadAttention."""
    matrices = attention.projection.weight.chunk(3)
    biases = [torch.zeros(WIDTH)] * 3 if attention.projection.bias is None else attention.projection.bias.chunk(3)
    parts = zip(("Wq", "Wk", "Wv"), matrices, biases, strict=True)
    weights = {f"{path}.{name}": [array(matrix.T), array(bias)] for name, matrix, bias in parts}
    return {**weights, f"{path}.linear": dense(attention.output, ZEROS)}


def block(ours: PostNormBlock, path: str = "") -> Weights:
    """Weights of EncoderBlock, or of DecoderBlock."""
    norms, weights = [ours.attention_norm, ours.feed_forward_norm], heads(ours.attention, f"{path}mha")
    if isinstance(ours, DecoderBlock):
        norms.insert(1, ours.source_norm)
        weights = {**heads(ours.attention, f"{path}mha1"), **heads(ours.source_attention, f"{path}mha2")}
    weights[f"{path}dense_hidden"] = dense(ours.feed_forward.expand)
    weights[f"{path}dense_output"] = dense(ours.feed_forward.contract)
    for number, norm in enumerate(norms, 1):
        weights[f"{path}layernorm{number}"] = [array(norm.weight), array(norm.bias)]
    return weights


def gated(unit: GRU, context: nn.Linear | None = None) -> list[np.ndarray]:
    """Weights of TensorFlow's GRU, whose gates are z, r, h; its z is 1 - z here, so that its weights change their sign.

    What reads the context stands above what reads the word.
    """

    def ordered(r: Tensor, z: Tensor, h: Tensor) -> np.ndarray:
        return array(torch.cat([-z, r, h])).T

    words = ordered(*unit.input.weight.chunk(3))
    kernel = words if context is None else np.concatenate([ordered(*context.weight.chunk(3)), words])
    nothing = torch.zeros(unit.width)
    return [kernel, ordered(*unit.gates.weight.chunk(2), unit.candidate.weight), ordered(nothing, nothing, unit.bias)]


def additive(attention: AdditiveAttention, path: str) -> Weights:
    """Weights of SelfAttention; biases which the paper has not cancel, or add the same to every score."""
    extra = array(torch.randn(attention.query.out_features))
    layers = {"W": (attention.query, extra), "U": (attention.key, -extra), "V": (attention.energy, np.ones(1))}
    return {path + name: dense(layer, bias.astype(np.float32)) for name, (layer, bias) in layers.items()}


def places(lengths: Tensor) -> Tensor:
    """Where a padded batch holds a token, [B, T]."""
    return torch.arange(int(lengths.max())) < lengths[:, None]


def blocked(is_token: Tensor) -> np.ndarray:
    """The course's mask of padding, [B, 1, 1, T]."""
    return (~is_token)[:, None, None].numpy().astype(np.float32)


def look_ahead(is_token: Tensor) -> np.ndarray:
    """The course's mask of padding and of what comes later, [B, 1, T, T]."""
    length = is_token.shape[1]
    return np.maximum(blocked(is_token), np.triu(np.ones((length, length), np.float32), 1))


def at_tokens(found: np.ndarray, is_token: Tensor) -> np.ndarray:
    """A padded batch [B, T, ...] without its padding."""
    return found[is_token.numpy()]


def test_gated_units_read_the_same_states(tensorflow):
    unit, table = shaken(GRU(6, 8)), torch.randn(15, 6)
    tokens = torch.randint(15, (2, 7))
    expected = unit(table[tokens.flatten()], Timeline(torch.tensor([7, 7]))).view(2, 7, 8)
    found = tensorflow(
        """
encoder = __import__('0-rnn_encoder').RNNEncoder(15, 6, 8, 2)
encoder(x, encoder.initialize_hidden_state())
put(encoder, weights)
outputs, hidden = encoder(x, encoder.initialize_hidden_state())
""",
        weights={"embedding": [array(table)], "gru": gated(unit)},
        x=tokens.numpy(),
    )
    same(found["outputs"], expected)
    same(found["hidden"], expected[:, -1])


def test_additive_attention(tensorflow):
    attention = shaken(AdditiveAttention(8, 8, 8))
    state, annotations = torch.randn(2, 8), torch.randn(2, 7, 8)
    everywhere = torch.ones(2, 7, dtype=torch.bool)
    context, alphas = attention(state[:, None], attention.key(annotations), annotations, everywhere)
    found = tensorflow(
        """
attention = __import__('1-self_attention').SelfAttention(8)
attention(s_prev, hidden_states)
put(attention, weights)
context, alphas = attention(s_prev, hidden_states)
""",
        weights=additive(attention, ""),
        s_prev=array(state),
        hidden_states=array(annotations),
    )
    same(found["context"], context[:, 0])
    same(found["alphas"][..., 0], alphas[:, 0])


def test_the_decoder_with_attention_goes_through_the_states_of_rnnsearch(tensorflow):
    config = RNNSearchConfig(source_vocabulary=15, target_vocabulary=13, embedding=6, width=8, alignment=8, maxout=4)
    model = shaken(RNNSearch(config)).eval()
    source, words = Packed.of(torch.randint(15, (2, 7))), torch.randint(13, (4, 2))
    annotations = model.annotate(source)[0].view(2, 7, 16)
    state = model.start(source)
    states, read = [state.own[0]], []
    for word in [None, *words]:
        _, state = model.step(word, state)
        states.append(state.own[0])
        read.append(state.alignment)
    states = torch.stack(states[1:])  # the first step reads no word
    scores = nn.Linear(8, 13)
    found = tensorflow(
        """
decoder = __import__('2-rnn_decoder').RNNDecoder(13, 6, 8, 2)
decoder(words[0][:, None], first, annotations)
put(decoder, weights)
s, states, scores, read = first, [], [], []
for word in words:
    read.append(decoder.attention(s, annotations)[1])
    y, s = decoder(word[:, None], s, annotations)
    states.append(s)
    scores.append(y)
states, scores, read = np.array(states), np.array(scores), np.array(read)
""",
        weights={
            "embedding": [array(model.target.weight + model.target_bias)],
            "gru": gated(model.decoder, model.context),
            "F": dense(scores),
            **additive(model.attention, "attention."),
        },
        words=words.numpy(),
        first=array(states[0]),
        annotations=array(annotations),
    )
    same(found["states"], states[1:])
    same(found["read"][..., 0], torch.stack(read[:-1]))
    same(found["scores"], scores(states[1:]))


def test_positions(tensorflow):
    found = tensorflow("encoding = __import__('4-positional_encoding').positional_encoding(60, 12)")
    same(found["encoding"], sinusoids(torch.arange(60), 12))


@pytest.mark.parametrize("kind", [MultiHeadAttention, SourceAttention])
def test_multi_head_attention(tensorflow, kind):
    attention = shaken(kind(WIDTH, HEADS))
    is_token = places(LENGTHS[0])
    x, seen = torch.randn(2, 5, WIDTH), torch.randn(2, 7, WIDTH)
    with recording(attention) as maps:
        if kind is MultiHeadAttention:
            x = seen
            expected = attention(x, mask=padding(is_token))
        else:
            expected = attention(x, Source(*attention.keys_and_values(seen), padding(is_token)))
    found = tensorflow(
        """
mha = __import__('6-multihead_attention').MultiHeadAttention(12, 3)
mha(x, seen, seen, mask)
put(mha, weights)
output, alphas = mha(x, seen, seen, mask)
""",
        weights={name[1:]: arrays for name, arrays in heads(attention, "").items()},
        x=array(x),
        seen=array(seen),
        mask=blocked(is_token),
    )
    same(found["output"], expected)
    same(found["alphas"], maps[""])


def encoder_block() -> PostNormBlock:
    """With biases everywhere, as the course's has them."""
    feed_forward = FeedForward(WIDTH, HIDDEN, torch.relu)
    return PostNormBlock(MultiHeadAttention(WIDTH, HEADS), feed_forward, WIDTH, dropout=0.1, epsilon=EPSILON)


def decoder_block() -> DecoderBlock:
    """The same."""
    attentions, feed_forward = (
        (MultiHeadAttention(WIDTH, HEADS), SourceAttention(WIDTH, HEADS)),
        FeedForward(WIDTH, HIDDEN, torch.relu),
    )
    return DecoderBlock(*attentions, feed_forward, WIDTH, dropout=0.1, epsilon=EPSILON)


def test_encoder(tensorflow):
    blocks, table = [shaken(encoder_block()).eval() for _ in range(2)], torch.randn(15, WIDTH)
    is_token, tokens = places(LENGTHS[0]), torch.randint(15, (2, 7))
    expected = table[tokens] * WIDTH**0.5 + sinusoids(torch.arange(7), WIDTH)
    for ours in blocks:
        expected = ours(expected, mask=padding(is_token))
    found = tensorflow(
        """
encoder = __import__('9-transformer_encoder').Encoder(2, 12, 3, 20, 15, 30)
encoder(x, False, mask)
put(encoder, weights)
output = encoder(x, False, mask)
""",
        weights={
            "embedding": [array(table)],
            **{k: v for n, ours in enumerate(blocks) for k, v in block(ours, f"blocks.{n}.").items()},
        },
        x=tokens.numpy(),
        mask=blocked(is_token),
    )
    same(at_tokens(found["output"], is_token), expected[is_token])


def test_decoder(tensorflow):
    blocks, table = [shaken(decoder_block()).eval() for _ in range(2)], torch.randn(15, WIDTH)
    is_source, is_target = map(places, LENGTHS)
    tokens, memory = torch.randint(15, (2, 6)), torch.randn(2, 7, WIDTH)
    expected = table[tokens] * WIDTH**0.5 + sinusoids(torch.arange(6), WIDTH)
    for ours in blocks:
        source = Source(*ours.source_attention.keys_and_values(memory), padding(is_source))
        expected = ours(expected, source=source, mask=causal() & padding(is_target))
    found = tensorflow(
        """
decoder = __import__('10-transformer_decoder').Decoder(2, 12, 3, 20, 15, 30)
decoder(x, memory, False, look_ahead, padding)
put(decoder, weights)
output = decoder(x, memory, False, look_ahead, padding)
""",
        weights={
            "embedding": [array(table)],
            **{k: v for n, ours in enumerate(blocks) for k, v in block(ours, f"blocks.{n}.").items()},
        },
        x=tokens.numpy(),
        memory=array(memory),
        look_ahead=look_ahead(is_target),
        padding=blocked(is_source),
    )
    same(at_tokens(found["output"], is_target), expected[is_target])


def test_transformer(tensorflow):
    words, start = 15, 15  # the course's target has one more word, which begins it and has the zero vector
    model = shaken(Transformer(TransformerConfig(words, WIDTH, 2, HEADS, HIDDEN))).eval()
    is_source, is_target = map(places, LENGTHS)
    source, target = torch.randint(words, (2, 7)), torch.randint(words, (2, 6))
    expected = model(Packed.from_padded(source, is_source), Packed.from_padded(target, is_target))
    table = array(model.token.weight)
    with_start = np.concatenate([table, np.zeros((1, WIDTH), np.float32)])
    weights = {
        "encoder.embedding": [table],
        "decoder.embedding": [with_start],
        "linear": [with_start.T, np.zeros(words + 1, np.float32)],
    }
    for side, blocks in (("encoder", model.encoder), ("decoder", model.decoder)):
        for number, ours in enumerate(blocks):
            weights |= block(ours, f"{side}.blocks.{number}.")
    found = tensorflow(
        """
transformer = __import__('11-transformer').Transformer(2, 12, 3, 20, 15, 16, 30, 30)
transformer(inputs, target, False, padding, look_ahead, padding)
put(transformer, weights)
logits = transformer(inputs, target, False, padding, look_ahead, padding)
""",
        weights=weights,
        inputs=source.numpy(),
        target=torch.cat([torch.full((2, 1), start), target[:, :-1]], 1).numpy(),
        padding=blocked(is_source),
        look_ahead=look_ahead(is_target),
    )
    same(at_tokens(found["logits"], is_target)[:, :words], expected)

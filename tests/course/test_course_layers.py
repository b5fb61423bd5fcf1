"""The course's exercises: attributes, shapes, and their formulas in NumPy."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for the rounding of float32 in a few products."""
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def dense(inputs: int, outputs: int, seed: int) -> list[np.ndarray]:
    """A kernel and a bias."""
    return [numbers(inputs, outputs, seed=seed) * 0.5, numbers(outputs, seed=seed + 100) * 0.5]


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """exp(x) / sum exp(x)."""
    x = np.exp(x - x.max(axis, keepdims=True))
    return x / x.sum(axis, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def gru(x: np.ndarray, state: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The next state; of TensorFlow's gates z, r, h the first says what is kept."""
    width = state.shape[1]
    z, r = (
        sigmoid(x @ kernel[:, part] + state @ recurrent[:, part] + bias[part])
        for part in (slice(0, width), slice(width, 2 * width))
    )
    part = slice(2 * width, None)
    candidate = np.tanh(x @ kernel[:, part] + (r * state) @ recurrent[:, part] + bias[part])
    return z * state + (1 - z) * candidate


def additive(s_prev: np.ndarray, states: np.ndarray, weights: dict[str, list[np.ndarray]]):
    """Context and weights of additive attention."""
    (W, w), (U, u), (V, v) = (weights[name] for name in "WUV")
    alphas = softmax(np.tanh((s_prev @ W + w)[:, None] + states @ U + u) @ V + v, 1)
    return (alphas * states).sum(1), alphas


def multi_head(Q: np.ndarray, K: np.ndarray, V: np.ndarray, heads: int, weights: dict[str, list[np.ndarray]], mask=0.0):
    """Output and weights, one head after another."""
    q, k, v = (x @ weights[name][0] + weights[name][1] for x, name in ((Q, "Wq"), (K, "Wk"), (V, "Wv")))
    width = q.shape[-1] // heads
    found, alphas = [], []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        alphas.append(softmax(q[..., part] @ k[..., part].swapaxes(-1, -2) / np.sqrt(width) - 1e9 * mask))
        found.append(alphas[-1] @ v[..., part])
    return np.concatenate(found, -1) @ weights["linear"][0] + weights["linear"][1], np.stack(alphas, -3)


def test_rnn_encoder(tensorflow):
    weights = {
        "embedding": [numbers(30, 6)],
        "gru": [numbers(6, 15, seed=1), numbers(5, 15, seed=2), numbers(15, seed=3)],
    }
    x, start = np.array([[3, 1, 4], [29, 0, 2]]), numbers(2, 5, seed=4)
    found = tensorflow(
        """
RNNEncoder = __import__('0-rnn_encoder').RNNEncoder
encoder = RNNEncoder(30, 6, 5, 2)
is_layer = isinstance(encoder, tf.keras.layers.Layer)
batch, units = encoder.batch, encoder.units
embedding, gru = settings(encoder.embedding), settings(encoder.gru)
initial = encoder.initialize_hidden_state()
encoder(x, initial)
put(encoder, weights)
outputs, hidden = encoder(x, start)
""",
        weights=weights,
        x=x,
        start=start,
    )
    assert (found["is_layer"], found["batch"], found["units"]) == (True, 2, 5)
    embedding, unit = (json.loads(str(found[name])) for name in ("embedding", "gru"))
    assert (embedding["class"], embedding["input_dim"], embedding["output_dim"]) == ("Embedding", 30, 6)
    assert (unit["class"], unit["units"], unit["recurrent_initializer"]) == ("GRU", 5, "GlorotUniform")
    assert (unit["return_sequences"], unit["return_state"]) == (True, True)
    assert_array_equal(found["initial"], np.zeros((2, 5)))
    state, states = start, []
    for place in range(3):
        state = gru(weights["embedding"][0][x[:, place]], state, *weights["gru"])
        states.append(state)
    close(found["outputs"], np.stack(states, 1))
    close(found["hidden"], state)


def test_self_attention(tensorflow):
    weights = {"W": dense(5, 5, 1), "U": dense(5, 5, 2), "V": dense(5, 1, 3)}
    s_prev, hidden_states = numbers(2, 5), numbers(2, 7, 5, seed=1)
    found = tensorflow(
        """
SelfAttention = __import__('1-self_attention').SelfAttention
attention = SelfAttention(5)
is_layer = isinstance(attention, tf.keras.layers.Layer)
W, U, V = settings(attention.W), settings(attention.U), settings(attention.V)
attention(s_prev, hidden_states)
put(attention, weights)
context, alphas = attention(s_prev, hidden_states)
""",
        weights=weights,
        s_prev=s_prev,
        hidden_states=hidden_states,
    )
    assert found["is_layer"]
    layers = [json.loads(str(found[name])) for name in "WUV"]
    assert [(layer["class"], layer["units"]) for layer in layers] == [("Dense", 5), ("Dense", 5), ("Dense", 1)]
    context, alphas = additive(s_prev, hidden_states, weights)
    assert (found["context"].shape, found["alphas"].shape) == ((2, 5), (2, 7, 1))
    close(found["context"], context)
    close(found["alphas"], alphas)


def test_rnn_decoder(tensorflow):
    attention = {"W": dense(5, 5, 1), "U": dense(5, 5, 2), "V": dense(5, 1, 3)}
    weights = {
        "embedding": [numbers(30, 6)],
        "gru": [numbers(11, 15, seed=4), numbers(5, 15, seed=5), numbers(15, seed=6)],
        "F": dense(5, 30, 7),
        **{f"attention.{name}": arrays for name, arrays in attention.items()},
    }
    x, s_prev, hidden_states = np.array([[3], [29]]), numbers(2, 5, seed=8), numbers(2, 7, 5, seed=9)
    found = tensorflow(
        """
RNNDecoder = __import__('2-rnn_decoder').RNNDecoder
decoder = RNNDecoder(30, 6, 5, 2)
is_layer = isinstance(decoder, tf.keras.layers.Layer)
embedding, gru, F = settings(decoder.embedding), settings(decoder.gru), settings(decoder.F)
decoder(x, s_prev, hidden_states)
put(decoder, weights)
y, s = decoder(x, s_prev, hidden_states)
""",
        weights=weights,
        x=x,
        s_prev=s_prev,
        hidden_states=hidden_states,
    )
    assert found["is_layer"]
    embedding, unit, scores = (json.loads(str(found[name])) for name in ("embedding", "gru", "F"))
    assert (embedding["class"], embedding["input_dim"], embedding["output_dim"]) == ("Embedding", 30, 6)
    assert (unit["class"], unit["units"], unit["recurrent_initializer"]) == ("GRU", 5, "GlorotUniform")
    assert (unit["return_sequences"], unit["return_state"]) == (True, True)
    assert (scores["class"], scores["units"]) == ("Dense", 30)
    context, _ = additive(s_prev, hidden_states, attention)
    state = gru(np.concatenate([context, weights["embedding"][0][x[:, 0]]], 1), s_prev, *weights["gru"])
    close(found["s"], state)
    close(found["y"], state @ weights["F"][0] + weights["F"][1])


@pytest.mark.parametrize(("longest", "width"), [(30, 512), (4, 6), (3, 5)])
def test_positional_encoding(tensorflow, longest, width):
    found = tensorflow(f"encoding = __import__('4-positional_encoding').positional_encoding({longest}, {width})")
    expected = np.empty((longest, width))
    for position in range(longest):
        for column in range(width):
            angle = position / 10000 ** ((column - column % 2) / width)
            expected[position, column] = np.cos(angle) if column % 2 else np.sin(angle)
    assert_allclose(found["encoding"], expected, atol=1e-12)


@pytest.mark.parametrize("mask", [None, (4, 6), (2, 1, 4, 6), (2, 3, 4, 6)], ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, bool])
def test_sdp_attention(tensorflow, mask, kind):
    Q, K, V = numbers(2, 3, 4, 5), numbers(2, 3, 6, 5, seed=1), numbers(2, 3, 6, 7, seed=2)
    given = {"Q": Q, "K": K, "V": V}
    blocked = np.zeros((4, 6), bool)
    if mask is not None:
        blocked = np.random.default_rng(3).random(mask) < 0.4
        blocked[..., 0] = False
        given["mask"] = blocked.astype(kind)
    found = tensorflow(
        f"""
sdp_attention = __import__('5-sdp_attention').sdp_attention
output, alphas = sdp_attention(Q, K, V{"" if mask is None else ", mask"})
""",
        **given,
    )
    alphas = softmax(Q @ K.swapaxes(-1, -2) / np.sqrt(5) - 1e9 * blocked)
    close(found["alphas"], alphas)
    close(found["output"], alphas @ V)
    assert not found["alphas"][np.broadcast_to(blocked, alphas.shape)].any()


def test_a_query_which_may_see_nothing_looks_at_all_alike(tensorflow):
    found = tensorflow(
        "alphas = __import__('5-sdp_attention').sdp_attention(Q, K, K, mask)[1]",
        Q=numbers(4, 5),
        K=numbers(6, 5, seed=1),
        mask=np.ones((4, 6)),
    )
    close(found["alphas"], np.full((4, 6), 1 / 6))


@pytest.mark.parametrize("leading", [(2,), (), (2, 3)], ids=str)
def test_multi_head_attention(tensorflow, leading):
    weights = {name: dense(8, 8, seed) for seed, name in enumerate(("Wq", "Wk", "Wv", "linear"))}
    Q, K, V = numbers(*leading, 3, 8, seed=4), numbers(*leading, 5, 8, seed=5), numbers(*leading, 5, 8, seed=6)
    mask = (np.random.default_rng(7).random((3, 5)) < 0.4).astype(np.float32)
    found = tensorflow(
        """
MultiHeadAttention = __import__('6-multihead_attention').MultiHeadAttention
mha = MultiHeadAttention(8, 4)
is_layer = isinstance(mha, tf.keras.layers.Layer)
sizes = mha.h, mha.dm, mha.depth
layers = np.array([settings(layer) for layer in (mha.Wq, mha.Wk, mha.Wv, mha.linear)])
mha(Q, K, V, None)
put(mha, weights)
output, alphas = mha(Q, K, V, None)
masked, masked_alphas = mha(Q, K, V, mask)
""",
        weights=weights,
        Q=Q,
        K=K,
        V=V,
        mask=mask,
    )
    assert found["is_layer"]
    assert found["sizes"].tolist() == [4, 8, 2]
    layers = [json.loads(text) for text in found["layers"]]
    assert [(layer["class"], layer["units"]) for layer in layers] == [("Dense", 8)] * 4
    for names, blocked in ((("output", "alphas"), 0.0), (("masked", "masked_alphas"), mask)):
        for name, expected in zip(names, multi_head(Q, K, V, 4, weights, blocked), strict=True):
            close(found[name], expected)


BLOCKS = {
    "encoder": """
EncoderBlock = __import__('7-transformer_encoder_block').EncoderBlock
block = EncoderBlock(8, 2, 12, {rate})
call = lambda training: block(x, training, None)
numbered, attentions = 2, [block.mha]
""",
    "decoder": """
DecoderBlock = __import__('8-transformer_decoder_block').DecoderBlock
block = DecoderBlock(8, 2, 12, {rate})
call = lambda training: block(x, seen, training, None, None)
numbered, attentions = 3, [block.mha1, block.mha2]
""",
}


@pytest.mark.parametrize("side", BLOCKS)
def test_parts_of_blocks(tensorflow, side):
    found = tensorflow(
        BLOCKS[side].format(rate=0.25)
        + """
is_layer = isinstance(block, tf.keras.layers.Layer)
heads = np.array([(type(mha).__name__, mha.h, mha.dm) for mha in attentions])
hidden, output = settings(block.dense_hidden), settings(block.dense_output)
norms = np.array([settings(getattr(block, 'layernorm%d' % n)) for n in range(1, numbered + 1)])
dropouts = np.array([settings(getattr(block, 'dropout%d' % n)) for n in range(1, numbered + 1)])
"""
    )
    assert found["is_layer"]
    assert {tuple(row) for row in found["heads"].tolist()} == {("MultiHeadAttention", "2", "8")}
    hidden, output = json.loads(str(found["hidden"])), json.loads(str(found["output"]))
    assert (hidden["class"], hidden["units"], hidden["activation"]) == ("Dense", 12, "relu")
    assert (output["class"], output["units"], output["activation"]) == ("Dense", 8, "linear")
    for norm, dropout in zip(found["norms"], found["dropouts"], strict=True):
        norm, dropout = json.loads(norm), json.loads(dropout)
        assert (norm["class"], norm["epsilon"]) == ("LayerNormalization", 1e-6)
        assert (dropout["class"], dropout["rate"]) == ("Dropout", 0.25)


@pytest.mark.parametrize("side", BLOCKS)
def test_dropout_is_of_what_is_added_to_a_residual_and_only_in_training(tensorflow, side):
    x = numbers(2, 3, 8)
    found = tensorflow(
        BLOCKS[side].format(rate=1 - 1e-7)  # of which nothing is left
        + "\nnone_left, once, again = call(True), call(False), call(False)\n",
        x=x,
        seen=numbers(2, 5, 8, seed=1),
    )
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    close(found["none_left"], normed)
    assert_array_equal(found["once"], found["again"])
    assert np.abs(found["once"] - normed).max() > 0.1


STACKS = {
    "encoder": """
Encoder = __import__('9-transformer_encoder').Encoder
stack = Encoder(2, 8, 2, 12, 30, 40, 0.25)
output = stack(x, False, None)
""",
    "decoder": """
Decoder = __import__('10-transformer_decoder').Decoder
stack = Decoder(2, 8, 2, 12, 30, 40, 0.25)
output = stack(x, seen, False, None, None)
""",
}


@pytest.mark.parametrize("side", STACKS)
def test_parts_of_stacks(tensorflow, side):
    found = tensorflow(
        STACKS[side]
        + """
is_layer = isinstance(stack, tf.keras.layers.Layer)
sizes = stack.N, stack.dm, len(stack.blocks)
is_array, positions = isinstance(stack.positional_encoding, np.ndarray), stack.positional_encoding
kinds = np.array([type(block).__name__ for block in stack.blocks])
hidden = tuple(block.dense_hidden.units for block in stack.blocks)
embedding, dropout = settings(stack.embedding), settings(stack.dropout)
rates = stack.dropout.rate, stack.blocks[1].dropout2.rate
expected = __import__('4-positional_encoding').positional_encoding(40, 8)
""",
        x=np.arange(10).reshape(2, 5),
        seen=numbers(2, 7, 8),
    )
    assert found["is_layer"]
    assert found["is_array"]
    assert found["sizes"].tolist() == [2, 8, 2]
    assert set(found["kinds"]) == {f"{side.title()}Block"}
    assert found["hidden"].tolist() == [12, 12]
    embedding, dropout = json.loads(str(found["embedding"])), json.loads(str(found["dropout"]))
    assert (embedding["class"], embedding["input_dim"], embedding["output_dim"]) == ("Embedding", 30, 8)
    assert dropout["class"] == "Dropout"
    assert found["rates"].tolist() == [0.25, 0.25]
    assert_array_equal(found["positions"], found["expected"])
    assert found["output"].shape == (2, 5, 8)


TRANSFORMER = """
Transformer = __import__('11-transformer').Transformer
transformer = Transformer(1, 8, 2, 12, 30, 20, 40, 50, 0.25)
ahead = 1 - np.tril(np.ones((4, 4)))
padding = np.array([[[[0, 0, 0, 1, 1]]], [[[0, 0, 0, 0, 1]]]])
logits = transformer(inputs, target, False, padding, ahead, padding)

is_model = isinstance(transformer, tf.keras.Model)
encoder, decoder = transformer.encoder, transformer.decoder
sizes = encoder.N, encoder.dm, encoder.embedding.input_dim, len(encoder.positional_encoding)
target_sizes = decoder.N, decoder.dm, decoder.embedding.input_dim, len(decoder.positional_encoding)
rates = encoder.dropout.rate, decoder.dropout.rate
linear = settings(transformer.linear)

by_name = transformer(inputs, target, training=False, encoder_mask=tf.constant(padding, tf.float32),
                      look_ahead_mask=ahead.astype(bool), decoder_mask=padding.astype(np.float64))
by_method = transformer.call(inputs, target, False, padding, ahead, padding)
graph = tf.function(
    lambda inputs, target, ahead: transformer(inputs, target, False, padding, ahead, padding),
    [tf.TensorSpec([None, None], inputs.dtype), tf.TensorSpec([None, None], target.dtype),
     tf.TensorSpec([None, None], tf.float64)])
in_graph = graph(inputs, target, ahead)
unmasked = transformer(inputs, target, False, None, None, None)
dropped = transformer(inputs, target, True, padding, ahead, padding)
is_old = tf.__version__.startswith('1.')
"""

REACHED = """
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(output() ** 3)
variables = model.trainable_variables
count = len(variables)
out_of_reach = np.array([v.name for v, g in zip(variables, tape.gradient(loss, variables)) if g is None], dtype=str)
"""


@pytest.fixture(scope="module")
def transformer(tensorflow):
    """What is found out about one Transformer, whose making takes Keras long."""
    whole = "model, output = transformer, lambda: transformer(inputs, target, True, None, None, None)"
    sentences = {"inputs": np.arange(10).reshape(2, 5) % 7, "target": np.arange(8).reshape(2, 4) % 5}
    return tensorflow(TRANSFORMER + whole + REACHED, **sentences)


def test_parts_of_the_transformer(transformer):
    assert transformer["is_model"]
    assert transformer["sizes"].tolist() == [1, 8, 30, 40]
    assert transformer["target_sizes"].tolist() == [1, 8, 20, 50]
    assert transformer["rates"].tolist() == [0.25, 0.25]
    linear = json.loads(str(transformer["linear"]))
    assert (linear["class"], linear["units"], linear["activation"]) == ("Dense", 20, "linear")
    assert transformer["logits"].shape == (2, 4, 20)


@pytest.mark.parametrize("way", ["by_name", "by_method"])
def test_calls_of_any_form_and_masks_of_any_kind_are_the_same(transformer, way):
    assert_array_equal(transformer[way], transformer["logits"])


@pytest.mark.parametrize("way", ["unmasked", "dropped"])
def test_masks_and_training_make_a_difference(transformer, way):
    assert np.abs(transformer[way] - transformer["logits"]).max() > 1e-3


def test_graphs_of_any_batch_and_length_give_the_same(transformer):
    close(transformer["in_graph"], transformer["logits"])


def test_keras_has_nothing_to_warn_of(transformer):
    if transformer["is_old"]:
        pytest.skip("TensorFlow 1.15 warns of its own future")
    assert not len(transformer["warned"]), transformer["warned"]


def test_training_reaches_every_weight_of_the_transformer(transformer):
    embeddings, encoder_block, decoder_block, linear = 2, 8 + 4 + 4, 16 + 4 + 6, 2  # attention, dense, norms
    assert transformer["count"] == embeddings + encoder_block + decoder_block + linear
    assert not len(transformer["out_of_reach"]), transformer["out_of_reach"]


def test_training_reaches_every_weight_of_a_decoder_with_attention(tensorflow):
    found = tensorflow(
        """
model = __import__('2-rnn_decoder').RNNDecoder(30, 6, 5, 2)
output = lambda: model(x, states[:, 0], states)[0]
"""
        + REACHED,
        x=np.array([[3], [29]]),
        states=numbers(2, 7, 5),
    )
    embedding, attention, unit, scores = 1, 6, 3, 2
    assert found["count"] == embedding + attention + unit + scores
    assert not len(found["out_of_reach"]), found["out_of_reach"]

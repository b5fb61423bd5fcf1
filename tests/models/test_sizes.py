"""The papers' sizes, counted by hand from their equations."""

import pytest
import torch

from regard.models import MODELS


def parameters(name: str, size: str) -> int:
    with torch.device("meta"):
        model = MODELS[name].model(MODELS[name].sizes[size])
    return sum(parameter.numel() for parameter in model.parameters())


def transformer(words, width, depth, hidden):
    """Shared embedding; attention of four square matrices; two linear maps; two numbers a width for each norm."""
    attention, feed_forward, norm = 4 * width**2, 2 * width * hidden + hidden + width, 2 * width
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    return words * width + depth * (encoder + decoder)


def gru(inputs, width):
    """Reset gate, update gate and candidate, the last with a bias."""
    return 3 * (inputs * width + width * width) + width


@pytest.mark.parametrize(
    ("size", "count", "millions"), [("base", (37000, 512, 6, 2048), 63), ("big", (37000, 1024, 6, 4096), 214)]
)
def test_transformer(size, count, millions):
    assert parameters("transformer", size) == transformer(*count)
    assert round(transformer(*count) / 1e6) == millions  # table 3 has 65 and 213, with other vocabularies
    assert parameters("transformer-prenorm", size) == transformer(*count) + 2 * 2 * count[1]  # one norm a stack


def test_seq2seq():
    lstm = 4 * (1000 * 1000 + 1000 * 1000 + 1000)
    wanted = 160000 * 1000 + 80000 * 1000 + 8 * lstm + 80000 * 1000 + 80000
    assert parameters("seq2seq", "paper") == wanted
    assert round(wanted / 1e6) == 384  # "The resulting LSTM has 384M parameters", section 3.4


def test_encoder_decoder():
    words, rank, width, pieces = 15000, 100, 1000, 500
    wanted = 2 * (words * rank + rank) + 2 * gru(rank, width)  # embeddings with a bias, encoder and decoder
    wanted += width * width + width + 3 * width * width  # first state; the summary in both gates and candidate
    wanted += 2 * pieces * (width + rank + width) + 2 * pieces  # the deep output reads state, word and summary
    wanted += pieces * rank + rank * words + words
    assert parameters("encoder-decoder", "paper") == wanted


def test_rnnsearch():
    words, rank, width, hidden, pieces = 30000, 620, 1000, 1000, 500
    wanted = 2 * (words * rank + rank) + 3 * gru(rank, width)
    wanted += width * width + width + 3 * 2 * width * width
    wanted += hidden * width + hidden * 2 * width + hidden  # W_a, U_a, v_a
    wanted += 2 * pieces * (width + rank + 2 * width) + 2 * pieces
    wanted += pieces * rank + rank * words + words
    assert parameters("rnnsearch", "paper") == wanted


def gpt(words, context, width, depth):
    """Two tables; in each layer attention, a feed-forward of four widths and two norms, all with biases."""
    layer = 4 * width**2 + 4 * width + 8 * width**2 + 5 * width + 4 * width
    return (words + context) * width + depth * layer


def test_gpt():
    assert parameters("gpt", "117M") == gpt(40478, 512, 768, 12) == 116_534_784


@pytest.mark.parametrize(
    ("size", "width", "depth", "count"),
    [
        ("124M", 768, 12, 124_439_808),
        ("355M", 1024, 24, 354_823_168),
        ("774M", 1280, 36, 774_030_080),
        ("1558M", 1600, 48, 1_557_611_200),
    ],
)
def test_gpt2(size, width, depth, count):
    assert parameters("gpt2", size) == gpt(50257, 1024, width, depth) + 2 * width == count


@pytest.mark.parametrize(
    ("size", "width", "depth"),
    [
        ("125M", 768, 12),
        ("350M", 1024, 24),
        ("760M", 1536, 24),
        ("1.3B", 2048, 24),
        ("2.7B", 2560, 32),
        ("6.7B", 4096, 32),
        ("13B", 5120, 40),
        ("175B", 12288, 96),
    ],
)
def test_gpt3(size, width, depth):
    count = gpt(50257, 2048, width, depth) + 2 * width
    assert parameters("gpt3", size) == count
    named = float(size[:-1]) * {"M": 1e6, "B": 1e9}[size[-1]]
    assert abs(count / named - 1) < 0.02


@pytest.mark.parametrize(
    ("size", "width", "depth", "count"),
    [
        ("125M", 768, 12, 125_198_592),
        ("1.3B", 2048, 24, 1_315_575_808),
        ("2.7B", 2560, 32, 2_651_307_520),
    ],
)
def test_gpt_neo(size, width, depth, count):
    biases = 3 * width * depth  # of query, key and value, which it has not
    assert parameters("gpt-neo", size) == gpt(50257, 2048, width, depth) + 2 * width - biases == count

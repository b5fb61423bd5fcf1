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


def sparse_transformer(axes, width, depth, *, keys, hidden):
    """A table an axis and one of bytes; queries, keys, values and what they are merged by; two norms; an output."""
    attention = 2 * (width * keys + keys) + 2 * (width * width + width)
    feed_forward = 2 * width * hidden + hidden + width
    layer = attention + feed_forward + 2 * 2 * width
    return (256 + sum(axes)) * width + depth * layer + 2 * width + width * 256


@pytest.mark.parametrize(
    ("size", "count", "wanted", "millions"),  # table 1
    [
        ("enwik8", sparse_transformer((96, 128), 512, 30, keys=512, hidden=2048), 94_949_376, 95),
        ("imagenet64", sparse_transformer((64, 64, 3), 512, 48, keys=512, hidden=2048), 151_644_672, 152),
        # feed-forward layers, queries and keys of half the size, section 7.1
        ("cifar10", sparse_transformer((32, 32, 3), 256, 128, keys=128, hidden=512), 59_196_672, 59),
    ],
)
def test_sparse_transformer(size, count, wanted, millions):
    assert parameters("sparse-transformer", size) == count == wanted
    assert round(wanted / 1e6) == millions


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


def bert(words, width, depth, hidden, *, embedding=0, layers=0):
    """Three tables and a norm; layers with biases everywhere and two norms; the layer which sums up.

    With `embedding`, the tables are so narrow and are projected up; so many `layers` have weights of their own.
    """
    tables = (words + 512 + 2) * (embedding or width) + 2 * (embedding or width)
    layer = 4 * (width**2 + width) + 2 * width * hidden + hidden + width + 4 * width
    projection = embedding * width + width if embedding else 0
    return tables + projection + (layers or depth) * layer + width**2 + width


@pytest.mark.parametrize(
    ("size", "count", "wanted", "millions"),
    [
        ("base", (768, 12, 3072), 109_482_240, 110),  # "L=12, H=768, A=12, Total Parameters=110M", section 3
        ("large", (1024, 24, 4096), 335_141_888, 340),
        ("2x128", (128, 2, 512), 4_385_920, 4.4),  # Turc et al. 2019, table 1
        ("4x256", (256, 4, 1024), 11_170_560, 11.3),
        ("4x512", (512, 4, 2048), 28_763_648, 29.1),
        ("8x512", (512, 8, 2048), 41_373_184, 41.7),
    ],
)
def test_bert(size, count, wanted, millions):
    assert parameters("bert", size) == bert(30522, *count) == wanted
    assert abs(wanted / 1e6 / millions - 1) < 0.02  # with what stands on it, and rounded


@pytest.mark.parametrize(
    ("size", "count", "wanted", "millions"),
    [
        ("base", (768, 12, 3072), 11_683_584, 12),  # table 1
        ("large", (1024, 24, 4096), 17_683_968, 18),
        ("xlarge", (2048, 24, 8192), 58_724_864, 60),
        ("xxlarge", (4096, 12, 16384), 222_595_584, 235),  # so printed; the published weights are as many as here
    ],
)
def test_albert(size, count, wanted, millions):
    assert parameters("albert", size) == bert(30000, *count, embedding=128, layers=1) == wanted
    assert abs(wanted / 1e6 / millions - 1) < 0.06


@pytest.mark.parametrize(
    ("size", "width", "depth", "hidden", "wanted"),
    [("base", 768, 12, 3072, 116_718_336), ("large", 1024, 24, 4096, 360_268_800)],
)
def test_xlnet(size, width, depth, hidden, wanted):
    """One table and the vector w; in each layer five matrices, three vectors of biases, two segments, no other bias."""
    layer = 5 * width**2 + 5 * width + 2 * width * hidden + hidden + width + 4 * width
    assert parameters("xlnet", size) == 32000 * width + width + depth * layer == wanted

"""Operations of updates, against numbers worked out by hand."""

import re
from contextlib import nullcontext

import pytest
import torch
from tiny import TRANSLATING, headed, inputs, pairs, sentences, tiny, tiny_config
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from regard.attention.attend import attend
from regard.attention.masks import causal
from regard.attention.packing import Packed
from regard.layers import linear
from regard.layers.recurrent import GRU, LSTM, Timeline
from regard.models import MODELS
from regard.objectives.next_token import NextToken
from regard.objectives.segments import NextTokenOfSegments
from regard.objectives.translation import Translation
from regard.training.operations import FORMULAS, counted
from regard.training.precision import bfloat16

PRODUCTS = re.compile(r"mm|mv|dot|addr|outer|matmul|linear|attention|conv|einsum|ger", re.ASCII)
VIEWS = {"linalg_vector_norm", "_foreach_mul_", "unsafe_split"}  # which have such names, and no products


def update(objective, *parts):
    """Forwards and backwards."""
    objective(*parts).total.backward()


def operations(run) -> int:
    """What calling something takes."""
    with counted() as counter:
        run()
    return counter.get_total_flops()


def gpt2(context: int, **changes):
    """A GPT-2 of one width, with its objective, in float32, where its fused kernels are."""
    values = {"width": 32, "depth": 3, "heads": 4, "context": context, **changes}
    return NextToken(MODELS["gpt2"].model(tiny_config("gpt2", 50, **values)))


def weights(width: int, depth: int, words: int) -> int:
    """Weights of GPT-2 which multiply: 12 D^2 a layer, and the output layer's."""
    return 12 * depth * width**2 + words * width


def test_a_model_of_short_sequences_takes_six_operations_a_weight_and_token_and_attention_on_top():
    text, T, B = Packed.of(sentences(17, 17, 17, 17, 17, words=50)), 16, 5
    # scores and sums forwards, each two products backwards: 3 x 2 products of T x T x D in every sequence and layer
    wanted = 6 * weights(32, 3, 50) * B * T + 3 * B * 2 * 2 * 3 * T**2 * 32
    assert operations(lambda: update(gpt2(16), text)) == wanted


def test_attention_takes_the_square_of_the_length():
    def of(T):
        return operations(lambda: update(gpt2(T), Packed.of(sentences(T + 1, words=50))))

    for T in (128, 256):  # long enough for the fused kernel, which computes the scores once more backwards: 7 products
        assert of(T) - 6 * weights(32, 3, 50) * T == 3 * 7 * 2 * T**2 * 32


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_of_one_head_is_counted_in_every_kernel(dropout):
    query = torch.randn(1, 1, 200, 8, requires_grad=True)
    found = operations(lambda: attend(query, query, query, mask=causal(), dropout=dropout).sum().backward())
    square = 2 * 200**2 * 8
    if not dropout:
        assert found == 7 * square
    else:  # in stretches of 128 queries, none of which sees beyond its end
        assert found == 6 * 2 * (128 * 128 + 72 * 200) * 8


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_scores_and_sums_are_counted_by_their_own_widths(dropout):
    query, value = (torch.randn(1, 1, 100, width, requires_grad=True) for width in (8, 24))
    found = operations(lambda: attend(query, query, value, mask=causal(), dropout=dropout).sum().backward())
    assert found == 3 * 2 * 100**2 * (8 + 24)


def test_what_a_pattern_leaves_out_is_not_counted():
    def of(name, **changes):
        config = {"context": 256, "axes": (16, 16), "stride": 16, "depth": 2, "width": 32, "heads": 4, **changes}
        config |= {"hidden": 0, "key_width": 0}  # those of GPT-2
        model = MODELS["sparse-transformer"].model(tiny_config("sparse-transformer", 50, pattern=name, **config))
        return operations(lambda: update(NextToken(model), Packed.of(sentences(257, words=50))))

    dense = 6 * weights(32, 2, 50) * 256 + 2 * 7 * 2 * 256**2 * 32
    assert of("strided over heads") < dense


def test_a_gru_takes_three_gates_of_inputs_and_of_states():
    unit, lengths = GRU(12, 10), torch.tensor([4, 3, 1])
    x = torch.randn(8, 12, requires_grad=True)
    found = operations(lambda: unit(x, Timeline(lengths)).sum().backward())
    # all 8 tokens, 3 products each; what comes before the first state is zeros, but computed like all others
    assert found == 8 * 3 * 2 * 3 * (12 * 10 + 10 * 10)


def test_an_lstm_takes_four():
    unit, timeline = LSTM(12, 10), Timeline(torch.tensor([4, 3, 1]))
    x, zeros = torch.randn(8, 12, requires_grad=True), torch.zeros(3, 10)
    found = operations(lambda: unit(x, zeros, zeros, timeline)[0].sum().backward())
    assert found == 8 * 4 * 2 * 3 * (12 * 10 + 10 * 10)


def test_products_in_onednn_are_counted_as_all_others(monkeypatch):
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    x, weight = torch.randn(64, 96, requires_grad=True), torch.randn(128, 96, requires_grad=True)
    found = []
    for is_there in (False, True):
        monkeypatch.setattr(linear, "_suits_onednn", lambda rows, matrix, says=is_there: says)
        found.append(operations(lambda: linear.product(x, weight).sum().backward()))
    assert found == [3 * 2 * 64 * 96 * 128] * 2


class Noting(TorchDispatchMode):
    """What is called."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.add(func._overloadpacket)
        return func(*args, **(kwargs or {}))


def forward(name):
    """A number with a gradient, from a model in training."""
    if name in TRANSLATING:
        return Translation(single(name), smoothing=0.1)(*pairs()).total
    if MODELS[name].reads == "inputs":
        return headed(name, "classification", dtype=torch.float32).train()(*inputs(name, 9, 5, 12)).sum()
    objective = NextTokenOfSegments if name == "transformer-xl" else NextToken
    return objective(single(name))(Packed.of(sentences(40, 40, 40))).total


def single(name):
    """A model in float32, in training."""
    return tiny(name, dtype=torch.float32).train()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_product_of_every_model_is_known_to_the_counter(name, half):
    with Noting() as noting:
        with bfloat16("cpu") if half else nullcontext():
            result = forward(name)
        result.backward()
    known = {*flop_registry, *FORMULAS}
    products = {packet for packet in noting.seen if PRODUCTS.search(packet.__name__)}
    assert {str(packet) for packet in products - known if packet.__name__ not in VIEWS} == set()
    assert products & known

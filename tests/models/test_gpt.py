"""What the GPTs have in common."""

import math

import pytest
import torch
from tiny import tiny
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.layers.activations import GELU
from regard.models import MODELS


@pytest.mark.parametrize("name", ["gpt", "gpt2", "gpt3", "gpt-neo"])
def test_a_text_longer_than_the_context_is_refused(name):
    model = tiny(name, context=8)
    with pytest.raises(ValueError, match="9 tokens does not fit into the context of 8"):
        model(Packed.of([[3] * 9]))
    _, state = model.step(None, model.start(Packed.of([[3] * 8])))
    with pytest.raises(ValueError, match="context of 8"):
        model.step(torch.tensor([3]), state)


def test_forms_of_gelu_by_hand():
    for place in (-3.0, -0.7, 0.0, 0.4, 2.0):
        x = torch.tensor(place, dtype=torch.float64)
        wanted = {
            "exact": place * (1 + math.erf(place / math.sqrt(2))) / 2,
            "tanh": place * (1 + math.tanh(math.sqrt(2 / math.pi) * (place + 0.044715 * place**3))) / 2,
            "sigmoid": place / (1 + math.exp(-1.702 * place)),
        }
        assert wanted.keys() == GELU.keys()
        for form, value in wanted.items():
            assert_close(GELU[form](x).item(), value, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ["gpt", "gpt2", "gpt3", "gpt-neo", "sparse-transformer"])
def test_the_form_of_gelu_is_that_of_the_configuration(name):
    text = Packed.of([[3, 4, 5]])
    scores = [tiny(name, activation=form)(text) for form in GELU]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (scores[one] - scores[other]).abs().max() > 1e-5
    with pytest.raises(ValueError, match="activation must be one of exact, tanh, sigmoid, got 'gelu'"):
        tiny(name, activation="gelu")


def test_queries_of_gpt_neo_begin_with_the_scale_which_its_scores_lack():
    torch.manual_seed(0)
    model = MODELS["gpt-neo"].model(MODELS["gpt-neo"].sizes["tiny"])  # 4 heads of 16, two layers
    for block in model.blocks:
        query, key, value = block.attention.projection.weight.chunk(3)
        wanted = ((query, 1 / 8 / 4), (key, 1 / 8), (value, 1 / 8), (block.attention.output.weight, 1 / 8))
        for weight, deviation in (*wanted, (block.feed_forward.contract.weight, 0.02 / math.sqrt(2))):
            assert_close(weight.std().item(), deviation, atol=0, rtol=0.05)  # of 4,096 draws, over four deviations

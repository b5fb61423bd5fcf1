"""What GPT-3's banded layers keep of a text."""

import pytest
import torch
from tiny import tiny

from regard.attention.masks import banded
from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.layers.state import Hypotheses


def test_dense_and_banded_layers_take_turns():
    model = tiny("gpt3", depth=4, band=3)
    with recording(model) as maps:
        model(Packed.of([[3] * 9]))
    band = banded(3).dense(1, 1, 9, 9)
    for layer in range(4):
        sees = maps[f"blocks.{layer}.attention"] > 0
        assert torch.equal(sees.all((0, 1)), band if layer % 2 else torch.ones(9, 9, dtype=torch.bool).tril())


@pytest.mark.parametrize("beams", [1, 3])
def test_a_banded_cache_grows_no_further_than_its_band(beams):
    model = tiny("gpt3", band=5)
    _, state = model.step(None, model.start(Packed.of([[3] * 20, [4, 5]])))
    assert [cache.length for cache in state.past] == [20, 5]
    table = Hypotheses(2, beams, torch.arange(2 * beams))
    state = state.select(torch.arange(2).repeat_interleave(beams), table)
    for word in range(40):
        _, state = model.step(torch.full((2 * beams,), 3 + word % 5), state)
        assert state.past[1].length <= 5 * beams  # each hypothesis sees four old positions and writes one
    assert state.past[0].length >= 20 + 40

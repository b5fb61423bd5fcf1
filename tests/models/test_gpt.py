"""What the GPTs refuse."""

import pytest
import torch
from tiny import tiny

from regard.attention.packing import Packed


@pytest.mark.parametrize("name", ["gpt", "gpt2", "gpt3"])
def test_a_text_longer_than_the_context_is_refused(name):
    model = tiny(name, context=8)
    with pytest.raises(ValueError, match="9 tokens does not fit into the context of 8"):
        model(Packed.of([[3] * 9]))
    _, state = model.step(None, model.start(Packed.of([[3] * 8])))
    with pytest.raises(ValueError, match="context of 8"):
        model.step(torch.tensor([3]), state)

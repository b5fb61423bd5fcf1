"""How wide the weights of encoders and of heads begin."""

import pytest
import torch
from torch import nn

from regard.models import MODELS
from regard.models.directory import read_config
from regard.models.heads import HEADS
from regard.models.saved import load_model, save_model


@pytest.mark.parametrize("name", ["bert", "albert", "xlnet"])
@pytest.mark.parametrize("head", ["classification", "pre-training", "conditional-span"])
def test_all_matrices_begin_as_wide_as_the_configuration_says(name, head, tmp_path):
    """Those of heads too; a normal which is cut at two deviations has 0.88 of the deviation."""
    if head == "pre-training":
        head = "permuted" if name == "xlnet" else "masked-pair"
    torch.manual_seed(1)
    entry = MODELS[name]
    config = entry.config(
        width=64, depth=1, heads=2, hidden=128, vocabulary=200, pools=HEADS[head].pools, deviation=0.2
    )
    model = HEADS[head](entry.model(config), ("a", "b", "c") if not HEADS[head].size else ())
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding) and module.weight.numel() > 1000:
            assert 0.16 < float(module.weight.detach().std()) < 0.21, module
    save_model(model, tmp_path)
    assert read_config(tmp_path)[1].deviation == 0.2  # as Transformers' initializer_range
    assert load_model(tmp_path).encoder.config.deviation == 0.2

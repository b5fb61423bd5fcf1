"""The optimisers of BERT, ALBERT and XLNet beside their authors' codes: what these made of the same gradients.

The authors' lists of what does not decay go by name, ours by shape. In BERT and ALBERT a `bias` is a vector; the
`r_w_bias` of the oracle, which neither model has and whose name their lists match, is given to ours as one.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from regard.training.optimisers import OPTIMISERS, scaled
from regard.training.plan import Plan
from regard.training.schedules import SCHEDULES

UPDATES = 12
PLAN = Plan(steps=10, warmup=4)
RATE = 0.1
BEFORE_CLIPPING = 1.0  # the largest norm of all gradients together in each of the codes


@pytest.fixture(scope="module")
def oracle():
    return np.load(Path(__file__).parent.parent / "oracles" / "optimizers.npz")


def names(oracle) -> list[str]:
    """The variables."""
    return [key.removeprefix("w0/") for key in oracle.files if key.startswith("w0/")]


def walk(oracle, optimiser: str, rates: list[float], *, decay: float = 0.0, beta2: float = 0.0, vectors=()):
    """Our weights after each update."""
    shapes = {name: [-1] if name in vectors else oracle[f"w0/{name}"].shape for name in names(oracle)}
    weights = {
        name: nn.Parameter(torch.from_numpy(oracle[f"w0/{name}"]).reshape(*shape)) for name, shape in shapes.items()
    }
    ours = OPTIMISERS[optimiser]([scaled(weights.values())], decay, beta2)
    for update, rate in enumerate(rates):
        for name, weight in weights.items():
            weight.grad = torch.from_numpy(oracle[f"grad/{update}/{name}"]).reshape(*shapes[name])
        nn.utils.clip_grad_norm_(weights.values(), BEFORE_CLIPPING)
        for group in ours.param_groups:
            group["lr"] = rate
        ours.step()
        yield {name: weight.detach().reshape(oracle[f"w0/{name}"].shape) for name, weight in weights.items()}


def rates(oracle, tag: str) -> list[float]:
    """The rates which the authors' code meant each update to have."""
    return [float(oracle[f"{tag}/lr/{update}"]) for update in range(UPDATES)]


@pytest.mark.parametrize(
    ("tag", "optimiser", "vectors"),
    [
        ("bert_adamw", "bert", ["transformer/r_w_bias"]),
        ("albert_lamb", "lamb", ["transformer/r_w_bias"]),
        ("xlnet_adamw_poly", "bert", []),
    ],
)
def test_each_update_is_the_authors(oracle, tag, optimiser, vectors):
    for update, found in enumerate(walk(oracle, optimiser, rates(oracle, tag), decay=0.01, vectors=vectors)):
        for name, weight in found.items():
            wanted = torch.from_numpy(oracle[f"{tag}/w/{update}/{name}"])
            assert_close(weight, wanted, atol=2e-6, rtol=2e-6, msg=lambda text, at=(update, name): f"{at}: {text}")


def test_xlnet_without_decay_is_adamw_as_it_is_in_torch(oracle):
    tag = "xlnet_adam_cos"
    for update, found in enumerate(walk(oracle, "adamw", rates(oracle, tag), beta2=0.999)):
        for name, weight in found.items():
            # Updates are of up to 0.1, and their 1 - beta2^t, in float32, errs by some 3e-5 of its value at first, so
            # that the formula in float64 is as far from them as ours; the place of epsilon makes up 4e-7 of it.
            assert_close(weight, torch.from_numpy(oracle[f"{tag}/w/{update}/{name}"]), atol=6e-5, rtol=0)


def test_the_rate_of_bert_is_the_authors_from_its_first_update_on(oracle):
    found = [RATE * SCHEDULES["bert"](update + 1, PLAN, 0) for update in range(UPDATES)]
    assert found == pytest.approx(rates(oracle, "bert_adamw"), abs=1e-8)  # they are of float32
    assert found == pytest.approx(rates(oracle, "albert_lamb"), abs=1e-8)


@pytest.mark.parametrize(
    ("tag", "schedule", "floor"), [("xlnet_adamw_poly", "linear", 0.0), ("xlnet_adam_cos", "cosine", 1e-3)]
)
def test_the_rates_of_xlnet_come_one_update_earlier(oracle, tag, schedule, floor):
    plan = Plan(steps=10, warmup=4, schedule=schedule, floor=floor)
    found = [RATE * SCHEDULES[schedule](step, plan, 0) for step in range(1, UPDATES)]
    assert found == pytest.approx(rates(oracle, tag)[1:], abs=2e-8)  # they are of float32

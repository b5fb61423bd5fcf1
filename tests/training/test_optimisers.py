"""Optimisers and schedules, against the authors' numbers and by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from regard.training.optimisers import OPTIMISERS
from regard.training.plan import Plan
from regard.training.schedules import SCHEDULES

ORACLES = Path(__file__).parent.parent / "oracles"


def gradients(steps: int = 10) -> np.ndarray:
    """Gradients of a weight [4, 3] over steps, in float64."""
    return np.random.default_rng(0).normal(size=(steps, 4, 3))


def walked(name: str, rate: float, decay: float = 0.0, beta2: float = 0.0) -> np.ndarray:
    """Where an optimiser of ours takes a weight of ones."""
    weight = nn.Parameter(torch.ones(4, 3, dtype=torch.float64))
    optimiser = OPTIMISERS[name]([weight], decay, beta2)
    for gradient in gradients():
        weight.grad = torch.from_numpy(gradient)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
    return weight.detach().numpy()


def test_adadelta_takes_the_steps_of_groundhog():
    x, squares, moves = np.ones((4, 3)), 0.0, 0.0
    for g in gradients():
        squares = 0.95 * squares + 0.05 * g**2
        move = -np.sqrt(moves + 1e-6) / np.sqrt(squares + 1e-6) * g
        moves = 0.95 * moves + 0.05 * move**2
        x = x + move
    np.testing.assert_allclose(walked("adadelta", 1.0), x, rtol=1e-12)


def test_adam_takes_the_steps_of_the_paper():
    x, mean, square = np.ones((4, 3)), 0.0, 0.0
    for t, g in enumerate(gradients(), 1):
        mean, square = 0.9 * mean + 0.1 * g, 0.98 * square + 0.02 * g**2
        x = x - 0.01 * (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.98**t)) + 1e-9)
    np.testing.assert_allclose(walked("adam", 0.01), x, rtol=1e-12)


@pytest.mark.parametrize(("given", "beta2"), [(0.0, 0.95), (0.999, 0.999)])
def test_adamw_decays_apart_from_the_gradient_and_remembers_as_long_as_it_is_told(given, beta2):
    x, mean, square = np.ones((4, 3)), 0.0, 0.0
    for t, g in enumerate(gradients(), 1):
        mean, square = 0.9 * mean + 0.1 * g, beta2 * square + (1 - beta2) * g**2
        x = x - 0.01 * (0.1 * x + (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - beta2**t)) + 1e-8))
    np.testing.assert_allclose(walked("adamw", 0.01, 0.1, given), x, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimiser": "sgd", "beta2": 0.9}, "plan.beta2 is of plan.optimiser='adam' or 'adamw', got 'sgd'"),
        ({"optimiser": "adamw", "beta2": 1.0}, r"plan.beta2 must lie in \[0, 1\), got 1.0"),
    ],
)
def test_a_beta2_which_would_do_nothing_or_harm_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Plan(**values)


def test_sgd_goes_down_the_gradient():
    np.testing.assert_allclose(walked("sgd", 0.7), 1 - 0.7 * gradients().sum(0), rtol=1e-12)


def test_noam_has_the_rates_of_tensor2tensor():
    oracle = np.load(ORACLES / "t2t_schedule.npz")
    plan = Plan(warmup=4000)
    found = [SCHEDULES["noam"](int(step) + 1, plan, 512) for step in oracle["steps"]]  # the authors count from 0
    np.testing.assert_allclose(found, oracle["v1"], rtol=1e-6)  # written in float32


def test_noam_is_highest_at_the_end_of_the_warm_up():
    rates = [SCHEDULES["noam"](step, Plan(warmup=50), 64) for step in range(1, 200)]
    assert int(np.argmax(rates)) + 1 == 50


def test_the_rate_is_halved_every_half_epoch_after_five():
    plan = Plan(schedule="halving", halve_after=20, halve_every=2)  # epochs of 4 updates
    found = [SCHEDULES["halving"](step, plan, 0) for step in range(1, 27)]
    assert found == [1.0] * 20 + [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_linear_rises_to_one_and_falls_to_nothing():
    plan = Plan(steps=10, warmup=4)
    found = [SCHEDULES["linear"](step, plan, 0) for step in range(1, 11)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0.0])


def test_inverse_square_root_is_noam_scaled_to_one():
    plan = Plan(warmup=40)
    for step in (1, 39, 40, 41, 1000):
        scaled = SCHEDULES["noam"](step, plan, 64) / SCHEDULES["noam"](40, plan, 64)
        assert SCHEDULES["inverse_sqrt"](step, plan, 64) == pytest.approx(scaled)


def test_constant_stays_after_its_warm_up():
    found = [SCHEDULES["constant"](step, Plan(warmup=2), 0) for step in (1, 2, 3, 900)]
    assert found == [0.5, 1.0, 1.0, 1.0]
    assert SCHEDULES["constant"](1, Plan(warmup=0), 0) == 1.0

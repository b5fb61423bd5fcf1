"""Optimisers and schedules, against the authors' numbers and by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import ended, launch_several, outcome, small
from torch import nn

from regard.training.optimisers import OPTIMISERS, scaled
from regard.training.plan import Plan
from regard.training.schedules import SCHEDULES

ORACLES = Path(__file__).parent.parent / "oracles"


def gradients(steps: int = 10) -> np.ndarray:
    """Gradients of a weight [4, 3] over steps, in float64."""
    return np.random.default_rng(0).normal(size=(steps, 4, 3))


def walked(name: str, rate: float, decay: float = 0.0, beta2: float = 0.0) -> np.ndarray:
    """Where an optimiser of ours takes a weight of ones."""
    weight = nn.Parameter(torch.ones(4, 3, dtype=torch.float64))
    optimiser = OPTIMISERS[name]([scaled([weight])], decay, beta2)
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


@pytest.mark.parametrize(("given", "beta2"), [(0.0, 0.999), (0.98, 0.98)])
def test_berts_adam_does_not_correct_its_first_steps(given, beta2):
    x, mean, square = np.ones((4, 3)), 0.0, 0.0
    for g in gradients():
        mean, square = 0.9 * mean + 0.1 * g, beta2 * square + (1 - beta2) * g**2
        x = x - 0.01 * (0.1 * x + mean / (np.sqrt(square) + 1e-6))
    np.testing.assert_allclose(walked("bert", 0.01, 0.1, given), x, rtol=1e-12)


@pytest.mark.parametrize(("given", "beta2"), [(0.0, 0.999), (0.98, 0.98)])
def test_lamb_moves_a_matrix_by_its_own_length(given, beta2):
    x, mean, square = np.ones((4, 3)), 0.0, 0.0
    for g in gradients():
        mean, square = 0.9 * mean + 0.1 * g, beta2 * square + (1 - beta2) * g**2
        update = 0.1 * x + mean / (np.sqrt(square) + 1e-6)
        x = x - 0.01 * update * np.sqrt((x**2).sum() / (update**2).sum())
    np.testing.assert_allclose(walked("lamb", 0.01, 0.1, given), x, rtol=1e-12)


def stepped(name: str, value: float, gradient: float, *shape: int, rate: float = 0.5, decay: float = 0.1) -> float:
    """Where one step takes each number of a weight, all of which are the same."""
    weight = nn.Parameter(torch.full(shape, value, dtype=torch.float64))
    optimiser = OPTIMISERS[name]([scaled([weight])], decay, 0.0)
    weight.grad = torch.full_like(weight, gradient)
    optimiser.param_groups[0]["lr"] = rate
    optimiser.step()
    assert (weight == weight.flatten()[0]).all()
    return weight.flatten()[0].item()


FIRST = 0.1 / (0.001**0.5 + 1e-6)  # the first update of a gradient of 1, without correction, but for its epsilon


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3)])
def test_matrices_decay_and_vectors_do_not(shape):
    """So do XLNet's biases of attention, which are [H, K], as in its authors' list."""
    decays = len(shape) > 1
    assert stepped("bert", 2.0, 1.0, *shape) == pytest.approx(2.0 - 0.5 * (FIRST + 0.2 * decays))


def test_lamb_moves_a_vector_by_the_plain_update():
    assert stepped("lamb", 2.0, 1.0, 6) == pytest.approx(2.0 - 0.5 * FIRST)
    assert stepped("lamb", 2.0, 1.0, 2, 3) == pytest.approx(2.0 - 0.5 * 2.0)


def test_lamb_moves_a_matrix_of_zeros_and_leaves_one_without_update():
    assert stepped("lamb", 0.0, 1.0, 2, 3) == pytest.approx(-0.5 * FIRST)
    assert stepped("lamb", 2.0, 0.0, 2, 3, decay=0.0) == 2.0


def test_lamb_has_no_bounds_on_its_ratio():
    assert stepped("lamb", 1e4, 1.0, 2, 3, decay=0.0) == pytest.approx(0.5e4)


def pair_of_weights() -> list[nn.Parameter]:
    """A matrix and a vector."""
    return [nn.Parameter(torch.ones(4, 3, dtype=torch.float64)), nn.Parameter(torch.ones(3, dtype=torch.float64))]


def move(weights: list[nn.Parameter], optimiser: torch.optim.Optimizer, steps: np.ndarray, rate: float = 0.01) -> None:
    """Some updates as the loop makes them."""
    for gradient in steps:
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        for weight in weights:
            weight.grad = torch.from_numpy(gradient[: len(weight)] if weight.ndim > 1 else gradient[0])
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


DECAY = {"adamw": 0.1, "bert": 0.1, "lamb": 0.1}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_each_group_has_its_own_rate(name):
    """A parameter of half the rate moves as if it stood alone in a run of half the rate."""
    weights = pair_of_weights() + pair_of_weights()
    groups = [scaled(weights[:2], 0.5), scaled(weights[2:])]
    move(weights, OPTIMISERS[name](groups, DECAY.get(name, 0.0), 0.0), gradients())
    for found, rate in ((weights[:2], 0.005), (weights[2:], 0.01)):
        alone = pair_of_weights()
        move(alone, OPTIMISERS[name]([scaled(alone)], DECAY.get(name, 0.0), 0.0), gradients(), rate)
        assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_saved_optimiser_goes_on_to_the_bit(name):
    straight, halted = pair_of_weights(), pair_of_weights()
    move(straight, OPTIMISERS[name]([scaled(straight)], DECAY.get(name, 0.0), 0.0), gradients())
    before = OPTIMISERS[name]([scaled(halted)], DECAY.get(name, 0.0), 0.0)
    move(halted, before, gradients()[:4])
    after = OPTIMISERS[name]([scaled(halted)], DECAY.get(name, 0.0), 0.0)
    after.load_state_dict(before.state_dict())
    move(halted, after, gradients()[4:])
    assert all(torch.equal(one, other) for one, other in zip(straight, halted, strict=True))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_parameter_without_a_gradient_stays_where_it_is(name):
    weights = pair_of_weights()
    optimiser = OPTIMISERS[name]([scaled(weights)], DECAY.get(name, 0.0), 0.0)
    move(weights[:1], optimiser, gradients())
    assert torch.equal(weights[1], torch.ones_like(weights[1]))
    assert not torch.equal(weights[0], torch.ones_like(weights[0]))


@pytest.mark.parametrize("name", ["bert", "lamb"])
def test_a_run_which_began_with_another_adam_goes_on_without_corrections(name):
    one, other = pair_of_weights(), pair_of_weights()
    optimiser = OPTIMISERS["adamw"]([scaled(one)], 0.1, 0.999)
    move(one, optimiser, gradients()[:2], rate=0.0)
    goes_on = OPTIMISERS[name]([scaled(one)], 0.1, 0.0)
    goes_on.load_state_dict({**goes_on.state_dict(), "state": optimiser.state_dict()["state"]})  # as the loop does
    move(one, goes_on, gradients()[2:])
    plain = OPTIMISERS[name]([scaled(other)], 0.1, 0.0)
    move(other, plain, gradients()[:2], rate=0.0)
    move(other, plain, gradients()[2:])
    for found, wanted in zip(one, other, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("optimiser", ["adamw", "bert", "lamb"])
def test_what_decays_may_be_asked_to(optimiser):
    assert Plan(optimiser=optimiser, decay=0.01, beta2=0.98).decay == 0.01


def test_a_decay_which_would_do_nothing_is_refused():
    with pytest.raises(ValueError, match=r"plan\.decay is of .*'adamw', got 'adam'; 'bert' and 'lamb' take it too"):
        Plan(optimiser="adam", decay=0.01)


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


@pytest.mark.parametrize("name", ["bert", "lamb"])
def test_sharded_parameters_move_as_whole_ones_and_go_on_to_the_bit(name, tmp_path):
    run = small(steps=4, save_every=2, validate_every=4, validate_sentences=1, optimiser=name, decay=0.01)
    run = replace(run, model={**run.model, "dropout": 0.0})
    sharded = {"ACCELERATE_USE_FSDP": "true"}
    whole = [
        launch_several(run, tmp_path / "replicated", 2),
        launch_several(run, tmp_path / "sharded", 2, environment=sharded),
        launch_several(run, tmp_path / "killed", 2, environment=sharded, kill=("step", 3)),
    ]
    for processes, status in zip(whole, (0, 0, -9), strict=True):
        assert ended(*processes) == [status] * 2, [path.read_text() for path in tmp_path.glob("*.log")]
    assert ended(*launch_several(run, tmp_path / "killed", 2, environment=sharded, resume=True)) == [0, 0]
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "sharded")
    one, other = (load_file(tmp_path / mode / "model.safetensors") for mode in ("replicated", "sharded"))
    for part in one:
        torch.testing.assert_close(one[part], other[part], atol=1e-5, rtol=0)  # sums of another order, through Adam


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


def test_the_rate_of_bert_falls_where_the_warm_up_ends():
    plan = Plan(steps=10, warmup=4)
    found = [SCHEDULES["bert"](step, plan, 0) for step in range(1, 12)]
    assert found == pytest.approx([0.0, 0.25, 0.5, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    assert SCHEDULES["bert"](1, Plan(steps=10, warmup=0), 0) == 1.0


def test_constant_stays_after_its_warm_up():
    found = [SCHEDULES["constant"](step, Plan(warmup=2), 0) for step in (1, 2, 3, 900)]
    assert found == [0.5, 1.0, 1.0, 1.0]
    assert SCHEDULES["constant"](1, Plan(warmup=0), 0) == 1.0

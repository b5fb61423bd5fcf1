"""Plain values become a configuration, or one error which says where and why."""

from dataclasses import dataclass, field

import pytest

from regard.storage.configuration import configured


@dataclass(frozen=True)
class Plan:
    """Fields of every kind."""

    steps: int
    rate: float = 0.1
    decays: tuple[float, ...] = (0.5,)
    seed: int | None = None
    is_tied: bool = False
    tags: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError(f"plan.rate must not be negative, got {self.rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, got {self.steps}")


def test_what_is_not_given_is_the_default():
    assert configured(Plan, {"steps": 3, "seed": 4}, "here") == Plan(3, seed=4)


def test_a_list_stands_for_a_tuple_and_a_whole_number_for_a_rate():
    assert configured(Plan, {"steps": 3, "rate": 0, "decays": [0.1, 0.2]}, "here") == Plan(3, 0.0, (0.1, 0.2))


def test_the_values_stay_as_they_were():
    values = {"steps": 3, "decays": [0.1]}
    configured(Plan, values, "here")
    assert values == {"steps": 3, "decays": [0.1]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 3, "raet": 1.0}, "run.toml: plan: unknown key 'raet'; did you mean 'rate'?"),
        ({"zzz": 1}, "run.toml: plan: unknown key 'zzz'; the keys are steps, rate, decays, seed, is_tied, tags"),
        ({"steps": 3, "rate": "1"}, "run.toml: plan: rate must be of type float, got '1' of type str"),
        ({"steps": 3, "rate": True}, "run.toml: plan: rate must be of type float, got True of type bool"),
        ({"steps": 3, "is_tied": 1}, "run.toml: plan: is_tied must be of type bool, got 1 of type int"),
        ({"steps": 3, "decays": 0.1}, "run.toml: plan: decays must be of type list, got 0.1 of type float"),
        ({"rate": 0.2}, "run.toml: plan: missing steps"),
        ({"steps": 0}, "run.toml: plan: steps must be 1 or more, got 0"),
        ({"steps": 3, "rate": -1.0}, "run.toml: plan.rate must not be negative, got -1.0"),
    ],
)
def test_a_mistake_is_named_with_its_place(values, message):
    with pytest.raises(ValueError, match=r"^run\.toml") as error:
        configured(Plan, values, "run.toml: plan")
    assert str(error.value) == message

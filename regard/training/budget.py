"""What a run may spend on its updates: seconds, tokens or floating-point operations.

A budget takes the place of the number of steps. All else of a plan goes on to count in steps, which then are shares of
the budget: of 1,000 steps the first 100 are the first tenth of what may be spent. So warm-up, schedule, validations and
checkpoints are where they were, and the rate comes to its end when the budget does, however fast the machine is or
becomes (the budget-aware schedule of Li, Yumer and Ramanan 2020, "Budgeted Training", section 4).
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

SECONDS, TOKENS, OPERATIONS = "seconds", "tokens", "operations"
UNITS: dict[str, tuple[str, int]] = {
    **{"s": (SECONDS, 1), "min": (SECONDS, 60), "h": (SECONDS, 3600)},
    **{"ktokens": (TOKENS, 10**3), "Mtokens": (TOKENS, 10**6), "Gtokens": (TOKENS, 10**9)},
    **{"GFLOP": (OPERATIONS, 10**9), "TFLOP": (OPERATIONS, 10**12), "PFLOP": (OPERATIONS, 10**15)},
}
_FORM = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", re.ASCII)


@dataclass(frozen=True)
class Budget:
    """So much of one thing: `Budget.read("10min")`, "5Mtokens", "2PFLOP".

    Args:
        amount: whole numbers of tokens and of operations; seconds may be parts.
        of: seconds, tokens or operations.
    """

    amount: int | float
    of: str

    @classmethod
    def read(cls, text: str) -> Self:
        """The budget which a text names.

        Raises:
            ValueError: if it is no number with a unit, or less than one token or operation, or nothing.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(
                f"a budget is a number and a unit, as 10min, 5Mtokens or 2PFLOP, got {text!r}; the units are {_units()}"
            )
        number, unit = found.groups()
        if unit not in UNITS:
            near = next((f"; did you mean {known!r}?" for known in UNITS if known.lower() == unit.lower()), "")
            raise ValueError(f"the unit of a budget is one of {_units()}, got {unit!r} in {text!r}{near}")
        of, size = UNITS[unit]
        amount = Fraction(number) * size
        if not amount:
            raise ValueError(f"a budget must be more than nothing, got {text!r}")
        if of == SECONDS:
            return cls(float(amount), of)
        if amount.denominator != 1:
            raise ValueError(f"a budget is of whole {of}, got {text!r}, which is {float(amount):g} of them")
        return cls(int(amount), of)

    def place(self, spent: int | float, steps: int) -> float:
        """Where a run of so many steps is, when so much is spent: the last step where all is."""
        return min(float(steps), spent * steps / self.amount)

    def __str__(self) -> str:
        return f"{self.amount:,.6g} seconds" if self.of == SECONDS else f"{self.amount:,} {self.of}"


def _units() -> str:
    """The units in words."""
    return ", ".join(UNITS)

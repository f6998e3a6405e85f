"""The dose budget of one procedure: a warning on the way, a stop at its end, overruled by name and with a reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = [
    "BUDGET_QUANTITIES",
    "WARN_AT",
    "Budget",
    "BudgetRule",
    "BudgetState",
    "DoseQuantity",
    "Overruled",
    "three_digits",
]

WARN_AT = 0.8
"""Part of the budget at which a warning is given."""


class DoseQuantity(StrEnum):
    """What budgets and typical values are stated in, in the unit of the ledger."""

    AIR_KERMA = "air_kerma"
    KAP = "kap"
    PEAK_SKIN_DOSE = "peak_skin_dose"
    FLUOROSCOPY_TIME = "fluoroscopy_time"

    @property
    def unit(self) -> str:
        """Unit of its values."""
        return {"kap": "Gy·cm²", "fluoroscopy_time": "s"}.get(self.value, "mGy")

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self]


def three_digits(value: float) -> str:
    """Return a dose for people: three digits, without an exponent below a million."""
    return f"{float(f'{value:.3g}'):g}"


_WORDS = {
    DoseQuantity.AIR_KERMA: "air kerma at the reference point",
    DoseQuantity.KAP: "kerma-area product",
    DoseQuantity.PEAK_SKIN_DOSE: "peak skin dose",
    DoseQuantity.FLUOROSCOPY_TIME: "fluoroscopy time",
}

BUDGET_QUANTITIES: Mapping[DoseQuantity, tuple[float, float]] = {
    DoseQuantity.AIR_KERMA: (0.01, 100_000.0),
    DoseQuantity.KAP: (0.001, 100_000.0),
    DoseQuantity.PEAK_SKIN_DOSE: (0.01, 100_000.0),
    DoseQuantity.FLUOROSCOPY_TIME: (1.0, 86_400.0),
}
"""Smallest and largest budget of each, in its unit."""


class BudgetState(StrEnum):
    """How far a budget is spent."""

    FREE = "free"
    WARNED = "warned"
    SPENT = "spent"


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """How much a procedure may take.

    Attributes
    ----------
    quantity, limit
        In the quantity's unit.
    source
        Who set it.
    warn_at
        Part of it at which a warning is given.
    """

    quantity: DoseQuantity
    limit: float
    source: str
    warn_at: float = WARN_AT

    def __post_init__(self) -> None:
        low, high = BUDGET_QUANTITIES[self.quantity]
        if not (math.isfinite(self.limit) and low <= self.limit <= high):
            unit = self.quantity.unit
            raise ValueError(
                f"a budget of {self.quantity.words} lies from {low:g} to {high:g} {unit}, not {self.limit}"
            )
        if not 0.1 <= self.warn_at < 1.0:
            raise ValueError(f"the warning comes between 0.1 and 1 of the budget, not at {self.warn_at:g}")


@dataclass(frozen=True, slots=True)
class Overruled:
    """Who went on above the budget, and why."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget and how far it is spent; changed by making another.

    Attributes
    ----------
    rule
        How much.
    value
        Largest value so far, in the unit; None while nothing is known.
    overruled
        Who goes on above it; None while nobody does.
    """

    rule: BudgetRule
    value: float | None = None
    overruled: Overruled | None = None

    @property
    def fraction(self) -> float | None:
        """Value per limit."""
        return None if self.value is None else self.value / self.rule.limit

    @property
    def state(self) -> BudgetState:
        """How far it is spent: at exactly the limit it is."""
        if self.value is None:
            return BudgetState.FREE
        if self.value >= self.rule.limit:
            return BudgetState.SPENT
        return BudgetState.WARNED if self.value >= self.rule.warn_at * self.rule.limit else BudgetState.FREE

    @property
    def stopped(self) -> bool:
        """Whether it forbids X-ray: spent and not overruled."""
        return self.state is BudgetState.SPENT and self.overruled is None

    def followed(self, value: float | None) -> "Budget":
        """Return it with the present value; what is not known, or falls, changes nothing.

        Raises
        ------
        ValueError
            The value is negative or not finite.
        """
        if value is None:
            return self
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{self.rule.quantity.words} cannot be {value}")
        return self if self.value is not None and value <= self.value else replace(self, value=value)

    def overrule(self, by: str, reason: str) -> "Budget":
        """Return it with somebody's responsibility for going on.

        Raises
        ------
        ValueError
            It does not forbid X-ray, or nobody or no reason is named.
        """
        person, why = " ".join(by.split()), " ".join(reason.split())
        if not self.stopped:
            raise ValueError("the budget does not forbid X-ray: there is nothing to overrule")
        if not person or not why:
            raise ValueError("a budget is overruled by name and with a reason")
        return replace(self, overruled=Overruled(person, why))

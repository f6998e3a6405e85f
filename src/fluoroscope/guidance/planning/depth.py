"""How deep the canal lies by formulas of body build, to check a planned depth against (guidance.md §5.2)."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DIFFER_MM", "BodyBuild", "canal_depths_mm", "depth_warnings"]

DIFFER_MM = 15.0
"""Two depths further apart than this are told."""
_INCH_MM = 25.4
_ADULT_YEARS = 18.0


@dataclass(frozen=True, slots=True)
class BodyBuild:
    """What the formulas take; None where it is not known.

    Attributes
    ----------
    bmi
        kg/m².
    weight_kg, height_cm
        Of the body.
    age_years
        An adult where it is not known.
    """

    bmi: float | None = None
    weight_kg: float | None = None
    height_cm: float | None = None
    age_years: float | None = None

    @property
    def adult(self) -> bool:
        """18 years or more, or not known."""
        return self.age_years is None or self.age_years >= _ADULT_YEARS

    @property
    def mass_index(self) -> float | None:
        """BMI, reckoned where weight and height are known instead."""
        if self.bmi is not None or self.weight_kg is None or self.height_cm is None:
            return self.bmi
        return self.weight_kg / (self.height_cm / 100.0) ** 2


def canal_depths_mm(build: BodyBuild) -> Mapping[str, float]:
    """Return the depth from skin to the middle of the canal by every formula that can be reckoned, the default first.

    Adults: Nayate 2016 (AJNR 37:572), inches = 0.077·BMI + 0.88; Abe 2005 (AJEM 23:742), cm = 1 + 17·W/H.
    Children: Craig, 0.03·H; Stocker, 0.5·W + 18 mm; Bailie, 0.4·W + 20 mm (PMID 23966025); Abe.
    """
    found: dict[str, float] = {}
    w, h, bmi = build.weight_kg, build.height_cm, build.mass_index
    if build.adult and bmi is not None:
        found["Nayate 2016"] = (0.077 * bmi + 0.88) * _INCH_MM
    if not build.adult:
        if h is not None:
            found["Craig"] = 0.3 * h
        if w is not None:
            found |= {"Stocker": 0.5 * w + 18.0, "Bailie": 0.4 * w + 20.0}
    if w is not None and h is not None:
        found["Abe 2005"] = 10.0 * (1.0 + 17.0 * w / h)
    return found


def depth_warnings(depths_mm: Mapping[str, float], planned_mm: float | None) -> list[str]:
    """Return what does not agree within 15 mm: the formulas with each other, and the first with the plan."""
    if not depths_mm:
        return []
    words = []
    first, *others = depths_mm.items()
    for name, depth in others:
        if abs(depth - first[1]) > DIFFER_MM:
            words.append(f"depth formulas differ: {first[0]} {first[1]:.0f} mm, {name} {depth:.0f} mm")
    if planned_mm is not None and abs(first[1] - planned_mm) > DIFFER_MM:
        words.append(
            f"planned depth {planned_mm:.0f} mm differs from {first[0]}'s {first[1]:.0f} mm: check the lateral"
        )
    return words

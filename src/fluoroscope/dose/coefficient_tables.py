"""The numbers of patient dose with where each comes from; a site puts its own in their place.

Marks: V read in the source, K known but the source not yet checked, M our own calculation.
"""

__all__ = [
    "CONCEPTUS_LIVER",
    "CONCEPTUS_SOURCE",
    "CONCEPTUS_UTERUS",
    "EFFECTIVE",
    "ORGAN_FACTOR",
    "SPREAD_PERCENT",
    "SPREAD_SOURCE",
]

_HALVED = "53 % below AP (50 to 57 %, Iran J Radiol, doi:10.5812/iranjradiol.75413)"

EFFECTIVE: tuple[tuple[str, float | None, float | None, float | None, float | None, str, str], ...] = (
    (
        "lumbar",
        0.22,
        0.10,
        0.09,
        0.33,
        f"AP, lateral HPA-CRCE-028 (ICRP 103); PA: {_HALVED}; AP and lateral mixed: Kim 2009, AJR 192:1726 (ICRP 60)",
        "K",
    ),
    ("abdomen", None, None, None, 0.26, "general fluoroscopy of the abdomen, as in NCRP 160", "K"),
)
"""Region, ap, pa, lateral, mixed in mSv/(Gy·cm²), source, mark."""

SPREAD_PERCENT = 40.0
SPREAD_SOURCE = "effective dose of a reference patient ±40 % (Martin 2007, Br J Radiol 80:639) [K]"

CHILD_AGES_YEARS = (0.0, 1.0, 5.0, 10.0, 15.0, 18.0)
CHILD_MASSES_KG = (3.5, 10.0, 19.0, 32.0, 54.5, 66.5)
"""Reference masses, mean of both sexes, ICRP Publication 89; from 18 years on an adult's."""
CHILD_TIMES = 1.7
"""How many times more or less a child's coefficient may be besides: published ones of the heart, 3.7, 1.9, 1.0, 0.6,
0.4 mSv/(Gy·cm²) at 0, 1, 5, 10, 15 years (Karambatsakidou 2009, Br J Radiol 82:748), fall less than 1 / mass."""
CHILD_SOURCE = "an adult's × adult mass / child's mass (ICRP 89) [V]"

ORGAN_FACTOR = 2.5
"""An organ dose may be so many times more or less (k = 2): a field 3 cm, one vertebra, higher or lower does it [M]."""

CONCEPTUS_SOURCE = "uterus by PCXMC 2.0 at 70 to 125 kV, table of the program IRSkinDose (Wilson 2023) [V]"
CONCEPTUS_KV = (70.0, 80.0, 100.0, 125.0)
CONCEPTUS_UTERUS: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "fluoroscopy": {
        "pa": (0.383, 0.447, 0.521, 0.563),
        "lateral": (0.127, 0.156, 0.191, 0.213),
        "ap": (0.687, 0.766, 0.840, 0.872),
    },
    "acquisition": {
        "pa": (0.224, 0.277, 0.358, 0.422),
        "lateral": (0.068, 0.090, 0.124, 0.152),
        "ap": (0.445, 0.519, 0.623, 0.698),
    },
}
"""Uterus dose per air kerma at the reference point with the uterus in the beam, at each voltage."""
CONCEPTUS_LIVER: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "fluoroscopy": {
        "pa": (0.0168, 0.0214, 0.0275, 0.0318),
        "lateral": (0.0116, 0.0152, 0.0210, 0.0249),
        "ap": (0.0230, 0.0296, 0.0371, 0.0411),
    },
    "acquisition": {
        "pa": (0.0086, 0.0118, 0.0172, 0.0220),
        "lateral": (0.0060, 0.0084, 0.0128, 0.0168),
        "ap": (0.0117, 0.0162, 0.0233, 0.0288),
    },
}
"""The same with the beam at the height of the liver."""

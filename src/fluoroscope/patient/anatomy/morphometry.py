"""Dimensions of a sampled spine: means, spreads and how they go together (guidance 6.1, 6.2).

Tables: Panjabi 1992 (doi:10.1097/00007632-199203000-00010) and Zindrick 1987, unverified there; L5 from CT of
196 living adults (Cook 2021), which is taken where they differ; discs from MRI; recumbent lordosis 36.8 ± 13.2°
(n 627), taken rather than the standing one, to which the heights of the tables sum (49°): the patient lies. Heights
are therefore drawn as the tables say and then opened or closed until they sum to the lordosis (`_meet_lordosis`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.vertebra import VertebraMorphometry

__all__ = [
    "DISCS",
    "MORPHOMETRY",
    "QUANTITIES",
    "DiscMorphometry",
    "SpineMorphometry",
    "levels_of",
    "sample_morphometry",
]

QUANTITIES = tuple(name for name in VertebraMorphometry.__dataclass_fields__ if name.endswith(("_mm", "medial_deg")))
MORPHOMETRY: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "upper_width_mm": ((38.9, 40.0, 41.2, 42.6, 44.1, 46.6, 47.3), (2.5, 2.5, 2.8, 2.8, 3.0, 3.2, 3.4)),
    "upper_depth_mm": ((31.5, 33.0, 34.1, 34.6, 35.2, 35.5, 35.7), (2.5, 2.5, 2.6, 2.7, 2.9, 3.0, 3.5)),
    "lower_width_mm": ((40.0, 41.2, 43.3, 45.5, 48.0, 49.5, 49.4), (2.5, 2.6, 2.8, 2.9, 3.1, 3.3, 3.5)),
    "lower_depth_mm": ((32.0, 33.4, 35.3, 34.9, 34.8, 33.9, 35.3), (2.5, 2.5, 2.6, 2.7, 2.9, 3.0, 3.5)),
    "height_anterior_mm": ((21.3, 22.4, 25.0, 26.5, 27.0, 27.0, 30.3), (1.9,) * 7),
    "height_posterior_mm": ((22.0, 23.1, 23.8, 24.3, 23.8, 24.1, 26.3), (1.9,) * 7),
    "pedicle_width_mm": ((8.0, 8.2, 8.7, 8.9, 10.3, 12.9, 16.1), (1.5, 1.5, 1.5, 1.5, 1.6, 2.0, 2.3)),
    "pedicle_height_mm": ((16.0, 16.0, 15.4, 15.0, 14.9, 14.8, 12.9), (1.7, 1.7, 1.7, 1.7, 1.7, 1.7, 1.9)),
    "pedicle_medial_deg": ((6.0, 5.0, 10.9, 12.0, 14.4, 17.7, 29.8), (3.0,) * 7),
    "canal_width_mm": ((20.0, 22.2, 23.7, 23.8, 24.3, 25.4, 28.2), (2.0, 2.0, 2.0, 2.0, 2.2, 2.5, 3.1)),
    "canal_depth_mm": ((17.5, 18.1, 19.0, 18.2, 17.5, 18.6, 15.6), (2.0, 2.0, 2.1, 2.1, 2.1, 2.1, 2.1)),
    "transverse_span_mm": ((58.0, 52.0, 71.0, 76.0, 86.0, 79.0, 92.0), (5.0, 5.0, 5.0, 5.5, 6.0, 5.5, 6.0)),
    "spinous_length_mm": ((32.0, 30.0, 30.0, 33.0, 33.0, 31.0, 25.0), (3.0,) * 7),
    "facet_deg": ((75.0, 30.0, 25.0, 30.0, 35.0, 45.0, 52.0), (6.0, 5.0, 6.0, 6.0, 7.0, 7.0, 7.0)),
}
"""Mean and spread of T11, T12, L1 … L5, both sexes together. T11, T12, spans and angles' spreads: unverified."""
DISCS: Mapping[str, tuple[tuple[float, ...], float]] = {
    "anterior_mm": ((5.3, 6.1, 7.5, 8.8, 10.0, 11.5, 13.0), 1.5),
    "posterior_mm": ((4.5, 5.1, 5.8, 6.5, 7.3, 8.0, 6.5), 1.0),
}
"""Discs below T11, T12, L1 … L5: mean and spread (spread 1.0-2.5 in n 14)."""
THINNEST_DISC_MM = 3.4
"""Of a healthy disc: bent as far as it goes, with bumps on both endplates, the bodies do not meet."""
FEMALE_SHARE = 0.9
"""Linear size of women's endplates over men's (Cook 2021)."""
SEX_DIMORPHISM: Mapping[str, float] = {
    "height_anterior_mm": 0.964,
    "height_posterior_mm": 0.951,
    "canal_width_mm": 0.97,
    "canal_depth_mm": 0.98,
}
STATURE_CM: Mapping[str, tuple[float, float]] = {"female": (164.0, 6.5), "male": (177.0, 7.0)}
LORDOSIS_DEG, PELVIC_INCIDENCE_DEG, SACRAL_SLOPE_DEG = (36.8, 13.2), (53.0, 10.5), (39.5, 7.8)
LEVEL_NAMES = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "L6")
_ANGLES = ("pedicle_medial_deg", "facet_deg")


@dataclass(frozen=True, slots=True)
class DiscMorphometry:
    """Heights of the disc below a level, and 0 (healthy) to 1 (collapsed)."""

    anterior_mm: float
    posterior_mm: float
    degeneration: float = 0.0


@dataclass(frozen=True, slots=True)
class SpineMorphometry:
    """Dimensions of a spine.

    Attributes
    ----------
    vertebrae, discs
        By level, from T11 down; a disc is the one below its level.
    lordosis_deg
        L1 to S1, upper endplates.
    pelvic_incidence_deg, sacral_slope_deg
        The pelvic tilt is their difference.
    height_cm
        Of the patient.
    """

    vertebrae: dict[str, VertebraMorphometry]
    discs: dict[str, DiscMorphometry]
    lordosis_deg: float
    pelvic_incidence_deg: float
    sacral_slope_deg: float
    height_cm: float


def levels_of(parameters: PatientParameters) -> tuple[str, ...]:
    """Return the levels from T11 to the lowest lumbar one."""
    return LEVEL_NAMES[: 2 + parameters.lumbar_vertebrae]


def sample_morphometry(parameters: PatientParameters) -> SpineMorphometry:
    """Draw a spine; what the parameters give is met exactly, the rest follows the seed."""
    rng = np.random.Generator(np.random.PCG64([parameters.seed, 61]))
    mean_cm, spread_cm = STATURE_CM[parameters.sex]
    drawn = mean_cm + spread_cm * float(rng.standard_normal())
    if parameters.height_cm is not None:
        height_cm = parameters.height_cm
    else:
        height_cm = drawn * (1.0 if parameters.age_years >= 18.0 else _child(parameters.age_years))
    size = (height_cm - mean_cm) / spread_cm
    # Taller than most or a child: sizes go with the height; within the adult range they do so in part.
    stretch = 1.0 if abs(size) <= 2.5 else height_cm / (mean_cm + np.sign(size) * 2.5 * spread_cm)
    size = float(np.clip(size, -2.5, 2.5))
    levels = levels_of(parameters)
    values = {
        name: _draw(name, levels, parameters, size, rng) * (stretch if name.endswith("_mm") else 1.0)
        for name in MORPHOMETRY
    }
    # The tips of a child's spinous processes are cartilage: what is bone leaves the skin its depth (Bailie); assumed.
    values["spinous_length_mm"] *= float(np.interp(parameters.age_years, (4.0, 10.0, 18.0), (0.56, 0.70, 1.0)))
    facets = _facets(values.pop("facet_deg"), rng)
    incidence, slope, lordosis = _alignment(parameters, rng)
    _set_heights(values, facets, rng)
    discs = {name: one * stretch * _disc_sex(parameters) for name, one in _draw_discs(len(levels), rng).items()}
    _meet_lordosis(values, discs, lordosis, levels.index("L1"))
    vertebrae = {
        level: VertebraMorphometry(
            **{name: float(value[n]) for name, value in values.items()},
            facet_left_deg=float(facets[n, 0]),
            facet_right_deg=float(facets[n, 1]),
            irregular=1 + 16 * (parameters.seed % 65536) + n,
        )
        for n, level in enumerate(levels)
    }
    below = {
        level: DiscMorphometry(float(discs["anterior_mm"][n]), float(discs["posterior_mm"][n]))
        for n, level in enumerate(levels)
    }
    spine = SpineMorphometry(vertebrae, below, lordosis, incidence, slope, height_cm)
    return _with_pathologies(spine, parameters)


def _child(age_years: float) -> float:
    """Return a child's share of adult height, piecewise linear through the WHO medians of 4, 10 and 14 years."""
    return float(np.interp(age_years, (4.0, 10.0, 14.0, 18.0), (0.61, 0.82, 0.95, 1.0)))


def _column(table: tuple[float, ...], count: int) -> NDArray[np.float64]:
    """Return a table's values for so many levels; a sixth lumbar vertebra is like the fifth."""
    return np.array([*table, table[-1]])[:count]


def _draw(
    name: str, levels: tuple[str, ...], parameters: PatientParameters, size: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw one quantity for all levels: sex, stature, what is common to the spine, what is the level's own."""
    mean, spread = (_column(column, len(levels)) for column in MORPHOMETRY[name])
    common, own = float(rng.standard_normal()), rng.standard_normal(len(levels))
    if name in _ANGLES:
        # What bumps add to a measured angle is part of its spread.
        return np.clip(mean + 0.9 * spread * (0.6 * common + 0.8 * own), 2.0, 82.0)
    ratio = SEX_DIMORPHISM.get(name, FEMALE_SHARE if "width" in name or "depth" in name else 0.95)
    swing = (1.0 - ratio) / (1.0 + ratio)
    center = mean * (1.0 + (swing if parameters.sex == "male" else -swing))
    # The sexes' difference is part of the pooled spread.
    left = np.sqrt(np.maximum(spread**2 - (mean * swing) ** 2, (0.4 * spread) ** 2))
    mix = 0.5 * size + 0.61 * common + 0.61 * own
    drawn: NDArray[np.float64] = center + left * np.clip(mix, -2.6, 2.6)
    return drawn


def _facets(middle: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (n, 2) left and right angles: they differ by 4.1 ± 2.6° (L4-5, guidance 6.1)."""
    half = 0.5 * 4.85 * rng.standard_normal(len(middle))
    return np.clip(np.stack([middle + half, middle - half], axis=1), 8.0, 80.0)


def _set_heights(values: dict[str, NDArray[np.float64]], facets: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Make front and back of a body go together: their difference spreads by 0.8 mm, not by both heights' sum."""
    count = len(facets)
    mean_front, mean_back = (_column(MORPHOMETRY[f"height_{end}_mm"][0], count) for end in ("anterior", "posterior"))
    middle = 0.5 * (values["height_anterior_mm"] + values["height_posterior_mm"])
    middle = 0.5 * (mean_front + mean_back) + (middle - 0.5 * (mean_front + mean_back)) * 1.12
    half = 0.5 * (mean_front - mean_back) + 0.35 * rng.standard_normal(count)
    values["height_anterior_mm"], values["height_posterior_mm"] = middle + half, middle - half


def _disc_sex(parameters: PatientParameters) -> float:
    return 1.03 if parameters.sex == "male" else 0.97


def _draw_discs(count: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Draw the discs' heights: front and back share most of their spread (r = 0.6, a judgement)."""
    common, own = float(rng.standard_normal()), rng.standard_normal(count)
    drawn = {}
    for name, (table, spread) in DISCS.items():
        mean = _column(table, count)
        mix = np.sqrt(0.6) * (0.6 * common + 0.8 * own) + np.sqrt(0.4) * rng.standard_normal(count)
        # What meeting the lordosis adds is part of the spread.
        drawn[name] = np.maximum(mean + 0.95 * spread * np.clip(mix, -2.4, 2.4), 0.45 * mean)
    return drawn


def _alignment(parameters: PatientParameters, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw pelvic incidence, sacral slope and lordosis, which rise together."""
    a, b, c = rng.standard_normal(3)
    given = parameters.pelvic_incidence_deg
    incidence = (
        float(np.clip(PELVIC_INCIDENCE_DEG[0] + PELVIC_INCIDENCE_DEG[1] * a, 27.0, 88.0)) if given is None else given
    )
    z = (incidence - PELVIC_INCIDENCE_DEG[0]) / PELVIC_INCIDENCE_DEG[1]
    # r = 0.8 between incidence and slope: what leaves a tilt of 13.5 ± 6.8° (n 709).
    slope = float(np.clip(SACRAL_SLOPE_DEG[0] + SACRAL_SLOPE_DEG[1] * (0.77 * z + 0.638 * b), 15.0, 66.0))
    y = (slope - SACRAL_SLOPE_DEG[0]) / SACRAL_SLOPE_DEG[1]
    drawn = LORDOSIS_DEG[0] + LORDOSIS_DEG[1] * (0.6 * y + 0.8 * c)
    lordosis = float(np.clip(drawn, 6.0, 75.0)) if parameters.lordosis_deg is None else parameters.lordosis_deg
    return incidence, slope, lordosis


def disc_wedge_deg(anterior_mm: float, posterior_mm: float, depth_mm: float) -> float:
    """Return the angle between the endplates at a disc."""
    return float(np.degrees(2.0 * np.arctan(0.5 * (anterior_mm - posterior_mm) / depth_mm)))


def _meet_lordosis(
    values: dict[str, NDArray[np.float64]],
    discs: dict[str, NDArray[np.float64]],
    lordosis_deg: float,
    first: int,
) -> None:
    """Open or close all bodies and discs from L1 down by the same share of their heights: they sum to the lordosis."""
    front, back = values["height_anterior_mm"], values["height_posterior_mm"]
    bodies = 0.5 * (values["upper_depth_mm"] + values["lower_depth_mm"])
    gaps = 0.5 * (values["lower_depth_mm"] + np.append(values["upper_depth_mm"][1:], values["lower_depth_mm"][-1]))
    parts = [(front, back, bodies), (discs["anterior_mm"], discs["posterior_mm"], gaps)]
    for _ in range(30):
        angles = [2.0 * np.arctan(0.5 * (a - b) / deep)[first:].sum() for a, b, deep in parts]
        lack = np.radians(lordosis_deg) - sum(angles)
        if abs(lack) < 1e-12:
            break
        give = lack / sum(((a + b) / deep)[first:].sum() for a, b, deep in parts)
        for a, b, _ in parts:
            a[first:] *= 1.0 + give
            b[first:] *= 1.0 - give
        for disc in discs.values():
            np.maximum(disc, THINNEST_DISC_MM, out=disc)


def _with_pathologies(spine: SpineMorphometry, parameters: PatientParameters) -> SpineMorphometry:
    """Crush bodies that are broken, flatten discs that are worn; the rest of the pathology is elsewhere."""
    vertebrae, discs = dict(spine.vertebrae), dict(spine.discs)
    for one in parameters.pathologies:
        if one.kind == "disc_degeneration" and one.level in discs:
            old = discs[one.level]
            left = 1.0 - 0.6 * one.amount
            discs[one.level] = DiscMorphometry(
                max(2.2, old.anterior_mm * left), max(2.2, old.posterior_mm * left), one.amount
            )
        if one.kind == "fracture" and one.level in vertebrae:
            old_body = vertebrae[one.level]
            fields = {name: getattr(old_body, name) for name in VertebraMorphometry.__dataclass_fields__}
            fields["height_anterior_mm"] *= 1.0 - one.amount
            fields["height_posterior_mm"] *= 1.0 - 0.25 * one.amount
            vertebrae[one.level] = VertebraMorphometry(**fields)
    return SpineMorphometry(
        vertebrae, discs, spine.lordosis_deg, spine.pelvic_incidence_deg, spine.sacral_slope_deg, spine.height_cm
    )

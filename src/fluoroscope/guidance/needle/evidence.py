"""How much a line looks like a steel shaft: a few numbers, and the probability they stand for."""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.ends import Edge, Profile
from fluoroscope.guidance.needle.shaft_kernels import comb_score
from fluoroscope.guidance.needle.shafts import REACH_PX, Shaft, Y

__all__ = ["EVIDENCE_NAMES", "Evidence", "end_signs", "evidence_of", "probability_of", "tip_certainty"]

F64 = NDArray[np.float64]
TICK_NEAR_PX, TICK_FAR_PX = 6.0, 20.0
TICK_LAGS_PX = (20, 160)
TICK_STEP_PX = 0.5
RULER_LINE_Z = 12.0
"""Rulers are long and striking; fainter lines are not looked at for ticks."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against a needle.

    Attributes
    ----------
    line_z
        How far the line stood out of the flattened picture: contrast times the root of its length.
    shaft_z
        Contrast of the whole shaft, standard deviations of its mean.
    cnr
        Contrast of a single point over its noise.
    length_px
        Of the shaft, as seen.
    even
        Spread of the contrast along the shaft beyond what noise gives, over the contrast.
    present
        Share of the shaft with more than a third of its contrast.
    rms_px
        Of the centres about the smooth line.
    lopsided
        Step between its sides over its contrast.
    width_px
        Of the shaft.
    drop_z
        How clearly it ends at the tip.
    behind
        Share of the contrast that goes on behind the tip.
    tip_sigma_px
        Of the tip along the shaft.
    leaves
        1 when the other end leaves the field.
    curved
        1 when no parabola describes it.
    ticks
        How far a comb of even teeth stands out beside it, standard deviations: a ruler.
    certainty
        That the tip is at this end, 0.5 to 1.
    """

    line_z: float
    shaft_z: float
    cnr: float
    length_px: float
    even: float
    present: float
    rms_px: float
    lopsided: float
    width_px: float
    drop_z: float
    behind: float
    tip_sigma_px: float
    leaves: float
    curved: float
    ticks: float
    certainty: float


EVIDENCE_NAMES = tuple(one.name for one in fields(Evidence))


def evidence_of(
    shaft: Shaft, profile: Profile, edges: tuple[Edge, Edge], tip: int, line_z: float, certainty: float, scale: float
) -> Evidence:
    """Return the evidence of a shaft whose tip is at end ``tip``: 0 the beginning of its path, 1 the end.

    ``scale`` turns pixels into half working pixels, so that a picture of 512² and one of 1024² are judged alike.
    """
    low, high = sorted(int(np.clip(round(edge.at), 0, len(shaft.path) - 1)) for edge in edges)
    values = profile.contrast[low : high + 1]
    values = values[np.isfinite(values)]
    length, block = len(values), 8
    runs = values[: length // block * block].reshape(-1, block).mean(axis=1)
    if len(runs) < 2:
        typical, even, present = 0.0, 3.0, 0.0
    else:
        typical = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(runs - np.median(runs))))
        beyond = float(np.sqrt(max(spread**2 - profile.noise**2 * 2.0 / block, 0.0)))
        even = min(beyond / max(typical, 1e-6), 3.0)
        present = float(np.mean(runs > typical / 3.0))
    return Evidence(
        line_z=line_z,
        shaft_z=typical / profile.noise * float(np.sqrt(max(length, 1) / 2.0)),
        cnr=typical / profile.noise,
        length_px=length * scale,
        even=even,
        present=present,
        rms_px=shaft.rms_px * scale,
        lopsided=min(profile.lopsided, 5.0),
        width_px=profile.diameter_px * scale,
        drop_z=edges[tip].drop_z,
        behind=float(np.clip(edges[tip].behind, -1.5, 1.5)),
        tip_sigma_px=min(edges[tip].sigma_px * scale, 30.0),
        leaves=float(edges[1 - tip].leaves),
        curved=float(shaft.curved),
        ticks=_ticks(shaft, profile.contrast, low, high) if line_z >= RULER_LINE_Z else 0.0,
        certainty=certainty,
    )


def _ticks(shaft: Shaft, contrast: F64, low: int, high: int) -> float:
    """Return how far a comb of even teeth stands out along a shaft or on one side of it."""
    if high - low < 4 * TICK_LAGS_PX[0]:
        return 0.0
    beside = [
        shaft.across[low:high, (side * Y >= TICK_NEAR_PX) & (side * Y <= min(TICK_FAR_PX, REACH_PX))].mean(axis=1)
        for side in (-1.0, 1.0)
    ]
    return max(_regular(signal.astype(np.float64)) for signal in (*beside, np.nan_to_num(contrast[low:high])))


def _regular(signal: F64) -> float:
    """Return how far the best comb stands out of a signal whose slow changes and outliers are taken away."""
    flat = np.convolve(np.pad(signal, 1, mode="edge"), np.ones(3) / 3.0, "valid")
    run = 31
    flat = flat - np.convolve(np.pad(flat, run // 2, mode="edge"), np.ones(run) / run, "valid")
    scatter = 1.4826 * float(np.median(np.abs(flat))) + 1e-9
    flat = np.clip(flat / scatter, -3.0, 3.0)
    return float(comb_score(flat, float(TICK_LAGS_PX[0]), float(TICK_LAGS_PX[1]), TICK_STEP_PX))


def end_signs(edges: tuple[Edge, Edge]) -> F64:
    """Return (5,) what tells the tip from the hub where both ends are in the field; turns its sign with the ends."""
    one, two = edges
    return np.array(
        [
            np.clip(two.level - one.level, -2.0, 2.0),
            np.clip(np.log(max(two.before, 1e-3) / max(one.before, 1e-3)), -1.0, 1.0),
            np.clip(one.behind - two.behind, -1.0, 1.0),
            np.clip(two.drop_z - one.drop_z, -6.0, 6.0),
            np.clip(one.sigma_px - two.sigma_px, -5.0, 5.0),
        ]
    )


END_WEIGHTS = np.array([1.5, 0.6, 0.18, 0.34, 0.0])
"""Logistic regression on `end_signs` of tuning cases (patients of seeds 1 to 5)."""


def tip_certainty(edges: tuple[Edge, Edge]) -> tuple[int, float]:
    """Return which of two ends in the field is the tip, and how sure that is, 0.5 to 1."""
    lean = float(END_WEIGHTS @ end_signs(edges))
    return (1 if lean >= 0.0 else 0), float(1.0 / (1.0 + np.exp(-abs(lean))))


def evidence_vector(evidence: Evidence) -> F64:
    """Return what the regression takes: the evidence bent so that its effect is even."""
    e = dict(zip(EVIDENCE_NAMES, astuple(evidence), strict=True))
    return np.array(
        [
            1.0,
            np.log(max(e["line_z"], 1.0)),
            np.log1p(max(e["shaft_z"], 0.0)),
            np.log(max(e["length_px"], 10.0) / 100.0),
            e["even"],
            e["present"],
            min(e["rms_px"], 4.0),
            np.log1p(e["lopsided"]),
            np.log(e["width_px"]),
            min(max(e["drop_z"], 0.0), 15.0),
            abs(e["behind"]),
            np.log(max(e["tip_sigma_px"], 0.3)),
            e["leaves"],
            e["curved"],
            max(e["ticks"] - 5.0, 0.0),
            e["certainty"] - 1.0,
        ]
    )


WEIGHTS = np.array(
    [
        -4.583,
        1.616,
        -0.794,
        1.281,
        -1.375,
        5.433,
        -0.297,
        -1.371,
        -1.186,
        0.132,
        -3.684,
        -1.123,
        0.862,
        -1.023,
        -6.214,
        4.757,
    ]
)
"""Logistic regression on `evidence_vector` of tuning cases (patients of seeds 1 to 5): tip within 8 px or not."""


MOST_LOPSIDED, EDGE_COST = 1.0, 6.0
"""A sharp step is no ridge: of 101 needles of tuning cases 98 % have a step between their sides below 0.73."""


def probability_of(evidence: Evidence) -> float:
    """Return the probability that a line with this evidence is a needle whose tip is where it seems."""
    step = EDGE_COST * max(evidence.lopsided - MOST_LOPSIDED, 0.0)
    score = float(np.clip(WEIGHTS @ evidence_vector(evidence) - step, -30.0, 30.0))
    return float(1.0 / (1.0 + np.exp(-score)))

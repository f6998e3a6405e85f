"""How much a line looks like a steel shaft: a few numbers, and the probability they stand for."""

from dataclasses import astuple, dataclass

import numpy as np

from fluoroscope.guidance.needle.ends import Edge, Profile
from fluoroscope.guidance.needle.shafts import Shaft

__all__ = ["Evidence", "evidence_of", "probability_of"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against a needle.

    Attributes
    ----------
    seed_z
        How far the best short piece stood out of the picture.
    shaft_z
        Contrast of the whole shaft, standard deviations of its mean.
    length_px
        Of the shaft, as seen.
    even
        Spread of the contrast along the shaft over what noise gives, less 1.
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
    leaves
        1 when the other end leaves the field.
    curved
        1 when no parabola describes it.
    """

    seed_z: float
    shaft_z: float
    length_px: float
    even: float
    present: float
    rms_px: float
    lopsided: float
    width_px: float
    drop_z: float
    behind: float
    leaves: float
    curved: float


def evidence_of(shaft: Shaft, profile: Profile, edges: tuple[Edge, Edge], tip: int, seed_z: float) -> Evidence:
    """Return the evidence of a shaft whose tip is at end ``tip``: 0 the beginning of its path, 1 the end."""
    low, high = sorted(int(np.clip(round(edge.at), 0, len(shaft.path) - 1)) for edge in edges)
    values = profile.contrast[low : high + 1]
    values = values[np.isfinite(values)]
    length = float(len(values))
    if length < 8:
        return Evidence(
            seed_z, 0.0, length, 9.0, 0.0, 9.0, 9.0, profile.diameter_px, 0.0, 1.0, 0.0, float(shaft.curved)
        )
    typical = float(np.median(values))
    block = 8
    runs = values[: len(values) // block * block].reshape(-1, block).mean(axis=1)
    spread = 1.4826 * float(np.median(np.abs(runs - np.median(runs))))
    expected = profile.noise * np.sqrt(2.0 / block)
    even = float(np.sqrt(max(spread**2 - expected**2, 0.0))) / max(typical, 1e-6)
    present = float(np.mean(runs > typical / 3.0))
    return Evidence(
        seed_z=seed_z,
        shaft_z=typical / profile.noise * float(np.sqrt(length / 2.0)),
        length_px=length,
        even=even,
        present=present,
        rms_px=shaft.rms_px,
        lopsided=profile.lopsided,
        width_px=profile.diameter_px,
        drop_z=edges[tip].drop_z,
        behind=edges[tip].behind,
        leaves=float(edges[1 - tip].leaves),
        curved=float(shaft.curved),
    )


def probability_of(evidence: Evidence) -> float:
    """Return the probability that a line with this evidence is a needle whose tip is where it seems."""
    z, shaft_z, length, even, present, rms, lopsided, _, drop_z, behind, leaves, curved = astuple(evidence)
    score = (
        -4.0 + 1.2 * np.log1p(max(shaft_z, 0.0)) + 0.8 * np.log(max(length, 1.0) / 100.0) - 3.0 * even
        + 3.0 * (present - 0.8) - 1.0 * rms - 1.0 * lopsided + 0.15 * min(drop_z, 12.0) - 2.0 * abs(behind)
        + 1.0 * leaves - 1.0 * curved + 0.03 * min(z, 40.0)
    )  # fmt: skip
    return float(1.0 / (1.0 + np.exp(-np.clip(score, -30.0, 30.0))))

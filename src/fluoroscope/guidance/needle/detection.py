"""Needles and wires in one picture.

Short straight lines that stand out are looked for in all directions, followed both ways, laid straight, and judged by
what a steel shaft is: as bright all along, even on both sides, narrow, smooth, and with a clear end in the field.
Method and figures: docs/explanations/needle-detection.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.dots import Dot, find_dots
from fluoroscope.guidance.needle.ends import Edge, Profile, edge_of, profile_of, with_bent_end
from fluoroscope.guidance.needle.evidence import Evidence, evidence_of, probability_of, tip_certainty
from fluoroscope.guidance.needle.kernels import lies_on
from fluoroscope.guidance.needle.seeds import FlatPicture, Seed, find_seeds, flat_picture
from fluoroscope.guidance.needle.shafts import STEP_PX, Shaft, follow, lay_straight, relaid

__all__ = ["DetectedNeedle", "check_picture", "detect_needles"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MOST_SEEDS, LEAST_Z = 32, 3.5
LEAST_LINE_Z, MOST_LINES = 4.0, 6
"""Of whole lines: contrast times the root of the length, and how many are judged."""
SHORTEST_PX = 20.0
"""Of a traced line, working pixels."""
LEAST_CONFIDENCE = 0.05
"""What is less sure than this is not told."""
TRIM_PX = 12.0
SAME_LINE_PX, SAME_LINE_AHEAD_PX, SAME_LINE_COS = 6.0, 24.0, 0.95
EDGE_OF_FIELD = "the shaft leaves the field at both ends: its tip is not in the picture"
TIP_UNSEEN_CONFIDENCE, SURE_OF_END = 0.3, 0.8
END_ON_CONFIDENCE = 0.45
END_ON = "seen end-on, or a marker: only its place is known"
BESIDE_LINE_PX, RULER_TICKS = 10.0, 6.0
WHICH_END = "which end is the tip is uncertain"


@dataclass(frozen=True, slots=True)
class DetectedNeedle:
    """A needle, wire or catheter seen in a picture.

    Attributes
    ----------
    tip_px
        (row, column) of the tip, sub-pixel; index (0, 0) is the centre of the top-left pixel.
    hub_px
        Of the other end, where it lies in the valid field; None when the shaft leaves the field there.
    angle_deg
        From hub to tip, of the last part before the tip: from the column direction toward the row direction, −180 to
        180. None for a needle seen end-on.
    confidence
        0 to 1, calibrated: of detections told with 0.9, nine of ten are right (a needle, its tip within 8 px).
    centreline_px
        (n, 2) from the hub's side to the tip.
    width_px
        Diameter of the shaft in the picture.
    tip_sigma_px
        Standard deviation of the tip along the shaft.
    curved
        Whether the centreline is no parabola: a bent wire or a catheter.
    track
        Number of the instrument over a run, from 1; 0 in a single picture.
    note
        What a user must know of it, else "".
    seen
        False when the tracker shows where it should be after a picture in which it was not found.
    """

    tip_px: tuple[float, float]
    hub_px: tuple[float, float] | None
    angle_deg: float | None
    confidence: float
    centreline_px: F64 = field(repr=False, compare=False)
    width_px: float
    tip_sigma_px: float
    curved: bool = False
    track: int = 0
    note: str = ""
    seen: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"the confidence must be 0 to 1, got {self.confidence}")
        if self.centreline_px.ndim != 2 or self.centreline_px.shape[1] != 2 or len(self.centreline_px) < 1:
            raise ValueError(f"the centreline must be (n, 2), got {self.centreline_px.shape}")
        self.centreline_px.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Judged:
    """A line as it was judged: the shaft, its ends (0 the beginning of its path, 1 the end), which is the tip."""

    shaft: Shaft
    profile: Profile
    edges: tuple[Edge, Edge]
    tip: int
    evidence: Evidence


def check_picture(attenuation: F32, valid: NDArray[np.bool_]) -> None:
    """Raise ValueError unless a picture is float32 (rows, columns), finite, and ``valid`` is bool of its shape."""
    if attenuation.ndim != 2 or attenuation.dtype != np.float32:
        raise ValueError(f"attenuation must be float32 (rows, columns), got {attenuation.dtype} {attenuation.shape}")
    if valid.shape != attenuation.shape or valid.dtype != np.bool_:
        raise ValueError(f"valid must be bool {attenuation.shape}, got {valid.dtype} {valid.shape}")
    if not np.isfinite(attenuation).all():
        raise ValueError("attenuation must be finite everywhere; mark what is not known in valid")


def detect_needles(
    attenuation: F32,
    valid: NDArray[np.bool_],
    *,
    pitch_mm: float | None = None,
    expected: Sequence[DetectedNeedle] | None = None,
    previous: Sequence[DetectedNeedle] | None = None,
) -> tuple[DetectedNeedle, ...]:
    """Return the needles and wires of a picture, the surest first.

    Parameters
    ----------
    attenuation
        float32 (rows, columns), nepers: metal bright. Any offset and scale.
    valid
        bool (rows, columns): False under blades and burnt-in text.
    pitch_mm
        Of the pixels at the detector where it is known; detection itself works in pixels and does not need it.
    expected
        Where a plan has needles: of two ends that look alike the nearer to an expected tip is the tip.
    previous
        What was found a moment ago: the same end remains the tip.

    Raises
    ------
    ValueError
        For arrays of wrong shape or type.
    """
    check_picture(attenuation, valid)
    if min(attenuation.shape) < SMALLEST_SIDE or not valid.any():
        return ()
    flat = flat_picture(attenuation, valid)
    hints = (*(previous or ()), *(expected or ()))
    judged = list(judged_lines(attenuation, valid, flat, hints))
    rulers = [one.shaft.path for one in judged if one.evidence.ticks >= RULER_TICKS]
    found = [_told(one) for one in judged if not any(_is_tick(one, ruler) for ruler in rulers)]
    found = [one for one in found if one.confidence >= LEAST_CONFIDENCE]
    lines = [one.shaft.path for one in judged]
    for dot in find_dots(attenuation, valid, flat):
        if not any(np.hypot(*(line - dot.centre_px).T).min() < BESIDE_LINE_PX for line in lines):
            found.append(_end_on(dot))
    found.sort(key=lambda one: -one.confidence)
    return tuple(found)


def _is_tick(one: Judged, ruler: F64) -> bool:
    """Return whether a short line begins on a ruler and stands across it."""
    if one.shaft.path is ruler:
        return False
    for edge in one.edges:
        place = _place(one.shaft, edge)
        off = np.hypot(*(ruler - place).T)
        nearest = int(off.argmin())
        if off[nearest] < BESIDE_LINE_PX:
            along = ruler[min(nearest + 5, len(ruler) - 1)] - ruler[max(nearest - 5, 0)]
            way = one.shaft.path[-1] - one.shaft.path[0]
            cosine = abs(float(along @ way)) / max(float(np.hypot(*along) * np.hypot(*way)), 1e-9)
            if cosine < 0.3:
                return True
    return False


def _end_on(dot: Dot) -> DetectedNeedle:
    # A marker ball looks the same: never told as sure.
    confidence = END_ON_CONFIDENCE * float(np.clip(dot.cnr / 20.0, 0.2, 1.0))
    return DetectedNeedle(
        tip_px=dot.centre_px,
        hub_px=None,
        angle_deg=None,
        confidence=confidence,
        centreline_px=np.array([dot.centre_px]),
        width_px=dot.diameter_px,
        tip_sigma_px=max(1.0, 0.5 * dot.diameter_px),
        note=END_ON,
    )


def _lines(flat: FlatPicture) -> list[tuple[Seed, F64, float]]:
    """Return the most striking lines of a picture: seed, points in working pixels, how much the whole stands out."""
    lines: list[tuple[Seed, F64, float]] = []
    for seed in find_seeds(flat, MOST_SEEDS, LEAST_Z):
        start, end = np.array(seed.start), np.array(seed.end)
        if any(lies_on(start, end, line, SAME_LINE_PX, SAME_LINE_AHEAD_PX, SAME_LINE_COS) for _, line, _ in lines):
            continue
        followed = follow(flat, seed)
        z = float(np.median(followed[:, 2])) * float(np.sqrt(STEP_PX * len(followed)))
        lines.append((seed, followed[:, :2].copy(), z))
    lines = [one for one in lines if one[2] >= LEAST_LINE_Z and len(one[1]) * STEP_PX >= SHORTEST_PX]
    lines.sort(key=lambda one: -one[2])
    return lines[:MOST_LINES]


SMALLEST_SIDE = 96


def judged_lines(
    attenuation: F32, valid: NDArray[np.bool_], flat: FlatPicture, hints: Sequence[DetectedNeedle] = ()
) -> Iterator[Judged]:
    """Yield what the most striking lines of a picture are like; the picture is as `detect_needles` takes it."""
    for seed, line, z in _lines(flat):
        shaft = lay_straight(attenuation, valid, line, flat.factor, seed)
        if shaft is None:
            continue
        profile, edges = _measured(shaft)
        low, high = (float(edge.at) for edge in edges)
        if low > shaft.first + TRIM_PX or high < shaft.last - TRIM_PX:
            # Followed too far: what lies past the ends has drawn the centreline aside.
            path = shaft.path[max(0, int(low)) : int(high) + 1]
            shaft = relaid(attenuation, valid, path, flat.factor, seed)
            if shaft is None:
                continue
            profile, edges = _measured(shaft)
        tip, certainty = _tip_end(shaft, edges, hints)
        bent = with_bent_end(attenuation, valid, shaft, profile, tip == 1) if not edges[tip].leaves else None
        if bent is not None:
            shaft = bent
            profile, edges = _measured(shaft)
        yield Judged(
            shaft, profile, edges, tip, evidence_of(shaft, profile, edges, tip, z, certainty, 2.0 / flat.factor)
        )


def _measured(shaft: Shaft) -> tuple[Profile, tuple[Edge, Edge]]:
    profile = profile_of(shaft)
    return profile, (edge_of(profile, shaft, False), edge_of(profile, shaft, True))


def _tip_end(shaft: Shaft, edges: tuple[Edge, Edge], hints: Sequence[DetectedNeedle]) -> tuple[int, float]:
    """Return which of the two ends is the tip, and how sure that is, 0.5 to 1."""
    for hint in hints:
        off = [float(np.hypot(*(_place(shaft, edge) - np.array(hint.tip_px)))) for edge in edges]
        if min(off) < 0.3 * len(shaft.path) and min(off) < 0.5 * max(off):
            return int(np.argmin(off)), 1.0
    if edges[0].leaves != edges[1].leaves:
        return (1 if edges[0].leaves else 0), 1.0
    # Both ends in the field: the hub lies toward the skin, where less is in the beam; the tip has the sharper end.
    return tip_certainty(edges)


def _place(shaft: Shaft, edge: Edge) -> F64:
    at = float(np.clip(edge.at, 0.0, len(shaft.path) - 1.0))
    index = np.arange(len(shaft.path))
    return np.array([np.interp(at, index, shaft.path[:, axis]) for axis in (0, 1)])


def _told(judged: Judged) -> DetectedNeedle:
    shaft, edges, tip = judged.shaft, judged.edges, judged.tip
    ends = [_place(shaft, edge) for edge in edges]
    low, high = sorted(int(np.clip(round(edge.at), 0, len(shaft.path) - 1)) for edge in edges)
    line = shaft.path[low : high + 1] if tip == 1 else shaft.path[low : high + 1][::-1]
    centreline = np.concatenate([line, ends[tip][None]]) if len(line) else ends[tip][None]
    way = ends[tip] - centreline[max(0, len(centreline) - 41)]
    both = edges[0].leaves and edges[1].leaves
    hub = edges[1 - tip]
    confidence = probability_of(judged.evidence)
    return DetectedNeedle(
        tip_px=(float(ends[tip][0]), float(ends[tip][1])),
        hub_px=None if hub.leaves else (float(ends[1 - tip][0]), float(ends[1 - tip][1])),
        angle_deg=float(np.degrees(np.arctan2(way[0], way[1]))),
        confidence=min(confidence, TIP_UNSEEN_CONFIDENCE) if both else confidence,
        centreline_px=centreline,
        width_px=judged.profile.diameter_px,
        tip_sigma_px=edges[tip].sigma_px,
        curved=shaft.curved,
        note=EDGE_OF_FIELD if both else WHICH_END if judged.evidence.certainty < SURE_OF_END else "",
    )

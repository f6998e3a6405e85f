"""Sacrum and coccyx as solids.

Frame: origin in the middle of the S1 endplate, z along its normal to the head, x to the patient's left, y to the back.
Numbers are mm of an adult man, read off sections of one pelvis (Visible Human) and rounded; the endplate is 50 x 33 mm
(guidance 6.3, unverified).
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.solids import Solid, bar, capsule, column

__all__ = [
    "AURICULAR_NORMAL",
    "AURICULAR_POINT_MM",
    "FORAMINA_MM",
    "PelvicSize",
    "auricular_plane",
    "canal_line",
    "coccyx_solids",
    "sacrum_solids",
    "segment_gaps",
]

AURICULAR_POINT_MM = (54.0, 12.0, -18.0)
AURICULAR_NORMAL = (0.840, 0.500, -0.210)
"""The left sacroiliac joint, taken as a plane; the normal points into the ilium."""

FORAMINA_MM = ((23.5, -33.0, 5.2), (23.0, -54.0, 4.6), (21.5, -73.0, 4.0), (19.5, -90.0, 3.4))
"""Pelvic foramina S1 to S4: x, z, radius in front (three quarters of it at the back)."""

CORTEX_HU, CORTEX_MM, TEXTURE_HU = 850.0, 0.9, 35.0

_BODIES = (  # place y, z; half width, half depth: below the S1 endplate, S1/S2, S2 to S5
    (5.0, -21.0, 21.5, 13.0),
    (8.5, -27.0, 20.0, 12.0),
    (14.5, -42.0, 18.0, 9.8),
    (22.0, -64.0, 15.0, 7.4),
    (26.0, -84.0, 13.5, 5.6),
    (27.0, -101.0, 11.0, 4.8),
)
_LATERAL = (  # middle x, y, z; half width, half depth
    (38.0, 11.5, -25.0, 18.0, 12.5),
    (37.0, 16.5, -46.0, 16.0, 11.5),
    (33.5, 24.0, -66.0, 10.5, 8.0),
    (29.5, 29.0, -84.0, 9.5, 5.6),
    (22.0, 28.0, -99.0, 10.0, 4.5),
)
_CANAL = ((24.5, 12.0, 14.0, 8.0), (27.0, -18.0, 12.0, 6.2), (29.0, -36.0, 9.0, 5.0), (32.0, -58.0, 6.5, 3.6))
_HIATUS = ((33.5, -74.0, 4.5, 2.8), (37.5, -98.0, 4.5, 3.4))
_LAMINAE = (  # y, z in the midline; x, y, z where it meets the lateral crest; half height, half thickness: S1 to S4
    (38.5, -25.5, 22.0, 31.5, -20.0, 9.5, 3.2),
    (39.5, -45.0, 20.0, 35.0, -43.0, 9.5, 3.2),
    (40.0, -64.0, 17.0, 37.0, -62.0, 9.0, 2.9),
    (39.5, -81.0, 13.0, 37.0, -80.0, 7.5, 2.6),
)
_CREST = ((49.5, -30.0), (47.5, -48.0), (45.5, -65.0), (43.0, -80.0))
_SIDE_CREST = ((31.0, 28.5, -19.0), (30.0, 33.0, -43.0), (27.0, 35.5, -64.0), (23.0, 35.5, -82.0), (19.0, 33.5, -97.0))
"""The lateral crest, behind the foramina: it bends as the bodies do."""
_COCCYX = ((20.0, -117.0, 13.0, 4.4), (14.5, -126.5, 10.0, 4.0), (6.0, -136.5, 6.5, 3.6), (-4.5, -144.5, 4.4, 3.0))
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class PelvicSize:
    """How large a pelvis is against the man's the numbers are of.

    Attributes
    ----------
    scale
        Of all lengths, 0.4 to 1.4.
    wide
        Of widths on top of it.
    age_years
        Decides which of its bones have grown together.
    """

    scale: float
    wide: float = 1.0
    age_years: float = 40.0

    def point(self, x_mm: float, y_mm: float, z_mm: float) -> NDArray[np.float64]:
        """Return a place (3,) in this pelvis."""
        return self.scale * np.array([self.wide * x_mm, y_mm, z_mm])

    def halves(self, across_mm: float, deep_mm: float) -> tuple[float, float]:
        """Return half a width and half a depth."""
        return self.scale * self.wide * across_mm, self.scale * deep_mm


def _middle(size: PelvicSize) -> list[NDArray[np.float64]]:
    """Bodies, laminae behind the canal and the knobs of the median crest on them."""
    at, k = size.point, size.scale
    rows = [column(at(0.0, 0.0, -8.0), (*size.halves(25.0, 16.5), 8.0 * k), exponent=2.4, taper=0.05)]
    for (y0, z0, w0, d0), (y1, z1, w1, d1) in itertools.pairwise(_BODIES):
        rows.append(bar(at(0, y0, z0), at(0, y1, z1), _X, size.halves(w0, d0), size.halves(w1, d1), roundness=0.8))
    for number, ((y, z), (y0, z0, x1, y1, z1, high, thick)) in enumerate(zip(_CREST, _LAMINAE, strict=True)):
        for side in (1.0, -1.0):
            sizes = (high * k, thick * k)
            rows.append(bar(at(0, y0, z0), at(side * x1, y1, z1), _Z, sizes, (0.8 * high * k, thick * k)))
        tall = (7.0 - 1.0 * number) * k
        rows.append(bar(at(0, y0, z0 + 2), at(0, y - 2, z), _X, (2.4 * k, tall), (2.8 * k, 0.75 * tall)))
    return rows


def _side(size: PelvicSize, side: float) -> list[NDArray[np.float64]]:
    """Ala, lateral mass, and the bars between the foramina that carry it."""
    k = size.scale

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return size.point(side * x, y, z)

    rows = [bar(at(14, 3, -15), at(53, 10, -24), _Y, (12.0 * k, 11.0 * k), (16.5 * k, 13.0 * k), roundness=0.7)]
    # The back of the ala climbs to the base of the articular process.
    rows.append(bar(at(24, 24, -12), at(46, 20, -12), _Z, (9.0 * k, 8.0 * k), (9.0 * k, 8.0 * k)))
    for (x0, y0, z0, w0, d0), (x1, y1, z1, w1, d1) in itertools.pairwise(_LATERAL):
        rows.append(bar(at(x0, y0, z0), at(x1, y1, z1), _X, size.halves(w0, d0), size.halves(w1, d1), roundness=0.7))
    for n, (start, end) in enumerate(itertools.pairwise(_SIDE_CREST)):
        wide, deep = 7.5 - 0.8 * n, 5.0 - 0.6 * n
        rows.append(bar(at(*start), at(*end), _X, (wide * k, deep * k), ((wide - 0.8) * k, (deep - 0.6) * k)))
    for (y, z, wide, deep), (x1, y1, _, _, _) in zip(_BODIES[2:], _LATERAL[1:], strict=True):
        rows.append(bar(at(0.6 * wide, y, z), at(x1, y1, z), _Z, (7.5 * k, 0.9 * deep * k), (7.0 * k, 0.9 * deep * k)))
    return rows


def _process(size: PelvicSize, side: float, joint: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Superior articular process of S1, up to the facet of the joint with L5 (`distances.JOINT`), which cuts it."""
    k = size.scale
    root = size.point(side * 28, 25, -14)
    if joint is None:
        return bar(root, size.point(side * 26, 25, 9), (side * 0.79, 0.62, 0.0), (9 * k, 6 * k), (7 * k, 4.6 * k))
    axes = joint[4:13].reshape(3, 3)
    cosine, sine = joint[15:17] if side > 0.0 else joint[17:19]
    thick = 4.6 * k
    # Before and outside the facet by half its own thickness.
    place = np.array([side * (joint[13] + thick * cosine), joint[14] - thick * sine, joint[19] - 1.5 * thick])
    along = np.array([side * sine, cosine, 0.0]) @ axes
    return bar(root, joint[1:4] + place @ axes, along, (9.0 * k, 6.0 * k), (7.5 * k, thick), roundness=0.9)


def foramina_holes(size: PelvicSize) -> NDArray[np.float64]:
    """Return the four pairs of foramina, in front and behind, each open to the canal, and the canal with its hiatus."""
    k = size.scale
    rows = []
    for (x, z, radius), side in itertools.product(FORAMINA_MM, (-1.0, 1.0)):
        gate = size.point(side * x, np.interp(-z, (30, 90), (27, 30)), z)
        rows.append(capsule(size.point(side * (x + 1.5), -40, z - 3), gate, radius * k))
        rows.append(capsule(gate, size.point(side * (x - 1.0), 62, z), 0.75 * radius * k))
        canal_y = float(np.interp(-z, (18, 36, 58, 98), (27, 29, 32, 37)))
        rows.append(capsule(size.point(side * 3, canal_y, z + 7), gate, 0.6 * radius * k))
    for (y0, z0, w0, d0), (y1, z1, w1, d1) in itertools.pairwise((*_CANAL, *_HIATUS)):
        rows.append(
            bar(
                size.point(0, y0, z0),
                size.point(0, y1, z1),
                _X,
                size.halves(w0, d0),
                size.halves(w1, d1),
                roundness=0.9,
            )
        )
    # Above the laminae of S1 the canal lies open to the back, and so it does below those of S4.
    rows.append(bar(size.point(0, 44, 12), size.point(0, 44, -1), _X, (12.0 * k, 12.0 * k)))
    rows.append(bar(size.point(0, 42, -94), size.point(0, 44, -112), _X, (5.0 * k, 4.5 * k)))
    return np.array(rows)


def segment_gaps(size: PelvicSize) -> NDArray[np.float64]:
    """Return the discs between the sacral segments (n, 24) that are still open.

    They close from below upwards, S1/S2 last, between 18 and 25 years and later (unverified); of this one a thin slit
    in the middle is left for life in many.
    """
    age, k = size.age_years, size.scale
    grown = float(np.interp(age, (4.0, 12.0, 18.0, 25.0), (0.0, 0.15, 0.6, 1.0)))
    rows = []
    for n, (start, end) in enumerate(((0, 2), (2, 3), (3, 4))):
        if n > 0 and age >= 20.0 - 2.0 * n:
            continue
        upper, lower = _BODIES[start], _BODIES[end]
        y, z, wide, deep = (0.5 * (a + b) for a, b in zip(upper, lower, strict=True))
        along = np.array([0.0, lower[0] - upper[0], lower[1] - upper[1]])
        half = (2.6 - 0.5 * n) * (1.0 - grown) + 0.55 * grown
        reach = 1.15 * (1.0 - grown) + 0.55 * grown
        middle, out = size.point(0.0, y, z), size.point(reach * wide, 0.0, 0.0)
        rows.append(bar(middle - out, middle + out, along, (half * k, reach * deep * k), roundness=0.3))
    return np.array(rows)


def canal_line(size: PelvicSize) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of the canal from the S1 endplate to S3, (n, 3) in the sacral frame, and its halves (n, 2)."""
    rows = [(25.5, 0.0, 13.0, 7.0), *_CANAL[1:], (32.3, -62.0, 6.2, 3.5)]
    places = np.array([size.point(0.0, y, z) for y, z, _, _ in rows])
    return places, np.array([size.halves(wide, deep) for _, _, wide, deep in rows])


def auricular_cuts(size: PelvicSize) -> NDArray[np.float64]:
    """Return the two planes (2, 24) that end the sacrum at its sacroiliac joints."""
    rows = []
    for side in (-1.0, 1.0):
        point, normal = auricular_plane(size, side)
        # A thick slab beyond the plane, as far down as the joint goes; `bar` reaches over its ends by its smaller half.
        up = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
        start = point + 40.0 * normal + 20.0 * size.scale * up
        rows.append(bar(start, start + normal, _Z, (88.0 * size.scale, 40.0), roundness=0.0))
    return np.array(rows)


def auricular_plane(size: PelvicSize, side: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a point of a sacroiliac joint and its unit normal (3,) into the ilium; side +1 left, −1 right."""
    x, y, z = AURICULAR_NORMAL
    normal = np.array([side * x / size.wide, y, z])
    ax, ay, az = AURICULAR_POINT_MM
    return size.point(side * ax, ay, az), normal / np.linalg.norm(normal)


def sacrum_solids(
    size: PelvicSize,
    world_from_sacrum: NDArray[np.float64],
    *,
    hu: float,
    label: int,
    joint: NDArray[np.float64] | None = None,
) -> tuple[Solid, ...]:
    """Return the sacrum.

    Parameters
    ----------
    size
        Of the pelvis.
    world_from_sacrum
        (4, 4) rigid.
    hu
        CT number of its spongiosa.
    label
        Number in the label map.
    joint
        The L5-S1 facet joints, shape (24,) of kind JOINT in the sacral frame: where the articular processes end.
    """
    rows = _middle(size)
    for side in (1.0, -1.0):
        rows += [*_side(size, side), _process(size, side, joint)]
    holes = [foramina_holes(size), auricular_cuts(size), segment_gaps(size)]
    if joint is not None:
        holes.append(joint[np.newaxis])
    solid = Solid(
        np.array(rows),
        hu,
        CORTEX_HU,
        CORTEX_MM,
        5.0 * size.scale,
        label,
        np.concatenate(holes),
        world_from_sacrum,
        1.2,
        TEXTURE_HU,
        1.6,
    )
    return (solid,)


def coccyx_solids(
    size: PelvicSize, world_from_sacrum: NDArray[np.float64], *, hu: float, label: int
) -> tuple[Solid, ...]:
    """Return the coccyx: four pieces, each smaller than the one above, curved to the front."""
    k = size.scale
    rows = []
    for (y, z, wide, deep), (y1, z1, _, _) in itertools.pairwise((*_COCCYX, (-14.5, -149.5, 0.0, 0.0))):
        along = np.array([0.0, y1 - y, z1 - z]) * 0.26 * k
        middle = size.point(0, y, z)
        rows.append(bar(middle - along, middle + along, _X, (wide * k, deep * k), (0.8 * wide * k, 0.9 * deep * k)))
    return (Solid(np.array(rows), hu, 0.8 * CORTEX_HU, CORTEX_MM, 1.5 * k, label, world_from_solid=world_from_sacrum),)

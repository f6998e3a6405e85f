"""Hip bones and the upper ends of the femora as solids.

Numbers are places in mm of an adult man standing with a sacral slope of 36.87°, from the middle of his S1 endplate:
x to the left, y to the back, z up; read off sections of one pelvis (Visible Human) and rounded. His pelvic incidence is
45.1°. For another one the hip joints are turned about the sacral endplate, the wings follow in part.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.sacrum import PelvicSize, auricular_plane
from fluoroscope.patient.anatomy.solids import Solid, bar, capsule, ellipsoid, plate

__all__ = ["HEAD_RADIUS_MM", "HipShape", "femur_solids", "hip_solids"]

HEAD_RADIUS_MM, CUP_RADIUS_MM = 24.0, 27.0
HIP_GAP_MM = 2.6
"""Width of the sacroiliac joint, 2 to 4 mm in adults (unverified)."""
CORTEX_HU, CORTEX_MM, TEXTURE_HU = 900.0, 1.1, 35.0

_DRAWN_SLOPE = (0.8, 0.6)
"""Cosine and sine of the sacral slope the numbers are drawn at."""
_HEAD_MM = (88.0, -73.0, -73.0)
"""Left hip joint, in the sacral frame."""
_DISTANCE_MM = float(np.hypot(_HEAD_MM[1], _HEAD_MM[2]))
_DRAWN_INCIDENCE = float(np.arctan2(-_HEAD_MM[1], -_HEAD_MM[2]))

_NODES: dict[str, tuple[float, float, float]] = {
    "asis": (129, -54, -14),
    "c1": (133, -44, 2),
    "c2": (135, -30, 13),
    "c3": (133, -14, 26),
    "c4": (126, 0, 37),
    "crest": (112, 14, 44),
    "c6": (96, 27, 45),
    "c7": (77, 36, 40),
    "c8": (60, 49, 30),
    "c9": (50, 60, 16),
    "psis": (42, 67, -6),
    "piis": (42, 66, -32),
    "f1": (118, -33, -22),
    "f2": (116, -14, -8),
    "f3": (114, 0, 8),
    "f4": (98, 15, 14),
    "f5": (78, 26, 12),
    "f6": (62, 38, 8),
    "f7": (52, 54, -4),
    "g1": (118, -47, -36),
    "g2": (104, -26, -38),
    "g3": (92, -8, -30),
    "g4": (78, 12, -24),
    "g5": (67, 26, -22),
    "g6": (56, 46, -22),
    "h1": (100, -36, -54),
    "h2": (90, -16, -54),
    "h3": (80, 6, -54),
    "h4": (69, 24, -48),
    "h5": (54, 48, -42),
}
_THIN, _THICK = 3.4, 5.4
_SHEET = (  # corners of the wing's triangles, and half their thickness
    *((a, b, c, _THIN) for a, b, c in (("f1", "f2", "g2"), ("f2", "f3", "g3"), ("f2", "g3", "g2"), ("f3", "f4", "g3"))),
    *(
        (a, b, c, _THIN + 0.6)
        for a, b, c in (("c1", "c2", "f1"), ("c2", "f2", "f1"), ("c2", "c3", "f2"), ("c3", "f3", "f2"))
    ),
    *((a, b, c, _THIN + 0.6) for a, b, c in (("c3", "c4", "f3"), ("c4", "crest", "f3"), ("crest", "f4", "f3"))),
    *(
        (a, b, c, _THIN + 1.0)
        for a, b, c in (("crest", "c6", "f4"), ("c6", "f5", "f4"), ("asis", "c1", "f1"), ("asis", "f1", "g1"))
    ),
    *(
        (a, b, c, _THICK + 1.5)
        for a, b, c in (("c6", "c7", "f5"), ("c7", "f6", "f5"), ("c7", "c8", "f6"), ("c8", "c9", "f6"))
    ),
    *(
        (a, b, c, _THICK + 2.0)
        for a, b, c in (("c9", "f7", "f6"), ("c9", "psis", "f7"), ("psis", "piis", "f7"), ("f7", "piis", "g6"))
    ),
    *(
        (a, b, c, _THICK)
        for a, b, c in (("f4", "g4", "g3"), ("f4", "f5", "g4"), ("f1", "g2", "g1"), ("g1", "g2", "h1"))
    ),
    *(
        (a, b, c, _THICK + 2.2)
        for a, b, c in (("f5", "g5", "g4"), ("f5", "f6", "g5"), ("f6", "g6", "g5"), ("f6", "f7", "g6"))
    ),
    *(
        (a, b, c, _THICK + 1.6)
        for a, b, c in (("g2", "h2", "h1"), ("g2", "g3", "h2"), ("g3", "h3", "h2"), ("g3", "g4", "h3"))
    ),
    *(
        (a, b, c, _THICK + 2.6)
        for a, b, c in (("g4", "h4", "h3"), ("g4", "g5", "h4"), ("g5", "g6", "h4"), ("g6", "h5", "h4"))
    ),
    ("g6", "piis", "h5", _THICK),
)
_RIM = ("asis", "c1", "c2", "c3", "c4", "crest", "c6", "c7", "c8", "c9", "psis", "piis")
_RIM_MM = (5.5, 6.0, 7.0, 7.6, 6.6, 6.0, 6.0, 6.8, 7.4, 7.4, 7.0, 5.5)
_COLUMN = (  # rods: from, to, radii
    ((118, -47, -38), (108, -45, -52), 6.0, 8.0),
    ((108, -45, -52), (98, -40, -70), 8.0, 8.0),
    ((94, -22, -56), (84, -14, -76), 13.0, 17.0),
    ((78, 8, -54), (78, 10, -76), 13.0, 15.0),
    ((69, 24, -44), (74, 18, -64), 11.0, 11.0),
    ((74, 14, -84), (69, 18, -108), 15.0, 15.0),
    ((69, 18, -108), (62, 22, -132), 15.0, 14.5),
    ((62, 22, -132), (55, 25, -148), 14.5, 12.0),
    ((55, 22, -150), (46, 12, -162), 11.0, 7.5),
    ((64, 30, -84), (55, 38, -96), 8.0, 4.0),
    ((70, -34, -84), (45, -47, -98), 11.0, 8.6),
    ((45, -47, -98), (24, -57, -108), 8.6, 8.0),
    ((24, -57, -108), (10, -54, -114), 8.0, 8.5),
    ((10, -54, -114), (9, -38, -136), 8.0, 7.5),
    ((22, -52, -112), (17, -36, -132), 6.0, 5.5),
    ((10, -36, -136), (22, -17, -149), 7.5, 6.2),
    ((22, -17, -149), (44, 10, -160), 6.2, 8.0),
)


class HipShape:
    """Where the places of a pelvis are, in its sacral frame.

    Parameters
    ----------
    size
        Of the pelvis.
    incidence_deg
        Pelvic incidence, 20 to 95.
    """

    def __init__(self, size: PelvicSize, incidence_deg: float) -> None:
        if not 20.0 <= incidence_deg <= 95.0:
            raise ValueError(f"pelvic incidence {incidence_deg:g}: choose 20 to 95 degrees")
        self.size = size
        self._turn = float(np.radians(incidence_deg)) - _DRAWN_INCIDENCE

    def head(self, side: float) -> NDArray[np.float64]:
        """Return the middle of a hip joint (3,)."""
        return self._turned(self.size.point(side * _HEAD_MM[0], _HEAD_MM[1], _HEAD_MM[2]), 1.0)

    def place(self, drawn_mm: tuple[float, float, float], side: float) -> NDArray[np.float64]:
        """Return a drawn place (3,), turned with the hip joint the more the nearer to it."""
        x, y, z = drawn_mm
        c, s = _DRAWN_SLOPE
        y, z = c * y + s * z, -s * y + c * z
        towards = -(y * np.sin(_DRAWN_INCIDENCE) + z * np.cos(_DRAWN_INCIDENCE)) / _DISTANCE_MM
        t = float(np.clip(towards / 0.75, 0.0, 1.0))
        return self._turned(self.size.point(side * x, y, z), t * t * (3.0 - 2.0 * t))

    def named(self, name: str, side: float) -> NDArray[np.float64]:
        """Return a named place (3,), such as "asis", "psis" or "crest"."""
        return self.place(_NODES[name], side)

    def _turned(self, point: NDArray[np.float64], share: float) -> NDArray[np.float64]:
        c, s = np.cos(share * self._turn), np.sin(share * self._turn)
        return np.array([point[0], c * point[1] + s * point[2], -s * point[1] + c * point[2]])


def _hip_shapes(hip: HipShape, side: float) -> NDArray[np.float64]:
    k = hip.size.scale
    # Triangles of one sheet hardly melt: they would swell along their common edges.
    sheet = []
    for a, b, c, thick in _SHEET:
        sheet.append(plate(hip.named(a, side), hip.named(b, side), hip.named(c, side), thick * k))
    rim = [
        capsule(hip.named(start, side), hip.named(end, side), ra * k, rb * k)
        for (start, ra), (end, rb) in itertools.pairwise(zip(_RIM, _RIM_MM, strict=True))
    ]
    for row in sheet:
        row[-2] = 1.5 * k
    for row in rim:
        row[-2] = 5.0 * k
    rows = sheet + rim
    for upper, lower, r0, r1 in _COLUMN:
        rows.append(capsule(hip.place(upper, side), hip.place(lower, side), r0 * k, r1 * k))
    head = hip.head(side)
    rows.append(ellipsoid(head + k * np.array([-side * 4.0, 2.0, 2.0]), (33.0 * k, 31.0 * k, 32.0 * k)))
    return np.array(rows)


def _hip_holes(hip: HipShape, side: float) -> NDArray[np.float64]:
    """Acetabulum, its mouth, and what the sacrum needs."""
    k, head = hip.size.scale, hip.head(side)
    mouth = hip.place((88.0 + 78.0, -16.0 - 40.0, -102.0 - 46.0), side) - head
    mouth = mouth / np.linalg.norm(mouth)
    reach = 34.0 * k
    point, normal = auricular_plane(hip.size, side)
    joint = point + HIP_GAP_MM * normal
    middle = joint + hip.size.point(-side * 6.0, -2.0, -22.0)
    middle = middle - ((middle - joint) @ normal) * normal
    across = np.cross(normal, (0.0, 0.0, 1.0))
    half = 30.0 * k
    start = head + (9.0 * k + reach) * mouth
    # The symphysis: 4 mm of cartilage between the two; the bar reaches 30 over its end.
    between, beyond = hip.place((-28.0, -48.0, -122.0), side), hip.place((-29.0, -48.0, -122.0), side)
    cup = CUP_RADIUS_MM * k
    return np.array(
        [
            *_cartilage(hip, side),
            ellipsoid(head, (cup, cup, cup)),
            bar(start, start + 30.0 * k * mouth, np.cross(mouth, (0.0, 0.0, 1.0)), (reach, reach), roundness=0.4),
            bar(middle - half * normal, middle - (half + 1.0) * normal, across, (half, 62.0 * k), roundness=0.0),
            bar(between, beyond, (0.0, 0.0, 1.0), (40.0 * k, 30.0 * k), roundness=0.0),
        ]
    )


def _cartilage(hip: HipShape, side: float) -> list[NDArray[np.float64]]:
    """Return the arms of a child's triradiate cartilage, which keep ilium, pubis and ischium apart in the acetabulum.

    It closes between 12 and 16 years (unverified); 5 mm wide before (assumed).
    """
    k, half = hip.size.scale, 2.5 * float(np.interp(hip.size.age_years, (4.0, 11.0, 15.0), (1.1, 1.0, 0.0)))
    if half < 0.3:
        return []
    arms = (((66.0, -48.0, -99.0), (66.0, 18.0, -97.0), (0.0, 0.0, 1.0)), ((66, -16, -98), (60, -8, -142), (0, 1, 0)))
    return [bar(hip.place(a, side), hip.place(b, side), across, (half * k, 22.0 * k)) for a, b, across in arms]


def hip_solids(
    hip: HipShape, side: float, world_from_sacrum: NDArray[np.float64], *, hu: float, label: int
) -> tuple[Solid, ...]:
    """Return a hip bone; side +1 left, −1 right."""
    k = hip.size.scale
    return (
        Solid(
            _hip_shapes(hip, side),
            hu,
            CORTEX_HU,
            CORTEX_MM,
            9.0 * k,
            label,
            _hip_holes(hip, side),
            world_from_sacrum,
            1.5,
            TEXTURE_HU,
            1.6,
        ),
    )


def femur_solids(
    head_mm: NDArray[np.float64], side: float, scale: float, *, hu: float, label: int
) -> tuple[Solid, ...]:
    """Return the upper end of a femur with its head at ``head_mm``, the shaft along the patient."""

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return head_mm + scale * np.array([side * x, y, z])

    rows = [
        ellipsoid(head_mm, (HEAD_RADIUS_MM * scale,) * 3),
        capsule(at(8, 1, -6), at(34, 5, -27), 15.5 * scale, 15.0 * scale, (1.0, 0.9, 1.0)),
        capsule(at(38, 10, -24), at(47, 16, -10), 15.0 * scale, 11.0 * scale),
        capsule(at(40, 8, -30), at(38, 8, -64), 18.0 * scale, 15.5 * scale),
        capsule(at(38, 8, -64), at(33, 6, -130), 15.5 * scale, 14.0 * scale),
        capsule(at(24, 14, -58), at(27, 14, -64), 8.0 * scale, 8.0 * scale),
    ]
    # The wall of the shaft is thick: 5 mm and more (unverified).
    rows[3][-1], rows[4][-1] = 2.5, 5.0 * scale
    return (Solid(np.array(rows), hu, 950.0, 1.6, 5.0 * scale, label, texture_hu=TEXTURE_HU),)

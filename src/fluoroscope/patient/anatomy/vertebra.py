"""One vertebra as a solid, from its measured dimensions and a table of shape numbers.

Frame: origin in the middle of the body, x to the patient's left, y to the back, z to the head. Dimensions come from
`morphometry`; what they leave open (how a process tapers, where it springs from) is ``data/vertebra_shape.csv``:
numbers in mm for a body 45 mm wide, found by fitting this model to the surfaces of one man's vertebrae (Visible Human).
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.distances import BODY
from fluoroscope.patient.anatomy.solids import Solid, bar, capsule, offset, shape_row

__all__ = [
    "FacetPlace",
    "VertebraMorphometry",
    "back_wall_mm",
    "facets_below",
    "shape_numbers",
    "vertebra_holes",
    "vertebra_shapes",
    "vertebra_solids",
]

SPONGIOSA_HU, CORTEX_HU, TEXTURE_HU = 180.0, 1100.0, 380.0
"""Trabecular core 150-250 HU (guidance 6.4, unverified); dense cortex of the lumbar shell."""
ENDPLATE_MM, ARCH_CORTEX_MM, SPINOUS_CORTEX_MM = 0.6, 0.85, 0.5
"""Shell of endplates, twice that of the body's walls (0.4 mm; guidance 6.3, unverified), of arch and processes."""
ROUGH_MM = 0.9
"""Bumps of a surface: what is left of a real one after a smooth shape is fitted; a judgement."""

OVAL, FLAT = 2.0, 0.6
"""Sections: of processes, and of those that bear a facet, which is flat."""
ISTHMUS_MM = 4.0
"""From the body's back wall to the isthmus of the pedicle, for a body 45 mm wide."""
UNEVEN_MM = {"tp_tip_z": 3.0, "tp_tip_y": 2.0, "pedicle_z": 0.04, "iap_tip_z": 1.2, "sap_tip_z": 1.2}
"""Half of how far the sides are apart, in the units of the shape numbers."""

Shape = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VertebraMorphometry:
    """Dimensions of one vertebra, mm and degrees, as guidance 6.1 names them.

    Widths go across, depths front to back; heights are the body's; ``pedicle_medial_deg`` is the angle of the
    pedicle's axis to the sagittal plane, ``facet_*_deg`` that of the joints below; ``spinous_length_mm`` is from
    the back of the canal to the tip. ``irregular`` says how its sides differ and where it is bumpy; 0: not at all.
    """

    upper_width_mm: float
    upper_depth_mm: float
    lower_width_mm: float
    lower_depth_mm: float
    height_anterior_mm: float
    height_posterior_mm: float
    pedicle_width_mm: float
    pedicle_height_mm: float
    pedicle_medial_deg: float
    canal_width_mm: float
    canal_depth_mm: float
    transverse_span_mm: float
    spinous_length_mm: float
    facet_left_deg: float
    facet_right_deg: float
    irregular: int = 0

    @property
    def wedge_deg(self) -> float:
        """Angle between the endplates, positive where the front is higher."""
        deep = 0.5 * (self.upper_depth_mm + self.lower_depth_mm)
        return float(np.degrees(2.0 * np.arctan(0.5 * (self.height_anterior_mm - self.height_posterior_mm) / deep)))

    @property
    def height_mm(self) -> float:
        """Mean height of the body."""
        return 0.5 * (self.height_anterior_mm + self.height_posterior_mm)


@lru_cache(maxsize=1)
def shape_numbers() -> dict[str, dict[str, float]]:
    """Return the shape numbers of every level, "T11" to "L6"."""
    text = resources.files("fluoroscope.patient").joinpath("data/vertebra_shape.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    levels = [name for name in rows[0] if name != "number"]
    return {level: {row["number"]: float(row[level]) for row in rows} for level in levels}


def scale_of(m: VertebraMorphometry) -> float:
    """Return the size of the vertebra against one with a body 45 mm wide."""
    return 0.5 * (m.upper_width_mm + m.lower_width_mm) / 45.0


def back_wall_mm(m: VertebraMorphometry, shape: Shape) -> float:
    """Return y of the body's back wall at half height in the midline."""
    half = 0.25 * (m.upper_depth_mm + m.lower_depth_mm)
    return half - 0.5 * shape["waist_front"] * half - 0.5 * shape["hollow"] * scale_of(m) + 0.15


def _body(m: VertebraMorphometry, shape: Shape) -> NDArray[np.float64]:
    s = scale_of(m)
    # A rim is measured a few mm from its endplate, where the waist begins, and in the hollow midline.
    wide, more = 0.5 * (1.0 + 0.25 * shape["waist"]), 0.5 * shape["hollow"] * s + 0.7
    numbers = [
        *(wide * m.lower_width_mm, wide * m.upper_width_mm),
        *(0.5 * m.lower_depth_mm + more, 0.5 * m.upper_depth_mm + more),
        *(m.height_anterior_mm, m.height_posterior_mm, shape["waist"], shape["waist_front"], shape["widest"]),
        *(shape["hollow"] * s, shape["dish_low"] * s, shape["dish_up"] * s, shape["square_back"]),
        *(shape["square_front"], 2.2 * s),
    ]
    return shape_row(BODY, numbers, melt_mm=4.0 * s, shell_mm=ENDPLATE_MM)


@dataclass(frozen=True, slots=True)
class FacetPlace:
    """Where a pair of facet joints lies, in a vertebra's frame.

    ``x_mm`` is from the midline; angles are to the sagittal plane; ``half_gap_mm`` is half the room between the bones.
    """

    x_mm: float
    y_mm: float
    left_deg: float
    right_deg: float
    half_gap_mm: float = 1.0

    def along(self, side: float) -> NDArray[np.float64]:
        """Return the direction (3,) of the joint on the left (+1) or right (−1), seen from above."""
        angle = np.radians(self.left_deg if side > 0.0 else self.right_deg)
        return np.array([side * np.sin(angle), np.cos(angle), 0.0])

    def process(self, side: float, off_mm: float, z_mm: float) -> NDArray[np.float64]:
        """Return the middle (3,) of a process whose face is the joint, ``off_mm`` behind it (before it: below 0)."""
        along = self.along(side)
        out = off_mm + (self.half_gap_mm if off_mm > 0.0 else -self.half_gap_mm)
        return np.array([side * self.x_mm - side * along[1] * out, self.y_mm + side * along[0] * out, z_mm])


def facets_below(m: VertebraMorphometry, shape: Shape) -> FacetPlace:
    """Return the place of the joints below a vertebra."""
    s = scale_of(m)
    back = back_wall_mm(m, shape) + m.canal_depth_mm
    return FacetPlace(
        0.5 * m.canal_width_mm + shape["joint_x"] * s, back + shape["joint_y"] * s, m.facet_left_deg, m.facet_right_deg
    )


def _facets_above(m: VertebraMorphometry, shape: Shape) -> FacetPlace:
    """Return the place of the joints above a vertebra that has no neighbour there."""
    s = scale_of(m)
    back = back_wall_mm(m, shape) + m.canal_depth_mm
    return FacetPlace(0.5 * m.canal_width_mm + 4.0 * s, back + 2.0 * s, m.facet_left_deg, m.facet_right_deg)


def _articular(
    m: VertebraMorphometry, shape: Shape, side: float, above: FacetPlace, below: FacetPlace
) -> list[NDArray[np.float64]]:
    """Return upper and lower articular process of one side and the pars between them (the neck of the dog)."""
    s, h, half_canal = scale_of(m), 0.5 * m.height_mm, 0.5 * m.canal_width_mm
    canal_back = back_wall_mm(m, shape) + m.canal_depth_mm
    z = shape["pedicle_z"] * h
    root = np.array([side * (half_canal + shape["sap_x"] * s), canal_back + shape["sap_y"] * s, z])
    thin, tip_thin = max(shape["sap_thin"], 3.0) * s, shape["sap_tip_thin"] * s
    superior = bar(
        above.process(side, -thin, z + 1.0 * s),
        above.process(side, -tip_thin, h + shape["sap_tip_z"] * s),
        above.along(side),
        (min(shape["sap_long"], 9.0) * s, thin),
        (0.8 * shape["sap_tip_long"] * s, tip_thin),
        roundness=FLAT,
    )
    thick, tip_thick = max(shape["iap_thin"], 3.0) * s, shape["iap_tip_thin"] * s
    end = below.process(side, min(thick, 5.0 * s), -0.45 * h)
    low = below.process(side, tip_thick, -h - shape["iap_tip_z"] * s)
    inferior = bar(
        end,
        low,
        below.along(side),
        (max(shape["iap_long"], 5.0) * s, min(thick, 5.0 * s)),
        (max(0.9 * shape["iap_tip_long"], 5.5) * s, tip_thick),
        roundness=FLAT,
    )
    # Before and below the tip of the upper neighbour's process, which the joint keeps free.
    root[1], root[2] = min(root[1], canal_back - 0.5 * s), z - 2.0 * s
    pars = bar(
        root,
        end,
        (side, 0.0, 0.0),
        (max(shape["pars_wide"], 4.2) * s, max(shape["pars_thick"], 3.4) * s),
        roundness=OVAL,
    )
    return [superior, pars, inferior]


def _side(
    m: VertebraMorphometry, shape: Shape, side: float, above: FacetPlace, below: FacetPlace
) -> list[NDArray[np.float64]]:
    """Return pedicle, articular and transverse process and half a lamina of one side (+1 left, −1 right)."""
    s, h, half_canal = scale_of(m), 0.5 * m.height_mm, 0.5 * m.canal_width_mm
    wall = back_wall_mm(m, shape)
    canal_back = wall + m.canal_depth_mm

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return np.array([side * x, y, z])

    angle = np.radians(m.pedicle_medial_deg + shape["pedicle_turn"])
    lean = float(np.tan(angle))
    # Its inner face is the canal's: the bar reaches a little into it.
    isthmus_x, isthmus_y = half_canal + 0.5 * m.pedicle_width_mm / float(np.cos(angle)) - 0.4, wall + ISTHMUS_MM * s
    z = shape["pedicle_z"] * h
    back = max(isthmus_y + 5.0 * s, canal_back - 1.0 * s)
    # Only its part at the body leans in; behind the isthmus it runs on to the articular pillar.
    pedicle = bar(
        at(isthmus_x - 8.0 * s * lean, isthmus_y - 8.0 * s, z),
        at(isthmus_x + (back - isthmus_y) * lean, back, z + min(shape["pedicle_rise"], 2.0) * s),
        (side, -lean, 0.0),
        (0.5 * m.pedicle_width_mm + 0.5, 0.5 * m.pedicle_height_mm + 0.1),
        roundness=OVAL,
        melt_mm=3.0 * s,
        shell_mm=1.1,
    )
    knob = max(0.5 * (shape["tp_tip_y_half"] + shape["tp_tip_z_half"]), 2.6) * s
    end = at(0.5 * m.transverse_span_mm - knob, canal_back + (shape["tp_tip_y"] - 11.0) * s, shape["tp_tip_z"] * s)
    # From where pedicle and lamina meet, however shallow the canal.
    root_y = max(canal_back - 2.5 * s, isthmus_y + 6.0 * s)
    start = at(isthmus_x + shape["tp_x"] * s, root_y, shape["tp_z"] * s)
    transverse = bar(
        start,
        end,
        (0.0, 0.0, 1.0),
        (shape["tp_z_half"] * s, shape["tp_y_half"] * s),
        (max(shape["tp_tip_z_half"], 3.2) * s, max(shape["tp_tip_y_half"], 2.2) * s),
        roundness=OVAL,
    )
    tip = capsule(end + 0.18 * (start - end) + offset(0.0, 0.0, -0.8 * s), end, 0.9 * knob, knob)
    lamina = bar(
        at(half_canal + shape["lamina_x"] * s, canal_back + shape["lamina_y"] * s, shape["lamina_z"] * s),
        at(0.0, canal_back + shape["lamina_mid_y"] * s, shape["lamina_mid_z"] * s),
        (0.0, shape["lamina_lean"], -1.0),
        (min(shape["lamina_high"], 11.0) * s, shape["lamina_thick"] * s),
        (min(shape["lamina_mid_high"], 7.5) * s, shape["lamina_mid_thick"] * s),
        roundness=OVAL,
    )
    return [pedicle, *_articular(m, shape, side, above, below), transverse, lamina, tip]


def vertebra_shapes(
    m: VertebraMorphometry, shape: Shape, above: FacetPlace | None = None, below: FacetPlace | None = None
) -> NDArray[np.float64]:
    """Return the shapes (n, 24) of a vertebra.

    Parameters
    ----------
    m, shape
        Its dimensions and shape numbers.
    above, below
        Its facet joints; where its own dimensions put them when None.
    """
    upper, lower = above or _facets_above(m, shape), below or facets_below(m, shape)
    left, right = _uneven(m, shape)
    sides = [_side(*left, 1.0, upper, lower), _side(*right, -1.0, upper, lower)]
    # Tips last: pathologies and implants know a side's first six shapes by their place.
    tips = [side[-1] for side in sides]
    return np.array([_body(m, shape), *sides[0][:-1], *sides[1][:-1], *_spinous(m, shape), *tips])


def _uneven(m: VertebraMorphometry, shape: Shape) -> list[tuple[VertebraMorphometry, Shape]]:
    """Return dimensions and shape numbers of the left and right side: a few percent and mm apart (a judgement)."""
    if m.irregular == 0:
        return [(m, shape), (m, shape)]
    half = 0.5 * np.random.Generator(np.random.PCG64([m.irregular, 62])).standard_normal(8)
    sides: list[tuple[VertebraMorphometry, Shape]] = []
    for by in np.clip([half, -half], -1.0, 1.0):
        own = dict(shape)
        for name, most in zip(UNEVEN_MM, by, strict=False):
            own[name] += UNEVEN_MM[name] * most
        width, span, high = (1.0 + share * most for share, most in zip((0.06, 0.04, 0.04), by[5:], strict=True))
        m_own = replace(
            m,
            pedicle_width_mm=width * m.pedicle_width_mm,
            transverse_span_mm=span * m.transverse_span_mm,
            pedicle_height_mm=high * m.pedicle_height_mm,
        )
        sides.append((m_own, own))
    return sides


def _spinous(m: VertebraMorphometry, shape: Shape) -> list[NDArray[np.float64]]:
    """Return the spinous process: a blade that widens to a knob, drawn out like a tear, a little off the midline."""
    s = scale_of(m)
    canal_back = back_wall_mm(m, shape) + m.canal_depth_mm
    # The farthest bump is the tip.
    tip = canal_back + m.spinous_length_mm - 0.5 * s
    aside = 0.0
    if m.irregular:
        aside = float(np.clip(np.random.Generator(np.random.PCG64([m.irregular, 63])).standard_normal(), -2.0, 2.0))
    knob = max(shape["spinous_tip_wide"], 4.0) * s
    at_z, high = shape["spinous_tip_z"] * s, shape["spinous_tip_high"] * s
    root = offset(0.0, canal_back + 3.0 * s, shape["spinous_z"] * s)
    # A blade that slopes reaches farther back with its lower corner.
    slope = np.arctan2(root[2] - at_z, tip - root[1])
    reach = max(1.1 * knob, float(np.hypot(0.9 * knob * np.cos(slope), 0.9 * high * np.sin(slope))))
    blade = bar(
        root,
        (0.6 * aside, tip - reach, at_z),
        (1.0, 0.0, 0.0),
        (max(shape["spinous_wide"], 2.3) * s, shape["spinous_high"] * s),
        (0.9 * knob, 0.9 * high),
        roundness=OVAL,
        shell_mm=SPINOUS_CORTEX_MM,
    )
    low, top = max(at_z - high + 0.6 * knob, at_z - 7.0 * s), min(at_z + high - 0.6 * knob, at_z + 5.0 * s)
    bulb = capsule((0.5 * aside, tip - 0.9 * knob, top), (aside, tip - 1.15 * knob, low), 0.7 * knob, 1.15 * knob)
    bulb[-1] = SPINOUS_CORTEX_MM
    return [blade, bulb]


def vertebra_holes(m: VertebraMorphometry, shape: Shape) -> NDArray[np.float64]:
    """Return the canal (3, 24), to be taken away: an oval, and its recesses before the pedicles."""
    wall, s = back_wall_mm(m, shape), scale_of(m)
    front, back = 0.25 * (m.upper_depth_mm + m.lower_depth_mm), wall + m.canal_depth_mm
    middle, long = 0.5 * (front + back), 0.5 * m.height_mm + 40.0
    halves = (0.5 * m.canal_width_mm + 0.6, 0.5 * (back - front))
    lean = shape["canal_lean"] * long
    x_axis = (1.0, 0.0, 0.0)
    oval = bar((0.0, middle - lean, long), (0.0, middle + lean, -long), x_axis, halves, roundness=shape["canal_round"])
    angle, ahead, behind = np.radians(m.pedicle_medial_deg), ISTHMUS_MM * s - 0.5, 2.5 * s
    rows = [oval]
    for side in (1.0, -1.0):
        # Its outer face is the pedicle's inner one, from the body to behind the isthmus.
        out = offset(side * np.cos(angle), -np.sin(angle), 0.0)
        along = offset(side * np.sin(angle), np.cos(angle), 0.0)
        face = offset(side * (0.5 * m.canal_width_mm - 0.12 - 0.35 * np.tan(angle)), wall + ISTHMUS_MM * s, 0.0)
        at = face - 0.5 * (ahead - behind) / np.cos(angle) * along - 4.0 * s * out
        # No higher than the pedicle: the rims of the body stand out farther than its waist.
        thick = 0.5 * (ahead + behind) / np.cos(angle)
        z, up = 0.5 * shape["pedicle_z"] * m.height_mm, max(0.5 * m.pedicle_height_mm + 0.5 - thick, 0.5)
        ends = (at + offset(0.0, 0.0, z + up), at + offset(0.0, 0.0, z - up))
        rows.append(bar(*ends, out, (4.0 * s, thick), roundness=0.3))
    return np.array(rows)


def vertebra_solids(
    m: VertebraMorphometry,
    shape: Shape,
    *,
    above: FacetPlace | None = None,
    below: FacetPlace | None = None,
    joints: tuple[NDArray[np.float64], ...] = (),
    world_from_vertebra: NDArray[np.float64] | None = None,
    label: int = 0,
) -> tuple[Solid, ...]:
    """Return a vertebra.

    Parameters
    ----------
    m, shape, above, below
        As in `vertebra_shapes`.
    joints
        Shapes (24,) that keep its articular processes apart from the neighbours', from `spine`.
    world_from_vertebra
        (4, 4); identity when None.
    label
        Number in the label map.
    """
    s = scale_of(m)
    return (
        Solid(
            vertebra_shapes(m, shape, above, below),
            SPONGIOSA_HU,
            CORTEX_HU,
            ARCH_CORTEX_MM,
            2.5 * s,
            label,
            np.concatenate([vertebra_holes(m, shape), *(row[np.newaxis] for row in joints)]),
            np.eye(4) if world_from_vertebra is None else world_from_vertebra,
            1.2,
            TEXTURE_HU,
            1.8,
            rough=(ROUGH_MM, float(m.irregular % 997)) if m.irregular else (0.0, 0.0),
        ),
    )

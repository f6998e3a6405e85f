"""One vertebra as a solid, from its measured dimensions and a table of shape numbers.

Frame: origin in the middle of the body, x to the patient's left, y to the back, z to the head. Dimensions come from
`morphometry`; what they leave open (how a process tapers, where it springs from) is ``data/vertebra_shape.csv``:
numbers in mm for a body 45 mm wide, found by fitting this model to the surfaces of one man's vertebrae (Visible Human).
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.distances import BODY
from fluoroscope.patient.anatomy.solids import Solid, bar, shape_row

__all__ = [
    "VertebraMorphometry",
    "back_wall_mm",
    "shape_numbers",
    "vertebra_holes",
    "vertebra_shapes",
    "vertebra_solids",
]

SPONGIOSA_HU, CORTEX_HU, TEXTURE_HU = 190.0, 1150.0, 45.0
"""Trabecular core 150-250 HU (guidance 6.4, unverified); dense cortex of the lumbar shell."""
CORTEX_MM, ENDPLATE_MM, ARCH_CORTEX_MM = 0.4, 0.6, 1.0
"""Shell of body and endplates (guidance 6.3, unverified); arch and processes carry a thicker one."""

Shape = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VertebraMorphometry:
    """Dimensions of one vertebra, mm and degrees, as guidance 6.1 names them.

    Widths go across, depths front to back; heights are the body's; ``pedicle_medial_deg`` is the angle of the
    pedicle's axis to the sagittal plane, ``facet_*_deg`` that of the joints below; ``spinous_length_mm`` is from
    the back of the canal to the tip.
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
    return half - 0.5 * shape["waist_front"] * half - shape["hollow"] * scale_of(m)


def _body(m: VertebraMorphometry, shape: Shape) -> NDArray[np.float64]:
    s = scale_of(m)
    numbers = [
        *(0.5 * m.lower_width_mm, 0.5 * m.upper_width_mm, 0.5 * m.lower_depth_mm, 0.5 * m.upper_depth_mm),
        *(m.height_anterior_mm, m.height_posterior_mm, shape["waist"], shape["waist_front"], shape["widest"]),
        *(shape["hollow"] * s, shape["dish_low"] * s, shape["dish_up"] * s, shape["square_back"]),
        *(shape["square_front"], 2.2 * s),
    ]
    return shape_row(BODY, numbers, melt_mm=4.0 * s, shell_mm=ENDPLATE_MM)


def _side(
    m: VertebraMorphometry, shape: Shape, side: float, upper_deg: float, lower_deg: float
) -> list[NDArray[np.float64]]:
    """Return pedicle, articular and transverse process and half a lamina of one side (+1 left, −1 right)."""
    s, h, half_canal = scale_of(m), 0.5 * m.height_mm, 0.5 * m.canal_width_mm
    wall = back_wall_mm(m, shape)
    canal_back = wall + m.canal_depth_mm

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return np.array([side * x, y, z])

    lean = float(np.tan(np.radians(m.pedicle_medial_deg)))
    isthmus_x, isthmus_y = half_canal + 0.5 * m.pedicle_width_mm, wall + 4.0 * s
    z = shape["pedicle_z"] * h
    width, height = 0.5 * m.pedicle_width_mm, 0.5 * m.pedicle_height_mm
    pedicle = bar(
        at(isthmus_x - 8.0 * s * lean, isthmus_y - 8.0 * s, z),
        at(isthmus_x + 5.0 * s * lean, isthmus_y + 5.0 * s, z + shape["pedicle_rise"] * s),
        (side, -lean, 0.0),
        (width, height),
        melt_mm=3.0 * s,
    )
    upper_along = np.array([side * np.sin(np.radians(upper_deg)), np.cos(np.radians(upper_deg)), 0.0])
    lower_along = np.array([side * np.sin(np.radians(lower_deg)), np.cos(np.radians(lower_deg)), 0.0])
    root = at(half_canal + shape["sap_x"] * s, canal_back + shape["sap_y"] * s, z + shape["sap_z"] * s)
    upper_tip = at(half_canal + shape["sap_tip_x"] * s, canal_back + shape["sap_tip_y"] * s, h + shape["sap_tip_z"] * s)
    superior = bar(
        root,
        upper_tip,
        upper_along,
        (shape["sap_long"] * s, shape["sap_thin"] * s),
        (shape["sap_tip_long"] * s, shape["sap_tip_thin"] * s),
    )
    lower_tip = at(
        half_canal + shape["iap_tip_x"] * s, canal_back + shape["iap_tip_y"] * s, -h - shape["iap_tip_z"] * s
    )
    pars_end = at(half_canal + shape["iap_x"] * s, canal_back + shape["iap_y"] * s, shape["iap_z"] * s)
    pars = bar(root, pars_end, (side, 0.0, 0.0), (shape["pars_wide"] * s, shape["pars_thick"] * s), roundness=0.9)
    inferior = bar(
        pars_end,
        lower_tip,
        lower_along,
        (shape["iap_long"] * s, shape["iap_thin"] * s),
        (shape["iap_tip_long"] * s, shape["iap_tip_thin"] * s),
    )
    tip_thick = min(shape["tp_tip_y_half"], shape["tp_tip_z_half"]) * s
    transverse = bar(
        at(isthmus_x + shape["tp_x"] * s, wall + shape["tp_y"] * s, shape["tp_z"] * s),
        at(0.5 * m.transverse_span_mm - tip_thick, wall + shape["tp_tip_y"] * s, shape["tp_tip_z"] * s),
        (0.0, 0.0, 1.0),
        (shape["tp_z_half"] * s, shape["tp_y_half"] * s),
        (shape["tp_tip_z_half"] * s, shape["tp_tip_y_half"] * s),
    )
    lamina = bar(
        at(half_canal + shape["lamina_x"] * s, canal_back + shape["lamina_y"] * s, shape["lamina_z"] * s),
        at(0.0, canal_back + shape["lamina_mid_y"] * s, shape["lamina_mid_z"] * s),
        (0.0, shape["lamina_lean"], -1.0),
        (shape["lamina_high"] * s, shape["lamina_thick"] * s),
        (shape["lamina_mid_high"] * s, shape["lamina_mid_thick"] * s),
    )
    return [pedicle, superior, pars, inferior, transverse, lamina]


def vertebra_shapes(
    m: VertebraMorphometry, shape: Shape, upper_facets_deg: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Return the shapes (n, 24) of a vertebra.

    Parameters
    ----------
    m, shape
        Its dimensions and shape numbers.
    upper_facets_deg
        Angles of the joints above, left and right; of the joints below when None.
    """
    s = scale_of(m)
    wall = back_wall_mm(m, shape)
    canal_back = wall + m.canal_depth_mm
    above = upper_facets_deg or (m.facet_left_deg, m.facet_right_deg)
    tip = canal_back + m.spinous_length_mm
    spinous = bar(
        (0.0, canal_back + 3.0 * s, shape["spinous_z"] * s),
        (0.0, tip - shape["spinous_tip_wide"] * s, shape["spinous_tip_z"] * s),
        (1.0, 0.0, 0.0),
        (shape["spinous_wide"] * s, shape["spinous_high"] * s),
        (shape["spinous_tip_wide"] * s, shape["spinous_tip_high"] * s),
    )
    rows = [_body(m, shape)]
    rows += _side(m, shape, 1.0, above[0], m.facet_left_deg)
    rows += _side(m, shape, -1.0, above[1], m.facet_right_deg)
    return np.array([*rows, spinous])


def vertebra_holes(m: VertebraMorphometry, shape: Shape) -> NDArray[np.float64]:
    """Return the canal (1, 24), to be taken away."""
    wall = back_wall_mm(m, shape)
    front, back = 0.25 * (m.upper_depth_mm + m.lower_depth_mm), wall + m.canal_depth_mm
    middle, long = 0.5 * (front + back), 0.5 * m.height_mm + 40.0
    halves = (0.5 * m.canal_width_mm, 0.5 * (back - front))
    lean = shape["canal_lean"] * long
    return np.array(
        [
            bar(
                (0.0, middle - lean, long),
                (0.0, middle + lean, -long),
                (1.0, 0.0, 0.0),
                halves,
                roundness=shape["canal_round"],
            )
        ]
    )


def vertebra_solids(
    m: VertebraMorphometry,
    shape: Shape,
    *,
    upper_facets_deg: tuple[float, float] | None = None,
    joints: tuple[NDArray[np.float64], ...] = (),
    world_from_vertebra: NDArray[np.float64] | None = None,
    label: int = 0,
) -> tuple[Solid, ...]:
    """Return a vertebra.

    Parameters
    ----------
    m, shape, upper_facets_deg
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
            vertebra_shapes(m, shape, upper_facets_deg),
            SPONGIOSA_HU,
            CORTEX_HU,
            ARCH_CORTEX_MM,
            2.5 * s,
            label,
            np.concatenate([vertebra_holes(m, shape), *(row[np.newaxis] for row in joints)]),
            np.eye(4) if world_from_vertebra is None else world_from_vertebra,
            1.2,
            TEXTURE_HU,
            1.5,
        ),
    )

"""What building a modelled patient gives."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.bone import Skeleton
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.volume import Volume

__all__ = ["BuiltPatient", "Surface"]


@dataclass(frozen=True, slots=True)
class Surface:
    """A closed triangle surface of one structure, at rest.

    Attributes
    ----------
    vertices_mm
        float32 (n, 3), LPS mm.
    triangles
        int32 (m, 3), counter-clockwise from outside.
    """

    vertices_mm: NDArray[np.float32]
    triangles: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class BuiltPatient:
    """A modelled patient, built.

    Attributes
    ----------
    parameters
        As asked for.
    facts
        What the seed drew and what was reached, JSON-ready: height_cm, weight_kg, bmi, lordosis_deg,
        pelvic_incidence_deg, pelvic_tilt_deg, sacral_slope_deg, skin_to_canal_mm per level, disc heights …
    volume, labels
        int16 HU and structure numbers, LPS, as the patient rests; L3 at the origin.
    articulation
        Parts that add up to the volume's basis, joints, landmarks (skin points too).
    skeleton
        The bones, for surfaces and measurements.
    """

    parameters: PatientParameters
    facts: dict[str, object]
    volume: Volume
    labels: LabelMap
    articulation: Articulation
    skeleton: Skeleton = field(repr=False)

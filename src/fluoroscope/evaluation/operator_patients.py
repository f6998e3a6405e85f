"""Modelled patients for the virtual operator: the part of the back a lumbar puncture goes through, painted alone.

The needle meets tissue painted at 1 mm; the plan is made on a CT of it with larger voxels on another grid: a plan that
only fits its own voxels would show.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.patient.anatomy.bone import Skeleton
from fluoroscope.patient.anatomy.build import (
    build_reached,
    finished_labels,
    lying_skeleton,
    paint_disc_at,
    paint_soft_parts,
    trunk_around,
)
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.soft import grain
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.opened import Patient, PatientRecord
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.tissues import packaged_tissues, to_basis
from fluoroscope.patient.volume import Volume

__all__ = ["OperatedPatient", "operated_patient"]

CT_PITCH_MM, TISSUE_PITCH_MM = 1.5, 1.0
CT_BOX_MM = (-46.0, -40.0, -92.0), (46.0, 320.0, 32.0)
TISSUE_BOX_MM = (-56.0, -42.0, -95.0), (56.0, 320.0, 45.0)
"""Of what is painted, around L3: left, back and head from the middle of its body."""


@dataclass(frozen=True, slots=True)
class OperatedPatient:
    """One patient twice: the CT a plan is made on, and the tissue a needle meets.

    Attributes
    ----------
    patient
        The CT with labels and landmarks.
    probe
        The tissue.
    """

    patient: Patient
    probe: TissueProbe


def operated_patient(seed: int) -> OperatedPatient:
    """Return the patient of a seed: women and men by turns, 20 to 85 years, weight drawn from the population."""
    random = np.random.default_rng([seed, 41])
    age = float(np.round(random.uniform(20.0, 85.0)))
    parameters = PatientParameters(seed=seed, sex="male" if seed % 2 else "female", age_years=age)
    skeleton, facts = lying_skeleton(parameters)
    landmarks = Articulation((), skeleton.joints, skeleton.landmarks)
    tissue, named = _painted(parameters, skeleton, facts)
    volume, labels = _scanned(tissue, named)
    record = PatientRecord(f"seed {seed}", "modelled", "modelled", "Apache-2.0", (0.0, 0.0, 0.0), parameters=parameters)
    basis = to_basis(volume, table=packaged_tissues(), labels=labels)
    patient = Patient(record, "", volume, basis, labels, np.zeros(3), landmarks, facts)
    return OperatedPatient(patient, TissueProbe(tissue, named, landmarks))


def _scanned(tissue: Volume, named: LabelMap) -> tuple[Volume, LabelMap]:
    """Return a CT of the tissue: larger voxels, HU between, labels of the nearest."""
    first = tissue.world_from_index[:3, 3]
    # Off the tissue's grid by a part of a voxel.
    low = np.array(CT_BOX_MM[0]) + np.array([0.37, -0.21, 0.44])
    last = first + TISSUE_PITCH_MM * (np.array(tissue.values.shape)[::-1] - 1.0)
    high = np.minimum(np.array(CT_BOX_MM[1]), last)
    sizes = tuple(int(n) for n in np.floor((high - low) / CT_PITCH_MM)[::-1])
    steps, begin = np.full(3, CT_PITCH_MM / TISSUE_PITCH_MM), ((low - first) / TISSUE_PITCH_MM)[::-1]
    values = ndimage.affine_transform(tissue.values.astype(np.float32), steps, begin, sizes, order=1)
    labels = np.asarray(ndimage.affine_transform(named.values, steps, begin, sizes, order=0), dtype=np.uint8)
    matrix = _grid(low, CT_PITCH_MM)
    return Volume(np.rint(values).astype(np.int16), matrix), LabelMap(labels, dict(named.names))


def _painted(parameters: PatientParameters, skeleton: Skeleton, facts: dict[str, Any]) -> tuple[Volume, LabelMap]:
    """Return HU and labels of the lumbar back."""
    build = build_reached(parameters, facts)
    body = trunk_around(skeleton, build)
    low, high = (np.array(corner) for corner in TISSUE_BOX_MM)
    high[1] = min(high[1], max(body.back_y_mm(z) for z in np.linspace(low[2], high[2], 9)) + 12.0)
    sizes = tuple(int(n) for n in np.ceil((high - low) / TISSUE_PITCH_MM)[::-1])
    origin = (float(low[0]), float(low[1]), float(low[2]))
    canvas = Canvas(np.full(sizes, -1000.0, np.float32), np.zeros(sizes, np.uint8), origin, TISSUE_PITCH_MM)
    noise = grain(parameters.seed)
    # The organs lie before the spine, beyond what is painted here.
    paint_soft_parts(canvas, noise, skeleton, build, parameters, body)
    for joint in skeleton.joints:
        paint_disc_at(canvas, noise, joint, parameters)
    for bone in skeleton.bones:
        for solid in bone.solids:
            canvas.paint(solid)
    values = np.rint(np.clip(canvas.hu, -1024.0, 3071.0)).astype(np.int16)
    return Volume(values, _grid(low, TISSUE_PITCH_MM)), finished_labels(canvas)


def _grid(origin_mm: NDArray[np.float64], pitch_mm: float) -> NDArray[np.float64]:
    """Return world_from_index of axes S, P, L."""
    matrix = np.eye(4)
    matrix[:3, :3] = pitch_mm * np.fliplr(np.eye(3))
    matrix[:3, 3] = origin_mm
    return matrix

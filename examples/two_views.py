"""Two views of a marker in the modelled default patient: the known truth, then what two X-rays say of it.

A steel ball is put into the patient. From its place in an AP and in a lateral picture its position is found again
by meeting the two rays. Run: ``python examples/two_views.py``.
"""

import numpy as np

from fluoroscope.beam import MATERIALS, basis_of
from fluoroscope.geometry import CArmPose, DetectorGrid, projection_geometry
from fluoroscope.patient.library import open_patient
from fluoroscope.patient.scene import Body, Scene, Sphere
from fluoroscope.projector import project_scene

patient = open_patient("anna")
isocenter = tuple(float(part) for part in patient.reference_mm)
truth = patient.reference_mm + np.array([12.0, -8.0, 21.0])
ball = Sphere(tuple(truth), 1.5, basis_of(MATERIALS["steel_304"]))

without = Scene((Body("patient", patient.basis),))
with_ball = Scene(without.bodies, (ball,))

starts, directions = [], []
for primary_deg in (0.0, 90.0):
    geometry = projection_geometry(CArmPose(primary_deg, 0.0, 510.0, 1020.0, isocenter), DetectorGrid(1024, 1024, 0.3))
    shadow = (project_scene(with_ball, geometry) - project_scene(without, geometry)).sum(axis=0)
    rows, columns = np.indices(shadow.shape)
    row, column = (rows * shadow).sum() / shadow.sum(), (columns * shadow).sum() / shadow.sum()
    ray = geometry.direction_from_pixel @ np.array([row, column, 1.0])
    starts.append(geometry.source_mm)
    directions.append(ray / np.linalg.norm(ray))

# The point nearest to both rays (least squares).
blocks = [np.eye(3) - np.outer(d, d) for d in directions]
estimate = np.linalg.solve(sum(blocks), sum(b @ s for b, s in zip(blocks, starts, strict=True)))

print("truth    (LPS mm):", np.round(truth, 3))
print("estimate (LPS mm):", np.round(estimate, 3))
print(f"error: {np.linalg.norm(estimate - truth):.3f} mm")

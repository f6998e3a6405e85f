"""Where things are: rigid transforms, how the patient lies, C-arm kinematics, the projection matrix.

Conventions (in full, with a picture for each: docs/explanations/conventions.md)

- World: DICOM patient coordinates, LPS (x to the patient's left, y to the back, z to the head), mm.
  Transforms are named ``target_from_source`` and act on column vectors. Degrees in every interface, radians
  only as locals.
- Equipment frame: origin at the isocentre of a C-arm at rest, axes those of a head-first supine patient's LPS
  on the table: +x that patient's left, +y down to the floor, +z to the head end. It is the isocenter
  coordinate system of DICOM PS3.3 C.8.19.6.13.1.1.
- `CArmPose` (p, s): ``d = (sin p cos s, −cos p cos s, sin s)`` from the isocentre to the detector, ``u = (cos
  p, sin p, 0)`` along growing columns, ``v = u × d`` along growing rows. At 0/0 the source is under the
  table. Source at ``−source_to_isocenter · d``, detector centre at ``(source_to_detector −
  source_to_isocenter) · d``. ``detector_rotation_deg`` (roll) turns u toward v.
- The picture is seen from the detector toward the source, head end up: at 0/0 and supine the patient's left
  is on the right. Pixels are (row, column); (0, 0) is the centre of the top-left pixel.
- `TablePose`: shifts along the equipment's axes, then yaw, tilt, cradle about the table's reference point.
  ``patient_from_equipment = T(reference) · R(position) · inverse(table motion)``.
- DICOM positioner angles (PS3.3 C.8.7.5.1.2) are the patient's, not the room's: `positioner_angles`. On the
  page a side is said in the patient's terms: `view_text`.
- Real C-arms nest their joints: `CArmModel` derives (p, s, roll) from joint values. Side-standing: tilt
  outside orbital. Ceiling: angulation inside rotation.
"""

from fluoroscope.geometry.carm import C_ARMS, CArmModel, Joint, OutOfReachError
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.panel import DetectorPanel, FieldOfView
from fluoroscope.geometry.pose import BeamAxes, CArmPose, angles_from_axes, beam_axes, wrap_deg
from fluoroscope.geometry.positioner import (
    DisplayOrientation,
    EdgeMarkers,
    edge_markers,
    patient_axes,
    pose_for_patient_view,
    positioner_angles,
    view_text,
)
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.geometry.rigid import Matrix, apply, inverse, rotation, translation
from fluoroscope.geometry.table import (
    PatientPosition,
    TablePose,
    equipment_from_table,
    patient_from_equipment,
)

__all__ = [
    "C_ARMS",
    "BeamAxes",
    "CArmModel",
    "CArmPose",
    "DetectorGrid",
    "DetectorPanel",
    "DisplayOrientation",
    "EdgeMarkers",
    "FieldOfView",
    "Joint",
    "Matrix",
    "OutOfReachError",
    "PatientPosition",
    "ProjectionGeometry",
    "TablePose",
    "angles_from_axes",
    "apply",
    "beam_axes",
    "edge_markers",
    "equipment_from_table",
    "inverse",
    "patient_axes",
    "patient_from_equipment",
    "pose_for_patient_view",
    "positioner_angles",
    "project_points",
    "projection_geometry",
    "rotation",
    "translation",
    "view_text",
    "wrap_deg",
]

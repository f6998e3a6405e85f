"""The patient: CT volume and labels, tissues, the body without its table, the library of patients, the scene.

Volumes are numpy arrays indexed (i0, i1, i2) with axis 0 running most nearly to the head (S), axis 1 to the
back (P) and axis 2 to the patient's left (L); ``world_from_index`` gives DICOM patient coordinates (LPS, mm).
CT numbers are HU as int16. NIfTI's and NRRD's RAS exists only inside their readers.
"""

from fluoroscope.patient.formats import read_volume
from fluoroscope.patient.volume import BasisVolume, Volume

__all__ = ["BasisVolume", "Volume", "read_volume"]

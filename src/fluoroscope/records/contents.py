"""What goes into the records of a run and of an exam: plain types, light to import."""

import itertools
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.geometry.table import TablePose
from fluoroscope.records.identity import PatientAngles
from fluoroscope.records.uids import derived_uid

__all__ = ["DoseCalibration", "DoseEvent", "DoseImage", "XARun"]


@dataclass(frozen=True, slots=True)
class DoseEvent:
    """One irradiation event and the patient angles at its first and last pulse (None when not known).

    ``path_angles`` are those of every place of the event's path: as many, or none where they are not known.
    """

    event: IrradiationEvent
    angles: PatientAngles | None = None
    end_angles: PatientAngles | None = None
    path_angles: tuple[PatientAngles, ...] = ()

    def __post_init__(self) -> None:
        if len(self.path_angles) not in (0, len(self.event.path)):
            raise ValueError(
                f"a path of {len(self.event.path)} places has {len(self.path_angles)} angles; give one each"
            )

    @property
    def mode(self) -> RadiationMode:
        """Fluoroscopy unless the technique says acquisition."""
        return self.event.technique.mode if self.event.technique else RadiationMode.FLUOROSCOPY


@dataclass(frozen=True, slots=True)
class DoseImage:
    """An image kept of an irradiation event, as a dose report refers to it."""

    series_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class DoseCalibration:
    """What the readings of the KAP meter are to be multiplied by; a report keeps the readings themselves.

    Attributes
    ----------
    factor
        True value per reading, above 0.
    source
        Who measured it and when, in words.
    measured
        When, aware; None when not known.
    uncertainty_percent
        Of the factor, 0 to 100; None when not known.
    responsible, protocol
        Who is responsible, and by which protocol it was done; "" when not known.
    """

    factor: float
    source: str
    measured: datetime | None = None
    uncertainty_percent: float | None = None
    responsible: str = ""
    protocol: str = ""

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not 0.0 < self.factor < float("inf"):
            raise ValueError(f"a calibration factor must be above 0, got {self.factor}")
        if self.uncertainty_percent is not None and not 0.0 <= self.uncertainty_percent <= 100.0:
            raise ValueError(f"the uncertainty of a calibration must be 0 to 100 %, got {self.uncertainty_percent}")
        if self.measured is not None and self.measured.tzinfo is None:
            raise ValueError("the time of a calibration must be an aware datetime; give it a time zone")

    @property
    def whole(self) -> bool:
        """Whether all is known that a dose report's calibration must say (TID 10002)."""
        return self.measured is not None and self.uncertainty_percent is not None and self.responsible != ""

    @property
    def words(self) -> str:
        """The factor and its source in words."""
        return f"calibration factor {self.factor:g}" + (f" ({self.source})" if self.source else "")


@dataclass(frozen=True, slots=True)
class XARun:
    """What is known of the frames of one run, or of one stored image.

    Attributes
    ----------
    event
        The pedal press they come from.
    acquired_ns
        Monotonic time of every frame, ns, rising: as many as there are frames.
    window_center, window_width
        Display window, pixel values; the width at least 1.
    pitch_mm
        Pixel pitch at the detector, mm; None when not known.
    angles
        Patient angles: none, one for all frames, or one per frame.
    tables
        Table poses in the equipment frame: none, one for all frames, or one per frame.
    intensity
        DISP, what the image chain gives; or LIN for raw frames.
    orientation
        Anatomical directions of growing column and growing row, such as ("L", "F"); None when not known.
    image_number
        0 for the run itself; from 1 for a stored image of the exam.
    derivation
        How a stored image was made, such as "mean of the last 4 frames"; "" for frames as they came.
    """

    event: IrradiationEvent
    acquired_ns: tuple[int, ...]
    window_center: float
    window_width: float
    pitch_mm: float | None = None
    angles: tuple[PatientAngles, ...] = ()
    tables: tuple[TablePose, ...] = ()
    intensity: PixelIntensity = PixelIntensity.DISP
    orientation: tuple[str, str] | None = None
    image_number: int = 0
    derivation: str = ""

    def __post_init__(self) -> None:
        count = len(self.acquired_ns)
        if count == 0:
            raise ValueError("a run needs at least one frame; nothing was acquired, so store nothing")
        if any(b <= a for a, b in itertools.pairwise(self.acquired_ns)):
            raise ValueError("frame times must rise; give each frame its own time of acquisition")
        for name in ("angles", "tables"):
            given = len(getattr(self, name))
            if given not in (0, 1, count):
                raise ValueError(f"{name} must be none, one, or one per frame ({count}), got {given}")
        if self.intensity is PixelIntensity.LOG:
            raise ValueError("LOG pixels need a modality lookup table in an XA object; store DISP or LIN")
        if not (np.isfinite(self.window_center) and self.window_width >= 1.0):
            raise ValueError(f"window must be finite and at least 1 wide, got {self.window_center}/{self.window_width}")
        if self.pitch_mm is not None and not self.pitch_mm > 0.0:
            raise ValueError(f"pixel pitch must be above 0 mm, got {self.pitch_mm}")
        if self.image_number < 0 or (self.image_number > 0 and count != 1):
            raise ValueError("image_number counts stored images from 1, and a stored image has one frame")

    @property
    def sop_instance_uid(self) -> str:
        """The object's UID: the same event and image give the same one."""
        return derived_uid(self.event.uid, "xa", str(self.image_number))

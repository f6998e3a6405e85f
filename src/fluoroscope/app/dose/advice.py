"""Advice for the room: how the beam of a virtual C-arm stands, and what its exposure control would make of a change."""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation, Frame
from fluoroscope.app.console import COPPERS_MM, Console
from fluoroscope.beam.kerma import pulse_kerma, reference_distance_mm
from fluoroscope.beam.technique import PULSE_RATES_HZ
from fluoroscope.dose.advice import Advice, BeamNow, Change, Outlook, cheapest
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose
from fluoroscope.procedure.catalogue import Procedure
from fluoroscope.sources.exposure_control import BeamChange, DoseLevel

__all__ = ["DoseAdviser", "StillPicture", "advice_status"]

CLEARANCE_MM = 70.0
"""Between detector and the middle of the patient beyond half the water the exposure control sees: skin and slack."""
LOOK_EVERY_NS = 1_000_000_000
THUMB_SIDE = 64
MOVED_NOISES = 1.25
"""A change over a second above so many times that from pulse to pulse, which is noise, is motion."""


class StillPicture:
    """Says since when nothing moves: what the picture shows, looked at once a second, and the C-arm and table alone.

    A breathing patient moves, and so does a needle.
    """

    def __init__(self) -> None:
        self._event = ""
        self._now_ns = self._looked_ns = self._still_ns = self._stand_ns = 0
        self._stand: tuple[CArmPose | None, TablePose | None, Collimation | None] | None = None
        self._thumb: NDArray[np.float32] | None = None
        self._noise: float | None = None

    def add(self, frame: Frame) -> None:
        """Take in a pulse."""
        stand = (frame.pose, frame.table, frame.collimation)
        self._now_ns = frame.acquired_ns
        if frame.event_uid != self._event or stand != self._stand or self._thumb is None:
            self._event, self._stand = frame.event_uid, stand
            self._stand_ns = self._still_ns = frame.acquired_ns
            self._look(frame)
        elif self._noise is None:
            self._noise = difference(self._thumb, _thumb(frame.pixels))
        elif frame.acquired_ns - self._looked_ns >= LOOK_EVERY_NS:
            before, noise = self._thumb, self._noise
            self._look(frame)
            if difference(before, self._thumb) > MOVED_NOISES * noise:
                self._still_ns = frame.acquired_ns

    def still_s(self, event_uid: str) -> float:
        """Return how long nothing has moved in a press, s; 0 in another press."""
        return (self._looked_ns - self._still_ns) / 1e9 if event_uid == self._event else 0.0

    def stands_s(self, event_uid: str) -> float:
        """Return how long C-arm, table and collimator have stood in a press, s; 0 in another press."""
        return (self._now_ns - self._stand_ns) / 1e9 if event_uid == self._event else 0.0

    def _look(self, frame: Frame) -> None:
        self._looked_ns, self._thumb, self._noise = frame.acquired_ns, _thumb(frame.pixels), None


def _thumb(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the means of blocks, about `THUMB_SIDE` each way."""
    rows, columns = (max(1, size // THUMB_SIDE) for size in pixels.shape)
    down, across = pixels.shape[0] // rows, pixels.shape[1] // columns
    # Rows first: whole lines are added up, which takes a tenth of the time of blocks.
    bands = pixels[: down * rows].reshape(down, rows, -1).sum(axis=1, dtype=np.uint32)[:, : across * columns]
    means: NDArray[np.float32] = bands.reshape(down, across, columns).sum(axis=2).astype(np.float32) / (rows * columns)
    return means


def difference(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return the relative rms difference of two thumbnails; infinite where they cannot be compared."""
    if before.shape != after.shape:
        return float("inf")
    # Each to its own mean: the exposure control changes the signal of all of it, which is no motion.
    change = after / max(float(after.mean()), 1.0) - before / max(float(before.mean()), 1.0)
    return float(np.sqrt(np.mean(change**2)))


class DoseAdviser:
    """Works out the cheapest saving of the beam of a console. Safe from several threads.

    Parameters
    ----------
    console
        Of the virtual C-arm.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._still = StillPicture()
        self._last: Frame | None = None

    def pulse(self, frame: Frame) -> None:
        """Take in a pulse."""
        with self._lock:
            self._still.add(frame)
            self._last = frame

    def forget(self) -> None:
        """Forget the pictures of another exam."""
        with self._lock:
            self._still, self._last = StillPicture(), None

    def cheapest(self, procedure: Procedure, event_uid: str | None) -> Advice | None:
        """Return the cheapest saving for a procedure; ``event_uid`` is of the press that is on, else None."""
        return cheapest(self.now(procedure, event_uid), self.outlook)

    def now(self, procedure: Procedure, event_uid: str | None = None) -> BeamNow:
        """Return how the beam stands."""
        carm, technique = self._console.carm, self._console.shown_technique()
        levels = sorted(DoseLevel, key=lambda one: one.value)
        place = levels.index(carm.control.dose_level)
        with self._lock:
            still_s = 0.0 if event_uid is None else self._still.still_s(event_uid)
            stands_s = 0.0 if event_uid is None else self._still.stands_s(event_uid)
        return BeamNow(
            pulse_rate_hz=technique.pulse_rate_hz,
            pulse_rates_hz=PULSE_RATES_HZ,
            copper_mm=technique.filtration.copper_mm,
            coppers_mm=COPPERS_MM,
            dose_level=carm.control.dose_level.name.lower(),
            lower_level=levels[place - 1].name.lower() if place else None,
            automatic=not carm.control.locked,
            x_ray_on=event_uid is not None,
            still_s=still_s,
            stands_s=stands_s,
            source_to_isocenter_mm=carm.pose.source_to_isocenter_mm,
            source_to_detector_mm=carm.pose.source_to_detector_mm,
            nearest_detector_mm=self._nearest_detector_mm(),
            collimation=carm.collimation,
            needed_field_mm=procedure.needed_field_mm,
        )

    def outlook(self, change: Change | None) -> Outlook | None:
        """Return what fluoroscopy gives with a change, None with one that leaves the detector short of signal."""
        carm, present_hz = self._console.carm, self._console.shown_technique().pulse_rate_hz
        rate_hz = present_hz
        control, pose, field = carm.control, carm.pose, carm.collimation
        asked = BeamChange()
        if change is not None:
            rate_hz = change.pulse_rate_hz or present_hz
            asked = BeamChange(
                change.copper_mm,
                None if change.dose_level is None else DoseLevel[change.dose_level.upper()],
                change.source_to_detector_mm,
                self._water_of(change) if change.collimation or change.source_to_detector_mm else None,
            )
            field = field if change.collimation is None else change.collimation
        technique, limited_by = control.forecast(rate_hz, asked)
        if change is not None and limited_by is not None and control.forecast(present_hz, BeamChange())[1] is None:
            return None
        distance_mm = asked.source_to_detector_mm or pose.source_to_detector_mm
        # Blades are kept in mm at the detector: a nearer detector sees the same field of a wider beam.
        kerma = pulse_kerma(technique, reference_distance_mm(pose.source_to_isocenter_mm), field.area_mm2, distance_mm)
        per_minute = 60.0 * rate_hz
        return Outlook(kerma.air_kerma_mgy * per_minute, kerma.kap_gy_cm2 * per_minute)

    def _water_of(self, change: Change) -> float | None:
        """Return the water that the measuring field would show after a change, by the last picture; else None."""
        with self._lock:
            frame = self._last
        carm = self._console.carm
        if frame is None or frame.technique is None or frame.pose != carm.pose or frame.table != carm.table:
            return None
        grid, pixels = carm.grid, frame.pixels
        if pixels.shape != (grid.rows, grid.columns):
            return None
        if change.source_to_detector_mm is not None:
            # A nearer detector shows in the same pixels a wider part of the patient.
            pixels = _seen_wider(pixels, carm.pose.source_to_detector_mm / change.source_to_detector_mm)
        return carm.control.water_behind(pixels, grid, change.collimation or carm.collimation, frame.technique)

    def _nearest_detector_mm(self) -> float | None:
        """Return source to detector with the detector as near as half the patient and some slack allow."""
        carm = self._console.carm
        low, high = carm.model.source_to_detector_range_mm
        if low == high:
            return None
        clear = carm.pose.source_to_isocenter_mm + carm.control.water_mm / 2.0 + CLEARANCE_MM
        step = carm.model.joint("source_to_detector").step
        return min(max(low, step * float(np.ceil(clear / step))), carm.pose.source_to_detector_mm)


def _seen_wider(pixels: NDArray[np.uint16], factor: float) -> NDArray[np.uint16]:
    """Return a picture shrunk about its middle by ``factor``, its edges repeated outside."""
    places = []
    for size in pixels.shape:
        middle = (size - 1) / 2.0
        wanted = np.rint(middle + (np.arange(size) - middle) * factor)
        places.append(np.clip(wanted, 0, size - 1).astype(np.intp))
    return pixels[np.ix_(places[0], places[1])]


def advice_status(advice: Advice | None) -> dict[str, Any] | None:
    """Return advice for the page, JSON-ready."""
    if advice is None:
        return None
    command = advice.change.command
    return {
        "text": advice.text,
        "saving_percent": round(100.0 * advice.saving, 1),
        "command": None if command is None else {"name": command[0], "args": dict(command[1])},
    }

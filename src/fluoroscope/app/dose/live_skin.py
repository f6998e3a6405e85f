"""The skin map of the exam that is open: every pulse on the patient's own skin, as he lies there."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation, Frame
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.console import Console
from fluoroscope.app.dose.skin_words import where_on_body
from fluoroscope.beam.kerma import reference_distance_mm
from fluoroscope.beam.technique import Filtration
from fluoroscope.dose.patient_skin import PatientSkin, patient_skin
from fluoroscope.dose.skin_dose import SkinDose, SkinMap, beam_of_pose
from fluoroscope.dose.skin_factors import beam_quality
from fluoroscope.dose.skin_map import INHERENT_ALUMINIUM_MM, Placed, lay_at, map_uncertainty_percent
from fluoroscope.dose.skin_phantoms import SkinPhantom
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.live.loop import LiveLoop
from fluoroscope.live.subscription import LivePicture, PictureKind, Policy
from fluoroscope.monitor.control import Asset
from fluoroscope.patient.opened import Patient

__all__ = ["LiveSkin"]

_WAIT_S = 0.05
_QUEUE = 256
_PATIENCE_S = 10.0
_VOLTAGE_STEP_KV = 0.1
"""Pulses whose voltages round to the same step have one quality: their dose differs by less than a thousandth."""


@dataclass(frozen=True, slots=True)
class _Beam:
    """What pulses have in common that can be added as one."""

    pose: CArmPose
    table: TablePose
    collimation: Collimation
    tube_voltage_kv: float
    filtration: Filtration
    position: PatientPosition
    reference_mm: tuple[float, float, float]


@dataclass(slots=True)
class _Exam:
    """One exam's skin; the map is there when the skin has been found in the CT."""

    uid: str
    patient: Patient | None
    vertebrae: Mapping[str, tuple[float, float, float]]
    skin: PatientSkin | None = None
    dose: SkinDose | None = None
    shape: bytes = b""
    fault: str = ""


class LiveSkin:
    """Adds every pulse to the patient's skin, exam after exam. Safe from several threads.

    One thread takes the pulses from the loop, pulses alike become one beam; another finds the skin in the CT and adds
    the beams. Neither keeps an exposure waiting.

    Parameters
    ----------
    loop
        Whose pulses are counted.
    console, bedside
        Where the patient lies, and who; None for a recorded clip, which has no map.
    factor
        Of the dosemeter's calibration, by which every pulse's kerma is multiplied here, and nowhere after.
    """

    def __init__(self, loop: LiveLoop, console: Console | None, bedside: Bedside | None, factor: float = 1.0) -> None:
        self._console, self._bedside, self._factor = console, bedside, factor
        self._changed = threading.Condition()
        self._waiting: dict[_Beam, float] = {}
        self._busy, self._closed = False, False
        self._asked, self._answered, self._taking = 0, 0, True
        self._revision = 0
        self._shapes = 0
        self._placed: tuple[PatientSkin, PatientPosition, tuple[float, float, float], Placed] | None = None
        self._told: tuple[int, bytes] = (-1, b"")
        self._where: tuple[SkinPhantom | None, int, str] = (None, -1, "")
        self._exam = _Exam("", None, {})
        self._subscription = loop.subscribe("skin map", Policy.LOSSLESS, _QUEUE)
        self._threads = [
            threading.Thread(target=self._take_pulses, name="skin pulses", daemon=True),
            threading.Thread(target=self._work, name="skin map", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, exam_uid: str) -> None:
        """Start anew with the patient who is on the table now."""
        self._settle()
        bedside = self._bedside
        patient = None if bedside is None else bedside.scene.patient
        vertebrae = {} if bedside is None else bedside.scene.vertebrae()
        with self._changed:
            before, self._exam = self._exam, _Exam(exam_uid, patient, vertebrae)
            self._revision += 1
            if patient is not None and before.patient is not None and before.patient.volume is patient.volume:
                skin = before.skin
                self._exam.skin, self._exam.shape, self._exam.fault = skin, before.shape, before.fault
                self._exam.dose = None if skin is None else SkinDose(skin.phantom)
            self._changed.notify_all()

    def peak_mgy(self) -> float | None:
        """Return the peak skin dose so far; None where no map is possible or the skin is still being looked for."""
        with self._changed:
            return None if self._exam.dose is None else self._exam.dose.peak_mgy

    def status(self) -> dict[str, Any] | None:
        """Return peak, place and share, JSON-ready; None without a map (a clip) and before the first pulse is on it.

        ``position_mm`` is None when all beams so far went past the patient.
        """
        with self._changed:
            exam, dose = self._exam, self._exam.dose
            if dose is None or exam.patient is None or exam.skin is None or not dose.beams:
                return None
            cell, position = dose.peak_index, dose.peak_position_mm
            share, peak, revision = dose.share_on_patient, dose.peak_mgy, self._revision
        about = exam.patient.reference_mm
        return {
            "revision": revision,
            "peak_mgy": peak,
            "uncertainty_percent": round(map_uncertainty_percent(exam.skin.phantom), 1),
            "share_on_patient": share,
            "where": "beside the patient" if cell is None else self._place(exam, exam.skin.phantom, cell),
            "position_mm": None if position is None else (np.asarray(position) - about).round(1).tolist(),
            "phantom": f"own skin of {exam.skin.phantom.name}",
            "estimate": False,
            "cut": exam.skin.cut,
        }

    def _place(self, exam: _Exam, phantom: SkinPhantom, cell: int) -> str:
        """Return where a cell is, in words; all cells are looked at when the peak has moved to another."""
        known, at, words = self._where
        if known is not phantom or at != cell:
            words = where_on_body(phantom, cell, exam.vertebrae)
            self._where = (phantom, cell, words)
        return words

    def shape(self) -> Asset | None:
        """Return ``skin.json``: the corners of the cells; None while there is no skin."""
        with self._changed:
            return Asset(self._exam.shape, "application/json") if self._exam.shape else None

    def doses(self) -> Asset | None:
        """Return ``skin-dose.json``: the dose of every cell; None while there is no skin."""
        with self._changed:
            exam, revision = self._exam, self._revision
            if exam.dose is None or exam.skin is None:
                return None
            if self._told[0] == revision:
                return Asset(self._told[1], "application/json")
            dose, peak = exam.dose.dose_mgy, exam.dose.peak_index
        content = {
            "uid": json.loads(exam.shape)["uid"],
            "revision": revision,
            "dose_mgy": _rounded(dose),
            "peak_index": peak,
        }
        told = json.dumps(content, separators=(",", ":")).encode()
        with self._changed:
            self._told = (revision, told)
        return Asset(told, "application/json")

    def result(self) -> SkinMap | None:
        """Return the map of the exam with every pulse so far; None where no map is possible or nothing was given."""
        self._settle()
        with self._changed:
            dose = self._exam.dose
            return None if dose is None or not dose.beams else dose.map()

    def close(self) -> None:
        """Take no more pulses. May be called twice."""
        self._settle()
        self._subscription.close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # The threads

    def _take_pulses(self) -> None:
        while True:
            with self._changed:
                asked = self._asked
            item = self._subscription.get(_WAIT_S)
            if item is None:
                over = self._subscription.closed
                with self._changed:
                    # Whatever was published before it was asked has been taken.
                    self._answered, self._taking = asked, not over
                    self._changed.notify_all()
                if over:
                    return
                continue
            if isinstance(item, LivePicture) and item.kind is PictureKind.LIVE and item.raw is not None:
                self._take(item.raw)

    def _take(self, frame: Frame) -> None:
        console, kerma = self._console, frame.kerma
        if console is None or kerma is None or frame.pose is None or frame.technique is None:
            return
        if frame.collimation is None:
            return
        setup = console.carm.setup
        steps = round(frame.technique.tube_voltage_kv / _VOLTAGE_STEP_KV)
        beam = _Beam(
            frame.pose,
            frame.table or TablePose(),
            frame.collimation,
            steps * _VOLTAGE_STEP_KV,
            frame.technique.filtration,
            setup.position,
            setup.reference_mm,
        )
        with self._changed:
            self._waiting[beam] = self._waiting.get(beam, 0.0) + self._factor * kerma.air_kerma_mgy
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self._waiting or self._lacks_skin)
                if self._closed and not self._waiting:
                    return
                self._busy = True
                exam, beams = self._exam, self._waiting
                if exam.skin is not None or not self._lacks_skin:
                    self._waiting = {}
            try:
                if exam.skin is None and not exam.fault and exam.patient is not None:
                    self._find_skin(exam, exam.patient)
                else:
                    self._add(exam, beams)
            except (ValueError, MemoryError) as fault:
                # A map that lacks a pulse is none: it is not told any more, and X-ray goes on.
                with self._changed:
                    exam.fault, exam.dose = str(fault) or "out of memory", None

    @property
    def _lacks_skin(self) -> bool:
        exam = self._exam
        return exam.patient is not None and exam.skin is None and not exam.fault

    def _find_skin(self, exam: _Exam, patient: Patient) -> None:
        name = patient.record.name
        skin = patient_skin(patient.volume, name)
        with self._changed:
            self._shapes += 1
            uid = f"{name}-{self._shapes}"
        shape = _shape(skin, uid, patient.reference_mm)
        dose = SkinDose(skin.phantom)
        with self._changed:
            exam.skin, exam.shape, exam.dose = skin, shape, dose
            self._revision += 1
            self._changed.notify_all()

    def _add(self, exam: _Exam, beams: Mapping[_Beam, float]) -> None:
        if exam.dose is None or exam.skin is None:
            return
        for beam, kerma_mgy in beams.items():
            placed = self._lying(exam.skin, beam)
            one = beam_of_pose(
                beam.pose,
                beam.collimation,
                kerma_mgy,
                reference_distance_mm(beam.pose.source_to_isocenter_mm),
                beam_quality(
                    beam.tube_voltage_kv,
                    beam.filtration.aluminium_mm,
                    beam.filtration.copper_mm,
                    INHERENT_ALUMINIUM_MM,
                ),
                patient_from_equipment(beam.table, beam.position, beam.reference_mm),
                placed.tabletop,
            )
            with self._changed:
                exam.dose.add(one)
        if beams:
            with self._changed:
                self._revision += 1
                self._changed.notify_all()

    def _lying(self, skin: PatientSkin, beam: _Beam) -> Placed:
        known = self._placed
        if known is None or known[:3] != (skin, beam.position, beam.reference_mm):
            placed = lay_at(skin.phantom, beam.position, np.asarray(beam.reference_mm))
            self._placed = known = (skin, beam.position, beam.reference_mm, placed)
        return known[3]

    def _settle(self) -> None:
        """Wait until every pulse that was published is in the map."""
        with self._changed:
            self._asked += 1
            asked = self._asked
            self._changed.wait_for(lambda: self._answered >= asked or not self._taking, _PATIENCE_S)
            self._changed.wait_for(lambda: not self._waiting and not self._busy, _PATIENCE_S)


def _shape(skin: PatientSkin, uid: str, about_mm: NDArray[np.float64]) -> bytes:
    phantom = skin.phantom
    rows, columns = phantom.shape
    points = (phantom.corners - about_mm).round(1)
    relief = phantom.relief
    around = [] if relief is None else (relief.axis_mm - about_mm[:2]).round(1).tolist()
    content = {
        "uid": uid,
        "rows": rows,
        "columns": columns,
        "points_mm": points.reshape(-1).tolist(),
        "axis_mm": around,
        "around_mm": round(float(phantom.areas_mm2.sum()) / phantom.height_mm, 1),
        "height_mm": round(phantom.height_mm, 1),
        "cut": skin.cut,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _rounded(dose: NDArray[np.float64]) -> list[float]:
    """Four significant digits; skin that was not hit is 0."""
    told: list[float] = [0] * len(dose)
    for cell in np.flatnonzero(dose):
        told[cell] = float(f"{dose[cell]:.4g}")
    return told

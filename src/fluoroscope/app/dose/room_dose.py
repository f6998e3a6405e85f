"""The dose of a room: what follows it, what forbids, what it means, what is remembered."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Provenance
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.console import Console
from fluoroscope.app.dose.control import DoseControl
from fluoroscope.app.dose.estimates import PatientFacts, UterusPlace, exam_estimates, exposure_of_event
from fluoroscope.app.dose.live_alerts import LiveAlerts
from fluoroscope.app.dose.live_skin import LiveSkin
from fluoroscope.app.dose.room_history import RoomHistory
from fluoroscope.app.dose.rules import DoseRules
from fluoroscope.app.dose.staff_dose import Beam, staff_dose
from fluoroscope.app.exam import Exam
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.dose.budget import DoseQuantity
from fluoroscope.dose.conceptus import uterus_near
from fluoroscope.dose.effective_dose import Coefficients, PatientExposure, region_of
from fluoroscope.dose.reference_levels import typical_of_cases
from fluoroscope.dose.skin_dose import SkinMap
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.positioner import positioner_angles
from fluoroscope.geometry.rigid import apply
from fluoroscope.geometry.table import TablePose, patient_from_equipment
from fluoroscope.live.loop import LiveLoop
from fluoroscope.live.status import LiveStatus
from fluoroscope.monitor.control import Asset
from fluoroscope.procedure.catalogue import PROCEDURES
from fluoroscope.procedure.screening import patient_facts
from fluoroscope.records.identity import PatientIdentity
from fluoroscope.sources.pulse import kerma_of

if TYPE_CHECKING:
    from fluoroscope.app.dose.memory import DoseMemory
    from fluoroscope.registry.own_cases import OwnCases

__all__ = ["RoomDose"]

ESTIMATES_EVERY_NS = 1_000_000_000
"""While X-ray is on, what it means is worked out once a second."""
ORGAN_TOLD = ("name", "mgy", "low_mgy", "high_mgy")
_SEXES = {"female": "F", "male": "M"}
_REGIONS = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "pelvis"}


class RoomDose:
    """Everything of a room's dose beside the ledger. Safe from several threads.

    Parameters
    ----------
    rules
        Of the site.
    loop, clock
        Of the room.
    console, bedside
        Of the C-arm and the patient; None for a recorded clip, which irradiates nobody.
    memory
        Opens the registry, when it is first asked; None where nobody is remembered.
    """

    def __init__(
        self,
        rules: DoseRules,
        loop: LiveLoop,
        clock: Clock,
        console: Console | None = None,
        bedside: Bedside | None = None,
        memory: "Callable[[], DoseMemory] | None" = None,
    ) -> None:
        self._rules, self._loop, self._clock = rules, loop, clock
        self._console, self._bedside = console, bedside
        self._coefficients = Coefficients.from_mapping(rules.coefficients) if rules.coefficients else None
        self._lock = threading.Lock()
        self._events: list[IrradiationEvent] = []
        self._exposures: list[PatientExposure] = []
        self._facts = PatientFacts()
        self._estimates: tuple[tuple[int, int], int, dict[str, Any] | None] = ((-1, -1), 0, None)
        self._messages: list[tuple[str, str]] = []
        self._note: Callable[[str, Any], None] = lambda *_: None
        factor = rules.calibration.factor
        self.skin = None if console is None else LiveSkin(loop, console, bedside, factor)
        peak = None if self.skin is None else self.skin.peak_mgy
        self.control = DoseControl(rules, loop, clock, console, peak, self._procedure_set)
        self._alerts = LiveAlerts(rules.levels, loop, clock, peak)
        self._history = None if memory is None else RoomHistory(memory, self._tell, take_cases=self._own_cases)
        loop.on_event(self._event_ended)

    @property
    def commands(self) -> dict[str, Callable[..., Mapping[str, Any] | None]]:
        """The commands of the page, by name."""
        found: dict[str, Callable[..., Mapping[str, Any] | None]] = {"dose_alerts_seen": self._alerts.seen}
        if self._console is not None:
            found |= {name: getattr(self.control, name) for name in DoseControl.COMMANDS}
            # A limit that is null is left out on the way.
            found["set_budget"] = self._set_budget
        if self._history is not None:
            found |= {name: getattr(self._history, name) for name in RoomHistory.COMMANDS}
        return found

    # The life of exams

    def begin(self, exam: Exam, patient: PatientIdentity, note: Callable[[str, Any], None]) -> None:
        """Begin an exam, which the loop has begun already; ``note`` keeps facts (subject, facts) in its log."""
        self._note = note
        told = exam.patient_status()
        known = patient_facts(told, simulated=True)
        position = None if self._console is None else self._console.carm.position
        with self._lock:
            self._events, self._exposures = [], []
            self._facts = PatientFacts(
                known.age_years, _SEXES.get(known.sex or ""), known.pregnancy_weeks, None, position
            )
            self._estimates = ((-1, -1), 0, None)
        if self.skin is not None:
            self.skin.begin(exam.uid)
        self.control.begin(exam.uid, told)
        if self._history is not None:
            self._history.begin(patient, exam.folder.parent)
        self._procedure_set(self.control.procedure)

    def closing(self) -> None:
        """Put what was asked and decided into the log of the exam that is about to be closed."""
        if self._console is not None and self._events:
            told = self.control.status()
            for subject in ("screening", "budget", "pace"):
                facts = dict(told[subject] or {})
                facts.pop("choices", None)
                self._note(subject, facts)

    def skin_result(self) -> SkinMap | None:
        """Return the skin map with every pulse so far, for the exam's records."""
        return None if self.skin is None else self.skin.result()

    def estimates(self) -> dict[str, Any] | None:
        """Return what the presses so far mean, for the exam's records."""
        return self._worked_out([])

    def ended(self, exam: Exam) -> None:
        """Remember an exam whose records are written."""
        if self._history is None or not (exam.folder / "dose.dcm").is_file():
            return
        from fluoroscope.registry.keeping import Estimates

        estimates = self.estimates() or {}
        coefficient = estimates.get("coefficient") or {}
        peak_mgy = None if self.skin is None else self.skin.peak_mgy()
        self._history.keep(
            exam.folder,
            Estimates(
                estimates.get("effective_msv"),
                f"estimate: {coefficient.get('name', '')}; {coefficient.get('source', '')}" if coefficient else "",
                peak_mgy,
                "" if peak_mgy is None else "skin map of the patient's own skin",
            ),
        )

    def keep_waiting(self, exams: Path | None) -> None:
        """Remember the exams of former runs that are not yet."""
        if self._history is not None:
            self._history.keep_waiting(exams)

    def before_press(self, mode: RadiationMode) -> None:
        """Raise `RefusedError` when a rule forbids this press."""
        console = self._console
        if console is None:
            return
        self.control.before_press(console.technique(mode), mode, console.carm.pose)

    def close(self) -> None:
        """Let go of threads and registry."""
        if self.skin is not None:
            self.skin.close()
        if self._history is not None:
            self._history.close()

    # What the page is told

    def status(self, exam_uid: str, snapshot: LiveStatus) -> dict[str, Any]:
        """Return what belongs into the part ``dose`` of the status, JSON-ready."""
        told = {"alerts": self._alerts.follow(exam_uid, snapshot.dose)}
        if self._console is None:
            return told | {"control": None}
        return told | {
            "skin": None if self.skin is None else self.skin.status(),
            "control": self.control.status(),
            "estimates": self._meaning(snapshot),
        }

    def history(self) -> dict[str, Any]:
        """Return the part ``history`` of the status; nothing where nobody is remembered."""
        return {} if self._history is None else {"history": self._history.status()}

    def asset(self, name: str) -> Asset | None:
        """Return the skin, its dose, or the scatter around the table."""
        if self.skin is not None and name == "skin.json":
            return self.skin.shape()
        if self.skin is not None and name == "skin-dose.json":
            return self.skin.doses()
        return self._staff() if name == "staff.json" else None

    def take_messages(self) -> list[tuple[str, str]]:
        """Return the messages (level, text) left since the last call."""
        with self._lock:
            messages, self._messages = self._messages, []
        return messages

    # Inner works

    def _tell(self, level: str, text: str) -> None:
        with self._lock:
            self._messages.append((level, text))

    def _procedure_set(self, procedure: str) -> None:
        """Keep what is done in the exam's log, whence the registry has it, and ask for the room's own cases of it."""
        if self._console is None:
            return
        self._note("procedure", {"name": procedure})
        if self._history is not None:
            self._history.follow_cases(procedure, simulated=self._simulated)

    @property
    def _simulated(self) -> bool:
        return self._loop.snapshot().source.provenance is Provenance.SIMULATED

    def _own_cases(self, procedure: str, cases: "OwnCases") -> None:
        """Take the doses of the room's own exams as what is typical, calibrated as the case that is compared."""
        factor = self._rules.calibration.factor
        found = {
            DoseQuantity.AIR_KERMA: [factor * value for value in cases.air_kerma_mgy],
            DoseQuantity.KAP: [factor * value for value in cases.kap_gy_cm2],
            DoseQuantity.FLUOROSCOPY_TIME: list(cases.fluoroscopy_time_s),
        }
        self.control.use_typical(typical_of_cases(procedure, found, fewest=self._rules.own_cases))

    def _set_budget(self, *, quantity: str, limit: float | None = None) -> None:
        self.control.set_budget(quantity=quantity, limit=limit)

    def _event_ended(self, event: IrradiationEvent) -> None:
        if self._console is None:
            return
        exposure = self._calibrated(
            exposure_of_event(event, self._facts.position, self._region(event.first_pose, event.table), self._uterus())
        )
        with self._lock:
            self._events.append(event)
            self._exposures.append(exposure)

    def _meaning(self, snapshot: LiveStatus) -> dict[str, Any] | None:
        """Return the estimates, with the press that is on; anew once a second."""
        with self._lock:
            running = snapshot.dose.event if snapshot.x_ray_on else None
            key = (len(self._events), 0 if running is None else running.pulses)
            now_ns = self._clock.monotonic_ns()
            before, at_ns, told = self._estimates
            if key == before or (running is not None and key[0] == before[0] and now_ns - at_ns < ESTIMATES_EVERY_NS):
                return told
        exposures = [] if running is None else [self._running(running.kap_gy_cm2, running.air_kerma_mgy)]
        told = self._worked_out(exposures)
        if told is not None:
            # Where each organ's number comes from stands in the records; it would be sent ten times a second.
            told |= {"organs": [{name: one[name] for name in ORGAN_TOLD} for one in told["organs"]]}
        with self._lock:
            self._estimates = (key, now_ns, told)
        return told

    def _worked_out(self, running: list[PatientExposure]) -> dict[str, Any] | None:
        with self._lock:
            exposures, facts = [*self._exposures, *running], self._facts
        if not exposures:
            return None
        return exam_estimates(exposures, facts, self._coefficients)

    def _running(self, kap_gy_cm2: float | None, air_kerma_mgy: float | None) -> PatientExposure:
        """Return the press that is on; the ledger's figures are calibrated already."""
        console = self._console
        if console is None:
            return PatientExposure(kap_gy_cm2, air_kerma_mgy)
        carm, technique = console.carm, console.shown_technique()
        return PatientExposure(
            kap_gy_cm2,
            air_kerma_mgy,
            positioner_angles(carm.pose, carm.table, carm.position),
            technique.tube_voltage_kv,
            self._region(carm.pose, carm.table),
            technique.mode is RadiationMode.ACQUISITION,
            technique.filtration.copper_mm,
        )

    def _calibrated(self, exposure: PatientExposure) -> PatientExposure:
        factor = self._rules.calibration.factor
        kap, kerma = exposure.kap_gy_cm2, exposure.air_kerma_mgy
        return replace(
            exposure,
            kap_gy_cm2=None if kap is None else factor * kap,
            air_kerma_mgy=None if kerma is None else factor * kerma,
        )

    def _uterus(self) -> UterusPlace | None:
        """Return where the uterus is expected in the patient on the table; None where the spine is not known."""
        console, bedside = self._console, self._bedside
        at = None if bedside is None else uterus_near(bedside.scene.vertebrae())
        return None if console is None or at is None else UterusPlace(at, console.carm.setup.reference_mm)

    def _region(self, pose: CArmPose | None, table: TablePose | None) -> str | None:
        """Return the part of the spine nearest to the isocentre, else that of the procedure."""
        console, bedside = self._console, self._bedside
        if console is not None and bedside is not None and pose is not None:
            vertebrae = bedside.scene.vertebrae()
            setup = console.carm.setup
            lying = patient_from_equipment(table or TablePose(), setup.position, setup.reference_mm)
            middle = apply(lying, np.asarray(pose.isocenter_mm, dtype=float))
            near = min(vertebrae, key=lambda name: float(np.linalg.norm(middle - vertebrae[name])), default="")
            if near[:1] in _REGIONS:
                return _REGIONS[near[:1]]
        procedure = PROCEDURES.get(self.control.procedure)
        return None if procedure is None else region_of(procedure.region)

    def _staff(self) -> Asset | None:
        console = self._console
        if console is None:
            return None
        carm, technique = console.carm, console.shown_technique()
        per_pulse = kerma_of(technique, carm.beam)
        rate_gy_cm2_min = self._rules.calibration.factor * per_pulse.kap_gy_cm2 * technique.pulse_rate_hz * 60.0
        with self._lock:
            events = tuple(self._events)
        beam = Beam(technique.tube_voltage_kv, technique.filtration.copper_mm)
        settings = None if self._coefficients is None else self._coefficients.staff
        told = staff_dose(carm.pose, carm.table, carm.position, rate_gy_cm2_min, beam, events, settings=settings)
        return Asset(json.dumps(told, separators=(",", ":")).encode(), "application/json")

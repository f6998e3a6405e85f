"""The dose report of an exam: X-Ray Radiation Dose SR (1.2.840.10008.5.1.4.1.1.88.67), template TID 10001.

Values are written with a fixed number of decimals and totals are the exact sums of the values written, so
that the report adds up to its last digit for whoever reads it.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, XRayRadiationDoseSRStorage

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.records.content_items import (
    code,
    container,
    exact,
    item,
    measured,
    moment,
    number,
    text,
    uid_reference,
)
from fluoroscope.records.contents import DoseCalibration, DoseEvent, DoseImage
from fluoroscope.records.identity import ExamIdentity
from fluoroscope.records.rdsr_event import (
    REFERENCE_FROM_ISOCENTER_MM,
    REFERENCE_POINT,
    event_item,
    kap_gy_m2,
    kerma_gy,
    says_dose,
)
from fluoroscope.records.report_subject import evidence
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.whole_file import whole_file
from fluoroscope.records.writing import exam_modules, file_meta, set_time

__all__ = ["DoseEvent", "DoseReport", "ReportState", "dose_report_series", "dose_report_uid", "write_rdsr"]

_DCM, _SCT = codes.DCM, codes.SCT
_HAS_INTENT = Code("363703001", "SCT", "Has Intent")


class ReportState(Enum):
    """How much of the exam a report holds; the value goes into its UID."""

    COMPLETE = "complete"
    CUT_SHORT = "partial"
    SO_FAR = "so far"


_WHY_PARTIAL = {
    ReportState.CUT_SHORT: "Exam was cut short; events recovered from its log",
    ReportState.SO_FAR: "The exam goes on; all events so far",
}


def dose_report_series(exam: ExamIdentity) -> str:
    """Return the Series Instance UID of the dose reports of an exam."""
    return derived_uid(exam.study_uid, "series", "dose report")


def dose_report_uid(
    exam: ExamIdentity,
    events: Sequence[DoseEvent],
    complete: bool | ReportState = True,
    images: Mapping[str, Sequence[DoseImage]] | None = None,
) -> str:
    """Return the report's SOP Instance UID: the same for the same events, so sending twice counts once.

    A report of the events so far has another UID than the complete one of the same events; study and event UIDs are
    the same, and by those nobody counts an event twice.
    """
    state = complete if isinstance(complete, ReportState) else _state(complete)
    shown = images or {}
    kept = [one.sop_instance_uid for event in events for one in shown.get(event.event.uid, ())]
    return derived_uid(exam.study_uid, "rdsr", state.value, *(e.event.uid for e in events), *kept)


def write_rdsr(
    path: Path,
    exam: ExamIdentity,
    events: Sequence[DoseEvent],
    *,
    ended: datetime,
    complete: bool = True,
    images: Mapping[str, Sequence[DoseImage]] | None = None,
    calibration: DoseCalibration | None = None,
) -> str:
    """Write the dose report of an exam that is over.

    Parameters
    ----------
    path
        Where to; the file appears there only when it is whole.
    exam
        Patient, study and machine.
    events
        Every irradiation event of the exam in order; none is legal (an exam without X-ray).
    ended
        When the exam ended, aware: the report's content time.
    complete
        False for an exam that was cut short (recovered after a crash): the report says PARTIAL.
    images
        The images kept of each event, by its UID.
    calibration
        Of the KAP meter; None when it is not calibrated.

    Returns
    -------
    str
        SOP Instance UID, stable for the same events.

    Raises
    ------
    ValueError
        When an event is given twice, `ended` has no time zone, or no event of a measured run says its dose.
    OSError
        When the file cannot be written; nothing half-written is left.
    """
    report = DoseReport(exam, calibration)
    return report.write(path, events, ended=ended, state=_state(complete), images=images)


class DoseReport:
    """Writes the dose report of one exam, again and again while it grows: an event is encoded once.

    Parameters
    ----------
    exam
        Patient, study and machine.
    calibration
        Of the KAP meter.
    """

    def __init__(self, exam: ExamIdentity, calibration: DoseCalibration | None = None) -> None:
        self._exam, self._calibration = exam, calibration
        self._encoded: dict[str, tuple[DoseEvent, tuple[str, ...], bytes]] = {}

    def write(
        self,
        path: Path,
        events: Sequence[DoseEvent],
        *,
        ended: datetime,
        state: ReportState = ReportState.COMPLETE,
        images: Mapping[str, Sequence[DoseImage]] | None = None,
    ) -> str:
        """Write the report; parameters, result and errors as of `write_rdsr`."""
        if ended.tzinfo is None:
            raise ValueError("the exam's end must be an aware datetime; give it a time zone")
        if len({e.event.uid for e in events}) != len(events):
            raise ValueError("an irradiation event is in the list twice; its dose would count double")
        if events and not any(says_dose(e.event, self._exam) for e in events):
            raise ValueError("no press says its dose: a dose report would have to make it up; none is written")
        shown = images or {}
        uid = dose_report_uid(self._exam, events, state, shown)
        dataset = _document(self._exam, uid, ended, state)
        referred = [
            (self._exam.study_uid, one.series_uid, XRayAngiographicImageStorage, one.sop_instance_uid)
            for event in events
            for one in shown.get(event.event.uid, ())
        ]
        if referred:
            dataset.CurrentRequestedProcedureEvidenceSequence = evidence(referred)
        before, after = _root(self._exam, events, self._calibration, shown)
        root = container(None, _DCM.XRayRadiationDoseReport, (), template="10001")
        dataset.update(root)
        content = [_encode(one) for one in before]
        content += [self._event(one, shown) for one in events]
        content += [_encode(one) for one in after]
        with whole_file(path) as file:
            dcmwrite(file, dataset, enforce_file_format=True)
            # Content Sequence has the highest tag of all: it goes last, from events that are encoded already.
            file.write(_sequence(content))
        return uid

    def _event(self, event: DoseEvent, images: Mapping[str, Sequence[DoseImage]]) -> bytes:
        uids = tuple(one.sop_instance_uid for one in images.get(event.event.uid, ()))
        known = self._encoded.get(event.event.uid)
        if known is not None and known[0] == event and known[1] == uids:
            return known[2]
        encoded = _encode(event_item(event, self._exam, uids))
        self._encoded[event.event.uid] = (event, uids, encoded)
        return encoded


def _state(complete: bool) -> ReportState:
    return ReportState.COMPLETE if complete else ReportState.CUT_SHORT


def _encode(one: Dataset) -> bytes:
    """Return one item of a sequence in Explicit VR Little Endian (PS3.5 7.5)."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, one, parent_encoding="utf8")
    content = buffer.getvalue()
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def _sequence(items: Sequence[bytes]) -> bytes:
    """Return Content Sequence (0040,A730) of encoded items."""
    return struct.pack("<HH2s2xL", 0x0040, 0xA730, b"SQ", sum(map(len, items))) + b"".join(items)


def _document(exam: ExamIdentity, uid: str, ended: datetime, state: ReportState) -> Dataset:
    dataset = exam_modules(exam)
    dataset.file_meta = file_meta(XRayRadiationDoseSRStorage, uid, ExplicitVRLittleEndian)
    dataset.SOPClassUID = XRayRadiationDoseSRStorage
    dataset.SOPInstanceUID = uid
    dataset.Modality = "SR"
    dataset.SeriesInstanceUID = dose_report_series(exam)
    dataset.SeriesNumber = 9001
    dataset.SeriesDescription = f"Dose: {exam.statement}"[:64]
    dataset.InstanceNumber = 1
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    set_time(dataset, "Series", exam.started)
    set_time(dataset, "Content", ended)
    dataset.CompletionFlag = "COMPLETE" if state is ReportState.COMPLETE else "PARTIAL"
    if state is not ReportState.COMPLETE:
        dataset.CompletionFlagDescription = _WHY_PARTIAL[state]
    dataset.VerificationFlag = "UNVERIFIED"
    return dataset


def _root(
    exam: ExamIdentity,
    events: Sequence[DoseEvent],
    calibration: DoseCalibration | None,
    shown: Mapping[str, Sequence[DoseImage]],
) -> tuple[list[Dataset], list[Dataset]]:
    """Return what stands before and behind the events."""
    intent = _SCT.TherapeuticIntent if exam.therapeutic else _SCT.DiagnosticIntent
    procedure = code("HAS CONCEPT MOD", _DCM.ProcedureReported, _DCM.ProjectionXRay)
    procedure.ContentSequence = [code("HAS CONCEPT MOD", _HAS_INTENT, intent)]
    scope = code("HAS OBS CONTEXT", _DCM.ScopeOfAccumulation, _DCM.Study)
    scope.ContentSequence = [uid_reference("HAS PROPERTIES", _DCM.StudyInstanceUID, exam.study_uid)]
    # A flag of No takes the whole part out of every event (TID 10003): Yes where any event has something to say.
    # 113943 source, 113944 mechanical, 113945 detector: one off, and validators drop the technique.
    posed = any(e.angles is not None or e.event.first_pose is not None or e.event.table is not None for e in events)
    available = (
        (_DCM.XRayDetectorDataAvailable, any(shown.get(e.event.uid) for e in events)),
        (_DCM.XRaySourceDataAvailable, bool(events)),
        (_DCM.XRayMechanicalDataAvailable, posed),
    )
    before = [
        procedure,
        code("CONTAINS", _DCM.AcquisitionDeviceType, _DCM.FluoroscopyGuidedProjectionRadiographySystem),
        *_observer(exam),
        scope,
        *(code("CONTAINS", concept, _SCT.Yes if known else _SCT.No) for concept, known in available),
        _accumulated(events, calibration),
    ]
    words = exam.statement
    if calibration is not None and not calibration.whole:
        words += f". KAP meter: {calibration.words}; the values here are not multiplied by it"
    silent = sum(not says_dose(e.event, exam) for e in events)
    if silent:
        words += f". {silent} of {len(events)} events do not say their dose: it is not in the totals"
    after = [
        text("CONTAINS", _DCM.Comment, words),
        *_authorizing(exam),
        code("CONTAINS", _DCM.SourceOfDoseInformation, _DCM.AutomatedDataCollection),
    ]
    return before, after


def _authorizing(exam: ExamIdentity) -> list[Dataset]:
    """TID 1020: who let the beam go, where it is known."""
    if not exam.operator:
        return []
    person = item("CONTAINS", "PNAME", _DCM.PersonName)
    person.PersonName = exam.operator
    person.ContentSequence = [code("HAS PROPERTIES", _DCM.PersonRoleInProcedure, _DCM.IrradiationAuthorizing)]
    return [person]


def _observer(exam: ExamIdentity) -> list[Dataset]:
    """TID 1002, 1004: the device that reports."""
    machine = exam.equipment
    context = "HAS OBS CONTEXT"
    return [
        code(context, _DCM.ObserverType, _DCM.Device),
        uid_reference(context, _DCM.DeviceObserverUID, machine.device_uid),
        text(context, _DCM.DeviceObserverName, machine.model),
        text(context, _DCM.DeviceObserverManufacturer, machine.manufacturer),
        text(context, _DCM.DeviceObserverModelName, machine.model),
        text(context, _DCM.DeviceObserverSerialNumber, machine.serial_number),
    ]


def _accumulated(events: Sequence[DoseEvent], calibration: DoseCalibration | None) -> Dataset:
    """TID 10002 with 10004 and 10007: exact sums of the values written for the events."""
    fluoro = [e.event for e in events if e.mode is RadiationMode.FLUOROSCOPY]
    runs = [e.event for e in events if e.mode is RadiationMode.ACQUISITION]
    every = [*fluoro, *runs]

    def kap(part: Iterable[IrradiationEvent]) -> Decimal:
        return sum((exact(kap_gy_m2(e), "Gy.m2") for e in part), Decimal(0))

    def kerma(part: Iterable[IrradiationEvent]) -> Decimal:
        return sum((exact(kerma_gy(e), "Gy") for e in part), Decimal(0))

    def time(part: Iterable[IrradiationEvent]) -> Decimal:
        return sum((exact(e.pedal_time_s, "s") for e in part), Decimal(0))

    children = [
        code("HAS CONCEPT MOD", _DCM.AcquisitionPlane, _DCM.SinglePlane),
        *_calibration(calibration),
        measured(_DCM.DoseAreaProductTotal, kap(every), "Gy.m2"),
        measured(_DCM.DoseRPTotal, kerma(every), "Gy"),
    ]
    if fluoro:  # the template has no fluoroscopy totals without fluoroscopy
        children += [
            measured(_DCM.FluoroDoseAreaProductTotal, kap(fluoro), "Gy.m2"),
            measured(_DCM.FluoroDoseRPTotal, kerma(fluoro), "Gy"),
            measured(_DCM.TotalFluoroTime, time(fluoro), "s"),
        ]
    children += [
        measured(_DCM.AcquisitionDoseAreaProductTotal, kap(runs), "Gy.m2"),
        measured(_DCM.AcquisitionDoseRPTotal, kerma(runs), "Gy"),
        measured(_DCM.TotalAcquisitionTime, time(runs), "s"),
        measured(_DCM.TotalNumberOfRadiographicFrames, Decimal(sum(e.pulses for e in runs)), "none"),
        code("CONTAINS", _DCM.ReferencePointDefinition, REFERENCE_POINT),
    ]
    distances = {e.event.first_pose.source_to_isocenter_mm if e.event.first_pose else None for e in events}
    constant = distances.pop() if len(distances) == 1 else None
    if constant is not None:  # the template has it only where it is the same for all events
        children.append(number(_DCM.DistanceSourceToReferencePoint, constant - REFERENCE_FROM_ISOCENTER_MM, "mm"))
    return container("CONTAINS", _DCM.AccumulatedXRayDoseData, children, template="10002")


def _calibration(calibration: DoseCalibration | None) -> list[Dataset]:
    """TID 10002: only a calibration of which the template's every mandatory item is known."""
    if (
        calibration is None
        or not calibration.whole
        or calibration.measured is None
        or calibration.uncertainty_percent is None
    ):
        return []
    children = [
        code("HAS CONCEPT MOD", _DCM.DoseMeasurementDevice, _SCT.Dosimeter),
        moment(_DCM.CalibrationDatetime, calibration.measured),
        number(_DCM.CalibrationFactor, calibration.factor, "none"),
        number(_DCM.CalibrationUncertainty, calibration.uncertainty_percent, "%"),
        text("CONTAINS", _DCM.CalibrationResponsibleParty, calibration.responsible),
    ]
    if calibration.protocol:
        children.append(text("CONTAINS", _DCM.CalibrationProtocol, calibration.protocol))
    return [container("CONTAINS", _DCM.Calibration, children)]

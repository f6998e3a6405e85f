"""The dose report of an exam: X-Ray Radiation Dose SR (1.2.840.10008.5.1.4.1.1.88.67), template TID 10001.

Values are written with a fixed number of decimals and totals are the exact sums of the values written, so
that the report adds up to its last digit for whoever reads it.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, XRayRadiationDoseSRStorage
from pydicom.valuerep import DSfloat

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.beam.technique import Filtration, RadiationMode
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.identity import ExamIdentity
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.whole_file import whole_file
from fluoroscope.records.writing import code_item, exam_modules, file_meta, set_time

__all__ = ["DoseEvent", "dose_report_uid", "write_rdsr"]

_DCM, _SCT = codes.DCM, codes.SCT
# codedict's name of it starts with an underscore.
_REFERENCE_POINT = codes.cid10025._15cmFromIsocenterTowardSource  # noqa: SLF001
_FLUOROSCOPY: Code = _SCT.Fluoroscopy
_STATIONARY: Code = _DCM.StationaryAcquisition
_ROTATIONAL: Code = _DCM.RotationalAcquisition
_HAS_INTENT = Code("363703001", "SCT", "Has Intent")
# "Element or compound": in CID 10006 since its first edition, and what vendors' reports hold. Validators and
# dose trackers in use do not know the element codes of newer editions.
_ALUMINIUM = Code("105830007", "SCT", "Aluminum or Aluminum compound")
_COPPER = Code("105837005", "SCT", "Copper or Copper compound")
_NO_UNITS = Code("1", "UCUM", "no units")
_GY_M2, _GY, _S, _MS = (Code(unit, "UCUM", unit) for unit in ("Gy.m2", "Gy", "s", "ms"))
_KV, _MA, _UAS = (Code(unit, "UCUM", unit) for unit in ("kV", "mA", "uA.s"))
_MM, _M2, _DEG = (Code(unit, "UCUM", unit) for unit in ("mm", "m2", "deg"))
_PULSE_PER_S = Code("{pulse}/s", "UCUM", "pulse/s")
# Decimals that keep a single weak pulse (1 nGy, 0.1 nGy·m²) and still fit 16 characters.
_DECIMALS = {_GY_M2: 12, _GY: 10, _S: 6, _MS: 4, _M2: 8, _UAS: 2}
# A stationary acquisition's C-arm may creep; more than this is a rotational one.
_ROTATION_DEG = 5.0
_ORIENTATION = {
    "S": _SCT.Supine,
    "P": _SCT.Prone,
    "DL": _SCT.LeftLateralDecubitus,
    "DR": _SCT.RightLateralDecubitus,
}


def dose_report_uid(exam: ExamIdentity, events: Sequence[DoseEvent], complete: bool = True) -> str:
    """Return the report's SOP Instance UID: the same for the same events, so sending twice counts once."""
    flag = "complete" if complete else "partial"
    return derived_uid(exam.study_uid, "rdsr", flag, *(e.event.uid for e in events))


def write_rdsr(
    path: Path, exam: ExamIdentity, events: Sequence[DoseEvent], *, ended: datetime, complete: bool = True
) -> str:
    """Write the dose report of an exam.

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

    Returns
    -------
    str
        SOP Instance UID, stable for the same events.

    Raises
    ------
    ValueError
        When an event is given twice, or `ended` has no time zone.
    OSError
        When the file cannot be written; nothing half-written is left.
    """
    if ended.tzinfo is None:
        raise ValueError("the exam's end must be an aware datetime; give it a time zone")
    if len({e.event.uid for e in events}) != len(events):
        raise ValueError("an irradiation event is in the list twice; its dose would count double")
    uid = dose_report_uid(exam, events, complete)
    dataset = _document(exam, uid, ended, complete)
    dataset.update(_root(exam, events))
    with whole_file(path) as file:
        dcmwrite(file, dataset, enforce_file_format=True)
    return uid


def _document(exam: ExamIdentity, uid: str, ended: datetime, complete: bool) -> Dataset:
    dataset = exam_modules(exam)
    dataset.file_meta = file_meta(XRayRadiationDoseSRStorage, uid, ExplicitVRLittleEndian)
    dataset.SOPClassUID = XRayRadiationDoseSRStorage
    dataset.SOPInstanceUID = uid
    dataset.Modality = "SR"
    dataset.SeriesInstanceUID = derived_uid(exam.study_uid, "series", "dose report")
    dataset.SeriesNumber = 9001
    dataset.SeriesDescription = f"Dose: {exam.statement}"[:64]
    dataset.InstanceNumber = 1
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    set_time(dataset, "Series", exam.started)
    set_time(dataset, "Content", ended)
    dataset.CompletionFlag = "COMPLETE" if complete else "PARTIAL"
    if not complete:
        dataset.CompletionFlagDescription = "Exam was cut short; events recovered from its log"
    dataset.VerificationFlag = "UNVERIFIED"
    return dataset


def _root(exam: ExamIdentity, events: Sequence[DoseEvent]) -> Dataset:
    intent = _SCT.TherapeuticIntent if exam.therapeutic else _SCT.DiagnosticIntent
    procedure = _code("HAS CONCEPT MOD", _DCM.ProcedureReported, _DCM.ProjectionXRay)
    procedure.ContentSequence = [_code("HAS CONCEPT MOD", _HAS_INTENT, intent)]
    scope = _code("HAS OBS CONTEXT", _DCM.ScopeOfAccumulation, _DCM.Study)
    scope.ContentSequence = [_uid("HAS PROPERTIES", _DCM.StudyInstanceUID, exam.study_uid)]
    available = (
        # 113943 source, 113944 mechanical, 113945 detector: one off, and validators drop the technique.
        (_DCM.XRayDetectorDataAvailable, all(e.event.first_pose is not None for e in events)),
        (_DCM.XRaySourceDataAvailable, all(e.event.mean_tube_voltage_kv is not None for e in events)),
        (_DCM.XRayMechanicalDataAvailable, all(e.angles is not None for e in events)),
    )
    children = [
        procedure,
        *_observer(exam),
        scope,
        *(_code("CONTAINS", concept, _SCT.Yes if known else _SCT.No) for concept, known in available),
        _accumulated(events),
        *(_event(e, exam) for e in events),
        _text("CONTAINS", _DCM.Comment, exam.statement),
        _code("CONTAINS", _DCM.SourceOfDoseInformation, _DCM.AutomatedDataCollection),
    ]
    root = _container(None, _DCM.XRayRadiationDoseReport, children, template="10001")
    return root


def _observer(exam: ExamIdentity) -> list[Dataset]:
    """TID 1002, 1004: the device that reports."""
    machine = exam.equipment
    context = "HAS OBS CONTEXT"
    return [
        _code(context, _DCM.ObserverType, _DCM.Device),
        _uid(context, _DCM.DeviceObserverUID, machine.device_uid),
        _text(context, _DCM.DeviceObserverName, machine.model),
        _text(context, _DCM.DeviceObserverManufacturer, machine.manufacturer),
        _text(context, _DCM.DeviceObserverModelName, machine.model),
        _text(context, _DCM.DeviceObserverSerialNumber, machine.serial_number),
    ]


def _accumulated(events: Sequence[DoseEvent]) -> Dataset:
    """TID 10002 with 10004 and 10007: exact sums of the values written for the events."""
    fluoro = [e.event for e in events if e.mode is RadiationMode.FLUOROSCOPY]
    runs = [e.event for e in events if e.mode is RadiationMode.ACQUISITION]
    every = [*fluoro, *runs]

    def kap(part: Iterable[IrradiationEvent]) -> Decimal:
        return sum((_exact(_kap_gy_m2(e), _GY_M2) for e in part), Decimal(0))

    def kerma(part: Iterable[IrradiationEvent]) -> Decimal:
        return sum((_exact(_kerma_gy(e), _GY) for e in part), Decimal(0))

    def time(part: Iterable[IrradiationEvent]) -> Decimal:
        return sum((_exact(e.pedal_time_s, _S) for e in part), Decimal(0))

    children = [
        _code("HAS CONCEPT MOD", _DCM.AcquisitionPlane, _DCM.SinglePlane),
        _sum(_DCM.DoseAreaProductTotal, kap(every), _GY_M2),
        _sum(_DCM.DoseRPTotal, kerma(every), _GY),
    ]
    if fluoro:  # the template has no fluoroscopy totals without fluoroscopy
        children += [
            _sum(_DCM.FluoroDoseAreaProductTotal, kap(fluoro), _GY_M2),
            _sum(_DCM.FluoroDoseRPTotal, kerma(fluoro), _GY),
            _sum(_DCM.TotalFluoroTime, time(fluoro), _S),
        ]
    children += [
        _sum(_DCM.AcquisitionDoseAreaProductTotal, kap(runs), _GY_M2),
        _sum(_DCM.AcquisitionDoseRPTotal, kerma(runs), _GY),
        _sum(_DCM.TotalAcquisitionTime, time(runs), _S),
        _sum(_DCM.TotalNumberOfRadiographicFrames, Decimal(sum(e.pulses for e in runs)), _NO_UNITS),
        _code("CONTAINS", _DCM.ReferencePointDefinition, _REFERENCE_POINT),
    ]
    return _container("CONTAINS", _DCM.AccumulatedXRayDoseData, children, template="10002")


def _event(dose_event: DoseEvent, exam: ExamIdentity) -> Dataset:
    """TID 10003 with 10003A to C: dose, technique and geometry of one pedal press."""
    event = dose_event.event
    region, meaning = exam.anatomy.snomed
    children = [
        _code("HAS CONCEPT MOD", _DCM.AcquisitionPlane, _DCM.SinglePlane),
        _uid("CONTAINS", _DCM.IrradiationEventUID, event.uid),
        _moment(_DCM.DatetimeStarted, event.started),
        _code("CONTAINS", _DCM.IrradiationEventType, _event_type(dose_event)),
        _text("CONTAINS", _DCM.AcquisitionProtocol, f"{dose_event.mode.value}, event {event.number}"),
        _code("CONTAINS", _DCM.TargetRegion, Code(region, "SCT", meaning)),
        _number(_DCM.DoseAreaProduct, _kap_gy_m2(event), _GY_M2),
        _number(_DCM.DoseRP, _kerma_gy(event), _GY),
        _code("CONTAINS", _DCM.ReferencePointDefinition, _REFERENCE_POINT),
        *_technique(event, dose_event.mode),
        *_geometry(dose_event),
        *_patient_on_table(exam.position),
    ]
    return _container("CONTAINS", _DCM.IrradiationEventXRayData, children, template="10003")


def _event_type(dose_event: DoseEvent) -> Code:
    if dose_event.mode is RadiationMode.FLUOROSCOPY:
        return _FLUOROSCOPY
    first, last = dose_event.angles, dose_event.end_angles
    if first is None or last is None:
        return _STATIONARY
    turned = abs(math.remainder(last.primary_deg - first.primary_deg, 360.0))
    turned = max(turned, abs(last.secondary_deg - first.secondary_deg))
    return _ROTATIONAL if turned > _ROTATION_DEG else _STATIONARY


def _technique(event: IrradiationEvent, mode: RadiationMode) -> list[Dataset]:
    items = []
    if mode is RadiationMode.FLUOROSCOPY:  # the template has no pulse rate for acquisitions
        items.append(_code("CONTAINS", _DCM.FluoroMode, _DCM.Pulsed))
        items.append(_number(_DCM.PulseRate, event.pulse_rate_hz, _PULSE_PER_S))
    items += [
        _number(_DCM.NumberOfPulses, event.pulses, _NO_UNITS),
        _number(_DCM.IrradiationDuration, event.pedal_time_s, _S),
        _number(_DCM.ExposureTime, event.beam_on_time_s * 1000.0, _MS),
    ]
    current_ma = event.mean_tube_current_ma
    items += _known(_DCM.KVP, event.mean_tube_voltage_kv, _KV)
    items += _known(_DCM.XRayTubeCurrent, current_ma, _MA)
    items += _known(_DCM.PulseWidth, event.mean_pulse_width_ms, _MS)
    exposure_uas = None if current_ma is None else current_ma * event.beam_on_time_s * 1000.0
    items += _known(_DCM.Exposure, exposure_uas, _UAS)
    if event.technique is not None:
        items += _filters(event.technique.filtration)
    if event.collimation is not None:
        items.append(_number(_DCM.CollimatedFieldArea, event.collimation.area_mm2 * 1e-6, _M2))
    return items


def _filters(filtration: Filtration) -> list[Dataset]:
    """One container per filter: a reader that expects one must not add two materials up."""
    both = ((_ALUMINIUM, filtration.aluminium_mm), (_COPPER, filtration.copper_mm))
    containers = []
    for material, thickness_mm in both:
        if thickness_mm > 0.0:
            children = [
                _code("CONTAINS", _DCM.XRayFilterType, _DCM.FlatFilter),
                _code("CONTAINS", _DCM.XRayFilterMaterial, material),
                _number(_DCM.XRayFilterThicknessMinimum, thickness_mm, _MM),
                _number(_DCM.XRayFilterThicknessMaximum, thickness_mm, _MM),
            ]
            containers.append(_container("CONTAINS", _DCM.XRayFilters, children))
    return containers


def _geometry(dose_event: DoseEvent) -> list[Dataset]:
    items: list[Dataset] = []
    first, last, pose = dose_event.angles, dose_event.end_angles, dose_event.event.first_pose
    if first is not None:
        items.append(_number(_DCM.PositionerPrimaryAngle, first.primary_deg, _DEG))
        items.append(_number(_DCM.PositionerSecondaryAngle, first.secondary_deg, _DEG))
    if last is not None and _event_type(dose_event) == _ROTATIONAL:  # the template's condition
        items.append(_number(_DCM.PositionerPrimaryEndAngle, last.primary_deg, _DEG))
        items.append(_number(_DCM.PositionerSecondaryEndAngle, last.secondary_deg, _DEG))
    if pose is not None:
        items.append(_number(_DCM.DistanceSourceToDetector, pose.source_to_detector_mm, _MM))
        # Without it no skin dose map can be made from the report.
        items.append(_number(_DCM.DistanceSourceToIsocenter, pose.source_to_isocenter_mm, _MM))
    if dose_event.event.table is not None:
        items += _table(dose_event.event.table)
    return items


def _table(table: TablePose) -> list[Dataset]:
    """Table position in DICOM's words: longitudinal across toward LAO, lateral toward the head, height down.

    Named as by an operator at the table's side and signed for a head-first supine patient, as our equipment
    frame is (PS3.16 annex D, PS3.3 C.8.19.6.11). Real angiography units write it so too.
    """
    return [
        _number(_DCM.TableLongitudinalPosition, table.lateral_mm, _MM),
        _number(_DCM.TableLateralPosition, table.longitudinal_mm, _MM),
        _number(_DCM.TableHeightPosition, -table.height_mm, _MM),
        _number(_DCM.TableHeadTiltAngle, table.tilt_deg, _DEG),
        # DICOM counts clockwise seen from above; ours is right-handed about y, which points down: the same.
        _number(_DCM.TableHorizontalRotationAngle, table.yaw_deg, _DEG),
        _number(_DCM.TableCradleTiltAngle, table.cradle_deg, _DEG),
    ]


def _patient_on_table(position: PatientPosition) -> list[Dataset]:
    end = _SCT.Headfirst if position.value.startswith("HF") else _SCT.FeetFirst
    recumbent = _code("CONTAINS", _DCM.PatientOrientation, _SCT.Recumbent)
    side = _ORIENTATION[position.value[2:]]
    recumbent.ContentSequence = [_code("HAS CONCEPT MOD", _DCM.PatientOrientationModifier, side)]
    return [_code("CONTAINS", _DCM.PatientTableRelationship, end), recumbent]


def _kap_gy_m2(event: IrradiationEvent) -> float:
    return event.kap_gy_cm2 * 1e-4


def _kerma_gy(event: IrradiationEvent) -> float:
    return event.air_kerma_mgy * 1e-3


def _exact(value: float, unit: Code) -> Decimal:
    """Return ``value`` rounded to the decimals a report keeps of ``unit``."""
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-_DECIMALS.get(unit, 4)))


def _known(concept: Code, value: float | None, unit: Code) -> list[Dataset]:
    return [] if value is None else [_number(concept, value, unit)]


def _number(concept: Code, value: float, unit: Code) -> Dataset:
    return _sum(concept, _exact(value, unit), unit)


def _sum(concept: Code, value: Decimal, unit: Code) -> Dataset:
    item = _item("CONTAINS", "NUM", concept)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    measured = Dataset()
    measured.NumericValue = DSfloat("0" if text in ("", "-0") else text)
    measured.MeasurementUnitsCodeSequence = [_coded(unit)]
    item.MeasuredValueSequence = [measured]
    return item


def _item(relationship: str | None, value_type: str, concept: Code) -> Dataset:
    item = Dataset()
    if relationship is not None:
        item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [_coded(concept)]
    return item


def _coded(code: Code) -> Dataset:
    return code_item(code.value, code.scheme_designator, code.meaning)


def _code(relationship: str, concept: Code, value: Code) -> Dataset:
    item = _item(relationship, "CODE", concept)
    item.ConceptCodeSequence = [_coded(value)]
    return item


def _text(relationship: str, concept: Code, text: str) -> Dataset:
    item = _item(relationship, "TEXT", concept)
    item.TextValue = text
    return item


def _uid(relationship: str, concept: Code, uid: str) -> Dataset:
    item = _item(relationship, "UIDREF", concept)
    item.UID = uid
    return item


def _moment(concept: Code, moment: datetime) -> Dataset:
    item = _item("CONTAINS", "DATETIME", concept)
    # Without an offset: dcmtk 3.6.7 refuses one; the data set's Timezone Offset From UTC applies.
    item.DateTime = moment.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f")
    return item


def _container(
    relationship: str | None, concept: Code, children: Sequence[Dataset], *, template: str | None = None
) -> Dataset:
    item = _item(relationship, "CONTAINER", concept)
    item.ContinuityOfContent = "SEPARATE"
    if template is not None:
        named = Dataset()
        named.MappingResource = "DCMR"
        named.TemplateIdentifier = template
        item.ContentTemplateSequence = [named]
    item.ContentSequence = list(children)
    return item

"""One irradiation event of a dose report: TID 10003 with 10003A to C."""

import math
from collections.abc import Sequence
from dataclasses import replace

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import XRayAngiographicImageStorage

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Provenance
from fluoroscope.beam.technique import Filtration, RadiationMode
from fluoroscope.dicom.beam_path import PlaceRecord, path_words
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records.content_items import code, composite, container, known, moment, number, text, uid_reference
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.identity import ExamIdentity

__all__ = [
    "REFERENCE_FROM_ISOCENTER_MM",
    "REFERENCE_POINT",
    "event_item",
    "kap_gy_m2",
    "kerma_gy",
    "movement",
    "says_dose",
]

_DCM, _SCT = codes.DCM, codes.SCT
# codedict's name of it starts with an underscore.
REFERENCE_POINT: Code = codes.cid10025._15cmFromIsocenterTowardSource  # noqa: SLF001
"""Where air kerma is said for: 15 cm from the isocentre toward the source."""
REFERENCE_FROM_ISOCENTER_MM = 150.0
_FLUOROSCOPY: Code = _SCT.Fluoroscopy
_STATIONARY: Code = _DCM.StationaryAcquisition
_ROTATIONAL: Code = _DCM.RotationalAcquisition
# "Element or compound": in CID 10006 since its first edition, and what vendors' reports hold. Validators and
# dose trackers in use do not know the element codes of newer editions.
_ALUMINIUM = Code("105830007", "SCT", "Aluminum or Aluminum compound")
_COPPER = Code("105837005", "SCT", "Copper or Copper compound")
_TUNGSTEN = Code("105874009", "SCT", "Tungsten or Tungsten compound")
# A stationary acquisition's C-arm may creep; more than this is a rotational one.
_ROTATION_DEG = 5.0
# What counts as moved, as in XA images.
_MOVED_DEG, _MOVED_MM = 0.05, 0.05
_TABLE_ITEMS = (
    (_DCM.TableLongitudinalPosition, "mm"),
    (_DCM.TableLateralPosition, "mm"),
    (_DCM.TableHeightPosition, "mm"),
    (_DCM.TableHeadTiltAngle, "deg"),
    (_DCM.TableHorizontalRotationAngle, "deg"),
    (_DCM.TableCradleTiltAngle, "deg"),
)
_TABLE_ENDS = (_DCM.TableLongitudinalEndPosition, _DCM.TableLateralEndPosition, _DCM.TableHeightEndPosition)
_ORIENTATION = {
    "S": _SCT.Supine,
    "P": _SCT.Prone,
    "DL": _SCT.LeftLateralDecubitus,
    "DR": _SCT.RightLateralDecubitus,
}


def event_item(dose_event: DoseEvent, exam: ExamIdentity, image_uids: Sequence[str] = ()) -> Dataset:
    """Return dose, technique and geometry of one pedal press.

    Parameters
    ----------
    dose_event
        The press.
    exam
        Whose, on which machine.
    image_uids
        SOP Instance UIDs of the X-Ray Angiographic images that are kept of it.
    """
    event = dose_event.event
    region, meaning = exam.anatomy.snomed
    children = [
        code("HAS CONCEPT MOD", _DCM.AcquisitionPlane, _DCM.SinglePlane),
        uid_reference("CONTAINS", _DCM.IrradiationEventUID, event.uid),
        moment(_DCM.DatetimeStarted, event.started),
        code("CONTAINS", _DCM.IrradiationEventType, _event_type(dose_event)),
        text("CONTAINS", _DCM.AcquisitionProtocol, f"{dose_event.mode.value}, event {event.number}"),
        code("CONTAINS", _DCM.TargetRegion, Code(region, "SCT", meaning)),
        *_dose(event, exam),
        *_technique(event, dose_event.mode, exam),
        *_geometry(dose_event),
        *_patient_on_table(exam.position),
        *(
            composite("CONTAINS", _DCM.AcquiredImage, XRayAngiographicImageStorage, uid, image=True)
            for uid in image_uids
        ),
    ]
    moved = ". ".join(words for words in (movement(dose_event), path_words(_path(dose_event))) if words)
    if moved:
        children.append(text("CONTAINS", _DCM.Comment, moved))
    return container("CONTAINS", _DCM.IrradiationEventXRayData, children, template="10003")


def says_dose(event: IrradiationEvent, exam: ExamIdentity) -> bool:
    """Return whether the source said a dose: of pulses that were captured or recorded, 0 means that it did not."""
    simulated = exam.provenance is Provenance.SIMULATED
    return simulated or event.pulses == 0 or event.air_kerma_mgy > 0.0 or event.kap_gy_cm2 > 0.0


def _dose(event: IrradiationEvent, exam: ExamIdentity) -> list[Dataset]:
    layer = known(_DCM.HalfValueLayer, _half_value_layer_mm(event, exam), "mm")
    if not says_dose(event, exam):
        return layer
    return [
        number(_DCM.DoseAreaProduct, kap_gy_m2(event), "Gy.m2"),
        *layer,
        number(_DCM.DoseRP, kerma_gy(event), "Gy"),
        code("CONTAINS", _DCM.ReferencePointDefinition, REFERENCE_POINT),
    ]


def _event_type(dose_event: DoseEvent) -> Code:
    if dose_event.mode is RadiationMode.FLUOROSCOPY:
        return _FLUOROSCOPY
    first, last = dose_event.angles, dose_event.end_angles
    if first is None or last is None:
        return _STATIONARY
    turned = abs(math.remainder(last.primary_deg - first.primary_deg, 360.0))
    turned = max(turned, abs(last.secondary_deg - first.secondary_deg))
    return _ROTATIONAL if turned > _ROTATION_DEG else _STATIONARY


def movement(dose_event: DoseEvent) -> str:
    """Return how the C-arm moved during the press, where the template has no item for it; "" when it stood.

    End angles are only for rotational acquisitions (TID 10003C), and a press is one event whatever moves: the angles
    and distances of the event are those of its first pulse, and the last pulse's stand in these words. The table's end
    position has items of its own (CID 10008).
    """
    first, last = dose_event.angles, dose_event.end_angles
    parts = []
    if first is not None and last is not None and _event_type(dose_event) != _ROTATIONAL:
        turned = math.remainder(last.primary_deg - first.primary_deg, 360.0)
        for name, was, now, by in (
            ("primary angle", first.primary_deg, last.primary_deg, turned),
            ("secondary angle", first.secondary_deg, last.secondary_deg, last.secondary_deg - first.secondary_deg),
        ):
            if abs(by) > _MOVED_DEG:
                parts.append(f"{name} {was + 0.0:.1f} to {now + 0.0:.1f} deg")
    start, end = dose_event.event.first_pose, dose_event.event.last_pose
    if start is not None and end is not None:
        if abs(end.source_to_detector_mm - start.source_to_detector_mm) > _MOVED_MM:
            parts.append(f"source to detector {start.source_to_detector_mm:.1f} to {end.source_to_detector_mm:.1f} mm")
        shifts = [now - was for was, now in zip(start.isocenter_mm, end.isocenter_mm, strict=True)]
        if max(abs(shift) for shift in shifts) > _MOVED_MM:
            x, y, z = shifts
            parts.append(f"isocenter by {x:.1f}, {y:.1f}, {z:.1f} mm (toward LAO, down, toward cranial)")
    return "" if not parts else f"C-arm moved during the press, first to last pulse: {'; '.join(parts)}"


def _path(dose_event: DoseEvent) -> list[PlaceRecord]:
    """Return where the beam stood during the press, in the terms of the event's items."""
    return [
        PlaceRecord(
            place.share,
            angles.primary_deg,
            angles.secondary_deg,
            None if place.table is None else _table_numbers(_from_isocenter(place.table, place.pose)),
        )
        for place, angles in zip(dose_event.event.path, dose_event.path_angles, strict=False)
    ]


def _half_value_layer_mm(event: IrradiationEvent, exam: ExamIdentity) -> float | None:
    """First half-value layer, mm Al: of the modelled beam only; no source says it of a real one."""
    kv, technique = event.mean_tube_voltage_kv, event.technique
    if exam.provenance is not Provenance.SIMULATED or kv is None or technique is None:
        return None
    from fluoroscope.dose.skin_factors import half_value_layer_mm_al

    filtration = technique.filtration
    return half_value_layer_mm_al(kv, filtration.aluminium_mm, filtration.copper_mm)


def _technique(event: IrradiationEvent, mode: RadiationMode, exam: ExamIdentity) -> list[Dataset]:
    items = []
    if mode is RadiationMode.FLUOROSCOPY:  # the template has no pulse rate for acquisitions
        items.append(code("CONTAINS", _DCM.FluoroMode, _DCM.Pulsed))
        items.append(number(_DCM.PulseRate, event.pulse_rate_hz, "{pulse}/s"))
    items += [
        number(_DCM.NumberOfPulses, event.pulses, "none"),
        number(_DCM.IrradiationDuration, event.pedal_time_s, "s"),
        number(_DCM.ExposureTime, event.beam_on_time_s * 1000.0, "ms"),
    ]
    current_ma = event.mean_tube_current_ma
    items += known(_DCM.KVP, event.mean_tube_voltage_kv, "kV")
    items += known(_DCM.XRayTubeCurrent, current_ma, "mA")
    items += known(_DCM.PulseWidth, event.mean_pulse_width_ms, "ms")
    exposure_uas = None if current_ma is None else current_ma * event.beam_on_time_s * 1000.0
    items += known(_DCM.Exposure, exposure_uas, "uA.s")
    if exam.provenance is Provenance.SIMULATED:
        items.append(code("CONTAINS", _DCM.AnodeTargetMaterial, _TUNGSTEN))  # of the modelled tube
    if event.technique is not None:
        items += _filters(event.technique.filtration)
    field = event.collimation
    if field is not None:
        items.append(number(_DCM.CollimatedFieldArea, field.area_mm2 * 1e-6, "m2"))
        items.append(number(_DCM.CollimatedFieldHeight, field.upper_mm + field.lower_mm, "mm"))
        items.append(number(_DCM.CollimatedFieldWidth, field.left_mm + field.right_mm, "mm"))
    return items


def _filters(filtration: Filtration) -> list[Dataset]:
    """One container per filter: a reader that expects one must not add two materials up."""
    both = ((_ALUMINIUM, filtration.aluminium_mm), (_COPPER, filtration.copper_mm))
    containers = []
    for material, thickness_mm in both:
        if thickness_mm > 0.0:
            children = [
                code("CONTAINS", _DCM.XRayFilterType, _DCM.FlatFilter),
                code("CONTAINS", _DCM.XRayFilterMaterial, material),
                number(_DCM.XRayFilterThicknessMinimum, thickness_mm, "mm"),
                number(_DCM.XRayFilterThicknessMaximum, thickness_mm, "mm"),
            ]
            containers.append(container("CONTAINS", _DCM.XRayFilters, children))
    return containers


def _geometry(dose_event: DoseEvent) -> list[Dataset]:
    items: list[Dataset] = []
    first, last, pose = dose_event.angles, dose_event.end_angles, dose_event.event.first_pose
    if first is not None:
        items.append(number(_DCM.PositionerPrimaryAngle, first.primary_deg, "deg"))
        items.append(number(_DCM.PositionerSecondaryAngle, first.secondary_deg, "deg"))
    if last is not None and _event_type(dose_event) == _ROTATIONAL:  # the template's condition
        items.append(number(_DCM.PositionerPrimaryEndAngle, last.primary_deg, "deg"))
        items.append(number(_DCM.PositionerSecondaryEndAngle, last.secondary_deg, "deg"))
    if pose is not None:
        items.append(number(_DCM.DistanceSourceToDetector, pose.source_to_detector_mm, "mm"))
        # Without it no skin dose map can be made from the report.
        items.append(number(_DCM.DistanceSourceToIsocenter, pose.source_to_isocenter_mm, "mm"))
        to_reference = pose.source_to_isocenter_mm - REFERENCE_FROM_ISOCENTER_MM
        items.append(number(_DCM.DistanceSourceToReferencePoint, to_reference, "mm"))
    return items + _tables(dose_event.event)


def _tables(event: IrradiationEvent) -> list[Dataset]:
    """Where the table stood at the first pulse, and where it did at the last if that is elsewhere."""
    begun = event.path[0].table if event.path else event.table
    if begun is None:
        return []
    first = _table_numbers(_from_isocenter(begun, event.first_pose))
    items = [number(concept, value, unit) for (concept, unit), value in zip(_TABLE_ITEMS, first, strict=True)]
    if event.table is not None:
        last = _table_numbers(_from_isocenter(event.table, event.last_pose))
        if max(abs(now - was) for was, now in zip(first[:3], last[:3], strict=True)) > _MOVED_MM:
            items += [number(concept, value, "mm") for concept, value in zip(_TABLE_ENDS, last[:3], strict=True)]
    return items


def _from_isocenter(table: TablePose, pose: CArmPose | None) -> TablePose:
    """Return where the table stands for one who goes with the isocentre: a mobile C-arm moves instead of the table."""
    if pose is None:
        return table
    x, y, z = pose.isocenter_mm
    return replace(
        table,
        lateral_mm=table.lateral_mm - x,
        height_mm=table.height_mm + y,
        longitudinal_mm=table.longitudinal_mm - z,
    )


def _table_numbers(table: TablePose) -> tuple[float, float, float, float, float, float]:
    """Table position in DICOM's words: longitudinal across toward LAO, lateral toward the head, height down.

    Named as by an operator at the table's side and signed for a head-first supine patient, as our equipment
    frame is (PS3.16 annex D, PS3.3 C.8.19.6.11). Real angiography units write it so too. DICOM counts the table's
    rotation clockwise seen from above; ours is right-handed about y, which points down: the same.
    """
    shifts = (table.lateral_mm, table.longitudinal_mm, -table.height_mm)
    return (*shifts, table.tilt_deg, table.yaw_deg, table.cradle_deg)


def _patient_on_table(position: PatientPosition) -> list[Dataset]:
    end = _SCT.Headfirst if position.value.startswith("HF") else _SCT.FeetFirst
    recumbent = code("CONTAINS", _DCM.PatientOrientation, _SCT.Recumbent)
    side = _ORIENTATION[position.value[2:]]
    recumbent.ContentSequence = [code("HAS CONCEPT MOD", _DCM.PatientOrientationModifier, side)]
    return [code("CONTAINS", _DCM.PatientTableRelationship, end), recumbent]


def kap_gy_m2(event: IrradiationEvent) -> float:
    """Return the kerma-area product in the report's unit."""
    return event.kap_gy_cm2 * 1e-4


def kerma_gy(event: IrradiationEvent) -> float:
    """Return air kerma at the reference point in the report's unit."""
    return event.air_kerma_mgy * 1e-3

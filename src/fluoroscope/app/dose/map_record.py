"""A skin dose and what goes with it as a DICOM record: Patient Radiation Dose SR."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.app.dose.map import Body, SkinReport, map_facts
from fluoroscope.app.dose.skin_events import filter_mm
from fluoroscope.app.dose.skin_words import where_on_body
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.dose_records import DoseEventRecord
from fluoroscope.dose.skin_factors import backscatter, half_value_layer_mm_al
from fluoroscope.dose.skin_map import INHERENT_ALUMINIUM_MM, SkinMap, map_uncertainty_percent
from fluoroscope.records.patient_dose import BodyModel, OrganEstimate, PatientDose, WrittenDose, write_patient_dose
from fluoroscope.records.report_subject import subject_of_report

__all__ = [
    "BeamFacts",
    "beam_facts",
    "exam_patient_dose",
    "patient_dose_of_map",
    "peak_facts",
    "with_beams",
    "write_map_record",
]

_OURS = "Fluoroscope"


@dataclass(frozen=True, slots=True)
class BeamFacts:
    """Beam quality of one event: air kerma as its weight, filters in the beam, field side at the reference point."""

    air_kerma_mgy: float
    tube_voltage_kv: float
    aluminium_mm: float
    copper_mm: float
    side_cm: float


def write_map_record(report: SkinReport, path: Path, body: Body, made: datetime | None = None) -> WrittenDose:
    """Write what was worked out from a dose report as Patient Radiation Dose SR, its map beside it.

    Parameters
    ----------
    report
        What `map_dose` found.
    path
        Where to.
    body
        What stood for the patient.
    made
        When, aware; now when absent.

    Returns
    -------
    WrittenDose
        SOP Instance UIDs.

    Raises
    ------
    PatientFileError
        When the report names no study or instance to refer to.
    OSError
        When a file cannot be written; nothing half-written is left.
    """
    one = read_dose_object(report.path)
    records = () if one is None else one.events
    ours = one is not None and one.manufacturer.startswith(_OURS)
    subject, source = subject_of_report(report.path, tuple(record.uid for record in records))
    facts, found = map_facts(report), report.found
    model = _body_model(report, body)
    remarks = tuple(warning.text for warning in report.warnings)
    if isinstance(found, SkinMap):
        dose = patient_dose_of_map(found, model, facts["uncertainty_percent"], remarks, report.place)
    else:
        low, high = facts["bounds_mgy"]
        peak = facts["peak_skin_dose_mgy"]
        dose = PatientDose(peak, low, high, False, model, remarks=remarks)
    used = tuple(record.uid for record in records if record.uid and (record.air_kerma_mgy or record.kap_gy_cm2))
    dose = with_beams(dose, [beam for record in records if (beam := _beam_of_record(record, ours)) is not None])
    return write_patient_dose(path, subject, source, replace(dose, used_event_uids=used), made or datetime.now(UTC))


def exam_patient_dose(
    found: SkinMap, events: Sequence[IrradiationEvent], estimates: Mapping[str, Any] | None = None
) -> PatientDose:
    """Return what the patient of an exam of ours got.

    Parameters
    ----------
    found
        The skin map of the exam.
    events
        Its presses.
    estimates
        As of `dose_estimates.exam_estimates`; None where nothing was estimated.
    """
    phantom = found.phantom
    if phantom.own:
        body = BodyModel("patient", "the patient's own skin, found in the CT he was made from")
    else:
        body = BodyModel(phantom.name, f"{phantom.name} of {phantom.height_mm / 10.0:.0f} cm")
    dose = patient_dose_of_map(found, body, place=_place(found))
    dose = with_beams(dose, [beam for event in events if (beam := beam_facts(event)) is not None])
    if not estimates:
        return dose
    coefficient = estimates.get("coefficient") or {}
    words = ", ".join(str(coefficient[key]) for key in ("name", "source") if coefficient.get(key))
    organs = [one for one in estimates.get("organs") or () if one.get("mgy") is not None]
    note = str(estimates.get("note") or "")
    return replace(
        dose,
        effective_msv=estimates.get("effective_msv"),
        effective_source=words,
        organs=tuple(OrganEstimate(str(one["name"]), float(one["mgy"])) for one in organs),
        remarks=(*dose.remarks, *([note] if note else [])),
    )


def peak_facts(dose: PatientDose) -> dict[str, Any]:
    """Return the peak skin dose for a log or a summary, JSON-ready."""
    part = None if not dose.peak_mgy > 0.0 else 100.0 * (dose.upper_mgy - dose.peak_mgy) / dose.peak_mgy
    return {
        "peak_skin_dose_mgy": dose.peak_mgy,
        "uncertainty_percent": part,
        "bounds_mgy": [dose.lower_mgy, dose.upper_mgy],
        "estimate": not dose.mapped,
        "method": f"map of the skin: {dose.body.words}" if dose.mapped else "bounds without geometry",
        "share_of_kap_on_patient": dose.share_on_patient,
    }


def patient_dose_of_map(
    found: SkinMap,
    body: BodyModel,
    uncertainty_percent: float | None = None,
    remarks: Sequence[str] = (),
    place: str = "",
) -> PatientDose:
    """Return what a skin map says, with its expanded (k = 2) uncertainty, percent: the phantom's when absent."""
    percent = map_uncertainty_percent(found.phantom) if uncertainty_percent is None else uncertainty_percent
    part = min(percent / 100.0, 1.0)
    rows, columns = found.phantom.shape
    return PatientDose(
        found.peak_mgy,
        found.peak_mgy * (1.0 - part),
        found.peak_mgy * (1.0 + part),
        True,
        body,
        position_mm=found.peak_position_mm,
        place=place,
        share_on_patient=found.share_of_kap_on_patient,
        map_mgy=np.asarray(found.dose_mgy, dtype=np.float64).reshape(rows, columns),
        remarks=tuple(remarks),
    )


def _place(found: SkinMap) -> str:
    return where_on_body(found.phantom, int(np.argmax(found.dose_mgy))) if found.peak_mgy > 0.0 else ""


def with_beams(dose: PatientDose, beams: Sequence[BeamFacts]) -> PatientDose:
    """Return ``dose`` with mean half-value layer, backscatter and the filters of its beams."""
    kerma = np.array([beam.air_kerma_mgy for beam in beams])
    if not beams or not kerma.sum() > 0.0:
        return dose
    layers = np.array([half_value_layer_mm_al(b.tube_voltage_kv, b.aluminium_mm, b.copper_mm) for b in beams])
    scatter = np.array(
        [
            float(np.asarray(backscatter(b.tube_voltage_kv, float(layer), np.array([b.side_cm]))).ravel()[0])
            for b, layer in zip(beams, layers, strict=True)
        ]
    )
    filters = tuple(
        (name, min(values), max(values))
        for name, values in (
            ("aluminium", [beam.aluminium_mm for beam in beams]),
            ("copper", [beam.copper_mm for beam in beams]),
        )
    )
    return replace(
        dose,
        half_value_layer_mm=float(np.average(layers, weights=kerma)),
        backscatter=float(np.average(scatter, weights=kerma)),
        filters_mm=filters,
    )


def beam_facts(event: IrradiationEvent) -> BeamFacts | None:
    """Return the beam of an event of ours; None where voltage, technique, kerma or pose is not known."""
    kv, technique, pose = event.mean_tube_voltage_kv, event.technique, event.first_pose
    if kv is None or technique is None or pose is None or not event.air_kerma_mgy > 0.0:
        return None
    # KAP over kerma is the field's area at the reference point, cm² where both are.
    side_cm = float(np.sqrt(event.kap_gy_cm2 * 1000.0 / event.air_kerma_mgy))
    filtration = technique.filtration
    return BeamFacts(event.air_kerma_mgy, kv, filtration.aluminium_mm, filtration.copper_mm, side_cm)


def _beam_of_record(record: DoseEventRecord, ours: bool) -> BeamFacts | None:
    volts = [value for value in record.kvp if value > 0.0]
    if not volts or not record.air_kerma_mgy or not record.kap_gy_cm2:
        return None
    side_cm = float(np.sqrt(record.kap_gy_cm2 * 1000.0 / record.air_kerma_mgy))
    inherent = 0.0 if ours else INHERENT_ALUMINIUM_MM  # ours says all the aluminium, others what is added
    aluminium, copper = (filter_mm(record, name) for name in ("aluminium", "copper"))
    kv = float(np.clip(np.mean(volts), 40.0, 150.0))
    return BeamFacts(
        record.air_kerma_mgy, kv, min(inherent + aluminium, 50.0), min(copper, 3.0), min(max(side_cm, 1.0), 60.0)
    )


def _body_model(report: SkinReport, body: Body) -> BodyModel:
    name = report.phantom.name
    if not isinstance(report.found, SkinMap):
        return BodyModel("plane", "no body: bounds from assumed distances between source and skin")
    drawn = f"{name} of {body.height_cm:g} cm and {body.weight_kg:g} kg, elliptic sections, no arms"
    words = {
        "plane": "plane on the table",
        "cylinder": "elliptic cylinder on the table",
        "adult": drawn,
        "child": drawn,
    }
    sized = name in ("adult", "child")
    return BodyModel(
        "patient" if report.phantom.own else name,
        words.get(name, f"skin of {name}"),
        body.height_cm if sized else None,
        body.weight_kg if sized else None,
    )

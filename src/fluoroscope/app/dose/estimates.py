"""What an exam's dose means for the patient: effective and organ dose, conceptus, nominal risk. All are estimates.

The same figures for the exam of a room and for dose reports of any machine: ``fluoroscope dose estimate``.
"""

import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.dicom.dose_records import ROUNDED_MGY, DoseEventRecord, DoseObject
from fluoroscope.dicom.dose_warnings import touches
from fluoroscope.dose.coefficient_tables import CHILD_SOURCE
from fluoroscope.dose.conceptus import ConceptusDose, conceptus_dose
from fluoroscope.dose.effective_dose import (
    REGIONS,
    Coefficients,
    CoefficientsError,
    EffectiveDose,
    PatientExposure,
    child_factor,
    effective_dose,
    region_of,
)
from fluoroscope.dose.risk import RISK_NOTE, RiskCoefficients, beir_risk, icrp_risk
from fluoroscope.geometry.pose import CArmPose, angles_of_direction, beam_direction
from fluoroscope.geometry.positioner import positioner_angles
from fluoroscope.geometry.rigid import apply
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

__all__ = [
    "PatientFacts",
    "UterusPlace",
    "estimate_facts",
    "estimate_rows",
    "exam_estimates",
    "exposure_of_event",
    "exposures_of_object",
    "patient_facts",
    "read_coefficients",
]

LARGEST_DOSE = 1e5
"""100 Gy in mGy, and 100 000 Gy·cm²: more was never given, it is a wrong unit."""
NOTE = f"estimates for a reference person from KAP and published coefficients; {RISK_NOTE}"


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """What is known of the patient; None is unknown.

    ``sex`` "M" or "F"; ``pregnant_weeks`` None when not known to be pregnant; ``region`` where a report is silent;
    ``position`` how the patient lies, for live events and where a report is silent or wrong.
    """

    age_years: float | None = None
    sex: str | None = None
    pregnant_weeks: float | None = None
    region: str | None = None
    position: PatientPosition | None = None

    def __post_init__(self) -> None:
        if self.age_years is not None and not 0.0 <= self.age_years <= 120.0:
            raise ValueError(f"age must be 0 to 120 years, got {self.age_years}")
        if self.sex not in (None, "M", "F"):
            raise ValueError(f"sex must be M or F, got {self.sex}")
        if self.pregnant_weeks is not None and not 0.0 <= self.pregnant_weeks <= 45.0:
            raise ValueError(f"weeks of pregnancy must be 0 to 45, got {self.pregnant_weeks}")
        if self.pregnant_weeks is not None and self.sex == "M":
            raise ValueError("weeks of pregnancy are for sex F or not known, got M")


def patient_facts(
    age_years: float | None,
    sex: str | None,
    pregnant_weeks: float | None,
    region: str | None,
    position: str | None,
) -> PatientFacts:
    """Return what was typed, checked.

    Raises
    ------
    ValueError
        When a value is out of range or a word is not known.
    """
    if region is not None and region not in REGIONS:
        raise ValueError(f"region must be {', '.join(REGIONS)}, got {region}")
    if position is not None and position not in PatientPosition.__members__:
        raise ValueError(f"position must be {', '.join(PatientPosition.__members__)}, got {position}")
    lies = None if position is None else PatientPosition[position]
    return PatientFacts(age_years, None if sex is None else sex.upper(), pregnant_weeks, region, lies)


def read_coefficients(path: Path | None) -> Coefficients:
    """Return the published coefficients, or those with the section [coefficients] of a TOML file in their place.

    Raises
    ------
    CoefficientsError
        When the file cannot be read or holds none.
    """
    if path is None:
        return Coefficients.published()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise CoefficientsError(f"{path}: no such file; name a TOML file with a section [coefficients]") from fault
    except OSError as fault:
        raise CoefficientsError(f"{path}: cannot be read ({fault.strerror or fault}); check the file") from fault
    except ValueError as fault:
        raise CoefficientsError(f"{path}: not a TOML file that can be read: {fault}") from fault
    if not isinstance(content.get("coefficients"), Mapping):
        raise CoefficientsError(f"{path}: no section [coefficients]")
    try:
        return Coefficients.from_mapping(content["coefficients"])
    except CoefficientsError as fault:
        raise CoefficientsError(f"{path}: {fault}") from fault


@dataclass(frozen=True, slots=True)
class UterusPlace:
    """Where the uterus is, and which point of the patient lies at the isocentre when the table is at zero; LPS mm."""

    uterus_mm: tuple[float, float, float]
    reference_mm: tuple[float, float, float]


def exposure_of_event(
    event: IrradiationEvent,
    position: PatientPosition | None,
    region: str | None,
    uterus: UterusPlace | None = None,
) -> PatientExposure:
    """Return a press of the room as the estimates need it, its direction that of its first pulse.

    With ``uterus`` (see `dose.conceptus.uterus_near`) it is known whether the beam passes it.
    """
    angles, above_mm, half_mm = None, None, None
    if event.first_pose is not None and position is not None:
        angles = positioner_angles(event.first_pose, event.table or TablePose(), position)
        if uterus is not None and event.collimation is not None:
            above_mm, half_mm = _above(event.first_pose, event.table, position, event.collimation, uterus)
    recording = event.technique is not None and event.technique.mode is RadiationMode.ACQUISITION
    return PatientExposure(
        event.kap_gy_cm2,
        event.air_kerma_mgy,
        angles,
        event.mean_tube_voltage_kv,
        region,
        acquisition=recording,
        copper_mm=None if event.technique is None else event.technique.filtration.copper_mm,
        above_uterus_mm=above_mm,
        half_field_mm=half_mm,
    )


def _above(
    pose: CArmPose, table: TablePose | None, position: PatientPosition, field: Collimation, uterus: UterusPlace
) -> tuple[float, float]:
    """Return how far above the uterus the middle of the beam passes at the isocentre, and half the field there."""
    lying = patient_from_equipment(table or TablePose(), position, uterus.reference_mm)
    middle = apply(lying, np.asarray(pose.isocenter_mm, dtype=np.float64))
    half = (field.upper_mm + field.lower_mm) / 2.0 * pose.source_to_isocenter_mm / pose.source_to_detector_mm
    return float(middle[2]) - uterus.uterus_mm[2], half


def exposures_of_object(one: DoseObject, facts: PatientFacts) -> tuple[PatientExposure, ...]:
    """Return the events of a report; its header as one exposure where it lists none.

    KAP that is missing is air kerma × field, air kerma that is missing or rounded to 0 is KAP / field: the field of the
    event where it says one, else the median of the others'.
    """
    if not one.events:
        kap, kerma = one.total.kap_gy_cm2, one.total.air_kerma_mgy
        if kap is None and kerma is None:
            return ()
        return (PatientExposure(_usable(kap), _usable(kerma), region=facts.region),)
    usual_cm2 = _usual_field_cm2(one.events)
    return tuple(_exposure(event, facts, usual_cm2) for event in one.events)


def exam_estimates(
    events: Sequence[PatientExposure | IrradiationEvent],
    patient: PatientFacts,
    rules: Coefficients | None = None,
    peak_skin_mgy: tuple[float, float, float] | None = None,
) -> dict[str, Any]:
    """Return every estimate of an exam, JSON-ready; what cannot be said is None.

    Parameters
    ----------
    events
        Presses of the room or exposures of a report.
    patient
        Where the region is not in an exposure, that of the patient's facts stands.
    rules
        The coefficients; the published ones when None.
    peak_skin_mgy
        Peak of a skin map, from, to: listed with the organs.
    """
    table = rules or Coefficients.published()
    exposures = [
        exposure_of_event(one, patient.position, patient.region) if isinstance(one, IrradiationEvent) else one
        for one in events
    ]
    found = effective_dose(exposures, table, age_years=patient.age_years)
    conceptus = conceptus_dose(exposures, None, table.conceptus) if patient.pregnant_weeks is not None else None
    organs = [(name, effective_dose(exposures, table, name, patient.age_years)) for name in table.organ_names]
    listed = [
        {"name": name, "mgy": dose.value, "low_mgy": dose.low, "high_mgy": dose.high, "source": _sources(dose)}
        for name, dose in organs
        if dose is not None
    ]
    if peak_skin_mgy is not None:
        peak, least, most = peak_skin_mgy
        listed.insert(0, {"name": "skin, peak", "mgy": peak, "low_mgy": least, "high_mgy": most, "source": "skin map"})
    return {
        "effective_msv": None if found is None else found.value,
        "effective_spread": None if found is None else [found.low, found.high],
        "coefficient": None if found is None else _coefficient(found, exposures, child_factor(patient.age_years)),
        "organs": listed,
        "conceptus": None if conceptus is None else _conceptus(conceptus, patient.pregnant_weeks or 0.0),
        "risk": None if found is None else _risk(found, patient, table.risk),
        "note": _note(exposures, found),
    }


def estimate_facts(one: DoseObject, facts: PatientFacts, table: Coefficients) -> dict[str, Any]:
    """Return the estimates of a report with its path and everything odd in it, JSON-ready."""
    found = exam_estimates(exposures_of_object(one, facts), facts, table)
    if one.kind == "radiography" and one.events:
        found["note"] += f"; {_RADIOGRAPHY}"
    warnings = [asdict(warning) for warning in one.warnings]
    return {"path": str(one.path), "kind": one.kind} | found | {"warnings": warnings}


def estimate_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return estimates for people."""
    rows = [("effective dose", "not known")]
    if facts["effective_msv"] is not None:
        low, high = facts["effective_spread"]
        used = facts["coefficient"]
        rows = [
            ("effective dose", f"estimate {facts['effective_msv']:.2g} mSv, from {low:.2g} to {high:.2g} mSv"),
            ("coefficient", f"{used['msv_per_gy_cm2']:.3g} mSv/(Gy·cm²), {used['name']}: {used['source']}"),
        ]
    for organ in facts["organs"]:
        span = f"from {organ['low_mgy']:.2g} to {organ['high_mgy']:.2g} mGy"
        rows.append((organ["name"], f"estimate {organ['mgy']:.2g} mGy, {span}"))
    if facts["conceptus"] is not None:
        rows.append(("conceptus", facts["conceptus"]["text"]))
    if facts["risk"] is not None:
        rows.append(("risk", facts["risk"]["text"]))
    rows.append(("note", facts["note"]))
    return rows + [("warning", one["text"]) for one in facts["warnings"] if touches("estimate", one["code"])]


def _exposure(event: DoseEventRecord, facts: PatientFacts, usual_cm2: float | None) -> PatientExposure:
    volts = [value for value in event.kvp if value > 0.0]
    kap, kerma = event.kap_gy_cm2, event.air_kerma_mgy
    field_cm2 = _field_cm2(event) or usual_cm2
    if kap is None and kerma is not None and field_cm2 is not None:
        kap = kerma * 1e-3 * field_cm2
    if not kerma and kap:
        kerma = None if field_cm2 is None else kap / field_cm2 * 1e3
    return PatientExposure(
        _usable(kap),
        _usable(kerma),
        _angles(event, facts.position),
        sum(volts) / len(volts) if volts else None,
        region_of(event.target_region) or region_of(event.protocol) or facts.region,
        acquisition=not event.is_fluoroscopy,
        copper_mm=_copper_mm(event),
    )


def _copper_mm(event: DoseEventRecord) -> float | None:
    ends = [
        [value for value in (one.minimum_mm, one.maximum_mm) if value is not None]
        for one in event.filters
        if one.material == "copper"
    ]
    return sum(sum(pair) / len(pair) for pair in ends if pair) if any(ends) else None


def _usable(value: float | None) -> float | None:
    """Return a dose that can be; None for one below 0 or above what any procedure gives."""
    return value if value is not None and 0.0 <= value <= LARGEST_DOSE else None


def _usual_field_cm2(events: Sequence[DoseEventRecord]) -> float | None:
    """Return the median field at the reference point, KAP over air kerma, of events whose kerma is not rounded away."""
    said = [
        one.kap_gy_cm2 / one.air_kerma_mgy * 1e3
        for one in events
        if one.kap_gy_cm2 and one.air_kerma_mgy is not None and one.air_kerma_mgy >= ROUNDED_MGY
    ]
    return statistics.median(said) if said else None


def _field_cm2(event: DoseEventRecord) -> float | None:
    """Area of the field at the reference point, from the collimated area at the detector."""
    to_reference = event.source_to_reference_mm
    if to_reference is None and event.source_to_isocenter_mm and event.reference_point.startswith("15cm"):
        to_reference = event.source_to_isocenter_mm - 150.0
    if not event.field_area_cm2 or not event.source_to_detector_mm or not to_reference:
        return None
    return event.field_area_cm2 * (to_reference / event.source_to_detector_mm) ** 2


def _angles(event: DoseEventRecord, position: PatientPosition | None) -> tuple[float, float] | None:
    """Angles in the patient's terms, as a report gives them; a position given by hand turns a supine patient."""
    if event.primary_deg is None or event.secondary_deg is None:
        return None
    angles = (event.primary_deg, event.secondary_deg)
    if position is None or event.orientation_modifier:
        return angles
    turned = patient_from_equipment(TablePose(), position)[:3, :3]
    return angles_of_direction(turned @ beam_direction(*angles))


def _coefficient(found: EffectiveDose, exposures: Sequence[PatientExposure], child: float) -> dict[str, Any]:
    name = ", ".join(dict.fromkeys(entry.region for entry in found.used))
    source = _sources(found)
    own = all(entry.mark == "site" for entry in found.used)
    if not own and any(one.tube_voltage_kv is not None for one in exposures):
        source += "; brought to direction, voltage and copper by our own Monte Carlo [M]"
    if child > 1.0 and not own:
        source += f"; of a child: {CHILD_SOURCE}, here × {child:.2g}"
    return {"name": name, "msv_per_gy_cm2": found.per_kap, "source": source}


def _sources(found: EffectiveDose) -> str:
    return "; ".join(dict.fromkeys(f"{entry.source} [{entry.mark}]" for entry in found.used))


def _conceptus(found: ConceptusDose, weeks: float) -> dict[str, Any]:
    text = f"{found.text}; {weeks:g} weeks"
    if weeks > _UTERUS_WEEKS:
        text += "; the dose of the uterus stands for early pregnancy, later it is rougher still"
    return {
        "mgy": found.mgy,
        "low_mgy": found.low_mgy,
        "high_mgy": found.high_mgy,
        "band": found.band,
        "text": text,
    }


_RADIOGRAPHY = "of radiography: the coefficients are of beams of fluoroscopy and interventions, rougher here"
_UTERUS_WEEKS = 12.0
"""Up to this week the dose of the uterus stands well for the conceptus (ICRP Publication 84) [K]."""


def _risk(found: EffectiveDose, patient: PatientFacts, table: RiskCoefficients) -> dict[str, Any]:
    nominal = icrp_risk(found.value, patient.age_years, table)
    text = nominal.text
    if patient.age_years is not None and patient.sex is not None:
        text += f"; {beir_risk(found.value, patient.age_years, patient.sex).text}"
    return {"per_million": nominal.per_million, "model": nominal.model, "text": text}


def _note(exposures: Sequence[PatientExposure], found: EffectiveDose | None) -> str:
    parts = [NOTE]
    if not any(one.kap_gy_cm2 or one.air_kerma_mgy for one in exposures):
        return f"{NOTE}; no KAP and no air kerma in it"
    if all(one.region is None for one in exposures):
        parts.append("the region is not known: say which")
    if found is not None and found.left_out:
        parts.append(f"{found.left_out} of {len(exposures)} events are not in it: no KAP, region or coefficient")
    if any(one.angles_deg is None for one in exposures):
        parts.append("directions not known: a mix is assumed, the range covers every direction")
    return "; ".join(parts)

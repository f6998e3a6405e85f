"""What the patient got, estimated: Patient Radiation Dose SR (1.2.840.10008.5.1.4.1.1.88.73), template TID 10030.

It says the peak skin dose with its uncertainty, by which method, on which model of the body, and from which dose
report; the map of the skin is an image it refers to. Organ and effective doses stand beside it where they are known.
"""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, PatientRadiationDoseSRStorage, SecondaryCaptureImageStorage

from fluoroscope.records.content_items import code, composite, container, number, text, uid_reference
from fluoroscope.records.report_subject import ReportSource, ReportSubject, evidence
from fluoroscope.records.skin_picture import skin_picture_series, write_skin_picture
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.whole_file import whole_file
from fluoroscope.records.writing import file_meta

__all__ = ["BodyModel", "OrganEstimate", "PatientDose", "WrittenDose", "map_path", "write_patient_dose"]

_DCM, _SCT = codes.DCM, codes.SCT
_FINDING_SITE = Code("363698007", "SCT", "Finding Site")
_PLUS_MINUS = Code("371884006", "SCT", "+/-, range of measurement uncertainty")
_ABOVE = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
_BELOW = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
_SHARE = Code("FLUO-001", "99FLUOROSCOPE", "Share of the kerma-area product on the patient")
_SIMPLE: Code = _DCM.SimpleObjectModel
_KINDS: dict[str, Code] = {
    "patient": _DCM.PatientSegmentedModel,
    "adult": _DCM.AnthropomorphicModel,
    "child": _DCM.AnthropomorphicModel,
}
_WHOLE_BODY = Code("38266002", "SCT", "Entire body")
_ENGLISH = Code("en", "RFC5646", "English")
_ORGANS = {
    word: getattr(_SCT, name)
    for word, name in {
        "skin": "Skin", "lungs": "Lung", "lung": "Lung", "small intestine": "SmallIntestine", "breast": "Breast",
        "breasts": "Breast", "stomach": "Stomach", "heart": "Heart", "thymus": "Thymus", "prostate": "Prostate",
        "colon": "Colon", "uterus": "Uterus", "bladder": "Bladder", "urinary bladder": "Bladder", "brain": "Brain",
        "ovaries": "Ovary", "ovary": "Ovary", "testes": "Testis", "testis": "Testis", "muscle": "Muscle",
        "pancreas": "Pancreas", "bone marrow": "BoneMarrow", "red bone marrow": "BoneMarrow",
        "active bone marrow": "BoneMarrow", "liver": "Liver", "thyroid": "Thyroid", "spleen": "Spleen",
        "kidneys": "Kidney", "kidney": "Kidney", "adrenals": "AdrenalGland", "bone surface": "BoneSurface",
        "oesophagus": "Esophagus", "esophagus": "Esophagus", "gall bladder": "Gallbladder",
    }.items()
}  # fmt: skip
"""Organs of CID 10060 by the words estimates use; others are said in the comment only."""


@dataclass(frozen=True, slots=True)
class BodyModel:
    """The body the dose was worked out on.

    Attributes
    ----------
    name
        "plane", "cylinder", "adult", "child" or "patient" (the patient's own skin).
    words
        One sentence: what it is.
    height_cm, weight_kg
        Of the model, where it has them.
    """

    name: str
    words: str
    height_cm: float | None = None
    weight_kg: float | None = None

    @property
    def kind(self) -> Code:
        """Patient Model Type (CID 10064)."""
        return _KINDS.get(self.name, _SIMPLE)


@dataclass(frozen=True, slots=True)
class OrganEstimate:
    """Mean absorbed dose of an organ, mGy."""

    name: str
    mgy: float


@dataclass(frozen=True, slots=True)
class PatientDose:
    """An estimate of what the patient got.

    Attributes
    ----------
    peak_mgy, lower_mgy, upper_mgy
        Peak skin dose and its bounds: the expanded uncertainty (k = 2) of a map, or the bounds of an estimate that
        knows no geometry.
    mapped
        Whether it was read off a map of the skin; False for an estimate between bounds.
    body
        What stood for the patient.
    position_mm, place
        Where the peak lies, patient LPS mm in the model's coordinates, and in words; None and "" when not known.
    share_on_patient
        Part of the kerma-area product that met the body, 0 to 1; None when not known.
    map_mgy
        (rows, columns) of the unrolled skin; None without a map.
    half_value_layer_mm, backscatter
        Means over the events, weighted by air kerma; None when not known.
    through_table
        Whether table and pad were taken into account.
    filters_mm
        Smallest and largest thickness by "aluminium", "copper" over the events; empty when not known.
    used_event_uids
        Events the estimate rests on; empty for all of the report.
    effective_msv, effective_source
        Effective dose and where its coefficient comes from; None and "".
    organs
        Mean organ doses, where they were worked out.
    remarks
        What a reader must know, a sentence each.
    """

    peak_mgy: float
    lower_mgy: float
    upper_mgy: float
    mapped: bool
    body: BodyModel
    position_mm: tuple[float, float, float] | None = None
    place: str = ""
    share_on_patient: float | None = None
    map_mgy: NDArray[np.float64] | None = None
    half_value_layer_mm: float | None = None
    backscatter: float | None = None
    through_table: bool = True
    filters_mm: tuple[tuple[str, float, float], ...] = ()
    used_event_uids: tuple[str, ...] = ()
    effective_msv: float | None = None
    effective_source: str = ""
    organs: tuple[OrganEstimate, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not 0.0 <= self.lower_mgy <= self.peak_mgy <= self.upper_mgy < float("inf"):
            raise ValueError(
                "a skin dose must lie within its bounds and not below 0 mGy, got "
                f"{self.lower_mgy}, {self.peak_mgy}, {self.upper_mgy}"
            )
        if self.share_on_patient is not None and not 0.0 <= self.share_on_patient <= 1.0:
            raise ValueError(f"the share of the KAP on the patient must be 0 to 1, got {self.share_on_patient}")


@dataclass(frozen=True, slots=True)
class WrittenDose:
    """SOP Instance UIDs of the record and of its map ("" without one)."""

    sop_instance_uid: str
    map_uid: str


def map_path(path: Path) -> Path:
    """Return where the picture of the map lies beside a patient dose record."""
    return path.with_name(f"{path.stem}_map.dcm")


def write_patient_dose(
    path: Path, subject: ReportSubject, source: ReportSource, dose: PatientDose, made: datetime
) -> WrittenDose:
    """Write the estimate and, where there is one, the map beside it (`map_path`).

    Parameters
    ----------
    path
        Where to; the file appears there only when it is whole.
    subject
        Patient, study and the machine or program that estimates.
    source
        The dose report it is made from.
    dose
        The estimate.
    made
        When it was estimated, aware: the content time.

    Returns
    -------
    WrittenDose
        SOP Instance UIDs, the same for the same estimate from the same report.

    Raises
    ------
    ValueError
        When ``made`` has no time zone.
    OSError
        When a file cannot be written; nothing half-written is left.
    """
    if made.tzinfo is None:
        raise ValueError("the time of the estimate must be an aware datetime; give it a time zone")
    picture_uid = None
    if dose.map_mgy is not None:
        words = f"Absorbed dose of the skin, mGy: value times rescale slope; {dose.body.words}; head first"
        picture_uid = write_skin_picture(map_path(path), subject, dose.map_mgy, words, made)
    uid = derived_uid(subject.study_uid, "patient dose", source.sop_instance_uid, _digest(dose, picture_uid))
    dataset = _document(subject, source, uid, picture_uid, made)
    dataset.update(_root(subject, source, dose, picture_uid))
    with whole_file(path) as file:
        dcmwrite(file, dataset, enforce_file_format=True)
    return WrittenDose(uid, picture_uid or "")


def _digest(dose: PatientDose, picture_uid: str | None) -> str:
    said = [repr(getattr(dose, name)) for name in dose.__slots__ if name != "map_mgy"]
    return hashlib.sha256("\x1f".join([*said, picture_uid or ""]).encode()).hexdigest()


def _document(
    subject: ReportSubject, source: ReportSource, uid: str, picture_uid: str | None, made: datetime
) -> Dataset:
    dataset = copy.deepcopy(subject.modules)
    dataset.file_meta = file_meta(PatientRadiationDoseSRStorage, uid, ExplicitVRLittleEndian)
    dataset.SOPClassUID = PatientRadiationDoseSRStorage
    dataset.SOPInstanceUID = uid
    dataset.Modality = "SR"
    dataset.SeriesInstanceUID = derived_uid(subject.study_uid, "series", "patient dose")
    dataset.SeriesNumber = 9002
    dataset.SeriesDescription = f"Patient dose: {subject.statement}"[:64]
    dataset.InstanceNumber = 1
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    subject.set_time(dataset, "Series", made)
    subject.set_time(dataset, "Content", made)
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "UNVERIFIED"
    seen = [(source.study_uid, source.series_uid, source.sop_class_uid, source.sop_instance_uid)]
    if picture_uid is not None:
        study = subject.study_uid
        seen.append((study, skin_picture_series(study), SecondaryCaptureImageStorage, picture_uid))
    dataset.CurrentRequestedProcedureEvidenceSequence = evidence(seen)
    return dataset


def _root(subject: ReportSubject, source: ReportSource, dose: PatientDose, picture_uid: str | None) -> Dataset:
    """TID 10030."""
    machine, context = subject.equipment, "HAS OBS CONTEXT"
    children = [
        code("HAS CONCEPT MOD", _DCM.LanguageOfContentItemAndDescendants, _ENGLISH),
        code(context, _DCM.ObserverType, _DCM.Device),
        uid_reference(context, _DCM.DeviceObserverUID, machine.device_uid),
        text(context, _DCM.DeviceObserverName, machine.model),
        text(context, _DCM.DeviceObserverManufacturer, machine.manufacturer),
        text(context, _DCM.DeviceObserverModelName, machine.model),
        text(context, _DCM.DeviceObserverSerialNumber, machine.serial_number),
        _estimate(source, dose, picture_uid),
        text("CONTAINS", _DCM.Comment, ". ".join((subject.statement, *dose.remarks))),
    ]
    return container(None, _DCM.PatientRadiationDoseReport, children, template="10030")


def _estimate(source: ReportSource, dose: PatientDose, picture_uid: str | None) -> Dataset:
    """TID 10031."""
    name = "Peak skin dose from a map of the skin" if dose.mapped else "Peak skin dose, estimate without geometry"
    children = [
        text("CONTAINS", _DCM.RadiationDoseEstimateName, name),
        _methodology(source, dose),
    ]
    if picture_uid is not None:
        children.append(_representation(picture_uid))
    children.append(_skin(dose))
    if dose.effective_msv is not None:
        children.append(_effective(dose.effective_msv, dose.effective_source))
    children += [_organ(one) for one in dose.organs if one.name.casefold() in _ORGANS]
    return container("CONTAINS", _DCM.RadiationDoseEstimate, children)


def _methodology(source: ReportSource, dose: PatientDose) -> Dataset:
    """TID 10033."""
    used = composite("CONTAINS", _DCM.SRInstanceUsed, source.sop_class_uid, source.sop_instance_uid)
    some = set(dose.used_event_uids)
    if some and some != set(source.event_uids):  # the template names events only where some were left out
        used.ContentSequence = [uid_reference("HAS PROPERTIES", _DCM.EventUIDUsed, uid) for uid in dose.used_event_uids]
    return container(
        "CONTAINS", _DCM.RadiationDoseEstimateMethodology, [used, _model(dose), *_attenuators(dose), _method(dose)]
    )


def _model(dose: PatientDose) -> Dataset:
    body = dose.body
    demographics = []
    for low, high, value, unit in (
        (_DCM.ModelMinimumWeight, _DCM.ModelMaximumWeight, body.weight_kg, "kg"),
        (_DCM.ModelMinimumHeight, _DCM.ModelMaximumHeight, body.height_cm, "cm"),
    ):
        if value is not None:
            demographics += [number(low, value, unit), number(high, value, unit)]
    # Without geometry nothing was registered: only that the patient lies somewhere in the beam is assumed.
    where = (
        "patient placed on the table by the table's recorded position; where on the table is assumed"
        if dose.mapped
        else "no geometry is known; distances from source to skin are assumed"
    )
    registration = [text("CONTAINS", _DCM.Comment, where)]
    if dose.mapped:
        registration.append(code("CONTAINS", _DCM.RegistrationMethod, _DCM.AcquisitionEquipmentAlignment))
    children = [
        code("CONTAINS", _DCM.PatientModelType, body.kind),
        code("CONTAINS", _DCM.RadiationTransportModelType, _DCM.GeometricRadiationTransportModel),
        text("CONTAINS", _DCM.Comment, body.words),
        container("CONTAINS", _DCM.PatientModelDemographics, demographics),
        container("CONTAINS", _DCM.PatientModelRegistration, registration),
    ]
    return container("CONTAINS", _DCM.PatientRadiationDoseModel, children)


def _attenuators(dose: PatientDose) -> list[Dataset]:
    made = []
    if dose.through_table:
        words = "table and pad between source and skin: transmission by tube voltage and copper, oblique path"
        made.append([code("CONTAINS", _DCM.AttenuatorCategory, _DCM.Table), _described(words)])
    materials = {"aluminium": _SCT.Aluminum, "copper": _SCT.Copper}
    for name, low, high in dose.filters_mm:
        if high > 0.0:
            thickness = number(_DCM.EquivalentAttenuatorThickness, high, "mm")
            words = f"filter of {low:g} to {high:g} mm over the events" if low != high else f"filter of {high:g} mm"
            children = [
                code("CONTAINS", _DCM.AttenuatorCategory, _DCM.XRayFilters),
                code("CONTAINS", _DCM.EquivalentAttenuatorMaterial, materials[name]),
                thickness,
                _described(words),
            ]
            made.append(children)
    return [container("CONTAINS", _DCM.XRayBeamAttenuator, children) for children in made]


def _described(words: str) -> Dataset:
    return text("CONTAINS", _DCM.AttenuatorDescription, words)


def _method(dose: PatientDose) -> Dataset:
    parameters = []
    if dose.backscatter is not None:
        parameters.append(number(_DCM.Backscatter, dose.backscatter, "{ratio}"))
    if dose.half_value_layer_mm is not None:
        parameters.append(number(_DCM.HalfValueLayer, dose.half_value_layer_mm, "mm"))
    if dose.share_on_patient is not None:
        parameters.append(number(_SHARE, dose.share_on_patient, "{ratio}"))
    children = [code("CONTAINS", _DCM.RadiationDoseEstimateMethodType, _DCM.AnalyticalAlgorithm)]
    if parameters:
        children.append(container("CONTAINS", _DCM.RadiationDoseEstimateParameters, parameters))
    reference = (
        "Air kerma at the reference point times inverse square, backscatter (Benmakhlouf 2013, PMB 58:247), "
        "mass energy absorption of tissue to air, and table transmission; summed over events"
    )
    if not dose.mapped:
        reference += ". Bounds: skin as far as the detector allows, and as near as 21 CFR 1020.32(g) allows"
    children.append(text("CONTAINS", _DCM.RadiationDoseEstimateMethodReference, reference))
    return container("CONTAINS", _DCM.RadiationDoseEstimateMethod, children)


def _representation(picture_uid: str) -> Dataset:
    """TID 10032."""
    children = [
        code("CONTAINS", _DCM.DistributionRepresentation, _DCM.SkinDoseMap),
        composite(
            "CONTAINS", _DCM.RadiationDoseRepresentationData, SecondaryCaptureImageStorage, picture_uid, image=True
        ),
        text("CONTAINS", _DCM.Comment, "Skin unrolled, head first; columns start at the back, then left, front, right"),
    ]
    return container("CONTAINS", _DCM.RadiationDoseEstimateRepresentation, children)


def _skin(dose: PatientDose) -> Dataset:
    peak = number(_DCM.MaximumAbsorbedRadiationDose, dose.peak_mgy, "mGy")
    below, above = dose.peak_mgy - dose.lower_mgy, dose.upper_mgy - dose.peak_mgy
    if abs(above - below) <= 1e-9 * max(dose.peak_mgy, 1e-9):
        spread = [number(_PLUS_MINUS, above, "mGy", "HAS PROPERTIES")]
    else:
        spread = [number(_BELOW, below, "mGy", "HAS PROPERTIES"), number(_ABOVE, above, "mGy", "HAS PROPERTIES")]
    how = (
        "expanded uncertainty, k = 2: air kerma within 35 % (21 CFR 1020.32(k)(6)), place of the skin, table, "
        "backscatter, field"
        if dose.mapped
        else "bounds, not a confidence interval: nearest and farthest skin the machine allows"
    )
    peak.ContentSequence = [*spread, text("HAS PROPERTIES", _DCM.ReferenceToUncertaintyDeterminationMethod, how)]
    words = []
    if dose.position_mm is not None:
        x, y, z = (round(value) for value in dose.position_mm)
        words.append(f"Peak at {x}, {y}, {z} mm (left, back, head positive) in the body model")
    if dose.place:
        words.append(dose.place)
    comment = [text("CONTAINS", _DCM.Comment, ", ".join(words))] if words else []
    return _organ_container(_SCT.Skin, [*comment, peak])


def _effective(msv: float, source: str) -> Dataset:
    value = number(_DCM.EffectiveDose, msv, "mSv")
    comment = f"For comparing, not for one person. Coefficient: {source}"
    return _organ_container(_WHOLE_BODY, [text("CONTAINS", _DCM.Comment, comment), value])


def _organ(one: OrganEstimate) -> Dataset:
    return _organ_container(_ORGANS[one.name.casefold()], [number(_DCM.MeanAbsorbedRadiationDose, one.mgy, "mGy")])


def _organ_container(organ: Code, children: Sequence[Dataset]) -> Dataset:
    return container("CONTAINS", _DCM.OrganDoseInformation, [code("HAS CONCEPT MOD", _FINDING_SITE, organ), *children])

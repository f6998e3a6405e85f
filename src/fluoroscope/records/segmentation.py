"""A label map as a binary DICOM Segmentation (PS3.3 A.51) of a CT series, the same bytes every time."""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from fluoroscope import __version__
from fluoroscope.patient.labels import LabelMap
from fluoroscope.records.ct_series import CTDescription
from fluoroscope.records.identity import ExamIdentity
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.whole_file import whole_file
from fluoroscope.records.writing import file_meta, set_time

__all__ = ["code_of", "write_segmentation"]

# Keywords of PS3.16's SNOMED CT concepts, as pydicom lists them; structures without one get a code of our own.
_CONCEPTS = {
    "spleen": "Spleen",
    "kidney": "Kidney",
    "gallbladder": "Gallbladder",
    "liver": "Liver",
    "stomach": "Stomach",
    "pancreas": "Pancreas",
    "lung_lower_lobe": "StructureOfLowerLobeOfLung",
    "small_bowel": "SmallIntestine",
    "duodenum": "Duodenum",
    "colon": "Colon",
    "urinary_bladder": "Bladder",
    "sacrum": "Sacrum",
    "coccyx": "Coccyx",
    "aorta": "AbdominalAorta",
    "inferior_vena_cava": "InferiorVenaCava",
    "iliac_artery": "CommonIliacArtery",
    "iliac_vena": "CommonIliacVein",
    "femur": "Femur",
    "spinal_cord": "SpinalCord",
    "autochthon": "ErectorSpinaeMuscle",
    "rib_9": "Rib",
    "rib_10": "Rib",
    "rib_11": "Rib",
    "rib_12": "Rib",
    "costal_cartilages": "CostalCartilage",
    "skin": "Skin",
    "subcutaneous_fat": "AdiposeTissue",
    "abdominal_fat": "AdiposeTissue",
    "abdominal_wall": "AbdominalWallMuscle",
    "diaphragm": "Diaphragm",
    "cerebrospinal_fluid": "CerebrospinalFluid",
    "implant": "Implant",
    "uterus": "Uterus",
    "disc_L5_S1": "StructureOfIntervertebralDiscOfL5AndS1",
}
_PRIVATE_SCHEME = "99FLUOROSCOPE"


def code_of(structure: str) -> tuple[str, str, str]:
    """Return (value, scheme, meaning) of a structure: SNOMED CT where PS3.16 has it, else a private code.

    The side is in the segment's label, not in the code.
    """
    plain = structure.replace("_left", "").replace("_right", "")
    keyword = _CONCEPTS.get(plain)
    if plain.startswith("vertebrae_"):
        keyword = f"{plain.removeprefix('vertebrae_')}Vertebra"
    if keyword is not None and hasattr(codes.SCT, keyword):
        concept = getattr(codes.SCT, keyword)
        return str(concept.value), str(concept.scheme_designator), str(concept.meaning)[:64]
    # Code values have at most 16 characters.
    return derived_uid("structure", plain)[-12:], _PRIVATE_SCHEME, plain.replace("_", " ")[:64]


def write_segmentation(
    path: Path, labels: LabelMap, slices: Sequence[Dataset], about: CTDescription, structures: Sequence[str] = ()
) -> Mapping[int, str]:
    """Write a label map as a binary segmentation.

    Parameters
    ----------
    path
        Where to.
    labels
        On the grid of the series; numbers without a name are left out.
    slices
        What `write_ct_series` returned for the CT.
    about
        The same as of the CT.
    structures
        Names to write; all that occur when empty.

    Returns
    -------
    mapping
        Segment number to name of the structure, consecutive from 1 in the order of the labels' numbers.

    Raises
    ------
    ValueError
        When no voxel carries a name that is wanted, or the grids differ.
    OSError
        When it cannot be written.
    """
    if len(slices) != labels.values.shape[0]:
        raise ValueError(f"labels of {labels.values.shape[0]} slices do not fit a series of {len(slices)}")
    present = np.flatnonzero(np.bincount(labels.values.ravel()))
    wanted = [int(n) for n in present if n in labels.names and (not structures or labels.names[int(n)] in structures)]
    if not wanted:
        raise ValueError("no voxel carries a named structure: there is nothing to segment")
    segment_of = np.zeros(int(present.max()) + 1, dtype=np.uint8 if len(wanted) < 256 else np.uint16)
    segment_of[wanted] = np.arange(1, len(wanted) + 1)
    names = {number: labels.names[label] for number, label in enumerate(wanted, start=1)}
    made = _segmentation(segment_of[labels.values], names, slices, about)
    _make_reproducible(made, about.exam)
    meta = file_meta(made.SOPClassUID, made.SOPInstanceUID, ExplicitVRLittleEndian)
    with whole_file(path) as file:
        content = io.BytesIO()
        FileDataset(str(path), made, file_meta=meta, preamble=b"\0" * 128).save_as(content, enforce_file_format=True)
        file.write(content.getbuffer())
    return names


def _segmentation(segments: Any, names: Mapping[int, str], slices: Sequence[Dataset], about: CTDescription) -> Dataset:
    import highdicom
    from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription

    def described(number: int, name: str) -> Any:
        return SegmentDescription(
            segment_number=number,
            segment_label=name[:64],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=highdicom.sr.CodedConcept(*code_of(name)),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=highdicom.AlgorithmIdentificationSequence(
                name="modelled patient" if about.simulated else "labels of the CT",
                family=highdicom.sr.CodedConcept("GEOMETRY", _PRIVATE_SCHEME, "Labelled as drawn"),
                version=__version__,
            ),
        )

    study_uid, equipment = about.exam.study_uid, about.exam.equipment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Dataset = Segmentation(
            source_images=list(slices),
            pixel_array=segments,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[described(number, name) for number, name in names.items()],
            series_instance_uid=derived_uid(study_uid, "segmentation series"),
            series_number=2,
            sop_instance_uid=derived_uid(study_uid, "segmentation"),
            instance_number=1,
            manufacturer=equipment.manufacturer,
            manufacturer_model_name=equipment.model,
            software_versions=equipment.software_version,
            device_serial_number=equipment.serial_number,
            content_label="STRUCTURES",
            content_description=("SIMULATED: " if about.simulated else "") + "structures of the CT",
            series_description=("SIMULATED " if about.simulated else "") + "segmentation",
        )
    return made


def _make_reproducible(dataset: Dataset, exam: ExamIdentity) -> None:
    """Replace what highdicom takes from the clock and from chance."""
    for name in ("Series", "Content", "InstanceCreation"):
        set_time(dataset, name, exam.started)
    for item in dataset.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = exam.started.strftime("%Y%m%d%H%M%S.%f+0000")
    drawn = dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID
    fixed = derived_uid(exam.study_uid, "dimensions")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.get("DimensionIndexSequence", ())):
        if item.get("DimensionOrganizationUID") == drawn:
            item.DimensionOrganizationUID = fixed

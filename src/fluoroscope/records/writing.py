"""What every DICOM record has in common: numbers, codes, times, patient and study modules."""

from datetime import UTC, datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID
from pydicom.valuerep import DSfloat, format_number_as_ds

from fluoroscope.records.identity import ExamIdentity
from fluoroscope.records.uids import IMPLEMENTATION_UID

__all__ = ["code_item", "decimal", "exam_modules", "file_meta", "set_time"]


def decimal(value: float) -> DSfloat:
    """Return ``value`` as a DICOM decimal string: at most 16 characters, as exact as they allow."""
    number = float(value) + 0.0  # + 0.0 turns -0.0 into 0.0
    return DSfloat(format_number_as_ds(number))


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Return one item of a code sequence."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def set_time(dataset: Dataset, name: str, moment: datetime) -> None:
    """Set ``<name>Date`` and ``<name>Time`` in UTC (the data set says so in Timezone Offset From UTC)."""
    utc = moment.astimezone(UTC)
    setattr(dataset, f"{name}Date", utc.strftime("%Y%m%d"))
    setattr(dataset, f"{name}Time", utc.strftime("%H%M%S.%f"))


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> FileMetaDataset:
    """Return the file meta information of a record."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "FLUOROSCOPE"
    return meta


def exam_modules(exam: ExamIdentity) -> Dataset:
    """Return a data set with the patient, general study and general equipment modules of ``exam``."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.TimezoneOffsetFromUTC = "+0000"
    set_time(dataset, "Study", exam.started)
    dataset.AccessionNumber = exam.accession_number
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = exam.description
    dataset.PatientName = exam.patient.name
    dataset.PatientID = exam.patient.patient_id
    dataset.PatientBirthDate = exam.patient.birth_date.strftime("%Y%m%d") if exam.patient.birth_date else ""
    dataset.PatientSex = exam.patient.sex
    dataset.StudyInstanceUID = exam.study_uid
    dataset.StudyID = exam.started.strftime("%y%m%d%H%M%S")
    dataset.Manufacturer = exam.equipment.manufacturer
    dataset.ManufacturerModelName = exam.equipment.model
    dataset.DeviceSerialNumber = exam.equipment.serial_number
    dataset.SoftwareVersions = exam.equipment.software_version
    dataset.InstitutionName = ""
    return dataset

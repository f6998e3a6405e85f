"""The tables. A change here needs a migration: a test compares the two.

Times that end in ``_utc`` are UTC without a zone; an exam's times are those its machine wrote. Unknown is NULL.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Base",
    "Correction",
    "DoseObjectRow",
    "Erasure",
    "Event",
    "Exam",
    "ImportRun",
    "ImportedFile",
    "Merge",
    "Outside",
    "Patient",
    "Replacement",
    "Trainee",
    "TrainingAttempt",
]


class Base(DeclarativeBase):
    """Of every table."""

    type_annotation_map = {str: Text, float: Double, Any: JSON}  # noqa: RUF012  SQLAlchemy reads it so


class Patient(Base):
    """A person as an identity domain knows them.

    ``patient_id`` is NULL where an object names none. ``twin`` tells persons apart who came with one id but
    different dates of birth. ``merged_into`` is the row of the same person that is to be shown.
    """

    __tablename__ = "patients"
    __table_args__ = (UniqueConstraint("patient_id", "issuer", "twin"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[str | None]
    issuer: Mapped[str]
    twin: Mapped[int]
    name: Mapped[str]
    birth_date: Mapped[date | None]
    sex: Mapped[str]
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("patients.id"), index=True)
    added_utc: Mapped[datetime]


class Exam(Base):
    """One study of one patient.

    ``source`` is "own run" or "imported object". What was estimated in the room stands beside its source.
    ``procedure`` is what an object says, ``procedure_key`` the name in the catalogue of procedures, "" unknown.
    """

    __tablename__ = "exams"
    __table_args__ = (UniqueConstraint("study_uid", "patient_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_row: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    study_uid: Mapped[str]
    started: Mapped[datetime | None]
    procedure: Mapped[str]
    procedure_key: Mapped[str] = mapped_column(index=True, server_default="")
    source: Mapped[str]
    simulated: Mapped[bool]
    effective_msv: Mapped[float | None]
    effective_source: Mapped[str]
    peak_skin_mgy: Mapped[float | None]
    peak_skin_source: Mapped[str]
    added_utc: Mapped[datetime]


class DoseObjectRow(Base):
    """A dose report or an image header, as it came; ``header_*`` as it states, ``events_*`` as its events add up."""

    __tablename__ = "dose_objects"

    id: Mapped[int] = mapped_column(primary_key=True)
    exam_row: Mapped[int] = mapped_column(ForeignKey("exams.id"), index=True)
    sop_uid: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    manufacturer: Mapped[str]
    model: Mapped[str]
    serial_number: Mapped[str]
    written: Mapped[datetime | None]
    complete: Mapped[bool]
    scope: Mapped[str]
    scope_uid: Mapped[str]
    reference_point: Mapped[str]
    header_air_kerma_mgy: Mapped[float | None]
    header_kap_gy_cm2: Mapped[float | None]
    header_fluoroscopy_time_s: Mapped[float | None]
    header_acquisition_time_s: Mapped[float | None]
    events_air_kerma_mgy: Mapped[float | None]
    events_kap_gy_cm2: Mapped[float | None]
    events_fluoroscopy_time_s: Mapped[float | None]
    events_acquisition_time_s: Mapped[float | None]
    warnings: Mapped[Any]
    path: Mapped[str]
    added_utc: Mapped[datetime]


class Event(Base):
    """One irradiation event in one object: a report that came twice has its events twice, and they count once."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_uid", "uid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    object_row: Mapped[int] = mapped_column(ForeignKey("dose_objects.id"), index=True)
    number: Mapped[int]
    uid: Mapped[str]
    plane: Mapped[str]
    kind: Mapped[str]
    started: Mapped[str]
    air_kerma_mgy: Mapped[float | None]
    kap_gy_cm2: Mapped[float | None]
    duration_s: Mapped[float | None]
    pulses: Mapped[float | None]
    rate_per_s: Mapped[float | None]
    tube_voltage_kv: Mapped[float | None]
    tube_current_ma: Mapped[float | None]
    copper_mm: Mapped[float | None]
    primary_deg: Mapped[float | None]
    secondary_deg: Mapped[float | None]
    source_to_detector_mm: Mapped[float | None]
    field_area_cm2: Mapped[float | None]
    region: Mapped[str]


class Replacement(Base):
    """Object ``sop_uid`` says that it takes the place of ``replaced_uid``, which need not have come."""

    __tablename__ = "replacements"
    __table_args__ = (UniqueConstraint("object_row", "replaced_uid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    object_row: Mapped[int] = mapped_column(ForeignKey("dose_objects.id"), index=True)
    replaced_uid: Mapped[str] = mapped_column(index=True)


class Outside(Base):
    """An exposure elsewhere, as the patient told it. ``when`` may be a year, a month or a day.

    ``effective_msv`` is an estimate and stands only beside its source. What is removed is marked, not deleted.
    ``told_uid`` is what a room knows it by that wrote it down before the registry answered; NULL for others.
    """

    __tablename__ = "outside_exposures"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_row: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    kind: Mapped[str]
    body_part: Mapped[str]
    place: Mapped[str]
    when: Mapped[str]
    confirmed: Mapped[bool]
    effective_msv: Mapped[float | None]
    effective_source: Mapped[str]
    removed: Mapped[bool]
    told_to: Mapped[str]
    told_uid: Mapped[str | None] = mapped_column(unique=True, index=True)
    added_utc: Mapped[datetime]


class Correction(Base):
    """One value that was changed: of which table and row, from what to what, by whom, when and why."""

    __tablename__ = "corrections"
    __table_args__ = (Index("ix_corrections_row", "table", "row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    table: Mapped[str]
    row: Mapped[int]
    field: Mapped[str]
    old: Mapped[Any]
    new: Mapped[Any]
    who: Mapped[str]
    why: Mapped[str]
    changed_utc: Mapped[datetime]


class Merge(Base):
    """Two ids made one person. ``moved`` holds [row, its ``merged_into`` before] of each row that went to ``head``."""

    __tablename__ = "merges"

    id: Mapped[int] = mapped_column(primary_key=True)
    head: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    moved: Mapped[Any]
    who: Mapped[str]
    why: Mapped[str]
    merged_utc: Mapped[datetime]
    undone_who: Mapped[str]
    undone_why: Mapped[str]
    undone_utc: Mapped[datetime | None]


class Erasure(Base):
    """That somebody was erased, and nothing that says whom."""

    __tablename__ = "erasures"

    id: Mapped[int] = mapped_column(primary_key=True)
    exams: Mapped[int]
    objects: Mapped[int]
    events: Mapped[int]
    outside: Mapped[int]
    attempts: Mapped[int] = mapped_column(server_default="0")
    who: Mapped[str]
    why: Mapped[str]
    erased_utc: Mapped[datetime]


class ImportRun(Base):
    """One import of a folder; ``ended_utc`` is NULL while it runs, and of one that was cut short."""

    __tablename__ = "imports"

    id: Mapped[int] = mapped_column(primary_key=True)
    folder: Mapped[str]
    started_utc: Mapped[datetime]
    ended_utc: Mapped[datetime | None]


class ImportedFile(Base):
    """A file that was looked at, so that it is not read again while it stays the same."""

    __tablename__ = "imported_files"

    path: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    changed_ns: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str]
    text: Mapped[str]
    object_row: Mapped[int | None] = mapped_column(ForeignKey("dose_objects.id"), index=True)
    import_row: Mapped[int] = mapped_column(ForeignKey("imports.id"), index=True)


class Trainee(Base):
    """Somebody who trains, by a code of the user's choosing; of one made anonymous the code says nothing."""

    __tablename__ = "trainees"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    anonymous: Mapped[bool]
    added_utc: Mapped[datetime]


class TrainingAttempt(Base):
    """One attempt at a scenario and its score; ``exam`` is NULL where the trainee was made anonymous."""

    __tablename__ = "training_attempts"
    __table_args__ = (UniqueConstraint("exam", "scenario"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    trainee_row: Mapped[int] = mapped_column(ForeignKey("trainees.id"), index=True)
    exam: Mapped[str | None]
    scenario: Mapped[str] = mapped_column(index=True)
    procedure_key: Mapped[str]
    level: Mapped[str]
    side: Mapped[str]
    patient: Mapped[str]
    guidance: Mapped[bool]
    attempted_utc: Mapped[datetime]
    complete: Mapped[bool]
    total: Mapped[float]
    success: Mapped[bool]
    passed: Mapped[bool]
    score: Mapped[Any]
    version: Mapped[str]
    added_utc: Mapped[datetime]

"""Patients, exams, objects and events, exposures told by the patient, corrections, erasures."""

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _corrections()
    _erasures()
    _patients()
    _exams()
    _outside_exposures()
    _dose_objects()
    _events()
    _replacements()


def _corrections() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("old", sa.JSON(), nullable=False),
        sa.Column("new", sa.JSON(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("changed_utc", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_corrections_row", "corrections", ["table", "row"], unique=False)


def _erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("exams", sa.Integer(), nullable=False),
        sa.Column("objects", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("outside", sa.Integer(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("erased_utc", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _patients() -> None:
    op.create_table(
        "patients",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=True),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("twin", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("sex", sa.Text(), nullable=False),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.Column("added_utc", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merged_into"],
            ["patients.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("patient_id", "issuer", "twin"),
    )
    op.create_index(op.f("ix_patients_merged_into"), "patients", ["merged_into"], unique=False)


def _exams() -> None:
    op.create_table(
        "exams",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_row", sa.Integer(), nullable=False),
        sa.Column("study_uid", sa.Text(), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=True),
        sa.Column("procedure", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("effective_msv", sa.Double(), nullable=True),
        sa.Column("effective_source", sa.Text(), nullable=False),
        sa.Column("peak_skin_mgy", sa.Double(), nullable=True),
        sa.Column("peak_skin_source", sa.Text(), nullable=False),
        sa.Column("added_utc", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_row"],
            ["patients.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_uid", "patient_row"),
    )
    op.create_index(op.f("ix_exams_patient_row"), "exams", ["patient_row"], unique=False)


def _outside_exposures() -> None:
    op.create_table(
        "outside_exposures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_row", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body_part", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("when", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("effective_msv", sa.Double(), nullable=True),
        sa.Column("effective_source", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("told_to", sa.Text(), nullable=False),
        sa.Column("added_utc", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_row"],
            ["patients.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_outside_exposures_patient_row"), "outside_exposures", ["patient_row"], unique=False)


def _dose_objects() -> None:
    op.create_table(
        "dose_objects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("exam_row", sa.Integer(), nullable=False),
        sa.Column("sop_uid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("manufacturer", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("serial_number", sa.Text(), nullable=False),
        sa.Column("written", sa.DateTime(), nullable=True),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("scope_uid", sa.Text(), nullable=False),
        sa.Column("reference_point", sa.Text(), nullable=False),
        sa.Column("header_air_kerma_mgy", sa.Double(), nullable=True),
        sa.Column("header_kap_gy_cm2", sa.Double(), nullable=True),
        sa.Column("header_fluoroscopy_time_s", sa.Double(), nullable=True),
        sa.Column("header_acquisition_time_s", sa.Double(), nullable=True),
        sa.Column("events_air_kerma_mgy", sa.Double(), nullable=True),
        sa.Column("events_kap_gy_cm2", sa.Double(), nullable=True),
        sa.Column("events_fluoroscopy_time_s", sa.Double(), nullable=True),
        sa.Column("events_acquisition_time_s", sa.Double(), nullable=True),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("added_utc", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["exam_row"],
            ["exams.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sop_uid"),
    )
    op.create_index(op.f("ix_dose_objects_exam_row"), "dose_objects", ["exam_row"], unique=False)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("object_row", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("plane", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started", sa.Text(), nullable=False),
        sa.Column("air_kerma_mgy", sa.Double(), nullable=True),
        sa.Column("kap_gy_cm2", sa.Double(), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("pulses", sa.Double(), nullable=True),
        sa.Column("rate_per_s", sa.Double(), nullable=True),
        sa.Column("tube_voltage_kv", sa.Double(), nullable=True),
        sa.Column("tube_current_ma", sa.Double(), nullable=True),
        sa.Column("copper_mm", sa.Double(), nullable=True),
        sa.Column("primary_deg", sa.Double(), nullable=True),
        sa.Column("secondary_deg", sa.Double(), nullable=True),
        sa.Column("source_to_detector_mm", sa.Double(), nullable=True),
        sa.Column("field_area_cm2", sa.Double(), nullable=True),
        sa.Column("region", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_row"],
            ["dose_objects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_events_object_row"), "events", ["object_row"], unique=False)
    op.create_index("ix_events_uid", "events", ["uid"], unique=False)


def _replacements() -> None:
    op.create_table(
        "replacements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("object_row", sa.Integer(), nullable=False),
        sa.Column("replaced_uid", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_row"],
            ["dose_objects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("object_row", "replaced_uid"),
    )
    op.create_index(op.f("ix_replacements_object_row"), "replacements", ["object_row"], unique=False)
    op.create_index(op.f("ix_replacements_replaced_uid"), "replacements", ["replaced_uid"], unique=False)

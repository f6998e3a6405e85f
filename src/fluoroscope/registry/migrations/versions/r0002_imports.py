"""Imports, and the files they looked at."""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("started_utc", sa.DateTime(), nullable=False),
        sa.Column("ended_utc", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "imported_files",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("object_row", sa.Integer(), nullable=True),
        sa.Column("import_row", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["import_row"], ["imports.id"]),
        sa.ForeignKeyConstraint(["object_row"], ["dose_objects.id"]),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_index(op.f("ix_imported_files_import_row"), "imported_files", ["import_row"], unique=False)
    op.create_index(op.f("ix_imported_files_object_row"), "imported_files", ["object_row"], unique=False)

"""Merges that can be undone, the procedure of an exam by its key, exposures told in a room by their UID."""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"

ONE_MERGE = timedelta(seconds=5)
"""Every row that a merge moved was noted by itself, in one go."""


def upgrade() -> None:
    """Add table and columns; take the merges of before over from their corrections."""
    op.add_column("exams", sa.Column("procedure_key", sa.Text(), nullable=False, server_default=""))
    op.create_index(op.f("ix_exams_procedure_key"), "exams", ["procedure_key"], unique=False)
    op.add_column("outside_exposures", sa.Column("told_uid", sa.Text(), nullable=True))
    op.create_index(op.f("ix_outside_exposures_told_uid"), "outside_exposures", ["told_uid"], unique=True)
    merges = op.create_table(
        "merges",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("head", sa.Integer(), nullable=False),
        sa.Column("moved", sa.JSON(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("merged_utc", sa.DateTime(), nullable=False),
        sa.Column("undone_who", sa.Text(), nullable=False),
        sa.Column("undone_why", sa.Text(), nullable=False),
        sa.Column("undone_utc", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["head"], ["patients.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_merges_head"), "merges", ["head"], unique=False)
    found = _merges_of_before()
    if found:
        op.bulk_insert(merges, found)


def _merges_of_before() -> list[dict[str, object]]:
    corrections = sa.table(
        "corrections",
        sa.column("id", sa.Integer),
        sa.column("table", sa.Text),
        sa.column("row", sa.Integer),
        sa.column("field", sa.Text),
        sa.column("old", sa.JSON),
        sa.column("new", sa.JSON),
        sa.column("who", sa.Text),
        sa.column("why", sa.Text),
        sa.column("changed_utc", sa.DateTime),
    )
    query = sa.select(corrections).where(corrections.c.table == "patients", corrections.c.field == "merged_into")
    found: list[dict[str, object]] = []
    last = None
    for one in op.get_bind().execute(query.order_by(corrections.c.id)):
        key = (one.new, one.who, one.why)
        if found and last is not None and last[0] == key and one.changed_utc - last[1] < ONE_MERGE:
            found[-1]["moved"].append([one.row, one.old])  # type: ignore[attr-defined]
        else:
            found.append(
                {
                    "head": one.new, "moved": [[one.row, one.old]], "who": one.who, "why": one.why,
                    "merged_utc": one.changed_utc, "undone_who": "", "undone_why": "", "undone_utc": None,
                }
            )  # fmt: skip
        last = (key, one.changed_utc)
    return found

"""Trainees and their attempts."""

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"


def upgrade() -> None:
    """Add the tables; an erasure counts attempts too."""
    op.create_table(
        "trainees",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("anonymous", sa.Boolean(), nullable=False),
        sa.Column("added_utc", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code"),
    )
    op.create_table(
        "training_attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trainee_row", sa.Integer(), nullable=False),
        sa.Column("exam", sa.Text(), nullable=True),
        sa.Column("scenario", sa.Text(), nullable=False),
        sa.Column("procedure_key", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("guidance", sa.Boolean(), nullable=False),
        sa.Column("attempted_utc", sa.DateTime(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("score", sa.JSON(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("added_utc", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["trainee_row"], ["trainees.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("exam", "scenario"),
    )
    for column in ("trainee_row", "scenario"):
        op.create_index(op.f(f"ix_training_attempts_{column}"), "training_attempts", [column], unique=False)
    op.add_column("erasures", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))

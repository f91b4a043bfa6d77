"""Repositories say whether a version is published, so that those without one are found among many."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column(
        "repository",
        sa.Column("published", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    # Names differ in more than the case of letters: SQLite compares them so, PostgreSQL is told to.
    same = "repository.name = model.name"
    if op.get_bind().dialect.name == "postgresql":
        same = 'lower(repository.name COLLATE "C") = lower(model.name COLLATE "C")'
    op.execute(
        f"UPDATE repository SET published = true WHERE EXISTS (SELECT 1 FROM model WHERE {same})"  # noqa: S608
    )
    op.create_index("ix_repository_published", "repository", ["published", "changed"])

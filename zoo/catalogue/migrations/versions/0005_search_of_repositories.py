"""The index of repositories, filled from what is there, and the order of their changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from zoo.hub.listing import INDEX, documents

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column(
        "repository", sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0")
    )
    connection = op.get_bind()
    numbers = connection.execute(
        sa.text("SELECT id FROM repository ORDER BY updated_at, id")
    ).scalars()
    changes = [{"id": row, "changed": place} for place, row in enumerate(numbers.all(), 1)]
    if changes:
        connection.execute(
            sa.text("UPDATE repository SET changed = :changed WHERE id = :id"), changes
        )
    op.create_index("ix_repository_changed", "repository", ["changed"])
    op.drop_index("ix_repository_updated_at", "repository")
    INDEX.fill(connection, documents(connection))

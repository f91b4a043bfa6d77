"""The index of models also says which forms are not verified; filled anew from the rows."""

from __future__ import annotations

from alembic import op

from zoo.catalogue.listing import INDEX, documents

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    connection = op.get_bind()
    INDEX.fill(connection, documents(connection))

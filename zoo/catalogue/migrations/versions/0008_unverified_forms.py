"""The index of models also says which forms are not verified; filled anew from the rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from zoo.catalogue.listing import INDEX, document
from zoo.catalogue.tables import Form, Model

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    connection = op.get_bind()
    op.execute(f"DROP TABLE {INDEX.name}")
    INDEX.create(connection)
    forms: dict[int, list[Form]] = {}
    for row in connection.execute(
        sa.text("SELECT model_id, framework, precision, targets, verified FROM form")
    ).mappings():
        forms.setdefault(row["model_id"], []).append(Form(**row))
    for row in (
        connection.execute(sa.text("SELECT id, name, task, licence, words FROM model ORDER BY id"))
        .mappings()
        .all()
    ):
        INDEX.add(connection, row["id"], document(Model(**row), forms.get(row["id"], [])))

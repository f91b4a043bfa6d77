"""The index of models also says which forms are not verified; filled anew from the rows."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from zoo.catalogue.listing import INDEX, document
from zoo.catalogue.tables import Form, Model

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

AT_ONCE = 1000  # models


def upgrade() -> None:
    """Bring the schema to this revision."""
    connection = op.get_bind()
    op.execute(f"DROP TABLE {INDEX.name}")
    INDEX.begin(connection)
    last = 0
    while models := _next(connection, "model", "id", "id, name, task, licence, words", last):
        first, last = last, models[-1]["id"]
        forms: dict[int, list[Form]] = {}
        fields = "model_id, framework, precision, targets, verified"
        for row in _next(connection, "form", "model_id", fields, first, last):
            forms.setdefault(row["model_id"], []).append(Form(**row))
        INDEX.add_all(
            connection,
            {row["id"]: document(Model(**row), forms.get(row["id"], [])) for row in models},
        )
    INDEX.finish(connection)


def _next(
    connection: sa.Connection,
    table: str,
    key: str,
    fields: str,
    after: int,
    until: int | None = None,
) -> Sequence[sa.RowMapping]:
    """The rows of the next models: so many, or up to one."""
    end = f"LIMIT {AT_ONCE}" if until is None else ""
    bound = "" if until is None else f"AND {key} <= {until}"
    statement = f"SELECT {fields} FROM {table} WHERE {key} > {after} {bound} ORDER BY {key} {end}"  # noqa: S608
    return connection.execute(sa.text(statement)).mappings().all()

"""The forms of latest versions, filled from what is published, and the index of models."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from zoo.catalogue.listing import INDEX

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    form = op.create_table(
        "form",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("framework", sa.String(), nullable=False),
        sa.Column("precision", sa.String(), nullable=False),
        sa.Column("targets", sa.Text(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_form_model_id"),
        sa.PrimaryKeyConstraint("model_id", "framework", name="pk_form"),
    )
    op.create_index("ix_version_model_id", "version", ["model_id", "id"])
    op.create_index("ix_version_id", "version", ["id", "model_id"])
    # The index of models answers for it, and SQLite's planner would prefer it where it is slow.
    op.drop_index("ix_model_task", "model")
    connection = op.get_bind()
    INDEX.create(connection)  # 0008 fills it
    published = connection.execute(
        sa.text(
            "SELECT version.model_id, version.manifest FROM model JOIN version "
            "ON version.model_id = model.id AND version.version = model.latest"
        ),
        execution_options={"yield_per": 100},
    )
    for rows in published.mappings().partitions():
        forms = [
            _form(row["model_id"], artifact)
            for row in rows
            for artifact in json.loads(row["manifest"])["artifacts"]
        ]
        connection.execute(form.insert(), forms)


def _form(model: int, artifact: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_id": model,
        "framework": artifact["framework"],
        "precision": artifact["precision"],
        "targets": "".join(f"\n{target}" for target in artifact.get("targets", ["cpu"])) + "\n",
        "verified": bool((artifact.get("verification") or {}).get("passed")),
    }

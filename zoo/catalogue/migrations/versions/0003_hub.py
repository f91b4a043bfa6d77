"""Repositories as hub clients see them: commits, trees, refs; one repository for every model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from zoo.catalogue.migrations.parts import name, unique_name

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "repository",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", name(193), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("committed_at", sa.DateTime(), nullable=True),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repository"),
        sa.UniqueConstraint("name", name="uq_repository_name"),
    )
    op.create_index("ix_repository_updated_at", "repository", ["updated_at"])
    op.create_index("ix_repository_committed_at", "repository", ["committed_at"])
    op.create_table(
        "commit",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tree", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name="fk_commit_repository_id"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_commit"),
        sa.UniqueConstraint("repository_id", "id", name="uq_commit_repository_id"),
    )
    op.create_table(
        "tree",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tree"),
    )
    op.create_table(
        "ref",
        sa.Column("repository_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repository.id"], name="fk_ref_repository_id"),
        sa.PrimaryKeyConstraint("repository_id", "kind", "name", name="pk_ref"),
    )
    unique_name("repository", "name")
    # What was published before; the first look at a repository fills in its card.
    op.execute(
        "INSERT INTO repository (name, created_at, updated_at, card, tags) "
        "SELECT model.name, (SELECT min(published_at) FROM version WHERE model_id = model.id), "
        "updated_at, '{}', '\n' || tags || '\n' || task || '\n' || frameworks "
        "FROM model"
    )

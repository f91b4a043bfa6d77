"""An index of jobs by the model that they make: its page shows the newest."""

from __future__ import annotations

from alembic import op

revision = "jobs_0002"
down_revision = "jobs_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_index("ix_job_name", "job", ["name", "created_at"])

"""The tables of jobs. They may be in another database than the catalogue: SQLite or PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from zoo.catalogue.tables import NAMING

METADATA = MetaData(naming_convention=NAMING)
ACTIVE = ("queued", "running", "publishing")

job = Table(
    "job",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(193), nullable=False),
    Column("version", String(64), nullable=False),
    Column("submission", Text, nullable=False),  # JSON
    Column("submitter", String(96), nullable=False),  # for the audit log
    Column("digest", String(64), nullable=False),  # of the submission
    Column("state", String(16), nullable=False),
    Column("round", Integer, nullable=False),  # how often it was begun anew
    Column("handed_over", Integer, nullable=False),  # the round that the queue knows
    Column("owner", String(128)),  # the worker that may write
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("error", Text),  # JSON
    Column("published", String(80)),
    Column("hook_attempts", Integer, nullable=False),
    Column("hook_after", Float),  # seconds since 1970; null where nothing is left to tell
)
# One job at a time makes a version.
Index(
    "uq_job_active",
    job.c.name,
    job.c.version,
    unique=True,
    sqlite_where=text("state IN ('queued', 'running', 'publishing')"),
    postgresql_where=text("state IN ('queued', 'running', 'publishing')"),
)
Index("ix_job_state", job.c.state)
Index("ix_job_name", job.c.name, job.c.created_at)

step = Table(
    "job_step",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("job_id", String(32), ForeignKey("job.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("name", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("state", String(16), nullable=False),  # running, done, failed, cancelled
    Column("message", Text, nullable=False),
    UniqueConstraint("job_id", "round", "name"),
)

event = Table(
    "job_event",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("job_id", String(32), ForeignKey("job.id"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("data", Text, nullable=False),  # JSON
)

worker = Table(
    "job_worker",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("beat", BigInteger, nullable=False),
)

"""The use cases of jobs: submit, look, cancel, begin again; and what workers write, fenced."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import URL, Connection, delete, func, insert, select, text, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from converters.errors import ConversionError
from zoo.access import LOCAL, Identity
from zoo.catalogue import engine as databases
from zoo.catalogue.engine import open_engine, told
from zoo.errors import Conflict, InvalidManifest, MissingBlobs, NotFound, ZooError
from zoo.jobs import tables
from zoo.jobs.records import ENDED, Event, Failure, Job, Policy, Step, Submission
from zoo.jobs.results import Results
from zoo.manifest import Manifest
from zoo.reference import shown
from zoo.registry import Registry
from zoo.settings import Settings

MIGRATIONS = Path(__file__).with_name("migrations")
LARGEST_PAGE = 1000


class Superseded(Exception):
    """This worker may not write to the job: it was cancelled, or the worker counts as dead."""


class Jobs:
    """The jobs of a zoo.

    Args:
        registry: Where what succeeds is published.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.settings = registry.settings
        self.folder = registry.data / "jobs"
        shared = None if registry.bucket is None else registry.bucket.below("jobs")
        self.results = Results(self.folder, shared)
        self._engine = open_engine(database_url(registry.data, registry.settings), MIGRATIONS)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # ---- for everybody

    def submit(self, submission: Submission, by: Identity = LOCAL) -> tuple[Job, bool]:
        """Start a conversion; this is the one entry, whoever decides that it is time.

        Args:
            submission: Its files are in the store, or name a source.
            by: Who submits; the version is published in this name.

        Returns:
            The job, and whether it is a new one: the same submission again gives the same job for as
            long as it has not failed.

        Raises:
            Conflict: The version is published, or another submission of it is on its way.
            MissingBlobs: Files that name no source are not in the store.
            InvalidManifest: There is not exactly one artifact, or the webhook's host is not allowed.
        """
        manifest = submission.manifest
        self._check(submission)
        with self._writing() as session:
            self._require_files(manifest)
            query = select(tables.job).where(
                tables.job.c.name == manifest.name,
                tables.job.c.version == manifest.version,
                tables.job.c.state.in_([*tables.ACTIVE, "succeeded"]),
            )
            found = session.execute(query).mappings().first()
            if found is not None and found["digest"] == submission.digest:
                return _job(found, _steps(session, found)), False
            if found is not None:
                raise Conflict(
                    f"{manifest.reference} is "
                    + ("published" if found["state"] == "succeeded" else "being converted")
                    + f" from another submission (job {found['id']})",
                    fix="choose another version"
                    + ("" if found["state"] == "succeeded" else ", or cancel that job"),
                )
            if self._is_published(manifest):
                raise Conflict(
                    f"{manifest.reference} is published and never changes",
                    fix="choose another version",
                )
            values = {
                "id": secrets.token_hex(16),
                "name": manifest.name,
                "version": manifest.version,
                "submission": submission.canonical(),
                "submitter": by.name,
                "digest": submission.digest,
                "state": "queued",
                "round": 1,
                "handed_over": 0,
                "created_at": _now(),
                "hook_attempts": 0,
            }
            try:
                with session.begin_nested():
                    session.execute(insert(tables.job).values(values))
            except IntegrityError:
                raise Conflict(
                    f"{manifest.reference} has just been submitted by somebody else",
                    fix="look at `zoo jobs list`",
                ) from None
            _tell(session, str(values["id"]), "state", {"state": "queued"})
            row = _row(session, str(values["id"]))
            return _job(row), True

    def get(self, job_id: str) -> Job:
        """One job with its steps.

        Raises:
            NotFound: There is no such job.
        """
        with self._reading() as session:
            row = _row(session, job_id)
            return _job(row, _steps(session, row))

    def list(
        self, *, state: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[Job, ...]:
        """Jobs, the newest first, without their steps."""
        query = select(tables.job).order_by(tables.job.c.created_at.desc(), tables.job.c.id)
        if state is not None:
            query = query.where(tables.job.c.state == state)
        if name is not None:
            query = query.where(tables.job.c.name == name)
        with self._reading() as session:
            rows = session.execute(query.limit(min(max(limit, 1), LARGEST_PAGE))).mappings()
            return tuple(_job(row) for row in rows)

    def submitter(self, job_id: str) -> Identity:
        """Who submitted a job, by name alone."""
        with self._reading() as session:
            return Identity(str(_row(session, job_id)["submitter"]))

    def cancel(self, job_id: str) -> Job:
        """End a job; a worker that runs it stops within seconds.

        Raises:
            Conflict: It has ended, or is being published.
        """
        with self._writing() as session:
            row = _row(session, job_id, lock=True)
            if row["state"] == "cancelled":
                return _job(row, _steps(session, row))
            if row["state"] not in ("queued", "running"):
                raise Conflict(
                    f"job {job_id} is {row['state']} and cannot be cancelled",
                    fix="look at it: zoo jobs show " + job_id,
                )
            session.execute(
                update(tables.step)
                .where(tables.step.c.job_id == job_id, tables.step.c.state == "running")
                .values(state="cancelled", ended_at=_now())
            )
            self._end(session, row, "cancelled")
        return self.get(job_id)

    def retry(self, job_id: str) -> Job:
        """Begin a failed or cancelled job anew.

        Raises:
            Conflict: It has not ended, or succeeded, or another job makes the same version.
        """
        with self._writing() as session:
            row = _row(session, job_id, lock=True)
            if row["state"] not in ("failed", "cancelled"):
                raise Conflict(
                    f"job {job_id} is {row['state']}",
                    fix="only what failed or was cancelled can be begun anew",
                )
            changes = {
                "state": "queued",
                "round": row["round"] + 1,
                "owner": None,
                "ended_at": None,
                "error": None,
                "hook_attempts": 0,
                "hook_after": None,
            }
            try:
                with session.begin_nested():
                    _change(session, job_id, **changes)
            except IntegrityError:
                raise Conflict(
                    f"another job makes {row['name']}@{row['version']}",
                    fix="look at `zoo jobs list`",
                ) from None
            _tell(session, job_id, "state", {"state": "queued"})
        return self.get(job_id)

    def events(self, job_id: str, after: int = 0, limit: int = 500) -> tuple[Event, ...]:
        """What happened to a job after an event, in order.

        Raises:
            NotFound: There is no such job.
        """
        query = (
            select(tables.event)
            .where(tables.event.c.job_id == job_id, tables.event.c.id > after)
            .order_by(tables.event.c.id)
            .limit(limit)
        )
        with self._reading() as session:
            _row(session, job_id)
            rows = session.execute(query).mappings()
            return tuple(
                Event(id=row["id"], kind=row["kind"], data=json.loads(row["data"])) for row in rows
            )

    # ---- for workers

    def queued(self) -> tuple[tuple[str, int], ...]:
        """Jobs whose round the queue does not know yet: id and round."""
        query = select(tables.job.c.id, tables.job.c.round).where(
            tables.job.c.state == "queued", tables.job.c.handed_over < tables.job.c.round
        )
        with self._reading() as session:
            return tuple((row.id, row.round) for row in session.execute(query))

    def handed_over(self, job_id: str, number: int) -> None:
        """Note that the queue knows a round."""
        with self._writing() as session:
            session.execute(
                update(tables.job)
                .where(tables.job.c.id == job_id, tables.job.c.handed_over < number)
                .values(handed_over=number)
            )

    def enter(self, worker: str) -> None:
        """Count a worker among the living."""
        with self._writing() as session:
            session.execute(insert(tables.worker).values(id=worker, beat=0))

    def leave(self, workers: Iterable[str]) -> None:
        """Count workers among the dead: from now on they may write nothing."""
        with self._writing() as session:
            session.execute(delete(tables.worker).where(tables.worker.c.id.in_(list(workers))))

    def beat(self, worker: str) -> bool:
        """A sign of life; False for one that counts as dead."""
        with self._writing() as session:
            found = session.execute(
                update(tables.worker)
                .where(tables.worker.c.id == worker)
                .values(beat=tables.worker.c.beat + 1)
            )
            return found.rowcount == 1

    def living(self) -> dict[str, int]:
        """The workers that count as living, with the number of their last sign of life."""
        with self._reading() as session:
            return {row.id: row.beat for row in session.execute(select(tables.worker))}

    def owned(self, worker: str) -> frozenset[str]:
        """Ids of the jobs that a worker may go on with."""
        query = select(tables.job.c.id).where(
            tables.job.c.owner == worker, tables.job.c.state.in_(["running", "publishing"])
        )
        with self._reading() as session:
            return frozenset(session.execute(query).scalars())

    def active(self) -> frozenset[str]:
        """Ids of the jobs that have not ended."""
        query = select(tables.job.c.id).where(tables.job.c.state.in_(tables.ACTIVE))
        with self._reading() as session:
            return frozenset(session.execute(query).scalars())

    def claim(self, job_id: str, number: int, worker: str) -> Submission:
        """Take a job over, from a dead worker too.

        Raises:
            Superseded: It has ended or was begun anew, or the worker counts as dead.
        """
        with self._writing() as session:
            row = _row(session, job_id, lock=True)
            self._require_living(session, worker)
            if row["state"] in ENDED or row["round"] != number:
                raise Superseded(job_id)
            _change(
                session,
                job_id,
                owner=worker,
                state="running" if row["state"] == "queued" else row["state"],
            )
            if row["state"] == "queued":
                _tell(session, job_id, "state", {"state": "running"})
            return Submission.model_validate_json(row["submission"])

    def begin(self, job_id: str, name: str, worker: str) -> int:
        """Note that a step is begun; returns how often that has happened.

        Raises:
            Superseded: The worker may not write to this job.
        """
        with self._fenced(job_id, worker) as (session, row):
            here = (
                tables.step.c.job_id == job_id,
                tables.step.c.round == row["round"],
                tables.step.c.name == name,
            )
            found = session.execute(select(tables.step.c.attempts).where(*here)).scalar()
            attempts = (found or 0) + 1
            values = {"attempts": attempts, "started_at": _now(), "state": "running"}
            values |= {"ended_at": None, "message": ""}
            if found is None:
                fresh = {"job_id": job_id, "round": row["round"], "name": name}
                session.execute(insert(tables.step).values(**fresh, **values))
            else:
                session.execute(update(tables.step).where(*here).values(values))
            _tell(session, job_id, "step", {"step": name, "state": "running", "attempts": attempts})
            return attempts

    def finish(self, job_id: str, name: str, worker: str, state: str, message: str) -> None:
        """Note how a step ended.

        Raises:
            Superseded: The worker may not write to this job.
        """
        with self._fenced(job_id, worker) as (session, row):
            session.execute(
                update(tables.step)
                .where(
                    tables.step.c.job_id == job_id,
                    tables.step.c.round == row["round"],
                    tables.step.c.name == name,
                )
                .values(ended_at=_now(), state=state, message=message)
            )
            _tell(session, job_id, "step", {"step": name, "state": state, "message": message})

    def publishing(self, job_id: str, worker: str) -> None:
        """From here on the job cannot be cancelled.

        Raises:
            Superseded: The worker may not write to this job.
        """
        with self._fenced(job_id, worker) as (session, row):
            if row["state"] != "publishing":
                _change(session, job_id, state="publishing")
                _tell(session, job_id, "state", {"state": "publishing"})

    def end(
        self,
        job_id: str,
        worker: str,
        *,
        published: str | None = None,
        error: Failure | None = None,
    ) -> None:
        """Note how a job ended.

        Raises:
            Superseded: The worker may not write to this job.
        """
        with self._fenced(job_id, worker) as (session, row):
            self._end(
                session,
                row,
                "failed" if error is not None else "succeeded",
                published=published,
                error=None if error is None else error.model_dump_json(),
            )

    def calls(self) -> tuple[tuple[Job, str, int], ...]:
        """Ended jobs that somebody wants to hear of, each taken by one worker: job, address, attempt."""
        taken = []
        with self._writing() as session:
            query = select(tables.job).where(tables.job.c.hook_after <= time.time()).limit(20)
            for row in session.execute(query.with_for_update(skip_locked=True)).mappings().all():
                attempt = row["hook_attempts"] + 1
                # If this worker dies now, another one tries again later.
                _change(
                    session,
                    row["id"],
                    hook_attempts=attempt,
                    hook_after=time.time() + min(3600.0, 2.0 ** (attempt + 1)),
                )
                address = Submission.model_validate_json(row["submission"]).webhook or ""
                taken.append((_job(row, _steps(session, row)), address, attempt))
        return tuple(taken)

    def called(self, job_id: str) -> None:
        """Whoever wanted to hear of a job has heard, or never will."""
        with self._writing() as session:
            _change(session, job_id, hook_after=None)

    # ---- for whoever runs the zoo

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        query = select(tables.job.c.state, func.count()).group_by(tables.job.c.state)
        with self._reading() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    def integrity(self, full: bool) -> tuple[str, ...]:
        """What is broken in the database, in its own words."""
        return tuple(databases.integrity(self._engine, full))

    @contextmanager
    def needed(self) -> Iterator[frozenset[str]]:
        """The digests of files of jobs that may still be run; until the end no other job is submitted."""
        query = select(tables.job.c.submission).where(tables.job.c.state != "succeeded")
        with self._writing() as session:
            if self._engine.dialect.name == "postgresql":
                session.execute(text("LOCK TABLE job IN SHARE ROW EXCLUSIVE MODE"))
            submissions = [
                Submission.model_validate_json(found) for found in session.execute(query).scalars()
            ]
            artifacts = (item for found in submissions for item in found.manifest.artifacts)
            yield frozenset(file.sha256 for artifact in artifacts for file in artifact.files)

    def restart(self) -> None:
        """Begin anew what was under way when a copy of this zoo was made; no worker is alive here."""
        query = select(tables.job).where(tables.job.c.state.in_(tables.ACTIVE))
        with self._writing() as session:
            session.execute(delete(tables.worker))
            for row in session.execute(query).mappings().all():
                if row["state"] == "queued":
                    # The copy may have no queue, or one in which the job waits for a worker that is gone.
                    _change(session, row["id"], round=max(row["round"], row["handed_over"] + 1))
                    continue
                try:
                    published = self.registry.version(row["name"], row["version"]).digest
                except NotFound:
                    changes = {"state": "queued", "round": row["round"] + 1, "owner": None}
                    _change(session, row["id"], **changes)
                    _tell(session, row["id"], "state", {"state": "queued"})
                else:
                    self._end(session, row, "succeeded", published=published)

    # ---- within

    def _check(self, submission: Submission) -> None:
        manifest = submission.manifest
        if len(manifest.artifacts) != 1:
            raise InvalidManifest(
                f"artifacts: expected one, the source, got {len(manifest.artifacts)}",
                fix="leave out the forms that are to be made",
            )
        self._require_files(manifest)
        for file in manifest.artifacts[0].files:
            # What the server's own disk or network holds is not for submitters to name.
            if file.source is not None and not file.source.startswith("pypi:"):
                raise InvalidManifest(
                    f"{file.path}: source: expected pypi:, got {shown(file.source)}",
                    fix="upload the file and leave the source out",
                )
        if submission.webhook is not None:
            require_allowed(submission.webhook, self.settings)

    def _require_files(self, manifest: Manifest) -> None:
        missing = [
            file.sha256
            for file in manifest.artifacts[0].files
            if file.source is None and not self.registry.store.keep(file.sha256)
        ]
        if missing:
            raise MissingBlobs(
                f"{manifest.reference} names {len(missing)} files that are not in the store",
                fix="upload them, then submit again",
                details={"missing": [f"sha256:{digest}" for digest in missing]},
            )

    def _is_published(self, manifest: Manifest) -> bool:
        try:
            self.registry.version(manifest.name, manifest.version)
        except NotFound:
            return False
        return True

    def _end(self, session: Connection, row: RowMapping, state: str, **values: Any) -> None:
        wanted = Submission.model_validate_json(row["submission"]).webhook
        hook = time.time() if wanted is not None else None
        _change(session, row["id"], state=state, ended_at=_now(), hook_after=hook, **values)
        error = values.get("error")
        _tell(
            session,
            row["id"],
            "state",
            {
                "state": state,
                "published": values.get("published"),
                "error": None if error is None else json.loads(error),
            },
        )

    @contextmanager
    def _fenced(self, job_id: str, worker: str) -> Iterator[tuple[Connection, RowMapping]]:
        with self._writing() as session:
            row = _row(session, job_id, lock=True)
            self._require_living(session, worker)
            if row["owner"] != worker or row["state"] not in ("running", "publishing"):
                raise Superseded(job_id)
            yield session, row

    @staticmethod
    def _require_living(session: Connection, worker: str) -> None:
        # Locked, so that it cannot be counted as dead between here and the commit.
        query = select(tables.worker.c.id).where(tables.worker.c.id == worker)
        if session.execute(query.with_for_update(read=True)).first() is None:
            raise Superseded(worker)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        engine = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        with told(engine), engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(self._engine), self._engine.connect() as connection:
            yield connection


def database_url(data: Path, settings: Settings) -> URL:
    """The address of the jobs' database: the catalogue's, unless a setting names another.

    Raises:
        InvalidSetting: It is not one.
    """
    named = settings.jobs_database.get_secret_value() or settings.database.get_secret_value()
    return databases.database_url(named, data / "jobs.db")


def require_allowed(address: str, settings: Settings) -> None:
    """Refuse an address that the operator does not let jobs call.

    Raises:
        InvalidManifest: It is not on the list.
    """
    allowed = {host.strip().lower() for host in settings.webhook_hosts.split(",") if host.strip()}
    try:
        parts = urlsplit(address)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        host = (parts.hostname or "").lower()
    except ValueError:
        parts, port, host = urlsplit(""), None, ""
    fits = parts.scheme in ("http", "https") and parts.username is None
    if not fits or f"{host}:{port}" not in allowed or not settings.webhook_secret:
        raise InvalidManifest(
            f"webhook: calls to {shown(address)} are not allowed here",
            fix="ask whoever runs the server to name its host:port in POLYZOO_WEBHOOK_HOSTS",
        )


def failure(error: ConversionError | ZooError) -> Failure:
    """What a command would have said and ended with."""
    operators = getattr(error, "operators", ())
    return Failure(
        code=error.code,
        message=error.message,
        fix=error.fix,
        status=error.status,
        operators=tuple(vars(operator) for operator in operators),
    )


def policy(targets: Iterable[str], sizes: Any = None) -> Policy:
    """A policy from words.

    Raises:
        InvalidManifest: A framework is not known, or the sizes are not of the form of `Policy`.
    """
    from pydantic import ValidationError

    try:
        return Policy.model_validate({"targets": list(targets), "sizes": sizes or {}})
    except ValidationError as error:
        raise InvalidManifest(
            f"convert: {error.errors()[0]['msg']}",
            fix="frameworks are onnx, pytorch, paddle and mindspore; sizes are lists of numbers by name",
        ) from None


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _utc(when: datetime | None) -> datetime | None:
    # SQLite keeps no zone.
    return when if when is None or when.tzinfo else when.replace(tzinfo=timezone.utc)


def _row(session: Connection, job_id: str, *, lock: bool = False) -> RowMapping:
    query = select(tables.job).where(tables.job.c.id == job_id)
    found = session.execute(query.with_for_update() if lock else query).mappings().first()
    if found is None:
        raise unknown(job_id)
    return found


def unknown(job_id: str) -> NotFound:
    """What is said of a job that is not there, or not for whoever asks."""
    return NotFound(f"there is no job {shown(job_id)}", fix="list them with `zoo jobs list`")


def _steps(session: Connection, row: RowMapping) -> tuple[Step, ...]:
    query = (
        select(tables.step)
        .where(tables.step.c.job_id == row["id"], tables.step.c.round == row["round"])
        .order_by(tables.step.c.id)
    )
    return tuple(
        Step(
            name=found["name"],
            state=found["state"],
            attempts=found["attempts"],
            started_at=_utc(found["started_at"]) or _now(),
            ended_at=_utc(found["ended_at"]),
            message=found["message"],
        )
        for found in session.execute(query).mappings()
    )


def _change(session: Connection, job_id: str, **values: Any) -> None:
    session.execute(update(tables.job).where(tables.job.c.id == job_id).values(values))


def _tell(session: Connection, job_id: str, kind: str, data: dict[str, Any]) -> None:
    said = {**data, "at": _now().isoformat()}
    session.execute(insert(tables.event).values(job_id=job_id, kind=kind, data=json.dumps(said)))


def _job(row: RowMapping, steps: tuple[Step, ...] = ()) -> Job:
    submission = Submission.model_validate_json(row["submission"])
    return Job(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        state=row["state"],
        targets=submission.convert.targets,
        created_at=_utc(row["created_at"]) or _now(),
        ended_at=_utc(row["ended_at"]),
        error=None if row["error"] is None else Failure.model_validate_json(row["error"]),
        published=row["published"],
        steps=steps,
    )

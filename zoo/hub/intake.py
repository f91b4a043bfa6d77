"""What hub clients have uploaded and nobody has looked at yet: the waiting line before conversion.

A commit to main, or a tag that names a version (`v1.0.0`), leaves a row, in its own transaction. An upload may
be several commits, so main is looked at when it has been quiet for a while; a tag is looked at at once. The row
goes when something was made of it, and stays with the reason where nothing could be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from zoo.catalogue.engine import reading, writing
from zoo.catalogue.records import RefusedUpload
from zoo.catalogue.tables import Commit, Repository, Waiting
from zoo.hub.objects import Entry
from zoo.hub.refs import MAIN
from zoo.hub.trees import files_of
from zoo.manifest import FRAMEWORKS
from zoo.reference import is_version

MOST = 20  # uploads that are looked at in one go


@dataclass(frozen=True)
class Uploaded:
    """An upload that waits.

    Attributes:
        id: Number of its row.
        name: `org/model`.
        revision: `main`, or a tag.
        version: What it will be published as.
        author: Who committed it.
        at: When it came.
        files: What was uploaded, by path; published forms beside it left out.
    """

    id: int
    name: str
    revision: str
    version: str
    author: str
    at: datetime
    files: Mapping[str, Entry]


class Intake:
    """The waiting line of one zoo.

    Args:
        engine: Its catalogue.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(self, quiet: float) -> tuple[Uploaded, ...]:
        """Uploads that it is time to look at, the oldest first.

        Args:
            quiet: Seconds without a commit after which main counts as complete.
        """
        until = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(seconds=quiet)
        query = (
            select(Waiting, Repository.name, Commit)
            .join(Repository, col(Repository.id) == Waiting.repository_id)
            .join(Commit, col(Commit.repository_id) == Waiting.repository_id)
            .where(Commit.id == Waiting.commit, col(Waiting.problem).is_(None))
            .where((col(Waiting.revision) != MAIN) | (col(Waiting.at) <= until))
            .order_by(col(Waiting.at))
            .limit(MOST)
        )
        with reading(self._engine) as session:
            return tuple(
                _uploaded(session, row, name, commit) for row, name, commit in session.exec(query)
            )

    def done(self, upload: Uploaded) -> None:
        """Take an upload off the line, unless another commit has come meanwhile."""
        with writing(self._engine) as session:
            row = _same(session, upload)
            if row is not None:
                session.delete(row)

    def refuse(self, upload: Uploaded, problem: str) -> None:
        """Note why nothing is made of an upload, unless another commit has come meanwhile."""
        with writing(self._engine) as session:
            row = _same(session, upload)
            if row is not None:
                row.problem = problem
                session.add(row)

    def refused(self, name: str) -> tuple[RefusedUpload, ...]:
        """Uploads of a model of which nothing was made."""
        query = (
            select(Waiting)
            .join(Repository, col(Repository.id) == Waiting.repository_id)
            .where(Repository.name == name, col(Waiting.problem).is_not(None))
            .order_by(col(Waiting.revision))
        )
        with reading(self._engine) as session:
            return tuple(
                RefusedUpload(
                    revision=row.revision,
                    commit=row.commit,
                    at=row.at.replace(tzinfo=timezone.utc),
                    problem=row.problem or "",
                )
                for row in session.exec(query)
            )

    def waits(self, name: str) -> bool:
        """Whether an upload of a model is still to be looked at."""
        query = (
            select(Waiting.id)
            .join(Repository, col(Repository.id) == Waiting.repository_id)
            .where(Repository.name == name, col(Waiting.problem).is_(None))
        )
        with reading(self._engine) as session:
            return session.exec(query).first() is not None


def wait_in_line(
    session: Session, repository: Repository, revision: str, commit: str, now: datetime
) -> None:
    """Put an upload into the line, in the transaction of the commit or tag.

    Args:
        session: The transaction.
        repository: In which it is.
        revision: `main`, or a tag; one that names no version is left alone.
        commit: Its commit.
        now: UTC, without a zone.
    """
    if revision != MAIN and _version_of(revision) is None:
        return
    row = _row(session, repository, revision)
    if row is None:
        row = Waiting(repository_id=repository.id, revision=revision, commit=commit, at=now)
    row.commit, row.at, row.problem = commit, now, None
    session.add(row)


def follow_squash(session: Session, repository: Repository, revision: str, commit: str) -> None:
    """Let an upload that waits, or was refused, be the commit that took the place of its history."""
    row = _row(session, repository, revision)
    if row is not None:
        row.commit = commit
        session.add(row)


def leave_line(session: Session, repository: Repository, revision: str) -> None:
    """Take an upload out of the line, in the transaction that takes away its tag."""
    row = _row(session, repository, revision)
    if row is not None:
        session.delete(row)


def _row(session: Session, repository: Repository, revision: str) -> Waiting | None:
    here = (Waiting.repository_id == repository.id, Waiting.revision == revision)
    found: Waiting | None = session.exec(select(Waiting).where(*here)).first()
    return found


def _uploaded(session: Session, row: Waiting, name: str, commit: Commit) -> Uploaded:
    assert row.id is not None  # noqa: S101 - it was read
    found = files_of(session, commit.tree)
    # What is published stands beside the upload, in folders of these names.
    own = {path: entry for path, entry in found.items() if path.split("/")[0] not in FRAMEWORKS}
    version = _version_of(row.revision) or f"0.0.{_depth(session, commit)}"
    return Uploaded(row.id, name, row.revision, version, commit.author, row.at, own)


def _version_of(tag: str) -> str | None:
    """The version that a tag names: `v1.0.0` is 1.0.0."""
    text = tag.removeprefix("v")
    return text if text != tag and text[:1].isdigit() and is_version(text) else None


def _depth(session: Session, commit: Commit) -> int:
    """How many commits led to one, which is the same in every zoo."""
    query = select(Commit.id, Commit.parent).where(Commit.repository_id == commit.repository_id)
    parents = dict(session.exec(query).all())
    count, at = 0, commit.id
    while at is not None and at in parents:
        count, at = count + 1, parents[at]
    return count


def _same(session: Session, upload: Uploaded) -> Waiting | None:
    row = session.get(Waiting, upload.id)
    return row if row is not None and row.at == upload.at else None

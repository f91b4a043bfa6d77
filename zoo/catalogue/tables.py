"""The tables. What they hold besides manifests is there to be searched, and follows from manifests.

A change here needs a migration in migrations/versions; a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from string import ascii_uppercase
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Double,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    literal,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

# Names for constraints, so that migrations can speak of them.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(SQLModel):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMING)


class caseless(FunctionElement[str]):  # noqa: N801 - it is used as a function of SQL
    """A name as it is compared: the case of ASCII letters does not matter."""

    name = "caseless"
    type = String()
    inherit_cache = True


@compiles(caseless, "sqlite")
def _collated(element: caseless, compiler: SQLCompiler, **options: Any) -> str:
    # The column's own collation sees to it, and its index is used.
    return compiler.process(element.clauses, **options)


@compiles(caseless)
def _lowered(element: caseless, compiler: SQLCompiler, **options: Any) -> str:
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "C")'


class Name(TypeDecorator[str]):
    """Text that is equal to text that differs in the case of ASCII letters only.

    Such names would collide on some disks. To be in order, or to be joined, names go through `caseless`.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """How the database holds it."""
        collation = "NOCASE" if dialect.name == "sqlite" else None
        return dialect.type_descriptor(String(self._length, collation=collation))

    class comparator_factory(TypeDecorator.Comparator[str]):  # noqa: N801 - SQLAlchemy's name for it
        """Compares names without their case."""

        def operate(self, op: Any, *other: Any, **options: Any) -> Any:
            """An expression of SQL."""
            return op(caseless(self.expr), *(_operand(op, item) for item in other), **options)


_UPPER = {ord(letter): letter.lower() for letter in ascii_uppercase}
_PATTERNS = (operators.startswith_op, operators.contains_op, operators.endswith_op)


def _operand(op: object, other: Any) -> Any:
    """What a name is compared with, without its case too; a SELECT sees to that itself."""
    if isinstance(other, str):
        return other.translate(_UPPER) if op in _PATTERNS else caseless(literal(other))
    if isinstance(other, list | tuple):
        return [_operand(op, item) for item in other]
    return caseless(other) if isinstance(other, ColumnElement) else other


def _name(length: int) -> Column[str]:
    return Column(Name(length), nullable=False)


class Model(Table, table=True):
    """A model; all but its name is copied from its latest version at publication."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("name"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_column=_name(193))
    task: str
    summary: str
    tags: str = Field(sa_column=Column(Text, nullable=False))  # one a line
    licence: str
    latest: str
    frameworks: str  # one a line
    updated_at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC
    words: str = Field(sa_column=Column(Text, nullable=False))  # what a search looks through


class Version(Table, table=True):
    """A published version. A trigger refuses every later change."""

    __tablename__ = "version"
    __table_args__ = (
        UniqueConstraint("model_id", "version"),
        Index(None, "model_id", "id"),
        Index(None, "id", "model_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    model_id: int = Field(foreign_key="model.id")
    version: str = Field(sa_column=_name(64))
    digest: str = Field(index=True)
    published_at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC
    manifest: str = Field(sa_column=Column(Text, nullable=False))  # the canonical form


class Artifact(Table, table=True):
    """An artifact of a version."""

    __tablename__ = "artifact"
    __table_args__ = (UniqueConstraint("version_id", "framework"),)

    id: int | None = Field(default=None, primary_key=True)
    version_id: int = Field(foreign_key="version.id")
    framework: str = Field(index=True)
    format: str
    precision: str


class File(Table, table=True):
    """A file of an artifact: who needs which blob."""

    __tablename__ = "file"
    __table_args__ = (UniqueConstraint("artifact_id", "path"),)

    id: int | None = Field(default=None, primary_key=True)
    artifact_id: int = Field(foreign_key="artifact.id")
    path: str
    sha256: str = Field(index=True)
    size: int = Field(sa_column=Column(BigInteger, nullable=False))


class Form(Table, table=True):
    """An artifact of a model's latest version, to be searched."""

    __tablename__ = "form"

    model_id: int = Field(foreign_key="model.id", primary_key=True)
    framework: str = Field(primary_key=True)
    precision: str
    targets: str = Field(sa_column=Column(Text, nullable=False))  # "\ncpu\ncuda\n"
    verified: bool  # there is a report, and it passed


class Token(Table, table=True):
    """A token; its secret is kept nowhere."""

    __tablename__ = "token"
    __table_args__ = (UniqueConstraint("digest"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str  # whose it is
    digest: str  # SHA-256 of the secret, in hex
    created_at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC
    expires_at: datetime | None = Field(default=None, sa_column=Column(DateTime))  # UTC
    revoked_at: datetime | None = Field(default=None, sa_column=Column(DateTime))  # UTC


class Grant(Table, table=True):
    """The role of a token in an organisation, or in every one (`*`)."""

    __tablename__ = "grant"

    token_id: int = Field(foreign_key="token.id", primary_key=True)
    org: str = Field(primary_key=True)  # in lower case
    role: int  # zoo.access.Role


class PrivateModel(Table, table=True):
    """A model that only its organisation sees, whether or not there is one of that name."""

    __tablename__ = "private_model"

    name: str = Field(sa_column=Column(Name(193), primary_key=True))


class AuditLine(Table, table=True):
    """Who wrote what, and when. A trigger refuses every later change."""

    __tablename__ = "audit"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC
    who: str
    token_id: int | None = None
    action: str
    target: str
    details: str = Field(sa_column=Column(Text, nullable=False))  # JSON


class Repository(Table, table=True):
    """What hub clients see under a model's name: every published model, and what they made themselves."""

    __tablename__ = "repository"
    __table_args__ = (
        UniqueConstraint("name"),
        Index(None, "published", "changed"),
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_column=_name(193))
    created_at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC
    updated_at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC
    changed: int = Field(  # grows with every change of any repository
        default=0, sa_column=Column(BigInteger, nullable=False, index=True, server_default="0")
    )
    # Whether the model of this name has a version.
    published: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )
    card: str = Field(
        sa_column=Column(Text, nullable=False)
    )  # the model card's metadata and tags, JSON
    tags: str = Field(sa_column=Column(Text, nullable=False))  # one a line, folded, to be searched


class Commit(Table, table=True):
    """A state of a repository. Its id follows from content, not from time or place."""

    __tablename__ = "commit"
    __table_args__ = (UniqueConstraint("repository_id", "id"),)

    number: int | None = Field(default=None, primary_key=True)
    repository_id: int = Field(foreign_key="repository.id")
    id: str  # 40 hex digits
    tree: str  # tree.id
    parent: str | None = None  # commit.id
    title: str = Field(sa_column=Column(Text, nullable=False))
    message: str = Field(sa_column=Column(Text, nullable=False))
    author: str
    at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC


class Tree(Table, table=True):
    """A directory, by the id that git gives it."""

    __tablename__ = "tree"

    id: str = Field(primary_key=True)  # 40 hex digits
    entries: str = Field(sa_column=Column(Text, nullable=False))  # JSON, see zoo/hub/objects.py


class Ref(Table, table=True):
    """A name for a commit."""

    __tablename__ = "ref"

    repository_id: int = Field(foreign_key="repository.id", primary_key=True)
    kind: str = Field(primary_key=True)  # zoo.hub.refs.Kind
    name: str = Field(primary_key=True)
    target: str  # commit.id


class UploadRow(Table, table=True):
    """An upload that has begun, where the blobs are in a bucket."""

    __tablename__ = "upload"

    id: str = Field(primary_key=True)  # 32 hex digits
    sha256: str
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    touched: float = Field(sa_column=Column(Double, nullable=False, index=True))  # s since 1970
    writer: str | None = None  # the request that may add to it
    held_until: float | None = Field(default=None, sa_column=Column(Double))  # s since 1970


class UploadPart(Table, table=True):
    """Bytes of an upload that are in the bucket."""

    __tablename__ = "upload_part"

    upload_id: str = Field(foreign_key="upload.id", primary_key=True)
    start: int = Field(sa_column=Column(BigInteger, primary_key=True))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    name: str  # of the object


class Waiting(Table, table=True):
    """An upload by a hub client that nobody has looked at, or of which nothing could be made."""

    __tablename__ = "waiting"
    __table_args__ = (UniqueConstraint("repository_id", "revision"),)

    id: int | None = Field(default=None, primary_key=True)
    repository_id: int = Field(foreign_key="repository.id")
    revision: str  # main, or a tag that names a version
    commit: str  # commit.id
    at: datetime = Field(sa_column=Column(DateTime, nullable=False))  # UTC
    problem: str | None = Field(default=None, sa_column=Column(Text))  # None: not looked at


# Whose rows never change and never go.
IMMUTABLE = (Version, Artifact, File, AuditLine)

"""Who may do what: identities, tokens, roles in organisations, private models, and the audit log.

A token is 256 random bits. Only its SHA-256 is kept, which is enough for a secret that nobody can guess,
so that a copy of the catalogue lets nobody in. What somebody may not read does not exist for them; what
they may read and not change is refused in words. Every write leaves a line in the audit log, in the same
transaction where there is one, and triggers keep lines from being changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, or_
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from zoo.catalogue.engine import reading, together, writing
from zoo.catalogue.tables import AuditLine, Grant, PrivateModel, Token, caseless
from zoo.errors import Conflict, Forbidden, InvalidReference, NotFound, Unauthorized
from zoo.reference import is_component, shown
from zoo.settings import Anonymous

EVERY_ORG = "*"
ANONYMOUS = "anonymous"
_ANY_TOKEN = select(Token.id).limit(1)
SECRET_PREFIX = "zoo_"  # noqa: S105 - how secret scanners recognise one
_USER = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")


class Role(IntEnum):
    """What somebody may do in an organisation; each role includes those below it."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True)
class Identity:
    """Somebody who asks for something.

    Attributes:
        name: Whose request it is, for the audit log.
        grants: Roles by organisation; `*` stands for every one.
        public: The role in every organisation, private models aside.
        token: The token's number; None for whoever came without one.
        until: From when on the token is refused; None for never.
    """

    name: str
    grants: Mapping[str, Role] = field(default_factory=lambda: MappingProxyType({}))
    public: Role = Role.READ
    token: int | None = None
    until: datetime | None = None

    @property
    def anonymous(self) -> bool:
        """Whether nobody knows who this is."""
        return self.token is None and self.name == ANONYMOUS

    def role(self, org: str) -> Role:
        """The role that was granted in an organisation."""
        own = self.grants.get(org.lower(), Role.NONE)
        return max(own, self.grants.get(EVERY_ORG, Role.NONE))

    @property
    def highest(self) -> Role:
        """The highest role that this identity has anywhere."""
        return max((self.public, *self.grants.values()))

    @property
    def sees_everything(self) -> bool:
        """Whether private models of every organisation are visible."""
        return self.role(EVERY_ORG) >= Role.READ


# Whoever works on the directory itself: the command line on the zoo's own machine.
LOCAL = Identity("local", MappingProxyType({EVERY_ORG: Role.ADMIN}), Role.ADMIN)


@dataclass(frozen=True)
class TokenInfo:
    """A token, without its secret.

    Attributes:
        id: Its number.
        name: Whose it is.
        grants: Roles by organisation.
        created_at: When it was made.
        expires_at: From when on it is refused; None for never.
        revoked_at: Since when it is refused; None if it is not.
    """

    id: int
    name: str
    grants: Mapping[str, Role]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Access:
    """The door of one zoo.

    Args:
        engine: Its catalogue.
        anonymous: What whoever comes without a token may do: `none`, `read`, `write`, or `auto`: write
            for as long as the zoo has no token, read from then on.
    """

    def __init__(self, engine: Engine, anonymous: Anonymous = "auto") -> None:
        self._engine = engine
        self._anonymous = anonymous
        self._has_tokens = False

    def create(
        self, name: str, grants: Mapping[str, Role], lifetime: timedelta | None = None
    ) -> tuple[TokenInfo, str]:
        """Make a token.

        Args:
            name: Whose it is.
            grants: Roles by organisation; `*` stands for every one.
            lifetime: After which it is refused; never by default.

        Returns:
            The token and its secret, which is kept nowhere.

        Raises:
            InvalidReference: The name or an organisation is not one.
        """
        if not _USER.match(name) or len(name) > 96:
            raise InvalidReference(
                f"{shown(name)} cannot be the name of a token: expected letters and digits with "
                "single '.', '_' or '-' between them",
                fix="name it after whoever will use it",
            )
        for org in grants:
            if org != EVERY_ORG and not is_component(org):
                raise InvalidReference(
                    f"{shown(org)} is no organisation", fix="name one, or * for every one"
                )
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        now = _now()
        row = Token(
            name=name,
            digest=_digest(secret),
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
        with writing(self._engine) as session:
            session.add(row)
            session.flush()
            session.add_all(
                Grant(token_id=row.id, org=org.lower(), role=int(role))
                for org, role in grants.items()
            )
            says = {org: role.name.lower() for org, role in grants.items()}
            log(session, LOCAL, "token.create", f"{row.id} {name}", grants=says)
            session.flush()
            return _info(session, row), secret

    def tokens(self) -> tuple[TokenInfo, ...]:
        """All tokens, revoked ones too, in the order of their making."""
        with reading(self._engine) as session:
            rows = session.exec(select(Token).order_by(col(Token.id)))
            return tuple(_info(session, row) for row in rows)

    def revoke(self, token: int) -> None:
        """Refuse a token from now on.

        Raises:
            NotFound: There is no such token.
            Conflict: It was revoked before.
        """
        with writing(self._engine) as session:
            row = session.get(Token, token)
            if row is None:
                raise NotFound(f"there is no token {token}", fix="`zoo token list` shows them")
            if row.revoked_at is not None:
                raise Conflict(f"token {token} was revoked before", fix="there is nothing to do")
            row.revoked_at = _now()
            session.add(row)
            log(session, LOCAL, "token.revoke", f"{token} {row.name}")

    @contextmanager
    def visit(self, secret: str | None) -> Iterator[Identity]:
        """Who comes with a secret; whatever is asked of the catalogue until the end is asked in one session.

        Raises:
            Unauthorized: See `identify`.
        """
        with together(self._engine):
            yield self.identify(secret)

    def identify(self, secret: str | None) -> Identity:
        """Who comes with a secret, or without one.

        Raises:
            Unauthorized: The token is unknown, revoked or expired, or one is needed.
        """
        if not secret:
            return self._stranger()
        with reading(self._engine) as session:
            query = select(Token, Grant).where(Token.digest == _digest(secret))
            found = session.exec(
                query.join(Grant, col(Grant.token_id) == Token.id, isouter=True).order_by(
                    col(Grant.org)
                )
            ).all()
            row = found[0][0] if found else None
            if row is None or not _valid(row):
                raise Unauthorized(
                    "the token is unknown, was revoked, or has expired",
                    fix="ask whoever runs the zoo for another (`zoo token create`)",
                )
            public = Role.NONE if self._anonymous == "none" else Role.READ
            until = row.expires_at and row.expires_at.replace(tzinfo=timezone.utc)
            grants = {grant.org: Role(grant.role) for _, grant in found if grant is not None}
            return Identity(row.name, MappingProxyType(grants), public, row.id, until)

    def require(self, who: Identity, role: Role, name: str) -> None:
        """Let somebody do something with a model, or refuse.

        Args:
            who: Who asks.
            role: What it needs.
            name: `org/model`, which need not exist.

        Raises:
            NotFound: The model is private, and not theirs to see.
            Unauthorized: It needs a token.
            Forbidden: It needs a higher role.
        """
        if "\0" in name:
            raise unknown_model(name)  # which PostgreSQL cannot even be asked for
        org = name.partition("/")[0]
        granted = who.role(org)
        hidden = granted < Role.READ and self.is_private(name)
        if hidden and role == Role.READ:
            raise unknown_model(name)
        # Whether there is such a model makes no difference to whoever may not write.
        if not hidden and max(granted, who.public) >= role:
            return
        raise refusal(who, role, f"the organisation {shown(org)}")

    def require_anywhere(self, who: Identity, role: Role) -> None:
        """Let somebody do what belongs to no model yet, such as an upload.

        Raises:
            Unauthorized: It needs a token.
            Forbidden: It needs a higher role.
        """
        if who.highest < role:
            raise refusal(who, role, "an organisation")

    def require_one_of(self, who: Identity, names: Sequence[str], sha256: str) -> None:
        """Let somebody read bytes that models have: one that they see is enough.

        Bytes that no version has are for those who upload: they may be of a private repository.

        Raises:
            NotFound: Every one of the models is private, and not theirs to see; or there is none.
        """
        hidden = {name for name in names if who.role(name.partition("/")[0]) < Role.READ}
        seen = len(hidden) < len(names) or not all(map(self.is_private, hidden))
        if not (seen if names else who.highest >= Role.WRITE):
            raise NotFound(
                f"there is no blob sha256:{sha256}", fix="upload the file before it is named"
            )

    def is_private(self, name: str) -> bool:
        """Whether only the organisation sees a model."""
        with reading(self._engine) as session:
            return session.get(PrivateModel, name) is not None

    def set_private(self, name: str, private: bool, by: Identity = LOCAL) -> None:
        """Hide a model from everyone outside its organisation, or show it."""
        with writing(self._engine) as session:
            mark_private(session, name, private)
            log(session, by, "model.visibility", name, private=private)

    def audit(self, after: int = 0, limit: int = 1000) -> tuple[AuditLine, ...]:
        """Lines of the audit log, the oldest first.

        Args:
            after: The last line that is known.
            limit: At most so many.
        """
        query = select(AuditLine).where(col(AuditLine.id) > after).limit(limit)
        with reading(self._engine) as session:
            rows = tuple(session.exec(query.order_by(col(AuditLine.id))))
            session.expunge_all()
            return rows

    def last_line(self) -> int:
        """The number of the newest line of the audit log; 0 where there is none."""
        with reading(self._engine) as session:
            return session.exec(select(func.max(AuditLine.id))).one() or 0

    def changed_since(self, line: int) -> set[str]:
        """The models that were written to after a line of the audit log."""
        query = select(AuditLine.target).where(col(AuditLine.id) > line)
        with reading(self._engine) as session:
            return {target.partition("@")[0] for target in session.exec(query) if "/" in target}

    def note(self, who: Identity, action: str, target: str, **details: Any) -> None:
        """Write a line that belongs to no transaction of the catalogue."""
        with writing(self._engine) as session:
            log(session, who, action, target, **details)

    def _stranger(self) -> Identity:
        if self._anonymous == "none":
            raise Unauthorized(
                "this zoo is for those with a token",
                fix="set POLYZOO_TOKEN (HF_TOKEN for hub clients)",
            )
        if self._anonymous == "auto" and not self._has_tokens:
            with reading(self._engine) as session:
                # Tokens are revoked, never deleted.
                self._has_tokens = session.exec(_ANY_TOKEN).first() is not None
            if not self._has_tokens:
                # Nobody has a token yet: whoever is at this machine is at home.
                return Identity(ANONYMOUS, LOCAL.grants)
        return Identity(ANONYMOUS, public=Role.WRITE if self._anonymous == "write" else Role.READ)


def unknown_model(name: str) -> NotFound:
    """The error for a model that is not there, word for word the same for one that is hidden."""
    return NotFound(
        f"there is no model {shown(name)}",
        fix="search for it; names are org/model; a private one needs a token",
    )


def refusal(who: Identity, role: Role, where: str) -> Unauthorized | Forbidden:
    """The error for somebody whose role is too low."""
    needed = f"this needs the role {role.name.lower()} in {where}"
    if who.anonymous:
        return Unauthorized(needed, fix="set POLYZOO_TOKEN (HF_TOKEN for hub clients)")
    return Forbidden(
        f"{needed}, which {shown(who.name)} does not have",
        fix="ask whoever runs the zoo for a token with that role (`zoo token create`)",
    )


def visible(name: Mapped[str], who: Identity) -> ColumnElement[bool] | None:
    """The condition under which models are there for somebody; None if all are.

    Args:
        name: The column with the models' names.
        who: Who asks.
    """
    if who.sees_everything:
        return None
    own = (org for org, role in who.grants.items() if role >= Role.READ)
    return or_(
        name.not_in(select(caseless(col(PrivateModel.name)))),
        *(name.startswith(f"{org}/", autoescape=True) for org in own),
    )


def mark_private(session: Session, name: str, private: bool) -> None:
    """Hide or show a model, within a transaction."""
    row = session.get(PrivateModel, name)
    if private and row is None:
        session.add(PrivateModel(name=name))
    elif not private and row is not None:
        session.delete(row)


def log(session: Session, who: Identity, action: str, target: str, **details: Any) -> None:
    """Add a line to the audit log, within a transaction.

    Args:
        session: The transaction of what is being done.
        who: Who does it.
        action: What, as `noun.verb`.
        target: To what.
        details: More, as JSON takes it.
    """
    session.add(
        AuditLine(
            at=_now(),
            who=who.name,
            token_id=who.token,
            action=action,
            target=target,
            details=json.dumps(details, sort_keys=True, ensure_ascii=False),
        )
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def _valid(row: Token) -> bool:
    return row.revoked_at is None and (row.expires_at is None or _now() < row.expires_at)


def _grants(session: Session, token: int) -> Mapping[str, Role]:
    rows = session.exec(select(Grant).where(Grant.token_id == token).order_by(col(Grant.org)))
    return MappingProxyType({row.org: Role(row.role) for row in rows})


def _info(session: Session, row: Token) -> TokenInfo:
    assert row.id is not None  # noqa: S101 - it was flushed or read
    return TokenInfo(
        id=row.id,
        name=row.name,
        grants=_grants(session, row.id),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )

"""Verbs for those who run a zoo: who may do what in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import present
from zoo.cli.common import Json, options
from zoo.errors import InvalidReference

if TYPE_CHECKING:  # they take a while to import
    from zoo.access import Role, TokenInfo
    from zoo.registry import Registry

Data = Annotated[Path | None, typer.Option(help="Directory of the zoo.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="Make, list and revoke tokens of the local zoo.")
    for name, verb in (("create", create), ("list", list_tokens), ("revoke", revoke)):
        group.command(name)(verb)
    app.add_typer(group, name="token")


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose token it is.")],
    grant: Annotated[
        list[str] | None,
        typer.Option(
            help="ORG=read, ORG=write or ORG=admin; * is every organisation. May be repeated.",
            show_default="*=write",
        ),
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="Refuse it after so many days.", min=0, show_default=False)
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a token and print its secret, this once; the zoo keeps only its digest."""
    lifetime = None if days is None else timedelta(days=min(days, 36500))
    grants = parse_grants(grant or ["*=write"])
    info, secret = _registry(context, data).access.create(name, grants, lifetime)
    if json:
        present.document({**_fields(info), "secret": secret})
    else:
        present.notes().print(f"token {info.id} of {info.name}: {_shown(grants)}")
        print(secret)


def list_tokens(context: typer.Context, data: Data = None, json: Json = False) -> None:
    """List the tokens, revoked ones too; their secrets are known to nobody here."""
    tokens = _registry(context, data).access.tokens()
    if json:
        present.document({"tokens": [_fields(info) for info in tokens]})
        return
    rows = [
        (
            info.id,
            info.name,
            _shown(info.grants),
            f"{info.created_at:%Y-%m-%d}",
            "revoked" if info.revoked_at else f"{info.expires_at or 'never':.10}",
        )
        for info in tokens
    ]
    present.table(("id", "name", "grants", "created", "expires"), rows)


def revoke(
    context: typer.Context,
    token: Annotated[int, typer.Argument(help="Its number, as `zoo token list` shows it.")],
    data: Data = None,
) -> None:
    """Refuse a token from now on."""
    _registry(context, data).access.revoke(token)


def parse_grants(texts: list[str]) -> dict[str, Role]:
    """Read grants such as `org=write`.

    Raises:
        InvalidReference: One is not of that form.
    """
    from zoo.access import Role

    grants = {}
    for text in texts:
        org, _, role = text.partition("=")
        if role.upper() not in ("READ", "WRITE", "ADMIN"):
            raise InvalidReference(
                f"--grant {text}: expected ORG=read, ORG=write or ORG=admin",
                fix=f"write one such as {org or '*'}=write",
            )
        grants[org] = Role[role.upper()]
    return grants


def _registry(context: typer.Context, data: Path | None) -> Registry:
    from zoo.registry import Registry

    given = options(context)
    return Registry(data or given.data, given.settings)


def _shown(grants: Mapping[str, Role]) -> str:
    return ", ".join(f"{org}={role.name.lower()}" for org, role in grants.items())


def _fields(info: TokenInfo) -> dict[str, object]:
    return {
        "id": info.id,
        "name": info.name,
        "grants": {org: role.name.lower() for org, role in info.grants.items()},
        "created_at": info.created_at.isoformat() + "Z",
        "expires_at": info.expires_at and info.expires_at.isoformat() + "Z",
        "revoked_at": info.revoked_at and info.revoked_at.isoformat() + "Z",
    }

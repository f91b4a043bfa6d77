"""Who asks, as `hf auth login` and `hf auth whoami` want to know."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.dependencies import Who
from zoo.access import EVERY_ORG, Identity, Role
from zoo.errors import Unauthorized

router = APIRouter()


@router.get("/api/whoami-v2")
def whoami(who: Who) -> dict[str, Any]:
    """The name and the organisations of a token."""
    if who.token is None:
        raise Unauthorized("no token was sent", fix="log in with one (`zoo token create` makes it)")
    return {
        "type": "user",
        "id": str(who.token),
        "name": who.name,
        "fullname": who.name,
        "email": None,
        "canPay": False,
        "isPro": False,
        "orgs": [_org(who, org) for org in who.grants if org != EVERY_ORG],
        "auth": {
            "type": "access_token",
            "accessToken": {
                "displayName": who.name,
                "role": "write" if who.highest >= Role.WRITE else "read",
            },
        },
    }


def _org(who: Identity, org: str) -> dict[str, Any]:
    role = who.role(org).name.lower()
    return {"type": "org", "id": org, "name": org, "fullname": org, "roleInOrg": role}

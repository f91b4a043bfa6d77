"""How often a request asks the database, which may be far away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from api.app import create_app
from tests.registry.conftest import manifest_fields
from zoo.access import Role
from zoo.manifest import validate_manifest
from zoo.registry import Registry
from zoo.settings import Settings

CONTENT = b"weights of a small model"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
# Address -> most statements for whoever comes without a token; a token is one more.
ASKED = {
    f"/v1/blobs/sha256:{DIGEST}": 2,  # which models have it, and whether one is not private
    "/v1/models/org/model/versions/1.0.0/artifacts/onnx/files/model.onnx": 3,
    "/org/model/resolve/main/onnx/model.onnx": 6,  # two of them walk down the folders
    "/v1/models": 2,  # SQLite is asked where the page ends, too
    "/v1/models/org/model": 3,
    "/api/models/org/model": 7,  # a folder with all beside it is one
    "/models/org/model": 13,  # the page
}
# Jobs may have a database of their own.
TRANSACTIONS = {"/models/org/model": 2}


@contextmanager
def counted() -> Iterator[list[str]]:
    """What is asked until the end: every transaction as `BEGIN`, and every statement within."""
    said: list[str] = []

    def begun(_: object) -> None:
        said.append("BEGIN")

    def asked(_: object, __: object, statement: str, *___: object) -> None:
        if not statement.startswith("BEGIN"):  # which SQLite is told as a statement
            said.append(statement)

    event.listen(Engine, "begin", begun)
    event.listen(Engine, "before_cursor_execute", asked)
    try:
        yield said
    finally:
        event.remove(Engine, "begin", begun)
        event.remove(Engine, "before_cursor_execute", asked)


@pytest.mark.both_setups
def test_a_request_is_one_transaction_of_few_statements(tmp_path):
    registry = Registry(tmp_path / "zoo", Settings.from_environment())
    registry.store.put([CONTENT], DIGEST)
    registry.publish(validate_manifest(manifest_fields(CONTENT), "test"))
    _, secret = registry.access.create("somebody", {"elsewhere": Role.READ})
    with TestClient(create_app(registry), follow_redirects=False) as client:
        # What is known for good once it was asked: that there are tokens, what the index has.
        for address in ASKED:
            client.get(address)
        registry.access.note(registry.access.identify(None), "test", "answers are forgotten")
        for address, most in ASKED.items():
            for headers, more in (({}, 0), ({"Authorization": f"Bearer {secret}"}, 1)):
                with counted() as said:
                    assert client.get(address, headers=headers).status_code in (200, 302)
                begun = TRANSACTIONS.get(address, 1)
                assert said.count("BEGIN") == begun, said
                assert len(said) <= begun + most + more, said
    registry.close()

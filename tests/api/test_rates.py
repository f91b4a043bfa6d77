"""An address that sends too much is told to wait, in the words of its client; others are not."""

from __future__ import annotations

import httpx
import pytest

from zoo.errors import InvalidSetting
from zoo.settings import Settings


def test_too_many_requests(start, tmp_path, is_problem):
    server = start(tmp_path / "zoo", POLYZOO_RATE="6/minute", POLYZOO_WRITE_RATE="2/minute")
    with httpx.Client(base_url=server.url, timeout=60) as http:
        wanted = {"sha256": "0" * 64, "size": 1}
        assert [http.post("/v1/uploads", json=wanted).status_code for _ in range(3)] == [
            201,
            201,
            429,
        ]
        assert [http.get("/v1/models").status_code for _ in range(3)] == [200] * 3
        refused = http.get("/v1/models")
        is_problem(refused, 429, "too-many-requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        hub = http.get("/api/models/a/b")
        assert (hub.status_code, hub.headers["x-error-code"]) == (429, "TooManyRequests")
        assert hub.headers["retry-after"]
        # Whoever watches the server is always answered.
        assert [http.get("/healthz").status_code for _ in range(9)] == [200] * 9


def test_a_limit_that_is_none():
    with pytest.raises(InvalidSetting, match="POLYZOO_RATE"):
        Settings.from_environment({"POLYZOO_RATE": "many"})

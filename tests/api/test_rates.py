"""An address that sends too much is told to wait, in the words of its client; others are not."""

from __future__ import annotations

import httpx
import pytest

from api.rates import Counts
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


def test_processes_count_together(start, tmp_path):
    server = start(tmp_path / "zoo", POLYZOO_RATE="20/hour", POLYZOO_WORKERS="2")
    seen = [httpx.get(f"{server.url}/v1/models", timeout=60).status_code for _ in range(26)]
    # The hour may turn meanwhile: what was before it weighs almost as much as ever.
    assert seen.count(200) in (20, 21)
    assert seen[:20] == [200] * 20


def test_a_window_moves_with_time(tmp_path):
    first, second = Counts(tmp_path / "file"), Counts(tmp_path / "file")
    now = 1_000_000.0  # a window of 10 s begins
    assert [first.hit("a", 4, 10, now + i) for i in range(2)] == [0, 0]
    assert [second.hit("a", 4, 10, now + 8), second.hit("a", 4, 10, now + 8)] == [0, 0]
    wait = first.hit("a", 4, 10, now + 8.5)
    assert wait == 2
    assert second.hit("b", 4, 10, now + 8.5) == 0
    # In the middle of the next window half of them count.
    assert first.hit("a", 4, 10, now + 8.5 + wait) == 0
    assert [first.hit("a", 4, 10, now + 15) for _ in range(3)] == [0, 1, 1]
    assert first.hit("a", 4, 10, now + 18) == 0
    # Old counts go, and so do those of others.
    assert second.hit("a", 4, 10, now + 100) == 0
    assert second._database.execute("SELECT count(*) FROM hits").fetchone() == (1,)


def test_a_limit_that_is_none():
    with pytest.raises(InvalidSetting, match="POLYZOO_RATE"):
        Settings.from_environment({"POLYZOO_RATE": "many"})

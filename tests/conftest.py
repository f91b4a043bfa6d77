"""A real server on loopback, for every test that speaks HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services import Services, running_services

START_SECONDS = 60
# `scaled`: every zoo of every test has its catalogue in PostgreSQL and its blobs in a bucket.
SETUP = os.environ.get("POLYZOO_TEST_SETUP", "embedded")


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: Its address, without a slash at the end.
        data: Its directory.
        process: Its main process.
    """

    url: str
    data: Path
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """End it, and wait."""
        self.process.terminate()
        self.process.wait(START_SECONDS)


def start_server(data: Path, *, port: int = 0, **environment: str) -> Server:
    """Start a server and wait until it can be reached."""
    process = subprocess.Popen(
        [sys.executable, "-m", "api.server", "--data", str(data), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        process.wait(START_SECONDS)
        raise RuntimeError(f"the server did not start: exit status {process.returncode}")
    return Server(url, data, process)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that are marked so run on both set-ups, all others on the one of the run."""
    if metafunc.definition.get_closest_marker("scaled_only"):
        metafunc.parametrize("setup", ["scaled"], indirect=True)
    elif SETUP == "embedded" and metafunc.definition.get_closest_marker("both_setups"):
        metafunc.parametrize("setup", ["embedded", "scaled"], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks into a zoo's own files has no meaning where there are none."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        wanted = SETUP if callspec is None else callspec.params.get("setup", SETUP)
        mark = item.get_closest_marker("embedded")
        if wanted == "scaled" and mark:
            item.add_marker(pytest.mark.skip(reason=f"only embedded: {mark.args[0]}"))


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """A real PostgreSQL and a real S3 API, for this run."""
    with running_services() as made:
        yield made


@pytest.fixture(autouse=True)
def setup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where zoos that a test opens keep what they have: a database and a bucket of the test's own."""
    if getattr(request, "param", SETUP) == "embedded":
        yield
        return
    services: Services = request.getfixturevalue("services")
    with services.fresh() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server for the whole run; tests choose model names of their own."""
    with serving(request, tmp_path_factory) as running:
        yield running


@contextmanager
def serving(
    request: pytest.FixtureRequest, folders: pytest.TempPathFactory, **environment: str
) -> Iterator[Server]:
    """A server on the set-up of the run."""
    with ExitStack() as stack:
        elsewhere: Mapping[str, str] = {}
        if SETUP == "scaled":
            elsewhere = stack.enter_context(request.getfixturevalue("services").fresh())
        running = start_server(folders.mktemp("zoo"), **elsewhere, **environment)
        yield running
        running.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers as `start(data, port=0, POLYZOO_…=…)`, and ends those that still run."""
    started: list[Server] = []

    def begin(data: Path, **options: Any) -> Server:
        started.append(start_server(data, **options))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may break it."""
    running = start_server(tmp_path / "zoo")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="session")
def ask() -> Callable[..., Any]:
    """Run Python source in a process of its own; it puts its answer into `answer`."""

    def run(source: str, *arguments: object) -> Any:
        program = textwrap.dedent(source) + "\nimport json\nprint('ANSWER' + json.dumps(answer))"
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOG_v": "3"},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("ANSWER")[2])

    return run

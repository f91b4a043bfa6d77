from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from zoo.registry import Registry

ROOT = Path(__file__).parents[2]


def run(*arguments, **options):
    command = [sys.executable, "-m", "api.server", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, **options
    )


def one_line(done, said):
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_port_in_use(server, tmp_path):
    port = server.url.rpartition(":")[2]
    one_line(run("--data", tmp_path, "--port", port), "the port is in use")


def test_an_address_that_is_not_ours(tmp_path):
    one_line(run("--data", tmp_path, "--host", "192.0.2.1", "--port", "0"), "cannot listen on")
    one_line(run("--data", tmp_path, "--port", "99999"), "cannot listen on")


def test_a_directory_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    one_line(run("--data", tmp_path / "file" / "zoo", "--port", 0), "Not a directory")


def test_settings_that_are_not_valid(tmp_path):
    done = run("--data", tmp_path, env={**os.environ, "POLYZOO_WORKERS": "many"})
    assert done.returncode == 2
    assert 'POLYZOO_WORKERS is "many"' in done.stderr


def test_prints_its_address_and_nothing_else(start, tmp_path):
    server = start(tmp_path)
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    server.stop()
    assert server.process.stdout.read() == ""
    assert server.process.returncode == 0


def test_several_workers(start, tmp_path):
    server = start(tmp_path, POLYZOO_WORKERS="2")
    with httpx.Client(base_url=server.url) as http:
        assert {http.get("/healthz").status_code for _ in range(20)} == {200}


def test_told_to_stop_while_processes_still_start(start, tmp_path):
    server = start(tmp_path, POLYZOO_WORKERS="4")
    # One of them answers; the others import what they need.
    server.stop()
    assert server.process.returncode == 0


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=1-"}])
def test_downloads_that_have_begun_are_finished(start, tmp_path, stop, headers):
    data = os.urandom(1 << 20) * 32
    digest = hashlib.sha256(data).hexdigest()
    Registry(tmp_path).store.put([data], digest)
    # Those that the server itself sends.
    server = start(tmp_path, POLYZOO_BUCKET_DOWNLOADS="proxy")
    address = f"{server.url}/v1/blobs/sha256:{digest}"
    with httpx.stream("GET", address, headers=headers, timeout=30) as response:
        pieces = response.iter_raw(65536)
        received = [next(pieces)]
        server.process.send_signal(stop)
        time.sleep(0.5)
        received += pieces
    assert b"".join(received) == data[1 if headers else 0 :]
    assert server.process.wait(20) == 0


def test_it_stops_soon_when_idle(start, tmp_path):
    server = start(tmp_path)
    client = httpx.Client(base_url=server.url)  # a connection that is kept open
    client.get("/healthz")
    timer = threading.Timer(30, server.process.kill)
    timer.start()
    begun = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait() == 0
    timer.cancel()
    assert time.monotonic() - begun < 25
    with pytest.raises(httpx.TransportError):
        client.get("/healthz")


def test_ipv6(tmp_path):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    command = [
        sys.executable,
        "-m",
        "api.server",
        "--data",
        str(tmp_path),
        "--host",
        "::1",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        url = process.stdout.readline().strip()
        try:
            assert httpx.get(f"{url}/healthz").status_code == 200
        finally:
            process.terminate()

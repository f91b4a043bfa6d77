"""How fast a zoo gives and takes files, beside nginx and beside the hash itself.

    python benchmarks/serving.py [--gib 1] [--rounds 7]

nginx serves the same files from the same disk with sendfile; both are asked in turn by the same client, a socket
that reads and forgets, so that a ratio is of one moment, and the median of the ratios counts. Small files are
asked for by wrk on 200 connections. An upload, from the first request to the blob in its place, stands beside
plain SHA-256 of the same bytes. Memory is what the server's processes hold, anonymous, watched while all of it is
done and while it is done once more: what grows with work shows there, what is loaded by the first does not.
Time of the processor, of the servers without the client, says what other programs on the machine do not change.

nginx and wrk come from packages of the system: apt-get install nginx-light wrk
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import memory  # noqa: E402 - beside this file
import page  # noqa: E402

from zoo.store import Store  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
SMALL = 4096
CONNECTIONS = 200
WRK_SECONDS = 3
NGINX = """
daemon off; worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass(frozen=True)
class Address:
    """Where a file is had."""

    host: str
    port: int
    path: str


@contextmanager
def nginx(root: Path, workers: int) -> Iterator[tuple[int, psutil.Process]]:
    """A running nginx; its port and its main process."""
    with tempfile.TemporaryDirectory() as folder:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(workers=workers, folder=folder, port=port, root=root))
        command = ["nginx", "-c", str(config), "-p", folder, "-e", f"{folder}/error.log"]
        # As root it would hand its files to another user, who may not read the folder.
        user = ["-g", "user root;"] if os.getuid() == 0 else []
        process = subprocess.Popen([*command, *user])
        try:
            _reachable(port)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def zoo(data: Path, workers: int) -> Iterator[tuple[int, psutil.Process]]:
    """A running zoo; its port and its main process."""
    command = [sys.executable, "-m", "api.server", "--data", str(data), "--port", "0"]
    log = (data.parent / "zoo.log").open("wb")
    process = subprocess.Popen(
        [*command, "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        port = urlsplit(process.stdout.readline().strip()).port
        assert port is not None, "the server did not start"
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(90)
        log.close()


def busy(process: psutil.Process) -> float:
    """Seconds that the processors have spent on a process and its children."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def _reachable(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}")


def download(address: Address, size: int, span: tuple[int, int] | None = None) -> float:
    """Read a file, or a range of it.

    Args:
        address: Where it is.
        size: How many bytes must come.
        span: First and last byte.

    Returns:
        Seconds.

    Raises:
        RuntimeError: Something else came.
    """
    ranged = "" if span is None else f"Range: bytes={span[0]}-{span[1]}\r\n"
    request = (
        f"GET {address.path} HTTP/1.1\r\nHost: {address.host}\r\n{ranged}Connection: close\r\n\r\n"
    )
    buffer = memoryview(bytearray(MIB))
    start = time.perf_counter()
    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        head, _, body = head.partition(b"\r\n\r\n")
        if head.split()[1] != (b"200" if span is None else b"206"):
            raise RuntimeError(head.decode())
        left = size - len(body)
        while left > 0:
            count = connection.recv_into(buffer)
            if not count:
                raise RuntimeError(f"{left} bytes are missing")
            left -= count
    return time.perf_counter() - start


def in_ranges(address: Address, size: int, piece: int) -> float:
    """Read a file in pieces, a connection each."""
    return sum(
        download(address, min(piece, size - at), (at, min(at + piece, size) - 1))
        for at in range(0, size, piece)
    )


def requests_per_second(address: Address) -> float:
    """How many small files a second many clients get.

    Raises:
        RuntimeError: A request failed.
    """
    url = f"http://{address.host}:{address.port}{address.path}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{WRK_SECONDS}s", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def upload(port: int, file: Path, digest: str) -> float:
    """Send a file in one request; seconds until the blob is in its place."""
    size = file.stat().st_size
    start = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, blocksize=MIB)) as connection:
        body = f'{{"sha256": "{digest}", "size": {size}}}'
        connection.request("POST", "/v1/uploads", body, {"Content-Type": "application/json"})
        begun = connection.getresponse()
        begun.read()
        place = begun.headers["Location"]
        with file.open("rb", buffering=0) as content:
            connection.putrequest("PATCH", place)
            connection.putheader("Upload-Offset", "0")
            connection.putheader("Content-Length", str(size))
            connection.endheaders()
            sent = 0
            while sent < size:
                sent += connection.sock.sendfile(content, sent)
        answer = connection.getresponse()
        if answer.status != 204:
            raise RuntimeError(answer.read().decode())
    return time.perf_counter() - start


def hashing(file: Path) -> float:
    """Seconds of plain SHA-256."""
    start = time.perf_counter()
    with file.open("rb", buffering=0) as content:
        hashlib.file_digest(content, "sha256")
    return time.perf_counter() - start


# A rate, and the time of the processor: seconds a GiB, or milliseconds a request.
Measured = Callable[[], tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """What was measured beside what.

    Attributes:
        what: In words.
        peer: Beside which.
        unit: Of the numbers.
        ours: Median.
        theirs: Median.
        ratio: Median of the ratios, higher is better.
        spent: Time of the processor, ours and theirs, medians: seconds a GiB, or milliseconds a request.
        goal: At least so much; None where there is none.
    """

    what: str
    peer: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    spent: tuple[float, float]
    goal: float | None


@dataclass(frozen=True)
class Case:
    """What is asked of both; `Row` says the same of what was found."""

    what: str
    peer: str
    unit: str
    ours: Measured
    theirs: Measured
    goal: float | None


def paired(case: Case, rounds: int) -> Row:
    """Measure both in turn; the figures are rates."""
    case.ours(), case.theirs()
    found = []
    for number in range(rounds):
        if number % 2:
            mine = case.ours()
            found.append((mine, case.theirs()))
        else:
            other = case.theirs()
            found.append((case.ours(), other))
    row = Row(
        case.what,
        case.peer,
        case.unit,
        statistics.median(mine for (mine, _), _ in found),
        statistics.median(other for _, (other, _) in found),
        statistics.median(mine / other for (mine, _), (other, _) in found),
        (
            statistics.median(spent for (_, spent), _ in found),
            statistics.median(spent for _, (_, spent) in found),
        ),
        case.goal,
    )
    print(row, flush=True)
    return row


def measure(folder: Path, gib: float, rounds: int) -> tuple[list[Row], str]:
    """Every row, and what is to be said of the zoo's memory."""
    size = int(gib * GIB)
    data = folder / "zoo"
    store = Store(data / "blobs")
    blobs = {"large": size, "small": SMALL}
    digests = {}
    for name, length in blobs.items():
        made = folder / f"{name}.bin"
        with made.open("wb") as file:
            for at in range(0, length, 64 * MIB):
                file.write(os.urandom(min(64 * MIB, length - at)))
        with made.open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
        store.adopt(_copy(made), digests[name])
    workers = os.cpu_count() or 1
    with (
        nginx(folder, workers) as (theirs, other),
        zoo(data, workers) as (port, process),
    ):
        ours = {
            name: Address("127.0.0.1", port, f"/v1/blobs/sha256:{digest}")
            for name, digest in digests.items()
        }
        peer = {name: Address("127.0.0.1", theirs, f"/{name}.bin") for name in blobs}

        def rate(seconds: float) -> float:
            return size / seconds / 1e9

        def clocked(
            measured: Callable[[], float], clock: Callable[[], float], small: bool = False
        ) -> Measured:
            def both() -> tuple[float, float]:
                begun = clock()
                found = measured()
                amount = found * WRK_SECONDS / 1e3 if small else size / GIB
                return found, (clock() - begun) / amount

            return both

        def download_case(
            what: str, measured: Callable[[Address], float], goal: float | None
        ) -> Case:
            small = goal is None
            file, unit = ("small", "1/s") if small else ("large", "GB/s")
            return Case(
                what, "nginx, sendfile", unit,
                clocked(lambda: measured(ours[file]), lambda: busy(process), small),
                clocked(lambda: measured(peer[file]), lambda: busy(other), small),
                goal,
            )  # fmt: skip

        def ranged(piece: int) -> Callable[[Address], float]:
            return lambda address: rate(in_ranges(address, size, piece))

        def send() -> float:
            # What is there already would not be sent.
            Store(data / "blobs").remove(digests["large"])
            return rate(upload(port, folder / "large.bin", digests["large"]))

        cases = (
            download_case(
                f"download of {gib:g} GiB", lambda address: rate(download(address, size)), 0.8
            ),
            download_case(
                "... all but the first byte, as a range",
                lambda address: rate(download(address, size - 1, (1, size - 1))),
                0.8,
            ),
            download_case("... in ranges of 64 MiB", ranged(64 * MIB), 0.8),
            download_case("... in ranges of 8 MiB", ranged(8 * MIB), 0.8),
            download_case(
                f"{SMALL // 1024} KiB on {CONNECTIONS} connections", requests_per_second, None
            ),
            Case(
                f"upload of {gib:g} GiB", "plain SHA-256", "GB/s",
                clocked(send, lambda: busy(process)),
                clocked(lambda: rate(hashing(folder / "large.bin")), time.thread_time),
                0.5,
            ),
        )  # fmt: skip
        rows: list[Row] = []
        download(ours["small"], SMALL)
        start = memory.held(process)
        first = memory.most(process, lambda: rows.extend(paired(case, rounds) for case in cases))
        again = memory.most(
            process, lambda: [case.ours() for case in cases for _ in range(rounds + 1)]
        )
    return rows, memory.told(start, first, again)


def _copy(file: Path) -> Path:
    return Path(shutil.copyfile(file, file.with_suffix(".copy")))


def lines(rows: Sequence[Row], held: str, wanted: float) -> Iterator[str]:
    """The section of the page; `wanted` is how many programs wanted the processors."""
    yield "Written by `python benchmarks/serving.py` (part of `make bench`), which says how it measures."
    yield (
        f"{page.machine()}. Ratios are of rates: more is better. Other programs on the same processors count"
        f" ({wanted:.0f} wanted them when this began), and slow down whoever has fewer threads more; time of"
        " the processor, of the servers alone, is in seconds a GiB, or milliseconds a request."
    )
    yield ""
    yield "| what | beside | unit | zoo | beside | ratio | goal | processor, zoo | beside |"
    yield "| --- | --- | --- | --: | --: | --: | --: | --: | --: |"
    for row in rows:
        digits = 0 if row.unit == "1/s" else 2
        goal = "" if row.goal is None else f"{row.goal}"
        missed = " **missed**" if row.goal is not None and row.ratio < row.goal else ""
        yield (
            f"| {row.what} | {row.peer} | {row.unit} | {row.ours:.{digits}f} |"
            f" {row.theirs:.{digits}f} | {row.ratio:.2f} | {goal}{missed} |"
            f" {row.spent[0]:.2f} | {row.spent[1]:.2f} |"
        )
    yield ""
    yield held


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}; apt-get install nginx-light wrk")
    with tempfile.TemporaryDirectory(prefix="serving-") as scratch:
        wanted = os.getloadavg()[0]
        rows, held = measure(Path(scratch), options.gib, options.rounds)
    page.write_section("Files over HTTP", [*lines(rows, held, wanted)])


if __name__ == "__main__":
    main()

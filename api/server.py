"""The server process: `python -m api.server --data DIR --host HOST --port PORT`.

Prints one line, the address, once it can be reached; everything else is the log, on stderr. Granian's
worker processes find their directory in POLYZOO_DATA.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import gc
import ipaddress
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from fastapi import FastAPI
from granian import Granian
from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from api.rates import SHARED
from zoo import logs
from zoo.errors import ZooError
from zoo.registry import Registry
from zoo.settings import Settings, variable

# How long downloads that have begun may take to end, once the server is told to stop.
GRACE_SECONDS = 60
# How much of an upload is handed on at once: with less, the handing on takes longer than to copy it.
BUFFER = 2 << 20  # bytes
# What glibc's allocator may keep for itself, by the names of its malloc.h: pieces of files come and go all the time,
# and to take their pages from the system anew takes longer than to copy into them.
KEPT = {
    "M_MMAP_THRESHOLD": (-3, 32 << 20),
    "M_TRIM_THRESHOLD": (-1, 32 << 20),
    "M_ARENA_MAX": (-8, 2),
}


class CannotServe(ZooError):
    """The server cannot start here."""

    code, title = "cannot-serve", "The server cannot start"


def application() -> FastAPI:
    """The application of a worker process."""
    # Here, because what counts requests must know by now where the counts are shared.
    from api.app import create_app

    _keep_memory()
    settings = Settings.from_environment()
    app = create_app(Registry(settings.data, settings))
    # What is there by now stays. To look through it for garbage would stop every request for 70 ms at times.
    gc.collect()
    gc.freeze()
    return app


def _keep_memory() -> None:
    """Tell the allocator what it may keep, where it is one that can be told."""
    if sys.platform == "linux" and (tell := getattr(ctypes.CDLL(None), "mallopt", None)):
        for parameter, value in KEPT.values():
            tell(parameter, value)


def _logging(settings: Settings) -> dict[str, Any]:
    """Ours, and what the server itself has to say; standard output belongs to whoever started it."""
    found = logs.config(settings)
    found["loggers"]["_granian"] = {"handlers": ["polyzoo"], "level": "WARNING", "propagate": False}
    return found


def serve(
    data: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    workers: int | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a zoo until this process is told to stop; requests that have begun are answered.

    Args:
        data: Directory of the zoo; made if it is missing.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        workers: Processes that serve requests; the setting by default.
        ready: Called with the server's address once it can be reached.

    Raises:
        ZooError: The directory cannot be used, or the address is taken or not ours.
    """
    settings = Settings.from_environment()
    Registry(data, settings).close()
    os.environ[variable("data")] = str(data.absolute())
    if settings.anonymous == "auto" and not _is_loopback(host):
        os.environ[variable("anonymous")] = "read"
    if settings.metrics == "auto":
        os.environ[variable("metrics")] = "open" if _is_loopback(host) else "admin"
    with closing(_reserve(host, port)) as reserved, _counted_in(data / "run") as shared:
        # The processes that serve count together.
        os.environ[SHARED] = shared
        bound = reserved.getsockname()[1]
        server = Granian(
            "api.server:application",
            address=host,
            port=bound,
            interface=Interfaces.ASGI,
            # uvloop forgets a signal that comes while it does not run, as a server's loop does not between two
            # steps of its start: who was told to stop then would never end.
            loop=Loops.asyncio,
            workers=workers or settings.workers,
            workers_kill_timeout=GRACE_SECONDS,
            websockets=False,
            http1_settings=HTTP1Settings(max_buffer_size=BUFFER),
            log_level=LogLevels.warning,
            log_dictconfig=_logging(settings),
        )
        os.register_at_fork(after_in_child=_end_when_told)
        if ready is not None:
            threading.Thread(target=_announce, args=(host, bound, ready), daemon=True).start()
        # Granian's own loader would look into the working directory first.
        server.serve(target_loader=application, wrap_loader=False)


def _end_when_told() -> None:
    """Let a process that serves end while it still starts: it is forked with its parent's handlers, which ignore that."""
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.SIG_DFL)


def _counted_in(run: Path) -> TemporaryDirectory[str]:
    """A directory for this server's numbers; those of servers that were killed go."""
    run.mkdir(exist_ok=True)
    for left in run.glob("metrics-*"):
        if not psutil.pid_exists(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)
    return TemporaryDirectory(prefix=f"metrics-{os.getpid()}-", dir=run)


def _reserve(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # The workers share their port among themselves, which would let a second server join them.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        reserved = socket.socket(family, socket.SOCK_STREAM)
        if hasattr(socket, "SO_REUSEPORT"):
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise CannotServe(
            f"cannot listen on {host} port {port}: "
            + ("the port is in use" if taken else getattr(error, "strerror", None) or str(error)),
            fix="stop the other program, or choose another port (0 picks a free one)"
            if taken
            else "choose an address of this machine and a port from 0 to 65535",
        ) from error
    return reserved


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announce(host: str, port: int, ready: Callable[[str], None]) -> None:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a table
    shown = f"[{reachable}]" if ":" in reachable else reachable
    while True:
        with suppress(OSError), socket.create_connection((reachable, port), timeout=1):
            break
        time.sleep(0.02)
    ready(f"http://{shown}:{port}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server from the command line.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m api.server", description="Serve a zoo.")
    parser.add_argument("--data", type=Path, required=True, help="directory of the zoo")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 picks a free one")
    parser.add_argument("--workers", type=int, help="processes that serve requests")
    options = parser.parse_args(arguments)
    try:
        serve(
            options.data,
            options.host,
            options.port,
            workers=options.workers,
            ready=lambda address: print(address, flush=True),
        )
    except ZooError as error:
        print(f"error: {error.message}; {error.fix}", file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())

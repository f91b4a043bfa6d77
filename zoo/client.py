"""A zoo's client: find models, pull an artifact into a directory, push a conversion.

A pulled directory is finished beside its place and moved there whole; what is there already is only
replaced on request. Nothing that a server says is believed: manifests are validated and compared with
their digest, paths are checked, and every byte is hashed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx
from httpx_sse import EventSource

from zoo.download import Download
from zoo.errors import Conflict, DigestMismatch, InvalidManifest, NotFound, ServerUnavailable
from zoo.jobs.records import ENDED, Job
from zoo.manifest import (
    FRAMEWORKS,
    Artifact,
    ConvertedFrom,
    Manifest,
    parse_manifest,
    validate_manifest,
)
from zoo.reference import LATEST, Reference, parse_reference
from zoo.settings import Settings
from zoo.store import explained, file_digest
from zoo.submission import source_files
from zoo.transport import Overloaded, Transport

# What is being moved, and by how many bytes of how many it has come further.
Progress: TypeAlias = Callable[[str, int, int], None]


def no_progress(what: str, count: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Upload:
    """A file that a manifest names, and where it is."""

    path: Path
    sha256: str
    size: int


class Client:
    """Talks to one zoo.

    Args:
        endpoint: Address of the server; by default what the settings say.
        settings: By default those of the environment.
    """

    def __init__(self, endpoint: str | None = None, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self.transport = Transport(endpoint or self.settings.server, self.settings)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def models(
        self,
        q: str | None = None,
        framework: str | None = None,
        task: str | None = None,
        **filters: str | bool | None,
    ) -> Iterator[dict[str, Any]]:
        """Summaries of the models that fit, as the server lists them, page by page.

        Args:
            q: Words that must occur in name, summary, task or tags.
            framework: Only models that have a form for it.
            task: Only models for this task.
            filters: Further ones of `GET /v1/models`: `org`, `licence`, `precision`, `target`,
                `verified`; and `sort`: `name`, `updated` or `relevance`.
        """
        asked = {"q": q, "framework": framework, "task": task, **filters}
        given = {k: str(v).lower() if isinstance(v, bool) else v for k, v in asked.items()}
        return self._pages("/v1/models", given)

    def unpublished(
        self, q: str | None = None, org: str | None = None, state: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """What hub clients have uploaded and nobody has published, what changed last first.

        Args:
            q: Words that must occur in name or tags.
            org: Only of this organisation.
            state: `waiting` or `refused`; by default whatever became of it.
        """
        return self._pages("/v1/unpublished", {"q": q, "org": org, "state": state})

    def _pages(self, path: str, asked: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = self.transport.json(path, **asked, cursor=cursor)
            yield from page.get("items", [])
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def model(self, reference: str | Reference) -> dict[str, Any]:
        """A model with its versions, as the server describes it.

        Raises:
            NotFound: There is no such model.
        """
        found = _reference(reference)
        return self.transport.json(f"/v1/models/{found.name}")

    def manifest(self, reference: str | Reference) -> Manifest:
        """The manifest of a version, of the latest where none is named.

        Raises:
            NotFound: There is no such model or version.
            DigestMismatch: The server's manifest is not the one that its digest names.
        """
        found = _reference(reference)
        version = quote(found.version or LATEST, safe="")
        path = f"/v1/models/{found.name}/versions/{version}/manifest"
        response = self.transport.get(path)
        manifest = parse_manifest(response.content, f"{self.transport.endpoint}{path}")
        named = (
            response.headers.get("ETag", "").removeprefix("W/").strip('"').removeprefix("sha256:")
        )
        if named and named != manifest.digest:
            raise DigestMismatch(
                f"the manifest of {found} is not the one that its digest names",
                fix="try again; if it stays, tell whoever runs the server",
            )
        if manifest.name != found.name:
            raise InvalidManifest(f"asked for {found.name}, got the manifest of {manifest.name}")
        return manifest

    def artifact(self, reference: str | Reference, framework: str) -> tuple[Manifest, Artifact]:
        """The form of a model for a framework.

        Raises:
            NotFound: There is no such model, version, or form.
        """
        manifest = self.manifest(reference)
        artifact = manifest.artifact(framework)
        if artifact is None:
            there = ", ".join(a.framework for a in manifest.artifacts)
            raise NotFound(
                f"{manifest.reference} has no form for {framework!r}",
                fix=f"choose from: {there}; `zoo convert` makes others",
            )
        return manifest, artifact

    def pull(
        self,
        reference: str | Reference,
        framework: str,
        out: Path | None = None,
        *,
        force: bool = False,
        progress: Progress = no_progress,
    ) -> Path:
        """Fetch a model's form for a framework into a directory.

        Args:
            reference: `org/model` or `org/model@version`.
            framework: `onnx`, `pytorch`, `paddle` or `mindspore`.
            out: The directory; by default `MODEL/FRAMEWORK` below the working directory.
            force: Whether a directory with other content may be replaced.
            progress: Told of bytes as they arrive.

        Returns:
            The directory.

        Raises:
            NotFound: No such model, version or form.
            Conflict: The directory is there and has other content.
            DigestMismatch: The server sent wrong bytes; nothing was placed.
            ServerUnavailable: No answer; what has arrived is kept and the next pull goes on from there.
            NoSpace: The disk is full.
        """
        _, artifact = self.artifact(reference, framework)
        target = out or Path(_reference(reference).model) / framework
        download = Download(self.transport, self.settings.cache)
        # Two pulls into one directory: the second finds what the first has made.
        with download.alone(target), explained(target):
            state = _state(target, artifact)
            if state == "same":
                return target
            if state == "different" and not force:
                raise Conflict(
                    f"{target} is there and has other content",
                    fix="choose another --out, or replace it with --force",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                prefix=f".{target.name}.", dir=target.parent, ignore_cleanup_errors=True
            ) as scratch:
                made = Path(scratch, "new")
                made.mkdir()
                for file in artifact.files:
                    size = file.size or 0
                    blob = download.blob(file.sha256, size, _told(progress, file.path, size))
                    place = made / file.path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(blob, place)
                if state == "different":
                    os.replace(target, Path(scratch, "old"))
                os.replace(made, target)
        return target

    def push(
        self, source: Path, head: Mapping[str, Any], *, progress: Progress = no_progress
    ) -> Manifest:
        """Upload the artifact directories of a conversion and publish them as one version.

        Args:
            source: A directory with `pytorch/`, `paddle/` ... in it, or one artifact directory.
            head: Everything of the manifest but its artifacts: name, version, task, summary, licence,
                lineage ...
            progress: Told of bytes as they leave.

        Returns:
            The published manifest.

        Raises:
            InvalidManifest: The head or an artifact's manifest.json is not valid.
            Conflict: The version is there with other content.
            ServerUnavailable: No answer; what has arrived stays, and the next push goes on from there.
        """
        manifest, uploads = collect(source, head)
        for upload in uploads:
            self._upload(upload, progress)
        self.publish(manifest)
        return manifest

    def submit(
        self,
        source: Path,
        head: Mapping[str, Any],
        policy: Mapping[str, Any],
        *,
        webhook: str | None = None,
        progress: Progress = no_progress,
    ) -> Job:
        """Upload a model file and have it converted and published by the zoo.

        Args:
            source: A model file, or a folder with one model.
            head: Everything of the manifest but its artifacts.
            policy: `targets` and `sizes`, as `zoo.jobs.records.Policy` has them.
            webhook: Address to call when the job has ended.
            progress: Told of bytes as they leave.

        Raises:
            InvalidManifest: The head or the policy is not valid, or it is no model that can be converted.
            ConversionError: It is not known, or it is not clear which of several models is meant.
            Conflict: The version is published, or on its way from another submission.
        """
        manifest, uploads = collect_source(source, head)
        for upload in uploads:
            self._upload(upload, progress)
        fields = {"manifest": json.loads(manifest.canonical()), "convert": dict(policy)}
        if webhook is not None:
            fields["webhook"] = webhook
        return Job.model_validate(self.transport.request("POST", "/v1/jobs", json=fields).json())

    def job(self, job_id: str) -> Job:
        """A job with its steps.

        Raises:
            NotFound: There is no such job.
        """
        return Job.model_validate(self.transport.json(_job_path(job_id)))

    def jobs(self, state: str | None = None) -> list[Job]:
        """The newest jobs, without their steps."""
        page = self.transport.json("/v1/jobs", state=state)
        return [Job.model_validate(item) for item in page.get("items", [])]

    def cancel(self, job_id: str) -> Job:
        """End a job.

        Raises:
            Conflict: It has ended, or is being published.
        """
        return Job.model_validate(
            self.transport.request("POST", _job_path(job_id) + "/cancel").json()
        )

    def retry(self, job_id: str) -> Job:
        """Begin a failed or cancelled job anew.

        Raises:
            Conflict: It has not failed.
        """
        return Job.model_validate(
            self.transport.request("POST", _job_path(job_id) + "/retry", again=False).json()
        )

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """What happens to a job, as it happens, until it has ended; goes on after a lost connection.

        Raises:
            ServerUnavailable: No answer for as many attempts as the settings allow.
        """
        last, failures = "", 0
        while True:
            try:
                headers = {"Accept": "text/event-stream"} | (
                    {"Last-Event-ID": last} if last else {}
                )
                with self.transport.stream(_job_path(job_id) + "/events", headers) as answer:
                    for event in EventSource(answer).iter_sse():
                        last, failures = event.id, 0
                        # A sign of life, which the server sends while a step takes long, says nothing.
                        if event.data:
                            yield event.json()
                if self.job(job_id).state in ENDED:
                    return
            except (httpx.HTTPError, Overloaded, ServerUnavailable) as error:
                failures += 1
                if failures > self.settings.attempts:
                    raise self.transport.unavailable(error) from error
                time.sleep(min(10.0, 0.5 * 2**failures))

    def publish(self, manifest: Manifest) -> None:
        """Publish a manifest whose blobs are all there; publishing the same again changes nothing."""
        self.transport.request(
            "POST",
            f"/v1/models/{manifest.name}/versions",
            content=manifest.canonical(),
            headers={"Content-Type": "application/json"},
        )

    def _upload(self, upload: Upload, progress: Progress) -> None:
        name = upload.path.name
        begun = self._begun(upload)
        if begun is None:
            progress(name, upload.size, upload.size)
            return
        place, at = begun
        progress(name, at, upload.size)
        with explained(upload.path), upload.path.open("rb") as file:
            while True:
                file.seek(at)
                part = file.read(self.settings.part)
                if not part and at < upload.size:
                    raise InvalidManifest(
                        f"{upload.path}: became shorter while it was pushed", fix="push again"
                    )
                after = self._send(place, at, part, upload)
                progress(name, after - at, upload.size)
                at = after
                if at >= upload.size:
                    break
        self._note(upload).unlink(missing_ok=True)

    def _begun(self, upload: Upload) -> tuple[str, int] | None:
        """Where an upload is and how far; an earlier push's, else a new one; None if all is there."""
        note = self._note(upload)
        if note.is_file():
            place = note.read_text(encoding="utf-8", errors="replace")
            try:
                if _PLACE.match(place):
                    return place, self._reached(place)
            except NotFound:
                pass
            note.unlink(missing_ok=True)
        answer = self.transport.request(
            "POST", "/v1/uploads", json={"sha256": upload.sha256, "size": upload.size}
        )
        if answer.status_code == 200:
            return None
        place = httpx.URL(answer.headers.get("Location", "")).path
        if not _PLACE.match(place):
            raise ServerUnavailable(
                f"{self.transport.endpoint} did not say where to upload to",
                fix="check that --endpoint is a zoo's server",
            )
        with explained(note):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(place, encoding="utf-8")
        return place, _offset(answer, 0)

    def _note(self, upload: Upload) -> Path:
        """The file of the cache that says where an unfinished upload is."""
        of = f"{self.transport.endpoint} {upload.sha256}"
        return self.settings.cache / "uploads" / hashlib.sha256(of.encode()).hexdigest()

    def _send(self, place: str, at: int, part: bytes, upload: Upload) -> int:
        """Send a part; returns the offset that the server has reached."""
        end = at + len(part)
        headers = {"Content-Type": "application/octet-stream"}
        try:
            for attempt in self.transport.attempts(_is_out_of_step):
                with attempt:
                    if attempt.num > 1:
                        # What arrived before the failure stays on the server.
                        reached = self._reached(place)
                        if not at <= reached <= end:
                            raise Conflict(
                                f"{upload.path}: another push is sending the same file",
                                fix="wait until it ends, then push again",
                            )
                        part, at = part[reached - at :], reached
                        if at == end:
                            return end
                    answer = self.transport.request(
                        "PATCH",
                        place,
                        again=False,
                        content=part,
                        headers={**headers, "Upload-Offset": str(at)},
                    )
                    return _offset(answer, end)
        except NotFound:
            # The answer to the last bytes was lost: they made it a blob, and the upload is gone.
            if end == upload.size and self._begun(upload) is None:
                return end
            raise
        raise AssertionError("attempts end by a return or an error")

    def _reached(self, place: str) -> int:
        return _offset(self.transport.get(place), 0)


# Where an upload may be: what a server names is put behind its address and nowhere else.
_PLACE = re.compile(r"/v1/uploads/[A-Za-z0-9_-]{1,128}\Z")


def _offset(answer: httpx.Response, default: int) -> int:
    said = answer.headers.get("Upload-Offset", "")
    return int(said) if said.isdecimal() else default


def _is_out_of_step(error: Exception) -> bool:
    """Whether to ask for the offset and go on from there.

    After a broken request the server may still be at its end, and refuses the next until it is.
    """
    return isinstance(error, ServerUnavailable | Conflict)


def _told(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    """Progress of one file."""
    return lambda count: progress(what, count, total)


def _job_path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def collect_source(source: Path, head: Mapping[str, Any]) -> tuple[Manifest, list[Upload]]:
    """The manifest that a model makes before it is converted, and its files.

    Args:
        source: A model file, or a folder with one model.
        head: Everything of the manifest but its artifacts.

    Raises:
        NotFound: There is no such file.
        InvalidManifest: A field is not valid, or it is no model that can be converted.
        ConversionError: It is not known, or it is not clear which of several models is meant.
    """
    found = source_files(source)
    links = [path for path in found.paths if path.is_symlink()]
    if links and source.is_dir():
        raise InvalidManifest(
            f"{links[0]}: a link cannot be pushed", fix="put the file in its place"
        )
    uploads = [Upload(path, file_digest(path), path.stat().st_size) for path in found.paths]
    artifact = found.artifact({u.path: (u.sha256, u.size) for u in uploads})
    return validate_manifest({**head, "artifacts": [artifact]}, str(source)), uploads


def collect(source: Path, head: Mapping[str, Any]) -> tuple[Manifest, list[Upload]]:
    """The manifest that a directory of artifacts makes, and the files that it names.

    Raises:
        NotFound: There is no artifact in the directory.
        InvalidManifest: The head or an artifact's manifest.json is not valid.
    """
    folders = [source] if (source / "manifest.json").is_file() else []
    folders += [source / name for name in FRAMEWORKS if (source / name / "manifest.json").is_file()]
    if not folders:
        raise NotFound(
            f"{source}: no artifact in it", fix="push the --out directory of `zoo convert`"
        )
    artifacts, uploads, signature = [], [], None
    for folder in folders:
        artifact, files, found = _read_artifact(folder)
        artifacts.append(artifact)
        uploads += files
        signature = signature or found
    fields = {**head, "artifacts": artifacts}
    if signature is not None:
        fields.setdefault("signature", signature)
    return validate_manifest(fields, str(source)), uploads


# The fields of an artifact's own manifest.json that a version's manifest repeats.
REPEATED = (
    "framework", "format", "precision", "targets", "entry", "inference", "source", "converter", "route",
    "verification",
)  # fmt: skip


def _read_artifact(folder: Path) -> tuple[dict[str, Any], list[Upload], dict[str, Any] | None]:
    path = folder / "manifest.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(
            f"{path}: not JSON: {error}", fix="convert the model again, or correct the file"
        ) from None
    if not isinstance(said, dict):
        raise InvalidManifest(
            f"{path}: expected an object of fields", fix="convert the model again"
        )
    fields = {name: said[name] for name in REPEATED if said.get(name) is not None}
    if isinstance(said.get("source"), dict):
        # Which routes were tried on the way to the graph stays in the artifact's own manifest.
        known = ConvertedFrom.model_fields
        fields["source"] = {name: said["source"].get(name) for name in known}
    uploads = []
    for file in sorted(folder.rglob("*")):
        if file.is_symlink():
            raise InvalidManifest(
                f"{file}: a link cannot be pushed", fix="put the file in its place"
            )
        if file.is_file() and "__pycache__" not in file.parts:
            uploads.append(Upload(file, file_digest(file), file.stat().st_size))
    fields["files"] = [
        {"path": u.path.relative_to(folder).as_posix(), "sha256": u.sha256, "size": u.size}
        for u in uploads
    ]
    return fields, uploads, said.get("signature")


def _state(target: Path, artifact: Artifact) -> str:
    """Whether a directory is `absent`, the `same` as an artifact, or `different`."""
    if not target.exists() and not target.is_symlink():
        return "absent"
    if not target.is_dir():
        return "different"
    found = {
        path.relative_to(target).as_posix()
        for path in target.rglob("*")
        if not path.is_dir() and "__pycache__" not in path.parts
    }
    if not found:
        return "absent" if not any(target.iterdir()) and _removed(target) else "different"
    same = found == {file.path for file in artifact.files} and all(
        file_digest(target / file.path) == file.sha256 for file in artifact.files
    )
    return "same" if same else "different"


def _removed(empty: Path) -> bool:
    """Remove an empty directory, so that the new one can take its place."""
    empty.rmdir()
    return True


def _reference(reference: str | Reference) -> Reference:
    return parse_reference(reference) if isinstance(reference, str) else reference

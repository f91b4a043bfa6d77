"""`zoo apply manifests/`: what the manifests of a directory name is published afterwards.

Applying twice changes nothing. Every manifest is checked, against the schema and against what is
published, before the first byte is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.errors import InvalidManifest
from zoo.manifest import File, Manifest, load_manifest
from zoo.registry import Registry
from zoo.sources import Progress, fetch, no_progress

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Change:
    """What applying a manifest did.

    Attributes:
        reference: `org/model@version`.
        change: `published`, or `unchanged` if the very same version was there.
        digest: `sha256:…` of the manifest.
    """

    reference: str
    change: Literal["published", "unchanged"]
    digest: str


def apply(manifests: Path, registry: Registry, progress: Progress = no_progress) -> list[Change]:
    """Publish what manifests say.

    Args:
        manifests: A manifest, or a directory with manifests at any depth.
        registry: Where.
        progress: Told of bytes as they are fetched.

    Returns:
        One change per manifest, in the order of their paths.

    Raises:
        InvalidManifest: Some do not follow the schema; all problems are named, nothing was done.
        Conflict: A version is published with another manifest; nothing was done.
        SourceUnavailable: A source cannot be fetched; what was published before stays.
        DigestMismatch: A source has other bytes than the manifest says.
    """
    loaded = _load(manifests)
    for manifest in loaded.values():
        registry.published(manifest)
    return [_apply(path, manifest, registry, progress) for path, manifest in loaded.items()]


def _load(manifests: Path) -> dict[Path, Manifest]:
    paths = [manifests] if manifests.is_file() else sorted(_manifests(manifests))
    if not paths:
        raise InvalidManifest(
            f"{manifests}: there is no manifest here", fix="name a directory with .yaml manifests"
        )
    loaded: dict[Path, Manifest] = {}
    problems: list[str] = []
    first: dict[str, Path] = {}
    for path in paths:
        try:
            manifest = load_manifest(path)
        except InvalidManifest as error:
            problems.append(error.message)
            continue
        loaded[path] = manifest
        other = first.setdefault(manifest.reference.lower(), path)
        if other != path:
            problems.append(f"{path}: {manifest.reference} is in {other} already")
    if problems:
        raise InvalidManifest(
            "\n".join(problems),
            fix="correct the fields that are named; docs/architecture.md has the schema",
            details={"problems": problems},
        )
    return loaded


def _manifests(directory: Path) -> list[Path]:
    found = (path for path in directory.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return [p for p in found if not any(part[0] == "." for part in p.relative_to(directory).parts)]


def _apply(path: Path, manifest: Manifest, registry: Registry, progress: Progress) -> Change:
    problems = []
    for i, artifact in enumerate(manifest.artifacts):
        for j, file in enumerate(artifact.files):
            if registry.store.keep(file.sha256):
                continue
            if file.source is None:
                problems.append(
                    f"{path}: artifacts[{i}].files[{j}].source: is required, because the zoo does "
                    f"not have sha256:{file.sha256}"
                )
            elif not problems:
                _take(file, file.source, path.parent, registry, progress)
    if problems:
        raise InvalidManifest(
            "\n".join(problems), fix="name a source, or upload the files first with zoo push"
        )
    publication = registry.publish(manifest)
    return Change(
        manifest.reference,
        "published" if publication.created else "unchanged",
        publication.digest,
    )


def _take(file: File, source: str, directory: Path, registry: Registry, progress: Progress) -> None:
    fetched = fetch(
        source,
        file.sha256,
        registry.settings.cache,
        size=file.size,
        directory=directory,
        progress=progress,
        settings=registry.settings,
    )
    registry.store.put(fetched, file.sha256)

"""The use cases of a zoo: publish, find, resolve, over the store and the catalogue of one directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL

from zoo.access import LOCAL, Access, Identity
from zoo.bucket import Bucket, Objects, open_bucket
from zoo.catalogue import queries
from zoo.catalogue.engine import database_url, integrity, open_engine, writing
from zoo.catalogue.listing import Filter, Sort, models
from zoo.catalogue.recent import Recent
from zoo.catalogue.records import (
    ModelDetail,
    ModelPage,
    Publication,
    VersionDetail,
    VersionSummary,
)
from zoo.errors import InvalidManifest, MissingBlobs, NotFound, ZooError
from zoo.hub.intake import Intake
from zoo.hub.repositories import Repositories
from zoo.hub.xet import Xet
from zoo.manifest import Artifact, File, Manifest
from zoo.reference import shown
from zoo.settings import Settings
from zoo.shared_uploads import SharedUploads
from zoo.store import Blob, Blobs, Folder, Store, explained
from zoo.uploads import Uploads, UploadsRoom


def catalogue_url(data: Path, settings: Settings) -> URL:
    """The address of the catalogue of a zoo.

    Raises:
        InvalidSetting: The settings name something that is no database.
    """
    return database_url(settings.database.get_secret_value(), data / "zoo.db")


class Registry:
    """A zoo: `blobs/`, `uploads/` and `zoo.db` in one directory, or a bucket and a database elsewhere."""

    def __init__(self, data: Path, settings: Settings | None = None) -> None:
        """Open a zoo, and make it if it is missing.

        Args:
            data: Its directory.
            settings: Limits; the environment's by default.

        Raises:
            ZooError: The directory cannot be used.
        """
        self.settings = settings or Settings.from_environment()
        self.data = data.absolute()
        with explained(self.data):
            self.data.mkdir(parents=True, exist_ok=True)
        self._engine = open_engine(catalogue_url(self.data, self.settings))
        # What servers and workers share besides the database; None where that is a file system.
        self.bucket: Objects | None = open_bucket(self.settings) if self.settings.bucket else None
        self.store = self._open_store()
        self.uploads = self._open_uploads()
        chunks = Folder(self.data / "xet") if self.bucket is None else self.bucket.below("xet")
        self.xet = Xet(chunks, self.store, self.settings.largest_blob)
        self.access = Access(self._engine, self.settings.anonymous)
        self.repositories = Repositories(self._engine, self.store, self.access)
        self.intake = Intake(self._engine)
        self.recent = Recent(self._engine)

    def _open_store(self) -> Blobs:
        if self.bucket is None:
            store = Store(self.data / "blobs")
            store.sweep()
            return store
        blobs, marks = self.bucket.below("blobs/sha256"), self.bucket.below("marks/sha256")
        return Bucket(blobs, marks, links=self.settings.bucket_downloads == "redirect")

    def _open_uploads(self) -> UploadsRoom:
        largest, lifetime = self.settings.largest_blob, self.settings.upload_lifetime
        if isinstance(self.store, Store):
            return Uploads(self.data / "uploads", self.store, largest, lifetime)
        assert self.bucket is not None  # noqa: S101 - blobs are here or there
        parts = self.bucket.below("uploads")
        return SharedUploads(self._engine, parts, self.store, largest, lifetime)

    def close(self) -> None:
        """Let go of the catalogue."""
        self.recent.close()
        self._engine.dispose()

    def publish(self, manifest: Manifest, by: Identity = LOCAL) -> Publication:
        """Publish a version: it is there afterwards, whole, or nothing has changed.

        Args:
            manifest: Sizes that are left out are filled in from the store.
            by: Who publishes.

        Returns:
            The publication; `created` is False if the very same version was there.

        Raises:
            MissingBlobs: Files of the manifest are not in the store.
            InvalidManifest: A size is not that of the blob.
            Conflict: The version is there with another manifest.
        """
        sizes = self._sizes(manifest)
        problems = [
            f"artifacts[{i}].files[{j}].size: expected {sizes[file.sha256]}, got {file.size}"
            for i, artifact in enumerate(manifest.artifacts)
            for j, file in enumerate(artifact.files)
            if file.size not in (None, sizes[file.sha256])
        ]
        if problems:
            raise InvalidManifest(
                "\n".join(f"{manifest.reference}: {problem}" for problem in problems),
                fix="correct the sizes, or leave them out where a source is named",
                details={"problems": problems},
            )
        publication = queries.publish(
            self._engine,
            manifest.with_sizes(sizes),
            by=by,
            require=lambda: self._sizes(manifest),
        )
        # It is published, whatever happens now; what is not written here follows at the first look.
        with suppress(ZooError):
            self.repositories.follow(manifest.name)
        return publication

    def _sizes(self, manifest: Manifest) -> dict[str, int]:
        """The sizes of a manifest's files, which stay for a while."""
        files = {file.sha256: file for item in manifest.artifacts for file in item.files}
        sizes = {}
        for digest in files:
            with suppress(NotFound):
                if self.store.keep(digest):
                    sizes[digest] = self.store.size(digest)
        missing = [digest for digest in files if digest not in sizes]
        if missing:
            raise MissingBlobs(
                f"{manifest.reference} names {len(missing)} files that are not in the store, "
                f"first {files[missing[0]].path} (sha256:{missing[0]})",
                fix="upload them, then publish again",
                details={"missing": [f"sha256:{digest}" for digest in missing]},
            )
        return sizes

    def published(self, manifest: Manifest) -> Publication | None:
        """How this very manifest is published; None if the version is not.

        Raises:
            Conflict: The version is there with another manifest.
        """
        return queries.published(self._engine, manifest)

    def models(
        self,
        *,
        q: str = "",
        org: str | None = None,
        framework: str | None = None,
        task: str | None = None,
        licence: str | None = None,
        precision: str | None = None,
        target: str | None = None,
        verified: bool | None = None,
        sort: Sort | None = None,
        limit: int = 50,
        cursor: str | None = None,
        who: Identity = LOCAL,
    ) -> ModelPage:
        """Search the models; see `zoo.catalogue.listing`."""
        wanted = Filter(q, org, framework, task, licence, precision, target, verified)
        return models(self._engine, wanted, sort=sort, limit=limit, cursor=cursor, who=who)

    def model(self, name: str) -> ModelDetail:
        """One model.

        Raises:
            NotFound: There is no such model.
        """
        return queries.model(self._engine, name)

    def versions(self, name: str) -> tuple[VersionSummary, ...]:
        """The versions of a model, the highest first.

        Raises:
            NotFound: There is no such model.
        """
        return queries.versions(self._engine, name)

    def version(self, name: str, version: str) -> VersionDetail:
        """One version; `latest` means the highest.

        Raises:
            NotFound: There is no such model or version.
        """
        return queries.version(self._engine, name, version)

    def artifact(self, name: str, version: str, framework: str) -> Artifact:
        """The artifact of a version for one framework.

        Raises:
            NotFound: There is no such model, version or artifact.
        """
        manifest = self.version(name, version).manifest
        artifact = manifest.artifact(framework)
        if artifact is None:
            known = ", ".join(item.framework for item in manifest.artifacts)
            raise NotFound(
                f"{manifest.reference} has no artifact for {shown(framework)}",
                fix=f"it has: {known}",
            )
        return artifact

    def file(self, name: str, version: str, framework: str, path: str) -> File:
        """One file of an artifact.

        Raises:
            NotFound: There is no such model, version, artifact or file.
        """
        artifact = self.artifact(name, version, framework)
        file = artifact.file(path)
        if file is None:
            known = ", ".join(item.path for item in artifact.files[:10])
            raise NotFound(
                f"{name}@{version} has no file {shown(path)} for {framework}",
                fix=f"it has: {known}",
            )
        return file

    def blob(self, sha256: str) -> Blob:
        """The blob of a digest.

        Raises:
            NotFound: There is no such blob.
        """
        return Blob.of(self.store, sha256)

    def require_readable(self, sha256: str, who: Identity) -> None:
        """Let somebody read the bytes of a digest: those only in private models of others are not there for them.

        Raises:
            NotFound: They may not.
        """
        if not who.sees_everything:
            self.access.require_one_of(who, queries.models_with(self._engine, sha256), sha256)

    # For whoever runs the zoo

    def counts(self) -> tuple[int, int]:
        """How many models and versions there are."""
        return queries.counts(self._engine)

    def integrity(self, full: bool) -> list[str]:
        """What is broken in the catalogue, in the database's own words."""
        return integrity(self._engine, full)

    def models_with(self, sha256: str) -> tuple[str, ...]:
        """The names of the models that need a blob."""
        return queries.models_with(self._engine, sha256)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Until the end nothing is published and nothing is committed; looking is as ever."""
        with writing(self._engine) as session:
            session.connection()  # which is what begins the transaction
            yield

    def published_blobs(self) -> Iterator[str]:
        """The digests of all files of all versions, some of them often."""
        return queries.published_blobs(self._engine)

    def published_among(self, digests: Sequence[str]) -> set[str]:
        """Those that a version names."""
        return queries.published_among(self._engine, digests)

"""What is asked of the catalogue, and the one thing that is written to it: a publication."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone

from sqlalchemy import Engine, func, update
from sqlmodel import Session, col, select

from zoo.access import LOCAL, Identity, log, unknown_model
from zoo.catalogue.engine import reading, writing
from zoo.catalogue.listing import INDEX, document, summary
from zoo.catalogue.records import ModelDetail, Publication, VersionDetail, VersionSummary
from zoo.catalogue.search import folded
from zoo.catalogue.tables import Artifact, File, Form, Model, Repository, Version
from zoo.errors import Conflict, NotFound
from zoo.manifest import Manifest
from zoo.reference import LATEST, latest_version, print_digest, shown, version_order


def publish(
    engine: Engine,
    manifest: Manifest,
    now: datetime | None = None,
    by: Identity = LOCAL,
    require: Callable[[], object] = lambda: None,
) -> Publication:
    """Add a version to the catalogue, in one transaction.

    Args:
        engine: The catalogue.
        manifest: With the size of every file.
        now: When; the present by default.
        by: Who publishes.
        require: Raises if a file is not there any more, now that nobody else can remove any.

    Returns:
        The publication; `created` is False if the very same version was there.

    Raises:
        Conflict: The version is there with another manifest, or its name differs in case only.
    """
    when = (now or datetime.now(timezone.utc)).astimezone(timezone.utc).replace(tzinfo=None)
    with writing(engine) as session:
        model, found = _same(session, manifest)
        if found is not None:
            return _publication(manifest, found, created=False)
        require()
        added = _add(session, model, manifest, when)
        log(session, by, "version.publish", manifest.reference, digest=added.digest)
        return _publication(manifest, added, created=True)


def published(engine: Engine, manifest: Manifest) -> Publication | None:
    """How this very manifest is published; None if the version is not.

    Args:
        engine: The catalogue.
        manifest: Sizes may be left out.

    Raises:
        Conflict: The version is there with another manifest, or its name differs in case only.
    """
    with reading(engine) as session:
        _, found = _same(session, manifest)
        return None if found is None else _publication(manifest, found, created=False)


def model(engine: Engine, name: str) -> ModelDetail:
    """One model with the names of its versions, the highest first.

    Raises:
        NotFound: There is no such model.
    """
    with reading(engine) as session:
        row = _model(session, name)
        names = session.exec(select(Version.version).where(Version.model_id == row.id))
        versions = sorted(names, key=version_order, reverse=True)
        return ModelDetail(**dict(summary(row)), versions=tuple(versions))


def versions(engine: Engine, name: str) -> tuple[VersionSummary, ...]:
    """The versions of a model, the highest first.

    Raises:
        NotFound: There is no such model.
    """
    with reading(engine) as session:
        row = _model(session, name)
        found = session.exec(select(Version).where(Version.model_id == row.id))
        ordered = sorted(found, key=lambda v: version_order(v.version), reverse=True)
        return tuple(_version_summary(v, _manifest(v)) for v in ordered)


def version(engine: Engine, name: str, wanted: str) -> VersionDetail:
    """One version; `latest` means the highest.

    Raises:
        NotFound: There is no such model, or it has no such version.
    """
    with reading(engine) as session:
        row = _model(session, name)
        found = _find(session, row, row.latest if wanted == LATEST else wanted)
        if found is None or wanted not in (LATEST, found.version):
            names = session.exec(select(Version.version).where(Version.model_id == row.id))
            known = ", ".join(sorted(names, key=version_order, reverse=True)[:10])
            raise NotFound(
                f"{row.name} has no version {shown(wanted)}", fix=f"published are: {known}"
            )
        manifest = _manifest(found)
        short = _version_summary(found, manifest)
        return VersionDetail(**dict(short), name=row.name, manifest=manifest)


def is_published(engine: Engine, sha256: str) -> bool:
    """Whether a published version needs this blob."""
    with reading(engine) as session:
        return session.exec(select(File.id).where(File.sha256 == sha256)).first() is not None


def counts(engine: Engine) -> tuple[int, int]:
    """How many models and versions there are."""
    with reading(engine) as session:
        models = session.exec(select(func.count(col(Model.id)))).one()
        return models, session.exec(select(func.count(col(Version.id)))).one()


def published_blobs(engine: Engine) -> Iterator[str]:
    """The digests of all files of all versions, some of them often."""
    with reading(engine) as session:
        yield from session.exec(select(File.sha256).execution_options(yield_per=10_000))


def published_among(engine: Engine, digests: Sequence[str]) -> set[str]:
    """Those of some digests that a version names."""
    with reading(engine) as session:
        return set(session.exec(select(File.sha256).where(col(File.sha256).in_(digests))))


def models_with(engine: Engine, sha256: str) -> tuple[str, ...]:
    """The names of the models that need this blob."""
    query = (
        select(Model.name)
        .join(Version, col(Version.model_id) == Model.id)
        .join(Artifact, col(Artifact.version_id) == Version.id)
        .join(File, col(File.artifact_id) == Artifact.id)
        .where(File.sha256 == sha256)
        .distinct()
    )
    with reading(engine) as session:
        return tuple(session.exec(query))


def _same(session: Session, manifest: Manifest) -> tuple[Model | None, Version | None]:
    model = session.exec(select(Model).where(Model.name == manifest.name)).first()
    if model is None:
        return None, None
    _same_case("model", model.name, manifest.name)
    found = _find(session, model, manifest.version)
    if found is not None:
        _same_case("version", found.version, manifest.version)
        _same_manifest(found, manifest)
    return model, found


def _add(session: Session, model: Model | None, manifest: Manifest, when: datetime) -> Version:
    row = model or Model(name=manifest.name, **_searchable(manifest), updated_at=when)
    row.updated_at = when
    if model is None:
        session.add(row)
        session.flush()
        uploaded = update(Repository).where(col(Repository.name) == manifest.name)
        session.exec(uploaded.values(published=True))
        _show(session, row, manifest)
    else:
        known = session.exec(select(Version.version).where(Version.model_id == model.id))
        if latest_version([*known, manifest.version]) == manifest.version:
            _hide(session, row)
            for field, value in _searchable(manifest).items():
                setattr(row, field, value)
            session.add(row)
            _show(session, row, manifest)
    version = Version(
        model_id=row.id,
        version=manifest.version,
        digest=manifest.digest,
        published_at=when,
        manifest=manifest.canonical().decode(),
    )
    session.add(version)
    session.flush()
    for item in manifest.artifacts:
        artifact = Artifact(
            version_id=version.id,
            framework=item.framework,
            format=item.format,
            precision=item.precision,
        )
        session.add(artifact)
        session.flush()
        session.add_all(
            File(artifact_id=artifact.id, path=file.path, sha256=file.sha256, size=file.size)
            for file in item.files
        )
    session.flush()
    return version


def _searchable(manifest: Manifest) -> dict[str, str]:
    tags = "\n".join(manifest.tags)
    return {
        "task": manifest.task,
        "summary": manifest.summary,
        "tags": tags,
        "licence": manifest.licence.expression,
        "latest": manifest.version,
        "frameworks": "\n".join(artifact.framework for artifact in manifest.artifacts),
        "words": folded("\n".join((manifest.name, manifest.task, manifest.summary, tags))),
    }


def _show(session: Session, row: Model, manifest: Manifest) -> None:
    """Let searches find what a manifest says."""
    assert row.id is not None  # noqa: S101 - it was flushed
    forms = [
        Form(
            model_id=row.id,
            framework=item.framework,
            precision=item.precision,
            targets="".join(f"\n{target}" for target in item.targets) + "\n",
            verified=item.verification is not None and item.verification.passed,
        )
        for item in manifest.artifacts
    ]
    session.add_all(forms)
    session.flush()
    INDEX.add(session.connection(), row.id, document(row, forms))


def _hide(session: Session, row: Model) -> None:
    """Take what the version before said out of searches."""
    assert row.id is not None  # noqa: S101 - it was read
    forms = session.exec(select(Form).where(Form.model_id == row.id)).all()
    INDEX.remove(session.connection(), row.id, document(row, list(forms)))
    for form in forms:
        session.delete(form)
    session.flush()


def _model(session: Session, name: str) -> Model:
    row: Model | None = session.exec(select(Model).where(Model.name == name)).first()
    if row is None:
        raise unknown_model(name)
    if row.name != name:
        raise NotFound(f"there is no model {shown(name)}", fix=f"its name is {row.name}")
    return row


def _find(session: Session, model: Model, version: str) -> Version | None:
    query = select(Version).where(Version.model_id == model.id, Version.version == version)
    found: Version | None = session.exec(query).first()
    return found


def _manifest(row: Version) -> Manifest:
    return Manifest.model_validate_json(row.manifest)


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=timezone.utc)


def _version_summary(row: Version, manifest: Manifest) -> VersionSummary:
    files = {file.sha256: file.size or 0 for item in manifest.artifacts for file in item.files}
    return VersionSummary(
        version=row.version,
        digest=print_digest(row.digest),
        published_at=_utc(row.published_at),
        frameworks=tuple(artifact.framework for artifact in manifest.artifacts),
        size=sum(files.values()),
    )


def _publication(manifest: Manifest, row: Version, *, created: bool) -> Publication:
    return Publication(
        name=manifest.name,
        version=row.version,
        digest=print_digest(row.digest),
        published_at=_utc(row.published_at),
        created=created,
    )


def _same_case(what: str, found: str, given: str) -> None:
    if found != given:
        raise Conflict(
            f"{what} {given} differs from {found}, which is published, in the case of letters only",
            fix=f"write {found}, or choose another name",
        )


def _same_manifest(found: Version, manifest: Manifest) -> None:
    if found.digest == manifest.digest:
        return
    before = _manifest(found)
    files = (file for artifact in before.artifacts for file in artifact.files)
    filled = manifest.with_sizes(
        {file.sha256: file.size for file in files if file.size is not None}
    )
    fields = differences(before.model_dump(), filled.model_dump())
    if not fields:
        return
    raise Conflict(
        f"{manifest.reference} is published and never changes, but differs in: "
        + ", ".join(fields[:10])
        + (" …" if len(fields) > 10 else ""),
        fix="publish the change as a new version",
        details={"fields": fields[:100]},
    )


def differences(before: object, after: object, where: str = "") -> list[str]:
    """The fields in which two manifests differ, as `artifacts[0].files[1].sha256`."""
    if isinstance(before, dict) and isinstance(after, dict):
        dot = "." if where else ""
        return [
            difference
            for key in dict.fromkeys((*before, *after))
            for difference in differences(before.get(key), after.get(key), f"{where}{dot}{key}")
        ]
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        if len(before) != len(after):
            return [where]
        pairs = enumerate(zip(before, after, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    return [] if before == after else [where]

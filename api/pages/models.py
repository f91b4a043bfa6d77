"""A model: its forms, the evidence, the lineage, the licence, the card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath

from fastapi import Request
from markupsafe import Markup
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from api.dependencies import Model, Org, Secret, Who, Zoo
from api.pages import drawings, findings, licences, text, viewer
from api.pages.names import FORMS
from api.pages.site import Pages, page, root_of
from api.routes.jobs import TheJobs
from zoo.access import Identity, Role
from zoo.catalogue.records import ModelDetail, RefusedUpload, VersionDetail
from zoo.errors import InvalidReference, NotFound, ZooError
from zoo.hub.card import write_card
from zoo.hub.objects import Directory, Entry
from zoo.hub.records import RepositoryInfo
from zoo.hub.refs import MAIN
from zoo.hub.repositories import README
from zoo.jobs.jobs import Jobs
from zoo.jobs.records import Job
from zoo.manifest import Artifact
from zoo.reference import LATEST, shown
from zoo.registry import Registry
from zoo.store import Blob


class Publisher(StringConvertor):
    """The first part of an address that may be an organisation: the API's own is none."""

    regex = r"(?!v1/)[^/]+"


register_url_convertor("publisher", Publisher())
router = Pages()
MOST_FILES = 200
MOST_SOURCES = 2


@router.show("/models/{org}/{model}")
@router.show("/models/{org}/{model}/{version}")
@router.show("/models/{org}/{model}/{version}/{framework}")
def show_model(
    zoo: Zoo,
    jobs: TheJobs,
    secret: Secret,
    request: Request,
    org: Org,
    model: Model,
    version: str = LATEST,
    framework: str | None = None,
) -> Response:
    """A version of a model, and its form for one framework."""
    name = f"{org}/{model}"
    with zoo.access.visit(secret) as who:
        zoo.access.require(who, Role.READ, name)
        found = _published(zoo, name, version)
        refused = zoo.intake.refused(name)
        if found is None:
            info, _, files = zoo.repositories.look(name, MAIN, who)
        else:
            private, readme = zoo.access.is_private(name), _readme(zoo, who, name)
    if found is None:
        return _uploaded(jobs, who, request, info, files, refused)
    detail, release = found
    forms = {key: made for key in FORMS if (made := release.manifest.artifact(key))}
    chosen = framework or next(iter(forms))
    if chosen not in forms:
        raise NotFound(f"{release.manifest.reference} has no form for {shown(chosen)}")
    artifact = forms[chosen]
    report = artifact.verification
    rows = drawings.rows(report) if report is not None else ()
    visible = rows[: drawings.MOST_ROWS]
    return page(
        request,
        "model.html",
        who=who,
        model=detail,
        release=release,
        manifest=release.manifest,
        private=private,
        latest=release.version == detail.latest,
        forms=forms,
        artifact=artifact,
        files=artifact.files[:MOST_FILES],
        sources=_sources(zoo, artifact),
        findings=_findings(zoo, artifact),
        report=report,
        reference_of_others=any(
            form.verification is not None and form.verification.reference == chosen
            for form in forms.values()
        ),
        rows=visible,
        more_rows=len(rows) - len(visible),
        plot=drawings.error_plot(report, visible) if report is not None else None,
        lineage=drawings.lineage(release.manifest),
        box=(drawings.BOX_WIDTH, drawings.BOX_HEIGHT),
        licences=licences.summaries(release.manifest.licence),
        card=_card(zoo, readme, release),
        graph=viewer.graph_of(release.manifest),
        job=_unfinished(jobs, name, detail.updated_at),
        refused=refused,
    )


@router.show("/models/{org}/{model}/{version}/onnx/graph")
def show_graph(
    zoo: Zoo, who: Who, request: Request, org: Org, model: Model, version: str
) -> Response:
    """The graph of the network, in a viewer."""
    name = f"{org}/{model}"
    zoo.access.require(who, Role.READ, name)
    release = zoo.version(name, version)
    graph = viewer.graph_of(release.manifest)
    if graph is None:
        raise NotFound(f"{release.manifest.reference} has no graph that can be shown here")
    return page(
        request, "graph.html", who=who, release=release, manifest=release.manifest, graph=graph
    )


@router.show("/{org:publisher}/{model}")
@router.show("/{org:publisher}/{model}/tree/{rest:path}")
@router.show("/{org:publisher}/{model}/commit/{rest:path}")
def hub_address(zoo: Zoo, who: Who, request: Request, org: Org, model: Model) -> Response:
    """The address that hub clients print for a model leads to its page."""
    name = f"{org}/{model}"
    try:
        zoo.access.require(who, Role.READ, name)
        zoo.repositories.info(name, who)
    except (NotFound, InvalidReference):
        raise HTTPException(404) from None
    return RedirectResponse(f"{root_of(request, zoo.settings)}/models/{name}", 307)


def _published(zoo: Registry, name: str, version: str) -> tuple[ModelDetail, VersionDetail] | None:
    """A model and a version of it; None where hub clients have uploaded files and nothing more."""
    try:
        return zoo.model(name), zoo.version(name, version)
    except NotFound:
        if version != LATEST:
            raise
        return None


def _unfinished(jobs: Jobs, name: str, since: datetime | None = None) -> Job | None:
    """The newest job of a model that is under way, or that failed and nothing was published since."""
    newest = next(iter(jobs.list(name=name, limit=1)), None)
    if newest is None or newest.state in ("succeeded", "cancelled"):
        return None
    outdone = newest.state == "failed" and since is not None and newest.created_at < since
    return None if outdone else newest


def _uploaded(
    jobs: Jobs,
    who: Identity,
    request: Request,
    info: RepositoryInfo,
    files: Mapping[str, Entry],
    refused: Sequence[RefusedUpload],
) -> Response:
    entry = files.get(README)
    return page(
        request,
        "repository.html",
        who=who,
        info=info,
        files=list(files.values())[:MOST_FILES],
        count=len(files),
        job=_unfinished(jobs, info.name),
        refused=refused,
        card=None if entry is None else _readable(jobs.registry, entry),
    )


def _sources(zoo: Registry, artifact: Artifact) -> list[tuple[str, Markup | None]]:
    """The Python files of an artifact, the model's before the script that runs it."""
    files = [file for file in artifact.files if PurePosixPath(file.path).suffix == ".py"]
    files.sort(key=lambda file: file.path == artifact.inference)
    found = []
    for file in files[:MOST_SOURCES]:
        content = Blob.of(zoo.store, file.sha256).read(text.LARGEST_SOURCE + 1)
        found.append((file.path, text.source(content)))
    return found


def _findings(zoo: Registry, artifact: Artifact) -> list[str]:
    file = artifact.file(findings.MANIFEST)
    if file is None:
        return []
    return findings.findings(Blob.of(zoo.store, file.sha256).read(findings.LARGEST))


def _readme(zoo: Registry, who: Identity, name: str) -> Entry | Directory | None:
    try:
        return zoo.repositories.entry(name, MAIN, README, who)[1]
    except ZooError:
        return None


def _card(zoo: Registry, entry: Entry | Directory | None, release: VersionDetail) -> Markup | None:
    """The card that somebody wrote; the one that we make of the manifest says nothing new."""
    ours = hashlib.sha256(write_card(release.manifest)).hexdigest()
    if not isinstance(entry, Entry) or entry.sha256 == ours:
        return None
    return _readable(zoo, entry)


def _readable(zoo: Registry, entry: Entry) -> Markup:
    return text.card(Blob.of(zoo.store, entry.sha256).read(text.LARGEST_CARD))

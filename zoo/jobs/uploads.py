"""Uploads of hub clients -> submissions.

What a model is, is recognised by its bytes, in a process of its own. Everything else is said by the model card
(README.md): its usual metadata, and what it says under `polyzoo`:

    polyzoo:
      convert: [pytorch, mindspore]      # by default the setting POLYZOO_CONVERT; an empty list for none
      source: model.onnx                 # by default the one model at the top of the repository
      sizes: {W: [320, 200]}             # as in a submission
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from converters.errors import ConversionError
from zoo.access import Identity
from zoo.catalogue.records import Unpublished, UnpublishedPage
from zoo.errors import InvalidManifest, ZooError
from zoo.hub import card
from zoo.hub.configuration import CONFIGURATION, metadata_of, read
from zoo.hub.intake import Uploaded
from zoo.hub.listing import MODIFIED, State
from zoo.hub.objects import Entry
from zoo.jobs.jobs import Jobs, policy
from zoo.jobs.process import Interrupted, PartFailed, run_part
from zoo.jobs.records import Submission
from zoo.manifest import Manifest, validate_manifest
from zoo.reference import is_file_path, shown
from zoo.store import Blob, copy_out

README, LICENCE = "README.md", ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")
# Cards of other hubs have names of their own for what SPDX does not list.
UNKNOWN_LICENCE = "LicenseRef-unknown"
NOTHING_SAID = "The uploader named no licence."
LARGEST_TEXT = 90_000  # characters
DEFAULT_TASK = "other"

log = logging.getLogger("polyzoo.jobs")


def unpublished(
    jobs: Jobs,
    who: Identity,
    *,
    q: str = "",
    org: str | None = None,
    state: State | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> UnpublishedPage:
    """What hub clients have uploaded and nobody has published, what changed last first.

    Args:
        jobs: Of the zoo.
        who: Who asks; private models of others are left out.
        q: Words that must all be in the name or the tags.
        org: Of this organisation only.
        state: Of which an upload waits to be looked at, or was refused.
        limit: At most so many.
        cursor: `next_cursor` of the page before.

    Raises:
        InvalidReference: The cursor is not one that was given out for this.
    """
    zoo = jobs.registry
    found, following = zoo.repositories.search(
        who,
        words=q,
        author=org,
        unpublished=True,
        state=state,
        sort=MODIFIED,
        limit=limit,
        cursor=cursor,
    )
    items = []
    for info in found:
        refused = zoo.intake.refused(info.name)
        newest = next(iter(jobs.list(name=info.name, limit=1)), None)
        came_to: str = newest.state if newest else "uploaded"
        if refused or zoo.intake.waits(info.name):
            came_to = "refused" if refused else "waiting"
        items.append(
            Unpublished(
                name=info.name, private=info.private, tags=info.tags, updated_at=info.updated_at,
                state=came_to, refused=refused, job=newest.id if newest else None,
            )
        )  # fmt: skip
    return UnpublishedPage(items=tuple(items), next_cursor=following)


def take_in(jobs: Jobs, stopped: Callable[[], bool]) -> int:
    """Submit what is due; whoever does the same at the same time gets the same jobs.

    Args:
        jobs: Of the zoo.
        stopped: Asked all the time whether to end.

    Returns:
        How many uploads were looked at.
    """
    intake = jobs.registry.intake
    due = intake.due(jobs.settings.quiet)
    for upload in due:
        try:
            submission = submission_of(jobs, upload, stopped)
            if submission is not None:
                jobs.submit(submission, Identity(upload.author))
        except Interrupted:
            break
        except (PartFailed, ConversionError, ZooError) as error:
            if type(error) is ZooError:
                raise  # the disk or the database does not answer
            said = error.failure if isinstance(error, PartFailed) else error
            log.info("%s at %s is not converted: %s", upload.name, upload.revision, said.message)
            intake.refuse(upload, f"{said.message}; {said.fix}" if said.fix else said.message)
        except (SQLAlchemyError, OSError):
            raise
        except Exception:
            # One upload that nobody foresaw keeps no others waiting.
            log.exception("%s at %s", upload.name, upload.revision)
            intake.refuse(upload, "the zoo failed on it; its log says more")
        else:
            intake.done(upload)
    return len(due)


def submission_of(jobs: Jobs, upload: Uploaded, stopped: Callable[[], bool]) -> Submission | None:
    """What an upload asks for; None where it asks for nothing.

    Raises:
        InvalidManifest: The model card says something that is not valid.
        PartFailed: It is no model that can be converted.
        Interrupted: `stopped` said so.
    """
    metadata = card.read_metadata(_text(jobs, upload.files.get(README)))
    inferred = metadata_of(read(_text(jobs, upload.files.get(CONFIGURATION))))
    wishes = metadata.get("polyzoo")
    if wishes is not None and not isinstance(wishes, dict):
        raise InvalidManifest("polyzoo: expected a mapping", fix="write polyzoo: {convert: [onnx]}")
    wishes = wishes or {}
    targets = wishes.get("convert", _listed(jobs.settings.convert))
    if not isinstance(targets, list):
        raise InvalidManifest("polyzoo.convert: expected a list of frameworks")
    if not targets:
        return None
    artifact = _recognised(jobs, upload, wishes.get("source"), stopped)
    head = {
        "name": upload.name,
        "version": upload.version,
        **_head(
            {**inferred, **metadata}, upload.name, lambda name: _text(jobs, upload.files.get(name))
        ),
    }
    manifest: Manifest = validate_manifest({**head, "artifacts": [artifact]}, README)
    return Submission(manifest=manifest, convert=policy(targets, wishes.get("sizes")))


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _text(jobs: Jobs, entry: Entry | None) -> str:
    if entry is None:
        return ""
    blob = Blob(jobs.registry.store, entry.sha256, entry.size)
    return blob.read(4 * LARGEST_TEXT).decode(errors="replace").replace("\r\n", "\n")


def _recognised(
    jobs: Jobs, upload: Uploaded, wanted: Any, stopped: Callable[[], bool]
) -> dict[str, Any]:
    """The artifact of an upload's model."""
    if wanted is not None and (not isinstance(wanted, str) or not is_file_path(wanted)):
        raise InvalidManifest(f"polyzoo.source: {shown(str(wanted))} is no path of a file")
    if wanted is not None and wanted not in upload.files:
        raise InvalidManifest(
            f"polyzoo.source: there is no {shown(wanted)}", fix="name a file of the repository"
        )
    folder = Path(tempfile.mkdtemp(prefix="upload-"))
    try:
        # What is said of the folder has the model's name.
        root = folder / "files" / upload.name.rpartition("/")[2]
        for path, entry in upload.files.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            here = jobs.registry.store.local(entry.sha256)
            if here is None:
                copy_out(jobs.registry.store, entry.sha256, place)
            else:
                place.symlink_to(here)
        answer = folder / "artifact.json"
        source = root if wanted is None else root / wanted
        task = {"do": "recognise", "source": str(source), "out": str(answer), "sizes": {}}
        run_part(task, folder, jobs.settings, stopped)
        artifact: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # Known since it was committed; nothing is hashed again.
    prefix = os.path.relpath(artifact.pop("root"), root)
    for file in artifact["files"]:
        entry = upload.files[os.path.normpath(os.path.join(prefix, file["path"]))]
        file.update(sha256=entry.sha256, size=entry.size)
    return artifact


def _head(metadata: Mapping[str, Any], name: str, text_of: Callable[[str], str]) -> dict[str, Any]:
    """What a manifest says of a model, out of its card.

    Args:
        metadata: Of the card.
        name: `org/model`.
        text_of: A file's path -> its text; empty where there is none.
    """
    task = metadata.get("pipeline_tag")
    base = metadata.get("base_model")
    first = base[0] if isinstance(base, list) and base else base
    tags = [tag for tag in _texts(metadata.get("tags")) if len(tag) <= 64]
    lineage = {"publisher": name.partition("/")[0]}
    if isinstance(first, str) and first.count("/") == 1:
        lineage["base_model"] = first
    if data := _texts(metadata.get("datasets")):
        lineage["data"] = ", ".join(data)
    return {
        "task": task if isinstance(task, str) and task else DEFAULT_TASK,
        "summary": _summary(text_of(README), name),
        "tags": list(dict.fromkeys(tags))[:100],
        "licence": _licence(metadata, text_of),
        "lineage": lineage,
    }


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [" ".join(item.split()) for item in values if isinstance(item, str) and item.strip()]


def _summary(readme: str, name: str) -> str:
    """The first line of prose of a card."""
    body = readme.partition("\n---")[2] if readme.startswith("---\n") else readme
    lines = (" ".join(line.split()) for line in body.splitlines())
    found = next((line for line in lines if line[:1].isalnum()), "")
    return found[:300].strip() or f"{name}, as it was uploaded."


def _licence(metadata: Mapping[str, Any], text_of: Callable[[str], str]) -> dict[str, Any]:
    """A card's licence as SPDX says it; one that SPDX does not list with its text."""
    said: Sequence[str] = _texts(metadata.get("license"))
    if said and said[0].lower() not in ("other", "unknown"):
        try:
            from zoo.manifest import Licence

            return {"expression": Licence(expression=said[0]).expression}
        except ValueError:
            pass
    texts = (text_of(name) for name in LICENCE)
    text = next((text for text in texts if text), "")[:LARGEST_TEXT].strip()
    link = _texts(metadata.get("license_link"))
    own = _texts(metadata.get("license_name")) or said
    short = "".join(c if c.isalnum() and c.isascii() else "-" for c in own[0]) if own else ""
    return {
        "expression": f"LicenseRef-{short.strip('-')}" if short.strip("-") else UNKNOWN_LICENCE,
        "text": text or (f"See {link[0]}" if link else NOTHING_SAID),
    }

"""Model cards: the README.md of a published version, and the metadata at the top of any README.md."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import yaml

from zoo.manifest import Artifact, Manifest

LARGEST_METADATA = 64_000  # characters
# What hub clients call the frameworks.
LIBRARIES = {
    "pytorch": "pytorch",
    "paddle": "paddlepaddle",
    "mindspore": "mindspore",
    "onnx": "onnx",
}

_ANCHOR = re.compile(r"(?:^|[\s,\[{])&\S")


def metadata_of(manifest: Manifest) -> dict[str, Any]:
    """The metadata of a published version's card."""
    lineage = manifest.lineage
    frameworks = [LIBRARIES[artifact.framework] for artifact in manifest.artifacts]
    found = {
        "license": manifest.licence.expression.lower(),
        "pipeline_tag": manifest.task,
        "tags": [*manifest.tags, *(name for name in frameworks if name not in manifest.tags)],
        "base_model": lineage.base_model,
    }
    return {key: value for key, value in found.items() if value}


def write_card(manifest: Manifest) -> bytes:
    """The README.md of a published version."""
    head = yaml.safe_dump(metadata_of(manifest), sort_keys=True, allow_unicode=True)
    lines = [f"---\n{head}---", f"# {manifest.name}", manifest.summary]
    rows = [_row(artifact) for artifact in manifest.artifacts]
    lines.append(
        "| framework | files in | precision | checked against | largest error |\n"
        "| --- | --- | --- | --- | --- |\n" + "\n".join(rows)
    )
    if manifest.lineage.data:
        lines.append(f"## Data\n\n{manifest.lineage.data}")
    conditions = "".join(f"\n- {condition}" for condition in manifest.licence.conditions)
    licence = f"## Licence\n\n{manifest.licence.expression}, by {manifest.lineage.publisher}."
    lines.append(licence + ("\n" + conditions if conditions else ""))
    lines += [f"## Notice\n\n{notice}" for notice in manifest.notices]
    return ("\n\n".join(lines) + "\n").encode()


def _row(artifact: Artifact) -> str:
    report = artifact.verification
    error = None if report is None else report.max_abs
    cells = (
        artifact.framework,
        f"`{artifact.framework}/`",
        artifact.precision,
        "" if report is None else report.reference,
        "" if error is None else f"{error:.1e}",
    )
    return f"| {' | '.join(cells)} |"


def read_metadata(text: str) -> dict[str, Any]:
    """The YAML between the `---` lines at the top of a README.md; nothing where it cannot be read."""
    try:
        return _parsed(text)
    except ValueError:
        return {}


def problem_of(text: str) -> str:
    """What is wrong with the metadata at the top of a README.md; nothing where nothing is."""
    try:
        _parsed(text)
    except ValueError as problem:
        return str(problem)
    return ""


def _parsed(text: str) -> dict[str, Any]:
    if not text.startswith("---\n"):
        return {}
    head, end, _ = text[4 : LARGEST_METADATA + 4].partition("\n---")
    if not end:
        raise ValueError(f"the metadata has no end (---) within {LARGEST_METADATA} characters")
    if _ANCHOR.search(head):
        raise ValueError("anchors (&) are not read in the metadata")  # they make much of little
    try:
        # Only what JSON in UTF-8 can say; dates become text.
        plain = json.dumps(
            yaml.safe_load(head) or {}, default=str, allow_nan=False, ensure_ascii=False
        )
        found = json.loads(plain.encode(errors="replace"))
    except (yaml.YAMLError, TypeError, RecursionError) as problem:
        raise ValueError(f"the metadata is not YAML: {problem}") from None
    if not isinstance(found, dict):
        raise ValueError("the metadata is not a mapping")
    return found


def tags_of(metadata: Mapping[str, Any]) -> list[str]:
    """The tags by which hub clients filter, of a card's metadata."""
    tags = _texts(metadata.get("tags"))
    tags += _texts(metadata.get("pipeline_tag")) + _texts(metadata.get("library_name"))
    tags += _texts(metadata.get("language"))
    for key, prefix in (
        ("license", "license"),
        ("datasets", "dataset"),
        ("base_model", "base_model"),
    ):
        tags += [f"{prefix}:{value}" for value in _texts(metadata.get(key))]
    return list(dict.fromkeys(tags))


def searchable(tags: list[str]) -> str:
    """Tags as the catalogue keeps them: folded, a line each, with a line break at both ends."""
    return "\n" + "\n".join(map(folded, tags)) + "\n"


def folded(text: str) -> str:
    """Text as searches compare it."""
    return unicodedata.normalize("NFKC", " ".join(text.split())).casefold()


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [
        " ".join(item.replace("\0", " ").split())[:200]
        for item in values
        if isinstance(item, str) and item.strip()
    ]

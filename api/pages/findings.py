"""What was found when a model was read: sizes that are fixed now, weights that are not used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MANIFEST = "manifest.json"
LARGEST = 1_000_000  # bytes of a file that are read
MOST = 10
_LONGEST = 300  # characters


def findings(content: bytes) -> list[str]:
    """The findings in the manifest.json of an artifact directory, from anybody.

    What it was made from stands in `source`, and what that was made from in `source.lineage`:
    docs/architecture.md, "An artifact directory".
    """
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError):
        return []
    said = [one[:_LONGEST] for one in _of(manifest) if isinstance(one, str)]
    return list(dict.fromkeys(said))[:MOST]


def _of(manifest: Any) -> Iterator[Any]:
    while isinstance(manifest, dict):
        source = manifest.get("source")
        if not isinstance(source, dict):
            return
        found = source.get("findings")
        yield from found if isinstance(found, list) else ()
        manifest = source.get("lineage")

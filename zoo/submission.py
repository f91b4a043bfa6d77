"""A model as it came, before it is converted: which files it is of, and the one artifact that they make.

What a file or folder is, is recognised by its bytes (converters/importers); nothing of it is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from converters.importers import FRAMEWORK_OF, KINDS, recognise
from zoo.errors import InvalidManifest, NotFound

# What belongs to a model file, beside it: patterns with the file's name and its stem.
BESIDE: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "onnx": ("{name}.data", "{name}_data", "{stem}.data", "{stem}.weights"),
        "paddle-program": ("{stem}.pdiparams",),
        "mindir": ("{stem}_variables/*",),
    }
)
# One file per parameter: all that is in the folder belongs to such a program.
FOLDERS = frozenset({"__model__"})
CONFIG = "config.json"


@dataclass(frozen=True)
class SourceFiles:
    """A model as it came.

    Attributes:
        kind: A row of `converters.importers.KINDS`.
        root: The folder that its files are in.
        entry: The file that is converted; of a Hugging Face folder its config.json.
        paths: All its files.
    """

    kind: str
    root: Path
    entry: Path
    paths: tuple[Path, ...]

    def artifact(self, digests: Mapping[Path, tuple[str, int]]) -> dict[str, Any]:
        """The artifact of a manifest.

        Args:
            digests: SHA-256 and bytes of every file.
        """
        return {
            "framework": FRAMEWORK_OF[self.kind],
            "format": self.kind,
            "precision": "fp32",
            "entry": self._name(self.entry),
            "files": [
                {"path": self._name(path), "sha256": digests[path][0], "size": digests[path][1]}
                for path in self.paths
            ],
        }

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def source_files(source: Path) -> SourceFiles:
    """What a model is, and which files it needs.

    Args:
        source: A model file, with what belongs to it beside it, or a folder with one model.

    Raises:
        NotFound: There is no such file.
        InvalidManifest: It is no model that can be converted.
        ConversionError: It is not known, or it is not clear which of several models is meant.
    """
    if not source.exists():
        raise NotFound(f"there is no file {source}", fix="name the model file")
    found = recognise(source)
    if found.kind not in FRAMEWORK_OF:
        raise InvalidManifest(
            f"{source.name}: {KINDS[found.kind]}",
            fix="push a form that has its architecture with it: ONNX, .pt2, TorchScript, .mindir, a "
            "program of Paddle, or a folder of transformers",
        )
    entry = found.path / CONFIG if found.path.is_dir() else found.path
    if source.is_dir():
        root, paths = source, sorted(source.rglob("*"))
    elif entry.name in FOLDERS:
        root, paths = entry.parent, sorted(entry.parent.iterdir())
    else:
        root, paths = entry.parent, [entry, *_beside(entry, found.kind)]
    kept = [path for path in paths if path.is_file() and not _is_hidden(path.relative_to(root))]
    return SourceFiles(found.kind, root, entry, tuple(kept))


def _is_hidden(path: Path) -> bool:
    """Whether it is what programs keep for themselves, such as `.git` and `.cache`."""
    return any(part.startswith(".") for part in path.parts)


def _beside(entry: Path, kind: str) -> list[Path]:
    patterns = [
        pattern.format(name=_literal(entry.name), stem=_literal(entry.stem))
        for pattern in BESIDE.get(kind, ())
    ]
    found = {path for pattern in patterns for path in entry.parent.glob(pattern)}
    return sorted(found - {entry})


def _literal(name: str) -> str:
    """A name as a pattern that fits nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def path_of(root: Path, kind: str, entry: str) -> Path:
    """What is converted, when files of an artifact are laid out in a folder.

    Args:
        root: The folder.
        kind: The artifact's format.
        entry: The artifact's entry.
    """
    return (root / entry).parent if kind == "huggingface" else root / entry

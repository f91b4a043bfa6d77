"""A model file or folder, recognised by its bytes, on its way to the hub graph (ONNX).

    imported.py   what importers hand on
    artifact.py   what was converted before, saved by its framework first
    reading.py    programs that are read without their framework (paddle/, mindspore/)
    routes.py     what only its framework can run, by several routes

To add a source: a row in `KINDS`, a line in `recognise`, a line in `bring`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from converters.checkpoints import formats, paddle_program
from converters.checkpoints.onnx_initializers import has_nodes
from converters.errors import UnsafeInput, UnsupportedError, UsageError
from converters.importers.artifact import is_artifact
from converters.importers.imported import Attempt, Imported, Reference
from converters.importers.mindspore.program import is_mindir

# What a source is -> what it is called in text.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "onnx": "an ONNX model",
        "exported-program": "an exported program of PyTorch",
        "torchscript": "a TorchScript program",
        "huggingface": "a Hugging Face folder",
        "paddle-program": "an inference program of PaddlePaddle",
        "mindir": "a MindIR program",
        "artifact": "an artifact directory that was converted before",
        "checkpoint": "weights by name, without an architecture",
    }
)
FRAMEWORK_OF: Mapping[str, str] = MappingProxyType(
    {
        "onnx": "onnx",
        "exported-program": "pytorch",
        "torchscript": "pytorch",
        "huggingface": "pytorch",
        "paddle-program": "paddle",
        "mindir": "mindspore",
    }
)
LARGEST_CONFIG = 16 << 20


@dataclass(frozen=True)
class Source:
    """A model and what it is.

    Attributes:
        path: The file or folder.
        kind: A row of `KINDS`.
    """

    path: Path
    kind: str


def recognise(path: Path) -> Source:
    """Say what a file or folder is, by its bytes.

    Raises:
        UsageError: There is no such file, or a folder has several models.
        UnsafeInput: Nothing that we know.
        UnsupportedError: Something that is known and cannot be read.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file", fix="name a file that is there")
    kind = _program(path)
    if kind is None:
        form = formats.recognise(path)
        kind = "onnx" if form == "onnx" and _has_graph(path) else "checkpoint"
        if form == "pdiparams" and not _is_tensors(path):
            kind = "paddle-program"
    return Source(path, kind)


def bring(
    source: Source,
    folder: Path,
    *,
    model: str | None = None,
    arguments: Any = (),
    inputs: Path | None = None,
    key: str | None = None,
    framework: str | None = None,
) -> Imported:
    """Turn a source into ONNX.

    Args:
        source: What `recognise` says.
        folder: Gets the ONNX file and whatever shows the source's own numbers; made if it is not there.
        model: `package.module:Class` for a checkpoint, importable here or from the working directory.
        arguments: A list of the class's arguments, or an object of them by name.
        inputs: An .npz file of inputs by name, for sources that do not say what theirs look like.
        key: Where in a checkpoint the weights are, if it holds more.
        framework: Whose class and names a checkpoint has, where it does not say so itself; by default PyTorch's.

    Raises:
        UsageError: The call does not fit the source.
        UnsupportedError: There is no way to ONNX, or none that gives the source's numbers.
        UnsafeInput: The file was refused.
        MissingRuntime: The framework that has to run it is not installed.
        RuntimeFailed: Its process failed.
    """
    if model is not None and source.kind not in ("checkpoint", "huggingface"):
        raise UsageError(
            f"--model {model}: {source.path.name} is {KINDS[source.kind]} and needs no class",
            fix="leave --model out",
        )
    if source.kind == "onnx":
        return Imported(source.path, "onnx", "onnx")
    if source.kind == "artifact":
        from converters.importers.artifact import read_artifact

        return read_artifact(
            source.path,
            folder,
            lambda path, to, given: bring(recognise(path), to, inputs=given),
        )
    if source.kind in ("paddle-program", "mindir"):
        from converters.importers.reading import read_program

        return read_program(source.path, FRAMEWORK_OF[source.kind], source.kind, folder)
    if source.kind == "checkpoint" and model is None:
        raise UsageError(
            f"{source.path.name}: {KINDS['checkpoint']}",
            fix="name their class: --model package.module:Class --model-args JSON",
        )
    from converters.importers import routes

    own = FRAMEWORK_OF.get(source.kind)
    if own is None:
        own = framework or formats.open_checkpoint(source.path, key).framework or "pytorch"
    return routes.to_onnx(
        own,
        source.path,
        source.kind,
        folder,
        model=model,
        arguments=arguments,
        inputs=inputs,
        key=key,
    )


def _folder(path: Path) -> Source:
    if is_artifact(path):
        return Source(path, "artifact")
    graphs = sorted(
        file for suffix in ("onnx", "mindir", "pt2") for file in path.glob(f"*.{suffix}")
    )
    if len(graphs) == 1:
        return recognise(graphs[0])
    if graphs:
        raise UsageError(
            f"{path}: a folder with {len(graphs)} models: {', '.join(f.name for f in graphs[:5])}",
            fix="name the model file itself",
        )
    if _has_architecture(path / "config.json"):
        return Source(path, "huggingface")
    programs = [
        file
        for file in sorted(path.iterdir())
        if file.suffix in paddle_program.PROGRAM_SUFFIXES
        or file.name in paddle_program.OLD_PROGRAMS
        if file.is_file() and _is_paddle_program(file)
    ]
    if programs:
        if len({file.stem for file in programs}) > 1:
            raise UsageError(
                f"{path}: a folder with {len(programs)} programs", fix="name the program itself"
            )
        return Source(programs[0], "paddle-program")
    return Source(formats.resolve(path), "checkpoint")


def _has_architecture(config: Path) -> bool:
    """Whether a config.json is one of transformers, which names a class or a type of model."""
    if not config.is_file() or config.stat().st_size > LARGEST_CONFIG:
        return False
    try:
        said = json.loads(config.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and ("model_type" in said or "architectures" in said)


def _is_paddle_program(path: Path) -> bool:
    try:
        return recognise(path).kind == "paddle-program"
    except (UnsafeInput, UnsupportedError):
        return False


def _program(path: Path) -> str | None:
    """What a program is that holds more than checkpoints do; None for everything else."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"PK"):
        return _archive(path)
    return "mindir" if is_mindir(head) else None


def _archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UnsafeInput(f"{path.name}: a zip archive that is broken or truncated") from error
    if any(n.endswith("serialized_exported_program.json") or "/models/" in n for n in names):
        return "exported-program"
    return "torchscript" if any("/code/" in name for name in names) else None


def _has_graph(path: Path) -> bool:
    """Whether what begins as an ONNX model does holds more than weights; text may begin so as well."""
    try:
        return has_nodes(path)
    except UnsafeInput as error:
        said = error.message.removeprefix(f"{path.name}: ")
        raise UnsafeInput(
            f"{path.name}: not a model file that is known here, or a broken ONNX model ({said})",
            fix="fetch it again, or name another file",
        ) from error


def _is_tensors(path: Path) -> bool:
    """Whether what Paddle saved for inference are parameters and no program."""
    with path.open("rb") as file:
        return file.read(4) == bytes(4)


__all__ = [
    "KINDS",
    "Attempt",
    "Imported",
    "Reference",
    "Source",
    "bring",
    "recognise",
]

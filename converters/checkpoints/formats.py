"""The formats of checkpoints, one row for each: how it is recognised, read and written.

To add one: a file beside this one with `read` and, where it makes sense, `write`; a row here; a row in
tests/checkpoints/test_formats.py. A format is recognised by its bytes, never by its name.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from converters.checkpoints import gguf, paddle_program
from converters.checkpoints.checkpoint import Checkpoint
from converters.checkpoints.files import File
from converters.checkpoints.mindspore_ckpt import read_mindspore_ckpt, write_mindspore_ckpt
from converters.checkpoints.npz import read_npy, read_npz, write_npz
from converters.checkpoints.onnx_initializers import (
    LAYOUT,
    read_onnx_initializers,
    write_onnx_initializers,
)
from converters.checkpoints.pdparams import read_pdparams, write_pdparams
from converters.checkpoints.safetensors import FRAMEWORKS, read_safetensors, write_safetensors
from converters.checkpoints.shards import SUFFIX, read_sharded, write_sharded
from converters.checkpoints.tensors import Tensor
from converters.checkpoints.torch_legacy import MAGIC_BYTES, read_torch_legacy, read_torch_tar
from converters.checkpoints.torch_zip import read_torch_zip, write_torch_zip
from converters.checkpoints.zips import read_directory
from converters.errors import UnsafeInput, UnsupportedError, UsageError

HEAD_BYTES = 512


@dataclass(frozen=True)
class Written:
    """What a writer is told beside path and tensors.

    Attributes:
        framework: Whose names and layouts the tensors have; None where nobody knows.
        metadata: Text to keep, where the format has a place for it.
        parameters: Paddle's own parameter names, by tensor name.
        shard_bytes: Bytes of tensors in a file at most; None for one file.
    """

    framework: str | None = None
    metadata: Mapping[str, str] | None = None
    parameters: Mapping[str, str] | None = None
    shard_bytes: int | None = None


Write = Callable[[Path, Mapping[str, Tensor], Written], None]


@dataclass(frozen=True)
class Format:
    """A format that is written.

    Attributes:
        key: Its name on the command line.
        suffix: Of the file that is written.
        write: What writes it.
    """

    key: str
    suffix: str
    write: Write


def _safetensors(path: Path, tensors: Mapping[str, Tensor], said: Written) -> None:
    names = {framework: name for name, framework in reversed(FRAMEWORKS.items())}
    form = {"format": names[said.framework]} if said.framework in names else {}
    write = partial(write_safetensors, metadata={**(said.metadata or {}), **form})
    if said.shard_bytes is None:
        write(path, tensors)
    else:
        write_sharded(path, tensors, write, said.shard_bytes)


def _torch(path: Path, tensors: Mapping[str, Tensor], said: Written) -> None:
    if said.shard_bytes is None:
        write_torch_zip(path, tensors)
    else:
        write_sharded(path, tensors, write_torch_zip, said.shard_bytes)


def _onnx(path: Path, tensors: Mapping[str, Tensor], said: Written) -> None:
    layout = {LAYOUT: said.framework} if said.framework else {}
    write_onnx_initializers(path, tensors, {**(said.metadata or {}), **layout})


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        row.key: row
        for row in (
            Format("safetensors", ".safetensors", _safetensors),
            Format("torch", ".pt", _torch),
            Format("pdparams", ".pdparams", lambda p, t, s: write_pdparams(p, t, s.parameters)),
            Format("ckpt", ".ckpt", lambda p, t, s: write_mindspore_ckpt(p, t)),
            Format("npz", ".npz", lambda p, t, s: write_npz(p, t)),
            Format("onnx", ".onnx", _onnx),
        )
    }
)
# The container that a framework's own users expect.
NATIVE: Mapping[str, str] = MappingProxyType(
    {"pytorch": "safetensors", "paddle": "pdparams", "mindspore": "ckpt"}
)

Read = Callable[[Path, "str | None"], Checkpoint]
READERS: Mapping[str, Read] = MappingProxyType(
    {
        "safetensors": lambda path, key: read_safetensors(path),
        "torch": read_torch_zip,
        "torch-legacy": read_torch_legacy,
        "torch-tar": read_torch_tar,
        "pdparams": read_pdparams,
        "pdiparams": lambda path, key: paddle_program.read(path),
        "mindspore-ckpt": lambda path, key: read_mindspore_ckpt(path),
        "onnx": lambda path, key: read_onnx_initializers(path),
        "npz": lambda path, key: read_npz(path),
        "npy": lambda path, key: read_npy(path),
        "gguf": lambda path, key: gguf.read(path),
    }
)
# Formats that readers know, by how they begin.
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"GGUF", "gguf"),
    (b"\x93NUMPY", "npy"),
    (b"\x80\x02" + MAGIC_BYTES, "torch-legacy"),
    # The header of the first tensor: version 0, no levels of detail.
    (bytes(12), "pdiparams"),
)
# What they are where they cannot be read.
OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ", "xz archive"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"Rar!", "rar archive"),
    (b"\x89HDF", "HDF5 file"),
    (b"TFL3", "TensorFlow Lite model"),
)
# Folders of models, by the one file in them that says where the weights are.
FOLDERS = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "__model__",
    "model_state.pdparams",
    "model.pdparams",
    "model.ckpt",
)


def open_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Open a checkpoint of any format; nothing of it is executed, and elements are read when wanted.

    Args:
        path: A file, an index of shards, or a folder that holds one of them.
        key: Where in nested containers the weights are, as names joined with dots; `.` for all; None to
            find out.

    Raises:
        UsageError: There is no such file.
        UnsafeInput: It is malformed, truncated or hostile (exit status 5).
        UnsupportedError: Nothing that can be read here, or not all of it (exit status 3).
    """
    found = resolve(path)
    try:
        form = recognise(found)
        if form == "index":
            return read_sharded(found, lambda shard: READERS[recognise(shard)](shard, key))
        return READERS[form](found, key)
    except (
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
        OverflowError,
        struct.error,
        RecursionError,
    ) as error:
        # Readers look before they step; what they overlook is still no crash.
        what = f"{type(error).__name__}: {error}"
        raise UnsafeInput(f"{found.name}: malformed: {what[:500]}") from error


def resolve(path: Path) -> Path:
    """The file that a path means: itself, or the one in a folder that says where the weights are.

    Raises:
        UsageError: There is no such file, or the folder has none or several that could be meant.
    """
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"{path}: no such file", fix="name a file that is there")
        return path
    for name in FOLDERS:
        if (path / name).is_file():
            return path / name
    suffixes = (SUFFIX, ".safetensors", ".pdiparams", ".pdparams", ".ckpt", ".pt", ".pth", ".gguf")
    for suffix in suffixes:
        files = sorted(file for file in path.iterdir() if file.name.endswith(suffix))
        if len(files) == 1:
            return files[0]
        if files:
            raise UsageError(
                f"{path}: a folder with {len(files)} files {suffix}", fix="name the file itself"
            )
    raise UsageError(f"{path}: a folder without weights", fix="name the file itself")


def recognise(path: Path) -> str:
    """The format of a file, by its bytes: a key of `READERS`, or `index`.

    Raises:
        UsageError: There is no such file.
        UnsafeInput: Nothing that is known here.
        UnsupportedError: Something that is known and cannot be read.
    """
    file = File(path)
    head = bytes(file.bytes(0, min(file.size, HEAD_BYTES)))
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    for magic, name in OTHERS:
        if head.startswith(magic):
            raise UnsupportedError(f"{path.name}: a {name}", fix="unpack it, or save it again")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive(file)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "pdparams"
    if head[257:262] == b"ustar" or _old_tar(head):
        return "torch-tar"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length >= 2:
        return "safetensors"
    if head.lstrip()[:1] == b"{":
        return _json(file, head)
    if head[:1] == b"\n":
        return _message(head)
    if looks_like_onnx(head):
        return "onnx"
    raise UnsafeInput(
        f"{path.name}: not a model file that is known here"
        if head
        else f"{path.name}: an empty file",
        fix="fetch it again, or see docs/checkpoints.md for what can be read",
    )


def _archive(file: File) -> str:
    names = read_directory(file)
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    if not names:
        return "npz"
    if any(
        "/models/" in name or name.endswith("serialized_exported_program.json") for name in names
    ):
        raise UnsupportedError(
            f"{file.path.name}: an exported program of PyTorch", fix="export it to ONNX first"
        )
    raise UnsupportedError(
        f"{file.path.name}: a zip archive that is neither PyTorch's nor numpy's",
        fix="unpack it and name a file in it",
    )


def _old_tar(head: bytes) -> bool:
    """A tar archive of before POSIX: a name, then numbers in octal."""
    return (
        len(head) == HEAD_BYTES
        and head[:1].isalpha()
        and head[100:107].isdigit()
        and (head[124:135].strip(b" \0").isdigit())
    )


def _json(file: File, head: bytes) -> str:
    if b'"base_code"' in head or b'"program"' in head:
        return "pdiparams"
    try:
        said = json.loads(bytes(file.bytes(0, min(file.size, 256 << 20))))
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and "weight_map" in said:
        return "index"
    raise UnsafeInput(f"{file.path.name}: JSON that is no index of shards", fix="name the weights")


def _message(head: bytes) -> str:
    """Which message begins with a field 1 of bytes: by what is in the field.

    MindSpore's Checkpoint has a value whose tag is text; Paddle's ProgramDesc has a block whose index is a
    number; MindIR's model has its version, as text.
    """
    at = 1
    while at < len(head) and head[at] & 0x80:
        at += 1
    first = head[at + 1 : at + 2]
    if first == b"\n":
        return "mindspore-ckpt"
    if first == b"\x08":
        return "pdiparams"
    if first.isdigit():
        raise UnsupportedError("a MindIR program, not a checkpoint", fix="name its .ckpt")
    raise UnsafeInput("not a model file that is known here")


def looks_like_onnx(head: bytes) -> bool:
    """Whether bytes start as a `ModelProto` does: fields 1 to 8, 14 or 20, of fitting wire types.

    Source: onnx/onnx.proto3, message ModelProto; protobuf encoding, "Message structure".
    """
    wire = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
    return bool(head) and wire.get(head[0] >> 3) == head[0] & 7

"""A source, recognised by its bytes and not by its name, on its way to the hub graph (ONNX).

One room per framework; so far there is ONNX itself. What is recognised and has no importer yet is
refused by name, with the way around.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UnsafeInput, UnsupportedError, UsageError

# How formats begin; `None` in a row's fix means that an importer exists.
EXPORT = "export it to ONNX first (opset 13 or newer)"
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"GGUF", "gguf"),
    (b"\x93NUMPY", "numpy array"),
    (b"\x1f\x8b", "gzip archive"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"Rar!", "rar archive"),
)


@dataclass(frozen=True)
class Source:
    """A model file and what it is.

    Attributes:
        path: The file.
        format: `onnx`, so far.
    """

    path: Path
    format: str


def recognise(path: Path) -> Source:
    """Say what a file is, by its bytes.

    Raises:
        UsageError: There is no such file.
        UnsupportedError: A format that has no importer yet.
        UnsafeInput: Nothing that we know.
    """
    if path.is_dir():
        models = sorted(path.glob("*.onnx"))
        if len(models) == 1:
            return recognise(models[0])
        raise UsageError(
            f"{path}: a folder with {len(models)} .onnx files", fix="name the model file itself"
        )
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(4096)
    name = _other_format(path, head)
    if name:
        raise UnsupportedError(f"{path.name}: a {name} cannot be converted yet", fix=EXPORT)
    if _looks_like_onnx(head):
        return Source(path, "onnx")
    raise UnsafeInput(f"{path.name}: not a model file that is known here", fix=EXPORT)


def _other_format(path: Path, head: bytes) -> str:
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickled checkpoint"
    length = int.from_bytes(head[:8], "little")
    if len(head) > 9 and head[8:9] == b"{" and 2 <= length <= path.stat().st_size - 8:
        return "safetensors checkpoint"
    return ""


def _archive(path: Path) -> str:
    try:
        names = zipfile.ZipFile(path).namelist()
    except zipfile.BadZipFile:
        raise UnsafeInput(f"{path.name}: a zip archive that is broken or truncated") from None
    if any(name.endswith("data.pkl") for name in names):
        torchscript = any("/code/" in name for name in names)
        return "TorchScript program" if torchscript else "PyTorch checkpoint"
    if any(name.endswith(".npy") for name in names):
        return ".npz archive"
    return "zip archive"


def _looks_like_onnx(head: bytes) -> bool:
    """Whether bytes start as a `ModelProto` does: fields 1 to 8, 14 or 20, of fitting wire types.

    Source: onnx/onnx.proto3, message ModelProto; protobuf encoding, "Message structure".
    """
    wire = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
    return bool(head) and wire.get(head[0] >> 3) == head[0] & 7

"""A file that another file names: shards of an index, external data, one file per parameter.

Such a name is a plain relative path that stays in the folder, links included. One layout is excepted: in the
cache of the Hugging Face Hub, `snapshots/REVISION/NAME` is a link to `../../blobs/DIGEST`.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from converters.errors import UnsafeInput


def beside(folder: Path, name: str, where: str) -> Path:
    """The path of a file that is named within a file of `folder`.

    Args:
        folder: Where the naming file is.
        name: What it says.
        where: What is read, for messages.

    Raises:
        UnsafeInput: The name leads out of the folder, or there is no such file.
    """
    parts = PurePosixPath(name).parts
    windows = PureWindowsPath(name)
    if (
        not name
        or "\0" in name
        or ".." in parts
        or ".." in windows.parts
        or PurePosixPath(name).is_absolute()
        or windows.drive
        or windows.root
        or len(name) > 1024
    ):
        raise UnsafeInput(f"{where}: it names a file outside its folder: {name[:200]!r}")
    path = folder / name
    try:
        real, root = path.resolve(strict=True), folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UnsafeInput(
            f"{where}: it names {name!r}, which is not there", fix="fetch the missing file"
        ) from error
    if not real.is_relative_to(root) and not _hub_cache(root, real):
        raise UnsafeInput(f"{where}: {name!r} is a link that leads out of its folder")
    if not real.is_file():
        raise UnsafeInput(f"{where}: {name!r} is no file")
    return path


def _hub_cache(root: Path, real: Path) -> bool:
    home = root.parent.parent
    return root.parent.name == "snapshots" and real.parent == home / "blobs"

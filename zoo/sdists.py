"""Source distributions, fetched and read without running anything of them.

pip builds a source distribution to learn its metadata, even where it is only to be downloaded, and building means
running what is in it. unearth looks at the same indexes and folders, which pip's own configuration names, and stops at
the archive.
"""

from __future__ import annotations

import ast
import shutil
import ssl
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from packaging.utils import canonicalize_name

from zoo.errors import SourceUnavailable, TooLarge
from zoo.interpreter import running
from zoo.reference import PypiSource, shown

if TYPE_CHECKING:
    from unearth import PackageFinder

# Of all members before the one that is wanted: an archive that claims more is a bomb.
LARGEST_ARCHIVE = 64 << 30
SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
CONFIG_SECONDS = 60


def download(source: PypiSource, shelf: Path) -> Path | None:
    """Fetch the archive of a source distribution into a folder; None where no index has one.

    Raises:
        SourceUnavailable: An index cannot be reached, or gives other bytes than it says.
    """
    # It takes a third of a second to import.
    from httpx2 import HTTPError
    from unearth.errors import UnpackError
    from unearth.preparer import download_link

    finder = _finder(canonicalize_name(source.distribution))
    requirement = f"{source.distribution}=={source.version}"
    try:
        found = finder.find_best_match(requirement, allow_yanked=True).best
        if found is None or not found.link.filename.endswith(SUFFIXES):
            return None
        path = download_link(finder.session, found.link, shelf, found.link.hash_option)
        # A file of a folder is where it was.
        return path if path.parent == shelf else Path(shutil.copy(path, shelf))
    except (UnpackError, HTTPError, OSError, ValueError) as error:
        raise SourceUnavailable(
            f"the source distribution of {requirement} cannot be fetched: {error}",
            fix="check the network, and pip's configuration (mirror, certificates)",
        ) from error


def _finder(name: str) -> PackageFinder:
    """What finds source distributions where pip would look."""
    from unearth import PackageFinder
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    said = pip_settings()
    index = said.get("index-url", "").split()
    hosts = said.get("trusted-host", "").split()
    verify = ssl.create_default_context(cafile=said["cert"]) if "cert" in said else True
    session = PyPIClient(trusted_hosts=hosts, verify=verify)
    session.auth = MultiDomainBasicAuth(index_urls=index)
    # Without addresses, it looks where pip does without a configuration.
    finder = PackageFinder(
        session,  # type: ignore[arg-type]  # its own client, whose methods take more
        index_urls=index,
        no_binary=[name],
        ignore_compatibility=True,
    )
    if said.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        finder.sources.clear()
    for url in said.get("extra-index-url", "").split():
        finder.add_index_url(url)
    for place in said.get("find-links", "").split():
        finder.add_find_links(Path(place).resolve().as_uri() if Path(place).exists() else place)
    return finder


def pip_settings() -> Mapping[str, str]:
    """What pip has been told for downloads: of files, then of the command, then of the environment."""
    done = subprocess.run(
        running("pip", "config", "list"),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CONFIG_SECONDS, check=False,
    )  # fmt: skip
    found: dict[str, str] = {}
    for section in ("global.", "download.", ":env:."):
        for line in done.stdout.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.startswith(section):
                found[name.removeprefix(section)] = str(ast.literal_eval(value))
    return found


@contextmanager
def member(path: Path, source: PypiSource, limit: int) -> Iterator[tuple[int, IO[bytes]]]:
    """A file in a tar archive: its size, and what reads it. Nothing is unpacked."""
    total = 0
    with tarfile.open(path) as archive:
        alike = ""
        for found in archive:
            total += found.size
            if (found.size > limit and found.name == source.member) or total > LARGEST_ARCHIVE:
                raise TooLarge(
                    f"{shown(source.member)} in {path.name} claims {found.size} bytes",
                    fix="correct the size in the manifest, or do not trust this source",
                )
            if found.name == source.member and (file := archive.extractfile(found)):
                yield found.size, file
                return
            if PurePosixPath(found.name).name == PurePosixPath(source.member).name:
                alike = alike or found.name
    raise SourceUnavailable(
        f"{path.name} has no file {shown(source.member)}",
        fix=f"did you mean {alike}?" if alike else "list it with: python -m tarfile -l ARCHIVE",
    )

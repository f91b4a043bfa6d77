"""Names of things: `org/model@version`, digests and source URLs; parsed here, printed here.

Every name that comes from outside passes through this room before it reaches a path, a query or a
URL, so the alphabets are small: what is accepted here is safe as one component of a path on any
system. Nothing here touches the network or the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from zoo.errors import InvalidReference

LATEST = "latest"
# A version cannot be called by a name that means something else where versions are named.
RESERVED_VERSIONS = frozenset({LATEST, "main", "onnx", "pytorch", "paddle", "mindspore"})

_NAME = re.compile(r"(?=.{1,96}\Z)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")
_HEX = re.compile(r"[0-9a-f]{64}\Z")
# Device names that Windows answers to in any directory and with any extension.
_WINDOWS_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?\Z", re.IGNORECASE
)
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff<>:"|?*\\]')
_MAX_PATH, _MAX_COMPONENT = 512, 255  # characters; bytes of UTF-8

NAME_RULE = (
    "org/model, each of letters and digits with single '.', '_' or '-' between them, at most 96"
)
VERSION_RULE = "letters, digits, '.', '_', '+' and '-', at most 64, and none of " + ", ".join(
    sorted(RESERVED_VERSIONS)
)
PATH_RULE = (
    "a relative path with '/' between its parts, without '..' and without control characters"
)
DIGEST_RULE = "64 lower-case hex digits"


@dataclass(frozen=True)
class Reference:
    """A model, or one version of it.

    Attributes:
        org: Who publishes it.
        model: Its name within the organisation.
        version: A version, `latest`, or None where only the model is meant.
    """

    org: str
    model: str
    version: str | None = None

    @property
    def name(self) -> str:
        """`org/model`."""
        return f"{self.org}/{self.model}"

    def at(self, version: str) -> Reference:
        """The same model at another version."""
        return Reference(self.org, self.model, version)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def parse_reference(text: str) -> Reference:
    """Read `org/model` or `org/model@version`.

    Raises:
        InvalidReference: It is neither.
    """
    name, at, version = text.partition("@")
    org, _, model = name.partition("/")
    if not (is_component(org) and is_component(model)):
        raise InvalidReference(
            f"{shown(text)} does not name a model: expected {NAME_RULE}",
            fix="write it as org/model or org/model@version",
        )
    if at and version != LATEST and not is_version(version):
        raise InvalidReference(
            f"{shown(text)} does not name a version: expected {VERSION_RULE}",
            fix=f"write it as {name}@VERSION, or {name}@{LATEST}",
        )
    return Reference(org, model, version if at else None)


def is_component(text: str) -> bool:
    """Whether this can be the `org` or the `model` of a name."""
    return bool(_NAME.match(text)) and not _WINDOWS_DEVICE.match(text)


def is_version(text: str) -> bool:
    """Whether this can be published as a version; `latest` cannot."""
    return (
        bool(_VERSION.match(text))
        and not text.endswith(".")
        and text.lower() not in RESERVED_VERSIONS
        and not _WINDOWS_DEVICE.match(text)
    )


def version_order(version: str) -> tuple[bool, Version, str]:
    """The sort key by which one version is higher than another.

    Final releases are above pre-releases only as far as PEP 440 orders them; versions that PEP 440
    cannot read are below all that it can, in the order of their characters.
    """
    try:
        return True, Version(version), version
    except InvalidVersion:
        return False, Version("0"), version


def latest_version(versions: list[str]) -> str | None:
    """The one that `latest` means: the highest release, or the highest of all if none is final."""
    finals = [v for v in versions if version_order(v)[0] and not Version(v).is_prerelease]
    return max(finals or versions, key=version_order, default=None)


def is_digest(text: str) -> bool:
    """Whether this is a SHA-256 in hex, as manifests write it."""
    return bool(_HEX.match(text))


def parse_digest(text: str) -> str:
    """Read a SHA-256 as 64 hex digits, with or without `sha256:` in front.

    Returns:
        The 64 lower-case hex digits.

    Raises:
        InvalidReference: It is something else.
    """
    digits = text.removeprefix("sha256:")
    if not is_digest(digits):
        raise InvalidReference(
            f"{shown(text)} is not a digest: expected sha256: and {DIGEST_RULE}",
            fix="copy the digest from the manifest of the version",
        )
    return digits


def print_digest(digits: str) -> str:
    """A digest as URLs and manifests' readers see it: `sha256:…`."""
    return f"sha256:{digits}"


def is_file_path(text: str) -> bool:
    """Whether this can be the path of a file in an artifact, on any system.

    Relative, POSIX, without `.`/`..`/empty parts, characters or names that Windows reserves, characters that
    turn the direction of what is read, and `.git`, from which git takes commands wherever it is started.
    """
    parts = text.split("/")
    return len(text) <= _MAX_PATH and not _UNSAFE.search(text) and all(map(_is_path_part, parts))


def _is_path_part(part: str) -> bool:
    return (
        part not in ("", ".", "..")
        and not part.endswith((".", " "))
        and not part.startswith(" ")
        and len(part.encode()) <= _MAX_COMPONENT
        and not _WINDOWS_DEVICE.match(part)
        and part.lower() != ".git"
    )


def shown(text: str, limit: int = 80) -> str:
    """Text from outside, safe and short enough for a message."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut) + '"'


@dataclass(frozen=True)
class PypiSource:
    """A file inside a distribution on a Python package index.

    Attributes:
        distribution: Its name there.
        version: Its exact version.
        member: Path of the file inside the wheel, or inside the source distribution.
    """

    distribution: str
    version: str
    member: str


@dataclass(frozen=True)
class UrlSource:
    """A file that a web server gives: `https://…` or `http://…`."""

    url: str


@dataclass(frozen=True)
class FileSource:
    """A file on this machine; a relative path counts from the directory of the manifest."""

    path: str


@dataclass(frozen=True)
class HubSource:
    """A file on a hub: `hf:`, `modelscope:` or `zoo:`, and what follows."""

    hub: str
    path: str


Source = PypiSource | UrlSource | FileSource | HubSource


def parse_source(text: str) -> Source:
    """Read a source URL.

    Raises:
        InvalidReference: The scheme is unknown, or what follows is not what the scheme needs.
    """
    scheme, colon, rest = text.partition(":")
    reader = _SOURCES.get(scheme) if colon else None
    if reader is None or not rest or _UNSAFE_URL.search(text):
        raise InvalidReference(
            f"{shown(text)} is not a source: expected " + " or ".join(SOURCE_FORMS.values()),
            fix="name the source in one of these forms",
        )
    source = reader(rest)
    if source is None:
        raise InvalidReference(
            f"{shown(text)} is not a source: expected {SOURCE_FORMS[scheme]}",
            fix="name the source in this form",
        )
    return source


_UNSAFE_URL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

SOURCE_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "pypi": "pypi:DIST==VERSION!path/in/wheel",
        "https": "https://host/path",
        "http": "http://host/path",
        "file": "file:path/relative/to/the/manifest",
        "hf": "hf:org/model/path",
        "modelscope": "modelscope:org/model/path",
        "zoo": "zoo:org/model@version/path",
    }
)


def _pypi(rest: str) -> PypiSource | None:
    pinned, bang, member = rest.partition("!")
    distribution, equals, version = pinned.partition("==")
    try:
        canonicalize_name(distribution, validate=True)
        Version(version)
    except (InvalidName, InvalidVersion):
        return None
    if not (bang and equals and is_file_path(member)):
        return None
    return PypiSource(distribution, version, member)


def _url(scheme: str) -> Callable[[str], UrlSource | None]:
    def read(rest: str) -> UrlSource | None:
        try:
            parts = urlsplit(f"{scheme}:{rest}")
            port = parts.port
        except ValueError:
            return None
        # A password in a manifest would be published with it.
        if not parts.hostname or parts.username or parts.password or port == 0 or " " in rest:
            return None
        return UrlSource(f"{scheme}:{rest}")

    return read


def _hub(hub: str) -> Callable[[str], HubSource | None]:
    return lambda rest: HubSource(hub, rest) if is_file_path(rest) else None


_SOURCES: Mapping[str, Callable[[str], Source | None]] = MappingProxyType(
    {
        "pypi": _pypi,
        "https": _url("https"),
        "http": _url("http"),
        "file": FileSource,
        "hf": _hub("hf"),
        "modelscope": _hub("modelscope"),
        "zoo": _hub("zoo"),
    }
)

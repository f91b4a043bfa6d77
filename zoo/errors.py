"""What can go wrong in the zoo, one class for each thing that a caller can do about it.

    ZooError                    exit 1   http 500
    ├── InvalidManifest         exit 2   http 422   a field is missing or wrong: says file, field, expected
    ├── InvalidSetting          exit 2   http 500   an environment variable holds nonsense
    ├── InvalidReference        exit 2   http 422   not `org/model[@version]`
    ├── NotSupported            exit 3   http 501   a kind of source that cannot be fetched yet
    ├── NotFound                exit 1   http 404   unknown model, version, framework, file, blob, upload
    ├── Unauthorized            exit 1   http 401   a token is needed, or the one given is not valid
    ├── Forbidden               exit 1   http 403   the token's role is too low
    ├── Conflict                exit 1   http 409   a published version never changes; upload out of step
    ├── MissingBlobs            exit 1   http 422   a manifest names files that were not uploaded
    ├── DigestMismatch          exit 5   http 422   bytes are not what their digest says
    ├── SourceUnavailable       exit 1   http 502   a source (pypi:, https: ...) cannot be fetched
    ├── ServerUnavailable       exit 1   http 503   no answer from the zoo's server
    ├── StorageUnavailable      exit 1   http 503   the zoo's database or bucket does not answer
    ├── NoSpace                 exit 1   http 507   the disk is full
    └── TooLarge                exit 1   http 413

`code` is stable and meant for programs (it is the last part of the problem+json `type`); `fix` is
the next thing to do. The edge (CLI, API) renders them; nothing else catches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ZooError(Exception):
    """Base of every error that `zoo` raises on purpose."""

    status: ClassVar[int] = 1
    http: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "The zoo failed"
    # Said to strangers instead of the message, where that names what is the operator's own.
    public: ClassVar[str] = ""

    def __init__(
        self, message: str, *, fix: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        """Say what was wrong and where.

        Args:
            message: One clear line; more only where several problems are named at once.
            fix: The next thing to do.
            details: Facts for programs: further members of the problem+json.
        """
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.details = dict(details or {})


class InvalidManifest(ZooError):
    """A manifest does not follow the schema; the message names file, field and what was expected."""

    status, http, code, title = 2, 422, "invalid-manifest", "The manifest is not valid"


class InvalidSetting(ZooError):
    """An environment variable does not hold what its setting needs."""

    status, http, code, title = 2, 500, "invalid-setting", "A setting is not valid"


class InvalidReference(ZooError):
    """Text that should name a model, a version or a digest does not."""

    status, http, code, title = 2, 422, "invalid-reference", "The name is not valid"


class NotSupported(ZooError):
    """Understood, and not possible yet."""

    status, http, code, title = 3, 501, "not-supported", "Not supported"


class NotFound(ZooError):
    """No such model, version, framework, file, blob or upload."""

    http, code, title = 404, "not-found", "Not found"


class Unauthorized(ZooError):
    """A token is needed, or the one that was given is not valid."""

    http, code, title = 401, "unauthorized", "A token is needed"


class Forbidden(ZooError):
    """Who asks is known, and may not do this."""

    http, code, title = 403, "forbidden", "Not allowed"


class Conflict(ZooError):
    """The request contradicts what is there: a published version never changes."""

    http, code, title = 409, "conflict", "Conflict with what is published"


class MissingBlobs(ZooError):
    """A manifest names files that the store does not have; `details` lists them."""

    http, code, title = 422, "missing-blobs", "Files of the manifest are missing"


class DigestMismatch(ZooError):
    """The bytes are not those that the digest names; they were discarded."""

    status, http, code, title = 5, 422, "digest-mismatch", "The bytes do not match their digest"


class SourceUnavailable(ZooError):
    """A source URL (`pypi:`, `https:`, `file:` ...) cannot be fetched."""

    http, code, title = 502, "source-unavailable", "A source cannot be fetched"


class ServerUnavailable(ZooError):
    """The zoo's server does not answer, or broke off more often than we retry."""

    http, code, title = 503, "server-unavailable", "The server does not answer"


class StorageUnavailable(ZooError):
    """The zoo's own database or bucket does not answer, or does not let it in."""

    http, code, title = 503, "storage-unavailable", "The zoo's storage does not answer"
    public = "the zoo's database or bucket does not answer"


class NoSpace(ZooError):
    """The disk is full; what was being written has been removed."""

    http, code, title = 507, "no-space", "The disk is full"


class TooLarge(ZooError):
    """More bytes than the server accepts."""

    http, code, title = 413, "too-large", "Too large"

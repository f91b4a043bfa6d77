"""Every environment variable of the zoo, each with its default and its unit.

The variable of a setting is its name in capitals behind `POLYZOO_`; an empty one counts as not set.
Which interpreter runs a framework is said by `POLYZOO_PYTHON_<FRAMEWORK>` and belongs to
converters/runtimes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_cache_path, user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
)

from zoo.errors import InvalidSetting

PREFIX = "POLYZOO_"
# What is read where a setting's own variable is not set.
COMMON_VARIABLES = {"database": "DATABASE_URL"}
MEBIBYTE = 1 << 20
TEBIBYTE = 1 << 40


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("expected an address such as http://127.0.0.1:8000")
    return text.rstrip("/")


def _visible(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("a token is of visible ASCII characters")
    return secret


def _rate(text: str) -> str:
    from limits import parse_many

    if text:
        parse_many(text)
    return text


Rate = Annotated[str, AfterValidator(_rate)]
Anonymous = Literal["auto", "none", "read", "write"]
Directory = Annotated[Path, AfterValidator(Path.expanduser)]
Address = Annotated[str, AfterValidator(_address)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """What can be set from outside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Directory = Field(
        default_factory=lambda: user_data_path("polyzoo", appauthor=False),
        description="directory of the local zoo: blobs, uploads and catalogue",
    )
    cache: Directory = Field(
        default_factory=lambda: user_cache_path("polyzoo", appauthor=False),
        description="directory of what can be fetched again",
    )
    server: Address = Field(
        default="http://127.0.0.1:8000", description="address of the zoo that the client talks to"
    )
    token: Annotated[SecretStr, AfterValidator(_visible)] = Field(
        default=SecretStr(""), description="token that the client shows to the zoo"
    )
    anonymous: Anonymous = Field(
        default="auto",
        description="what is allowed without a token: none, read, write, or auto: write for as long as "
        "the zoo has no token and is served on loopback, else read",
    )
    public: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="address of the server as its clients write it, where a proxy changes it; a path in it "
        "is taken off",
    )
    accel: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._-]+)?$",
        description="internal location of an nginx in front of the server that sends blobs from the disk, "
        "such as /zoo-blobs; see docs/operations.md",
    )
    timeout: Seconds = Field(
        default=30.0, description="seconds without a byte after which a connection is given up"
    )
    attempts: PositiveInt = Field(
        default=5, description="times that a request is tried before it counts as failed"
    )
    connections: PositiveInt = Field(
        default=4, description="connections that one transfer uses at a time"
    )
    part: PositiveInt = Field(
        default=16 * MEBIBYTE, description="bytes that one request of a transfer carries"
    )
    workers: PositiveInt = Field(default=1, description="processes that serve requests")
    log: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="form of the log: json, text, or auto: text on a terminal, json otherwise",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="from what on events are logged: debug, info, warning, error"
    )
    metrics: Literal["auto", "open", "admin"] = Field(
        default="auto",
        description="who may read /metrics: open for everybody, admin for admins of every organisation, or"
        " auto: open where the zoo is served on loopback, admin otherwise",
    )
    largest_blob: PositiveInt = Field(
        default=TEBIBYTE, description="bytes of the largest file that is accepted"
    )
    rate: Rate = Field(
        default="",
        description="requests that one address may send, such as 600/minute or 1200/minute;50/second;"
        " no limit by default",
    )
    write_rate: Rate = Field(
        default="", description="the same for those of them that change something"
    )
    upload_lifetime: Seconds = Field(
        default=7 * 24 * 3600.0,
        description="seconds without a byte after which an unfinished upload is removed",
    )

    database: SecretStr = Field(
        default=SecretStr(""),
        description="postgresql://… of the catalogue and of jobs, for servers and workers on many machines; "
        "DATABASE_URL by default, and without that, or with `sqlite`, files in the zoo's directory",
    )
    jobs_database: SecretStr = Field(
        default=SecretStr(""),
        description="the database of jobs, where it is another than the catalogue's",
    )
    bucket: str = Field(
        default="",
        pattern=r"^(s3://[^/\s]+(/\S*)?)?$",
        description="s3://BUCKET or s3://BUCKET/PREFIX of the blobs, for servers and workers on many "
        "machines; by default they are files in the zoo's directory",
    )
    bucket_endpoint: Address | Literal[""] = Field(
        default="",
        description="address of the S3-compatible service; AWS_ENDPOINT_URL, or AWS itself, by default",
    )
    bucket_region: str = Field(
        default="", description="region of the bucket; AWS_REGION, or us-east-1, by default"
    )
    bucket_downloads: Literal["redirect", "proxy"] = Field(
        default="redirect",
        description="redirect: clients fetch blobs from the bucket by themselves; proxy: servers pass "
        "them on, for clients that cannot reach the bucket",
    )
    job_parallel: PositiveInt = Field(default=1, description="jobs that one worker runs at a time")
    job_attempts: PositiveInt = Field(
        default=10,
        description="times that a step of a job is begun before the job counts as failed",
    )
    job_seconds: Seconds = Field(default=3600.0, description="seconds that one step may take")
    job_memory: PositiveInt = Field(
        default=16 << 30, description="bytes of memory that one step may use"
    )
    worker_lease: Seconds = Field(
        default=15.0,
        description="seconds without a sign of life after which a worker's jobs go to others",
    )
    convert: str = Field(
        default="",
        description="frameworks, with commas, that uploads of hub clients are converted into; a model card"
        " may name others; nothing by default",
    )
    quiet: Seconds = Field(
        default=60.0,
        description="seconds without a commit after which an upload of a hub client counts as complete",
    )
    webhook_hosts: str = Field(
        default="",
        description="host:port of every server that jobs may call when they end, with commas",
    )
    webhook_secret: str = Field(
        default="", description="whsec_ and base64: the key that signs those calls"
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Args:
            environment: Variables by name; by default those of this process.

        Raises:
            InvalidSetting: A variable does not hold what its setting needs.
        """
        found = os.environ if environment is None else environment
        texts = {
            name: found.get(variable(name), "").strip()
            or found.get(COMMON_VARIABLES.get(name, ""), "").strip()
            for name in cls.model_fields
        }
        try:
            return cls.model_validate({name: text for name, text in texts.items() if text})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            secret = isinstance(cls.model_fields[name].default, SecretStr)
            shown = "…" if secret else texts[name]
            raise InvalidSetting(
                f'{variable(name)} is "{shown}": {first["msg"]}',
                fix=f"set it to: {cls.model_fields[name].description}; or unset it",
            ) from error


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()

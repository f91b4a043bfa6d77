"""What is submitted to be converted, and what is told of a job."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from zoo.catalogue.records import Answer
from zoo.manifest import Framework, Manifest, Record

State = Literal["queued", "running", "publishing", "succeeded", "failed", "cancelled"]
STATES: tuple[str, ...] = get_args(State)
ENDED = frozenset({"succeeded", "failed", "cancelled"})


SizeName = Annotated[str, Field(max_length=64)]
Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...], Field(max_length=8)]


class Policy(Record):
    """Into what a version is converted before it is published.

    Attributes:
        targets: Frameworks; each must convert and compute what the source computes.
        sizes: Sizes to verify with by name of dynamic dimension, where the model takes some only.
    """

    targets: Annotated[
        tuple[Framework, ...], Field(min_length=1, max_length=4, examples=[["pytorch", "paddle"]])
    ]
    sizes: dict[SizeName, Sizes] = Field(default_factory=dict)


class Submission(Record):
    """A manifest with the one artifact that is the source, and what to make of it."""

    manifest: Manifest
    convert: Policy
    webhook: Annotated[str, Field(max_length=2000)] | None = None

    def canonical(self) -> str:
        """The one way to write it."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


class Failure(Answer):
    """Why a job failed: what the command would have said, with its exit status."""

    code: str = Field(examples=["unsupported-operators"])
    message: str
    fix: str = ""
    status: int = Field(description="Exit status: 3 unsupported, 4 differs …", examples=[3])
    operators: tuple[dict[str, Any], ...] = ()


class Step(Answer):
    """One step of a job."""

    name: str = Field(examples=["emit pytorch"])
    state: Literal["running", "done", "failed", "cancelled"]
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    message: str


class Job(Answer):
    """A submission on its way to be published."""

    id: str
    name: str
    version: str
    state: State
    targets: tuple[str, ...]
    created_at: datetime
    ended_at: datetime | None
    error: Failure | None
    published: str | None = Field(description="Digest of the version, once it is published.")
    steps: tuple[Step, ...] = ()


class Event(Answer):
    """Something that happened to a job; its number grows."""

    id: int
    kind: Literal["state", "step"]
    data: dict[str, Any]

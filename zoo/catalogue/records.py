"""What the catalogue answers: the same records in Python, in the API and in the client."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from zoo.manifest import Manifest


class Answer(BaseModel):
    """What all answers share; fields that a newer server adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelSummary(Answer):
    """A model, as lists show it: what its latest version says."""

    name: str = Field(examples=["paddleocr/pp-ocrv4-rec"])
    summary: str = Field(examples=["Reads a line of Chinese or English text."])
    task: str = Field(examples=["text-recognition"])
    tags: tuple[str, ...] = Field(examples=[["ocr", "chinese"]])
    licence: str = Field(examples=["Apache-2.0"])
    frameworks: tuple[str, ...] = Field(examples=[["onnx", "pytorch", "paddle", "mindspore"]])
    latest: str = Field(examples=["1.0.0"])
    updated_at: datetime = Field(description="When a version was last published.")


class ModelPage(Answer):
    """Some models, in the order of their names."""

    items: tuple[ModelSummary, ...]
    next_cursor: str | None = Field(
        default=None, description="Give it as `cursor` to get the next page; null on the last one."
    )


class RefusedUpload(Answer):
    """An upload of a hub client that was not converted."""

    revision: str = Field(description="main, or a tag.", examples=["main"])
    commit: str = Field(description="What was looked at: 40 hex digits.")
    at: datetime
    problem: str = Field(description="Why, and what to do.")


class Unpublished(Answer):
    """A model that hub clients have uploaded, and of which no version is published."""

    name: str = Field(examples=["acme/model"])
    private: bool
    tags: tuple[str, ...]
    updated_at: datetime
    state: str = Field(
        description="`refused`: nothing can be made of it, see `refused`; `waiting`: nobody has looked at it "
        "yet; else the state of its newest job; `uploaded` where there is none.",
        examples=["refused"],
    )
    refused: tuple[RefusedUpload, ...]
    job: str | None = Field(description="Id of the newest job that converts it.")


class UnpublishedPage(Answer):
    """Some of them, what changed last first."""

    items: tuple[Unpublished, ...]
    next_cursor: str | None = Field(
        default=None, description="Give it as `cursor` to get the next page; null on the last one."
    )


class ModelDetail(ModelSummary):
    """A model with the names of all its versions, the highest first."""

    versions: tuple[str, ...] = Field(examples=[["1.1.0", "1.0.0"]])


class VersionSummary(Answer):
    """A version, as lists show it."""

    version: str = Field(examples=["1.0.0"])
    digest: str = Field(
        examples=["sha256:7d1a54127b222502f5b79b5fb0803061152a44f92b37e23c6527baf665d4da9a"]
    )
    published_at: datetime
    frameworks: tuple[str, ...] = Field(examples=[["onnx", "pytorch"]])
    size: int = Field(description="Bytes of all its files.", examples=[10857958])


class VersionDetail(VersionSummary):
    """A version with everything that is known of it."""

    name: str = Field(examples=["paddleocr/pp-ocrv4-rec"])
    manifest: Manifest


class Publication(Answer):
    """What publishing did."""

    name: str = Field(examples=["paddleocr/pp-ocrv4-rec"])
    version: str = Field(examples=["1.0.0"])
    digest: str = Field(
        examples=["sha256:7d1a54127b222502f5b79b5fb0803061152a44f92b37e23c6527baf665d4da9a"]
    )
    published_at: datetime
    created: bool = Field(description="False if the same version was there already.")

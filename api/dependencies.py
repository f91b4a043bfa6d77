"""What routes are given: the registry, and the parts of an address."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from zoo.registry import Registry


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


Zoo = Annotated[Registry, Depends(_registry)]
Org = Annotated[str, Path(description="Who publishes the model.", examples=["paddleocr"])]
Model = Annotated[str, Path(description="Its name there.", examples=["pp-ocrv4-rec"])]
VersionOrLatest = Annotated[
    str, Path(description="A version, or `latest`.", examples=["1.0.0", "latest"])
]
FrameworkName = Annotated[
    str, Path(description="onnx, pytorch, paddle or mindspore.", examples=["pytorch"])
]

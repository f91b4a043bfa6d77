"""What importers hand on: a hub graph, how it came about, and the numbers that it has to reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Attempt:
    """A route to ONNX that was tried.

    Attributes:
        route: Its name: an exporter of the framework, or `read` for an importer of ours.
        dynamic: Which sizes were to vary: `all` that the model takes, or the `batch`.
        reason: Why it does not count; empty for the route that was chosen.
        max_abs: The largest absolute error in each case that was run, onnxruntime beside the source.
        findings: What the route could not follow and took as it was.
    """

    route: str
    dynamic: str = "all"
    reason: str = ""
    max_abs: tuple[float, ...] = ()
    findings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is empty is left out."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Reference:
    """A run of the source itself.

    Attributes:
        inputs: An .npz file with an array for each input of the graph.
        outputs: The same for outputs.
    """

    inputs: Path
    outputs: Path


@dataclass(frozen=True)
class Imported:
    """A hub graph and how it came about.

    The source's own numbers come either as `cases`, recorded when it ran, or from `program`, which runs it.

    Attributes:
        model: The ONNX file.
        framework: Where it comes from: a key of `runtimes.FRAMEWORKS`.
        kind: A row of `importers.KINDS`.
        tried: All attempts in order, the chosen one last; none for ONNX itself.
        program: An artifact directory (infer.py and manifest.json) that runs the source in its framework.
        cases: Runs of the source: given sizes first.
        dynamic: Names of the dimensions that vary, where the importer decided that.
        constants: Arguments that are numbers and are now part of the graph.
        precisions: Element types of parameters and outputs, by numpy's names.
        findings: What a user should know.
    """

    model: Path
    framework: str
    kind: str
    tried: tuple[Attempt, ...] = ()
    program: Path | None = None
    cases: tuple[Reference, ...] = ()
    dynamic: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    precisions: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def route(self) -> Attempt:
        """The attempt that was chosen."""
        return self.tried[-1]

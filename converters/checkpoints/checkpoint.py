"""What every reader gives: tensors by name, and what else the file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converters.checkpoints.tensors import Tensor

# Bytes of a file's own description (header, directory, pickle) that are read at most.
LARGEST_HEADER = 256 << 20
MOST_TENSORS = 1_000_000


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, opened; elements are read when they are wanted.

    Attributes:
        format: Its row in `formats.FORMATS`.
        tensors: By name, in the file's order.
        files: What it is read from.
        framework: Whose names and layouts it has: `pytorch`, `paddle`, `mindspore`; None where the file
            does not say.
        metadata: What the file says beside its tensors, short enough to be shown.
        findings: What a careful reader wants to know: what was left out, repaired, or looks odd.
        parameters: Paddle's own parameter names, by tensor name.
    """

    format: str
    tensors: Mapping[str, Tensor]
    files: tuple[Path, ...]
    framework: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)

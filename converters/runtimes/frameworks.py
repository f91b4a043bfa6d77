"""The frameworks, one row for each; everything else in the project reads their names here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from converters.errors import UsageError


@dataclass(frozen=True)
class Framework:
    """What a process of a framework needs to know.

    Attributes:
        key: Its name in commands, manifests and folders.
        title: Its name in text for people.
        module: The module whose import shows that it is installed.
        distribution: The package that brings the module.
        extra: The extra of our own distribution that brings the package.
        environment: Variables of its process: quiet logs, no surprises.
    """

    key: str
    title: str
    module: str
    distribution: str
    extra: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def interpreter_variable(self) -> str:
        """The environment variable that names the interpreter to run it with."""
        return f"POLYZOO_PYTHON_{self.key.upper()}"


_ROWS = (
    Framework("pytorch", "PyTorch", "torch", "torch", "pytorch"),
    Framework(
        "paddle",
        "PaddlePaddle",
        "paddle",
        "paddlepaddle",
        "paddle",
        {"GLOG_minloglevel": "2", "GLOG_v": "0"},
    ),
    Framework(
        "mindspore",
        "MindSpore",
        "mindspore",
        "mindspore",
        "mindspore",
        # 3: errors only. With AVX-512 its convolutions take oneDNN's reference kernels, fifty times slower.
        {"GLOG_v": "3", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    ),
    Framework("onnx", "ONNX Runtime", "onnxruntime", "onnxruntime", "onnx"),
)

FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({row.key: row for row in _ROWS})


def framework(key: str) -> Framework:
    """The row of a framework.

    Raises:
        UsageError: There is no framework of that name.
    """
    try:
        return FRAMEWORKS[key]
    except KeyError:
        raise UsageError(
            f"unknown framework {key!r}", fix=f"choose from: {', '.join(FRAMEWORKS)}"
        ) from None

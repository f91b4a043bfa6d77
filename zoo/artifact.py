"""An artifact directory on this machine: read it, check it, load it as a native model, run it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from converters.errors import MissingRuntime, UnsafeInput, UsageError
from converters.runtimes import FRAMEWORKS, Runtime
from zoo.store import file_digest

# Frameworks that cannot be loaded into one process: an undefined symbol of oneDNN.
APART = {"paddle": "mindspore", "mindspore": "paddle"}


def read(directory: Path) -> dict[str, Any]:
    """The manifest.json of an artifact directory, with every file checked against its digest.

    Raises:
        UsageError: It is no artifact directory.
        UnsafeInput: A file is missing or has other bytes than its digest names.
    """
    path = directory / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = [(file["path"], file["sha256"]) for file in manifest["files"]]
        manifest["framework"]
    except OSError:
        raise UsageError(
            f"{directory}: no artifact directory: it has no manifest.json",
            fix="name a directory that `zoo pull` or `zoo convert` made",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UnsafeInput(f"{path}: not the manifest of an artifact") from None
    root = directory.resolve()
    for name, digest in files:
        place = (root / name).resolve()
        if root not in place.parents or not place.is_file():
            raise UnsafeInput(f"{directory}: the file {name!r} is missing or lies outside of it")
        if file_digest(place) != digest:
            raise UnsafeInput(
                f"{place}: its bytes are not those that manifest.json names",
                fix="pull it again with --force",
            )
    return manifest


def load(directory: Path, device: str = "auto") -> Any:
    """The native model object of an artifact directory, with its weights, in inference mode.

    The directory's own infer.py is imported into this process: load only what you trust.

    Args:
        directory: An artifact directory.
        device: `auto`, `cpu`, `cuda`, `ascend`, `mlu`, `musa` or `xpu`.

    Raises:
        MissingRuntime: Its framework is not installed, or cannot be loaded beside another one.
        UnsafeInput: A file has other bytes than its digest names.
        UsageError: It is no artifact directory.
    """
    framework = FRAMEWORKS[read(directory)["framework"]]
    other = APART.get(framework.key)
    if other is not None and other in sys.modules:
        raise MissingRuntime(
            f"{framework.title} cannot be loaded beside {FRAMEWORKS[other].title} in one process",
            fix="use a process for each, or `zoo run`",
        )
    if framework.module not in sys.modules and importlib.util.find_spec(framework.module) is None:
        raise MissingRuntime(
            f"{framework.title} is not installed", fix=f"pip install 'polyzoo[{framework.extra}]'"
        )
    place = (directory / "infer.py").resolve()
    spec = importlib.util.spec_from_file_location(f"polyzoo_infer_{abs(hash(place))}", place)
    if spec is None or spec.loader is None:
        raise UsageError(f"{directory}: no infer.py in this directory")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.load(device)


def run(
    directory: Path, inputs: Mapping[str, npt.NDArray[Any]], device: str = "auto"
) -> dict[str, npt.NDArray[Any]]:
    """Run an artifact once, in a process of its framework.

    Args:
        directory: An artifact directory.
        inputs: Arrays by input name.
        device: As for `load`.

    Returns:
        Arrays by output name.

    Raises:
        MissingRuntime: Its framework is not installed.
        RuntimeFailed: The model raised, crashed or took too long.
        UnsafeInput: A file has other bytes than its digest names.
    """
    framework = read(directory)["framework"]
    if framework not in FRAMEWORKS:
        raise UnsafeInput(f"{directory}: unknown framework {framework!r}")
    with Runtime(framework) as runtime:
        runtime.load(directory, device)
        return runtime.run(inputs)

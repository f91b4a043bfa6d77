"""Models for use from Python: fetched once into the cache, by version, then loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo import artifact
from zoo.client import Client, Progress, no_progress


def fetch(
    client: Client, reference: str, framework: str, *, progress: Progress = no_progress
) -> Path:
    """The directory of a model's form in the cache, fetched where it is not there.

    Raises:
        ZooError: As for `Client.pull`.
    """
    manifest, _ = client.artifact(reference, framework)
    place = client.settings.cache / "models" / manifest.digest / framework
    return client.pull(
        f"{manifest.name}@{manifest.version}", framework, place, force=True, progress=progress
    )


def load(
    reference: str, *, framework: str, device: str = "auto", endpoint: str | None = None
) -> Any:
    """A model of the zoo as a native object of its framework, with its weights, in inference mode.

    Args:
        reference: `org/model`, or `org/model@version`.
        framework: `pytorch`, `paddle`, `mindspore` or `onnx`.
        device: `auto`, `cpu`, `cuda`, `ascend`, `mlu`, `musa` or `xpu`.
        endpoint: Address of the zoo's server; by default POLYZOO_SERVER, or this machine.

    Returns:
        A `torch.nn.Module`, `paddle.nn.Layer`, `mindspore.nn.Cell` or ONNX Runtime session.

    Raises:
        ZooError: It cannot be fetched.
        MissingRuntime: The framework is not installed.
    """
    with Client(endpoint) as client:
        directory = fetch(client, reference, framework)
    return artifact.load(directory, device)


def pull(
    reference: str,
    framework: str,
    out: str | Path | None = None,
    *,
    force: bool = False,
    endpoint: str | None = None,
) -> Path:
    """Fetch a model's form into a directory; see `zoo.client.Client.pull`."""
    with Client(endpoint) as client:
        place = None if out is None else Path(out)
        return client.pull(reference, framework, place, force=force)


def search(words: str, *, endpoint: str | None = None) -> list[dict[str, Any]]:
    """Summaries of the models in whose name, summary, task or tags all words occur."""
    with Client(endpoint) as client:
        return list(client.models(words))

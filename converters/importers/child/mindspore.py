"""MindSpore's side: a Cell class with its weights."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# It takes sizes that the rounds of a loop change for those that they began with (2.10.0); read when it is imported.
os.environ["MS_SYMBOL_ENGINE_OPTIMIZE"] = "off"

import mindspore as ms

from .cases import Called, References
from .classes import made, named_outputs, ordered_inputs, require_fit
from .graph_mode import as_graph_mode_takes_it


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """How models are run here."""
    ms.set_device("CPU")
    ms.set_seed(0)
    yield


def called(job: Mapping[str, Any]) -> Called:
    """A cell with its weights, to be run."""
    net = _net(job)
    types = {_kind(one) for one in net.get_parameters() if one.is_floating_point()}

    def run(arrays: Sequence[Any]) -> dict[str, Any]:
        found = named_outputs(net(*map(ms.Tensor, arrays)), ms.Tensor)
        types.update(_kind(one) for one in found.values() if one.is_floating_point())
        return {name: _array(one) for name, one in found.items()}

    return Called(ordered_inputs(job, net.construct), run, types)


def route(job: Mapping[str, Any], found: References) -> dict[str, Any]:
    """Save a program of the cell, for our own reader; or let MindSpore write ONNX, which takes one set of sizes."""
    net, arrays = _net(job), found.example("none")
    if job["route"] == "mindspore.export":
        inputs = [*map(ms.Tensor, arrays)]
        ms.export(net, *inputs, file_name=os.path.join(job["folder"], "model"), file_format="ONNX")
        return {"findings": []}
    shapes = found.open_shapes(job["dynamic"])
    specs = [
        {"dtype": array.dtype.name, "shape": shape}
        for array, shape in zip(arrays, shapes, strict=True)
    ]
    return {
        "program": save(net, specs, {}, os.path.join(job["folder"], "saved", "net")),
        "findings": [],
    }


def save(model: Any, inputs: Sequence[Mapping[str, Any]], _: Mapping[str, Any], out: str) -> str:
    """`mindspore.export`; sizes that are no numbers may be any."""
    wanted = [
        ms.Tensor(
            shape=[size if isinstance(size, int) else None for size in spec["shape"]],
            dtype=getattr(ms, "bool_" if spec["dtype"] == "bool" else spec["dtype"]),
        )
        for spec in inputs
    ]
    ms.export(model, *wanted, file_name=out, file_format="MINDIR")
    return f"{out}.mindir"


def readable(artifact: str, folder: str) -> Any:
    """The model of an artifact directory, of a copy of its source that graph mode takes."""
    copy = os.path.join(folder, "copy")
    shutil.copytree(artifact, copy, copy_function=_copied)
    spec = importlib.util.spec_from_file_location("infer_copy", os.path.join(copy, "infer.py"))
    infer = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(infer)  # type: ignore[union-attr]
    return infer.load("cpu")


def _copied(path: str, place: str) -> None:
    # Weights may be large; source finds what is beside it by its own path.
    if not path.endswith(".py"):
        os.symlink(path, place)
        return
    with open(path, encoding="utf-8") as file:
        source = file.read()
    if os.path.basename(path) == "model.py":
        source = as_graph_mode_takes_it(source)
    with open(place, "w", encoding="utf-8") as file:
        file.write(source)


def _net(job: Mapping[str, Any]) -> Any:
    net = made(job, ms.nn.Cell, "nn.Cell")
    weights = ms.load_checkpoint(job["weights"])
    require_fit(
        job["name"],
        {one.name: one.shape for one in net.get_parameters()},
        {name: one.shape for name, one in weights.items()},
    )
    ms.load_param_into_net(net, weights, strict_load=True)
    net.set_train(False)
    return net


def _kind(tensor: Any) -> str:
    return str(tensor.dtype).lower()


def _array(tensor: Any) -> Any:
    # bfloat16 has no place in an array; float32 holds it exactly.
    return (tensor.astype(ms.float32) if _kind(tensor) == "bfloat16" else tensor).asnumpy()

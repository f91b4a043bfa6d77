"""Paddle's side: a Layer class with its weights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import paddle

from .cases import Called, References
from .classes import made, named_outputs, ordered_inputs, require_fit


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """How models are run here."""
    paddle.set_device("cpu")
    paddle.seed(0)
    with paddle.no_grad():
        yield


def called(job: Mapping[str, Any]) -> Called:
    """A layer with its weights, to be run."""
    net = _net(job)
    types = {_kind(one) for one in net.state_dict().values() if one.is_floating_point()}

    def run(arrays: Sequence[Any]) -> dict[str, Any]:
        found = named_outputs(net(*map(paddle.to_tensor, arrays)), paddle.Tensor)
        types.update(_kind(one) for one in found.values() if one.is_floating_point())
        return {name: _array(one) for name, one in found.items()}

    return Called(ordered_inputs(job, net.forward), run, types)


def route(job: Mapping[str, Any], found: References) -> dict[str, Any]:
    """Save a program of the layer, for our own reader."""
    net, arrays = _net(job), found.example("none")
    shapes = found.open_shapes(job["dynamic"])
    specs = [
        {"name": name, "dtype": array.dtype.name, "shape": shape}
        for name, array, shape in zip(found.inputs, arrays, shapes, strict=True)
    ]
    path = save(net, specs, {}, os.path.join(job["folder"], "saved", "net"))
    return {"program": path, "findings": []}


def save(model: Any, inputs: Sequence[Mapping[str, Any]], _: Mapping[str, Any], out: str) -> str:
    """`paddle.jit.save`; sizes that are no numbers may be any."""
    wanted = [
        paddle.static.InputSpec(
            [size if isinstance(size, int) else None for size in spec["shape"]],
            spec["dtype"],
            spec["name"],
        )
        for spec in inputs
    ]
    paddle.jit.save(model, out, input_spec=wanted)
    paths = [f"{out}{suffix}" for suffix in (".json", ".pdmodel")]
    return next(path for path in paths if os.path.isfile(path))


def save_as_taken(
    model: Any, inputs: Sequence[Mapping[str, Any]], sizes: Mapping[str, Sequence[int]], out: str
) -> str:
    """As `save`, with every size of which only one is known to be taken: a rank may depend on it."""
    one = {name: known[0] for name, known in sizes.items() if len(known) == 1}
    fixed = [{**spec, "shape": [one.get(size, size) for size in spec["shape"]]} for spec in inputs]
    return save(model, fixed, sizes, out)


def _net(job: Mapping[str, Any]) -> Any:
    net = made(job, paddle.nn.Layer, "nn.Layer")
    weights = paddle.load(job["weights"])
    own = net.state_dict()
    require_fit(
        job["name"],
        {name: one.shape for name, one in own.items()},
        {name: one.shape for name, one in weights.items()},
    )
    net.set_state_dict(weights)
    # A program of it says what the class says, not linear_0.w_0. A recurrent layer lists its weights twice.
    for name, one in reversed(own.items()):
        one.name = name
    net.eval()
    return net


def _kind(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("paddle.")


def _array(tensor: Any) -> Any:
    # bfloat16 has no place in an array; float32 holds it exactly.
    return (tensor.astype("float32") if _kind(tensor) == "bfloat16" else tensor).numpy()

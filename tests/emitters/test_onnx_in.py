"""ONNX files as tools write them: the same two layers in every form, with the same numbers in PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))

import onnx_suite

from converters.graph import read_graph

RNG = np.random.default_rng(0)
WEIGHTS = {
    "fc.weight": RNG.standard_normal((4, 3)).astype(np.float32),
    "fc.bias": RNG.standard_normal(3).astype(np.float32),
}
X = RNG.standard_normal((5, 4)).astype(np.float32)
Y = np.maximum(X @ WEIGHTS["fc.weight"] + WEIGHTS["fc.bias"], 0)
node = helper.make_node
LAYERS = [
    node("MatMul", ["x", "fc.weight"], ["t"]),
    node("Add", ["t", "fc.bias"], ["s"]),
    node("Relu", ["s"], ["y"]),
]


def model(
    nodes: list[onnx.NodeProto] = LAYERS,
    weights: dict[str, np.ndarray] = WEIGHTS,
    opset: int = 17,
    domains: tuple[str, ...] = (),
    functions: tuple[onnx.FunctionProto, ...] = (),
    batch: int | str = "N",
) -> onnx.ModelProto:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])
        for name, size in (("x", 4), ("y", 3))
    ]
    graph = helper.make_graph(
        nodes,
        "layers",
        values[:1],
        values[1:],
        [numpy_helper.from_array(data, name) for name, data in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)


def functions() -> onnx.ModelProto:
    """A function within a function."""
    standard, mine = helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)
    linear = [node("MatMul", ["a", "w"], ["p"]), node("Add", ["p", "b"], ["o"])]
    layer = [node("Linear", ["a", "w", "b"], ["p"], domain="mine"), node("Relu", ["p"], ["o"])]
    bodies = [
        helper.make_function("mine", name, ["a", "w", "b"], ["o"], nodes, [standard, mine])
        for name, nodes in (("Linear", linear), ("Layer", layer))
    ]
    call = node("Layer", ["x", "fc.weight", "fc.bias"], ["y"], domain="mine")
    return model([call], domains=("mine",), functions=tuple(bodies))


def constants() -> onnx.ModelProto:
    """Weights in nodes."""
    held = [
        node("Constant", [], [name], value=numpy_helper.from_array(data))
        for name, data in WEIGHTS.items()
    ]
    return model([*held, *LAYERS], {})


def any_batch() -> onnx.ModelProto:
    made = model()
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    return made


def oldest() -> onnx.ModelProto:
    """Opset 7: Dropout with a ratio in its attributes, weights among the inputs."""
    made = model([*LAYERS[:2], node("Dropout", ["s"], ["d"], ratio=0.5), node("Relu", ["d"], ["y"])], opset=7)  # fmt: skip
    shapes = {name: list(data.shape) for name, data in WEIGHTS.items()}
    made.graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    return made


FORMS: dict[str, Callable[[], onnx.ModelProto]] = {
    "local_functions": functions,
    "weights_in_nodes": constants,
    "any_batch": any_batch,
    "opset_7": oldest,
    "domains_that_no_node_uses": lambda: model(domains=("org.nobody", "com.microsoft.nchwc")),
}


def written(folder: Path) -> Iterator[onnx_suite.Case]:
    """Every form, and data in a folder within the folder, as cases of the suite."""
    for name, make in {**FORMS, "data_in_a_folder": model}.items():
        place = folder / name / "test_data_set_0"
        place.mkdir(parents=True)
        for file, array in (("input_0.pb", X), ("output_0.pb", Y)):
            (place / file).write_bytes(numpy_helper.from_array(array).SerializeToString())
        made = make()
        if name == "data_in_a_folder":
            (place.parent / "weights/deep").mkdir(parents=True)
            for tensor in made.graph.initializer:
                location = f"weights/deep/{tensor.name}"
                (place.parent / location).write_bytes(tensor.raw_data)
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value=location)
        (place.parent / "model.onnx").write_bytes(made.SerializeToString())
        yield onnx_suite.Case(name, "forms", place.parent, 1e-5, 1e-6)


def test_the_numbers_are_the_same_in_every_form(tmp_path: Path) -> None:
    cases = tuple(written(tmp_path))
    outcomes = onnx_suite.run("pytorch", cases, tmp_path / "emitted")
    assert {name: (o.status, o.reason) for name, o in outcomes.items()} == {
        case.name: ("passed", "") for case in cases
    }


def test_every_form_has_the_names_of_parameters_and_a_batch(tmp_path: Path) -> None:
    for case in written(tmp_path):
        graph = read_graph(case.model)
        read = {v.name for n in graph.nodes for v in n.inputs if v is not None and v.trainable}
        assert read == {*WEIGHTS}, case.name
        assert not isinstance(graph.inputs[0].shape[0], int), case.name


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_large_weights_stay_out_of_what_rewrites_a_model(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["converters.graph.load"], "LARGEST_CARRIED", limit)
    onnx.save(functions(), tmp_path / "model.onnx")
    graph = read_graph(tmp_path / "model.onnx")
    held = {v.name: v.const for n in graph.nodes for v in n.inputs if v is not None and v.trainable}
    assert {*held} == {*WEIGHTS}
    for name, data in WEIGHTS.items():
        np.testing.assert_array_equal(held[name], data)

"""The normalised graph: shapes behind shape arithmetic, lifted operators, refused files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from converters.errors import UnsafeInput
from converters.graph import read_graph
from converters.graph.hosts import Expr, Host
from converters.graph.infer import infer


def keys(path: Path) -> Counter[str]:
    return Counter(node.key for node in read_graph(path).nodes)


def test_ranks_survive_shape_arithmetic(make_model: Callable[..., Path]) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "two"], ["head"]),
        helper.make_node("Concat", ["head", "tail"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    numbers = {"zero": [0], "two": [2], "tail": [4, -1]}
    weights = {name: np.array(value, np.int64) for name, value in numbers.items()}
    path = make_model(nodes, {"x": ["N", "T", 8]}, {"y": None}, weights)
    graph = read_graph(path)
    known = infer(graph)
    shape = graph.nodes[-1].inputs[1]
    assert graph.outputs[0].shape[:3] == ("N", "T", 4)
    assert isinstance(known[shape], Host)
    assert [i.symbol if isinstance(i, Expr) else i for i in known[shape].items] == ["N", "T", 4, -1]


def test_float_arithmetic_on_sizes_stays_in_32_bits(make_model: Callable[..., Path]) -> None:
    """floor(10 * float32(0.7)) is 7; 64 bits would make it 6."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "factor"], ["m"]),
        helper.make_node("Floor", ["m"], ["y"]),
    ]
    path = make_model(nodes, {"x": ["N"]}, {"y": [1]}, {"factor": np.array(0.7, np.float32)})
    assert keys(path)["Floor"] == 1, "it must be left to the framework"


@pytest.mark.parametrize("order", [("n", "scale"), ("scale", "n")])
def test_layer_norm_is_lifted(order: tuple[str, str], make_model: Callable[..., Path]) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[-1]),
        helper.make_node("Sub", ["x", "m"], ["d"]),
        helper.make_node("Pow", ["d", "two"], ["p"]),
        helper.make_node("ReduceMean", ["p"], ["v"], axes=[-1]),
        helper.make_node("Add", ["v", "eps"], ["e"]),
        helper.make_node("Sqrt", ["e"], ["r"]),
        helper.make_node("Div", ["d", "r"], ["n"]),
        helper.make_node("Mul", list(order), ["w"]),
        helper.make_node("Add", ["w", "bias"], ["y"]),
    ]
    weights = {
        "two": np.array(2, np.float32),
        "eps": np.array(1e-5, np.float32),
        "scale": np.ones(6, np.float32),
        "bias": np.zeros(6, np.float32),
    }
    path = make_model(nodes, {"x": ["N", 6]}, {"y": ["N", 6]}, weights)
    (node,) = read_graph(path).nodes
    assert node.key == "LayerNormalization"
    assert node.attributes == {"axis": -1, "epsilon": 1e-5}


def test_a_pattern_whose_inner_value_is_used_is_left_alone(
    make_model: Callable[..., Path],
) -> None:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["g"]),
        helper.make_node("Mul", ["x", "g"], ["a"]),
        helper.make_node("Add", ["a", "g"], ["y"]),
    ]
    path = make_model(nodes, {"x": ["N", 6]}, {"y": ["N", 6]})
    assert keys(path) == {"Sigmoid": 1, "Mul": 1, "Add": 1}


def test_a_split_keeps_parts_that_nothing_reads(make_model: Callable[..., Path]) -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b", "c"], axis=1),
        helper.make_node("Sub", ["b", "a"], ["y"]),
    ]
    path = make_model(nodes, {"x": ["N", 6]}, {"y": ["N", 2]}, opset=13)
    split = read_graph(path).nodes[0]
    assert len(split.outputs) == 3, "the size of each part depends on how many there are"


def test_equal_parts_of_older_opsets_have_types(make_model: Callable[..., Path]) -> None:
    """A gated unit as PyTorch exports it, before a layer whose form depends on the rank."""
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1),
        helper.make_node("Sigmoid", ["b"], ["g"]),
        helper.make_node("Mul", ["a", "g"], ["m"]),
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Add", ["m", "one"], ["y"]),
    ]
    graph = read_graph(make_model(nodes, {"x": ["N", 6, "T"]}, {"y": None}, opset=17))
    assert graph.outputs[0].shape == ("N", 3, "T")
    assert graph.outputs[0].dtype == np.float32


def test_types_that_numpy_lacks_are_kept(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.BFLOAT16, [2], [1.5, 2.0])
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [2])],
        [helper.make_tensor_value_info("y", TensorProto.BFLOAT16, [2])],
        [weight],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    found = read_graph(path)
    constant = found.nodes[0].inputs[1].const
    assert found.inputs[0].dtype.name == constant.dtype.name == "bfloat16"
    assert constant.astype(np.float32).tolist() == [1.5, 2.0]


@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN", "FLOAT8E5M2", "BFLOAT16", "INT4"])
@pytest.mark.parametrize("op", ["Cast", "CastLike"])
def test_constants_are_not_folded_into_types_that_numpy_lacks(
    op: str, kind: str, tmp_path: Path
) -> None:
    dtype = getattr(TensorProto, kind)
    narrow = helper.make_node(op, ["c", "like"][: 1 if op == "Cast" else 2], ["q"])
    if op == "Cast":
        narrow.attribute.append(helper.make_attribute("to", dtype))
    graph = helper.make_graph(
        [
            narrow,
            helper.make_node("Cast", ["q"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["x", "wide"], ["y"]),
        ],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [
            helper.make_tensor("c", TensorProto.FLOAT, [2], [1.5, 2.0]),
            helper.make_tensor("like", dtype, [1], [1.0]),
        ],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), path)
    assert keys(path) == Counter([op, "Cast", "Add"])


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "link"])
def test_external_data_stays_in_the_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [tensor],
    )
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(UnsafeInput, match="outside the folder"):
        read_graph(path)


def test_a_value_that_nothing_computes_is_refused(make_model: Callable[..., Path]) -> None:
    path = make_model([helper.make_node("Add", ["x", "ghost"], ["y"])], {"x": [2]}, {"y": [2]})
    with pytest.raises(UnsafeInput, match="ghost"):
        read_graph(path)


@pytest.mark.parametrize(
    ("name", "value", "inputs"), [("val_6", 0, 2), ("val_6", 1, 3), ("stem.bias", 0, 3)]
)
def test_zeros_that_an_exporter_made_up_are_no_bias(
    make_model: Callable[..., Path], name: str, value: float, inputs: int
) -> None:
    weights = {
        "stem.weight": np.ones((4, 3, 1, 1), np.float32),
        name: np.full(4, value, np.float32),
    }
    nodes = [helper.make_node("Conv", ["x", "stem.weight", name], ["y"])]
    path = make_model(nodes, {"x": ["N", 3, 8, 8]}, {"y": None}, weights)
    (conv,) = read_graph(path).nodes
    assert len(conv.inputs) == inputs


def test_a_bias_of_several_convolutions_stays_one_parameter(
    make_model: Callable[..., Path],
) -> None:
    weights = {
        "w": np.ones((4, 4, 1, 1), np.float32),
        "stem.bias": np.arange(4, dtype=np.float32),
        "shape": np.int64([1, 4, 1, 1]),
    }
    nodes = []
    for source, result in [("x", "h"), ("h", "y")]:
        nodes += [
            helper.make_node("Conv", [source, "w"], [f"{result}_conv"]),
            helper.make_node("Reshape", ["stem.bias", "shape"], [f"{result}_bias"]),
            helper.make_node("Add", [f"{result}_conv", f"{result}_bias"], [result]),
        ]
    path = make_model(nodes, {"x": ["N", 4, 8, 8]}, {"y": None}, weights)
    first, second = read_graph(path).nodes
    assert first.inputs[2] is not None
    assert first.inputs[2] is second.inputs[2]
    assert first.inputs[2].name == "stem.bias"


def mask_of_positions(offset: int) -> list[onnx.NodeProto]:
    """What transformers' masks export to: is the key there, and is the position of the query at least `offset`."""
    return [
        helper.make_node("Shape", ["ids"], ["rows"], start=0, end=1),
        helper.make_node("Squeeze", ["rows"], ["n"]),
        helper.make_node("Shape", ["ids"], ["columns"], start=1),
        helper.make_node("Squeeze", ["columns"], ["t"]),
        helper.make_node("Range", ["zero", "n", "one"], ["row"]),
        helper.make_node("Range", ["zero", "t", "one"], ["column"]),
        helper.make_node("Unsqueeze", ["row", "123"], ["row4"]),
        helper.make_node("Unsqueeze", ["column", "013"], ["query4"]),
        helper.make_node("Unsqueeze", ["column", "012"], ["key4"]),
        helper.make_node("Max", ["row4", "key4"], ["both"]),
        helper.make_node("Shape", ["both"], ["shape"]),
        helper.make_node("Expand", ["row4", "shape"], ["rows4"]),
        helper.make_node("Expand", ["key4", "shape"], ["keys4"]),
        helper.make_node("Unsqueeze", ["rows4", "last"], ["rows5"]),
        helper.make_node("Unsqueeze", ["keys4", "last"], ["keys5"]),
        helper.make_node("Concat", ["rows5", "keys5"], ["places"], axis=-1),
        helper.make_node("GatherND", ["there", "places"], ["mask"]),
        helper.make_node("GreaterOrEqual", ["query4", f"offset{offset}"], ["always"]),
        helper.make_node("And", ["always", "mask"], ["seen"]),
        helper.make_node("Where", ["seen", "nothing", "far"], ["bias"]),
        helper.make_node("Add", ["scores", "bias"], ["y"]),
    ]


POSITIONS = {
    "zero": np.int64(0), "one": np.int64(1), "123": np.int64([1, 2, 3]), "013": np.int64([0, 1, 3]),
    "012": np.int64([0, 1, 2]), "last": np.int64([-1]), "offset0": np.int64(0), "offset1": np.int64(1),
    "nothing": np.float32(0), "far": np.float32(-1e9),
}  # fmt: skip


def test_masks_of_positions_become_the_mask_itself(make_model: Callable[..., Path]) -> None:
    weights = {name: np.asarray(value) for name, value in POSITIONS.items()}
    inputs = {"scores": ["N", 2, "T", "T"], "there": ["N", "T"], "ids": ["N", "T"]}
    types = {"there": TensorProto.BOOL, "ids": TensorProto.INT64}
    path = make_model(mask_of_positions(0), inputs, {"y": None}, weights, types=types)
    assert keys(path) == Counter({"Unsqueeze": 1, "Where": 1, "Add": 1})
    # Where it is not true of every position, the question stays; the lookup goes all the same.
    path = make_model(mask_of_positions(1), inputs, {"y": None}, weights, types=types)
    assert keys(path)["GatherND"] == 0
    assert keys(path)["And"] == 1


def test_a_slice_that_may_be_shorter_keeps_no_name_for_itself(
    make_model: Callable[..., Path],
) -> None:
    """x + table[:t] has t rows, or there is an error; the slice alone may have fewer."""
    nodes = [
        helper.make_node("Shape", ["x"], ["t"], start=1, end=2),
        helper.make_node("Slice", ["table", "start", "t", "axis"], ["part"]),
        helper.make_node("Add", ["x", "part"], ["y"]),
    ]
    weights = {
        "table": np.zeros((1, 9, 4), np.float32),
        "start": np.int64([0]),
        "axis": np.int64([1]),
    }
    path = make_model(nodes, {"x": ["N", "T", 4]}, {"y": None, "part": None}, weights)
    y, part = read_graph(path).outputs
    assert y.shape == ("N", "T", 4)
    assert part.shape is not None
    assert part.shape[1] not in ("T", 9)


def test_parts_without_elements_are_no_parts(make_model: Callable[..., Path]) -> None:
    # ONNX Runtime takes them at any size of the other dimensions.
    nodes = [helper.make_node("Concat", ["none", "x", "none"], ["y"], axis=1)]
    path = make_model(
        nodes, {"x": ["N", 3]}, {"y": ["N", 3]}, {"none": np.zeros((2, 0), np.float32)}, opset=17
    )
    graph = read_graph(path)
    assert not graph.nodes
    assert graph.outputs == graph.inputs

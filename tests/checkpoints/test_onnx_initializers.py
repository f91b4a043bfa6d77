"""Initialisers of ONNX models against the package onnx."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.checkpoints import open_checkpoint, write_onnx_initializers
from converters.dtypes import ELEMENT_TYPES
from converters.graph.load import to_array

KINDS = [kind for kind in ELEMENT_TYPES if kind.onnx is not None]
VALUES = [0, 1, 1, 0, 1, 1, 0]


def save(path, tensors, **options):
    graph = helper.make_graph([], "g", [], [], tensors)
    onnx.save(helper.make_model(graph), path, **options)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("form", ["typed", "raw", "external"])
def test_every_type_in_every_form(kind, form, tmp_path):
    if form == "typed" or kind.bits == 4:
        tensor = helper.make_tensor("t", kind.onnx, [7], VALUES)
    else:
        raw = np.array(VALUES).astype(kind.numpy).tobytes()
        tensor = helper.make_tensor("t", kind.onnx, [7], raw, raw=True)
    options = {"save_as_external_data": True, "size_threshold": 0, "location": "d"}
    save(tmp_path / "x.onnx", [tensor], **(options if form == "external" else {}))
    read = open_checkpoint(tmp_path / "x.onnx").tensors["t"]
    assert read.kind == kind
    np.testing.assert_array_equal(read.array().astype("c16"), np.array(VALUES, "c16"))


@pytest.mark.parametrize("inline", [1 << 30, 0])
def test_what_we_write_is_a_model_for_onnx(inline, tmp_path):
    arrays = {kind.name: np.array(VALUES).astype(kind.numpy) for kind in KINDS}
    arrays |= {
        "turned": np.arange(6.0).reshape(2, 3).T,
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 2)),
    }
    path = tmp_path / "x.onnx"
    write_onnx_initializers(path, arrays, {"note": "ä"}, inline_bytes=inline)
    assert (tmp_path / "x.onnx.data").exists() == (inline == 0)
    onnx.checker.check_model(str(path))
    model = onnx.load(path)
    assert model.metadata_props[0].value == "ä"
    for tensor in model.graph.initializer:
        array = arrays[tensor.name]
        assert tuple(tensor.dims) == array.shape
        np.testing.assert_array_equal(to_array(tensor).astype("c16"), array.astype("c16"))
    opened = open_checkpoint(path)
    assert {name: tensor.shape for name, tensor in opened.tensors.items()} == {
        name: array.shape for name, array in arrays.items()
    }


def test_tied_tensors_share_their_bytes_in_external_data(tmp_path, ask):
    ask(
        "import sys, torch\nw = torch.ones(64, 64)\n"
        "torch.save({'a': w, 'b': w, 'c': w.clone()}, sys.argv[1])\nanswer = 0",
        tmp_path / "x.pt",
    )
    tensors = open_checkpoint(tmp_path / "x.pt").tensors
    write_onnx_initializers(tmp_path / "x.onnx", tensors, inline_bytes=0)
    assert (tmp_path / "x.onnx.data").stat().st_size == 2 * 64 * 64 * 4
    assert all(
        (numpy_helper.to_array(t) == 1).all()
        for t in onnx.load(tmp_path / "x.onnx").graph.initializer
    )


def test_weights_of_a_model_with_nodes(tmp_path):
    weight = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [value], [out], [weight]
    )
    onnx.save(helper.make_model(graph), tmp_path / "x.onnx")
    opened = open_checkpoint(tmp_path / "x.onnx")
    assert list(opened.tensors) == ["w"]
    assert opened.findings == ("1 nodes, which a checkpoint does not keep",)

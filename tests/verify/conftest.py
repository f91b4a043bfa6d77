"""Artifact directories by hand: a small network `y = relu(x w + b)`, `z = argmax(y)`, per framework."""

import json
import textwrap

import numpy as np
import pytest

WEIGHTS = """
import numpy as np
W = np.random.default_rng(7).standard_normal((5, 4)).astype(np.float32)
B = np.linspace(-1, 1, 4, dtype=np.float32)
"""

SCRIPTS = {
    "pytorch": """
        import torch
        def load(device="auto"):
            layer = torch.nn.Linear(5, 4)
            layer.load_state_dict({"weight": torch.from_numpy(W.T), "bias": torch.from_numpy(B)})
            return layer.eval()
        def run(model, inputs):
            with torch.inference_mode():
                y = torch.relu(model(torch.from_numpy(inputs["x"])))
            return {"y": y.numpy(), "z": y.argmax(-1).numpy()}
    """,
    "paddle": """
        import paddle
        def load(device="auto"):
            layer = paddle.nn.Linear(5, 4)
            layer.set_state_dict({"weight": W, "bias": B})
            return layer
        def run(model, inputs):
            y = paddle.nn.functional.relu(model(paddle.to_tensor(inputs["x"])))
            return {"y": y.numpy(), "z": paddle.argmax(y, -1).numpy()}
    """,
    "mindspore": """
        import mindspore
        from mindspore import nn, ops
        def load(device="auto"):
            return nn.Dense(5, 4, mindspore.Tensor(W.T.copy()), mindspore.Tensor(B))
        def run(model, inputs):
            y = ops.relu(model(mindspore.Tensor(inputs["x"])))
            z = ops.argmax(y, -1).astype(mindspore.int64)
            return {"y": y.asnumpy(), "z": z.asnumpy()}
    """,
    "onnx": """
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
        def load(device="auto"):
            nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]),
                     helper.make_node("Add", ["m", "b"], ["a"]),
                     helper.make_node("Relu", ["a"], ["y"]),
                     helper.make_node("ArgMax", ["y"], ["z"], axis=-1, keepdims=0)]
            info = helper.make_tensor_value_info
            graph = helper.make_graph(
                nodes, "g", [info("x", TensorProto.FLOAT, None)],
                [info("y", TensorProto.FLOAT, None), info("z", TensorProto.INT64, None)],
                [numpy_helper.from_array(W, "w"), numpy_helper.from_array(B, "b")])
            model = helper.make_model(graph, ir_version=8,
                                      opset_imports=[helper.make_opsetid("", 17)])
            return onnxruntime.InferenceSession(model.SerializeToString())
        def run(model, inputs):
            return dict(zip("yz", model.run(["y", "z"], {"x": inputs["x"]})))
    """,
}

SIGNATURE = {
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["N", "T", 5]}],
    "outputs": [
        {"name": "y", "dtype": "float32", "shape": ["N", "T", 4]},
        {"name": "z", "dtype": "int64", "shape": ["N", "T"]},
    ],
}


@pytest.fixture
def write_artifact(tmp_path):
    """Write a folder with infer.py and manifest.json."""

    def write(name, script, framework="onnx", signature=SIGNATURE, precision="fp32"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "infer.py").write_text(script)
        manifest = {"schema": 1, "framework": framework, "precision": precision}
        (folder / "manifest.json").write_text(json.dumps({**manifest, "signature": signature}))
        return folder

    return write


@pytest.fixture
def network(write_artifact):
    """The small network in a framework; `change` is a pair of texts to swap in its source."""

    def make(framework, change=("", ""), name=None):
        text = WEIGHTS + textwrap.dedent(SCRIPTS[framework])
        assert change[0] in text
        return write_artifact(name or framework, text.replace(*change), framework)

    return make


@pytest.fixture
def plain(write_artifact):
    """An artifact in numpy alone, from the body of `run(model, inputs)`; served by the lightest process."""

    def make(body, name="plain", signature=SIGNATURE, **options):
        text = "import numpy as np, os, sys, time, ctypes\ndef load(device):\n    pass\n"
        text += "def run(model, inputs):\n    x = next(iter(inputs.values()), None)\n"
        text += textwrap.indent(textwrap.dedent(body).strip(), "    ")
        return write_artifact(name, text, signature=signature, **options)

    return make


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)

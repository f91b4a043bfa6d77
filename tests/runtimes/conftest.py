"""Artifact directories by hand: only infer.py, no weights; `y = 2 x`."""

import textwrap

import pytest

SCRIPTS = {
    "pytorch": """
        import torch
        def load(device="auto"):
            return torch.nn.Identity()
        def run(model, inputs):
            return {"y": (model(torch.from_numpy(inputs["x"])) * 2).numpy()}
    """,
    "paddle": """
        import paddle
        def load(device="auto"):
            return paddle.nn.Identity()
        def run(model, inputs):
            return {"y": (model(paddle.to_tensor(inputs["x"])) * 2).numpy()}
    """,
    "mindspore": """
        import mindspore
        def load(device="auto"):
            return mindspore.nn.Identity()
        def run(model, inputs):
            return {"y": (model(mindspore.Tensor(inputs["x"])) * 2).asnumpy()}
    """,
    "onnx": """
        import onnx, onnxruntime
        from onnx import TensorProto, helper
        def load(device="auto"):
            x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy")
            node = helper.make_node("Add", ["x", "x"], ["y"])
            model = helper.make_model(helper.make_graph([node], "g", [x], [y]), ir_version=8,
                                      opset_imports=[helper.make_opsetid("", 17)])
            return onnxruntime.InferenceSession(model.SerializeToString())
        def run(model, inputs):
            return {"y": model.run(["y"], {"x": inputs["x"]})[0]}
    """,
}


@pytest.fixture(scope="session")
def scripts():
    return {name: textwrap.dedent(text) for name, text in SCRIPTS.items()}


@pytest.fixture
def artifact(tmp_path):
    """Make an artifact directory from the source of `run(model, inputs)` and perhaps `load`."""

    def make(run, load="return None", name="artifact"):
        folder = tmp_path / name
        folder.mkdir()
        text = "import os, sys, time, ctypes, signal, threading\nimport numpy as np\n"
        for head, body in (("load(device='auto')", load), ("run(model, inputs)", run)):
            text += f"def {head}:\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
        (folder / "infer.py").write_text(text)
        return folder

    return make

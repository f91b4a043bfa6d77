"""Run the model in this folder with PaddlePaddle and numpy alone.

python infer.py --inputs in.npz --outputs out.npz [--device auto|cpu|cuda|ascend|mlu|musa|xpu]

The .npz files hold one array for each input and output, under its name. bfloat16 has no numpy type:
such arrays are float32 outside, which holds them exactly.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import paddle

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}

# What the device is called in PaddlePaddle; PaddlePaddle has no backend for musa.
DEVICES = {"cpu": "cpu", "cuda": "gpu", "ascend": "npu", "mlu": "mlu", "musa": None, "xpu": "xpu"}
# Element types that have no numpy type.
WITHOUT_NUMPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def load(device: str = "auto") -> paddle.nn.Layer:
    """The model with its weights, on a device, in inference mode."""
    set_device(device)
    model = import_model()()
    set_weights(model, HERE / "model.pdparams")
    name_weights(model)
    model.eval()
    return model


def run(model: paddle.nn.Layer, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    missing = [name for name in INPUTS if name not in inputs]
    if missing:
        raise ValueError(f"missing inputs {missing}; expected {list(INPUTS)}")
    arguments = [to_tensor(inputs[name], dtype) for name, dtype in INPUTS.items()]
    with paddle.no_grad():
        results = model(*arguments)
    results = results if isinstance(results, tuple) else (results,)
    return {name: to_array(result) for name, result in zip(OUTPUTS, results, strict=True)}


def import_model() -> type[paddle.nn.Layer]:
    """The class `Model` of the model.py beside this file, whatever the working directory."""
    spec = importlib.util.spec_from_file_location("model", HERE / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    return module.Model


def set_device(name: str) -> None:
    """Compute on the device of that name of ours; `auto` is CUDA where there is one."""
    if name == "auto":
        has_cuda = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
        name = "cuda" if has_cuda else "cpu"
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}; expected auto, {', '.join(DEVICES)}")
    device = DEVICES[name]
    if device is None:
        raise ValueError(f"PaddlePaddle does not run on {name}; choose another device")
    paddle.set_device(device)


def set_weights(model: paddle.nn.Layer, path: Path) -> None:
    """Set every parameter and buffer from a file; what does not fit is an error, not a warning."""
    state, own = paddle.load(str(path)), model.state_dict()
    # A recurrent layer lists its weights twice: as its own and as those of its cells.
    stored = {id(tensor): state[name] for name, tensor in own.items() if name in state}
    for name, tensor in own.items():
        if name not in state and id(tensor) in stored:
            state[name] = stored[id(tensor)]
        if name in state and list(state[name].shape) != list(tensor.shape):
            raise ValueError(
                f"{name}: shape {state[name].shape} in {path.name}, not {tensor.shape}"
            )
        # Weights that are stored in half precision fit the layer's own one without loss.
        if name in state and state[name].dtype in (paddle.float16, paddle.bfloat16):
            state[name] = state[name].cast(tensor.dtype)
        if name in state and state[name].dtype != tensor.dtype:
            raise ValueError(f"{name}: {state[name].dtype} in {path.name}, not {tensor.dtype}")
    missing, unexpected = model.set_state_dict(state)
    if missing or unexpected:
        raise ValueError(f"{path.name}: missing {missing}, unexpected {unexpected}")


def name_weights(model: paddle.nn.Layer) -> None:
    """Call weights as the model does, so that programs saved from it do not say linear_0.w_0."""
    # A recurrent layer lists its weights twice; the first name is its own.
    for name, tensor in reversed(model.state_dict().items()):
        tensor.name = name


def to_tensor(array: np.ndarray, dtype: str) -> paddle.Tensor:
    """An array as a tensor of the type that the model expects."""
    if dtype in WITHOUT_NUMPY:
        return paddle.to_tensor(np.asarray(array, np.float32)).cast(dtype)
    return paddle.to_tensor(np.asarray(array).astype(dtype))


def to_array(tensor: paddle.Tensor) -> np.ndarray:
    """A tensor as an array; types that numpy lacks become float32."""
    if str(tensor.dtype).removeprefix("paddle.") in WITHOUT_NUMPY:
        tensor = tensor.cast("float32")
    return tensor.numpy()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run the model in this folder.")
    parser.add_argument("--inputs", required=True, help="an .npz file with an array for each input")
    parser.add_argument("--outputs", required=True, help="the .npz file to write")
    parser.add_argument("--device", default="auto", choices=["auto", *DEVICES])
    args = parser.parse_args()
    try:
        with np.load(args.inputs) as inputs:
            results = run(load(args.device), dict(inputs))
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"infer.py: {error}")
    np.savez(args.outputs, **results)


if __name__ == "__main__":
    main()

"""Run the program in this folder with PaddlePaddle's own inference engine.

A module with the two functions of an infer.py; the program is `program.pdmodel` or `program.json` beside
`program.pdiparams`, or a folder `program` with `__model__` and a file for each parameter.

Sequences of different lengths come and go padded, [N, T, ...], with their lengths in an input of their own; Paddle
gets their rows, one sequence after the other, and where each begins.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from paddle import inference

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}
# Padded inputs and outputs -> the input with their lengths.
SEQUENCES: dict[str, str] = {}


def load(device: str = "auto") -> inference.Predictor:
    """A predictor of the program, as it was saved: nothing fused or reordered."""
    programs = [HERE / f"program{suffix}" for suffix in (".json", ".pdmodel")]
    found = next((path for path in programs if path.exists()), None)
    parameters = HERE / "program.pdiparams"
    if found is None:
        config = inference.Config(str((HERE / "program").resolve()))
    elif parameters.exists():
        config = inference.Config(str(found), str(parameters))
    else:
        config = inference.Config(str(found), "")
    config.disable_glog_info()
    config.disable_gpu()
    config.switch_ir_optim(False)
    # Its kernels read less of an operator: the factors of a resize, for one, are refused.
    config.disable_mkldnn()
    return inference.create_predictor(config)


def run(model: inference.Predictor, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    # An input that nothing reads is none of the predictor's.
    for name in model.get_input_names():
        array = np.ascontiguousarray(np.asarray(inputs[name]).astype(INPUTS[name]))
        handle = model.get_input_handle(name)
        if name in SEQUENCES:
            lengths = _lengths(inputs, name)
            array = np.concatenate([x[:n] for x, n in zip(array, lengths, strict=True)])
            handle.set_lod([[0, *np.cumsum(lengths).tolist()]])
        handle.reshape(array.shape)
        handle.copy_from_cpu(array)
    model.run()
    names = model.get_output_names()
    results = [model.get_output_handle(name).copy_to_cpu() for name in names]
    outputs = dict(zip(OUTPUTS, results, strict=True))
    for name in SEQUENCES.keys() & outputs.keys():
        padded = next(
            key for key in SEQUENCES if key in inputs and SEQUENCES[key] == SEQUENCES[name]
        )
        outputs[name] = _padded(outputs[name], _lengths(inputs, name), inputs[padded].shape[1])
    return outputs


def _lengths(inputs: dict[str, np.ndarray], name: str) -> list[int]:
    """Lengths of sequences, which must be there."""
    steps = max(inputs[key].shape[1] for key in SEQUENCES if key in inputs)
    lengths: list[int] = np.asarray(inputs[SEQUENCES[name]]).tolist()
    if not all(1 <= length <= steps for length in lengths):
        raise ValueError(f"{SEQUENCES[name]}: lengths from 1 to {steps} are needed, not {lengths}")
    return lengths


def _padded(rows: np.ndarray, lengths: list[int], steps: int) -> np.ndarray:
    """Rows of sequences, [N, T, ...], with zeros behind them."""
    padded = np.zeros((len(lengths), steps, *rows.shape[1:]), rows.dtype)
    for place, part in enumerate(np.split(rows, np.cumsum(lengths)[:-1])):
        padded[place, : len(part)] = part
    return padded

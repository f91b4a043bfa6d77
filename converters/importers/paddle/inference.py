"""Run the program in this folder with PaddlePaddle's own inference engine.

A module with the two functions of an infer.py; the program is `program.pdmodel` or `program.json` beside
`program.pdiparams`, or a folder `program` with `__model__` and a file for each parameter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from paddle import inference

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}


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
    return inference.create_predictor(config)


def run(model: inference.Predictor, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    # An input that nothing reads is none of the predictor's.
    for name in model.get_input_names():
        array = np.ascontiguousarray(np.asarray(inputs[name]).astype(INPUTS[name]))
        handle = model.get_input_handle(name)
        handle.reshape(array.shape)
        handle.copy_from_cpu(array)
    model.run()
    names = model.get_output_names()
    results = [model.get_output_handle(name).copy_to_cpu() for name in names]
    return dict(zip(OUTPUTS, results, strict=True))

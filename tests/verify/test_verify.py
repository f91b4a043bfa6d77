"""Artifacts against each other, each in its framework's own process."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from converters.errors import MissingRuntime, RuntimeFailed, UnsafeInput, UsageError
from converters.runtimes import Limits
from converters.verify import Case, Report, TensorSpec, Tolerance, generate_cases, verify

LIMITS = Limits(seconds=2, memory_bytes=500 << 20)
IN_X = [{"name": "x", "dtype": "float32", "shape": ["N", "T"]}]
OUT_Y = [{"name": "y", "dtype": "float32", "shape": ["N", "T"]}]
XY = {"inputs": IN_X, "outputs": OUT_Y}
GOOD = "return {'y': np.tanh(x)}"


@pytest.mark.parametrize("framework", ["pytorch", "paddle", "mindspore"])
def test_frameworks_agree(network, framework):
    report = verify(network("onnx"), network(framework), limits=Limits(memory_bytes=4 << 30))
    assert report.passed, report.failures()
    assert report.failures() == []
    assert report.warnings == ()
    assert (report.reference, report.candidate) == ("onnx", framework)
    shapes = [case.inputs["x"] for case in report.cases]
    assert len({s[0] for s in shapes}) == len({s[1] for s in shapes}) == 2
    for case in report.cases:
        y, z = case.outputs
        assert (y.name, y.dtype, z.name, z.dtype) == ("y", "float32", "z", "int64")
        assert y.shape == (*case.inputs["x"][:2], 4)
        assert 0 <= y.max_abs < 1e-5
        assert y.cosine == pytest.approx(1)
        assert z.max_abs == 0
    assert {"onnxruntime", "numpy", "python"} < set(report.versions)
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_a_wrong_weight_is_seen(network):
    wrong = network("pytorch", change=("(-1, 1, 4,", "(-1, 1.01, 4,"))
    report = verify(network("onnx"), wrong, limits=Limits())
    assert not report.passed
    assert 0.009 < report.max_abs < 0.011
    assert "y: " in report.failures()[0]
    assert "elements are off, worst at [" in report.failures()[0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return {'y': np.tanh(x) * 1.01}", "elements are off"),
        ("return {'y': np.tanh(x).astype(np.float64)}", "element type float64, not float32"),
        ("return {'y': np.tanh(x)[None]}", "shape [1, "),
        ("return {'other': np.tanh(x)}", "y: missing"),
        ("return {}", "y: missing"),
        ("y = np.tanh(x); y[0, 0] = np.nan; return {'y': y}", "nan instead of"),
        ("raise ValueError('no width of', x.shape[1])", "ValueError: ('no width of'"),
        ("time.sleep(60)", "longer than the limit of 2 s"),
        ("k = [np.ones(1 << 27) for _ in range(9)]; time.sleep(9)", "MiB of memory"),
        ("ctypes.string_at(0)", "ended by SIGSEGV"),
        ("print('x' * (30 << 20)); return {'y': np.tanh(x) + 1}", "elements are off"),
    ],
)
def test_a_wrong_candidate_never_passes(plain, body, says):
    # Only one of them is stopped by the clock, however busy the machine is.
    limits = LIMITS if says.startswith("longer") else replace(LIMITS, seconds=60)
    report = verify(plain(GOOD, "good", XY), plain(body, "wrong", XY), limits=limits)
    assert not report.passed
    assert len(report.cases) == 2
    assert says in report.failures()[0]
    assert Report.from_json(report.to_json()) == report


def test_output_on_stdout_does_no_harm(plain):
    noisy = plain("print('x' * (30 << 20)); " + GOOD, "noisy", XY)
    assert verify(plain(GOOD, "good", XY), noisy, limits=LIMITS).passed


def test_an_error_in_small_values_is_seen_though_it_is_below_atol(plain):
    """A flat answer to a softmax over many classes is everywhere within 1e-4 of the right one."""
    right = (
        "e = np.exp(x * 0.5); e = np.repeat(e, 4000, 1); return {'y': e / e.sum(1, keepdims=True)}"
    )
    wrong = "e = np.repeat(x * 0 + 1, 4000, 1); return {'y': e / e.sum(1, keepdims=True)}"
    report = verify(plain(right, "right", XY), plain(wrong, "wrong", XY), limits=LIMITS)
    assert not report.passed
    assert "cosine" in report.failures()[0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return {'y': np.zeros(x.shape, x.dtype)}", "inputs have no effect"),
        ("return {'y': np.arange(3, dtype='f4')}", "inputs have no effect"),
        (
            "return {'y': np.full(x.shape, np.nan, x.dtype)}",
            "y: the reference's output is never finite",
        ),
        ("return {'y': x[:, :0]}", "y: the reference's output is empty in every case"),
        ("return {}", "y: the reference does not give this output"),
    ],
)
def test_a_comparison_that_could_not_fail_is_no_evidence(plain, body, says):
    report = verify(plain(body, "one", XY), plain(body, "two", XY), limits=LIMITS)
    assert not report.passed
    assert any(says in line for line in report.failures())


def test_weak_evidence_is_told(plain):
    shapes = "return {'y': np.array(x.shape)}"
    report = verify(plain(shapes, "one", XY), plain(shapes, "two", XY), limits=LIMITS)
    assert report.passed
    assert report.warnings == ("the reference's outputs depend on the shapes of inputs only",)
    two = "return {'y': x, 'flat': np.ones(3)}"
    extra = "return {'y': x, 'flat': np.ones(3), 'more': x}"
    report = verify(plain(two, "three", XY), plain(extra, "four", XY), limits=LIMITS)
    assert report.passed
    assert report.warnings == (
        "flat: the reference's output is one value throughout",
        "more: an output that the reference does not have",
    )


def test_a_report_says_the_widest_tolerance_that_was_applied(plain):
    report = verify(plain(GOOD, "one", XY), plain(GOOD, "two", XY), limits=LIMITS)
    assert report.widest == pytest.approx(1.01e-4, rel=1e-2)
    pixels = "return {'y': 500 * np.tanh(x)}"
    report = verify(plain(pixels, "three", XY), plain(pixels, "four", XY), limits=LIMITS)
    assert report.atol == pytest.approx(1e-4)
    assert 2e-4 < report.widest < 6.1e-4


def test_an_output_that_is_nothing_but_small_is_told(plain):
    faint = "return {'y': x, 'faint': 1e-9 * x}"
    alike = verify(plain(faint, "one", XY), plain(faint, "two", XY), limits=LIMITS)
    assert (alike.passed, alike.warnings) == (True, ())
    other = "return {'y': x, 'faint': 1e-9 * x[::-1, ::-1] ** 2}"
    report = verify(plain(faint, "three", XY), plain(other, "four", XY), limits=LIMITS)
    (warning,) = report.warnings
    assert re.fullmatch(
        r"faint: the reference's output is \de-09 at most, and nothing but that was compared",
        warning,
    )


def test_other_sizes_are_tried_where_the_reference_refuses(plain):
    body = """
        if x.shape[1] % 32:
            raise ValueError('a multiple of 32, please')
        return {'y': np.tanh(x)}
    """
    report = verify(plain(body, "one", XY), plain(GOOD, "two", XY), limits=LIMITS)
    assert report.passed
    assert report.warnings == ("dimension T was compared at one size only, 32",)
    assert [case.inputs["x"] for case in report.cases] == [(1, 32), (3, 32)]


def test_a_size_that_must_not_change_is_kept_and_told(plain):
    body = """
        if x.shape[1] != 16:
            raise ValueError('sixteen, please')
        return {'y': np.tanh(x)}
    """
    report = verify(plain(body, "one", XY), plain(GOOD, "two", XY), limits=LIMITS)
    assert report.passed
    assert [case.inputs["x"] for case in report.cases] == [(1, 16), (3, 16)]
    assert report.warnings == ("dimension T was compared at one size only, 16",)


def test_smaller_integers_are_tried_where_the_reference_refuses(plain):
    body = "return {'y': np.eye(5, dtype=np.float32)[x]}"
    ids = {"inputs": [{"name": "ids", "dtype": "int64", "shape": ["N", "T"]}], "outputs": OUT_Y}
    report = verify(plain(body, "one", ids), plain(body, "two", ids), limits=LIMITS)
    assert report.passed, report.failures()


def test_other_values_are_drawn_where_the_reference_gives_no_numbers(plain):
    """A row that begins with padding is masked whole: ONNX Runtime gives NaN for it, others the mean of everything."""
    ids = {"inputs": [{"name": "ids", "dtype": "int64", "shape": ["N", "T"]}], "outputs": OUT_Y}
    body = "y = x.astype('f4'); y[x[:, 0] < 45] = {}; return {{'y': y}}"
    one, two = plain(body.format("np.nan"), "one", ids), plain(body.format("y.mean()"), "two", ids)
    report = verify(one, two, limits=LIMITS)
    assert report.passed, report.failures()
    assert [case.seed for case in report.cases] != [0, 1]
    lowest, highest = report.cases[1].ranges["ids"]
    assert 0 <= lowest < highest < 100
    always = "y = x.astype('f4'); y[:, 0] = {}; return {{'y': y}}"
    three, four = (plain(always.format(n), f"always {n}", ids) for n in ("np.nan", "0"))
    report = verify(three, four, limits=LIMITS)
    assert not report.passed
    assert [case.seed for case in report.cases] == [0, 1]
    assert "0.0 instead of nan at [0, 0]" in report.failures()[0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "raise ValueError('never')",
            "the reference failed: ONNX Runtime, running the model: Value",
        ),
        (
            "ctypes.string_at(0)",
            "the reference failed: ONNX Runtime, running the model: its process",
        ),
    ],
)
def test_a_reference_that_refuses_everything_is_reported(plain, body, says):
    report = verify(plain(body, "one", XY), plain(GOOD, "two", XY), limits=LIMITS)
    assert not report.passed
    assert [line.partition(": ")[2].startswith(says) for line in report.failures()[:1]] == [True]


def test_given_inputs(plain, x):
    cases = [Case({"x": x[0]}), Case({"x": x[1]})]
    report = verify(plain(GOOD, "one", XY), plain(GOOD, "two", XY), cases, LIMITS)
    assert report.passed
    assert report.warnings == ()
    assert report.cases[0].seed is None
    single = verify(plain(GOOD, "three", XY), plain(GOOD, "four", XY), cases[:1], LIMITS)
    assert single.passed
    assert "give more inputs" in single.warnings[0]
    none = verify(plain(GOOD, "five", XY), plain(GOOD, "six", XY), [], LIMITS)
    assert not none.passed


def test_the_coarser_precision_decides(plain):
    noisy = "return {'y': np.tanh(x) * np.float32(1.005)}"
    good = plain(GOOD, "one", XY)
    assert not verify(good, plain(noisy, "fp32", XY), limits=LIMITS).passed
    half = verify(good, plain(noisy, "fp16", XY, precision="fp16"), limits=LIMITS)
    assert half.passed
    assert half.rtol == 1e-2
    strict = Tolerance(rtol=0, atol=0, cosine=1, noise=0)
    assert not verify(good, plain(noisy, "again", XY), limits=LIMITS, limit=strict).passed
    with pytest.raises(UsageError, match="no tolerance for precision int3"):
        verify(good, plain(GOOD, "int3", XY, precision="int3"), limits=LIMITS)


def test_what_cannot_be_started_is_an_error(plain, tmp_path, monkeypatch):
    good = plain(GOOD, "good", XY)
    with pytest.raises(UsageError, match="not an artifact directory"):
        verify(good, tmp_path / "nowhere")
    broken = plain(GOOD, "broken", XY)
    (broken / "infer.py").write_text("def load(device):\n    raise OSError('weights?')\n")
    with pytest.raises(RuntimeFailed, match=r"loading .*broken: OSError: weights\?"):
        verify(good, broken, limits=LIMITS)
    (broken / "manifest.json").write_text('{"framework": 3}')
    with pytest.raises(UnsafeInput, match=r"manifest.json: framework: .*string"):
        verify(good, broken)
    (broken / "manifest.json").write_text("{")
    with pytest.raises(UnsafeInput, match=r"manifest.json: file: Invalid JSON"):
        verify(good, broken)
    (broken / "manifest.json").write_text('{"framework": "jax"}')
    with pytest.raises(UsageError, match="unknown framework 'jax'"):
        verify(good, broken)
    monkeypatch.setenv("POLYZOO_PYTHON_ONNX", "/nowhere")
    with pytest.raises(MissingRuntime):
        verify(good, good)


def test_hints_for_sizes_reach_the_model(plain):
    body = "assert x.shape[1] in (320, 191), x.shape; return {'y': np.tanh(x)}"
    cases = generate_cases([TensorSpec("x", "float32", ("N", "W"))], sizes={"W": (320, 191)})
    report = verify(plain(body, "one", XY), plain(GOOD, "two", XY), cases, LIMITS)
    assert report.passed
    assert [case.inputs["x"] for case in report.cases] == [(1, 320), (3, 191)]
    assert np.array_equal(cases[0].inputs["x"], cases[0].made_again().inputs["x"])

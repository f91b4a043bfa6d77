import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from converters.verify import TOLERANCES, Report, compare

FP32 = TOLERANCES["fp32"]
A = np.array([[1.0, -2.0], [0.0, 100.0]], np.float32)


def test_figures():
    b = A + np.array([[0, 0], [5e-5, 0.05]], np.float32)
    found = compare("y", A, b, FP32)
    assert found.passed
    assert found.max_abs == pytest.approx(0.05, rel=1e-3)
    assert found.max_rel == pytest.approx(5e-4, rel=1e-3)
    assert found.cosine == pytest.approx(1)
    assert (found.rtol, found.atol, found.shape) == (1e-3, pytest.approx(2e-4), (2, 2))


def test_the_worst_element_is_the_one_furthest_beyond_its_tolerance():
    found = compare("y", A, A + np.array([[0.004, 0], [0, 0.2]], np.float32), FP32)
    assert not found.passed
    assert found.worst == (1, 1)
    assert found.reason.startswith("2 of 4 elements are off, worst at [1, 1]: 100.")
    small = compare("y", A, A + np.array([[0.004, 0], [0, 0.05]], np.float32), FP32)
    assert small.worst == (0, 0)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_nan_and_infinities_must_stand_at_the_same_places(strange):
    a = A.copy()
    a[1, 0] = strange
    assert compare("y", a, a.copy(), FP32).passed
    assert compare("y", a, a.copy(), FP32).max_abs == 0
    for b in (A, np.where(np.isnan(a), np.inf, -a), np.full_like(a, np.nan)):
        found = compare("y", a, b.astype(np.float32), FP32)
        assert not found.passed
        assert "instead of" in found.reason
    assert not compare("y", A, a, FP32).passed


def test_nothing_finite_leaves_figures_out():
    nan = np.full((2,), np.nan, np.float32)
    found = compare("y", nan, nan, FP32)
    assert found.passed
    assert (found.max_abs, found.max_rel, found.cosine) == (None, None, None)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, np.uint64])
def test_integers_and_booleans_are_exact(dtype):
    a = np.array([1, 0, 1], dtype)
    assert compare("y", a, a.copy(), FP32).passed
    b = a.copy()
    b[2] = 0
    found = compare("y", a, b, FP32)
    assert not found.passed
    assert found.worst == (2,)
    assert found.max_abs == 1
    large = np.array([2**60], np.int64)
    assert not compare("y", large, large + 1, FP32).passed


def test_shapes_types_and_absence():
    assert "shape" in compare("y", A, A[:1], FP32).reason
    assert "shape" in compare("y", A, A.reshape(4), FP32).reason
    assert "element type" in compare("y", A, A.astype(np.float64), FP32).reason
    assert compare("y", A, None, FP32).reason == "missing"
    assert compare("y", A[:0], A[:0], FP32).passed


def test_bfloat16_may_be_carried_as_float32():
    limit = TOLERANCES["bf16"]
    assert compare("y", A.astype(ml_dtypes.bfloat16), A, limit).passed
    assert compare("y", A.astype(ml_dtypes.bfloat16), A.astype(ml_dtypes.bfloat16), limit).passed


def test_quantised_outputs_may_be_one_code_apart():
    limit = TOLERANCES["int8"]
    codes = np.arange(-127, 128).astype(np.float32)
    beside = codes.copy()
    beside[127] += 1
    report = compare("y", codes, beside, limit)
    assert report.passed
    assert report.atol == pytest.approx(1.01)
    beside[127] += 1
    assert not compare("y", codes, beside, limit).passed


def test_rounding_noise_has_no_direction():
    noise = np.array([1e-8, -1e-8, 2e-8], np.float32)
    assert compare("y", noise, -noise, FP32).passed
    assert not compare("y", noise * 1e3, -noise * 1e3, FP32).passed


def test_one_rounding_has_no_direction():
    small = np.array([3e-6, 1e-7, 5e-8, 8e-8], np.float32)
    flushed = np.array([3e-6, 0, 0, 0], np.float32)
    assert compare("y", small, flushed, FP32).passed
    assert not compare("y", small, np.array([0, 3e-6, 0, 0], np.float32), FP32).passed


def test_the_ends_of_the_range():
    a = np.array([1e308, -1e308, 1e-308])
    found = compare("y", a, a.copy(), TOLERANCES["fp64"])
    assert found.passed
    assert found.cosine == pytest.approx(1)
    assert not compare("y", a, -a, TOLERANCES["fp64"]).passed


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=9),
    st.lists(st.floats(width=32), min_size=9, max_size=9),
)
def test_a_pass_means_that_numpy_agrees(one, other):
    a = np.array(one, np.float32)
    b = np.array(other[: len(one)], np.float32)
    assert compare("y", a, a, FP32).passed
    found = compare("y", a, b, FP32)
    if found.passed:
        np.testing.assert_allclose(b.astype(float), a.astype(float), rtol=1e-3, atol=1e-4)
    found.model_dump_json()


def test_a_report_cannot_claim_what_its_cases_do_not_show():
    example = {
        "reference": "onnx", "passed": True, "rtol": 0.001, "atol": 0.0001, "cases": [
            {"inputs": {"x": [1, 3, 48, 320]}, "seed": 0, "outputs": [
                {"name": "y", "shape": [1, 40, 6625], "max_abs": 1e-6, "max_rel": 1e-5,
                 "cosine": 1.0, "passed": True}]}]}  # fmt: skip
    report = Report.from_json(example)
    assert report.to_json() == example
    assert report.max_abs == 1e-6
    for change in ({"cases": []}, {"problems": ["no effect"]}, {"passed": False}):
        with pytest.raises(ValidationError, match="says passed"):
            Report.from_json({**example, **change})
    with pytest.raises(ValidationError):
        Report.from_json({**example, "unknown": 1})


def test_what_large_numbers_leave_where_they_cancel_is_no_error():
    noise = np.array([[0, 5e-4], [0, 0]], np.float32)
    boxes = np.array([[640, 0.05], [320, 480]], np.float32)
    assert compare("boxes", boxes, boxes + noise, FP32).passed
    assert not compare("boxes", boxes / 640, boxes / 640 + noise, FP32).passed
    # A huge one among them hides nothing.
    masked = np.array([[-1e9, 0.05], [320, 480]], np.float32)
    assert not compare("boxes", masked, masked + 4 * noise, FP32).passed

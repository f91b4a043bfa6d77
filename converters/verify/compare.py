"""Two arrays -> how far they are apart, and whether that is within a tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.errors import UsageError
from converters.verify.report import OutputReport


@dataclass(frozen=True)
class Tolerance:
    """How far two floats may be apart, `a` being the reference.

    |a - b| <= atol + code max|a| + min(cancelled max|a|, rtol) + rtol |a|

    Attributes:
        rtol: Relative part.
        atol: Absolute part.
        cosine: Least cosine between whole outputs, so that values below `atol` are compared as well.
        noise: Outputs whose largest value is below this are rounding noise and have no direction.
        rounding: Nor have errors up to this, one rounding of a number of size one: what a sigmoid or softmax
            of runtimes gives where the exact value is almost zero.
        code: Part of the output's largest value: what a number may change that is rounded to few bits.
        cancelled: Part of it that is left where large numbers cancel, as of boxes in pixels at the edge of an image;
            at most what a number of size one may be off, so that a huge value among others hides nothing.
    """

    rtol: float
    atol: float
    cosine: float
    noise: float
    rounding: float = 0.0
    code: float = 0.0
    cancelled: float = 0.0


# By precision as manifests name it, finest first. Rounding of one operation is 6e-8, 5e-4 and 4e-3 for the
# three common ones; a model is some tens to hundreds of operations deep.
TOLERANCES: Mapping[str, Tolerance] = MappingProxyType(
    {
        "fp64": Tolerance(rtol=1e-3, atol=1e-4, cosine=0.999, noise=1e-6, rounding=1.2e-7),
        "fp32": Tolerance(1e-3, 1e-4, cosine=0.999, noise=1e-6, rounding=1.2e-7, cancelled=1e-6),
        "fp16": Tolerance(rtol=1e-2, atol=1e-3, cosine=0.999, noise=1e-3, rounding=9.8e-4),
        "bf16": Tolerance(rtol=5e-2, atol=1e-2, cosine=0.99, noise=1e-2, rounding=7.8e-3),
        # What is computed is rounded to eight bits on its way. Where floats stand between two codes their last
        # bit decides: ONNX Runtime with and without its optimiser is one code apart (measured on a small CNN).
        "int8": Tolerance(5e-2, 1e-2, cosine=0.99, noise=1e-2, rounding=7.8e-3, code=1 / 127),
    }
)
PRECISION_OF = MappingProxyType(
    {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
)
# Types that frameworks hand out as float32, which holds them exactly.
CARRIED_AS_FLOAT32 = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2"})


def tolerance(precisions: Iterable[str]) -> Tolerance:
    """The tolerance of the coarsest of some precisions.

    Args:
        precisions: Keys of TOLERANCES.

    Raises:
        UsageError: A precision that has no row.
    """
    order = list(TOLERANCES)
    chosen = set(precisions)
    if unknown := chosen - set(order):
        raise UsageError(
            f"no tolerance for precision {', '.join(sorted(unknown))}",
            fix=f"give a tolerance, or use one of: {', '.join(order)}",
        )
    return TOLERANCES[max(chosen or {"fp32"}, key=order.index)]


def compare(
    name: str, expected: npt.NDArray[Any], actual: npt.NDArray[Any] | None, limit: Tolerance
) -> OutputReport:
    """Compare an output with its reference.

    Integers and booleans must be equal. NaN and infinities must stand at the same places.

    Args:
        name: The output.
        expected: The reference's array.
        actual: The candidate's array; None where there is none.
        limit: How far floats may be apart.
    """
    expected = _carried(expected)
    found: dict[str, Any] = {
        "name": name,
        "shape": expected.shape,
        "dtype": _name(expected),
    }
    if actual is None:
        return OutputReport(**found, passed=False, reason="missing")
    actual = _carried(actual)
    if actual.shape != expected.shape:
        reason = f"shape {list(actual.shape)}, not {list(expected.shape)}"
        return OutputReport(**found, passed=False, reason=reason)
    if _name(actual) != _name(expected):
        reason = f"element type {_name(actual)}, not {_name(expected)}"
        return OutputReport(**found, passed=False, reason=reason)
    if expected.size == 0:
        return OutputReport(**found, passed=True)
    if expected.dtype.kind in "fc":
        return _compare_floats(expected, actual, limit, found)
    return _compare_exact(expected, actual, found)


def _name(array: npt.NDArray[Any]) -> str:
    return "string" if array.dtype.kind == "U" else array.dtype.name


def _carried(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32) if array.dtype.name in CARRIED_AS_FLOAT32 else array


def _compare_exact(
    expected: npt.NDArray[Any], actual: npt.NDArray[Any], found: dict[str, Any]
) -> OutputReport:
    differs = expected != actual
    if expected.dtype.kind != "U":
        apart = np.abs(expected.astype(np.float64) - actual.astype(np.float64))
        found["max_abs"] = float(apart.max())
    if not differs.any():
        return OutputReport(**found, passed=True)
    at = _index(differs)
    reason = (
        f"{int(differs.sum())} of {differs.size} elements differ, first at {list(at)}:"
        f" {actual[at]} instead of {expected[at]}"
    )
    return OutputReport(**found, worst=at, passed=False, reason=reason)


def _compare_floats(
    expected: npt.NDArray[Any],
    actual: npt.NDArray[Any],
    limit: Tolerance,
    found: dict[str, Any],
) -> OutputReport:
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    a, b = expected.astype(wide), actual.astype(wide)
    found |= {"rtol": limit.rtol, "atol": limit.atol}
    if (strange := _strange(a, b)).any():
        at = _index(strange)
        reason = f"{actual[at]} instead of {expected[at]} at {list(at)}"
        return OutputReport(**found, worst=at, passed=False, reason=reason)
    # Infinities that agree are no longer of interest; inf - inf would only make noise.
    finite = np.isfinite(a)
    a, b = np.where(finite, a, 0), np.where(finite, b, 0)
    with np.errstate(over="ignore"):
        size, apart = np.abs(a), np.abs(a - b)
    largest = _largest(size)
    found["atol"] += limit.code * largest + min(limit.cancelled * largest, limit.rtol)
    excess = apart - (found["atol"] + limit.rtol * size)
    worst = _index(np.where(finite, excess, -np.inf))
    large = size > limit.atol
    cosine = _cosine(a, b)
    if finite.any():
        found |= {"max_abs": _largest(apart), "worst": worst}
    if large.any():
        found["max_rel"] = _largest(apart[large] / size[large])
    found["cosine"] = cosine
    if (excess > 0).any():
        reason = (
            f"{int((excess > 0).sum())} of {excess.size} elements are off, worst at {list(worst)}:"
            f" {actual[worst]} instead of {expected[worst]}"
        )
        return OutputReport(**found, passed=False, reason=reason)
    directed = size.max() > limit.noise and apart.max() > limit.rounding
    if directed and cosine is not None and cosine < limit.cosine:
        reason = f"points elsewhere: cosine {cosine:.6f} is below {limit.cosine}"
        return OutputReport(**found, passed=False, reason=reason)
    return OutputReport(**found, passed=True)


def _strange(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where one side is NaN or infinite and the other is not the same."""
    nan = np.isnan(a) != np.isnan(b)
    infinite = (np.isinf(a) | np.isinf(b)) & (a != b) & ~np.isnan(a)
    return np.asarray(nan | infinite)


def _largest(values: npt.NDArray[Any]) -> float:
    """The largest value; where a difference did not fit, the largest number there is."""
    return float(min(values.max(), np.finfo(np.float64).max))


def _cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float | None:
    """Cosine of two arrays as vectors, None where one has no length."""
    # Scaled first: squares of values near the ends of the range do not fit.
    scale_a, scale_b = np.abs(a).max(), np.abs(b).max()
    if scale_a == 0 or scale_b == 0:
        return None
    a, b = (a / scale_a).ravel(), (b / scale_b).ravel()
    cosine = np.vdot(a, b).real / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(cosine, -1, 1))


def _index(values: npt.NDArray[Any]) -> tuple[int, ...]:
    """The index of the largest (first true) element."""
    return tuple(int(i) for i in np.unravel_index(int(values.argmax()), values.shape))

"""Two artifact directories over the same inputs, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from converters.errors import RuntimeFailed, UnsafeInput, UsageError
from converters.runtimes import Limits, Runtime, framework
from converters.verify.compare import PRECISION_OF, Tolerance, compare, tolerance
from converters.verify.inputs import (
    SCALES,
    Arrays,
    Case,
    Ranges,
    Sizes,
    TensorSpec,
    generate_cases,
)
from converters.verify.report import REFERENCE_FAILED, CaseReport, OutputReport, Report


class _Spec(BaseModel):
    name: str
    dtype: str
    shape: list[int | str | None] | None
    kind: str = "tensor"


class _Signature(BaseModel):
    inputs: list[_Spec] = []
    outputs: list[_Spec] = []


class _Head(BaseModel):
    """The part of an artifact directory's manifest.json that matters here."""

    framework: str
    precision: str = "fp32"
    signature: _Signature = _Signature()
    compared: dict[str, list[bool | int | float | None]] = {}
    rows: dict[str, int] = {}
    divisors: list[str] = []
    words: list[str] = []

    def inputs(self) -> list[TensorSpec]:
        return [
            TensorSpec(s.name, s.dtype, None if s.shape is None else tuple(s.shape), s.kind)
            for s in self.signature.inputs
        ]

    def precisions(self) -> set[str]:
        """Its own precision, and those of its outputs."""
        types = (PRECISION_OF.get(spec.dtype) for spec in self.signature.outputs)
        return {self.precision, *(name for name in types if name)}


@dataclass(frozen=True)
class _Answer:
    """What one side made of a case: outputs, or why there are none."""

    case: Case
    outputs: Arrays | None = None
    error: str = ""


@dataclass(frozen=True)
class Truth:
    """What a reference makes of its inputs; any number of candidates are held against it.

    Attributes:
        framework: Whose numbers they are.
        outputs: Names of outputs that it always gives.
        boxes: Names of outputs that are sequences or optionals: how much is in them, only a run shows.
        precisions: Its own precision, and those of its outputs; see compare.py.
        answers: One for each case.
        pairs: Outputs for inputs that differ in values only.
        versions: Version texts by module.
    """

    framework: str
    outputs: tuple[str, ...]
    precisions: frozenset[str]
    answers: tuple[_Answer, ...]
    pairs: tuple[tuple[Arrays, Arrays], ...] = ()
    boxes: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)


def observe(
    reference: Path,
    cases: Sequence[Case] | None = None,
    limits: Limits | None = None,
    *,
    device: str = "cpu",
) -> Truth:
    """Run an artifact directory whose outputs are the truth.

    Where it refuses generated inputs, other sizes are tried, and where it gives NaN or infinities for them, other
    values: what is no number hides what a candidate does. Where it gives nothing else, it counts.

    Args:
        reference: The directory.
        cases: Inputs; by default generated from its signature.
        limits: What its process may use; time is per run.
        device: Where it runs, as `infer.py --device` names it.

    Raises:
        UsageError: The folder is no artifact directory, or no inputs can be generated.
        UnsafeInput: Its manifest.json is malformed.
        MissingRuntime: Its framework is not installed.
        RuntimeFailed: The model cannot be loaded.
    """
    head = _head(reference)
    chosen = made_up(reference) if cases is None else list(cases)
    specs = head.signature.outputs
    with Runtime(head.framework, limits=limits) as runtime:
        runtime.load(reference, device)
        answers, pairs = _ask_reference(runtime, chosen)
        return Truth(
            head.framework,
            tuple(spec.name for spec in specs if spec.kind == "tensor"),
            frozenset(head.precisions()),
            tuple(answers),
            tuple(pairs),
            frozenset(spec.name for spec in specs if spec.kind != "tensor"),
            runtime.versions,
        )


def made_up(
    reference: Path, sizes: Sizes | None = None, ranges: Ranges | None = None
) -> list[Case]:
    """Inputs for an artifact directory, from its signature and what its graph says of them.

    Args:
        reference: The directory.
        sizes: Sizes by name of dimension; names that it does not have do not count.
        ranges: Lowest and highest integers that it is known to take, by name of input.

    Raises:
        UsageError: It is no artifact directory, or no inputs can be generated.
        UnsafeInput: Its manifest.json is malformed.
    """
    head = _head(reference)
    specs = head.inputs()
    names = {dim for spec in specs for dim in spec.shape or () if isinstance(dim, str)}
    rows = {name: (0, count - 1) for name, count in head.rows.items() if count > 0}
    return generate_cases(
        specs,
        sizes={name: found for name, found in (sizes or {}).items() if name in names},
        bounds={spec.name: SCALES for spec in specs if spec.name in head.divisors},
        ranges={**rows, **(ranges or {})},
        values=head.compared,
        words=head.words,
    )


def recorded(
    framework: str, runs: Sequence[tuple[Arrays, Arrays]], precisions: Iterable[str]
) -> Truth:
    """The truth of a reference that ran before.

    Args:
        framework: Whose numbers they are.
        runs: Inputs and outputs by name, one pair for each run; at least one.
        precisions: Keys of TOLERANCES.
    """
    answers = tuple(_Answer(Case(inputs), outputs) for inputs, outputs in runs)
    return Truth(framework, tuple(runs[0][1]), frozenset(precisions), answers)


def judge(
    truth: Truth,
    candidate: Path,
    limits: Limits | None = None,
    *,
    limit: Tolerance | None = None,
    device: str = "cpu",
    runtime: Runtime | None = None,
) -> Report:
    """Run an artifact directory on a reference's inputs and compare every output.

    Args:
        truth: What the reference made of its inputs.
        candidate: The directory.
        limits: What its process may use; time is per run.
        limit: How far floats may be apart; by default by the coarser precision of both.
        device: Where it runs, as `infer.py --device` names it.
        runtime: The process, where it has begun already; it has limits of its own, and is closed here.

    Returns:
        The report; the caller decides what a report that has not passed means.

    Raises:
        UsageError, UnsafeInput, MissingRuntime, RuntimeFailed: As `observe` does, of the candidate.
    """
    claim = _head(candidate)
    applied = limit or tolerance(truth.precisions | claim.precisions())
    with runtime or Runtime(claim.framework, limits=limits) as process:
        process.load(candidate, device)
        actual = [
            _run(process, answer.case) for answer in truth.answers if answer.outputs is not None
        ]
        versions = {**truth.versions, **process.versions}
    reports = _case_reports(truth, actual, applied)
    outputs = [answer.outputs for answer in truth.answers if answer.outputs is not None]
    problems, warnings = _worth(outputs, truth.pairs)
    warnings += _single_sizes(truth.answers)
    warnings += _extra(outputs, actual)
    warnings += _faint(outputs, reports, applied)
    return Report(
        reference=truth.framework,
        candidate=claim.framework,
        passed=bool(reports) and all(case.passed for case in reports) and not problems,
        rtol=applied.rtol,
        atol=applied.atol,
        cases=tuple(reports),
        problems=tuple(problems),
        warnings=tuple(warnings),
        versions=versions,
    )


def verify(
    reference: Path,
    candidate: Path,
    cases: Sequence[Case] | None = None,
    limits: Limits | None = None,
    *,
    limit: Tolerance | None = None,
    device: str = "cpu",
) -> Report:
    """Run two artifact directories on the same inputs and compare every output.

    Cases in which one side fails are part of the report; a side that cannot be loaded at all is an error.
    Arguments, result and errors are those of `observe` and `judge`.
    """
    _head(candidate)
    truth = observe(reference, cases, limits, device=device)
    return judge(truth, candidate, limits, limit=limit, device=device)


def _head(folder: Path) -> _Head:
    path = folder / "manifest.json"
    try:
        head = _Head.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{folder}: not an artifact directory: {error.strerror} (manifest.json)"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UnsafeInput(f"{path}: {where or 'file'}: {first['msg']}") from None
    framework(head.framework)
    return head


def _run(runtime: Runtime, case: Case) -> _Answer:
    try:
        return _Answer(case, runtime.run(case.inputs))
    except RuntimeFailed as error:
        return _Answer(case, error=error.message)


def _ask_reference(
    runtime: Runtime, cases: list[Case]
) -> tuple[list[_Answer], list[tuple[Arrays, Arrays]]]:
    """What the reference makes of every case, and its answers to inputs that differ in values only."""
    answers: list[_Answer] = []
    pairs: list[tuple[Arrays, Arrays]] = []
    accepted: Case | None = None
    for case in cases:
        answer = _finite_if_any(runtime, _first_accepted(runtime, case, accepted))
        answers.append(answer)
        if accepted is None and answer.outputs is not None:
            accepted = answer.case
            other = _other_values(runtime, answer.case)
            pairs += [(answer.outputs, other)] if other is not None else []
    return answers, pairs


def _first_accepted(runtime: Runtime, case: Case, accepted: Case | None) -> _Answer:
    """What the reference makes of a case, or of the first of its alternatives that it accepts."""
    first = _run(runtime, case)
    alternatives = case.alternatives(accepted)
    attempts = (_run(runtime, other) for other in alternatives if runtime.alive)
    if first.outputs is not None:
        return first
    refused = _Answer(case, error=f"{REFERENCE_FAILED}{first.error}")
    return next((attempt for attempt in attempts if attempt.outputs is not None), refused)


def _finite_if_any(runtime: Runtime, answer: _Answer) -> _Answer:
    """An answer, or one for other values where it is not all numbers and that one is."""
    if answer.outputs is None or _all_finite(answer.outputs):
        return answer
    drawn = (_run(runtime, case) for case in answer.case.drawn_again() if runtime.alive)
    finite = (a for a in drawn if a.outputs is not None and _all_finite(a.outputs))
    return next(finite, answer)


def _other_values(runtime: Runtime, case: Case) -> Arrays | None:
    """Outputs for other values in the same shapes, where inputs are generated."""
    if case.seed is None or not case.inputs:
        return None
    return _run(runtime, case.made_again(seed=case.seed + 1_000_003)).outputs


def _single_sizes(answers: Sequence[_Answer]) -> list[str]:
    """Dynamic dimensions that were compared at one size only."""
    dims = [answer.case.dims for answer in answers if answer.outputs is not None]
    sizes = {name: {case[name] for case in dims} for name in (dims[0] if dims else ())}
    return [
        f"dimension {name} was compared at one size only, {min(found)}"
        for name, found in sizes.items()
        if len(found) == 1
    ]


def _case_reports(truth: Truth, actual: list[_Answer], limit: Tolerance) -> list[CaseReport]:
    found = iter(actual)
    reports = []
    outputs: tuple[OutputReport, ...]
    for answer in truth.answers:
        shapes = {name: array.shape for name, array in answer.case.inputs.items()}
        error, outputs = answer.error, ()
        if answer.outputs is not None:
            other = next(found)
            error = other.error
            outputs = _outputs(answer.outputs, other.outputs, truth, limit)
        reports.append(
            CaseReport(
                inputs=shapes,
                seed=answer.case.seed,
                ranges=_ranges(answer.case.inputs),
                outputs=outputs,
                error=error,
            )
        )
    return reports


def _ranges(inputs: Arrays) -> dict[str, tuple[int, int]]:
    whole = {name: array for name, array in inputs.items() if array.dtype.kind in "iu"}
    return {name: (int(a.min()), int(a.max())) for name, a in whole.items() if a.size}


def _outputs(
    expected: Arrays, actual: Arrays | None, truth: Truth, limit: Tolerance
) -> tuple[OutputReport, ...]:
    if actual is None:
        return ()
    absent = [name for name in truth.outputs if name not in expected]
    # One item more in a sequence, or an optional that should not be there.
    more = [n for n in actual if n not in expected and n.partition("[")[0] in truth.boxes]
    return (
        *(compare(name, array, actual.get(name), limit) for name, array in expected.items()),
        *(
            OutputReport(name=name, passed=False, reason="the reference does not give this output")
            for name in absent
        ),
        *(
            OutputReport(name=name, passed=False, reason="the reference does not give it here")
            for name in more
        ),
    )


def _worth(
    outputs: list[Arrays], pairs: Sequence[tuple[Arrays, Arrays]]
) -> tuple[list[str], list[str]]:
    """What makes a comparison with these reference outputs worthless, and what makes it weaker."""
    problems, warnings = [], []
    for name in dict.fromkeys(name for case in outputs for name in case):
        arrays = [case[name] for case in outputs if name in case]
        if name.endswith("[]"):
            continue
        if all(array.size == 0 for array in arrays):
            problems.append(f"{name}: the reference's output is empty in every case")
        elif not any(_finite(array).any() for array in arrays):
            problems.append(f"{name}: the reference's output is never finite")
        elif all(array.size > 1 and _constant(array) for array in arrays if array.size):
            warnings.append(f"{name}: the reference's output is one value throughout")
    compared = [*pairs, *((outputs[0], other) for other in outputs[1:])]
    if pairs and not any(_tells_apart(a, b) for a, b in compared):
        problems.append("the inputs have no effect on the reference's outputs")
    elif pairs and not any(_tells_apart(a, b) for a, b in pairs):
        warnings.append("the reference's outputs depend on the shapes of inputs only")
    elif outputs and not any(_tells_apart(a, b) for a, b in compared):
        warnings.append("nothing shows that the outputs depend on the inputs: give more inputs")
    return problems, warnings


def _all_finite(outputs: Arrays) -> bool:
    return all(bool(_finite(array).all()) for array in outputs.values())


def _finite(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if array.dtype.kind in "biuU":
        return np.ones(array.shape, bool)
    wide = array if array.dtype.kind in "fc" else array.astype(np.float32)
    return np.asarray(np.isfinite(wide))


def _constant(array: npt.NDArray[Any]) -> bool:
    flat = array.ravel()
    return bool((flat == flat[0]).all())


def _tells_apart(one: Arrays, other: Arrays) -> bool:
    """Whether two runs differ by more than the shapes of constant outputs."""
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if a.shape == b.shape and a.tobytes() != b.tobytes():
            return True
        if a.shape != b.shape and a.size and b.size and not (_constant(a) and _constant(b)):
            return True
    return False


def _faint(outputs: list[Arrays], reports: Sequence[CaseReport], limit: Tolerance) -> list[str]:
    """Outputs that are nothing but small: whatever is as small agrees with them, unless both have one direction."""
    warnings = []
    for name in dict.fromkeys(name for case in outputs for name in case):
        arrays = [case[name] for case in outputs if name in case]
        found = [one.cosine for case in reports for one in case.outputs if one.name == name]
        if any(array.dtype.kind not in "fc" for array in arrays):
            continue
        largest = max((float(np.abs(array).max()) for array in arrays if array.size), default=0.0)
        if 0 < largest <= limit.noise and any((one or 0.0) < limit.cosine for one in found):
            warnings.append(
                f"{name}: the reference's output is {largest:.0e} at most, and nothing but that was compared"
            )
    return warnings


def _extra(outputs: list[Arrays], actual: list[_Answer]) -> list[str]:
    known = {name for case in outputs for name in case}
    found = dict.fromkeys(name for answer in actual for name in answer.outputs or {})
    return [
        f"{name}: an output that the reference does not have" for name in found if name not in known
    ]

"""What a verification found, as it stands in manifests (`verification` in docs/architecture.md).

Numbers that do not exist (no finite element to compare, a vector without length) are left out.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

# How the error of a case begins in which there is nothing to compare with.
REFERENCE_FAILED = "the reference failed: "


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OutputReport(_Record):
    """One output in one case.

    Attributes:
        shape: The reference's shape.
        dtype: The reference's element type.
        max_abs: Largest absolute error, over elements that are finite on both sides.
        max_rel: Largest error relative to the reference, over those of them that are larger than `atol`.
        cosine: Cosine of the angle between both outputs as vectors.
        worst: Index of the element that is furthest from (or least within) the tolerance.
        rtol: Relative tolerance that was applied: |a - b| <= atol + rtol |a|.
        atol: Absolute tolerance that was applied.
        reason: Why it did not pass.
    """

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    max_abs: float | None = None
    max_rel: float | None = None
    cosine: float | None = None
    worst: tuple[int, ...] | None = None
    rtol: float | None = None
    atol: float | None = None
    passed: bool
    reason: str = ""


class CaseReport(_Record):
    """One set of inputs.

    Attributes:
        inputs: Shapes by input name.
        seed: What the inputs were generated from; None for inputs that were given.
        ranges: Lowest and highest value of inputs that are integers.
        outputs: One entry for each output.
        error: Why there are no outputs to compare.
    """

    inputs: dict[str, tuple[int, ...]]
    seed: int | None = None
    ranges: dict[str, tuple[int, int]] = {}
    outputs: tuple[OutputReport, ...] = ()
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether there were outputs and all of them passed."""
        return not self.error and bool(self.outputs) and all(o.passed for o in self.outputs)


class Report(_Record):
    """A verification of a candidate against a reference.

    Attributes:
        reference: Framework of the reference.
        candidate: Framework of the candidate.
        passed: Whether every case passed, there was one, and nothing made the comparison worthless.
        rtol: Relative tolerance of the artifact's precision.
        atol: Absolute tolerance of the artifact's precision.
        problems: What makes the comparison worthless as a whole.
        warnings: What makes it weaker evidence.
        versions: Version texts by module of both frameworks.
    """

    reference: str
    candidate: str = ""
    passed: bool
    rtol: float
    atol: float
    cases: tuple[CaseReport, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _claim_must_follow(self) -> Report:
        follows = bool(self.cases) and all(case.passed for case in self.cases) and not self.problems
        if self.passed != follows:
            raise ValueError(f"says passed={self.passed}, but its cases say {follows}")
        return self

    @property
    def max_abs(self) -> float | None:
        """The largest absolute error of all outputs and cases."""
        errors = [o.max_abs for c in self.cases for o in c.outputs if o.max_abs is not None]
        return max(errors, default=None)

    @property
    def widest(self) -> float:
        """The largest `atol` that was applied: that of an output may grow with its largest value."""
        outputs = [output for case in self.cases for output in case.outputs]
        return max((o.atol for o in outputs if o.atol is not None), default=self.atol)

    @property
    def reference_error(self) -> str:
        """Why the reference itself gave nothing in a case; empty where it always did."""
        errors = (case.error for case in self.cases)
        return next((e for e in errors if e.startswith(REFERENCE_FAILED)), "")

    @property
    def verdict(self) -> str:
        """What a report that has not passed says of the candidate, before the name of the reference."""
        return "fails, unlike" if any(case.error for case in self.cases) else "differs from"

    def failures(self) -> list[str]:
        """One line for everything that did not pass, in the order in which it was found."""
        lines = list(self.problems)
        for case in self.cases:
            shapes = ", ".join(f"{n} {list(s)}" for n, s in case.inputs.items())
            if case.error:
                lines.append(f"{shapes}: {case.error}")
            elif not case.outputs:
                lines.append(f"{shapes}: no outputs")
            lines += [f"{shapes}: {o.name}: {o.reason}" for o in case.outputs if not o.passed]
        return lines

    def to_json(self) -> dict[str, Any]:
        """Plain data for a JSON file; what is empty is left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def from_json(cls, data: object) -> Report:
        """The report that plain data describes.

        Raises:
            pydantic.ValidationError: It describes none, or claims another result than its cases have.
        """
        return cls.model_validate(data)

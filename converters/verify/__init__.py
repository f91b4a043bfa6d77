"""Verification: the same inputs through two artifacts, and a report on every output.

    inputs    a signature -> cases: seeded arrays at two or more sizes for every dynamic dimension
    check     artifact directories over all cases, each in a process of its own
    compare   two arrays -> errors, and whether they are within a tolerance
    report    what travels with the artifact, to and from JSON

A comparison that could not have failed is no evidence: outputs that are missing, empty, never finite, or
blind to their inputs make a report that has not passed.
"""

from converters.verify.check import Truth, judge, made_up, observe, recorded, verify
from converters.verify.compare import TOLERANCES, Tolerance, compare, tolerance
from converters.verify.inputs import Case, TensorSpec, generate_cases, read_case
from converters.verify.report import CaseReport, OutputReport, Report

__all__ = [
    "TOLERANCES",
    "Case",
    "CaseReport",
    "OutputReport",
    "Report",
    "TensorSpec",
    "Tolerance",
    "Truth",
    "compare",
    "generate_cases",
    "judge",
    "made_up",
    "observe",
    "read_case",
    "recorded",
    "tolerance",
    "verify",
]

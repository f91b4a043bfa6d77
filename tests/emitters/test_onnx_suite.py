"""The page of the ONNX backend suite; that its cases pass is in `test_suite_<framework>.py`.

Cases that do not pass stand in `ledger/<framework>.txt`: name, status and reason in each line. `make coverage`
writes the ledgers and the page of docs/coverage.md that is made of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import coverage_page
import onnx_suite
from coverage_page import LEDGER, PAGE

from converters.emitters import NATIVE


def test_the_page_of_coverage_is_that_of_the_ledgers() -> None:
    assert PAGE.read_text(encoding="utf-8") == coverage_page.render(), "run `make coverage`"


def write_ledgers(frameworks: tuple[str, ...]) -> None:
    LEDGER.mkdir(exist_ok=True)
    for framework in frameworks:
        with tempfile.TemporaryDirectory() as scratch:
            outcomes = onnx_suite.run(framework, onnx_suite.cases(), Path(scratch))
        failing = sorted((name, o) for name, o in outcomes.items() if o.status != "passed")
        head = f"# {len(outcomes) - len(failing)} of {len(outcomes)} cases pass in {framework}."
        rows = [
            f"{name} {o.status} {coverage_page.reason(name, o)}".rstrip() for name, o in failing
        ]
        (LEDGER / f"{framework}.txt").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
        print(head)
    PAGE.write_text(coverage_page.render(), encoding="utf-8")


if __name__ == "__main__":
    write_ledgers(tuple(sys.argv[1:]) or NATIVE)

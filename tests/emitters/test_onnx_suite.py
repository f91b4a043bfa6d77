"""The ONNX backend suite: what passes in emitted source, and that nothing computes a wrong number.

Cases that do not pass stand in `ledger/<framework>.txt`: name, status and reason in each line. A case that
is not there must pass, one that is there must not. `make coverage` writes the ledgers and the page of
docs/coverage.md that is made of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import coverage_page
import onnx_suite
from coverage_page import LEDGER, PAGE, RANDOM, read_ledger

from converters.emitters import NATIVE


@pytest.mark.timeout(900)
@pytest.mark.parametrize("framework", NATIVE)
def test_suite_passes_but_for_the_ledger(framework: str, tmp_path: Path) -> None:
    outcomes = onnx_suite.run(framework, onnx_suite.cases(), tmp_path)
    known = {name: status for name, (status, _) in read_ledger(framework).items()}
    failing = {name: o for name, o in outcomes.items() if o.status != "passed"}
    broken = {name: o for name, o in failing.items() if name not in known}
    assert not broken, "these passed before"
    worse = {n: o for n, o in failing.items() if o.status == "differs" and known[n] != "differs"}
    assert not worse, "a refusal became a wrong number"
    mended = [name for name in known if name not in failing and not RANDOM.search(name)]
    assert not mended, "these pass now: run `make coverage`"


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

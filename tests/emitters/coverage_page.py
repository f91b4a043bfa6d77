"""docs/coverage.md: what the ONNX backend suite says of emitted source, and the table of operators.

python tests/emitters/coverage_page.py      writes the page from the ledgers; `make coverage` runs the suite too
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import onnx
import onnx_suite
from onnx import defs
from onnx_suite import GROUPS, KINDS, Outcome

from converters.emitters import NATIVE, framework
from converters.emitters.lower import TEXT
from converters.graph import expand
from converters.graph.control import CONTROL
from converters.graph.infer import OPSET

LEDGER = Path(__file__).with_name("ledger")
PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
# Their numbers are drawn, so a case of them may pass by chance.
RANDOM = re.compile("bernoulli|training_dropout(?!_zero)")
# Its weights are all one value: of a thousand equal numbers of 1e10 softmax takes what was rounded up.
ROUNDED = re.compile("light_squeezenet")
# Why numbers differ that are right: (names of cases, the reason).
SETTLED = (
    (RANDOM, "its numbers are drawn at random, and the standard fixes no generator"),
    (ROUNDED, "its weights are all one value, so that the rounding of numbers of 1e10 decides"),
    (
        re.compile("qlinearmatmul_.D_int8"),
        "the case expects sums that wrap around; the standard saturates",
    ),
    (
        re.compile("to_BFLOAT16|TO_BFLOAT16"),
        "the case expects bits that are cut off; frameworks round to the nearest",
    ),
    (
        re.compile("averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True"),
        "the case counts what lies behind the padding; ONNX Runtime and the text of the standard do not",
    ),
)
# What no table has, because it is the same in every framework: control flow and what is known of boxes.
PYTHON = (*CONTROL, "Constant", "OptionalHasElement", "SequenceLength")
# Operators of older opsets that graph/upgrade.py writes as their successors.
REPLACED = ("Scatter", "Upsample")
# What the table says of operators that no framework has, by the tensors that they ask for.
NO_TENSORS = {"tensor(string)": "strings", "seq": "sequences", "optional": "optional values"}


def read_ledger(name: str) -> dict[str, tuple[str, str]]:
    """Status and reason of every case that does not pass."""
    lines = (LEDGER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" ", 2) for line in lines if line and not line.startswith("#")]
    return {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in rows}


def check(name: str, folder: Path) -> None:
    """Run the suite in a framework: a case that is not in its ledger must pass, one that is there must not."""
    outcomes = onnx_suite.run(name, onnx_suite.cases(), folder)
    known = {name: status for name, (status, _) in read_ledger(name).items()}
    failing = {name: o for name, o in outcomes.items() if o.status != "passed"}
    broken = {name: o for name, o in failing.items() if name not in known}
    assert not broken, f"these passed before: {broken}"
    worse = {n: o for n, o in failing.items() if o.status == "differs" and known[n] != "differs"}
    assert not worse, f"a refusal became a wrong number: {worse}"
    by_chance = [name for name in known if RANDOM.search(name) or ROUNDED.search(name)]
    mended = [name for name in known if name not in failing and name not in by_chance]
    assert not mended, f"these pass now, run `make coverage`: {mended}"


def reason(name: str, outcome: Outcome) -> str:
    """One line for the ledger, the same in every run."""
    for pattern, why in SETTLED:
        if pattern.search(name):
            return why
    if outcome.status == "differs":
        return "other numbers"
    text = re.sub(r"^\w+: \d+ unsupported operator\(s\): ", "", " ".join(outcome.reason.split()))
    text = re.sub(r" \(x\d+, first at [^)]*\)", "", text)
    text = text.replace("element type object", "element type string").replace("model.onnx: ", "")
    return text[:160]


def render() -> str:
    """The whole page."""
    return "\n".join([*HEAD, *counts(), "", *DEPARTURES, "", *failures(), "", *operators()]) + "\n"


HEAD = (
    "# Coverage of the ONNX standard",
    "",
    "Written by `make coverage` from the backend suite of the ONNX package "
    f"{onnx.__version__}, whose every case is emitted as source, loaded as a user would and run in",
    "its framework's process on the CPU: shape, element type and values (rtol 1e-3, atol 1e-5).",
    "",
)

# What tests/emitters/test_special_numbers.py found and leaves out: native calls that are kept as they are.
DEPARTURES = (
    "## Where native kernels depart",
    "",
    "- Paddle and MindSpore: `relu` of NaN is 0 on the CPU; MindSpore's `clamp` gives a bound for NaN.",
    "- Paddle: `sqrt` of infinity is NaN in vector kernels of the CPU.",
    "- MindSpore: dividing by minus zero gives the infinity of plus zero; max pooling passes over NaN, as",
    "  ONNX Runtime's does.",
    "- `Resize` with `align_corners` and scales that give no whole size follows the standard's own cases,",
    "  not ONNX Runtime.",
)


def counts() -> list[str]:
    """How many cases pass, by kind, and by what sets cases apart."""
    cases = onnx_suite.cases()
    ledgers = {name: read_ledger(name) for name in NATIVE}
    lines = [
        "## Cases that pass",
        "",
        f"| cases | of | {' | '.join(NATIVE)} |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]

    def row(title: str, chosen: list[onnx_suite.Case]) -> str:
        passing = (sum(c.name not in ledgers[name] for c in chosen) for name in NATIVE)
        return f"| {title} | {len(chosen)} | {' | '.join(map(str, passing))} |"

    tensors = ("tensors", "strings", "control flow")
    for kind in KINDS:
        of_kind = [case for case in cases if case.kind == kind and case.group in tensors]
        lines.append(row(f"{kind}, of tensors", of_kind))
    for group in GROUPS[1:]:
        title = f"with {group}" if group != "training" else group
        lines += [row(title, [case for case in cases if case.group == group])]
    lines.append("")
    lines.append(
        "Cases with strings and control flow, where all inputs and outputs are tensors, are among both."
    )
    return lines


def failures() -> list[str]:
    """Every case that does not pass, by its reason."""
    lines = ["## Cases that do not pass"]
    for name in NATIVE:
        by_reason: dict[tuple[str, str], list[str]] = {}
        for case, said in read_ledger(name).items():
            by_reason.setdefault(said, []).append(case)
        lines += ["", f"### {framework(name).title}", ""]
        for (status, why), found in sorted(by_reason.items()):
            names = ", ".join(f"`{case.removeprefix('test_')}`" for case in sorted(found))
            lines.append(
                f"- {status}: {why.replace('|', '/').replace('<', '').replace('>', '')} ({len(found)}): {names}"
            )
    return lines


def operators() -> list[str]:
    """Every operator of the standard, and of other domains that is known, with what each table says."""
    tables = {name: framework(name).table for name in NATIVE}
    newest = {
        (s.domain, s.name): s
        for s in defs.get_all_schemas_with_history()
        if s.domain in ("", "ai.onnx.ml") and not s.deprecated and s.since_version <= OPSET
    }
    schemas = {
        key: defs.get_schema(key[1], OPSET if not key[0] else 5, key[0]) for key in sorted(newest)
    }
    lines = [
        "## Operators",
        "",
        "*native*: an entry of the framework's own table, which names attributes that it refuses. *nodes*:",
        "standard nodes, by the body that the standard gives, the rule of `converters/graph/contrib.py` or `ml.py`, or",
        "the newer operator of `converters/graph/upgrade.py`. *Python*: statements and numbers, the same in every",
        "framework. *numpy*: text, of which no framework has tensors, stays with numpy (`converters/emitters/text.py`).",
        "",
        f"| operator | {' | '.join(NATIVE)} |",
        "| --- | --- | --- | --- |",
    ]
    seen = Counter[str]()

    def row(key: str, spelled_out: bool, why: str) -> str:
        otherwise = "Python" if key in PYTHON else "nodes" if spelled_out else ""
        otherwise = otherwise or ("numpy" if key in TEXT else f"refused: {why}")
        said = ["native" if key in tables[n] else otherwise for n in NATIVE]
        seen.update(said)
        return f"| {key} | {' | '.join(said)} |"

    for (domain, name), schema in schemas.items():
        key = f"{domain}::{name}" if domain else name
        body = schema.has_function or schema.has_context_dependent_function
        spelled_out = body or key in REPLACED or expand.rule(key) is not None
        lines.append(row(key, spelled_out, _lack(schema)))
    known = expand.keys()
    own = {n for table in tables.values() for n in vars(table.module) if n.startswith("com_")}
    extra = [n.replace("com_microsoft_", "com.microsoft::") for n in own]
    rest = [k for k in (*known, *extra) if not k.startswith("ai.onnx.ml")]
    lines += [
        row(k, k in known and k not in REFUSING, "a cache of keys and values") for k in sorted(rest)
    ]
    return lines


REFUSING = ("com.microsoft::GroupQueryAttention",)


def _lack(schema: defs.OpSchema) -> str:
    """What an operator works on that emitted source does not have."""
    types = {t for formal in (*schema.inputs, *schema.outputs) for t in formal.types}
    for start, name in NO_TENSORS.items():
        if any(t.startswith(start) for t in types):
            return name
    return "not written"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

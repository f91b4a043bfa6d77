"""Models that no rule was written for, from sources to emitted forms: `make sweep` writes docs/sweep.md.

Random weights, no network. A case's source and its own numbers at held-out sizes and seeds are made in its framework's
process (`torch_sources.py` and its neighbours), `zoo convert` makes and verifies all four forms
as for any user, and each form is then run at the sizes that the conversion never saw. Exits with 1 if one is red.

python tests/sweep/sweep.py [NAME ...]     these cases only; the page keeps what it says of the others
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx_sources import held_out

from converters.errors import ConversionError
from converters.runtimes import Limits, Runtime
from converters.verify import compare, tolerance

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "sweep.md"
TARGETS = ("pytorch", "paddle", "mindspore", "onnx")
SOURCES = {
    "PyTorch": "torch_sources.py",
    "PaddlePaddle": "paddle_sources.py",
    "MindSpore": "mindspore_sources.py",
    "ONNX": "onnx_sources.py",
}
SECONDS = 900
LIMITS = Limits(seconds=300, memory_bytes=8 << 30)


@dataclass
class Row:
    """A case and what came of it.

    Attributes:
        name: The case.
        source: The framework that it comes from.
        route: How it came to ONNX.
        varying: Dimensions that the result takes at any size.
        errors: The largest absolute error by framework.
        seconds: Of the conversion, verification included.
        reasons: What is wrong.
    """

    name: str
    source: str
    route: str = ""
    varying: str = ""
    errors: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)

    def line(self) -> str:
        """A line of the page."""
        cells = [f"{self.errors[t]:.0e}" if t in self.errors else "" for t in TARGETS]
        said = "; ".join(self.reasons).replace("|", "/")
        mark = f"**red**: {said}" if said else "right"
        columns = [self.name, self.source, self.route, self.varying, *cells]
        return f"| {' | '.join([*columns, f'{self.seconds:.0f}', mark])} |"


def names_of(script: str) -> list[str]:
    """The cases that a program makes."""
    done = subprocess.run(
        [sys.executable, str(HERE / script)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def make(script: str, folder: Path, names: Sequence[str]) -> None:
    """Write cases, in one process of their framework."""
    command = [sys.executable, str(HERE / script), str(folder), *names]
    subprocess.run(command, capture_output=True, text=True, check=True)


def convert(case: Path, row: Row) -> None:
    """`zoo convert` of a case into all four."""
    said = json.loads((case / "case.json").read_text())
    command = [sys.executable, "-m", "zoo", "convert", said["source"], "--to", ",".join(TARGETS)]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--out", "out", "--json", *said["options"]],
        cwd=case, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    row.seconds = time.monotonic() - began
    if done.returncode:
        row.reasons.append(" ".join(done.stderr.split())[:400] or f"exit {done.returncode}")
        return
    routes = json.loads(done.stdout)["source"]["routes"]
    row.route = f"{routes[-1]['route']}, {routes[-1]['dynamic']}" if routes else "as it is"


def fits(inputs: Mapping[str, NDArray[Any]], signature: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a signature allows the sizes of inputs: some dimensions may be fixed."""
    return all(
        not isinstance(wanted, int) or wanted == size
        for spec in signature
        for wanted, size in zip(spec["shape"] or (), inputs[spec["name"]].shape, strict=False)
    )


def run(runtime: Runtime, case: Path, target: str, row: Row) -> None:
    """One form at the held-out sizes."""
    folder = case / "out" / target
    manifest = json.loads((folder / "manifest.json").read_text())
    signature = manifest["signature"]["inputs"]
    names = {d: None for s in signature for d in s["shape"] or () if isinstance(d, str)}
    row.varying = ", ".join(names)
    # The coarsest of all forms: what an ONNX file computes in does not stand in its signature.
    manifests = (case / "out").glob("*/manifest.json")
    limit = tolerance({json.loads(path.read_text())["precision"] for path in manifests})
    runtime.load(folder)
    ran = 0
    for inputs, expected in held_out(case):
        given = {s["name"]: inputs[s["name"]] for s in signature}
        if not fits(given, signature):
            continue
        ran += 1
        got = list(runtime.run(given).values())
        if len(got) != len(expected):
            row.reasons.append(f"{target}: {len(got)} outputs, not {len(expected)}")
            return
        for k, (want, have) in enumerate(zip(expected, got, strict=True)):
            report = compare(f"output {k}", want, have, limit)
            error = max(row.errors.get(target, 0.0), report.max_abs or 0.0)
            row.errors[target] = error
            if not report.passed:
                shapes = {name: list(x.shape) for name, x in given.items()}
                row.reasons.append(f"{target}, output {k} at {shapes}: {report.reason}")
    if not ran:
        row.reasons.append(f"{target}: no held-out size fits {signature}")


def sweep(source: str, names: Sequence[str], folder: Path) -> list[Row]:
    """Cases of one framework; each form's framework is started once for all of them."""
    rows = [Row(name, source) for name in names]
    for row in rows:
        try:
            make(SOURCES[source], folder, [row.name])
            convert(folder / row.name, row)
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", "") or str(error)
            row.reasons.append(" ".join(str(said).split())[-300:])
        print(row.line(), flush=True)
    for target in TARGETS:
        runtime = None
        for row in rows:
            if not (folder / row.name / "out" / target).is_dir():
                continue
            if runtime is None:
                runtime = Runtime(target, limits=LIMITS)
                runtime.__enter__()
            try:
                run(runtime, folder / row.name, target, row)
            except ConversionError as error:
                row.reasons.append(f"{target}: {' '.join(str(error).split())[:300]}")
                runtime.close()
                runtime = None
        if runtime is not None:
            runtime.close()
    return rows


def page(lines: Sequence[str]) -> str:
    """docs/sweep.md."""
    right = sum(line.endswith("| right |") for line in lines)
    head = [
        "# The sweep",
        "",
        "Written by `make sweep`. Models that no rule was written for, with random weights and without network: common",
        "architectures of `transformers`, classes as people write them, programs in every saved form, ONNX of old and odd",
        "kinds. Every form is converted and verified as for any user, and then run beside the source at",
        "sizes and seeds that the conversion never saw: the error is the largest absolute difference there.",
        "",
        f"{right} of {len(lines)} cases are right.",
        "",
        "| case | from | route | any size of | pytorch | paddle | mindspore | onnx | seconds | |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    return "\n".join([*head, *lines]) + "\n"


def main() -> None:
    """Run the cases that are named, or all of them, and write the page."""
    every = [(source, name) for source, script in SOURCES.items() for name in names_of(script)]
    counted = Counter(name for _, name in every)
    assert max(counted.values()) == 1, "two cases of one name"
    chosen = sys.argv[1:] or [name for _, name in every]
    red = False
    for source in SOURCES:
        names = [name for origin, name in every if origin == source and name in chosen]
        with tempfile.TemporaryDirectory(prefix="sweep-") as scratch:
            rows = sweep(source, names, Path(scratch))
        red = red or any(row.reasons for row in rows)
        # Read as late as this: another process may have written of other cases meanwhile.
        old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
        lines = {
            line.split()[1]: line
            for line in [*old, *(row.line() for row in rows)]
            if line.startswith("| ")
        }
        PAGE.write_text(page([lines[name] for _, name in every if name in lines]), "utf-8")
    sys.exit(red)


if __name__ == "__main__":
    main()

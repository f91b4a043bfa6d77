"""The ONNX backend suite against emitted source: emit every case, run it as a user would, compare.

python tests/emitters/onnx_suite.py pytorch [-k PATTERN] [--keep DIR]   prints what does not pass

Emission happens here; the emitted folders run in a process of their framework (`suite_worker.py`),
many cases in one process, which is started again when a case takes it down.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from converters.dtypes import BY_ONNX
from converters.emitters import emit
from converters.errors import ConversionError
from converters.graph.load import to_array

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted", "light")
# Cases that are counted beside those of numbers: what they have that tensors of numbers are not.
GROUPS = ("tensors", "strings", "control flow", "sequences", "optional", "training")
CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
SECONDS = 60


@dataclass(frozen=True)
class Case:
    """One case of the suite: a model, and folders of inputs and outputs as protobuf.

    Attributes:
        folder: Holds `model.onnx`; for the models called light it is that file, outputs beside it.
        group: One of `GROUPS`.
    """

    name: str
    kind: str
    folder: Path
    rtol: float
    atol: float
    group: str = "tensors"

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder if self.kind == "light" else self.folder / "model.onnx"


@dataclass(frozen=True)
class Outcome:
    """`passed`, `refused` (exit status 3), `differs`, or `failed`; with the reason."""

    status: str
    reason: str = ""


@cache
def cases(kinds: tuple[str, ...] = KINDS) -> tuple[Case, ...]:
    """Every case of the suite, with the tolerances of its own runner, 1e-3 and 1e-5 at least."""
    found = []
    for kind in kinds:
        # The suite files the models called light under those that are downloaded.
        for case in load_model_tests(kind="real" if kind == "light" else kind):
            folder = Path(case.model_dir) if case.model_dir else LIGHT / Path(case.url).name
            rtol, atol = max(case.rtol, 1e-3), max(case.atol, 1e-5)
            name = f"light_{case.model_name}" if kind == "light" else case.name
            group = "tensors" if kind == "light" else group_of(folder)
            found.append(Case(name, kind, folder, rtol, atol, group))
    return tuple(found)


LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def group_of(folder: Path) -> str:
    """What sets a case apart; `tensors` where nothing does."""
    model = onnx.load(folder / "model.onnx")
    values = (*model.graph.input, *model.graph.output)
    kinds = {value.type.WhichOneof("value") for value in values}
    if any("training" in opset.domain for opset in model.opset_import):
        return "training"
    if any(value.type.tensor_type.elem_type == onnx.TensorProto.STRING for value in values):
        return "strings"
    if "optional_type" in kinds:
        return "optional"
    if "sequence_type" in kinds:
        return "sequences"
    if any(node.op_type in CONTROL_FLOW for node in model.graph.node):
        return "control flow"
    return "tensors"


def data_sets(case: Case) -> Iterator[tuple[str, dict[str, np.ndarray], list[np.ndarray]]]:
    """Name, inputs by name and outputs of every run of a case."""
    model = onnx.load(case.model)
    constants = {t.name for t in model.graph.initializer}
    infos = [v for v in model.graph.input if v.name not in constants]
    if case.kind == "light":
        # The suite's runner makes these inputs too.
        dummies = [
            Runner.generate_dummy_data(v, seed=0, name=case.name, random=False) for v in infos
        ]
        inputs = {v.name: dummy for v, dummy in zip(infos, dummies, strict=True)}
        pattern = f"{case.folder.stem}_output"
        yield "light", inputs, read_arrays(LIGHT, pattern, list(model.graph.output))
        return
    for folder in sorted(case.folder.glob("test_data_set_*")):
        inputs = dict(
            zip((v.name for v in infos), read_arrays(folder, "input", infos), strict=False)
        )
        yield folder.name, inputs, read_arrays(folder, "output", list(model.graph.output))


def read_arrays(folder: Path, prefix: str, infos: list[onnx.ValueInfoProto]) -> list[np.ndarray]:
    """The arrays of a case; types that .npz cannot hold as the wider ones that infer.py uses."""
    files = sorted(folder.glob(f"{prefix}_*.pb"), key=lambda p: int(p.stem.split("_")[-1]))
    arrays = []
    for file, info in zip(files, infos, strict=False):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(file.read_bytes())
        array = to_array(tensor)
        known = BY_ONNX.get(info.type.tensor_type.elem_type)
        if known is not None and (known.numpy.isbuiltin == 2 or known.bits < 8):
            # Some cases store such types as integers of the same bits.
            if array.dtype.kind in "ui" and array.dtype.itemsize == known.numpy.itemsize:
                array = array.view(known.numpy)
            wide = {"int4": np.int8, "uint4": np.uint8}.get(known.name, np.float32)
            array = array.astype(wide)
        arrays.append(array)
    return arrays


def emit_case(case: Case, framework: str, out: Path) -> Outcome | None:
    """Emit a case and its inputs; an outcome where there is nothing to run."""
    try:
        emit(
            case.model,
            framework,
            out,
            source={"format": "onnx", "sha256": "0" * 64},
        )
    except ConversionError as error:
        return Outcome("refused" if error.status == 3 else "failed", error.message)
    except Exception as error:  # a defect of ours: it must show up as one
        return Outcome("failed", f"emit: {type(error).__name__}: {error}")
    if case.group in ("sequences", "optional"):
        return Outcome("refused", "its inputs or outputs are no tensors")
    for name, inputs, _ in data_sets(case):
        np.savez(out / f"{name}.in.npz", **inputs)
    return None


def compare(case: Case, out: Path) -> Outcome:
    model = onnx.load(case.model)
    for name, _, outputs in data_sets(case):
        with np.load(out / f"{name}.out.npz") as results:
            for info, expected in zip(model.graph.output, outputs, strict=True):
                if info.name not in results:
                    return Outcome("differs", f"no output {info.name}")
                got = results[info.name]
                if got.dtype != expected.dtype or got.shape != expected.shape:
                    return Outcome(
                        "differs",
                        f"{got.dtype}{list(got.shape)} for {expected.dtype}{list(expected.shape)}",
                    )
                try:
                    np.testing.assert_allclose(got, expected, rtol=case.rtol, atol=case.atol)
                except AssertionError as error:
                    return Outcome("differs", " ".join(str(error).split())[:200])
    return Outcome("passed")


def run(framework: str, chosen: tuple[Case, ...], folder: Path) -> dict[str, Outcome]:
    """Emit, run and compare cases; the outcome of each by its name."""
    outcomes: dict[str, Outcome] = {}
    waiting = []
    for case in chosen:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = emit_case(case, framework, folder / case.name)
        if outcome is None:
            waiting.append(case)
        else:
            outcomes[case.name] = outcome
    worker = Path(__file__).with_name("suite_worker.py")
    pending = [case.name for case in waiting]
    while pending:
        with subprocess.Popen(
            [sys.executable, str(worker), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                process.communicate("\n".join(pending), timeout=SECONDS + 2 * len(pending))
            except subprocess.TimeoutExpired:
                process.kill()
        left = [name for name in pending if not (folder / name / "done").exists()]
        if left:
            outcomes[left[0]] = Outcome("failed", "the process crashed or hung")
        pending = left[1:]
    for case in waiting:
        if case.name in outcomes:
            continue
        said = json.loads((folder / case.name / "done").read_text())
        outcomes[case.name] = (
            Outcome("failed", said["error"]) if said["error"] else compare(case, folder / case.name)
        )
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework")
    parser.add_argument("-k", default="", help="a regular expression for names of cases")
    parser.add_argument("--keep", type=Path, help="a new folder for what is emitted")
    args = parser.parse_args()
    chosen = tuple(case for case in cases() if re.search(args.k, case.name))
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = run(args.framework, chosen, args.keep or Path(scratch))
    for name, outcome in sorted(
        outcomes.items(), key=lambda item: (item[1].status, item[1].reason)
    ):
        if outcome.status != "passed":
            print(f"{outcome.status:8} {name}: {outcome.reason[:180]}")
    print(dict(Counter(outcome.status for outcome in outcomes.values())))


if __name__ == "__main__":
    main()

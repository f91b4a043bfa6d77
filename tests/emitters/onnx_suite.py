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
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from converters.dtypes import BY_ONNX
from converters.emitters import emit
from converters.errors import ConversionError

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")
SECONDS = 60


@dataclass(frozen=True)
class Case:
    """One case of the suite: a model, and folders of inputs and outputs as protobuf."""

    name: str
    kind: str
    folder: Path
    rtol: float
    atol: float


@dataclass(frozen=True)
class Outcome:
    """`passed`, `refused` (exit status 3), `differs`, or `failed`; with the reason."""

    status: str
    reason: str = ""


@cache
def cases(kinds: tuple[str, ...] = KINDS) -> tuple[Case, ...]:
    """The cases whose inputs and outputs are plain tensors and that do not train."""
    found = []
    for kind in kinds:
        for case in load_model_tests(kind=kind):
            folder = Path(case.model_dir)
            if is_plain(folder):
                found.append(Case(case.name, kind, folder, case.rtol, case.atol))
    return tuple(found)


def is_plain(folder: Path) -> bool:
    model = onnx.load(folder / "model.onnx")
    values = (*model.graph.input, *model.graph.output)
    plain = all(v.type.HasField("tensor_type") for v in values)
    text = any(v.type.tensor_type.elem_type == onnx.TensorProto.STRING for v in values)
    domains = {o.domain for o in model.opset_import}
    return plain and not text and not any("training" in domain for domain in domains)


def read_arrays(folder: Path, prefix: str, infos: list[onnx.ValueInfoProto]) -> list[np.ndarray]:
    """The arrays of a case; types that .npz cannot hold as the wider ones that infer.py uses."""
    files = sorted(folder.glob(f"{prefix}_*.pb"), key=lambda p: int(p.stem.split("_")[-1]))
    arrays = []
    for file, info in zip(files, infos, strict=False):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(file.read_bytes())
        array = numpy_helper.to_array(tensor)
        known = BY_ONNX.get(info.type.tensor_type.elem_type)
        if (known is not None and known.numpy.isbuiltin == 2) or (
            known is not None and known.bits < 8
        ):
            if array.dtype.kind in "uiV" and array.dtype.itemsize == known.numpy.itemsize:
                array = array.astype(array.dtype).view(known.numpy)
            array = array.astype(np.float32 if "float" in known.name else np.int8)
        arrays.append(array)
    return arrays


def emit_case(case: Case, framework: str, out: Path) -> Outcome | None:
    """Emit a case and its inputs; an outcome where there is nothing to run."""
    try:
        emit(
            case.folder / "model.onnx",
            framework,
            out,
            source={"format": "onnx", "sha256": "0" * 64},
        )
    except ConversionError as error:
        return Outcome("refused" if error.status == 3 else "failed", error.message)
    except Exception as error:  # a defect of ours: it must show up as one
        return Outcome("failed", f"emit: {type(error).__name__}: {error}")
    model = onnx.load(case.folder / "model.onnx")
    constants = {t.name for t in model.graph.initializer}
    infos = [v for v in model.graph.input if v.name not in constants]
    names = [v.name for v in infos]
    for folder in sorted(case.folder.glob("test_data_set_*")):
        arrays = dict(zip(names, read_arrays(folder, "input", infos), strict=False))
        np.savez(out / f"{folder.name}.in.npz", **arrays)
    return None


def compare(case: Case, out: Path) -> Outcome:
    model = onnx.load(case.folder / "model.onnx")
    for folder in sorted(case.folder.glob("test_data_set_*")):
        with np.load(out / f"{folder.name}.out.npz") as results:
            outputs = read_arrays(folder, "output", list(model.graph.output))
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

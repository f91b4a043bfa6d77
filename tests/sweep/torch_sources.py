"""PyTorch sources of the sweep, in PyTorch's process: python torch_sources.py FOLDER NAME ...

Each case becomes FOLDER/NAME with the source, the inputs that a user would give (in.npz), and inputs and outputs
of other sizes and seeds (held0.inputs.npz, held0.outputs.npz, ...) that the conversion never sees. case.json says
how it is converted. Prints the names of all cases where none is given.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_models
from torch.utils import _pytree as pytree
from transformers_models import FOLDERS, ModelInputs, make_folder

Draw = Callable[[Callable[[str], int]], torch.Tensor]
# Sizes by name: what is given, and what is held out; the last one differs in the batch alone, which all forms take.
SIZES: Mapping[str, tuple[int, ...]] = {
    "B": (2, 3, 1, 5),
    "L": (12, 7, 20, 12),
    "M": (5, 9, 14, 5),
    "H": (32, 40, 64, 32),
    "W": (48, 32, 80, 48),
}
HELD_OUT = (1, 2)
BATCH = 3


def normal(*shape: int | str) -> Draw:
    return lambda size: torch.randn([size(d) if isinstance(d, str) else d for d in shape])


def integers(high: int, *shape: int | str) -> Draw:
    return lambda size: torch.randint(
        0, high, [size(d) if isinstance(d, str) else d for d in shape]
    )


@dataclass(frozen=True)
class Case:
    """A class of `torch_models`, saved in one way.

    Attributes:
        model: Its name.
        inputs: How its inputs are drawn, by the argument's name (`feats.0` is a member of a tuple).
        form: `class`, `pt2`, `traced` or `scripted`.
    """

    model: str
    inputs: Mapping[str, Draw]
    form: str = "class"


IMAGE = {"x": normal("B", 3, "H", "W")}
TOKENS = {"tokens": integers(50, "B", "L")}
STEPS = {"x": normal("B", "L", 6)}
CLASSES: Mapping[str, Mapping[str, Draw]] = {
    "UNet": IMAGE,
    "ResNet": IMAGE,
    "MobileV3": IMAGE,
    "EffNet": IMAGE,
    "DwSep": {"x": normal("B", 4, "H", "W")},
    "Yolo": IMAGE,
    "Gan": {"z": normal("B", 12, 1, 1)},
    "SuperRes": {"x": normal("B", 1, "H", "W")},
    "Vae": {"x": normal("B", 20), "eps": normal("B", 4)},
    "Norms": IMAGE,
    "Stn": {"x": normal("B", 1, "H", "W")},
    "Pools": IMAGE,
    "Resize": IMAGE,
    "Conv3": {"x": normal("B", 2, 8, 8, 8)},
    "BiLstm": TOKENS,
    "GruTime": {"x": normal("L", "B", 6), "h0": normal(1, "B", 10)},
    "RnnCls": STEPS,
    "LstmProj": STEPS,
    "CellLoop": {"x": normal("B", 4, 6)},
    "Packed": {"x": STEPS["x"], "lengths": lambda size: torch.full((size("B"),), 5)},
    "TCN": {"x": normal("B", 6, "L")},
    "Encoder": TOKENS,
    "EncoderNested": {"x": normal("B", "L", 16)},
    "Mha": {"q": normal("L", "B", 16), "kv": normal("M", "B", 12)},
    "Seq2Seq": {"src": integers(40, "B", "L"), "tgt": integers(40, "B", "M")},
    "Sdpa": {"x": normal("B", "L", 16)},
    "Gqa": {
        "q": normal("B", 4, "L", 8),
        "k": normal("B", 2, "M", 8),
        "v": normal("B", 2, "M", 8),
        "mask": lambda size: torch.ones(size("L"), size("M")).tril(2).bool(),
    },
    "Rotary": {"x": normal("B", "L", 8)},
    "Moe": {"x": normal("B", 8)},
    "Shared": {"ids": integers(20, "B", "L")},
    "Einsum": {"x": normal("B", "L", 8), "y": normal("B", "L", 5)},
    "Fft": {"x": normal("B", 3, 32)},
    "Spect": {"wave": normal("B", 800)},
    "Complex": {"x": normal("B", 4, 2)},
    "Bag": {"ids": integers(30, 24), "offsets": lambda _: torch.tensor([0, 4, 9])},
    "Bag2": {"ids": integers(30, "B", "L")},
    "Nms": {
        "boxes": lambda _: torch.rand(9, 4).cumsum(-1),
        "scores": lambda _: torch.rand(9),
    },
    "Ints": {
        "a": lambda size: torch.randint(-20, 20, (size("B"), 5)),
        "b": lambda size: torch.randint(1, 7, (size("B"), 5)),
    },
    "Half": {"x": lambda size: IMAGE["x"](size).half()},
    "Bf": {"x": normal("B", 8)},
    "Dbl": {"x": normal("B", 8)},
    "DictIn": {"feats.0": normal("B", 4), "feats.1": normal("B", 4)},
    "Shapes": {"x": normal("B", "L", 8)},
    "Scatter": {
        "x": normal("B", 5),
        "idx": lambda size: torch.stack([torch.randperm(5) for _ in range(size("B"))]),
    },
    "Acts": {"x": normal("B", 6, 6)},
    "Gat": {"x": normal("L", 6), "edges": lambda size: torch.randint(0, size("L"), (2, 30))},
    "Diffusion": {**IMAGE, "t": integers(1000, "B")},
    "SelectiveScan": STEPS,
    "CacheDecoder": {
        **TOKENS,
        "past_k": normal("B", 2, "M", 8),
        "past_v": normal("B", 2, "M", 8),
    },
    "Vocoder": {"x": normal("B", 10, "L")},
    "Parametrised": {"x": normal("B", "L", 8)},
    "SparseMoe": {"x": normal("B", "L", 8)},
    "Denoise": {"wave": normal("B", 800)},
    "PackedBi": {
        "x": STEPS["x"],
        "lengths": lambda size: torch.arange(size("B")) % 3 + 5,
    },
    "Deformed": IMAGE,
    "Nested": STEPS,
}
CASES: Mapping[str, Case] = {
    **{name: Case(name, inputs) for name, inputs in CLASSES.items()},
    **{
        f"{name}.pt2": Case(name, CLASSES[name], "pt2")
        for name in ("ResNet", "UNet", "Encoder", "TCN")
    },
    **{
        f"{name}.traced": Case(name, CLASSES[name], "traced")
        for name in ("ResNet", "BiLstm", "Yolo")
    },
    "Control.scripted": Case(
        "Control", {"x": normal("B", 4), "n": lambda _: torch.tensor(3)}, "scripted"
    ),
    "LoopData.scripted": Case("LoopData", {"x": normal("B", "L", 4)}, "scripted"),
    "EffNet.scripted": Case("EffNet", IMAGE, "scripted"),
    "SelectiveScan.scripted": Case("SelectiveScan", STEPS, "scripted"),
}


def drawn(inputs: Mapping[str, Draw], which: int) -> dict[str, torch.Tensor]:
    """Inputs of a size: 0 is what is given, the others are held out."""
    torch.manual_seed(100 + which)
    return {name: draw(lambda dim: SIZES[dim][which]) for name, draw in inputs.items()}


def saved(folder: Path, index: int, inputs: Mapping[str, torch.Tensor], outputs: Any) -> None:
    """Write what is held out: inputs by the names of signatures, outputs in order."""
    given = {name.replace(".", "_"): tensor.numpy() for name, tensor in inputs.items()}
    np.savez(folder / f"held{index}.inputs.npz", **given)
    leaves = [x for x in pytree.tree_leaves(outputs) if isinstance(x, torch.Tensor)]
    plain = [x.float() if x.dtype == torch.bfloat16 else x for x in leaves]
    np.savez(folder / f"held{index}.outputs.npz", *(x.numpy() for x in plain))


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Fresh statistics of 0 and 1 would hide what forgets them."""
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(0.2 * torch.randn_like(buffer))
        if name.endswith("running_var"):
            buffer.mul_(1 + torch.rand_like(buffer))
    return module.eval()


def called(module: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
    """Run a module as its caller would: `n` is a number, `feats.0` a member of a tuple."""
    arguments: dict[str, Any] = {}
    for name, tensor in inputs.items():
        plain, dot, _ = name.partition(".")
        if dot:
            arguments[plain] = (*arguments.get(plain, ()), tensor)
        else:
            arguments[name] = int(tensor) if name == "n" else tensor
    return module(**arguments)


def make_case(case: Case, folder: Path) -> dict[str, Any]:
    """Write a case; how it is converted."""
    torch.manual_seed(1)
    module = shaken(getattr(torch_models, case.model)())
    first = drawn(case.inputs, 0)
    for index in (*HELD_OUT, BATCH):
        inputs = drawn(case.inputs, index)
        saved(folder, index, inputs, called(module, inputs))
    np.savez(folder / "in.npz", **{name: tensor.numpy() for name, tensor in first.items()})
    options = ["--inputs", "in.npz"]
    if case.form == "class":
        torch.save(module.state_dict(), folder / "weights.pt")
        shutil.copy(torch_models.__file__, folder)
        return {
            "source": "weights.pt",
            "options": ["--model", f"torch_models:{case.model}", *options],
        }
    if case.form == "pt2":
        shapes = tuple(dict.fromkeys(range(x.dim()), torch.export.Dim.AUTO) for x in first.values())
        program = torch.export.export(
            module, tuple(first.values()), dynamic_shapes=shapes, strict=False
        )
        torch.export.save(program, folder / "net.pt2")
        return {"source": "net.pt2", "options": []}
    script = (
        torch.jit.script(module)
        if case.form == "scripted"
        else torch.jit.trace(module, tuple(first.values()))
    )
    torch.jit.save(script, folder / "net.jit")
    return {"source": "net.jit", "options": options}


def make_folder_case(name: str, folder: Path) -> dict[str, Any]:
    """Write a Hugging Face folder with random weights."""
    torch.manual_seed(1)
    model = make_folder(FOLDERS[name], folder / "model")
    for index in (*HELD_OUT, BATCH):
        torch.manual_seed(100 + index)
        inputs = ModelInputs(model, index).tensors()
        saved(folder, index, inputs, model(**inputs))
    return {"source": "model", "options": []}


def main() -> None:
    """Write the cases that are named, or print the names of all."""
    if len(sys.argv) == 1:
        print("\n".join([*FOLDERS, *CASES]))
        return
    torch.set_grad_enabled(False)
    # The fused kernel of transformer layers computes with other numbers.
    torch.backends.mha.set_fastpath_enabled(False)
    for name in sys.argv[2:]:
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)
        said = make_case(CASES[name], folder) if name in CASES else make_folder_case(name, folder)
        (folder / "case.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()

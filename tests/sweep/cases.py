"""What the sources of PaddlePaddle and MindSpore have in common: a case, its inputs, what is written of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Sizes by name: those of the held-out runs.
SIZES: Mapping[str, tuple[int, ...]] = {
    "B": (3, 1),
    "L": (7, 20),
    "M": (9, 14),
    "H": (64, 96),
    "W": (96, 80),
}
HELD_OUT = (0, 1)


@dataclass(frozen=True)
class Case:
    """A model and its inputs.

    Attributes:
        make: Gives the model.
        inputs: Shapes by name; sizes that are names may vary.
        below: Inputs that are integers from 0 to a limit, which is excluded.
    """

    make: Callable[[], Any]
    inputs: Mapping[str, Sequence[int | str]]
    below: Mapping[str, int] = field(default_factory=dict)

    def drawn(self, which: int, integer: str) -> dict[str, NDArray[Any]]:
        """Inputs of a held-out run; integers are of a type."""
        random = np.random.default_rng(100 + which)
        return {
            name: random.integers(self.below[name], size=shape, dtype=integer)
            if name in self.below
            else random.standard_normal(shape).astype(np.float32)
            for name, shape in (
                (name, [SIZES[d][which] if isinstance(d, str) else d for d in shape])
                for name, shape in self.inputs.items()
            )
        }

    def open_shapes(self) -> dict[str, list[int | None]]:
        """Shapes as frameworks want them: None for what may vary."""
        return {
            name: [None if isinstance(size, str) else size for size in shape]
            for name, shape in self.inputs.items()
        }


def write(folder: Path, index: int, inputs: Mapping[str, Any], outputs: Any) -> None:
    """Write what is held out: inputs by name, outputs in order."""
    found = outputs if isinstance(outputs, tuple | list) else [outputs]
    np.savez(folder / f"held{index}.inputs.npz", **inputs)
    np.savez(folder / f"held{index}.outputs.npz", *(one.numpy() for one in found))


def main(cases: Mapping[str, Case], make: Callable[[Case, Path], str]) -> None:
    """Write the cases that are named, or print the names of all.

    Args:
        cases: By name.
        make: Writes a case into a folder; gives the name of the file that is converted.
    """
    if len(sys.argv) == 1:
        print("\n".join(cases))
    for name in sys.argv[2:]:
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)
        said = {"source": make(cases[name], folder), "options": []}
        (folder / "case.json").write_text(json.dumps(said))

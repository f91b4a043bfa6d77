"""Set up the virtual environment of the project with plain pip, from pinned constraints.

python tools/install.py .venv

PyTorch comes first and on its own: on Linux x86-64 the default index carries only the CUDA build
(several GB), so where pip would take that one and this machine has no NVIDIA driver, the CPU build is
taken from PyTorch's own index. Set TORCH_INDEX to use another index for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> None:
    """Make the environment, install, and leave a mark that the Makefile looks at."""
    folder = Path(sys.argv[1]).resolve()
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True, clear=True)
    python = str(folder / "bin" / "python")
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    torch = pinned("torch")
    pip(python, "install", *constraints, *torch_index(python, torch), torch)
    pip(python, "install", *constraints, "--editable", f"{ROOT}[dev]")
    (folder / ".installed").touch()


def pinned(name: str) -> str:
    """The requirement of a package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{name}=="))


def torch_index(python: str, requirement: str) -> list[str]:
    """Options that lead pip to the CPU build, where it would take the CUDA build for nothing."""
    if index := os.environ.get("TORCH_INDEX"):
        return ["--index-url", index]
    plan = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed",
         "--report", "-", requirement],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if plan.returncode or shutil.which("nvidia-smi"):
        return []
    needs = json.loads(plan.stdout)["install"][0]["metadata"].get("requires_dist", [])
    if not any(need.startswith(("nvidia-", "cuda-")) for need in needs):
        return []
    found = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--retries", "0", "--dry-run",
         "--ignore-installed", "--index-url", CPU_INDEX, requirement],
        capture_output=True, check=False,
    )  # fmt: skip
    if found.returncode:
        print(
            "install: PyTorch's CPU index is out of reach; taking the default build",
            file=sys.stderr,
        )
        return []
    # Its own dependencies come with the rest, from the default index.
    return ["--no-deps", "--index-url", CPU_INDEX]


def pip(python: str, *arguments: str) -> None:
    """Run pip, quietly; its errors are shown and end the run."""
    done = subprocess.run(
        [python, "-m", "pip", arguments[0], "--quiet", *arguments[1:]], check=False
    )
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()

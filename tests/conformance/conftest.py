"""The clients people have, unmodified, each in an environment and a process of its own.

`make test` runs the current release; `make conformance` (POLYZOO_CONFORMANCE=all) all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

PROGRAMS = Path(__file__).with_name("programs")
ENVIRONMENTS = Path(__file__).parents[2] / "build" / "clients"
ALL = os.environ.get("POLYZOO_CONFORMANCE") == "all"
HUGGING_FACE = ("huggingface_hub==2.4.0", "huggingface_hub==1.33.0", "huggingface_hub==0.36.0")
MODELSCOPE = ("modelscope==1.40.2", "modelscope==1.33.0")
TRANSFORMERS = "transformers"


def python_with(requirement: str) -> Path:
    """The interpreter of an environment that has a client and nothing else; made once."""
    place = ENVIRONMENTS / requirement.replace("==", "-")
    python = place / "bin" / "python"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")):
        done = place / ".installed"
        if not done.is_file():
            # transformers needs the torch that is here.
            venv.create(place, with_pip=True, clear=True, system_site_packages=False)
            if requirement == TRANSFORMERS:
                site = next(place.glob("lib/python*/site-packages"))
                own = next(p for p in sys.path if p.endswith("site-packages"))
                (site / "here.pth").write_text(own)
            # Releases of ModelScope's client look for setuptools without saying so.
            command = [python, "-m", "pip", "install", "--quiet", requirement, "setuptools<81"]
            subprocess.run(command, check=True)
            done.touch()
    return python


@pytest.fixture(scope="session", params=HUGGING_FACE if ALL else HUGGING_FACE[:1])
def hugging_face(request: Any) -> Path:
    """Python with a release of Hugging Face's client."""
    return python_with(request.param)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Runs a program in a client's environment; gives the JSON in its last line."""

    def start(python: Path, program: str, endpoint: str, *arguments: str, **more: str) -> Any:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("HF_", "MODELSCOPE_", "POLYZOO_", "PYTHONPATH"))
        }
        environment = {
            **clean,
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "MODELSCOPE_ENDPOINT": endpoint,
            "MODELSCOPE_CACHE": str(home / "ms"),
            **more,
        }
        done = subprocess.run(
            [python, PROGRAMS / f"{program}.py", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=environment,
            cwd=home,
        )
        assert done.returncode == 0, done.stderr[-6000:]
        return json.loads(done.stdout.splitlines()[-1])

    return start

"""The zoo: what a model is, where its bytes are, and how to fetch and load it.

import zoo

model = zoo.load("paddleocr/pp-ocrv4-rec", framework="mindspore")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.client import Client
    from zoo.fetch import load, pull, search

__version__ = "0.1.0"

__all__ = ["Client", "__version__", "load", "pull", "search"]

# Imported when they are first asked for, so that `import zoo` is quick.
_HOMES = {"Client": "zoo.client", "load": "zoo.fetch", "pull": "zoo.fetch", "search": "zoo.fetch"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

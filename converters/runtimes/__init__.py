"""Runtimes: a framework in a process of its own.

`frameworks.py` names the frameworks, `worker.py` is the child's side, `process.py` the parent's. Two
frameworks cannot always live in one process, and what a framework runs may hang, crash or eat all memory;
here it does so alone, within limits, and its error comes back whole.
"""

from converters.runtimes.frameworks import FRAMEWORKS, Framework, framework
from converters.runtimes.process import Limits, Runtime

__all__ = ["FRAMEWORKS", "Framework", "Limits", "Runtime", "framework"]

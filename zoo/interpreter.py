"""How Python is asked to run a program beside this one."""

from __future__ import annotations

import sys

# Python 3.10 cannot be told.
_SAFE = ("-P",) if sys.version_info >= (3, 11) else ()


def running(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as a program, whatever lies in the working directory.

    `python -m` looks there before anywhere else: a `json.py` of somebody's, or a directory `zoo`, would be
    taken for what they are not.
    """
    return [sys.executable, *_SAFE, "-m", module, *arguments]

"""What can go wrong in a conversion, one class for each thing that a caller can do about it.

    ConversionError
    ├── UsageError              status 2   the call itself is wrong
    ├── UnsupportedError        status 3   correct input that we cannot convert (yet)
    │   └── UnsupportedOperators           ... because of these operators
    ├── MismatchError           status 4   the result differs from its source
    ├── UnsafeInput             status 5   malformed or hostile input, refused
    ├── MissingRuntime          status 2   a framework (or its extra) is not installed
    └── RuntimeFailed           status 1   a framework's own process failed; carries its whole error

`status` is the exit status of the commands; `code` is stable and meant for programs; `fix` is the
next thing to do. A message says what was wrong and where; the edge prints `message` and `fix`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


class ConversionError(Exception):
    """Base of every error that `converters` raises on purpose."""

    status: ClassVar[int] = 1
    code: ClassVar[str] = "conversion-failed"

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class UsageError(ConversionError):
    """The call is wrong: an unknown framework name, a missing file, contradicting options."""

    status = 2
    code = "usage"


class MissingRuntime(ConversionError):
    """A framework is not installed for the interpreter that should run it."""

    status = 2
    code = "missing-runtime"


class UnsupportedError(ConversionError):
    """The input is well-formed, but this version cannot convert it."""

    status = 3
    code = "unsupported"


@dataclass(frozen=True)
class Unsupported:
    """One reason why an operator cannot be emitted.

    `operator` is `Op` or `domain::Op`; `node` names its first use; `count` its uses; `reason` is
    empty where the operator is unknown as a whole, else the attribute and value that is refused.
    """

    operator: str
    node: str
    count: int
    reason: str = ""

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"{self.operator} (x{self.count}, first at {self.node}){why}"


class UnsupportedOperators(UnsupportedError):
    """A graph has operators that a framework cannot be given; lists every one of them, once."""

    code = "unsupported-operators"

    def __init__(self, framework: str, operators: list[Unsupported]) -> None:
        self.framework = framework
        self.operators = operators
        listed = "; ".join(str(operator) for operator in operators)
        super().__init__(
            f"{framework}: {len(operators)} unsupported operator(s): {listed}",
            fix="convert to another framework, or see docs/adding-an-operator.md",
        )


class MismatchError(ConversionError):
    """The converted model computes something else than its source."""

    status = 4
    code = "mismatch"


class UnsafeInput(ConversionError):
    """A file is malformed, truncated or hostile and was refused before anything was written."""

    status = 5
    code = "unsafe-input"


class RuntimeFailed(ConversionError):
    """A framework's process raised, crashed, ran out of time or out of memory.

    `detail` carries its traceback and the last lines that it printed. `reason` says what happened in
    one word: the type of the exception that it raised, the signal that ended it (`SIGSEGV`),
    `TimeLimit`, `MemoryLimit`, or `Ended`.
    """

    code = "runtime-failed"

    def __init__(self, message: str, *, fix: str = "", detail: str = "", reason: str = "") -> None:
        super().__init__(message, fix=fix)
        self.detail = detail
        self.reason = reason


def described(error: ConversionError) -> dict[str, Any]:
    """An error as plain data, on its way out of a process; `raised` is the way back."""
    said: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message,
        "fix": error.fix,
    }
    if isinstance(error, UnsupportedOperators):
        said["framework"] = error.framework
        said["operators"] = [asdict(operator) for operator in error.operators]
    return said


def raised(said: Mapping[str, Any]) -> ConversionError:
    """The error that plain data describes."""
    if "operators" in said:
        found = [Unsupported(**operator) for operator in said["operators"]]
        return UnsupportedOperators(said["framework"], found)
    kind: type[ConversionError] = globals()[said["type"]]
    return kind(said["message"], fix=said["fix"])

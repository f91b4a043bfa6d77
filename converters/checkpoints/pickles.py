"""A pickle, read by a machine of our own that can build containers and plain values, and nothing else.

Python's unpickler calls whatever a file names. This one knows an allow-list of names, each bound to a
function written here that makes a description of a tensor; what is not in the list is never imported, and the
file is refused with all such names. Large strings of bytes stay where they are in the file, as `Span`s.

Bounds: operations, bytes of text held in memory, and lengths against the file, so that a small file cannot
take much time or memory. Keys of dictionaries are plain, so that none is costly to hash.

Source of the format: Lib/pickletools.py of CPython, protocols 0 to 5.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from converters.checkpoints.files import File, Span
from converters.errors import UnsafeInput, UnsupportedError

# Bytes beyond which a string stays in the file; the longest integer; the longest line of protocol 0.
LONGEST_HELD = 1 << 16
LONGEST_NUMBER = 256
LONGEST_LINE = 1 << 12
MOST_OPERATIONS = 8_000_000
MOST_HELD = 256 << 20
HIGHEST_PROTOCOL = 5
DEEPEST_KEY = 3

Call: TypeAlias = Callable[..., Any]
Global: TypeAlias = "tuple[str, str]"


class Refused:
    """Stands for what a file tried to import; calling it gives itself."""

    def __call__(self, *arguments: object) -> Refused:
        """Itself."""
        return self


@dataclass(frozen=True)
class Named:
    """A name of the allow-list, and what is done when the file calls it."""

    module: str
    name: str
    call: Call

    def __call__(self, *arguments: object) -> Any:
        """What the allow-list has for it."""
        return self.call(*arguments)


@dataclass(frozen=True)
class Text:
    """A long string, still in the file as UTF-8."""

    span: Span


class Built:
    """What can take a state (opcode BUILD); here, it is dropped."""

    def build(self, state: object) -> None:
        """Take the state."""


@dataclass
class Pickle:
    """One pickle of a file, read.

    Attributes:
        value: What it says.
        end: The first byte after it.
        refused: Names that it tried to import and that are not allowed, as `module.name`.
    """

    value: Any
    end: int
    refused: list[str] = field(default_factory=list)


def read_pickle(
    file: File,
    start: int,
    end: int,
    allowed: Mapping[Global, Call],
    persistent: Call | None = None,
) -> Pickle:
    """Read one pickle.

    Args:
        file: The file that it stands in.
        start: Its first byte.
        end: The first byte that cannot belong to it.
        allowed: What the file may name, and what is called for it.
        persistent: What gives the object of a persistent id (torch: a storage).

    Raises:
        UnsafeInput: It is malformed, too large, or names what is not in the allow-list.
        UnsupportedError: Protocol 6 or newer, or buffers outside the file.
    """
    machine = _Machine(file, start, end, allowed, persistent)
    try:
        value = machine.run()
    except (
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
        struct.error,
    ) as error:
        raise UnsafeInput(
            f"{file.path.name}: a malformed pickle, at byte {machine.at}: {error}"
        ) from error
    if machine.refused:
        names = sorted(set(machine.refused))
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise UnsafeInput(
            f"{file.path.name}: the pickle tries to import {', '.join(names[:10])}{more};"
            " nothing of it was run",
            fix="save the weights alone (a state_dict), or as safetensors",
        )
    return Pickle(value, machine.at, machine.refused)


class _Mark:
    pass


MARK = _Mark()


class _Machine:
    """The stack, the memo, and one method for each operation."""

    def __init__(
        self,
        file: File,
        start: int,
        end: int,
        allowed: Mapping[Global, Call],
        persistent: Call | None,
    ) -> None:
        self.file = file
        self.at = start
        self.end = end
        self.view = file.bytes(0, end)
        self.allowed = allowed
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.held = 0
        self.refused: list[str] = []

    def run(self) -> Any:
        table = OPERATIONS
        view, end = self.view, self.end
        for _ in range(MOST_OPERATIONS):
            if self.at >= end:
                raise ValueError("it ends too early")
            code = view[self.at]
            self.at += 1
            if code == STOP:
                return self.stack.pop()
            operation = table.get(code)
            if operation is None:
                raise ValueError(f"no operation {bytes([code])!r}")
            operation(self)
        raise UnsafeInput(
            f"{self.file.path.name}: a pickle of more than {MOST_OPERATIONS:,} operations"
        )

    # -- reading

    def take(self, count: int) -> memoryview:
        start, after = self.at, self.at + count
        if count < 0 or after > self.end:
            raise ValueError("it ends too early")
        self.at = after
        return self.view[start:after]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        head = bytes(self.view[self.at : min(self.at + LONGEST_LINE, self.end)])
        text, newline, _ = head.partition(b"\n")
        if not newline:
            raise ValueError("a line without an end")
        self.at += len(text) + 1
        return text.decode()

    def hold(self, count: int) -> None:
        self.held += count
        if self.held > MOST_HELD:
            raise ValueError("more text than a checkpoint has")

    def bytes(self, count: int) -> bytes | Span:
        if count > LONGEST_HELD:
            start = self.at
            self.take(count)
            return Span(self.file, start, count)
        self.hold(count)
        return bytes(self.take(count))

    def text(self, count: int) -> str | Text:
        data = self.bytes(count)
        return Text(data) if isinstance(data, Span) else data.decode("utf-8", "surrogatepass")

    def byte_string(self, count: int) -> str | Span:
        # Text of Python 2, or the bytes of an array; readers of both take latin-1.
        data = self.bytes(count)
        return data if isinstance(data, Span) else data.decode("latin-1")

    # -- the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("the stack is empty")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def drop(self) -> None:
        if self.marks and len(self.stack) == self.marks[-1]:
            self.marks.pop()
        else:
            self.stack.pop()

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    # -- operations that are more than one line

    def protocol(self) -> None:
        version = self.number(1)
        if version > HIGHEST_PROTOCOL:
            raise UnsupportedError(
                f"{self.file.path.name}: pickle protocol {version}", fix="save it with protocol 4"
            )

    def long(self, count: int) -> None:
        if count > LONGEST_NUMBER:
            raise ValueError(f"an integer of {count} bytes")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def text_number(self) -> None:
        text = self.line().rstrip("L")
        if len(text) > LONGEST_NUMBER:
            raise ValueError(f"an integer of {len(text)} digits")
        # Protocol 0 and 1 write booleans so.
        self.push({"00": False, "01": True}.get(text) if text in ("00", "01") else int(text))

    def text_string(self) -> None:
        text = self.line()
        if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
            raise ValueError("a string without quotes")
        self.push(text[1:-1].encode().decode("unicode_escape"))

    def setitems(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Refused):
            return
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("items set in what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value

    def extend(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Refused):
            return
        if isinstance(target, set):
            target.update(plain_key(item) for item in items)
        elif isinstance(target, list):
            target.extend(items)
        else:
            raise TypeError("items added to what is no list")

    def find(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name that is no text")
        call = self.allowed.get((module, name))
        if call is None:
            self.refused.append(f"{module}.{name}")
            self.push(Refused())
        else:
            self.push(Named(module, name, call))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Named | Refused) or not isinstance(arguments, tuple):
            raise TypeError("a call of what is no function")
        made = function(*arguments)
        # A short call can copy something long, again and again.
        self.hold(sys.getsizeof(made))
        self.push(made)

    def stack_global(self) -> None:
        name = self.pop()
        self.find(self.pop(), name)

    def reduce(self) -> None:
        arguments = self.pop()
        self.call(self.pop(), arguments)

    def new_with_names(self) -> None:
        names = self.pop()
        arguments = self.pop()
        if names:
            raise TypeError("arguments by name")
        self.call(self.pop(), arguments)

    def instance(self) -> None:
        module, name = self.line(), self.line()
        self.find(module, name)
        function = self.pop()
        self.call(function, tuple(self.pop_mark()))

    def object(self) -> None:
        function, *arguments = self.pop_mark()
        self.call(function, tuple(arguments))

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Built):
            target.build(state)
        elif not isinstance(target, dict | list | set | Refused):
            raise TypeError("a state for what takes none")

    def persistent_object(self) -> None:
        if self.persistent is None:
            raise UnsafeInput(
                f"{self.file.path.name}: a persistent id in a pickle that should have none"
            )
        self.push(self.persistent(self.pop()))

    def set_one(self) -> None:
        value = self.pop()
        key = self.pop()
        self.setitems(self.top(), [key, value])

    def set_marked(self) -> None:
        items = self.pop_mark()
        self.setitems(self.top(), items)

    def append_one(self) -> None:
        value = self.pop()
        self.extend(self.top(), [value])

    def append_marked(self) -> None:
        items = self.pop_mark()
        self.extend(self.top(), items)

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def dict_of_marked(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.setitems(self.stack[-1], items)

    def outside_buffer(self) -> None:
        raise UnsupportedError(
            f"{self.file.path.name}: a pickle whose arrays are in another place",
            fix="save it without out-of-band buffers",
        )


def plain_key(key: Any, depth: int = 0) -> Any:
    """A key that is cheap to hash: plain, or a flat tuple of plain values.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(key, str | int | float | bytes | None):
        return key
    if isinstance(key, tuple) and depth < DEEPEST_KEY and len(key) <= 16:
        return tuple(plain_key(part, depth + 1) for part in key)
    if isinstance(key, Refused):
        return "refused"
    raise TypeError(f"a key of type {type(key).__name__}")


STOP = ord(".")
_Operation: TypeAlias = Callable[[_Machine], None]
# fmt: off
OPERATIONS: Mapping[int, _Operation] = {ord(code): operation for code, operation in {
    "\x80": _Machine.protocol,
    "\x95": lambda m: m.take(8) and None,                       # FRAME
    "(": lambda m: m.marks.append(len(m.stack)),                # MARK
    "0": _Machine.drop,
    "1": lambda m: m.pop_mark() and None,                       # POP_MARK
    "2": lambda m: m.push(m.top()),                             # DUP
    # plain values
    "N": lambda m: m.push(None),
    "\x88": lambda m: m.push(True),
    "\x89": lambda m: m.push(False),
    "I": _Machine.text_number,
    "L": _Machine.text_number,
    "K": lambda m: m.push(m.number(1)),
    "M": lambda m: m.push(m.number(2)),
    "J": lambda m: m.long(4),
    "\x8a": lambda m: m.long(m.number(1)),
    "\x8b": lambda m: m.long(m.number(4)),
    "F": lambda m: m.push(float(m.line())),
    "G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    # text and bytes
    "S": _Machine.text_string,
    "V": lambda m: m.push(m.line().encode("latin-1", "backslashreplace").decode("raw_unicode_escape")),
    "T": lambda m: m.push(m.byte_string(m.number(4))),
    "U": lambda m: m.push(m.byte_string(m.number(1))),
    "X": lambda m: m.push(m.text(m.number(4))),
    "\x8c": lambda m: m.push(m.text(m.number(1))),
    "\x8d": lambda m: m.push(m.text(m.number(8))),
    "B": lambda m: m.push(m.bytes(m.number(4))),
    "C": lambda m: m.push(m.bytes(m.number(1))),
    "\x8e": lambda m: m.push(m.bytes(m.number(8))),
    "\x96": lambda m: m.push(m.bytes(m.number(8))),             # BYTEARRAY8
    "\x97": _Machine.outside_buffer,
    "\x98": lambda m: None,                                     # READONLY_BUFFER
    # containers
    ")": lambda m: m.push(()),
    "t": lambda m: m.push(tuple(m.pop_mark())),
    "\x85": lambda m: m.tuple_of(1),
    "\x86": lambda m: m.tuple_of(2),
    "\x87": lambda m: m.tuple_of(3),
    "]": lambda m: m.push([]),
    "l": lambda m: m.push(m.pop_mark()),
    "a": _Machine.append_one,
    "e": _Machine.append_marked,
    "}": lambda m: m.push({}),
    "d": _Machine.dict_of_marked,
    "s": _Machine.set_one,
    "u": _Machine.set_marked,
    "\x8f": lambda m: m.push(set()),
    "\x90": _Machine.append_marked,                             # ADDITEMS
    "\x91": lambda m: m.push(frozenset(plain_key(item) for item in m.pop_mark())),
    # the memo
    "g": lambda m: m.push(m.memo[int(m.line())]),
    "h": lambda m: m.push(m.memo[m.number(1)]),
    "j": lambda m: m.push(m.memo[m.number(4)]),
    "p": lambda m: m.put(int(m.line())),
    "q": lambda m: m.put(m.number(1)),
    "r": lambda m: m.put(m.number(4)),
    "\x94": lambda m: m.put(len(m.memo)),
    # names and calls
    "c": lambda m: m.find(m.line(), m.line()),
    "\x93": _Machine.stack_global,
    "R": _Machine.reduce,
    "\x81": _Machine.reduce,                                    # NEWOBJ
    "\x92": _Machine.new_with_names,
    "i": _Machine.instance,
    "o": _Machine.object,
    "b": _Machine.build,
    "Q": _Machine.persistent_object,
}.items()}
# fmt: on


def _ordered(items: Any = ()) -> dict[Any, Any]:
    pairs = items.items() if isinstance(items, dict) else items
    return {plain_key(key): value for key, value in pairs}


def _default(factory: object = None, items: Any = ()) -> dict[Any, Any]:
    return _ordered(items)


def _plain(kind: type) -> Call:
    """A call of a plain type with plain values: their text, or their numbers."""

    def make(*arguments: Any) -> Any:
        if not all(isinstance(a, str | bytes | int | float | None) for a in arguments):
            raise TypeError(f"{kind.__name__} of something else than plain values")
        return kind(*arguments)

    return make


def _sequence(kind: Callable[[Any], Any]) -> Call:
    def make(items: Any = ()) -> Any:
        if not isinstance(items, tuple | list | set | frozenset | dict | str):
            raise TypeError("a container of something else than a container")
        if kind in (set, frozenset):
            return kind(plain_key(item) for item in items)
        return kind(items)

    return make


def _no_bytes(*arguments: Any) -> bytes:
    """Protocol 2 writes empty bytes as a call without arguments."""
    if arguments:
        raise TypeError("bytes that are made of something")
    return b""


def encoded(text: Any, encoding: str = "utf-8") -> bytes | Text:
    """`_codecs.encode`, by which protocol 2 writes bytes: as text in latin-1.

    Raises:
        TypeError: Another encoding, or no text.
    """
    if encoding.replace("-", "").replace("_", "").lower() not in ("latin1", "iso88591"):
        raise TypeError(f"text encoded as {encoding!r}")
    return text if isinstance(text, Text) else str(text).encode("latin-1")


_BUILTINS: Mapping[str, Call] = {
    "dict": _ordered,
    "list": _sequence(list),
    "tuple": _sequence(tuple),
    "set": _sequence(set),
    "frozenset": _sequence(frozenset),
    "int": _plain(int),
    "float": _plain(float),
    "bool": _plain(bool),
    "complex": _plain(complex),
    "bytes": _no_bytes,
    "bytearray": _no_bytes,
    "str": _plain(str),
    "unicode": _plain(str),
    "long": _plain(int),
}

# Containers and plain values; the name of a factory (`defaultdict(list)`) is one of these too.
PLAIN: Mapping[Global, Call] = {
    **{
        (module, name): call
        for module in ("builtins", "__builtin__")
        for name, call in _BUILTINS.items()
    },
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _default,
    ("collections", "Counter"): _ordered,
    ("_codecs", "encode"): encoded,
}

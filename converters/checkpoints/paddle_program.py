"""Parameters of Paddle's inference models: tensors without names, beside a program that names them.

    NAME.pdiparams beside NAME.json       all tensors in one file; the program in Paddle's new form (PIR)
    NAME.pdiparams beside NAME.pdmodel    the same; the program a protobuf `ProgramDesc`
    __params__ beside __model__           the same, as Paddle 1 named them (`params`, `model` too)
    a folder with __model__               one file per parameter, named as the parameter

One tensor, little endian::

    u32  version of the outer form, 0
    u64  levels of detail; for each a u64 count of bytes, and the bytes
    u32  version of the inner form, 0
    i32  bytes of the description
    ...  description: TensorDesc { required Type data_type = 1; repeated int64 dims = 2; }
    ...  elements, row-major

In one file the tensors are in the order of their names, whatever the order in the program. A program may have
several functions, each in a file of its own (`NAME.FUNCTION.json`), that share `NAME.pdiparams`. Tensors have the
names that the program gives them (`linear_0.w_0`). What attributes a layer had is said in `NAME.pdiparams.info`, a
pickle, which is not read here.

Source: paddle/base/proto/framework_pb2.py (schema of `ProgramDesc`); paddle/static/io.py and
paddle/static/pir_io.py (`save_vars`); paddle/jit/api.py (`save`); the form of a PIR program and of a tensor as
PaddlePaddle 3.3 writes them.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from converters.checkpoints.beside import beside
from converters.checkpoints.checkpoint import Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.placing import SURROGATES
from converters.checkpoints.protobuf import (
    BYTES,
    MOST_FIELDS,
    VARINT,
    Field,
    expect,
    fields,
    numbers,
    signed,
    text,
)
from converters.checkpoints.tensors import (
    LARGEST_RANK,
    LARGEST_SIZE,
    Array,
    Stored,
    Tensor,
    checked_shape,
    stored,
)
from converters.dtypes import BY_NAME, ElementType
from converters.errors import UnsafeInput, UnsupportedError, UsageError

PARAMETERS_SUFFIX = ".pdiparams"
# Where both are there, Paddle 3 takes the first.
PROGRAM_SUFFIXES = (".json", ".pdmodel")
OLD_PROGRAMS = ("__model__", "model")
OLD_PARAMETERS = ("__params__", "params")

# Names of the element type: in `VarType.Type`, and in a PIR program.
_KINDS: tuple[tuple[str, int, str], ...] = (
    ("bool", 0, "t_bool"),
    ("int16", 1, "t_i16"),
    ("int32", 2, "t_i32"),
    ("int64", 3, "t_i64"),
    ("float16", 4, "t_f16"),
    ("float32", 5, "t_f32"),
    ("float64", 6, "t_f64"),
    ("uint8", 20, "t_ui8"),
    ("int8", 21, "t_i8"),
    ("bfloat16", 22, "t_bf16"),
    ("complex64", 23, "t_c64"),
    ("complex128", 24, "t_c128"),
    ("float8_e4m3fn", 32, "t_f8e4m3fn"),
    ("float8_e5m2", 33, "t_f8e5m2"),
)
BY_NUMBER: Mapping[int, ElementType] = {number: BY_NAME[name] for name, number, _ in _KINDS}
BY_PIR: Mapping[str, ElementType] = {pir: BY_NAME[name] for name, _, pir in _KINDS}

# `VarType.Type` of what is persistable.
DENSE_TENSOR = 7
# Inputs, outputs, readers and raw values: persistable, but never saved.
NEVER_SAVED = frozenset({9, 10, 15, 17})

# Sequences in sequences; Paddle's own models had two at most.
MOST_LEVELS = 64
MOST_FIELDS_OF_TENSOR = 128
# A PIR program is read at once; those of the largest models are a few MiB, with a value in every seven bytes.
LARGEST_PROGRAM = 32 << 20
MOST_VALUES = 4_000_000


@dataclass(frozen=True)
class Parameter:
    """What a program says of a parameter.

    Attributes:
        kind: Its element type.
        dims: Its dimensions; negative ones may be anything.
    """

    kind: ElementType
    dims: tuple[int, ...]

    def fits(self, kind: ElementType, shape: tuple[int, ...]) -> bool:
        """Whether a tensor is what the program says."""
        return (
            kind == self.kind
            and len(shape) == len(self.dims)
            and all(
                said in (size, min(said, -1)) for said, size in zip(self.dims, shape, strict=True)
            )
        )

    def __str__(self) -> str:
        return f"{self.kind.name} {list(self.dims)}"


@dataclass(frozen=True, eq=False)
class Apart(Tensor):
    """A tensor in a file of its own, opened when it is wanted: a process has fewer files than models have."""

    kind: ElementType
    shape: tuple[int, ...]
    open: Callable[[], Stored]

    @property
    def spans(self) -> tuple[Span, ...]:
        """Its elements in the file."""
        return self.open().spans

    def blocks(self) -> Iterator[Array]:
        """Pieces of the mapped file."""
        return self.open().blocks()

    def array(self) -> Array:
        """A view of the mapped file."""
        return self.open().array()


def read(path: Path) -> Checkpoint:
    """Open the parameters of an inference model; nothing of the program is executed.

    Args:
        path: The parameters, the program, or the folder of both.

    Raises:
        UsageError: There is no such file, or the folder has several models.
        UnsafeInput: A file is malformed, contradicts the program, or is outside the folder.
        UnsupportedError: The program or the parameters are missing, or are of a type that is not read here.
    """
    path = _in_folder(path) if path.is_dir() else path
    programs = _programs(path)
    wanted = _wanted(programs[:1])
    combined = _combined(path, programs[0], wanted)
    sources: tuple[Path, ...]
    tensors: Mapping[str, Tensor]
    if combined is None:
        programs = programs[:1]
        files = {name: _own_file(programs[0], name) for name in sorted(wanted)}
        sources = tuple(files.values())
        tensors = {name: _apart(file, name, wanted[name]) for name, file in files.items()}
    elif wanted or combined.is_file():
        sources = (combined,)
        programs, tensors = _together(File(combined), programs)
    else:
        sources, tensors = (), {}
    return Checkpoint(
        "pdiparams",
        tensors,
        (*programs, *sources),
        framework="paddle",
        metadata={"program": ", ".join(program.name for program in programs)},
    )


def _in_folder(folder: Path) -> Path:
    """The file that says which model a folder holds."""
    for name in OLD_PROGRAMS:
        if (folder / name).is_file():
            return folder / name
    found = [file for file in _listed(folder) if file.name.endswith(PARAMETERS_SUFFIX)]
    if len(found) > 1:
        raise UsageError(
            f"{folder}: a folder with {len(found)} files {PARAMETERS_SUFFIX}",
            fix="name the file itself",
        )
    if not found:
        raise UnsupportedError(
            f"{folder}: neither a {PARAMETERS_SUFFIX} nor a {OLD_PROGRAMS[0]} is in it",
            fix="name the parameters of a Paddle inference model",
        )
    return found[0]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"{folder}: {error.strerror}", fix="name a folder that can be read"
        ) from error


def _programs(path: Path) -> tuple[Path, ...]:
    """The program that names the tensors of a file; behind it other functions of the same model."""
    folder, name = path.parent, path.name
    if name in OLD_PROGRAMS:
        return (path,)
    for suffix in PROGRAM_SUFFIXES:
        if name.endswith(suffix):
            return (path, *_functions(folder, name.removesuffix(suffix), suffix))
    candidates: list[str] = []
    if name.endswith(PARAMETERS_SUFFIX):
        stem = name.removesuffix(PARAMETERS_SUFFIX)
        for suffix in PROGRAM_SUFFIXES:
            candidates.append(stem + suffix)
            if (folder / candidates[-1]).is_file():
                return (folder / candidates[-1], *_functions(folder, stem, suffix))
    for old in OLD_PROGRAMS:
        if (folder / old).is_file():
            return (folder / old,)
    expected = " or ".join(candidates or OLD_PROGRAMS[:1])
    raise UnsupportedError(
        f"{name}: the names of its tensors are in the program; {expected} must lie beside it",
        fix=f"fetch {expected} into the same folder",
    )


def _functions(folder: Path, stem: str, suffix: str) -> list[Path]:
    """Programs `STEM.FUNCTION`: they may share the parameters, or have their own."""
    return [
        file
        for file in _listed(folder)
        if file.name.startswith(f"{stem}.")
        and file.name.endswith(suffix)
        and file.name != stem + suffix
        and _is_program(file)
    ]


def _is_program(path: Path) -> bool:
    """Whether a file begins as a program does: other JSON may lie beside one too."""
    if not path.is_file():
        return False
    file = File(path)
    head = bytes(file.bytes(0, min(file.size, 64)))
    return head[:1] == b"\n" or b'"base_code"' in head


def _combined(path: Path, program: Path, wanted: Mapping[str, Parameter]) -> Path | None:
    """The file of all parameters; None where each has its own."""
    for suffix in PROGRAM_SUFFIXES:
        if program.name.endswith(suffix):
            combined = program.with_name(program.name.removesuffix(suffix) + PARAMETERS_SUFFIX)
            if wanted and not combined.is_file():
                raise UnsupportedError(
                    f"{program.name}: its parameters are in {combined.name}, which must lie beside it",
                    fix=f"fetch {combined.name} into the same folder",
                )
            return combined
    if path.name != program.name and path.name not in wanted:
        return path
    for name in OLD_PARAMETERS:
        if name not in wanted and program.with_name(name).is_file():
            return program.with_name(name)
    return None


def _wanted(programs: tuple[Path, ...]) -> dict[str, Parameter]:
    """What programs say of their parameters, by name."""
    wanted: dict[str, Parameter] = {}
    for program in programs:
        for name, parameter in _parameters(File(program)):
            if wanted.setdefault(name, parameter) != parameter:
                raise UnsafeInput(
                    f"{program.name}: {name!r} is {parameter} and {wanted[name]}",
                    fix="save the model again",
                )
    return wanted


def _together(
    file: File, programs: tuple[Path, ...]
) -> tuple[tuple[Path, ...], Mapping[str, Tensor]]:
    """Tensors that follow each other in one file; and the programs that they are for: the first, or all."""
    end = 0
    for chosen in (programs[:1], programs):
        tensors: dict[str, Tensor] = {}
        end = 0
        wanted = _wanted(chosen)
        for name in sorted(wanted):
            tensors[name], end = _tensor(file, end, name)
        if end == file.size:
            for name, tensor in tensors.items():
                _agree(file, name, tensor, wanted[name])
            return chosen, tensors
    raise _left_over(file, end)


def _own_file(program: Path, name: str) -> Path:
    if "/" in name or name in (".", ".."):
        raise UnsafeInput(f"{program.name}: it names a file outside its folder: {name[:200]!r}")
    return beside(program.parent, name, program.name)


def _apart(path: Path, name: str, parameter: Parameter) -> Tensor:
    """A tensor that is the only one in its file."""

    def whole() -> Stored:
        file = File(path)
        tensor, end = _tensor(file, 0, name)
        if end != file.size:
            raise _left_over(file, end)
        _agree(file, name, tensor, parameter)
        return tensor

    first = whole()
    return Apart(first.kind, first.shape, whole)


def _tensor(file: File, at: int, name: str) -> tuple[Stored, int]:
    """A tensor, and the position behind it."""
    where = f"{file.path.name}: {name!r}"
    unpack = partial(_unpack, file)
    version, levels = unpack("<IQ", at)
    _known_version(version, where)
    if levels > MOST_LEVELS:
        raise UnsafeInput(f"{where}: {levels} levels of detail; it is malformed")
    at += 12
    for _ in range(levels):
        (length,) = unpack("<Q", at)
        at += 8 + length
    version, length = unpack("<Ii", at)
    _known_version(version, where)
    at += 8
    budget = iter(range(MOST_FIELDS_OF_TENSOR))
    kind, dims = _description(file.bytes(at, length), where, 0, length, budget)
    at += length
    shape = checked_shape(dims, where)
    part = Span(file, at, math.prod(shape) * kind.bytes)
    return stored(kind, shape, (part,), where), at + part.length


def _unpack(file: File, form: str, at: int) -> tuple[int, ...]:
    return struct.unpack(form, file.bytes(at, struct.calcsize(form)))


def _known_version(version: int, where: str) -> None:
    if version:
        raise UnsafeInput(
            f"{where}: version {version} where a tensor should begin; there is only 0",
            fix="fetch parameters and program of the same model",
        )


def _agree(file: File, name: str, tensor: Tensor, parameter: Parameter) -> None:
    if not parameter.fits(tensor.kind, tensor.shape):
        here = Parameter(tensor.kind, tensor.shape)
        raise UnsafeInput(
            f"{file.path.name}: {name!r}: {here} here, {parameter} in the program",
            fix="fetch parameters and program of the same model",
        )


def _left_over(file: File, end: int) -> UnsafeInput:
    return UnsafeInput(
        f"{file.path.name}: {file.size - end} bytes behind the last tensor of the program",
        fix="fetch parameters and program of the same model",
    )


def _parameters(file: File) -> Iterator[tuple[str, Parameter]]:
    """What a program says of its parameters, by name.

    Raises:
        UnsafeInput: It is malformed.
        UnsupportedError: A parameter is of a type that is not read here.
    """
    head = bytes(file.bytes(0, min(file.size, 64)))
    found = _of_pir if head.lstrip()[:1] == b"{" else _of_description
    for name, parameter in found(file):
        if not name or SURROGATES.search(name):
            raise UnsafeInput(f"{file.path.name}: {name!r} cannot name a tensor")
        yield name, parameter


def _of_description(file: File) -> Iterator[tuple[str, Parameter]]:
    """Parameters of a `ProgramDesc`: `blocks = 1`; of each `vars = 3`."""
    view, where = file.bytes(0, file.size), file.path.name
    budget = iter(range(MOST_FIELDS))
    blocks = 0
    for block in fields(view, where, budget=budget):
        if block.number != 1:
            continue
        blocks += 1
        expect(block, BYTES, where)
        for variable in fields(view, where, block.start, block.end, budget):
            if variable.number == 3:
                yield from _of_variable(view, variable, where, budget)
    if not blocks:
        raise UnsafeInput(f"{where}: not a program of Paddle", fix="fetch the file again")


def _of_variable(
    view: memoryview, variable: Field, where: str, budget: Iterator[int]
) -> Iterator[tuple[str, Parameter]]:
    """A `VarDesc` (`name = 1; VarType type = 2; persistable = 3`), if it is a parameter."""

    def within(outer: Field) -> dict[int, Field]:
        expect(outer, BYTES, where)
        return {
            field.number: field for field in fields(view, where, outer.start, outer.end, budget)
        }

    def need(inner: Mapping[int, Field], number: int, of: str) -> Field:
        if number not in inner:
            raise UnsafeInput(f"{where}: {of} lacks its field {number}")
        return inner[number]

    said = within(variable)
    if 3 not in said or not expect(said[3], VARINT, where).value:
        return
    name = text(view, need(said, 1, "a variable"), where)
    # `Type type = 1; DenseTensorDesc dense_tensor = 3`, and in that `TensorDesc tensor = 1`.
    kind = within(need(said, 2, repr(name)))
    number = expect(need(kind, 1, repr(name)), VARINT, where).value
    if number in NEVER_SAVED:
        return
    if number != DENSE_TENSOR:
        raise UnsupportedError(
            f"{where}: {name!r} is a variable of type {number}, not a dense tensor",
            fix="save the model with dense tensors alone",
        )
    tensor = expect(need(within(need(kind, 3, repr(name))), 1, repr(name)), BYTES, where)
    element, dims = _description(view, f"{where}: {name!r}", tensor.start, tensor.end, budget)
    yield name, Parameter(element, tuple(dims))


def _description(
    view: memoryview, where: str, start: int, end: int, budget: Iterator[int]
) -> tuple[ElementType, Sequence[int]]:
    """A `TensorDesc`: element type and dimensions."""
    number = None
    dims: list[int] = []
    for field in fields(view, where, start, end, budget):
        if field.number == 1:
            number = expect(field, VARINT, where).value
        elif field.number == 2:
            dims += map(signed, islice(numbers(view, field, where), LARGEST_RANK + 1))
            if len(dims) > LARGEST_RANK:
                raise UnsafeInput(f"{where}: a tensor of more than {LARGEST_RANK} dimensions")
    if number is None:
        raise UnsafeInput(f"{where}: a tensor without an element type")
    return _kind(BY_NUMBER, number, where), dims


def _kind(table: Mapping[Any, ElementType], said: int | str, where: str) -> ElementType:
    if said not in table:
        raise UnsupportedError(
            f"{where}: element type {str(said)[:100]!r} is not read here",
            fix=f"save the model in one of: {', '.join(kind.name for kind in table.values())}",
        )
    return table[said]


def _of_pir(file: File) -> Iterator[tuple[str, Parameter]]:
    """Parameters of a PIR program: operators `p` of its first block.

    `A` are attributes, the last one the name; `O` is the result, `TT` its type and `D` of that the element type and
    the dimensions; `OA` are attributes of the result, the first whether it is persistable.
    """
    where = file.path.name
    if file.size > LARGEST_PROGRAM:
        raise UnsupportedError(
            f"{where}: a program of {file.size} bytes; at most {LARGEST_PROGRAM} are read",
            fix="save the model as .pdmodel",
        )
    raw = bytes(file.bytes(0, file.size))
    if sum(map(raw.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise UnsafeInput(f"{where}: more than {MOST_VALUES} values in the program")
    try:
        said = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise UnsafeInput(f"{where}: malformed JSON", fix="fetch the file again") from error
    match said:
        case {"program": {"regions": [{"blocks": [{"ops": [*operators]}, *_]}, *_]}}:
            pass
        case _:
            raise UnsafeInput(f"{where}: not a program of Paddle", fix="fetch the file again")
    for operator in operators:
        match operator:
            case {"#": "p", "OA": [0 | False, *_]}:
                continue
            case {
                "#": "p",
                "A": [_, _, _, str(name), *_],
                "O": {"TT": {"#": str(form), "D": [{"#": str(kind)}, [*dims], *_]}},
            } if form.endswith(".t_dtensor") and _are_dims(dims):
                element = _kind(BY_PIR, kind.rpartition(".")[2], f"{where}: {name[:200]!r}")
                yield name, Parameter(element, tuple(dims))
            case {"#": "p"}:
                raise UnsafeInput(f"{where}: a parameter that is no dense tensor, or malformed")


def _are_dims(dims: list[object]) -> bool:
    return len(dims) <= LARGEST_RANK and all(
        isinstance(size, int) and -1 <= size < LARGEST_SIZE for size in dims
    )

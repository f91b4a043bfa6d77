"""What differs between frameworks beyond their operators, as one record each.

Adding a framework: a folder `emitters/<key>/` with `ops.py` (its operator table), `functions.py`
(source that is copied into emitted modules), `infer.py.txt` (the inference script) and a record here;
see docs/adding-a-framework.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from converters.emitters.lower import Spelling
from converters.emitters.table import Table
from converters.graph.model import Array


@dataclass(frozen=True)
class Framework:
    """How modules are written in one framework.

    Attributes:
        key: `pytorch`, `paddle`, `mindspore`.
        table: Its operators.
        spelling: Its expressions for tensors and element types.
        imports: Import lines by the name that they bind; only those that are used are written.
        module: Base class of modules.
        forward: Name of the method that computes.
        tensor: Annotation of tensors.
        module_list: Class that holds repeated modules.
        sequential: Class that calls its modules one after the other.
        modules: Classes for what stands between layers there. A key is a function, whose arguments behind
            the first one become those of the class (where `...` is, if it has some of its own), or a whole
            expression with `_` for the tensor.
        parameter: How a bare parameter is made: `{shape}`, `{dtype}`; assigned to an attribute.
        buffer: A statement that makes a bare constant that is saved with the weights: `{name}` too.
        weights_file: Name of the file with the weights.
        write_weights: Writes it, framework-free.
        arguments: Names of the positional arguments of constructors, for classes that are made with
            different sizes.
        defaults: The keyword arguments of constructors that are left out where they are at these
            values, so that a layer with `stride=2` and one without are of the same form.
        folder: Where `functions.py` and the inference script stand.
    """

    key: str
    title: str
    table: Table
    spelling: Spelling
    imports: Mapping[str, str]
    module: str
    forward: str
    tensor: str
    module_list: str
    sequential: str
    modules: Mapping[str, str]
    parameter: str
    buffer: str
    weights_file: str
    weights_format: str
    targets: tuple[str, ...]
    write_weights: Callable[[Path, Mapping[str, Array]], None]
    arguments: Mapping[str, tuple[str, ...]]
    defaults: Mapping[str, Mapping[str, object]]
    folder: Path

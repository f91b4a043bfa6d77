"""A .onnx file (onnx.proto3 `ModelProto`) -> Graph.

Layout and limits: https://github.com/onnx/onnx/blob/main/docs/IR.md. The file is foreign: every name,
offset and dimension is checked before use, external data must lie beside the file, and nothing is
allocated that the file does not contain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import defs, external_data_helper, helper, inliner, numpy_helper

from converters.dtypes import BY_ONNX
from converters.errors import UnsafeInput, UnsupportedError, UsageError
from converters.graph.control import LOOPS, branches_of, loop_of
from converters.graph.functions import expand_functions
from converters.graph.infer import OPSET
from converters.graph.model import Array, Dim, Graph, Node, Value

OLDEST_OPSET = 6
BITS_OF_A_BYTE = 8
# Weights with more bytes than this are kept out of what rewrites a model.
LARGEST_CARRIED = 1 << 20
# Sub-graphs may lie this deep within each other: Python itself stops at 20 loops, exporters at a third.
DEEPEST = 16
# What numpy says in `isbuiltin` of types that a package adds, those of `ml_dtypes`.
BY_ML_DTYPES = 2
STANDARD_DOMAINS = ("", "ai.onnx")

# What the inliner of functions puts before the names of what it inlines.
INLINED = re.compile(r"^(?:If_\d+_(?:then|else)_branch__|Inline_\d+__|F\d+::)+")
# Names that exporters make up for constants; anything else that is a float is a parameter.
MADE_UP = re.compile(
    r"constant|const_|const/|onnx::|^val_\d+|^_val|^\d+$|_output_\d+$|^Identity|scalar|^/|helper\.|\.tmp_\d+$",
    re.IGNORECASE,
)
# A single number is a parameter only where its name says so, or is the path of one: `blocks.0.shift`.
NAMED_PARAMETER = re.compile(
    r"((weight|bias|gamma|beta|scale|alpha|slope)\d*|slope_\d+|\.[wb]_\d+)$|^[a-z_]\w*(\.\w+)+$",
    re.IGNORECASE,
)


def load(path: Path, *, native: Callable[[str], bool] = lambda key: True) -> Graph:
    """Read a file into a Graph with shapes inferred; see `converters.graph.read_graph`."""
    model = read_model(path)
    opset = next((o.version for o in model.opset_import if o.domain in STANDARD_DOMAINS), None)
    if opset is None:
        # Nothing of the standard is in it.
        opset = OPSET
    if opset < OLDEST_OPSET and not all(_is_lasting(node, opset) for node in model.graph.node):
        raise UnsupportedError(
            f"{path.name}: opset {opset} is older than {OLDEST_OPSET}",
            fix="export the model again with opset 13 or newer",
        )
    held = _set_aside(model)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _refuse_too_deep(model, path.name)
    model = expand_functions(model, native)
    _put_back(model, held)
    try:
        return _Loader(opset).graph(model)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnsafeInput(f"{path.name}: malformed graph: {error}") from error


def _is_lasting(node: onnx.NodeProto, opset: int) -> bool:
    """Whether an operator has the same form in an opset as in the oldest that we know."""
    try:
        schema = defs.get_schema(node.op_type, OLDEST_OPSET)
    except defs.SchemaError:
        return False
    return node.domain in STANDARD_DOMAINS and schema.since_version <= opset


def read_model(path: Path) -> onnx.ModelProto:
    """Parse a file and its external data.

    Raises:
        UsageError: There is no such file.
        UnsafeInput: It is not an ONNX model, is truncated, or names data outside its folder.
    """
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except (DecodeError, ValueError) as error:
        raise UnsafeInput(f"{path.name}: not an ONNX model, or truncated") from error
    if not model.graph.node and not model.graph.output:
        raise UnsafeInput(f"{path.name}: not an ONNX model: it has no graph")
    folder = path.resolve().parent
    for tensor in external_data_helper._get_all_tensors(model):
        if external_data_helper.uses_external_data(tensor):
            _check_external(tensor, folder, path.name)
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = onnx.TensorProto.DEFAULT
    return model


def _set_aside(model: onnx.ModelProto) -> dict[str, bytes]:
    """Take the data of large weights out: what rewrites a model copies all of it, and no message holds 2 GiB."""
    held = {}
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > LARGEST_CARRIED:
            held[tensor.name] = tensor.raw_data
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="aside")
    return held


def _put_back(model: onnx.ModelProto, held: Mapping[str, bytes]) -> None:
    """Put the data of weights back that was taken out."""
    for tensor in model.graph.initializer:
        if tensor.name in held:
            tensor.raw_data = held[tensor.name]
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.ClearField("external_data")


def _refuse_too_deep(model: onnx.ModelProto, file: str) -> None:
    """Refuse sub-graphs within sub-graphs without end: everything that follows them calls itself."""
    level: list[onnx.GraphProto] = [model.graph]
    for _ in range(DEEPEST):
        attributes = [a for graph in level for node in graph.node for a in node.attribute]
        level = [g for a in attributes for g in ((a.g,) if a.HasField("g") else a.graphs)]
        if not level:
            return
    raise UnsafeInput(
        f"{file}: sub-graphs lie more than {DEEPEST} deep within each other",
        fix="export the model again with less nesting",
    )


def _in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Nodes after those whose results they read: tools that add casts put them last, and runtimes sort.

    What is in order stays as it is; what reads itself is left to whoever reads it next.
    """
    waiting: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for name in filter(None, node.output):
            waiting.setdefault(name, place)
    order: dict[int, None] = {}
    for first in range(len(nodes)):
        begun: dict[int, None] = {}
        stack = [first]
        while stack:
            place = stack[-1]
            begun[place] = None
            needed = (waiting.get(name, -1) for name in _reads(nodes[place]))
            ahead = [k for k in needed if k >= 0 and k not in order and k not in begun]
            if ahead:
                stack.append(ahead[0])
            else:
                order.setdefault(stack.pop())
    return [nodes[place] for place in order]


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, within its sub-graphs too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g,) if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                yield from _reads(inner)
            yield from (output.name for output in graph.output)


def _check_external(tensor: onnx.TensorProto, folder: Path, file: str) -> None:
    """Refuse external data that is not a plain range of a plain file in `folder`."""
    info = external_data_helper.ExternalDataInfo(tensor)
    where = f"{file}: external data of tensor {tensor.name!r}"
    location = Path(info.location)
    if (
        not info.location
        or location.is_absolute()
        or ".." in location.parts
        or "\\" in info.location
    ):
        raise UnsafeInput(f"{where} points outside the folder: {info.location!r}")
    target = folder / location
    if target.is_symlink() or folder not in target.resolve().parents:
        raise UnsafeInput(f"{where} is a link or lies outside the folder: {info.location!r}")
    if not target.is_file():
        raise UnsafeInput(f"{where}: no file {info.location!r} beside the model")
    offset, length = info.offset or 0, info.length
    end = offset + length if length is not None else offset
    if offset < 0 or (length is not None and length < 0) or end > target.stat().st_size:
        raise UnsafeInput(f"{where} lies beyond the end of {info.location!r}")


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the sub-graphs in it, at every depth."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from every_node(attribute.g)


def key_of(domain: str, op: str) -> str:
    """The name of an operator in our tables."""
    return op if domain in STANDARD_DOMAINS else f"{domain}::{op}"


class _Loader:
    """Holds the names that are visible while a graph and its sub-graphs are read."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.scopes: list[dict[str, Value]] = []
        self.branches = False

    def graph(self, model: onnx.ModelProto) -> Graph:
        # Beside control flow exporters write the shapes of one branch or of the first round of a loop.
        self.branches = any(a.HasField("g") for node in model.graph.node for a in node.attribute)
        graph = self.body(model.graph)
        graph.metadata = {prop.key: prop.value for prop in model.metadata_props}
        return graph

    def body(self, proto: onnx.GraphProto) -> Graph:
        infos = {i.name: i for i in (*proto.value_info, *proto.output, *proto.input)}
        names: dict[str, Value] = {}
        self.scopes.append(names)
        for tensor in proto.initializer:
            names[tensor.name] = _parameter(tensor.name, to_array(tensor))
        for sparse in proto.sparse_initializer:
            names[sparse.values.name] = _parameter(sparse.values.name, _dense(sparse))
        inputs = []
        for info in proto.input:
            if info.name not in names:
                value = names[info.name] = _typed(Value(info.name), info)
                if len(self.scopes) > 1:
                    value.shape = value.held = None
                inputs.append(value)
        # What an exporter calls the sizes of outputs says nothing unless an input has that size too.
        dims = {dim for value in inputs for dim in value.shape or ()}
        nodes = []
        for proto_node in _in_order(proto.node):
            node = self.node(proto_node, infos)
            if node is not None:
                nodes.append(node)
        outputs = [self.read(info.name, "the graph's outputs") for info in proto.output]
        for value in outputs if len(self.scopes) == 1 else ():
            if value.shape is not None and value not in inputs:
                value.shape = tuple(
                    d if isinstance(d, int) or d in dims else None for d in value.shape
                )
        self.scopes.pop()
        names_out = [info.name for info in proto.output]
        return Graph(proto.name, inputs, outputs, nodes, self.opset, output_names=names_out)

    def read(self, name: str, reader: str) -> Value:
        for names in reversed(self.scopes):
            if name in names:
                return names[name]
        raise ValueError(f"{reader} read {name!r}, which nothing before it computes")

    def node(self, proto: onnx.NodeProto, infos: dict[str, onnx.ValueInfoProto]) -> Node | None:
        label = proto.name or next(iter(proto.output), proto.op_type)
        attributes = {a.name: self.attribute(a) for a in proto.attribute if not a.ref_attr_name}
        names = self.scopes[-1]
        if proto.op_type == "Constant" and proto.domain in STANDARD_DOMAINS:
            data = _constant_data(attributes)
            if data is not None:
                names[proto.output[0]] = _parameter(proto.output[0], data)
                return None
        outputs: list[Value | None] = []
        inputs = [self.read(name, label) if name else None for name in proto.input]
        for name in proto.output:
            if name in names:
                raise ValueError(f"{name!r} is computed twice")
            value = None
            if name:
                value = names[name] = Value(name)
                if name in infos:
                    _typed(value, infos[name])
                    if self.branches and proto.domain in STANDARD_DOMAINS:
                        value.said_rank = value.rank
                        value.shape = value.held = None
            outputs.append(value)
        key = key_of(proto.domain, proto.op_type)
        node = Node(key, inputs, outputs, attributes, label, _scope(proto))
        self.check(node)
        return node

    def check(self, node: Node) -> None:
        """Refuse a node that has not the inputs, outputs and bodies without which it means nothing."""
        try:
            schema = defs.get_schema(node.key, self.opset)
        except defs.SchemaError:
            return
        if len(node.inputs) < schema.min_input or len(node.outputs) > schema.max_output:
            raise ValueError(f"{node.name!r}: {node.key} with {len(node.inputs)} inputs")
        if node.key == "If":
            branches_of(node)
        elif node.key in LOOPS and not (node.key == "Scan" and self.opset < 9):
            loop_of(node)

    def attribute(self, proto: onnx.AttributeProto) -> Any:
        if proto.type == onnx.AttributeProto.GRAPH:
            return self.body(proto.g)
        if proto.type == onnx.AttributeProto.TENSOR:
            return to_array(proto.t)
        if proto.type == onnx.AttributeProto.SPARSE_TENSOR:
            return _dense(proto.sparse_tensor)
        if proto.type == onnx.AttributeProto.TYPE_PROTO:
            return _read_type(Value(proto.name), proto.tp)
        value = helper.get_attribute_value(proto)
        if isinstance(value, bytes):
            return value.decode()
        if proto.type == onnx.AttributeProto.FLOAT:
            return shortest(value)
        if proto.type == onnx.AttributeProto.FLOATS:
            return [shortest(item) for item in value]
        if isinstance(value, list) or proto.type in (
            onnx.AttributeProto.INTS,
            onnx.AttributeProto.FLOATS,
            onnx.AttributeProto.STRINGS,
        ):
            return [item.decode() if isinstance(item, bytes) else item for item in value]
        return value


def to_array(tensor: onnx.TensorProto) -> Array:
    """A tensor's data in its own type.

    Types that numpy lacks are decoded here: for bfloat16 in `raw_data` the package gives memory that is free
    already, for the eight-bit floats their bits or wider floats, as the release may be.
    """
    known = BY_ONNX.get(tensor.data_type)
    if known is None or known.numpy.isbuiltin != BY_ML_DTYPES:
        return np.asarray(numpy_helper.to_array(tensor))
    if known.bits < BITS_OF_A_BYTE:
        return np.asarray(numpy_helper.to_array(tensor)).astype(known.numpy)
    plain = np.dtype(f"<u{known.bytes}")
    if tensor.HasField("raw_data"):
        bits = np.frombuffer(tensor.raw_data, plain)
    else:
        bits = np.array(tensor.int32_data, np.int64).astype(plain)
    return bits.reshape(tuple(tensor.dims)).view(known.numpy)


def shortest(number: float) -> float:
    """The shortest number that is the same in 32 bits: 9.999999747378752e-06 -> 1e-05."""
    return float(str(np.float32(number)))


def _constant_data(attributes: dict[str, Any]) -> Array | None:
    if "value" in attributes:
        return np.asarray(attributes["value"])
    if "sparse_value" in attributes:
        return np.asarray(attributes["sparse_value"])
    for name, dtype in (("value_float", np.float32), ("value_floats", np.float32)):
        if name in attributes:
            return np.asarray(attributes[name], dtype)
    for name in ("value_int", "value_ints"):
        if name in attributes:
            return np.asarray(attributes[name], np.int64)
    return None


def _dense(sparse: onnx.SparseTensorProto) -> Array:
    """A sparse tensor (COO: linear or per-axis indices) as a dense one."""
    dims = tuple(sparse.dims)
    values = to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    dense = np.zeros(dims, values.dtype)
    where = np.unravel_index(indices, dims) if indices.ndim == 1 else tuple(indices.T)
    dense[where] = values
    return dense


def _parameter(name: str, data: Array) -> Value:
    named = not MADE_UP.search(name) and (data.size != 1 or NAMED_PARAMETER.search(name))
    trainable = bool(named) and data.dtype.kind in "fV" and data.size > 0
    return Value(name, data.dtype, tuple(data.shape), data, trainable)


def _typed(value: Value, info: onnx.ValueInfoProto) -> Value:
    return _read_type(value, info.type)


def _read_type(value: Value, proto: onnx.TypeProto) -> Value:
    """Give a value the kind, element type and shape of a type."""
    kinds = []
    while (kind := proto.WhichOneof("value")) in ("sequence_type", "optional_type"):
        kinds.append(str(kind).removesuffix("_type"))
        proto = getattr(proto, str(kind)).elem_type
    if kinds:
        value.kind = " ".join(kinds)
    if kind != "tensor_type":
        return value
    tensor = proto.tensor_type
    if tensor.elem_type:
        known = BY_ONNX.get(tensor.elem_type)
        value.dtype = known.numpy if known is not None else np.dtype(object)
    if tensor.HasField("shape"):
        shape = tuple(_dim(dim) for dim in tensor.shape.dim)
        if kinds:
            value.held = shape
        else:
            value.shape = shape
    return value


def _dim(proto: onnx.TensorShapeProto.Dimension) -> Dim:
    # Old exporters store an unknown size as 0, -1 or "?"; onnx's own inference makes up `unk__7`.
    if proto.HasField("dim_value"):
        return proto.dim_value if proto.dim_value > 0 else None
    name = proto.dim_param
    unknown = name in ("", "?", "-1", "None") or name.startswith("unk__")
    return None if unknown else name


def _scope(proto: onnx.NodeProto) -> tuple[str, ...]:
    """Names of the modules around a node, from what the exporters of PyTorch leave behind.

    torch.onnx.export (TorchScript) names nodes `/encoder/layer.0/output/dense/MatMul`; the dynamo
    exporter adds `pkg.torch.onnx.name_scopes` metadata: `['', 'encoder', 'encoder.layer.0', ...]`.
    """
    for prop in proto.metadata_props:
        if prop.key == "pkg.torch.onnx.name_scopes":
            paths = re.findall(r"'([^']*)'", prop.value)
            # The last entry names the node itself; the one before it is the innermost module.
            return tuple(paths[-2].split(".")) if len(paths) > 1 and paths[-2] else ()
    name = INLINED.sub("", proto.name)
    if name.startswith("/"):
        parts = name.split("/")[1:-1]
        # Members of a Sequential repeat what they are in: `/features/features.0/Conv`.
        inner = [
            part.removeprefix(f"{before}.")
            for before, part in zip(["", *parts], parts, strict=False)
        ]
        return tuple(piece for part in inner for piece in part.split(".") if piece)
    return ()

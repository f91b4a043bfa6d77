"""A file, folder or class -> a module in inference mode and how it is called.

Whatever a source is, the rest of this folder sees one form: tensors in, by name and in order, and tensors out,
by name. Arguments that are plain numbers are constants of the conversion.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..cases import LARGEST, Axes, Called
from ..classes import (
    Arrays,
    Refused,
    line,
    made,
    no_inputs,
    not_taken,
    parameters,
    read_inputs,
    require_names,
    some,
)
from .scripts import ScriptProgram

# What turns an array of one element into what `forward` is annotated to take.
NUMBERS: Mapping[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool}
# What wrappers for training put before every name.
PREFIXES = ("module.", "_orig_mod.")
# Machine code, and objects that torch would unpickle without asking.
CODE = re.compile(r"aotinductor/|constants/(opaque|custom)_obj|\.(so|o|cubin)$")
# Integers that every vocabulary has, and a usual length of text.
TOKENS = 100
SEQUENCE = 16
# A second of sound.
SAMPLES = 16000


@dataclass
class Source:
    """A module and how it is called.

    Attributes:
        module: What routes export; its `forward` takes the tensors of `inputs` in order.
        inputs: Example tensors by name.
        run: The truth: tensors in order -> named outputs.
        constants: Arguments that are numbers, by name.
        findings: What a user should know.
        program: The exported program, where the source is one.
        script: The ScriptModule, where the source is one without memory and constants.
        symbols: Input axes that vary together, one row for each symbol, where the source says so itself.
        ranges: Smallest and largest size, one for each row of `symbols`.
        kept: Inputs that come back as outputs, for the next call: the output's name by input name.
    """

    module: nn.Module
    inputs: dict[str, torch.Tensor]
    run: Callable[[Sequence[torch.Tensor]], dict[str, torch.Tensor]]
    constants: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    program: Any = None
    script: Any = None
    symbols: list[Axes] | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)
    kept: Mapping[str, str] = field(default_factory=dict)


def of_class(job: Mapping[str, Any]) -> Source:
    """A class that the user names, with the weights of a checkpoint."""
    module = made(job, nn.Module, "module")
    weights = torch.load(job["weights"], map_location="cpu", weights_only=True)
    findings = [*_load(module, weights, job["name"]), *_widened(module)]
    module.eval()
    if job["inputs"] is None:
        names = [p.name for p in parameters(module.forward)]
        raise no_inputs(f"{job['model']}: a class", names)
    return _of_module(module, read_inputs(job), findings)


def of_folder(job: Mapping[str, Any]) -> Source:
    """A Hugging Face folder, through transformers; code in the folder is not run."""
    try:
        transformers = importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        raise Refused(
            "MissingRuntime",
            f"{job['name']}: a Hugging Face folder needs the package {error.name}",
            "install transformers for the interpreter that runs PyTorch",
        ) from error
    kind = _architecture(transformers, job)
    try:
        module, info = kind.from_pretrained(
            job["source"],
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            # The others call kernels that have no ONNX form, or masks that only run once.
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:
        raise Refused(
            "UsageError", f"{job['name']}: transformers cannot load this folder: {line(error)}"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise Refused("UsageError", f"{job['name']}: weights are missing: {some(missing)}")
    unused = [f"not used by {kind.__name__}: {key}" for key in sorted(info["unexpected_keys"])]
    findings = [*unused, *_widened(module)]
    module.eval()
    if hasattr(module, "set_experts_implementation"):
        # Products that no exporter takes apart are the usual one; models without experts stay as they are.
        module.set_experts_implementation("batched_mm")
    for option in ("use_cache", "output_attentions", "output_hidden_states"):
        if hasattr(module.config, option):
            setattr(module.config, option, False)
    given = read_inputs(job) if job["inputs"] is not None else _usual_inputs(module, job["name"])
    return _of_module(module, given, findings)


def of_program(job: Mapping[str, Any]) -> Source:
    """An exported program (`.pt2`)."""
    with zipfile.ZipFile(job["source"]) as archive:
        if found := [name for name in archive.namelist() if CODE.search(name)]:
            raise Refused(
                "UnsafeInput", f"{job['name']}: holds code or pickled objects: {found[0]}"
            )
    try:
        program = torch.export.load(job["source"])
    except Exception as error:
        raise Refused(
            "UnsafeInput",
            f"{job['name']}: torch cannot load this exported program: {line(error)}",
            "export it again with the torch that is installed here",
        ) from error
    specs = [s.arg for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
    tensors = [spec.name for spec in specs if not hasattr(spec, "value")]
    if job["inputs"] is None:
        examples = dict(zip(tensors, _program_inputs(program, tensors), strict=True))
    else:
        given = read_inputs(job)
        require_names(given, tensors, tensors)
        examples = {name: _tensor(given[name]) for name in tensors}

    def arguments(values: Sequence[Any]) -> tuple[Any, Any]:
        rest = iter(values)
        leaves = [spec.value if hasattr(spec, "value") else next(rest) for spec in specs]
        args, kwargs = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
        return args, kwargs

    constants = {spec.name: spec.value for spec in specs if hasattr(spec, "value")}
    # Called as a whole: what it checks of its inputs stands in hooks around `forward`. The module that
    # routes see is called with the tensors alone, which those hooks would not know.
    module = program.module()
    module._forward_pre_hooks.clear()
    module._forward_pre_hooks_with_kwargs.clear()
    source = _source(module, examples, arguments, constants, [], program.module())
    # Ranges of sizes that are computed from others stop the exporter of torch 2.13.
    for size in [s for s in program.range_constraints if not s.is_symbol]:
        del program.range_constraints[size]
    source.program = program
    source.symbols, source.ranges = _symbols(program, tensors)
    return source


def of_script(job: Mapping[str, Any]) -> Source:
    """A TorchScript program; its graph becomes an ordinary module."""
    try:
        script = torch.jit.load(job["source"], map_location="cpu").eval()
    except Exception as error:
        raise Refused(
            "UnsafeInput", f"{job['name']}: torch cannot load this program: {line(error)}"
        ) from error
    arguments = script.forward.schema.arguments[1:]
    required = [a.name for a in arguments if not a.has_default_value()]
    if job["inputs"] is None:
        raise no_inputs(f"{job['name']}: a TorchScript program", required)
    tree = _nested(read_inputs(job))
    kinds = {a.name: str(a.type) for a in arguments}
    require_names(tree, list(kinds), required)
    values = {name: _value(tree[name], kind) for name, kind in kinds.items() if name in tree}
    program = ScriptProgram(script)
    try:
        memory = program.remember(values)
    except Exception as error:
        raise not_taken(values, error) from error
    findings = [f"{name}: kept between calls; here an input and an output" for name in memory]
    source = _bound(program, {**values, **memory}, findings, program.truth)
    source.script = None if memory or source.constants else script
    inputs = [re.sub(r"\W", "_", name) for name in memory]
    source.kept = {name: f"{name}_out" for name in inputs}
    return source


SOURCES: Mapping[str, Callable[[Mapping[str, Any]], Source]] = {
    "checkpoint": of_class,
    "huggingface": of_folder,
    "exported-program": of_program,
    "torchscript": of_script,
}


def _load(module: nn.Module, weights: Any, name: str) -> list[str]:
    """Load weights strictly, but for the prefixes of wrappers."""
    findings = []
    wanted = module.state_dict()
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in weights) and not weights.keys() & wanted.keys():
            weights = {key[len(prefix) :]: value for key, value in weights.items()}
            findings.append(f"{prefix!r} taken off the names of the weights")
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise Refused(
            "UsageError",
            f"{name}: not the weights of this class: {line(error)}",
            "check --model and --model-args",
        ) from error
    return findings


def _widened(module: nn.Module) -> list[str]:
    """Keep what is bfloat16 as float32: ONNX Runtime, which has the last word, computes with the one and not the other."""

    def wider(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.float() if tensor.dtype == torch.bfloat16 else tensor

    held = (*module.parameters(), *module.buffers())
    if all(tensor.dtype != torch.bfloat16 for tensor in held):
        return []
    module._apply(wider)
    return [
        "bfloat16 weights are kept as float32, which holds the same numbers, and computed in it"
    ]


def _architecture(transformers: Any, job: Mapping[str, Any]) -> Any:
    with open(os.path.join(job["source"], "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    names = config.get("architectures") if isinstance(config, dict) else None
    name = str(names[0]) if isinstance(names, list) and names else "AutoModel"
    kind = getattr(transformers, name, None)
    if not hasattr(kind, "from_pretrained"):
        raise Refused(
            "UnsupportedError",
            f"{job['name']}: transformers {transformers.__version__} has no {name}",
            "code that comes with a model is not run; export it to ONNX first",
        )
    return kind


def _of_module(module: nn.Module, given: Arrays, findings: list[str]) -> Source:
    every = inspect.signature(module.forward).parameters.values()
    free = any(p.kind is p.VAR_KEYWORD for p in every)
    listed = parameters(module.forward)
    names = [p.name for p in listed]
    tree = _nested(given)
    required = [p.name for p in listed if p.default is p.empty]
    require_names(tree, list(dict.fromkeys([*names, *tree])) if free else names, required)
    kinds = {p.name: _annotation(p.annotation) for p in listed}
    ordered = [name for name in dict.fromkeys((*names, *tree)) if name in tree]
    values = {name: _value(tree[name], kinds.get(name, "")) for name in ordered}
    return _bound(module, values, findings)


def _bound(
    module: nn.Module, values: Mapping[str, Any], findings: list[str], truth: Any = None
) -> Source:
    """Give a module a `forward` of the tensors in some values; the other values are constants."""
    paths, spec = pytree.tree_flatten_with_path(dict(values))
    names = [_name(path) for path, _ in paths]
    leaves = [leaf for _, leaf in paths]
    examples = {n: v for n, v in zip(names, leaves, strict=True) if isinstance(v, torch.Tensor)}
    constants = {n: v for n, v in zip(names, leaves, strict=True) if n not in examples}

    def arguments(tensors: Sequence[Any]) -> tuple[Any, Any]:
        rest = iter(tensors)
        every = [next(rest) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        return (), pytree.tree_unflatten(every, spec)

    return _source(module, examples, arguments, constants, findings, truth)


def _source(
    module: nn.Module,
    examples: dict[str, torch.Tensor],
    arguments: Callable[[Sequence[Any]], tuple[Any, Any]],
    constants: dict[str, Any],
    findings: list[str],
    truth: Any = None,
) -> Source:
    if not examples:
        raise Refused("UsageError", "no input is a tensor: there is nothing to compute from")
    original = module.forward
    names = list(examples)

    def forward(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        args, kwargs = arguments(tensors)
        return _apart(tensors, _named(original(*args, **kwargs), names).values())

    shown = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
    forward.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]

    def run(tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        # Copies: some modules write into what they are given.
        args, kwargs = arguments([tensor.clone() for tensor in tensors])
        return _named((truth or original)(*args, **kwargs), names)

    # On the instance, so that names of parameters and scopes of modules stay as they are.
    module.forward = forward
    return Source(module, examples, run, constants, findings)


def _named(result: Any, inputs: Sequence[str]) -> dict[str, torch.Tensor]:
    """The tensors in what a module returns, by where they are in it."""
    outputs: dict[str, torch.Tensor] = {}
    for path, leaf in pytree.tree_flatten_with_path(result)[0]:
        if isinstance(leaf, torch.Tensor):
            name = re.sub(r"^(\d)", r"output_\1", _name(path)) or "output"
            outputs[f"{name}_out" if name in inputs else name] = leaf
    return outputs


def _apart(
    inputs: Iterable[torch.Tensor], outputs: Iterable[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    """Outputs of which none is an input or another one: exporters leave those out, or give one name to both."""
    seen = {id(tensor) for tensor in inputs}
    made = []
    for output in outputs:
        made.append(output.clone() if id(output) in seen else output)
        seen.add(id(output))
    return tuple(made)


def _name(path: Sequence[Any]) -> str:
    """The place of a leaf as a name: `hx_0`, `last_hidden_state`."""
    parts = (getattr(k, "key", getattr(k, "idx", getattr(k, "name", k))) for k in path)
    return re.sub(r"\W", "_", "_".join(map(str, parts)))


def _nested(given: Arrays) -> Arrays:
    """`hx.0` and `hx.1` are the two members of the argument `hx`."""
    tree: Arrays = {}
    for key, array in given.items():
        name, dot, index = key.rpartition(".")
        if dot and index.isdigit():
            tree.setdefault(name, {})[int(index)] = array
        else:
            tree[key] = array
    return {
        name: tuple(value[i] for i in sorted(value)) if isinstance(value, dict) else value
        for name, value in tree.items()
    }


def _value(array: Any, kind: str) -> Any:
    """What an array is as an argument: a tensor, several, or a plain number where one is asked for."""
    if isinstance(array, tuple):
        return tuple(_tensor(one) for one in array)
    number = NUMBERS.get(re.sub(r"Optional\[(\w+)\]", r"\1", kind))
    return number(array.item()) if number is not None and array.size == 1 else _tensor(array)


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, order="C"))


def _annotation(annotation: Any) -> str:
    plain = isinstance(annotation, type)
    text = annotation.__name__ if plain else str(annotation)
    return text.replace("typing.", "").replace(" | None", "").strip()


def _usual_inputs(module: Any, name: str) -> Arrays:
    """Inputs of the kind that a Hugging Face model says it has."""
    accepted = {p.name for p in parameters(module.forward)}
    main = getattr(module, "main_input_name", "")
    random = np.random.default_rng(0)
    given = USUAL[main](module.config, random) if main in USUAL else {}
    if not given:
        takes = f"takes {main or 'inputs'} of a shape that is not known"
        raise Refused(
            "UsageError",
            f"{name}: {type(module).__name__} {takes}",
            "give --inputs in.npz, whose keys are the arguments of forward",
        )
    # What sees and reads is given both.
    if "pixel_values" in accepted and hasattr(module.config, "vision_config"):
        given = {**_text(module.config, random), **_images(module.config, random)}
    if "decoder_input_ids" in accepted:
        # Another length than that of what is read, for the two vary apart.
        given["decoder_input_ids"] = _tokens(module.config, random, SEQUENCE * 3 // 4)
    return {key: array for key, array in given.items() if key in accepted}


def _text(config: Any, random: np.random.Generator) -> Arrays:
    tokens = _tokens(config, random, SEQUENCE)
    # One of the two texts is shorter, so that masks count.
    mask = np.ones_like(tokens)
    mask[1, SEQUENCE * 3 // 4 :] = 0
    return {
        "input_ids": tokens,
        "attention_mask": mask,
        "token_type_ids": np.zeros_like(tokens),
    }


def _tokens(config: Any, random: np.random.Generator, length: int) -> Any:
    text = getattr(config, "text_config", getattr(config, "decoder", config))
    known = min(TOKENS, getattr(text, "vocab_size", TOKENS))
    return random.integers(0, known, (2, length))


def _images(config: Any, random: np.random.Generator) -> Arrays:
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", 224)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    frames = [vision.num_frames] if hasattr(vision, "num_frames") else []
    channels = getattr(vision, "num_channels", 3)
    return {"pixel_values": _normal(random, 2, *frames, channels, height, width)}


def _sound(config: Any, random: np.random.Generator) -> Arrays:
    bins = getattr(config, "num_mel_bins", None)
    # A spectrogram where the model says how long it is, else the wave.
    shape = (SAMPLES,) if bins is None else (getattr(config, "max_length", SEQUENCE), bins)
    return {"input_values": _normal(random, 2, *shape)}


def _features(config: Any, random: np.random.Generator) -> Arrays:
    bins = getattr(config, "num_mel_bins", None)
    positions = getattr(config, "max_source_positions", None)
    if bins is None or positions is None:
        return {}
    # Two frames of a spectrogram become one position.
    return {"input_features": _normal(random, 2, bins, 2 * positions)}


# What a model says it takes -> arrays of that kind, by the names of arguments.
USUAL: Mapping[str, Callable[[Any, np.random.Generator], Arrays]] = {
    "input_ids": _text,
    "pixel_values": _images,
    "input_values": _sound,
    "input_features": _features,
}


def _normal(random: np.random.Generator, *shape: int) -> Any:
    return random.standard_normal(shape).astype(np.float32)


def _program_inputs(program: Any, names: Sequence[str]) -> list[torch.Tensor]:
    """The inputs that a program was exported with, or others of its signature."""
    if program.example_inputs is not None:
        leaves = pytree.tree_leaves(program.example_inputs)
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if len(tensors) == len(names):
            return tensors
    nodes = _placeholders(program)
    return [_like(nodes[name]) for name in names]


def _placeholders(program: Any) -> dict[str, Any]:
    return {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"}


def _like(value: Any) -> torch.Tensor:
    """A tensor of the type and (an allowed) size of a placeholder."""
    hints = (d if isinstance(d, int) else getattr(d.node, "hint", None) or 2 for d in value.shape)
    shape = [int(hint) for hint in hints]
    if value.dtype.is_floating_point:
        return torch.randn(shape).to(value.dtype)
    return torch.randint(0, 2, shape).to(value.dtype)


def _symbols(program: Any, names: Sequence[str]) -> tuple[list[Axes], list[tuple[int, int]]]:
    """The axes of each symbol of a program, and the sizes that it may have."""
    nodes = _placeholders(program)
    found: dict[Any, Axes] = {}
    for index, name in enumerate(names):
        for axis, size in enumerate(nodes[name].shape):
            if not isinstance(size, int):
                found.setdefault(size.node.expr, []).append((index, axis))
    # A size that is computed from another one changes with it: both stay as they are given.
    uses = Counter(symbol for size in found for symbol in size.free_symbols)
    kept = {
        size: axes
        for size, axes in found.items()
        if all(uses[symbol] == 1 for symbol in size.free_symbols) and _multiple(size) is not None
    }
    limits = program.range_constraints
    ranges = [_range(limits.get(next(iter(size.free_symbols))), _multiple(size)) for size in kept]
    return list(kept.values()), ranges


def _multiple(size: Any) -> int | None:
    """What a size is a multiple of: 32 for `32*s0`; None where it is anything else."""
    factor, symbol = size.as_coeff_Mul()
    return int(factor) if symbol.is_symbol and factor.is_Integer else None


def _range(limit: Any, multiple: int | None) -> tuple[int, int]:
    factor = multiple or 1
    if limit is None:
        return factor, LARGEST
    upper = int(limit.upper) * factor if limit.upper < LARGEST else LARGEST
    return int(limit.lower) * factor, min(upper, LARGEST)


def called(source: Source) -> Called:
    """A module as it is called with arrays."""
    kinds = [tensor.dtype for tensor in source.inputs.values()]
    held = [*source.module.parameters(), *source.module.buffers()]
    types = {_kind(tensor) for tensor in held if tensor.is_floating_point()}

    def run(arrays: Sequence[Any]) -> dict[str, Any]:
        pairs = zip(arrays, kinds, strict=True)
        results = source.run([torch.from_numpy(array).to(kind) for array, kind in pairs])
        types.update(_kind(result) for result in results.values() if result.is_floating_point())
        return {name: _array(result) for name, result in results.items()}

    return Called(
        {name: _array(tensor) for name, tensor in source.inputs.items()},
        run,
        types,
        source.constants,
        source.findings,
        source.symbols,
        source.ranges,
        source.kept,
    )


def _kind(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _array(tensor: torch.Tensor) -> Any:
    # bfloat16 has no place in an array; float32 holds it exactly.
    plain = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return plain.detach().contiguous().cpu().numpy()

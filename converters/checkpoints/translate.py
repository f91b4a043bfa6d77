"""From one framework's names and layouts to another's: which steps, and which questions are open.

A module is the tensors under one prefix. Its kind comes from the user, or from the names and shapes of its
tensors: every kind of the table that fits is a candidate, and where all candidates would do the same, it does
not matter which one it is. Where they would not, the module is open, and nothing is guessed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from converters.checkpoints.layouts import (
    ATTENTION,
    ATTENTION_APART,
    ATTENTION_FUSED,
    ATTENTION_ONLY,
    ATTENTION_PARTS,
    BY_NAME,
    DERIVED,
    KINDS,
    LEAVES,
    RECURRENT,
    RECURRENT_AGAIN,
    SUBMODULES,
    TURNED,
    Kind,
    Spelling,
    spellings,
)
from converters.checkpoints.layouts import FRAMEWORKS as COLUMNS
from converters.checkpoints.mapping import PARAMETER, Map, Rule, filled, pattern
from converters.checkpoints.steps import Step, dropped
from converters.checkpoints.tensors import Tensor
from converters.errors import UnsupportedError, UsageError

# MindSpore's `mint` modules have PyTorch's names and layouts.
ALSO = {"mindspore": ("pytorch",)}
MOST_LISTED = 40
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Decision:
    """What a module was taken for, and why: `given`, `name`, `shape`."""

    module: str
    kind: str
    by: str


@dataclass(frozen=True)
class Open:
    """A module whose kind is not decided."""

    module: str
    candidates: tuple[str, ...]
    tensors: tuple[str, ...]
    why: str


@dataclass
class Plan:
    """What is to be done, and what is not decided.

    Attributes:
        steps: In the order of the source's tensors.
        decisions: One for each module that has a kind.
        open: Modules that need a word from the user.
    """

    steps: list[Step] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)


# What a candidate would do: by leaf, the new leaf and the axes before and after.
Change = dict[str, "tuple[str | None, str, str]"]


def plan(tensors: Mapping[str, Tensor], source: str, target: str, said: Map | None = None) -> Plan:
    """Decide how every tensor goes from one framework to the other.

    Args:
        tensors: By name.
        source: Whose names and layouts they have: a framework.
        target: Whose they are to have.
        said: What the user says.

    Returns:
        Steps that together take every tensor exactly once, unless something is open.

    Raises:
        UsageError: The user's word does not fit the tensors, or two tensors would get one name.
    """
    found = _Planner(tensors, source, target, said or Map()).plan()
    _check_names(found)
    return found


def require_closed(found: Plan, file: str, target: str) -> None:
    """Refuse a plan that leaves something open.

    Raises:
        UnsupportedError: Lists every open tensor, and the mapping lines to paste.
    """
    if not found.open:
        return
    groups: dict[tuple[str, tuple[str, ...], str], list[Open]] = defaultdict(list)
    for one in found.open:
        groups[(re.sub(r"(?<![^.])\d+(?![^.])", "*", one.module), one.candidates, one.why)].append(
            one
        )
    listed = [tensor for one in found.open for tensor in one.tensors]
    more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    lines = [
        f'  "{module}": {candidates[0]}    # {" or ".join(candidates)}{": " + why if why else ""}'
        for module, candidates, why in groups
    ]
    raise UnsupportedError(
        f"{file}: names and shapes do not say what these are, and they matter for {target}:"
        f" {', '.join(listed[:MOST_LISTED])}{more}",
        fix="put the right ones into a file for --map (or name the model's class with --model):\n"
        "kinds:\n" + "\n".join(lines[:MOST_LISTED]),
    )


class _Planner:
    """The tensors, and what is decided about them so far."""

    def __init__(self, tensors: Mapping[str, Tensor], source: str, target: str, said: Map) -> None:
        self.tensors = tensors
        self.source, self.target, self.said = source, target, said
        self.found = Plan()
        self.kinds = [(pattern(name), kind) for name, kind in said.kinds.items()]
        # New name by old one, after the user's renaming; what is in here is still to be decided.
        self.names = {name: self._renamed(name) for name in tensors}

    def plan(self) -> Plan:
        self._rules()
        if self.source == self.target:
            for name, new in self.names.items():
                self._move(name, new)
            return self.found
        self._recurrent()
        self._attention()
        modules: dict[str, dict[str, str]] = defaultdict(dict)
        for name, new in self.names.items():
            prefix, _, leaf = new.rpartition(".")
            modules[prefix][leaf] = name
        chosen = {module: self._candidates(module, leaves) for module, leaves in modules.items()}
        self._orient(modules, chosen)
        for module, leaves in modules.items():
            self._module(module, leaves, chosen[module])
        self._submodules()
        return self.found

    # -- what the user says

    def _renamed(self, name: str) -> str:
        for text, template in self.said.rename.items():
            match = pattern(text).fullmatch(name)
            if match:
                name = filled(template, match.groupdict(), "rename")
        return name

    def _rules(self) -> None:
        by_new = {new: old for old, new in self.names.items()}
        for index, rule in enumerate(self.said.rules):
            where = f"rules.{index}"
            first = rule.match if isinstance(rule.match, str) else rule.match[0]
            used = 0
            for new, old in list(by_new.items()):
                match = pattern(first).fullmatch(new)
                if match is None or old not in self.names:
                    continue
                used += 1
                self._rule(rule, old, match.groupdict(), by_new, where)
            if not used:
                raise UsageError(f"{where}: no tensor is called {first!r}")

    def _rule(
        self, rule: Rule, name: str, holes: Mapping[str, str], by_new: Mapping[str, str], where: str
    ) -> None:
        tensor = self.tensors[name]
        if rule.drop:
            self._take(dropped(name, tensor), (name,))
            return
        axes = ("", "")
        if rule.transpose is not None:
            if len(rule.transpose) != len(tensor.shape):
                raise UsageError(
                    f"{where}: {name} {list(tensor.shape)} does not have the axes {rule.transpose}"
                )
            letters = LETTERS[: len(rule.transpose)]
            axes = (letters, "".join(letters[axis] for axis in rule.transpose))
        if isinstance(rule.match, list):
            wanted = [filled(part, holes, where) for part in rule.match]
            missing = [part for part in wanted if part not in by_new]
            if missing:
                raise UsageError(f"{where}: {', '.join(missing)} is not there to be joined")
            sources = tuple(by_new[part] for part in wanted)
            to = filled(str(rule.to), holes, where)
            axis = rule.fuse or 0
            sizes = tuple(self._along(part, axes, axis) for part in sources)
            self._take(Step("fuse", sources, (to,), axes, axis=axis, sizes=sizes), sources)
        elif isinstance(rule.to, list):
            targets = tuple(filled(part, holes, where) for part in rule.to)
            axis = rule.split or 0
            sizes = tuple(rule.sizes or ())
            if not sizes and axis < len(tensor.shape):
                sizes = (tensor.shape[axis] // len(targets),) * len(targets)
            self._take(Step("split", (name,), targets, axes, axis=axis, sizes=sizes), (name,))
        else:
            to = filled(str(rule.to), holes, where)
            self._take(Step("move", (name,), (to,), axes), (name,))

    def _along(self, name: str, axes: tuple[str, str], axis: int) -> int:
        """Size of a part along an axis of the whole."""
        shape = self.tensors[name].shape
        if axes[0]:
            shape = tuple(shape[axes[0].index(letter)] for letter in axes[1])
        return shape[axis] if axis < len(shape) else 0

    def _given(self, module: str) -> str | None:
        return next((kind for text, kind in self.kinds if text.fullmatch(module)), None)

    # -- taking tensors out of what is to be decided

    def _take(self, step: Step, names: Sequence[str]) -> None:
        self.found.steps.append(step)
        for name in names:
            if self.names.pop(name, None) is None:
                raise UsageError(f"{name}: two rules take it")

    def _move(
        self, name: str, to: str, axes: tuple[str, str] = ("", ""), shape: tuple[int, ...] = ()
    ) -> None:
        self.found.steps.append(Step("move", (name,), (to,), axes, shape))

    # -- modules that are more than their own tensors

    def _recurrent(self) -> None:
        by_new = {new: old for old, new in self.names.items()}
        for new, old in by_new.items():
            prefix, _, leaf = new.rpartition(".")
            match = RECURRENT.fullmatch(leaf)
            if match is None or old not in self.names:
                continue
            both = f"{prefix}.{match['role']}_l0_reverse".lstrip(".") in by_new
            way = ("_bw" if match["back"] else "_fw") if both else ""
            again = f"{prefix}.{match['layer']}.cell{way}.{match['role']}".lstrip(".")
            if self.target == "paddle":
                self._take(Step("repeat", (old,), (new, again)), (old,))
            elif self.source == "paddle" and again in by_new:
                self._take(Step("unite", (old, by_new[again]), (new,)), (old, by_new[again]))
            else:
                self._take(Step("move", (old,), (new,)), (old,))
        if self.source == "paddle":
            lost = [
                new for new in by_new
                if (match := RECURRENT_AGAIN.search(new)) and by_new[new] in self.names
                and match.end() == len(new)
            ]  # fmt: skip
            for new in lost:
                self.found.open.append(
                    Open(new.rpartition(".")[0], (PARAMETER,), (new,), "a recurrent cell alone")
                )
                del self.names[by_new[new]]

    def _attention(self) -> None:
        if "paddle" not in (self.source, self.target):
            return
        by_new = {new: old for old, new in self.names.items()}
        if self.target == "paddle":
            self._attention_apart(by_new)
        else:
            self._attention_joined(by_new)

    def _attention_apart(self, by_new: Mapping[str, str]) -> None:
        for new, old in by_new.items():
            prefix, _, leaf = new.rpartition(".")
            at = f"{prefix}." if prefix else ""
            for fused, parts in ATTENTION_FUSED.items():
                name, axes = fused.split()
                if leaf != name:
                    continue
                shape = self.tensors[old].shape
                if len(shape) != len(axes) or shape[0] % len(parts):
                    continue
                targets = tuple(at + part.split()[0] for part in parts)
                sizes = (shape[0] // len(parts),) * len(parts)
                change = (axes, parts[0].split()[1])
                self._take(Step("split", (old,), targets, change, axis=0, sizes=sizes), (old,))
                self._decide(prefix, ATTENTION, "name")
            for apart, part in ATTENTION_APART.items():
                name, axes = apart.split()
                if leaf == name:
                    to, after = part.split()
                    self._take(Step("move", (old,), (at + to,), (axes, after)), (old,))
            if leaf in ATTENTION_ONLY and f"{at}in_proj_bias" in by_new:
                del self.names[old]
                self.found.open.append(
                    Open(prefix, (PARAMETER,), (old,), f"Paddle's attention has no {leaf}")
                )

    def _attention_joined(self, by_new: Mapping[str, str]) -> None:
        weights = {new.removesuffix(".out_proj.weight") for new in by_new}
        for module in sorted(weights & {new.removesuffix(".q_proj.weight") for new in by_new}):
            if not all(f"{module}.{part}.weight" in by_new for part in ATTENTION_PARTS):
                continue
            kind = self._given(module)
            parts = tuple(
                by_new[name]
                for part in ATTENTION_PARTS[:3]
                for name in (f"{module}.{part}.weight", f"{module}.{part}.bias")
                if name in by_new
            )
            if kind is None:
                self.found.open.append(
                    Open(module, (ATTENTION, "Linear"), parts, "one in_proj_weight, or apart")
                )
                for name in parts:
                    del self.names[name]
            elif kind == ATTENTION:
                self._join(module, by_new)

    def _join(self, module: str, by_new: Mapping[str, str]) -> None:
        weights = [by_new[f"{module}.{part}.weight"] for part in ATTENTION_PARTS[:3]]
        apart = len({self.tensors[name].shape for name in weights}) > 1
        for fused, parts in ATTENTION_FUSED.items():
            name, axes = fused.split()
            sources = tuple(
                by_new[f"{module}.{part.split()[0]}"]
                for part in parts
                if f"{module}.{part.split()[0]}" in by_new
            )
            if not sources or (apart and axes == "OI"):
                continue
            change = (parts[0].split()[1], axes)
            sizes = tuple(self._along(part, change, 0) for part in sources)
            step = Step("fuse", sources, (f"{module}.{name}",), change, axis=0, sizes=sizes)
            self._take(step, sources)
        for whole, part in ATTENTION_APART.items() if apart else ():
            name, after = whole.split()
            old, before = part.split()
            source = by_new[f"{module}.{old}"]
            step = Step("move", (source,), (f"{module}.{name}",), (before, after))
            self._take(step, (source,))
        self._decide(module, ATTENTION, "given")

    # -- modules by the table

    def _candidates(self, module: str, leaves: Mapping[str, str]) -> dict[str, Change]:
        """Kinds that fit, with what each would do."""
        last = module.rpartition(".")[2]
        fitting: dict[str, tuple[Kind, Change]] = {}
        for kind in KINDS:
            for column in (self.source, *ALSO.get(self.source, ())):
                change = self._fit(kind, column, leaves)
                if change is not None:
                    fitting.setdefault(kind.name, (kind, change))
        named = {
            name: change
            for name, (kind, change) in fitting.items()
            if kind.named and re.fullmatch(kind.named, last, re.IGNORECASE)
        }
        if named:
            return named
        usual = {name: change for name, (kind, change) in fitting.items() if not kind.only_named}
        return usual or {name: change for name, (_, change) in fitting.items()}

    def _orient(
        self, modules: Mapping[str, Mapping[str, str]], chosen: dict[str, dict[str, Change]]
    ) -> None:
        """Square matrices lie as the others do: those whose bias shows which axis is the output."""
        square, shown = [], set()
        for module, kinds in chosen.items():
            if set(kinds) not in ({"Linear"}, {"Conv1D"}) or "bias" not in modules[module]:
                continue
            if len(set(self.tensors[modules[module]["weight"]].shape)) == 1:
                square.append(module)
            else:
                shown |= set(kinds)
        for module in square:
            last = module.rpartition(".")[2]
            other = self._fit_given("Conv1D", modules[module])
            if other is None or re.fullmatch(BY_NAME["Linear"].named, last):
                continue
            if TURNED.fullmatch(last) and shown == {"Conv1D"}:
                chosen[module] = {"Conv1D": other}
            elif "Conv1D" in shown or (TURNED.fullmatch(last) and not shown):
                chosen[module]["Conv1D"] = other

    def _fit(self, kind: Kind, column: str, leaves: Mapping[str, str]) -> Change | None:
        """What a kind would do to a module; None where it is not of that kind."""
        spelled = spellings(kind, column)
        if not all(spelling.optional or leaf in leaves for leaf, spelling in spelled.items()):
            return None
        known = {leaf for leaf in leaves if leaf in LEAVES[column]}
        if not known or not known <= set(spelled):
            return None
        sizes: dict[str, int] = {}
        change: Change = {}
        for role in kind.roles:
            before, after = role[column], role[self.target]
            if before is None or before.leaf not in leaves:
                continue
            shape = self.tensors[leaves[before.leaf]].shape
            if not _unify(before, shape, sizes):
                return None
            change[before.leaf] = (
                after.leaf if after else None,
                before.axes,
                after.axes if after else "",
            )
        return change

    def _module(
        self,
        module: str,
        leaves: Mapping[str, str],
        candidates: Mapping[str, Change],
    ) -> None:
        given = self._given(module)
        if given == PARAMETER:
            self._decide(module, PARAMETER, "given")
            self._keep(module, leaves)
            return
        if given is not None and given != ATTENTION:
            change = self._fit_given(given, leaves)
            if change is None:
                shapes = ", ".join(
                    f"{leaf} {list(self.tensors[name].shape)}" for leaf, name in leaves.items()
                )
                raise UsageError(
                    f"kinds: {module or '(top)'} cannot be a {given}: it has {shapes}",
                    fix=f"fitting kinds: {', '.join(candidates) or PARAMETER}",
                )
            self._decide(module, given, "given")
            self._change(module, leaves, change)
            return
        if any(DERIVED.fullmatch(part) for part in (*leaves, *module.split("."))):
            self._leave_open(
                module, leaves, (PARAMETER,), "its tensors are no plain weights of a module"
            )
            return
        if not candidates:
            if any(
                leaf == "weight" and len(self.tensors[n].shape) > 1 for leaf, n in leaves.items()
            ):
                self._leave_open(module, leaves, (PARAMETER,), "no kind has such tensors")
            else:
                self._keep(module, leaves)
            return
        distinct = {_effect(change) for change in candidates.values()}
        kind, change = next(iter(candidates.items()))
        last = module.rpartition(".")[2]
        named = bool(re.fullmatch(BY_NAME[kind].named or "-", last, re.IGNORECASE))
        if len(distinct) > 1 and not self._flat(candidates):
            self._leave_open(module, leaves, tuple(candidates), "")
        else:
            if len(distinct) > 1:
                kind, change = "Conv2d", candidates["Conv2d"]
            self._decide(module, kind, "name" if named else "shape")
            self._change(module, leaves, change)

    def _flat(self, candidates: Mapping[str, Change]) -> bool:
        """Whether 1x1 kernels of MindSpore are of two dimensions, because all other kernels here are."""
        if set(candidates) != {"Conv1d", "Conv2d"} or self.source != "mindspore":
            return False
        kernels = [
            tensor.shape[2:]
            for name, tensor in self.tensors.items()
            if name.endswith("weight") and len(tensor.shape) == 4
        ]
        return any(height > 1 for height, _ in kernels) and not any(
            height == 1 and width > 1 for height, width in kernels
        )

    def _fit_given(self, name: str, leaves: Mapping[str, str]) -> Change | None:
        columns = (self.source, *ALSO.get(self.source, ()))
        fits = (self._fit(BY_NAME[name], column, leaves) for column in columns)
        return next((change for change in fits if change is not None), None)

    def _change(self, module: str, leaves: Mapping[str, str], change: Change) -> None:
        at = f"{module}." if module else ""
        for leaf, name in leaves.items():
            if leaf not in change:
                self._move(name, at + leaf)
                continue
            to, before, after = change[leaf]
            if to is None:
                self.found.steps.append(dropped(name, self.tensors[name]))
            else:
                shape = self.tensors[name].shape if "(" in after else ()
                self._move(name, at + to, (before, after) if before != after else ("", ""), shape)

    def _keep(self, module: str, leaves: Mapping[str, str]) -> None:
        for leaf, name in leaves.items():
            self._move(name, f"{module}.{leaf}" if module else leaf)

    def _leave_open(
        self, module: str, leaves: Mapping[str, str], candidates: tuple[str, ...], why: str
    ) -> None:
        # Only the order in which they are offered.
        likely = sorted(candidates, key=lambda kind: kind != "Embedding" or "emb" not in module)
        self.found.open.append(Open(module, tuple(likely), tuple(leaves.values()), why))

    def _decide(self, module: str, kind: str, by: str) -> None:
        decision = Decision(module, kind, by)
        if decision not in self.found.decisions[-3:]:
            self.found.decisions.append(decision)

    # -- names of modules within the frameworks' own layers

    def _submodules(self) -> None:
        source, target = COLUMNS.index(self.source), COLUMNS.index(self.target)
        children: dict[str, set[str]] = defaultdict(set)
        for step in self.found.steps:
            for name in step.targets:
                for prefix, child in _parents(name):
                    children[prefix].add(child)
        renames: dict[str, str] = {}
        for siblings, names in SUBMODULES:
            here = {_in(source, sibling) for sibling in siblings}
            for prefix, found in children.items():
                if names[source] != names[target] and here <= found:
                    at = f"{prefix}." if prefix else ""
                    renames[f"{at}{names[source]}."] = f"{at}{names[target]}."
        if not renames:
            return
        self.found.steps = [
            Step(
                step.op, step.sources, tuple(_moved(name, renames) for name in step.targets),
                step.axes, step.shape, step.axis, step.sizes, step.note,
            )
            for step in self.found.steps
        ]  # fmt: skip


def _unify(spelling: Spelling, shape: tuple[int, ...], sizes: dict[str, int]) -> bool:
    """Whether a shape has the axes, with the sizes that the letters have already."""
    if len(shape) != spelling.rank or "(" in spelling.axes:
        return False
    for letter, size in zip(spelling.axes, shape, strict=True):
        expected = 1 if letter == "1" else sizes.setdefault(letter, size)
        if size != expected:
            return False
    return True


def _effect(change: Change) -> frozenset[tuple[str, str | None, str]]:
    """What a change comes to: names of axes do not matter, only where they go."""
    return frozenset(
        (leaf, to, _order(before, after) if to else "")
        for leaf, (to, before, after) in change.items()
    )


def _order(before: str, after: str) -> str:
    return "".join(str(before.find(axis)) if axis.isalpha() else axis for axis in after)


def _parents(name: str) -> Iterator[tuple[str, str]]:
    parts = name.split(".")
    for index in range(len(parts) - 1):
        yield ".".join(parts[:index]), parts[index]


def _in(column: int, name: str) -> str:
    """What a submodule is called in a framework."""
    return next((names[column] for _, names in SUBMODULES if names[0] == name), name)


def _moved(name: str, renames: Mapping[str, str]) -> str:
    for before, after in renames.items():
        if name.startswith(before):
            name = after + name[len(before) :]
    return name


def _check_names(found: Plan) -> None:
    taken: dict[str, Step] = {}
    for step in found.steps:
        for name in step.targets:
            if name in taken:
                raise UsageError(
                    f"{', '.join(taken[name].sources)} and {', '.join(step.sources)} would both be"
                    f" called {name!r}",
                    fix="rename one of them with --map",
                )
            taken[name] = step

"""Mapping files: what a user says where names and shapes do not decide.

    rename:                          # first of all, on the source's names; patterns in order
      "module.{rest:**}": "{rest}"
    kinds:                           # modules by pattern
      "encoder.embed": Embedding
      "blocks.*.attn": MultiheadAttention
    rules:                           # tensors that no table knows; the first that fits is taken
      - {match: "blocks.{n}.qkv.weight", to: ["blocks.{n}.q.weight", "blocks.{n}.kv.weight"], split: 0, sizes: [64, 128]}
      - {match: ["{m}.gate.weight", "{m}.up.weight"], to: "{m}.gate_up.weight", fuse: 0}
      - {match: "head.weight", to: "head.weight", transpose: [1, 0]}
      - {match: "**.inv_freq", drop: true}

In a pattern `*` is some of one part of a name, `**` any number of parts, and `{n}` one part that `to` can
use; `{n:**}` any number of parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from converters.checkpoints.layouts import ATTENTION, BY_NAME
from converters.errors import UsageError

PARAMETER = "Parameter"
KIND_NAMES = (*BY_NAME, ATTENTION, PARAMETER)
_TOKEN = re.compile(r"\*\*|\*|\{(?P<name>[A-Za-z_]\w*)(?P<many>:\*\*)?\}")


class Rule(BaseModel):
    """What is done to tensors of some names; see the module's text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str | list[str]
    to: str | list[str] | None = None
    transpose: list[int] | None = None
    split: int | None = Field(default=None, ge=0)
    sizes: list[int] | None = None
    fuse: int | None = Field(default=None, ge=0)
    drop: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> Rule:
        many_in, many_out = isinstance(self.match, list), isinstance(self.to, list)
        if self.drop:
            if self.to is not None or many_in:
                raise ValueError("drop takes one match and nothing else")
        elif self.to is None:
            raise ValueError("to is missing (or drop: true)")
        elif many_in != (self.fuse is not None) or (many_in and many_out):
            raise ValueError("several names in match, and one in to, go with fuse")
        elif many_out != (self.split is not None):
            raise ValueError("several names in to go with split")
        if self.sizes is not None and self.split is None:
            raise ValueError("sizes go with split")
        if self.transpose is not None and sorted(self.transpose) != list(
            range(len(self.transpose))
        ):
            raise ValueError(f"transpose {self.transpose} is no order of axes")
        for name in self.match if isinstance(self.match, list) else [self.match]:
            pattern(name)
        return self


class Map(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rename: dict[str, str] = {}
    kinds: dict[str, str] = {}
    rules: list[Rule] = []

    @model_validator(mode="after")
    def _known(self) -> Map:
        for name, kind in self.kinds.items():
            if kind not in KIND_NAMES:
                raise ValueError(
                    f"{name}: unknown kind {kind!r}; there are {', '.join(KIND_NAMES)}"
                )
        return self


def read_mapping(path: Path) -> Map:
    """Read a mapping file.

    Raises:
        UsageError: It is not there, no YAML, or says what is not understood; names the place.
    """
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix="name a mapping file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: no YAML: {error}", fix="see docs/checkpoints.md") from error
    return parse_mapping(said or {}, str(path))


def parse_mapping(said: Any, where: str) -> Map:
    """A mapping out of plain data.

    Raises:
        UsageError: It says what is not understood; names the place.
    """
    try:
        return Map.model_validate(said)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'top'}: {one['msg']}" for one in error.errors()
        )
        raise UsageError(f"{where}: {problems}", fix="see docs/checkpoints.md") from error


def pattern(text: str) -> re.Pattern[str]:
    """A pattern for names, compiled.

    Raises:
        ValueError: A name of a hole that stands there twice.
    """
    parts, at = [], 0
    for token in _TOKEN.finditer(text):
        parts.append(re.escape(text[at : token.start()]))
        at = token.end()
        if token["name"]:
            parts.append(f"(?P<{token['name']}>{'.+' if token['many'] else '[^.]+'})")
        else:
            parts.append(".*" if token[0] == "**" else "[^.]*")
    try:
        return re.compile("".join(parts) + re.escape(text[at:]))
    except re.error as error:
        raise ValueError(f"pattern {text!r}: {error}") from error


def filled(template: str, holes: Mapping[str, str], where: str) -> str:
    """A name out of a template.

    Raises:
        UsageError: It has a hole that the pattern did not fill.
    """

    def value(token: re.Match[str]) -> str:
        if token["name"] not in holes:
            raise UsageError(f"{where}: {token[0]} in {template!r} is not in the pattern")
        return holes[token["name"]]

    return _TOKEN.sub(value, template)

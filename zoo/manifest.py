"""The manifest of a model version: one schema for YAML files, the HTTP API and the catalogue.

A manifest is data, never code. Unknown fields are refused, so that a misspelt one cannot be lost. The
canonical form (JSON, keys sorted, no spaces, UTF-8, fields at their default left out) is what a
version's digest is taken of: a field that a later release adds does not change older digests.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args
from unicodedata import normalize
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from converters.dtypes import BY_NAME
from converters.verify.report import Report
from zoo.errors import InvalidManifest, InvalidReference
from zoo.reference import (
    DIGEST_RULE,
    NAME_RULE,
    PATH_RULE,
    SOURCE_FORMS,
    VERSION_RULE,
    is_digest,
    is_file_path,
    is_version,
    parse_reference,
    parse_source,
    shown,
)

LARGEST_MANIFEST = 4 << 20  # bytes, of YAML or JSON
DEEPEST_MANIFEST = 32  # levels of nesting
LARGEST_FILE = 1 << 50  # bytes
DTYPES = tuple(BY_NAME)

Framework = Literal["onnx", "pytorch", "paddle", "mindspore"]
Precision = Literal["fp64", "fp32", "fp16", "bf16", "fp8", "int8", "int4", "mixed"]
Target = Literal["cpu", "cuda", "ascend", "mlu", "musa", "xpu"]
FRAMEWORKS: tuple[str, ...] = get_args(Framework)

_SLUG = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:[._-][a-z0-9]+)*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _expected(rule: str) -> PydanticCustomError:
    # Braces would be read as placeholders of the message.
    return PydanticCustomError("expected", "{rule}", {"rule": f"expected {rule}"})


def _rule(holds: Any, rule: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if not holds(value):
            raise _expected(rule)
        return value

    return AfterValidator(check)


def _is_name(text: str) -> bool:
    try:
        return parse_reference(text).version is None
    except InvalidReference:
        return False


def _is_source(text: str) -> bool:
    try:
        return bool(parse_source(text))
    except InvalidReference:
        return False


def _is_reference_or_url(text: str) -> bool:
    if text.startswith(("https://", "http://")):
        return bool(urlsplit(text).netloc) and not _CONTROL.search(text)
    try:
        return bool(parse_reference(text))
    except InvalidReference:
        return False


def _line(longest: int) -> AfterValidator:
    return _rule(
        lambda text: 0 < len(text.strip()) == len(text) <= longest and not _CONTROL.search(text),
        f"one line of 1 to {longest} characters",
    )


def _text(longest: int) -> AfterValidator:
    return _rule(
        lambda text: text.strip() and len(text) <= longest and not _CONTROL_IN_TEXT.search(text),
        f"text of 1 to {longest} characters",
    )


def _one_of(names: Iterable[str]) -> AfterValidator:
    known = tuple(names)
    return _rule(lambda name: name in known, "one of " + ", ".join(known))


ModelName = Annotated[
    str, _rule(_is_name, NAME_RULE), Field(examples=["paddleocr/pp-ocrv4-rec"], max_length=193)
]
VersionName = Annotated[
    str, _rule(is_version, VERSION_RULE), Field(examples=["1.0.0"], max_length=64)
]
Sha256 = Annotated[
    str,
    _rule(is_digest, DIGEST_RULE),
    Field(
        json_schema_extra={"pattern": "^[0-9a-f]{64}$"},
        examples=["48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"],
    ),
]
FilePath = Annotated[str, _rule(is_file_path, PATH_RULE), Field(examples=["model.onnx"])]
SourceUrl = Annotated[
    str,
    _rule(_is_source, " or ".join(SOURCE_FORMS.values())),
    Field(examples=["pypi:rapidocr-onnxruntime==1.4.4!rapidocr_onnxruntime/models/x.onnx"]),
]
Size = Annotated[
    StrictInt,
    _rule(lambda n: 0 <= n <= LARGEST_FILE, f"a number of bytes from 0 to {LARGEST_FILE}"),
    Field(json_schema_extra={"minimum": 0, "maximum": LARGEST_FILE}),
]
Slug = Annotated[
    str,
    _rule(_SLUG.match, "lower-case letters and digits with single '-', '.' or '_' between them"),
    Field(json_schema_extra={"pattern": "^[a-z0-9]+(?:[._-][a-z0-9]+)*$", "maxLength": 64}),
]
Line = Annotated[str, _line(300)]
TensorName = Annotated[str, _line(256), Field(examples=["x"])]
Text = Annotated[str, _text(100_000)]


# Not pydantic's own rule, which also counts the items that failed.
_SOME = _rule(len, "at least one item")
_SOME_SCHEMA = {"minItems": 1}


def _dim(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63:
        return value
    if isinstance(value, str) and value.isascii() and value.isidentifier():
        return value
    raise _expected("a positive integer or a name such as N")


Dim = Annotated[
    int | str,
    BeforeValidator(_dim),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            ],
            "description": "A length, or the name of a dynamic dimension.",
        }
    ),
]


class Record(BaseModel):
    """What all parts of a manifest share: immutable, and no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(Record):
    """Under which terms the files may be used."""

    expression: Annotated[str, Field(examples=["Apache-2.0"], max_length=1000)]
    text: Text | None = None
    conditions: Annotated[tuple[Line, ...], Field(max_length=50)] = ()

    @field_validator("expression")
    @classmethod
    def _known(cls, text: str) -> str:
        return spdx(text)

    @field_validator("text", mode="after")
    @classmethod
    def _text_of_own(cls, text: str | None, info: ValidationInfo) -> str | None:
        own = "LicenseRef-" in info.data.get("expression", "")
        if own and text is None:
            raise _expected("the text of the licence, because its expression has a LicenseRef-")
        return text

    # A default is not validated otherwise, and here None can be wrong.
    model_config = ConfigDict(validate_default=True)


class Lineage(Record):
    """Where a model comes from."""

    publisher: Annotated[Line, Field(examples=["PaddleOCR"])]
    base_model: (
        Annotated[str, _rule(_is_reference_or_url, "org/model@version or a https: address")] | None
    ) = None
    data: Text | None = None
    derived_from: Sha256 | None = None
    converter: Line | None = None


class TensorSpec(Record):
    """One input or output: its name, element type and shape.

    Attributes:
        name: As the model calls it.
        dtype: Element type, by its numpy name.
        shape: Lengths, or names of dynamic dimensions; None where not even their number is known.
        kind: What holds tensors of that type and shape, where it is no tensor itself.
    """

    name: TensorName
    dtype: Annotated[str, _one_of(DTYPES), Field(json_schema_extra={"enum": list(DTYPES)})]
    shape: Annotated[tuple[Dim, ...], Field(max_length=32, examples=[["N", 3, 48, "W"]])] | None
    kind: Literal["tensor", "sequence", "optional", "optional sequence"] = "tensor"


class Signature(Record):
    """The inputs and outputs of a model, in order."""

    inputs: Annotated[tuple[TensorSpec, ...], Field(max_length=1000)]
    outputs: Annotated[
        tuple[TensorSpec, ...], _SOME, Field(max_length=1000, json_schema_extra=_SOME_SCHEMA)
    ]

    @field_validator("inputs", "outputs")
    @classmethod
    def _distinct(cls, tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return _unique(tensors, lambda tensor: tensor.name, "tensors with different names")


# The evidence that an artifact computes what its source computes.
Verification = Report


class ConvertedFrom(Record):
    """What an artifact was converted from."""

    format: Slug
    sha256: Sha256


class File(Record):
    """One file of an artifact.

    Attributes:
        path: Where it stands in the artifact's directory.
        sha256: Digest of its bytes.
        size: In bytes; may be left out where a source is named, and is then filled in.
        source: Where it can be fetched from.
    """

    path: FilePath
    sha256: Sha256
    size: Size | None = None
    source: SourceUrl | None = None


class Artifact(Record):
    """A model in the native form of one framework."""

    framework: Framework
    format: Annotated[Slug, Field(examples=["safetensors"])]
    precision: Precision
    targets: Annotated[tuple[Target, ...], Field(max_length=len(get_args(Target)))] = ("cpu",)
    entry: FilePath
    inference: FilePath | None = None
    files: Annotated[
        tuple[File, ...], _SOME, Field(max_length=10_000, json_schema_extra=_SOME_SCHEMA)
    ]
    source: ConvertedFrom | None = None
    converter: Line | None = None
    route: Annotated[tuple[Slug, ...], Field(max_length=20)] = ()
    verification: Verification | None = None

    @field_validator("targets")
    @classmethod
    def _distinct_targets(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        return _unique(targets, str, "different targets")

    @field_validator("files")
    @classmethod
    def _files_fit(cls, files: tuple[File, ...], info: ValidationInfo) -> tuple[File, ...]:
        rule = "paths that differ in more than the case of letters"
        # Nor do they differ on some disks if only the form of an accent does.
        _unique(files, lambda file: normalize("NFC", file.path).casefold(), rule)
        paths = {file.path for file in files}
        folders = {f.path[:i].casefold() for f in files for i, c in enumerate(f.path) if c == "/"}
        for file in files:
            if file.path.casefold() in folders:
                raise _expected(f"{shown(file.path)} to be a file or a folder, not both")
        for field in ("entry", "inference"):
            path = info.data.get(field)
            if path is not None and path not in paths:
                raise _expected(f"a file with the path {shown(path)}, which {field} names")
        return files

    def file(self, path: str) -> File | None:
        """The file at a path, or None."""
        return next((file for file in self.files if file.path == path), None)


class Manifest(Record):
    """Everything that is known of one version of a model."""

    name: ModelName
    version: VersionName
    task: Annotated[Slug, Field(examples=["text-recognition"])]
    summary: Annotated[Line, Field(examples=["Reads a line of Chinese or English text."])]
    tags: Annotated[tuple[Annotated[str, _line(64)], ...], Field(max_length=100)] = ()
    licence: Licence
    lineage: Lineage
    signature: Signature | None = None
    artifacts: Annotated[
        tuple[Artifact, ...],
        _SOME,
        Field(max_length=len(FRAMEWORKS), json_schema_extra=_SOME_SCHEMA),
    ]
    notices: Annotated[tuple[Text, ...], Field(max_length=100)] = ()

    @field_validator("tags")
    @classmethod
    def _distinct_tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        return _unique(tags, str, "different tags")

    @field_validator("artifacts")
    @classmethod
    def _one_per_framework(cls, artifacts: tuple[Artifact, ...]) -> tuple[Artifact, ...]:
        _unique(artifacts, lambda artifact: artifact.framework, "at most one per framework")
        sizes: dict[str, int] = {}
        for file in (file for artifact in artifacts for file in artifact.files):
            if file.size is not None and sizes.setdefault(file.sha256, file.size) != file.size:
                raise _expected(f"one size for {file.sha256}")
        return artifacts

    @property
    def reference(self) -> str:
        """`org/model@version`."""
        return f"{self.name}@{self.version}"

    def canonical(self) -> bytes:
        """The one way to write this manifest: sorted keys, no spaces, defaults left out, UTF-8."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(
            fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: 64 hex digits."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def artifact(self, framework: str) -> Artifact | None:
        """The artifact for a framework, or None."""
        return next((a for a in self.artifacts if a.framework == framework), None)

    def with_sizes(self, sizes: Mapping[str, int]) -> Manifest:
        """The same manifest with every size that is left out filled in.

        Args:
            sizes: Bytes by SHA-256 in hex.
        """

        def filled(file: File) -> File:
            size = file.size if file.size is not None else sizes.get(file.sha256)
            return file.model_copy(update={"size": size})

        artifacts = tuple(
            artifact.model_copy(update={"files": tuple(map(filled, artifact.files))})
            for artifact in self.artifacts
        )
        return self.model_copy(update={"artifacts": artifacts})


def _unique(items: tuple[Any, ...], key: Any, rule: str) -> tuple[Any, ...]:
    seen: set[Hashable] = set()
    for item in items:
        if key(item) in seen:
            raise _expected(f"{rule}, but {shown(key(item))} is there twice")
        seen.add(key(item))
    return items


@lru_cache(maxsize=1)
def _spdx() -> Any:
    # Reads an index of some two thousand licences: not at import time.
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def spdx(text: str) -> str:
    """An SPDX licence expression, checked and in its usual spelling.

    Args:
        text: Such as `MIT` or `Apache-2.0 OR LicenseRef-Mine`.

    Raises:
        PydanticCustomError: It cannot be read, or names a licence that SPDX does not know.
    """
    from license_expression import ExpressionError

    try:
        parsed = _spdx().parse(text, validate=False)
        unknown = [] if parsed is None else _spdx().unknown_license_keys(parsed)
    except (ExpressionError, AttributeError, TypeError) as error:
        raise _expected("an SPDX licence expression such as Apache-2.0") from error
    if parsed is None:
        raise _expected("an SPDX licence expression such as Apache-2.0")
    strangers = [key for key in unknown if not _LICENCE_REF.match(key)]
    if strangers:
        raise _expected(
            "licences of the SPDX list, or LicenseRef-NAME with its text; unknown: "
            + ", ".join(map(shown, strangers))
        )
    return str(parsed)


_LICENCE_REF = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+\Z")


def load_manifest(path: Path) -> Manifest:
    """Read a manifest from a YAML file.

    Raises:
        InvalidManifest: It cannot be read or does not follow the schema; every problem is named.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_MANIFEST + 1)
    except OSError as error:
        raise InvalidManifest(
            f"{path}: cannot be read: {error.strerror}", fix="name a YAML file that can be read"
        ) from error
    return parse_manifest(raw, str(path))


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """Read a manifest from the bytes of a YAML (or JSON) file.

    Args:
        raw: The file's content, UTF-8.
        where: What to call the file in messages.

    Raises:
        InvalidManifest: It does not follow the schema; every problem is named.
    """
    if len(raw) > LARGEST_MANIFEST:
        raise InvalidManifest(
            f"{where}: larger than {LARGEST_MANIFEST} bytes", fix="move long texts into files"
        )
    try:
        data = yaml.load(raw.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise InvalidManifest(f"{where}: not UTF-8 text", fix="save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise InvalidManifest(f"{where}{line}: {problem}", fix="correct the YAML") from error
    except (RecursionError, ValueError, OverflowError) as error:
        # PyYAML lets wrong dates and numbers out as they are.
        raise InvalidManifest(f"{where}: not YAML: {error}", fix="correct the YAML") from error
    return validate_manifest(data, where)


def validate_manifest(data: object, where: str) -> Manifest:
    """Make a manifest of plain data, such as JSON gives.

    Raises:
        InvalidManifest: It does not follow the schema; every problem is named.
    """
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        problems = describe_problems(error.errors(include_url=False))
        raise InvalidManifest(
            "\n".join(f"{where}: {problem}" for problem in problems),
            fix="correct the fields that are named; docs/architecture.md has the schema",
            details={"problems": problems},
        ) from error


def describe_problems(errors: Sequence[ErrorDetails] | Sequence[Any]) -> list[str]:
    """What pydantic found, as `field: expected …, got …`, one line per problem."""
    lines = []
    for error in errors:
        location = field_path(error["loc"])
        prefix = f"{location}: " if location else ""
        lines.append(f"{prefix}{_problem(error)}")
    return list(dict.fromkeys(lines))


def field_path(location: Sequence[int | str]) -> str:
    """A pydantic location as people write it: `artifacts[0].files[1].sha256`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif path:
            path += f".{part}"
        else:
            path = part
    return path


# What pydantic's types of error mean for the writer of a manifest; the rest keep pydantic's words.
_PROBLEMS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "is required",
        "extra_forbidden": "is not a field of the schema",
        "string_type": "expected text (quote it if it looks like a number)",
        "int_type": "expected a whole number",
        "bool_type": "expected true or false",
        "value_error": "{error}",
        "tuple_type": "expected a list",
        "model_type": "expected a mapping of fields",
        "model_attributes_type": "expected a mapping of fields",
        "dict_type": "expected a mapping",
        "literal_error": "expected one of {expected}",
        "too_short": "expected at least {min_length} items",
        "too_long": "expected at most {max_length} items",
        "string_too_long": "expected at most {max_length} characters",
        "greater_than_equal": "expected at least {ge}",
    }
)


def _problem(error: ErrorDetails | Mapping[str, Any]) -> str:
    kind, given = error["type"], error.get("input")
    known = _PROBLEMS.get(kind)
    text = known.format_map(error.get("ctx", {})) if known else error["msg"]
    if kind in ("missing", "extra_forbidden") or isinstance(given, dict | list | tuple | BaseModel):
        return text
    if kind == "model_type" and given is None:
        return f"{text}, got nothing"
    return f"{text}, got {_given(given)}"


def _given(value: object) -> str:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    return shown(repr(value))[1:-1]


class _Loader(yaml.SafeLoader):
    """YAML without what makes it dangerous or ambiguous: aliases, duplicate keys, great depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        events: Any = self  # types-PyYAML leaves the parser's methods untyped
        mark = events.peek_event().start_mark
        if events.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                "aliases (*name) are not accepted: write the value out",
                mark,
            )
        if self.depth >= DEEPEST_MANIFEST:
            raise yaml.constructor.ConstructorError(
                None, None, f"nested more than {DEEPEST_MANIFEST} levels deep", mark
            )
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key, yaml.ScalarNode) else True:
                what = f"the key {shown(str(key.value))} is there twice"
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    what if isinstance(key, yaml.ScalarNode) else "a key must be plain text",
                    key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.errors import InvalidManifest
from zoo.manifest import (
    DEEPEST_MANIFEST,
    DTYPES,
    LARGEST_MANIFEST,
    Manifest,
    load_manifest,
    parse_manifest,
    spdx,
    validate_manifest,
)

MANIFESTS = Path(__file__).parents[2] / "manifests"


def test_manifests_of_the_project_are_valid():
    paths = sorted(MANIFESTS.rglob("*.yaml"))
    assert paths
    for path in paths:
        assert load_manifest(path).name


words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
lines = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
dims = st.integers(1, 2**40) | st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
tensors = st.lists(
    st.fixed_dictionaries(
        {"name": lines, "dtype": st.sampled_from(DTYPES), "shape": st.lists(dims, max_size=5)}
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda tensor: tensor["name"],
)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
safe_words = words.filter(lambda word: word not in ("con", "prn", "aux", "nul"))


@st.composite
def artifacts(draw, framework):
    paths = draw(st.lists(safe_words, min_size=1, max_size=4, unique=True))
    named = [(f"{path}.bin", draw(digests)) for path in paths]
    # One digest has one size.
    files = [
        {"path": path, "sha256": digest, "size": int(digest[:10], 16)} for path, digest in named
    ]
    return {
        "framework": framework,
        "format": draw(words),
        "precision": draw(st.sampled_from(["fp32", "bf16", "int8"])),
        "targets": draw(st.lists(st.sampled_from(["cpu", "cuda", "ascend"]), unique=True)),
        "entry": files[0]["path"],
        "files": files,
    }


@st.composite
def manifests(draw):
    frameworks = draw(
        st.lists(st.sampled_from(["onnx", "pytorch", "paddle"]), min_size=1, unique=True)
    )
    return {
        "name": f"{draw(safe_words)}/{draw(safe_words)}",
        "version": f"{draw(st.integers(0, 99))}.{draw(st.integers(0, 99))}",
        "task": draw(words),
        "summary": draw(lines),
        "tags": draw(st.lists(lines, max_size=4, unique=True)),
        "licence": {"expression": draw(st.sampled_from(["MIT", "Apache-2.0 OR MIT"]))},
        "lineage": {"publisher": draw(lines), "data": draw(st.none() | lines)},
        "signature": draw(
            st.none() | st.fixed_dictionaries({"inputs": tensors, "outputs": tensors})
        ),
        "artifacts": [draw(artifacts(framework)) for framework in frameworks],
    }


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text takes a second
@given(manifests())
def test_round_trips(data):
    manifest = validate_manifest(data, "x")
    canonical = manifest.canonical()
    assert Manifest.model_validate_json(canonical) == manifest
    assert Manifest.model_validate_json(canonical).canonical() == canonical
    as_yaml = yaml.safe_dump(json.loads(canonical), allow_unicode=True).encode()
    assert parse_manifest(as_yaml, "x.yaml").digest == manifest.digest


def test_canonical_form_does_not_depend_on_how_it_was_written(fields):
    data = fields()
    shuffled = dict(reversed(list(data.items()))) | {"tags": [], "notices": []}
    one, other = validate_manifest(data, "x"), validate_manifest(shuffled, "x")
    assert one.canonical() == other.canonical()
    assert b": " not in one.canonical()
    assert json.loads(one.canonical())["name"] == "org/model"
    assert one.digest != validate_manifest({**data, "summary": "Other."}, "x").digest


def test_evidence_travels_whole(fields):
    output = {"name": "y", "shape": [1, 10], "dtype": "float32", "max_abs": 1e-6, "max_rel": 1e-05,
              "cosine": 1.0, "worst": [0, 3], "rtol": 1e-3, "atol": 1e-4, "passed": True}  # fmt: skip
    case = {"inputs": {"x": [1, 3, 48, 320]}, "seed": 0, "outputs": [output]}
    report = {"reference": "onnx", "candidate": "pytorch", "passed": True, "rtol": 1e-3,
              "atol": 1e-4, "cases": [case], "versions": {"torch": "2.13.0"}}  # fmt: skip
    data = copy.deepcopy(fields())
    data["artifacts"][0]["verification"] = report
    manifest = validate_manifest(data, "x")
    assert json.loads(manifest.canonical())["artifacts"][0]["verification"] == report
    assert Manifest.model_validate_json(manifest.canonical()) == manifest
    report["passed"] = False
    with pytest.raises(InvalidManifest, match=r"artifacts\[0\].verification: says passed=False"):
        validate_manifest(data, "x")


def test_a_shape_that_is_not_known(fields):
    data = copy.deepcopy(fields())
    set_at(data, ("signature", "outputs", 0, "shape"), None)
    manifest = validate_manifest(data, "x")
    assert manifest.signature.outputs[0].shape is None
    assert Manifest.model_validate_json(manifest.canonical()) == manifest


def test_every_problem_is_named_at_once(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        """
name: org/model
version: 1.0
task: text-recognition
summary: One line.
licence: {expression: Apache-2.0}
lineage: {publisher: Org, colour: red}
signature:
  inputs: [{name: x, dtype: float33, shape: [N, 0]}]
  outputs: [{name: y, dtype: float32, shape: []}]
artifacts:
  - framework: onnx
    format: onnx
    precision: fp32
    entry: model.onnx
    files:
      - {path: model.onnx, sha256: XX}
"""
    )
    with pytest.raises(InvalidManifest) as caught:
        load_manifest(path)
    assert caught.value.message.splitlines() == [
        f"{path}: version: expected text (quote it if it looks like a number), got 1.0",
        f"{path}: lineage.colour: is not a field of the schema",
        f'{path}: signature.inputs[0].dtype: expected one of {", ".join(DTYPES)}, got "float33"',
        f"{path}: signature.inputs[0].shape[1]: expected a positive integer or a name such as N, "
        "got 0",
        f'{path}: artifacts[0].files[0].sha256: expected 64 lower-case hex digits, got "XX"',
    ]
    assert caught.value.status == 2


def set_at(data, path, value):
    *parents, last = path
    for part in parents:
        data = data[part]
    data[last] = value


FILE = ("artifacts", 0, "files", 0)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("name",), "model", "name: expected org/model"),
        (("name",), "a/b/c", "name: expected org/model"),
        (("name",), "../b", "name: expected org/model"),
        (("name",), "con/b", "name: expected org/model"),
        (("name",), "a/b@1", "name: expected org/model"),
        (("version",), "latest", "version: expected letters"),
        (("version",), "main", "version: expected letters"),
        (("version",), "1/2", "version: expected letters"),
        (("version",), "..", "version: expected letters"),
        (("task",), "Text Recognition", "task: expected lower-case"),
        (("summary",), "two\nlines", "summary: expected one line"),
        (("summary",), "\x1b[31mred", "summary: expected one line"),
        (("licence", "expression"), "Apachy", "licence.expression: expected licences of the SPDX"),
        (("licence", "expression"), "MIT OR", "licence.expression: expected an SPDX"),
        (("licence", "expression"), "LicenseRef-Own", "licence.text: expected the text"),
        (("lineage", "derived_from"), "abc", "lineage.derived_from: expected 64"),
        (("lineage", "base_model"), "x", "lineage.base_model: expected org/model@version"),
        (("signature", "outputs"), [], "signature.outputs: expected at least one"),
        (("signature", "inputs", 0, "shape", 0), True, "shape[0]: expected a positive integer"),
        (("signature", "inputs", 0, "shape", 0), "N*2", "shape[0]: expected a positive integer"),
        (("signature", "inputs", 0, "shape", 0), -1, "shape[0]: expected a positive integer"),
        (("artifacts",), [], "artifacts: expected at least one"),
        (("artifacts", 0, "framework"), "tensorflow", "artifacts[0].framework: expected one of"),
        (("artifacts", 0, "entry"), "other.onnx", 'files: expected a file with the path "other'),
        (("artifacts", 0, "inference"), "infer.py", 'files: expected a file with the path "infer'),
        (("artifacts", 0, "targets"), ["cpu", "cpu"], "targets: expected different targets"),
        ((*FILE, "size"), "7", "files[0].size: expected a whole number"),
        ((*FILE, "size"), -1, "files[0].size: expected a number of bytes"),
        ((*FILE, "size"), True, "files[0].size: expected a whole number"),
        ((*FILE, "sha256"), "A" * 64, "files[0].sha256: expected 64"),
        ((*FILE, "source"), "ftp://host/x", "files[0].source: expected pypi:"),
        ((*FILE, "source"), "pypi:dist!x", "files[0].source: expected pypi:"),
        ((*FILE, "source"), "pypi:dist==1!../x", "files[0].source: expected pypi:"),
        ((*FILE, "source"), "https://user:secret@host/x", "files[0].source: expected pypi:"),
        ((*FILE, "unknown"), 1, "files[0].unknown: is not a field"),
    ],
)
def test_says_what_was_expected(fields, path, value, said):
    data = copy.deepcopy(fields())
    set_at(data, path, value)
    with pytest.raises(InvalidManifest) as caught:
        validate_manifest(data, "x.yaml")
    assert said in caught.value.message
    assert caught.value.message.startswith("x.yaml: ")


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../x", "a//b", "./x", "a/", "a\\b", "C:x", "a\nb", "nul", "NUL.txt",
     "a/com1.bin", "x.", "x ", " x", "a\x00b", "a?b", "", "exe\u202etxt.sh", "é" * 200, "a/" * 300 + "x"],
)  # fmt: skip
def test_refuses_paths_that_no_system_should_write(fields, path):
    data = copy.deepcopy(fields())
    set_at(data, (*FILE, "path"), path)
    with pytest.raises(InvalidManifest, match=r"artifacts\[0\].files\[0\].path: expected"):
        validate_manifest(data, "x")


@pytest.mark.parametrize(
    "paths", [("a", "A"), ("a", "a"), ("a", "a/b"), ("a/b", "A"), ("\u00e9", "e\u0301")]
)
def test_refuses_paths_that_collide(fields, paths):
    data = copy.deepcopy(fields())
    files = [{"path": path, "sha256": "0" * 64, "size": 1} for path in paths]
    data["artifacts"][0] |= {"files": files, "entry": paths[0]}
    with pytest.raises(InvalidManifest, match=r"artifacts\[0\].files: expected"):
        validate_manifest(data, "x")


def test_one_artifact_per_framework(fields):
    data = copy.deepcopy(fields())
    data["artifacts"] *= 2
    with pytest.raises(InvalidManifest, match="artifacts: expected at most one per framework"):
        validate_manifest(data, "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", 'x.yaml:2: the key "a" is there twice'),
        ("a: &x [1]\nb: *x", "x.yaml:2: aliases"),
        ("[" * (DEEPEST_MANIFEST + 1), "nested more than"),
        ("a: 2024-99-99", "not YAML"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("? [a]\n: 1", "a key must be plain text"),
        ("{1: 2}", "name: is required"),
        ("- 1", "expected a mapping"),
        ("", "expected a mapping"),
        ("a: [", "x.yaml:1:"),
        ("name: 0x" + "9" * 5000, "more than 64 bits"),
    ],
)
def test_refuses_hostile_yaml(text, said):
    with pytest.raises(InvalidManifest) as caught:
        parse_manifest(text.encode(), "x.yaml")
    assert said in caught.value.message


def test_refuses_what_is_not_text_or_too_long(tmp_path):
    with pytest.raises(InvalidManifest, match="not UTF-8"):
        parse_manifest(b"\xff\xfe", "x.yaml")
    with pytest.raises(InvalidManifest, match="larger than"):
        parse_manifest(b" " * (LARGEST_MANIFEST + 1), "x.yaml")
    with pytest.raises(InvalidManifest, match="cannot be read"):
        load_manifest(tmp_path / "missing.yaml")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused(raw):
    with pytest.raises(InvalidManifest):
        parse_manifest(raw, "x.yaml")


def test_licences_are_spelt_as_spdx_does():
    assert spdx("apache-2.0 or mit") == "Apache-2.0 OR MIT"
    assert spdx("GPL-2.0-only WITH Classpath-exception-2.0").endswith("Classpath-exception-2.0")


def test_a_licence_of_ones_own_needs_its_text(fields):
    licence = {"expression": "LicenseRef-LLaMA-2", "text": "…", "conditions": ["700 million users"]}
    manifest = validate_manifest(fields(licence=licence), "x")
    assert manifest.licence.conditions == ("700 million users",)

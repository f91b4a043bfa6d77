"""Paddle's programs through our own importer: numbers as Paddle's, refusals that say why, hostile programs.

Paddle saves and runs the cases in a process of its own (paddle_cases.py), in the older form and in PIR. Cases that
this Paddle cannot save in the older form are skipped there: its functions make only PIR.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from converters.errors import (
    ConversionError,
    UnsafeInput,
    UnsupportedError,
    UnsupportedOperators,
)
from converters.importers.paddle import convert, read, to_onnx
from converters.importers.paddle.ops import TABLE
from converters.importers.paddle.pir import ROWS
from converters.importers.paddle.program import Operator, Program, Variable
from tests.importers.paddle_cases import CASES, RAW

HERE = Path(__file__).parent
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
# Of the older form, only these many have to be saved: the rest is PIR's alone in PaddlePaddle 3.3.
LEAST_OLD = 370
FORMS = {"old": "0", "pir": "1"}

needs_paddle = pytest.mark.skipif(
    importlib.util.find_spec("paddle") is None, reason="PaddlePaddle is not installed"
)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Folders with all cases, by form."""

    def save(form):
        folder = tmp_path_factory.mktemp(form)
        names = [*CASES, *RAW] if form == "old" else [*CASES]
        environment = {**os.environ, "FLAGS_enable_pir_api": FORMS[form]}
        # A case may end the process; the next one goes on behind it.
        for _ in range(10):
            done = subprocess.run(
                [sys.executable, HERE / "paddle_cases.py", folder, *names],
                env=environment,
                capture_output=True,
                timeout=500,
            )
            if not done.returncode:
                return folder
        raise RuntimeError(done.stderr.decode()[-2000:])

    return {form: save(form) for form in FORMS}


def _computed(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    wanted = {one.name for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]
    given = {name: array for name, array in inputs.items() if name in wanted}
    return dict(zip(names, session.run(None, given), strict=True))


@needs_paddle
@pytest.mark.parametrize(
    ("form", "name"),
    [*(("pir", name) for name in CASES), *(("old", name) for name in (*CASES, *RAW))],
)
def test_case(saved, form, name):
    folder = saved[form]
    if not (folder / f"{name}.1.npz").exists():
        assert form == "old", (folder / f"{name}.failed").read_text()
        pytest.skip("this Paddle does not save it in the older form")
    program = folder / f"{name}{'.pdmodel' if form == 'old' else '.json'}"
    model = to_onnx(program)
    onnx.checker.check_model(model, full_check=True)
    for run in (0, 1):
        with np.load(folder / f"{name}.{run}.npz") as arrays:
            given = {key[3:]: arrays[key] for key in arrays if key.startswith("in:")}
            wanted = {key[4:]: arrays[key] for key in arrays if key.startswith("out:")}
        found = _computed(model, given)
        assert set(found) == set(wanted)
        for key, array in wanted.items():
            assert found[key].shape == array.shape
            assert found[key].dtype == array.dtype
            np.testing.assert_allclose(found[key], array, **TOLERANCE)


@needs_paddle
def test_most_cases_are_saved_in_the_older_form(saved):
    assert len([*saved["old"].glob("*.1.npz")]) >= LEAST_OLD


@needs_paddle
def test_parameters_keep_their_names(saved):
    model = to_onnx(saved["pir"] / "conv.json")
    names = {one.name for one in model.graph.initializer}
    assert {one.rpartition(".")[2] for one in names if one.startswith("conv2d_")} == {"w_0", "b_0"}
    shape = model.graph.input[0].type.tensor_type.shape
    assert [one.dim_param or one.dim_value for one in shape.dim] == ["N", 3, "H", "W"]


def test_rows_are_in_the_table():
    assert {row.type for row in ROWS.values()} <= {*TABLE, "if", "while"}


# ***** What is refused *****


def _variable(name, dims=(2, 3), **more):
    from converters.dtypes import BY_NAME

    return Variable(name, BY_NAME["float32"], dims, **more)


def _program(*operators, variables=("x", "y"), feeds=("x",), fetches=("y",)):
    declared = {name: _variable(name) for name in variables}
    return Program("p", declared, operators, feeds, tuple((one, one) for one in fetches))


def _operator(kind, attributes=None, inputs=None, outputs=None):
    return Operator(kind, inputs or {"X": ("x",)}, outputs or {"Out": ("y",)}, attributes or {})


def test_rms_norm_which_only_a_gpu_build_saves():
    """The CPU build of PaddlePaddle 3.3 has no kernel for it, and saves no program with it."""
    attributes = {"normalized_shape": (3,), "epsilon": 0.5}
    inputs = {"x": ("x",), "norm_weight": ("w",)}
    outputs = {"out": ("y",), "inv_var": ("v",)}
    declared = {name: _variable(name) for name in "xyv"} | {"w": _variable("w", (3,))}
    operator = _operator("rms_norm", attributes, inputs, outputs)
    program = Program("p", declared, (operator,), ("x", "w"), (("y", "y"), ("v", "v")))
    *x, w = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    x = np.stack(x)
    y, v = _computed(convert(program, {}), {"x": x, "w": w}).values()
    wanted = 1 / np.sqrt((x**2).mean(-1) + 0.5)
    np.testing.assert_allclose(v, wanted, **TOLERANCE)
    np.testing.assert_allclose(y, x * wanted[:, None] * w, **TOLERANCE)


def test_an_output_that_no_rule_gives_is_refused():
    operator = _operator("median", {"axis": (1,)}, outputs={"Out": ("y",), "Medians": ("m",)})
    program = _program(operator, variables="xym", fetches=("y", "m"))
    with pytest.raises(UnsupportedOperators) as caught:
        convert(program, {})
    assert [one.reason for one in caught.value.operators] == ["its output Medians"]


@pytest.mark.parametrize("complex_one", ["x", "y"])
def test_complex_inputs_and_outputs_are_refused(complex_one):
    from dataclasses import replace

    from converters.dtypes import BY_NAME

    kinds = [("x", "complex64"), ("y", "complex64" if complex_one == "y" else "float32")]
    declared = {name: replace(_variable(name), kind=BY_NAME[kind]) for name, kind in kinds}
    operator = _operator("complex" if complex_one == "y" else "abs")
    if complex_one == "y":
        declared["x"] = _variable("x")
        operator = _operator("complex", inputs={"X": ("x",), "Y": ("x",)})
    program = Program("p", declared, (operator,), ("x",), (("y", "y"),))
    with pytest.raises(UnsupportedError, match=f"'{complex_one}' is complex"):
        convert(program, {})


def test_all_unknown_operators_are_refused_at_once():
    first = _operator("nobody_knows", outputs={"Out": ("a",)})
    again = _operator("nobody_knows", inputs={"X": ("a",)}, outputs={"Out": ("b",)})
    other = _operator("nor_this", inputs={"X": ("b",)})
    with pytest.raises(UnsupportedOperators) as caught:
        convert(_program(first, again, other, variables="xyab"), {})
    found = {one.operator: (one.count, one.node) for one in caught.value.operators}
    assert found == {"nobody_knows": (2, "a"), "nor_this": (1, "y")}
    assert caught.value.framework == "onnx"


@pytest.mark.parametrize(
    ("kind", "attributes", "reason"),
    [
        ("dropout", {"dropout_prob": 0.5, "is_test": False}, "is_test = false"),
        ("hard_swish", {"threshold": 5.0}, "threshold = 5.0"),
        ("pad", {"paddings": (0, 0, 1, 1), "mode": "strange"}, "mode = strange"),
        ("p_norm", {"porder": 0.0}, "porder = 0.0"),
        ("thresholded_relu", {"value": 1.0}, "value = 1.0"),
        ("fake_quantize_abs_max", {"bit_length": 32}, "bit_length = 32"),
        ("fake_quantize_abs_max", {"round_type": 2}, "round_type = 2"),
        ("fill_diagonal", {"wrap": True}, "wrap = true"),
        ("lrn", {"n": 4}, "n = 4"),
        ("unique", {"axis": (0, 1)}, "axis = [0, 1]"),
        ("unique_consecutive", {"axis": (0,)}, "axis = [0]"),
    ],
)
def test_a_refusal_names_the_attribute(kind, attributes, reason):
    with pytest.raises(UnsupportedOperators) as caught:
        convert(_program(_operator(kind, attributes)), {})
    (found,) = caught.value.operators
    assert found.operator == kind
    assert reason in found.reason


def _schema():
    """Paddle's own schema of programs, from its file: Paddle itself is not loaded."""
    package = Path(importlib.util.find_spec("paddle").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("schema", package / "base/proto/framework_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_paddle
def test_sequences_in_a_program_that_paddle_wrote(saved, tmp_path):
    program = _schema().ProgramDesc()
    program.ParseFromString((saved["old"] / "relu.pdmodel").read_bytes())
    for one in program.blocks[0].vars:
        if one.name == "x":
            one.type.dense_tensor.legacy_lod_level = 2
    path = tmp_path / "m.pdmodel"
    path.write_bytes(program.SerializeToString())
    with pytest.raises(UnsupportedError, match="the input 'x' has 2 levels of detail"):
        to_onnx(path)


@needs_paddle
def test_the_oldest_names_of_files(saved, tmp_path):
    (tmp_path / "__model__").write_bytes((saved["old"] / "conv.pdmodel").read_bytes())
    (tmp_path / "__params__").write_bytes((saved["old"] / "conv.pdiparams").read_bytes())
    model = to_onnx(saved["old"] / "conv.pdmodel")
    assert to_onnx(tmp_path).SerializeToString() == model.SerializeToString()


# ***** Hostile programs *****

BAD = [
    ("softmax", {"axis": 7}),
    ("softmax", {"axis": "text"}),
    ("softmax", {"axis": True}),
    ("transpose2", {"axis": (0, 0)}),
    ("transpose2", {"axis": (0, 1, 2, 3)}),
    ("transpose2", {}),
    ("reshape2", {"shape": (-1, -1)}),
    ("reshape2", {"shape": (1,) * 99}),
    ("reshape2", {"shape": (-5, 2)}),
    ("unsqueeze2", {"axes": (0,) * 99}),
    ("unsqueeze2", {"axes": (9,)}),
    ("squeeze2", {"axes": (-9,)}),
    ("tile", {"repeat_times": (-1,)}),
    ("tile", {"repeat_times": (1,) * 99}),
    ("split", {"num": 1 << 40}),
    ("split", {"sections": (-1, -1)}),
    ("concat", {"axis": -4}),
    ("stack", {"axis": 8}),
    ("cast", {"out_dtype": -3}),
    ("scale", {"scale": "much"}),
    ("arg_max", {"axis": 1 << 60}),
    ("expand_v2", {"shape": (-7,)}),
    ("flatten_contiguous_range", {"start_axis": 1, "stop_axis": 0}),
    ("pad", {"paddings": (1,)}),
    ("pool2d", {"ksize": (2, 2)}),
    ("slice", {"axes": (0,), "starts": (0, 1), "ends": (1,)}),
    ("fill_constant", {"shape": (-4,)}),
    ("fill_constant", {"shape": (1,), "str_value": "one"}),
    ("assign_value", {"shape": (1 << 50,), "dtype": 5, "fp32_values": (1.0,)}),
    ("assign_value", {"shape": (1,), "fp32_values": (1.0,)}),
    ("group_norm", {"groups": -1}),
    ("maxout", {"groups": 0}),
    ("crop_tensor", {"offsets": (-1, 0), "shape": (1, 1)}),
    ("diag_embed", {"dim1": 1, "dim2": 1}),
    ("frame", {"frame_length": "text", "hop_length": 1}),
    ("kthvalue", {"k": 0}),
    ("repeat_interleave", {"Repeats": -1}),
    ("set_value", {"axes": (0,), "starts": (0, 1), "ends": (1,), "steps": (1,)}),
    ("set_value", {"axes": (), "values": (1.0,), "shape": (1 << 50,)}),
    ("set_value", {"axes": (), "values": (1.0,), "shape": (1,), "none_axes": (0,) * 99}),
    ("unfold", {"kernel_sizes": (0, 0)}),
    ("relu", None),
]


@pytest.mark.parametrize(("kind", "attributes"), BAD)
def test_attributes_are_checked(kind, attributes):
    inputs = {"X": ("x",), "Input": ("x",)} if attributes is not None else {"X": ("gone",)}
    with pytest.raises(UnsafeInput):
        convert(_program(_operator(kind, attributes, inputs)), {})


@pytest.mark.parametrize("kind", sorted(TABLE))
@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_operator_fails_on_what_it_is_given(kind, count):
    """With nothing, one, or two variables in every slot, and no attributes: converted or refused."""
    slots = [
        "X",
        "Y",
        "Input",
        "Filter",
        "Bias",
        "Scale",
        "Mean",
        "Variance",
        "Ids",
        "W",
        "Condition",
        "Index",
        "Alpha",
        "Mask",
        "Value",
        "Start",
        "End",
        "Step",
        "Stop",
        "Num",
        "WeightList",
        "PreState",
        "Grid",
        "Updates",
        "Shape",
        # Of detection, indexing, arithmetic and quantised programs.
        *[
            "BBoxes",
            "Scores",
            "Boxes",
            "ROIs",
            "RoisNum",
            "ImgSize",
            "Image",
            "PriorBox",
            "TargetBox",
            "Anchors",
            "Variances",
        ],
        *[
            "BboxDeltas",
            "ImShape",
            "FpnRois",
            "Offset",
            "X1",
            "X2",
            "Operands",
            "Indices",
            "AddValue",
            "SortedSequence",
        ],
        *[
            "Values",
            "ValueTensor",
            "Other",
            "Weight",
            "InScale",
            "Scales",
            "PriorDist",
            "Weights",
            "Offsets",
        ],
    ]
    inputs = dict.fromkeys(slots, ("x",) * count)
    outputs = dict.fromkeys(("Out", "Y", "Output", "Result"), ("y",))
    for attributes in ({}, {"axis": -1, "ksize": (2, 2), "dtype": 5, "hidden_size": 4}):
        with contextlib.suppress(ConversionError):
            convert(_program(_operator(kind, attributes, inputs, outputs)), {})


def test_a_constant_is_never_made_larger_than_its_file():
    huge = _operator("fill_constant", {"shape": (1 << 40,), "value": 1.0}, {"X": ()})
    model = convert(_program(huge), {})
    assert model.ByteSize() < 1000


def test_an_operator_writes_a_variable_once():
    with pytest.raises(UnsafeInput, match="twice"):
        convert(_program(_operator("split", {"num": 2}, None, {"Out": ("y", "y")})), {})


@pytest.mark.timeout(60)
def test_a_variable_that_is_written_very_often():
    often = [_operator("relu")] + [_operator("relu", None, {"X": ("y",)})] * 30_000
    assert len(convert(_program(*often), {}).graph.node) == 30_001


@pytest.mark.timeout(300)
def test_a_small_program_that_asks_for_very_much():
    cells = {"ksize": (60, 60), "adaptive": True, "pooling_type": "max"}
    pools = [_operator("pool2d", cells)] * 10_000
    program = _program(*pools)
    program.variables["x"] = _variable("x", (1, 1, 97, 97))
    with pytest.raises(UnsafeInput, match="constants and nodes"):
        convert(program, {})


@pytest.mark.timeout(60)
def test_lists_of_lists_do_not_grow(tmp_path):
    doubled = [
        {"#": "0.combine", "A": [], "I": [{"%": one}] * 2, "O": [{"%": one + 1, "TT": TYPE}]}
        for one in range(1, 40)
    ]
    with pytest.raises(UnsafeInput):
        to_onnx(_pir(tmp_path, [DATA, *doubled]))
    wide = [
        {"#": "0.combine", "A": [], "I": [{"%": 16}], "O": [{"%": 100 + one, "TT": TYPE}]}
        for one in range(5000)
    ]
    with pytest.raises(UnsafeInput, match="operands"):
        to_onnx(_pir(tmp_path, [DATA, *doubled[:15], *wide]))


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**20])
def test_numbers_that_no_attribute_holds(tmp_path, number):
    for form in ("0.a_i32", "0.a_f32", "1.a_scalar"):
        scaled = {
            **RELU,
            "#": "1.scale",
            "A": [
                {"N": "bias", "AT": {"#": form, "D": number}},
                {"N": "scale", "AT": {"#": form, "D": number}},
            ],
        }
        with contextlib.suppress(ConversionError):
            to_onnx(_pir(tmp_path, [DATA, scaled, FETCH]))


def test_outputs_that_nothing_computes():
    with pytest.raises(UnsafeInput, match="nothing computes the output"):
        convert(_program(), {})
    with pytest.raises(UnsafeInput, match="without outputs"):
        convert(_program(_operator("relu"), fetches=()), {})


def test_variables_may_be_written_twice():
    twice = [
        _operator("relu"),
        _operator("exp", None, {"X": ("y",)}),
        _operator("abs", None, {"X": ("y",)}),
    ]
    model = convert(_program(*twice), {})
    onnx.checker.check_model(model, full_check=True)
    x = np.array([[-1.0, 0, 1], [2, 3, -4]], np.float32)
    np.testing.assert_allclose(_computed(model, {"x": x})["y"], np.exp(np.maximum(x, 0)), rtol=1e-6)


def test_an_input_that_is_an_output():
    model = convert(_program(fetches=("x",)), {})
    onnx.checker.check_model(model, full_check=True)


PIR = {"base_code": {"magic": "pir"}, "program": {"regions": [{"blocks": [{"ops": []}]}]}}
TYPE = {"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, [2, 3], "NCHW", [], 0]}
DATA = {
    "#": "1.data",
    "A": [{"N": "name", "AT": {"#": "0.a_str", "D": "x"}}],
    "I": [],
    "O": [{"%": 1, "TT": TYPE}],
}
RELU = {"#": "1.relu", "A": [], "I": [{"%": 1}], "O": [{"%": 2, "TT": TYPE}]}
FETCH = {
    "#": "1.fetch",
    "A": [
        {"N": "name", "AT": {"#": "0.a_str", "D": "y"}},
        {"N": "col", "AT": {"#": "0.a_i32", "D": 0}},
    ],
    "I": [{"%": 2}],
    "O": [{"%": 3, "TT": TYPE}],
}


def _pir(tmp_path, operators):
    said = json.loads(json.dumps(PIR))
    said["program"]["regions"][0]["blocks"][0]["ops"] = operators
    path = tmp_path / "m.json"
    path.write_text(json.dumps(said))
    return path


def test_a_small_pir_program(tmp_path):
    model = to_onnx(_pir(tmp_path, [DATA, RELU, FETCH]))
    assert [(one.op_type, list(one.output)) for one in model.graph.node] == [("Relu", ["y"])]


@pytest.mark.parametrize(
    "operators",
    [
        [7],
        [{"#": 1}],
        [DATA, DATA],
        [{**DATA, "O": [{"%": -1, "TT": TYPE}]}],
        [{**DATA, "O": [{"%": 1, "TT": {"#": "0.t_vec", "D": 9}}]}],
        [{**DATA, "A": [{"N": "name", "AT": {"#": "0.a_str", "D": "\ud800"}}]}],
        [
            {
                **DATA,
                "O": [
                    {
                        "%": 1,
                        "TT": {"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, [1] * 99, "", [], 0]},
                    }
                ],
            }
        ],
        [DATA, {**RELU, "I": [{"%": 9}]}],
        [DATA, {**RELU, "I": [{"%": 1}, {"%": 1}, {"%": 1}]}],
        [DATA, {**RELU, "A": "none"}],
        [DATA, RELU, {**FETCH, "I": []}],
        [DATA, RELU, FETCH, FETCH],
        [
            DATA,
            {
                "#": "0.slice",
                "A": [{"N": "index", "AT": {"#": "0.a_i32", "D": 5}}],
                "I": [{"%": 1}],
                "O": [{"%": 2}],
            },
        ],
    ],
)
def test_malformed_pir(tmp_path, operators):
    with pytest.raises(UnsafeInput):
        to_onnx(_pir(tmp_path, operators))


@needs_paddle
@pytest.mark.parametrize("form", FORMS)
def test_damaged_programs(saved, tmp_path, form):
    """Cut off or with a byte changed: read, or refused; never another error."""
    ending = ".pdmodel" if form == "old" else ".json"
    raw = (saved[form] / f"conv{ending}").read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / f"m{ending}"
    (tmp_path / "m.pdiparams").write_bytes((saved[form] / "conv.pdiparams").read_bytes())
    for _ in range(300):
        damaged = bytearray(raw)
        for place in random.integers(0, len(raw), random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        path.write_bytes(
            damaged[: random.integers(1, len(raw) + 1) if random.random() < 0.3 else None]
        )
        try:
            read(path)
            to_onnx(path)
        except ConversionError:
            pass

"""Open sizes of inputs: joined where an operator wants them equal, apart where none does."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from converters.importers.sizes import join_sizes

HEAD = '<ir_version: 9, opset_import: ["" : 20]>'
CASES = {
    # Token types are added to tokens; a second sentence has a length of its own.
    "added": (
        "agraph (float[N, A, 4] x, float[N, B, 4] y, float[N, C, 4] z) => (float[N, D, 4] s, float[N, E, 4] t)"
        " { s = Add (x, y) t = Neg (z) }",
        [("N", "A"), ("N", "A"), ("N", "C")],
    ),
    # A mask meets the scores of a product, whose own sizes are apart.
    "mask": (
        "agraph (float[N, A, 4] q, float[N, B, 4] k, float[N, 1, C] mask) => (float[N, D, E] s)"
        " { t = Transpose <perm = [0, 2, 1]> (k) m = MatMul (q, t) s = Add (m, mask) }",
        [("N", "A"), ("N", "B"), ("N", "B")],
    ),
    "contracted": (
        "agraph (float[N, A, B] x, float[N, C, D] y) => (float[N, E, F] z) { z = MatMul (x, y) }",
        [("N", "A", "B"), ("N", "B", "D")],
    ),
    "beside each other": (
        "agraph (float[N, A, B] x, float[N, C, D] y) => (float[N, E, F] z) { z = Concat <axis = 2> (x, y) }",
        [("N", "A", "B"), ("N", "A", "D")],
    ),
    # What comes of the first two is known once they have one name.
    "one after the other": (
        "agraph (float[A, 2] x, float[B, 2] y, float[C, 2] z) => (float[D, 2] t) { s = Add (x, y) t = Mul (s, z) }",
        [("A",), ("A",), ("A",)],
    ),
    "first state": (
        "agraph (float[T, A, 2] x, float[1, B, 3] h, float[1, 3, 2] w, float[1, 3, 3] r) => (float[T, 1, C, 3] y)"
        " { y = RNN <hidden_size = 3> (x, w, r, , , h) }",
        [("T", "A"), ("A",), (), ()],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_sizes_that_meet_have_one_name(name: str, tmp_path: Path) -> None:
    text, expected = CASES[name]
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(f"{HEAD} {text}"), path)
    join_sizes(path)
    model = onnx.load(path)
    found = [
        tuple(dim.dim_param for dim in value.type.tensor_type.shape.dim if dim.dim_param)
        for value in model.graph.input
    ]
    assert found == expected
    before = path.read_bytes()
    join_sizes(path)
    assert path.read_bytes() == before

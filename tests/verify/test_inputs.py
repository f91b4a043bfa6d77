import numpy as np
import pytest

from converters.dtypes import ELEMENT_TYPES
from converters.errors import UnsafeInput, UsageError
from converters.verify import TensorSpec, generate_cases, read_case


def shapes(*specs, **options):
    specs = [TensorSpec(*spec) for spec in specs]
    return [
        {name: array.shape for name, array in case.inputs.items()}
        for case in generate_cases(specs, **options)
    ]


def test_every_dynamic_dimension_has_two_sizes_and_names_are_shared():
    found = shapes(
        ("ids", "int64", ("batch", "sequence")), ("attention_mask", "int64", ("batch", "sequence"))
    )
    assert found == [
        {"ids": (1, 16), "attention_mask": (1, 16)},
        {"ids": (3, 7), "attention_mask": (3, 7)},
    ]


def test_dimensions_of_other_names_have_other_sizes():
    found = shapes(("x", "float32", ("N", 3, "H", "W")))
    assert found == [{"x": (1, 3, 64, 66)}, {"x": (3, 3, 109, 111)}]
    found = shapes(("a", "float32", (None, "S")), ("b", "float32", (None, "T")))
    assert found == [{"a": (1, 16), "b": (1, 18)}, {"a": (3, 7), "b": (3, 9)}]


def test_a_static_signature_still_gives_two_cases():
    one, two = generate_cases([TensorSpec("x", "float32", (2, 3))])
    assert (one.seed, two.seed) == (0, 1)
    assert not np.array_equal(one.inputs["x"], two.inputs["x"])


def test_hints():
    spec = ("x", "float32", ("N", 3, 48, "W"))
    found = shapes(spec, sizes={"W": (320, 191, 64)})
    assert [s["x"] for s in found] == [(1, 3, 48, 320), (3, 3, 48, 191), (1, 3, 48, 64)]
    with pytest.raises(UsageError, match="no dimension is called 'Q'") as caught:
        shapes(spec, sizes={"Q": (1, 2)})
    assert caught.value.fix == "it has: N, W"
    with pytest.raises(UsageError, match="must be positive"):
        shapes(spec, sizes={"W": (0,)})
    with pytest.raises(UsageError, match="no input is called 'y'"):
        shapes(spec, bounds={"y": (0, 1)})
    with pytest.raises(UsageError, match="'x' has no known shape") as caught:
        shapes(("x", "float32", None))
    assert caught.value.fix == "give test vectors"


@pytest.mark.parametrize("kind", ELEMENT_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("shape", [(40, 50), ()])
def test_values_of_every_type(kind, shape):
    specs = [TensorSpec("x", kind.name, shape)]
    (one, _), (same, _) = generate_cases(specs), generate_cases(specs)
    x = one.inputs["x"]
    assert isinstance(x, np.ndarray)
    assert (x.dtype, x.shape) == (kind.numpy, shape)
    assert x.tobytes() == same.inputs["x"].tobytes()
    if shape:
        assert len(np.unique(x.astype(np.complex128))) > 1


def test_ranges():
    specs = [
        TensorSpec("x", "float32", (1000,)),
        TensorSpec("ids", "int64", (1000,)),
        TensorSpec("attention_mask", "int64", (10, 100)),
        TensorSpec("image", "uint8", (1000,)),
        TensorSpec("rate", "int32", ()),
        TensorSpec("level", "float32", (100,)),
    ]
    case = generate_cases(specs, bounds={"rate": (16000, 16001), "level": (0, 0.5)})[0]
    x, ids, mask, image, rate, level = case.inputs.values()
    assert abs(x.mean()) < 0.2
    assert 0.8 < x.std() < 1.2
    assert ids.min() == 0
    assert 90 < ids.max() < 100
    assert set(mask.ravel()) == {0, 1}
    assert (mask[:, 0] == 1).all()
    assert image.max() > 250
    assert rate == 16000
    assert 0 <= level.min() < level.max() < 0.5


def test_integers_stay_within_what_was_taken_before():
    specs = [
        TensorSpec("ids", "int64", ("N", 1000)),
        TensorSpec("x", "float32", ("N", 9, 2)),
        TensorSpec("x_lengths", "int64", ("N",)),
        TensorSpec("attention_mask", "int64", ("N", 50)),
    ]
    known = {"ids": (3, 5), "x_lengths": (40, 50), "attention_mask": (1, 1)}
    for case in generate_cases(specs, ranges=known):
        assert set(case.inputs["ids"].ravel()) == {3, 4, 5}
        assert case.inputs["x_lengths"].max() <= 9
        assert set(case.inputs["attention_mask"].ravel()) == {0, 1}
    assert next(case.drawn_again()).inputs["ids"].tolist() != case.inputs["ids"].tolist()


def test_given_vectors(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.ones(()))
    case = read_case(tmp_path / "x.npz")
    assert case.seed is None
    assert {name: array.shape for name, array in case.inputs.items()} == {"a": (3,), "b": ()}
    assert list(case.alternatives()) == []


def test_vectors_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_case(tmp_path / "x.npz")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    np.save(tmp_path / "single.npy", np.zeros(2))
    np.savez(tmp_path / "cut.npz", a=np.arange(1000))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:500])
    for name in ("text", "empty", "object.npz", "single.npy", "cut.npz"):
        with pytest.raises(UnsafeInput, match=name):
            read_case(tmp_path / name)

"""The wire reader against Google's own encoder and decoder."""

import contextlib

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import decoder, encoder
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.checkpoints import protobuf
from converters.checkpoints.protobuf import BYTES, FIXED32, FIXED64, VARINT, Field, fields
from converters.errors import UnsafeInput

KINDS = descriptor_pb2.FieldDescriptorProto
# Name, number, type, repeated, packed.
SCHEMA = (
    ("i64", 1, KINDS.TYPE_INT64, False, False),
    ("i32", 2, KINDS.TYPE_INT32, False, False),
    ("u64", 3, KINDS.TYPE_UINT64, False, False),
    ("f64", 4, KINDS.TYPE_FIXED64, False, False),
    ("f32", 5, KINDS.TYPE_FIXED32, False, False),
    ("raw", 6, KINDS.TYPE_BYTES, False, False),
    ("word", 7, KINDS.TYPE_STRING, False, False),
    ("packed", 16, KINDS.TYPE_INT64, True, True),
    ("loose", 17, KINDS.TYPE_INT64, True, False),
    ("far", (1 << 29) - 1, KINDS.TYPE_BYTES, True, False),
    ("inner", 18, KINDS.TYPE_MESSAGE, True, False),
)


def _message():
    file = descriptor_pb2.FileDescriptorProto(name="polyzoo_test.proto", package="polyzoo")
    kind = file.message_type.add(name="M")
    for name, number, form, repeated, packed in SCHEMA:
        field = kind.field.add(name=name, number=number, type=form)
        field.label = KINDS.LABEL_REPEATED if repeated else KINDS.LABEL_OPTIONAL
        if form == KINDS.TYPE_MESSAGE:
            field.type_name = ".polyzoo.M"
        if repeated and form == KINDS.TYPE_INT64:
            field.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("polyzoo.M"))


M = _message()
NAMES = {number: name for name, number, *_ in SCHEMA}

i64 = st.integers(-(1 << 63), (1 << 63) - 1)
flat = {
    "i64": i64,
    "i32": st.integers(-(1 << 31), (1 << 31) - 1),
    "u64": st.integers(0, (1 << 64) - 1),
    "f64": st.integers(0, (1 << 64) - 1),
    "f32": st.integers(0, (1 << 32) - 1),
    "raw": st.binary(max_size=300),
    "word": st.text(max_size=50),
    "packed": st.lists(i64, max_size=20),
    "loose": st.lists(i64, max_size=5),
    "far": st.lists(st.binary(max_size=9), max_size=3),
}
messages = st.recursive(
    st.fixed_dictionaries({}, optional=flat).map(lambda said: M(**said)),
    lambda inner: st.fixed_dictionaries({"inner": st.lists(inner, max_size=3)}, optional=flat).map(
        lambda said: M(**said)
    ),
    max_leaves=5,
)


def _decoded(view, start=0, end=None):
    """A message from our fields, without any help from Google's decoder."""
    made = M()
    for field in fields(view, "test", start, end):
        name = NAMES[field.number]
        if name in ("i64", "i32"):
            setattr(made, name, protobuf.signed(field.value, int(name[1:])))
        elif name in ("u64", "f64", "f32"):
            setattr(made, name, field.value)
        elif name == "raw":
            made.raw = bytes(view[field.start : field.end])
        elif name == "word":
            made.word = protobuf.text(view, field, "test")
        elif name in ("packed", "loose"):
            getattr(made, name).extend(map(protobuf.signed, protobuf.numbers(view, field, "test")))
        elif name == "far":
            made.far.append(bytes(view[field.start : field.end]))
        else:
            made.inner.append(_decoded(view, field.start, field.end))
    return made


def _read(data):
    return list(fields(memoryview(data), "test"))


@given(messages)
def test_every_message_reads_as_google_wrote_it(message):
    assert _decoded(memoryview(message.SerializeToString())) == message


@given(messages, st.data())
def test_malformed_bytes_are_refused_and_what_is_accepted_google_accepts(message, data):
    raw = bytearray(message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        if raw:
            at = data.draw(st.integers(0, len(raw) - 1))
            raw[at] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    try:
        found = _read(raw)
    except UnsafeInput:
        return
    end = 0
    for field in found:
        assert end < field.start <= field.end <= len(raw)
        end = field.end
    assert end == len(raw)
    try:
        # Fields of another wire type than the schema says are unknown ones to Google: kept.
        again = M.FromString(bytes(raw))
    except DecodeError:
        # Only what is inside bytes fields differs: a nested message, packed numbers, text.
        assert any(field.wire == BYTES for field in found)
    else:
        assert again.ByteSize() <= len(raw) + 10 * len(found)


@given(st.binary(max_size=200))
def test_any_bytes_give_fields_or_unsafe_input(data):
    with contextlib.suppress(UnsafeInput):
        _read(data)


@given(st.integers(0, (1 << 64) - 1))
def test_varints_are_googles(value):
    data = encoder._VarintBytes(value)
    assert protobuf.varint(memoryview(data), 0, len(data), "test") == (value, len(data))
    assert decoder._DecodeVarint(data, 0) == (value, len(data))
    for end in range(len(data)):
        with pytest.raises(UnsafeInput, match="cut off"):
            protobuf.varint(memoryview(data), 0, end, "test")


@given(st.lists(i64 | st.integers(-2, 300), max_size=60), st.integers(10, 64))
@settings(max_examples=60)
def test_packed_numbers_are_googles_whatever_the_piece(values, piece):
    data = b"".join(encoder._VarintBytes(value % (1 << 64)) for value in values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protobuf, "PACKED_BYTES", piece)
        found = list(protobuf.packed(memoryview(data)))
        if data:
            for wrong in (data[:-1] + b"\x80", data + b"\xff" * 9 + b"\x02", data + b"\x80" * 11):
                with pytest.raises(UnsafeInput):
                    list(protobuf.packed(memoryview(wrong)))
    whole = np.concatenate([np.empty(0, np.uint64), *found])
    assert whole.view(np.int64).tolist() == values


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80", "cut off"),
        (b"\x08", "cut off"),
        (b"\x08" + b"\x80" * 10 + b"\x00", "more than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (b"\x00\x00", "0 is not the number of a field"),
        (b"\xf8\xff\xff\xff\x7f\x00", "is not the number of a field"),
        (b"\x0a\x05abcd", "reaches to byte 7 of 6"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "reaches to byte"),
        (b"\x09\x00\x00\x00\x00\x00\x00\x00", "reaches to byte 9 of 8"),
        (b"\x0d\x00\x00\x00", "reaches to byte 5 of 4"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0c", "wire type 4"),
        (b"\x0e", "wire type 6"),
        (b"\x0f", "wire type 7"),
    ],
)
def test_malformed_fields_are_refused(data, message):
    with pytest.raises(UnsafeInput, match=message):
        _read(data)


def test_positions_count_from_the_beginning_of_the_view():
    data = b"\x0a\x06\x12\x04abcd\x18\x96\x01\x25\x01\x00\x00\x00\x29\x02" + bytes(7)
    assert _read(data) == [
        Field(1, BYTES, 6, 2, 8),
        Field(3, VARINT, 150, 9, 11),
        Field(4, FIXED32, 1, 12, 16),
        Field(5, FIXED64, 2, 17, 25),
    ]
    (inner,) = fields(memoryview(data), "test", 2, 8)
    assert inner == Field(2, BYTES, 4, 4, 8)


def test_a_nested_message_does_not_reach_into_its_neighbour():
    data = b"\x0a\x02\x12\x04abcd"
    with pytest.raises(UnsafeInput, match="reaches to byte 8 of 4"):
        list(fields(memoryview(data), "test", 2, 4))


def test_a_budget_bounds_all_messages_that_share_it():
    budget = iter(range(3))
    view = memoryview(b"\x08\x00" * 2)
    assert len(list(fields(view, "test", budget=budget))) == 2
    with pytest.raises(UnsafeInput, match="too many fields, at byte 2"):
        list(fields(view, "test", budget=budget))


def test_wrong_wire_types_and_texts_are_refused():
    number, word = _read(b"\x08\x01\x12\x02\xff\xff")
    with pytest.raises(UnsafeInput, match="field 1 is a varint, not bytes"):
        protobuf.expect(number, BYTES, "test")
    with pytest.raises(UnsafeInput, match="not UTF-8"):
        protobuf.text(memoryview(b"\x08\x01\x12\x02\xff\xff"), word, "test")
    with pytest.raises(UnsafeInput, match="a text of 2 bytes"):
        protobuf.text(memoryview(b"\x08\x01\x12\x02aa"), word, "test", most=1)

"""The wire format, beside Google's own writer."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.storage.protobuf import fields, varint

google = pytest.importorskip("google.protobuf")
from google.protobuf import descriptor_pb2, wrappers_pb2  # noqa: E402


def only(message):
    """The one field of a message."""
    [field] = fields(message.SerializeToString())
    assert field.number == 1
    return field


@given(st.integers(-(2**63), 2**63 - 1).filter(bool))
def test_integers(value):
    assert only(wrappers_pb2.Int64Value(value=value)).integer == value


@given(st.floats(width=32).filter(bool))
def test_reals(value):
    found = only(wrappers_pb2.FloatValue(value=value)).real
    assert found == value or (math.isnan(found) and math.isnan(value))


@given(st.text(min_size=1), st.binary(min_size=1))
def test_texts_and_bytes(text, data):
    assert only(wrappers_pb2.StringValue(value=text)).text == text
    assert only(wrappers_pb2.BytesValue(value=data)).data == data


@given(st.lists(st.tuples(st.text(), st.integers(1, 2**29 - 1)), max_size=5))
def test_messages_in_messages_come_in_their_order(pairs):
    message = descriptor_pb2.DescriptorProto(name="name")
    for name, number in pairs:
        message.field.add(name=name, number=number)
    first, *rest = fields(message.SerializeToString())
    assert (first.number, first.text) == (1, "name")
    found = [{part.number: part for part in field.fields} for field in rest]
    assert [(parts[1].text, parts[3].integer) for parts in found] == pairs


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\x05abc", "field 1 has 5 bytes, of which 3 are there"),
        (b"\x0d\1\2\3", "field 1 has 4 bytes, of which 3 are there"),
        (b"\x09\1\2\3", "field 1 has 8 bytes, of which 3 are there"),
        (b"\x08\xff", "does not end"),
        (b"\x08" + b"\xff" * 10, "does not fit into 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\2", "does not fit into 64 bits"),
        (b"\0\1", "number 0"),
        (b"\x0b", "unknown kind 3"),
        (b"\x0f", "unknown kind 7"),
    ],
)
def test_what_is_no_message_is_an_error(data, message):
    with pytest.raises(ValueError, match=message):
        list(fields(data))


def test_a_field_is_only_what_it_is():
    [field] = fields(b"\x0a\1\xff")
    for name in ("integer", "fixed", "real"):
        with pytest.raises(ValueError, match="field 1 is of kind 2, not"):
            getattr(field, name)
    with pytest.raises(ValueError, match="utf-8"):
        _ = field.text
    with pytest.raises(ValueError, match="does not end"):
        list(field.fields)


@given(st.binary(max_size=40))
def test_any_bytes_are_fields_or_a_value_error(data):
    try:
        for field in fields(data):
            assert 0 < field.number < 2**61
    except ValueError:
        pass


@given(st.integers(0, 2**64 - 1))
def test_the_place_after_a_number_is_where_the_next_one_stands(value):
    data, rest = bytearray(), value
    while rest > 0x7F:
        data.append(rest & 0x7F | 0x80)
        rest >>= 7
    data.append(rest)
    assert varint(memoryview(b"\1" + data + b"\1"), 1) == (value, 1 + len(data))

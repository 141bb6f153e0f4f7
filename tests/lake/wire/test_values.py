"""Attribute values read by column are those that Google's parser reads one by one (docs/decisions/0004)."""

from __future__ import annotations

import math
import struct

import pyarrow as pa
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from lake.errors import WireError
from lake.wire.nested import Budget, nested_text, value_of
from lake.wire.values import texts_of_values
from tests.lake.wire.requests import Tree, int64, protobuf_of_value, values


def read(raw: list[bytes | None]) -> list[tuple[str, str | None]]:
    """Type character and text of each, read together."""
    texts, types = texts_of_values(pa.array(raw, pa.binary()))
    return list(zip(bytes(types).decode("ascii"), texts.to_pylist(), strict=True))


def same(a: AnyValue, b: AnyValue) -> bool:
    """Equal, NaN included."""
    return str(a) == str(b)


def varint(number: int, size: int) -> bytes:
    """A number in a varint of just so many bytes, canonical or not."""
    groups = [(number >> 7 * k) & 127 for k in range(size)]
    return bytes(group | 128 for group in groups[:-1]) + bytes(groups[-1:])


@settings(max_examples=150)
@given(st.lists(values | st.none(), max_size=8))
def test_values_read_together_are_those_sent(trees) -> None:
    sent = [None if tree is None else protobuf_of_value(tree) for tree in trees]
    found = read([None if value is None else value.SerializeToString() for value in sent])
    assert len(found) == len(sent)
    for (character, text), value in zip(found, sent, strict=True):
        assert same(value_of(character, text), value or AnyValue())


raw_bytes = st.binary(max_size=14)
tags = st.sampled_from([b"\x0a", b"\x10", b"\x18", b"\x21", b"\x2a", b"\x32", b"\x3a", b"\x40", b"\x7a", b"\x0b", b"\x00"])
odd_integers = st.builds(lambda number, size: b"\x18" + varint(number % 2**64, size), int64, st.integers(1, 11))
odd_lengths = st.builds(
    lambda text, size: b"\x0a" + varint(len(text.encode()), size) + text.encode(), st.text(max_size=200), st.integers(1, 4)
)
encodings = st.builds(
    b"".join, st.lists(odd_integers | odd_lengths | st.builds(bytes.__add__, tags, raw_bytes) | raw_bytes, max_size=2)
)


@settings(max_examples=400)
@given(encodings)
@example(b"\x18" + b"\xff" * 9 + b"\x01")
@example(b"\x18" + b"\xff" * 9 + b"\x7f")  # bits beyond the 64th are dropped
@example(b"\x18" + b"\xff" * 10 + b"\x01")
@example(b"\x10\x80\x01")
@example(b"\x10\x02")
@example(b"\x0a\x81\x00a")
@example(b"\x0a\x01a\x18\x05")  # two fields of the oneof: the last one counts
@example(b"\x3a\x02\x00\xff")
@example(b"\x0a\x01\xff")
@example(b"\x0a\xc8\x01" + b"x" * 199)  # a byte less than it says
@example(b"\x0a\xc8\x01" + b"x" * 201)
@example(b"\x40\x05")  # an index into a table of strings that traces do not have
def test_any_bytes_are_what_googles_parser_says_they_are(raw: bytes) -> None:
    try:
        expected = AnyValue.FromString(raw)
    except DecodeError:
        with pytest.raises(WireError, match="attribute"):
            read([raw])
        return
    ((character, text),) = read([raw])
    expected.DiscardUnknownFields()
    if expected.WhichOneof("value") == "string_value_strindex":
        expected.Clear()
    assert same(value_of(character, text), expected)


def test_two_broken_characters_side_by_side_do_not_make_a_whole_one() -> None:
    with pytest.raises(WireError, match="not UTF-8"):
        read([b"\x0a\x01\xc3", b"\x0a\x01\xa9"])


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 16383, 16384, 2**21])
def test_a_string_of_any_length_is_read_among_others(length: int) -> None:
    sent = ["a", "x" * length, "ü", ""]
    assert read([AnyValue(string_value=text).SerializeToString() for text in sent]) == [("s", text) for text in sent]


def test_a_part_of_a_column_is_read_like_a_whole_one() -> None:
    raw = [AnyValue(string_value="a"), AnyValue(int_value=-1), AnyValue(double_value=0.5), AnyValue(string_value="z")]
    column = pa.array([value.SerializeToString() for value in raw], pa.binary())
    texts, types = texts_of_values(column.slice(1, 2))
    assert texts.to_pylist() == ["-1", "0.5"]
    assert bytes(types) == b"id"


def test_a_null_hides_the_bytes_below_it() -> None:
    sent = AnyValue(string_value="hidden").SerializeToString()
    offsets = pa.py_buffer(struct.pack("<3i", 0, len(sent), 2 * len(sent)))
    column = pa.BinaryArray.from_buffers(pa.binary(), 2, [pa.py_buffer(b"\x02"), offsets, pa.py_buffer(sent * 2)])
    texts, types = texts_of_values(column)
    assert (texts.to_pylist(), bytes(types)) == ([None, "hidden"], b"ns")


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, ("n", None)),
        ({"stringValue": ""}, ("s", "")),
        ({"intValue": -(2**63)}, ("i", "-9223372036854775808")),
        ({"doubleValue": -0.0}, ("d", "-0")),
        ({"doubleValue": math.nan}, ("d", "nan")),
        ({"doubleValue": 1e300}, ("d", "1e+300")),
        ({"boolValue": False}, ("b", "false")),
        ({"bytesValue": b"\x00"}, ("y", "AA==")),
        ({"arrayValue": {}}, ("a", "[]")),
        ({"kvlistValue": {}}, ("k", "{}")),
        ({"arrayValue": {"values": [{"stringValue": "ü"}, {}, {"doubleValue": 2.0}]}}, ("a", '["ü",null,2.0]')),
        ({"arrayValue": {"values": [{"bytesValue": b"\x00"}]}},
         ("A", '{"arrayValue":{"values":[{"bytesValue":"AA=="}]}}')),
        ({"arrayValue": {"values": [{"doubleValue": math.inf}]}},
         ("A", '{"arrayValue":{"values":[{"doubleValue":"Infinity"}]}}')),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}, {"key": "a"}]}},
         ("K", '{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"}},{"key":"a"}]}}')),
    ],
)  # fmt: skip
def test_text_is_plain_json_where_that_loses_nothing(tree: Tree, expected: tuple[str, str | None]) -> None:
    value = protobuf_of_value(tree)
    assert nested_text(value, Budget()) == expected
    assert read([value.SerializeToString()]) == [expected]
    assert same(value_of(*expected), value)


def nested(level: str, depth: int) -> AnyValue:
    outer = value = AnyValue()
    for _ in range(depth):
        value = value.array_value.values.add() if level == "array" else value.kvlist_value.values.add().value
    value.int_value = 1
    return outer


@pytest.mark.parametrize(("level", "deepest"), [("array", 47), ("kvlist", 31)])
def test_values_nest_as_deep_as_a_reader_of_the_export_can_follow(level: str, deepest: int) -> None:
    value = nested(level, deepest)
    ((character, text),) = read([value.SerializeToString()])
    assert same(value_of(character, text), value)
    with pytest.raises(WireError, match="nested too deeply"):
        read([nested(level, deepest + 1).SerializeToString()])
    with pytest.raises(WireError, match="AnyValue"):
        read([nested(level, 10_000).SerializeToString()])

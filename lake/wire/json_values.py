"""JSON values: the fields of OTLP/JSON `AnyValue` to text and type character; entity references to protobuf.

Takes   one column per field, as DuckDB leaves them; the JSON types were checked by `json_shape`.
Gives   text and type characters as `lake.schema` describes them, the same that `values` makes of protobuf.
Refuses numbers that are none, two fields in one value, base64 that is none, nesting too deep for protobuf: `WireError`.

Strings, integers, doubles and booleans are read by column; the rest once a distinct text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.common.v1.common_pb2 import EntityRef as EntityRefMessage

from .arrays import text_of_doubles
from .json_columns import NUMBER, integer, integers, quoted, refuse_nulls
from .json_shape import ArrayValue, EntityRef, KeyValueList, Value, refusal
from .nested import MAX_LEVELS, TOO_DEEP, nested_text

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_INTEGER_RULE = "intValue must be a 64-bit integer"
_DOUBLE_RULE = f"doubleValue must be a number or one of {', '.join(_NOT_FINITE)}"


def attribute_texts(values: dict[str, pa.Array], count: int) -> tuple[pa.StringArray, npt.NDArray[np.uint8]]:
    """Text and type character of `count` values (see `lake.schema`), given one column per field of `AnyValue`.

    Raises:
        WireError: a value has two fields, or the text of a number or of bytes is none.
    """
    types = np.full(count, ord("n"), dtype=np.uint8)
    text = values["stringValue"]
    for name, read in _READERS.items():
        column = values[name]
        if column.null_count == count:
            continue
        present = pc.is_valid(column)
        where = np.asarray(present.to_numpy(zero_copy_only=False), dtype=np.bool_)
        if (types[where] != ord("n")).any():
            raise refusal(f"an attribute value has {name} and another field; only one may be set")
        if name == "stringValue":
            types[where] = ord("s")
            continue
        found, types[where] = read(column.filter(present))
        text = pc.replace_with_mask(text, present, found)
    return text, types


_Read = tuple[pa.StringArray, int | npt.NDArray[np.uint8]]


def _integer_texts(texts: pa.StringArray) -> _Read:
    numbers = integers(texts, pa.int64())
    refuse_nulls(texts, numbers, _INTEGER_RULE)
    return numbers.cast(pa.string()), ord("i")


def _double_texts(texts: pa.StringArray) -> _Read:
    try:
        numbers = texts.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise refusal(f"{_DOUBLE_RULE}: {error}") from error
    odd = set(texts.filter(pa.array(~np.isfinite(numbers))).unique().to_pylist()) - set(_NOT_FINITE)
    if odd:
        raise refusal(f"{_DOUBLE_RULE}, not {quoted(odd.pop())}")
    return text_of_doubles(numbers), ord("d")


def _boolean_texts(booleans: pa.BooleanArray) -> _Read:
    return booleans.cast(pa.string()), ord("b")


def _bytes_texts(texts: pa.StringArray) -> _Read:
    encoded = texts.dictionary_encode()
    found = [base64.b64encode(_bytes(text)).decode("ascii") for text in encoded.dictionary.to_pylist()]
    return pa.array(found, pa.string()).take(encoded.indices), ord("y")


def _bytes(text: str) -> bytes:
    standard = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError as error:
        raise refusal(f"bytesValue must be base64, not {quoted(text)}: {error}") from error


def _nested(kind: type[ArrayValue | KeyValueList]) -> Callable[[pa.StringArray], _Read]:
    decoder = msgspec.json.Decoder(kind)

    def read(texts: pa.StringArray) -> _Read:
        encoded = texts.dictionary_encode()
        pairs = [nested_text(_nested_message(decoder.decode(text))) for text in encoded.dictionary.to_pylist()]
        characters = np.frombuffer("".join(character for character, _ in pairs).encode("ascii"), dtype=np.uint8)
        found = pa.array([text for _, text in pairs], pa.string())
        return found.take(encoded.indices), characters[encoded.indices.to_numpy()]

    return read


_READERS: dict[str, Callable[[pa.Array], _Read]] = {
    "stringValue": lambda texts: (texts, ord("s")),
    "intValue": _integer_texts,
    "doubleValue": _double_texts,
    "boolValue": _boolean_texts,
    "bytesValue": _bytes_texts,
    "arrayValue": _nested(ArrayValue),
    "kvlistValue": _nested(KeyValueList),
}


def _nested_message(nested: ArrayValue | KeyValueList) -> AnyValue:
    message = AnyValue()
    _fill_nested(message, nested, 1)
    return message


def _fill_nested(target: AnyValue, nested: ArrayValue | KeyValueList, level: int) -> None:
    """Fill the list of `target`; `level` is that of the list (see `nested.MAX_LEVELS`)."""
    _check_level(level)
    if isinstance(nested, ArrayValue):
        target.array_value.SetInParent()
        for item in nested.values or ():
            _fill(target.array_value.values.add(), item or Value(), level + 1)
    else:
        target.kvlist_value.SetInParent()
        for entry in nested.values or ():
            _check_level(level + 1)
            added = target.kvlist_value.values.add(key=entry.key or "")
            if entry.value is not None:
                added.value.SetInParent()
                _fill(added.value, entry.value, level + 2)


def _check_level(level: int) -> None:
    if level > MAX_LEVELS:
        raise refusal(TOO_DEEP)


def _fill(target: AnyValue, value: Value, level: int) -> None:
    _check_level(level)
    names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
    fields = [json_name for name, json_name in names if getattr(value, name) is not None]
    if len(fields) > 1:
        raise refusal(f"an attribute value has {' and '.join(fields)}; only one may be set")
    nested = value.array_value or value.kvlist_value
    if nested is not None:
        _fill_nested(target, nested, level + 1)
    elif value.string_value is not None:
        target.string_value = value.string_value
    elif value.bool_value is not None:
        target.bool_value = value.bool_value
    elif value.bytes_value is not None:
        target.bytes_value = _bytes(value.bytes_value)
    elif value.int_value is not None:
        target.int_value = _int64(str(value.int_value))
    elif value.double_value is not None:
        target.double_value = _double(str(value.double_value))


def _int64(text: str) -> int:
    number = integer(text, -(2**63), 2**63 - 1)
    if number is None:
        raise refusal(f"{_INTEGER_RULE}, not {quoted(text)}")
    return number


def _double(text: str) -> float:
    number = float(text) if NUMBER.fullmatch(text) or text in _NOT_FINITE else math.inf
    if math.isinf(number) and text not in _NOT_FINITE:
        raise refusal(f"{_DOUBLE_RULE}, not {quoted(text)}")
    return number


def entity_refs(texts: pa.StringArray, present: pa.BooleanArray) -> pa.ListArray:
    """Each `EntityRef` of each resource as protobuf; null where the resource is missing."""
    encoded = pc.fill_null(texts, "[]").dictionary_encode()
    found = [_entity_refs(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(found, pa.list_(pa.binary())).take(pc.if_else(present, encoded.indices, None))


def _entity_refs(text: str) -> list[bytes]:
    return [
        EntityRefMessage(
            schema_url=ref.schema_url or "",
            type=ref.type or "",
            id_keys=ref.id_keys or (),
            description_keys=ref.description_keys or (),
        ).SerializeToString()
        for ref in msgspec.json.decode(text, type=list[EntityRef])
    ]

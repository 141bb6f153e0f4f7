"""JSON values: the fields of OTLP/JSON `AnyValue` to text and type character; entity references to protobuf.

Takes   one column per field, as DuckDB leaves them; the JSON types were checked by `json_shape`.
Gives   text and type characters as `lake.schema` describes them, the same that `values` makes of protobuf.
Refuses numbers that are none, two fields in one value, base64 that is none, nesting too deep for protobuf: `WireError`;
        values over the limits of `nested`: `TooLarge`.

Strings, integers, doubles and booleans are read by column; the rest once a distinct text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.common.v1.common_pb2 import EntityRef as EntityRefMessage

from ..errors import TooLarge
from .arrays import text_of_doubles
from .json_columns import NUMBER, integer, integers, quoted, refuse_nulls
from .json_shape import ArrayValue, EntityRef, KeyValueList, Value, refusal
from .nested import MAX_BYTES, Budget, nested_text

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_INTEGER_RULE = "intValue must be a 64-bit integer"
_DOUBLE_RULE = f"doubleValue must be a number or one of {', '.join(_NOT_FINITE)}"


def attribute_texts(values: dict[str, pa.Array], count: int) -> tuple[pa.StringArray, npt.NDArray[np.uint8]]:
    """Text and type character of `count` values (see `lake.schema`), given one column per field of `AnyValue`.

    Raises:
        WireError: a value has two fields, or the text of a number or of bytes is none.
        TooLarge: a value is over the limits of `nested`.
    """
    types = np.full(count, ord("n"), dtype=np.uint8)
    text = values["stringValue"]
    for name, read in _READERS.items():
        column = values[name]
        if column.null_count == count:
            continue
        _check_bytes(column)
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


def _check_bytes(column: pa.Array) -> None:
    if pa.types.is_string(column.type) and len(column.buffers()[2] or b"") > MAX_BYTES:
        longest = pc.max(pc.binary_length(column)).as_py()
        if longest > MAX_BYTES:
            raise TooLarge(f"an attribute value may take {MAX_BYTES} bytes, this one takes {longest}")


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
        message, text = _Message(), Budget()
        pairs = [nested_text(message.of(decoder.decode(each)), text) for each in encoded.dictionary.to_pylist()]
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


class _Message:
    """Nested values as `AnyValue`; one budget for all of them."""

    def __init__(self) -> None:
        self._budget = Budget()

    def of(self, nested: ArrayValue | KeyValueList) -> AnyValue:
        message = AnyValue()
        self._fill_list(message, nested, 0)
        return message

    def _fill_list(self, target: AnyValue, nested: ArrayValue | KeyValueList, level: int) -> None:
        """Fill the list of `target`, which lies `level` messages below the attribute's value."""
        values = nested.values or ()
        self._budget.spend(len(values), level + 1)
        if isinstance(nested, ArrayValue):
            target.array_value.SetInParent()
            for item in nested.values or ():
                self._fill(target.array_value.values.add(), item or Value(), level + 2)
        else:
            target.kvlist_value.SetInParent()
            for entry in nested.values or ():
                added = target.kvlist_value.values.add(key=entry.key or "")
                if entry.value is not None:
                    added.value.SetInParent()
                    self._fill(added.value, entry.value, level + 3)

    def _fill(self, target: AnyValue, value: Value, level: int) -> None:
        present = [field for field in _FIELDS if getattr(value, field) is not None]
        if len(present) > 1:
            raise refusal(f"an attribute value has {' and '.join(_FIELDS[field] for field in present)}; only one may be set")
        if not present:
            return
        (field,) = present
        content = getattr(value, field)
        if field in ("array_value", "kvlist_value"):
            self._fill_list(target, content, level)
        else:
            setattr(target, field, _SCALARS[field](content))


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


_FIELDS = dict(zip(Value.__struct_fields__, Value.__struct_encode_fields__, strict=True))
"""Fields of `AnyValue`, which `Value` names alike, to their names in JSON."""

_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string_value": str,
    "bool_value": bool,
    "bytes_value": _bytes,
    "int_value": lambda number: _int64(str(number)),
    "double_value": lambda number: _double(str(number)),
}


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

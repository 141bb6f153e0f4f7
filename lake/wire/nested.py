"""Nested: one OTLP `AnyValue` of any kind to text plus type character, and back.

Takes   messages of Google's library; `values` and `json_values` make them for the kinds they cannot read by column.
Gives   text and type characters as `lake.schema` describes them; `value_of` is the exact inverse.
Refuses bytes that are no `AnyValue`, and values nested more deeply than protobuf readers take: `WireError`;
        more values inside values than can be read in a second or two: `TooLarge`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ..errors import TooLarge, WireError
from .arrays import text_of_doubles

MAX_LEVELS = 94
"""Messages inside each other below an attribute's `AnyValue`. Google's parsers stop at 100 in all, and a value of an event
has 6 above it; what they cannot read must not be stored, as no export could be read again."""

TOO_DEEP = "an attribute value is nested too deeply: 47 arrays or 31 key-value lists inside each other are the most"

MAX_ITEMS = 250_000
"""Values inside arrays and key-value lists that are read in one go: each costs some microseconds of Python."""

MAX_BYTES = 8 * 2**20
"""Bytes of one attribute value."""


class Budget:
    """How many values inside others may still be read, and how deep they may lie."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def spend(self, items: int, level: int) -> None:
        """Count the items of an array or the entries of a key-value list.

        Args:
            level: messages between the attribute's `AnyValue` and the items, or the list if it is empty.

        Raises:
            TooLarge: they are too many.
            WireError: they lie too deep.
        """
        self._left -= items
        if self._left < 0:
            raise TooLarge(f"arrays and key-value lists of a request may hold {MAX_ITEMS} values: send smaller batches")
        if level > MAX_LEVELS:
            raise WireError(TOO_DEEP)


def parsed(raw: bytes) -> AnyValue:
    """The value in its wire format.

    Raises:
        WireError: the bytes are none.
    """
    try:
        return AnyValue.FromString(raw)
    except DecodeError as error:
        raise WireError(f"an attribute value is not an OTLP AnyValue: {error}") from error


def nested_text(value: AnyValue, budget: Budget) -> tuple[str, str | None]:
    """Type character and text of one value of any kind.

    Arrays and key-value lists become plain JSON (`["a", 1]`) where `value_of` can read that back exactly, else
    OTLP/JSON under `A` or `K`.

    Raises:
        WireError: it is nested too deeply.
        TooLarge: it holds more values than the budget has left.
    """
    kind = value.WhichOneof("value")
    if kind not in ("array_value", "kvlist_value"):
        return _scalar_text(value, kind)
    letter = "a" if kind == "array_value" else "k"
    try:
        return letter, _json(_plain(value, budget, 0))
    except _NotPlain:
        return letter.upper(), _json(_typed(value, budget, 0))


def _json(content: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _scalar_text(value: AnyValue, kind: str | None) -> tuple[str, str | None]:
    if kind == "string_value":
        return "s", value.string_value
    if kind == "int_value":
        return "i", str(value.int_value)
    if kind == "double_value":
        return "d", text_of_doubles(np.array([value.double_value]))[0].as_py()
    if kind == "bool_value":
        return "b", "true" if value.bool_value else "false"
    if kind == "bytes_value":
        return "y", base64.b64encode(value.bytes_value).decode("ascii")
    return "n", None  # also for string_value_strindex: the table of strings exists in profiles only


class _NotPlain(Exception):
    """Plain JSON would lose a type, or one of two entries with the same key."""


def _plain(value: AnyValue, budget: Budget, level: int) -> Any:  # noqa: ANN401 - JSON
    """Plain JSON of a value that lies `level` messages below the attribute's."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item, budget, level + 2) for item in _items(value, budget, level)]
    if kind == "kvlist_value":
        entries = _entries(value, budget, level)
        plain = {entry.key: _plain(entry.value, budget, level + 3) for entry in entries if entry.HasField("value")}
        if len(plain) < len(entries):
            raise _NotPlain
        return plain
    if kind == "bytes_value" or (kind == "double_value" and not math.isfinite(value.double_value)):
        raise _NotPlain
    return None if kind in (None, "string_value_strindex") else getattr(value, kind)


def _items(value: AnyValue, budget: Budget, level: int) -> Sequence[AnyValue]:
    items = value.array_value.values
    budget.spend(len(items), level + (2 if items else 1))
    return items


def _entries(value: AnyValue, budget: Budget, level: int) -> Sequence[KeyValue]:
    entries = value.kvlist_value.values
    budget.spend(len(entries), level + (3 if any(entry.HasField("value") for entry in entries) else 2 if entries else 1))
    return entries


def _fill_plain(target: AnyValue, plain: Any) -> None:  # noqa: ANN401 - JSON
    if isinstance(plain, bool):
        target.bool_value = plain
    elif isinstance(plain, int):
        target.int_value = plain
    elif isinstance(plain, float):
        target.double_value = plain
    elif isinstance(plain, str):
        target.string_value = plain
    elif isinstance(plain, list):
        target.array_value.SetInParent()
        for item in plain:
            _fill_plain(target.array_value.values.add(), item)
    elif isinstance(plain, dict):
        target.kvlist_value.SetInParent()
        for key, item in plain.items():
            entry = target.kvlist_value.values.add(key=key)
            entry.value.SetInParent()
            _fill_plain(entry.value, item)


def _typed(value: AnyValue, budget: Budget, level: int) -> dict[str, Any]:
    """OTLP/JSON of a value that lies `level` messages below the attribute's."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return {"arrayValue": {"values": [_typed(item, budget, level + 2) for item in _items(value, budget, level)]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": [
            {"key": entry.key, "value": _typed(entry.value, budget, level + 3)}
            if entry.HasField("value") else {"key": entry.key}
            for entry in _entries(value, budget, level)
        ]}}  # fmt: skip
    character, text = _scalar_text(value, kind)
    if character == "n":
        return {}
    written = text == "true" if character == "b" else _NOT_FINITE.get(text or "", text)
    return {_OTLP_JSON_NAMES[character]: written}


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_OTLP_JSON_NAMES = {"s": "stringValue", "i": "intValue", "d": "doubleValue", "b": "boolValue", "y": "bytesValue"}
_CHARACTERS = {name: character for character, name in _OTLP_JSON_NAMES.items()}


def value_of(character: str, text: str | None) -> AnyValue:
    """The `AnyValue` that `nested_text` (or `texts_of_values`) turned into this character and text."""
    value = AnyValue()
    if character == "n" or text is None:
        return value
    if character == "s":
        value.string_value = text
    elif character == "i":
        value.int_value = int(text)
    elif character == "d":
        value.double_value = float(text)
    elif character == "b":
        value.bool_value = text == "true"
    elif character == "y":
        value.bytes_value = base64.b64decode(text)
    elif character in "ak":
        _fill_plain(value, orjson.loads(text))
    elif character in "AK":
        _fill_typed(value, orjson.loads(text))
    else:
        raise ValueError(f"{character!r} is no type character of an attribute")
    return value


def _fill_typed(target: AnyValue, typed: dict[str, Any]) -> None:
    for name, content in typed.items():
        if name == "arrayValue":
            target.array_value.SetInParent()
            for item in content["values"]:
                _fill_typed(target.array_value.values.add(), item)
        elif name == "kvlistValue":
            target.kvlist_value.SetInParent()
            for item in content["values"]:
                entry = target.kvlist_value.values.add(key=item["key"])
                if "value" in item:
                    entry.value.SetInParent()
                    _fill_typed(entry.value, item["value"])
        else:
            character = _CHARACTERS[name]
            target.MergeFrom(value_of(character, ("true" if content else "false") if character == "b" else content))

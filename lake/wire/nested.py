"""Nested: one OTLP `AnyValue` of any kind to text plus type character, and back.

Takes   messages of Google's library; `values` and `json_values` make them for the kinds they cannot read by column.
Gives   text and type characters as `lake.schema` describes them; `value_of` is the exact inverse.
Refuses bytes that are no `AnyValue`, and values nested more deeply than protobuf readers take: `WireError`.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ..errors import WireError
from .arrays import text_of_doubles

MAX_LEVELS = 94
"""Messages inside each other below an attribute's `AnyValue`. Google's parsers stop at 100 in all, and a value of an event
has 6 above it; what they cannot read must not be stored, as no export could be read again."""


TOO_DEEP = "an attribute value is nested too deeply: 47 arrays or 31 key-value lists inside each other are the most"


def parsed(raw: bytes) -> AnyValue:
    """The value in its wire format.

    Raises:
        WireError: the bytes are none, or it is nested too deeply.
    """
    try:
        value = AnyValue.FromString(raw)
    except DecodeError as error:
        raise WireError(f"an attribute value is not an OTLP AnyValue: {error}") from error
    if _levels(value) > MAX_LEVELS:
        raise WireError(TOO_DEEP)
    return value


def _levels(value: AnyValue) -> int:
    """Messages inside each other below `value`."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return 1 + max((1 + _levels(item) for item in value.array_value.values), default=0)
    if kind == "kvlist_value":
        entries = value.kvlist_value.values
        return 1 + max((2 + _levels(entry.value) if entry.HasField("value") else 1 for entry in entries), default=0)
    return 0


def nested_text(value: AnyValue) -> tuple[str, str | None]:
    """Type character and text of one value of any kind.

    Arrays and key-value lists become plain JSON (`["a", 1]`) where `value_of` can read that back exactly, else
    OTLP/JSON under `A` or `K`.
    """
    kind = value.WhichOneof("value")
    if kind is None or kind == "string_value_strindex":  # the string table exists in profiles only
        return "n", None
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
    letter = "a" if kind == "array_value" else "k"
    plain = _plain_json(value)
    if plain is not None:
        return letter, plain
    return letter.upper(), json.dumps(_typed(value), ensure_ascii=False, separators=(",", ":"))


def _plain_json(value: AnyValue) -> str | None:
    """Plain JSON of a nested value, or None where reading it back would give another value."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    back = AnyValue()
    try:
        _fill_plain(back, json.loads(text))
    except (TypeError, ValueError, OverflowError):
        return None
    return text if back.SerializeToString(deterministic=True) == value.SerializeToString(deterministic=True) else None


def _plain(value: AnyValue) -> Any:  # noqa: ANN401 - JSON
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {kv.key: _plain(kv.value) for kv in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode("ascii")
    if kind == "double_value":
        return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
    return getattr(value, kind) if kind else None


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


def _typed(value: AnyValue) -> dict[str, Any]:
    """OTLP/JSON of a value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return {"arrayValue": {"values": [_typed(v) for v in value.array_value.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": [
            {"key": kv.key, "value": _typed(kv.value)} if kv.HasField("value") else {"key": kv.key}
            for kv in value.kvlist_value.values
        ]}}  # fmt: skip
    character, text = nested_text(value)
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

"""Values: OTLP `AnyValue` to text plus type character, and back.

Takes   a column of serialized `AnyValue` messages (as `protobuf` leaves them), or single messages for the nested kinds.
Gives   text and type characters as `lake.schema` describes them; `value_of` is the exact inverse.
Refuses bytes that are no `AnyValue`: `WireError`.

Wire format of the oneof (https://protobuf.dev/programming-guides/encoding): one tag byte, then a varint, eight bytes or
a length and bytes. The canonical forms of strings, integers, doubles and booleans are read for the whole column at once;
whatever is left (arrays, key-value lists, bytes, odd but legal encodings) is parsed by Google's library, once a distinct
value.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ..errors import WireError
from .arrays import booleans, numbers

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

_TAG_STRING, _TAG_BOOL, _TAG_INT, _TAG_DOUBLE = 0x0A, 0x10, 0x18, 0x21
_DOUBLE_SIZE = 9


def texts_of_values(values: pa.BinaryArray) -> tuple[pa.StringArray, Bytes]:
    """Text and type character of each serialized `AnyValue`; null and empty values have type `n`.

    Raises:
        WireError: a value is malformed or a string is not UTF-8.
    """
    if not len(values):
        return pa.nulls(0, pa.string()), np.zeros(0, dtype=np.uint8)
    offsets, data = _buffers(values)
    start, length = offsets[:-1], offsets[1:] - offsets[:-1]
    first = np.zeros(len(length), dtype=np.uint8)
    first[length > 0] = data[start[length > 0]]
    types = np.full(len(length), ord("n"), dtype=np.uint8)
    parts: list[_Part] = []
    rest = length > 0
    for character, tag, read in (("s", _TAG_STRING, _strings), ("i", _TAG_INT, _integers),
                                 ("d", _TAG_DOUBLE, _doubles), ("b", _TAG_BOOL, _booleans)):  # fmt: skip
        candidates = np.flatnonzero(first == tag)
        if len(candidates):
            sound, texts = read(data, start[candidates], length[candidates])
            found = candidates[sound]
            types[found] = ord(character)
            rest[found] = False
            parts.append(_Part(found, texts, 2 if tag == _TAG_STRING else 1))
    odd = np.flatnonzero(rest)
    if len(odd):
        types[odd], texts = _slow(values.take(numbers(odd)))
        parts.append(_Part(odd, texts))
    return _merged(len(length), parts), types


@dataclass(frozen=True, slots=True)
class _Part:
    """The values of one kind."""

    places: npt.NDArray[np.int64]
    """Where they stand in the column."""
    texts: pa.BinaryArray
    step: int = 1
    """The last of every `step` entries of `texts` is a value."""


def _buffers(values: pa.BinaryArray) -> tuple[Offsets, Bytes]:
    _, offsets, data = values.buffers()
    places = np.frombuffer(offsets, dtype=np.int32)[values.offset : values.offset + len(values) + 1].astype(np.int64)
    if values.null_count:  # a null may own bytes; nobody may see them
        return _buffers(pc.fill_null(values, b""))
    return places, np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)


def _merged(count: int, parts: list[_Part]) -> pa.StringArray:
    """One text per value from the texts of each kind, null where no part has one, checked to be UTF-8."""
    if not parts:
        return pa.nulls(count, pa.string())
    source = np.full(count, -1, dtype=np.int32)
    first = 0
    for part in parts:
        source[part.places] = np.arange(first + part.step - 1, first + len(part.texts), part.step, dtype=np.int32)
        first += len(part.texts)
    null = source < 0
    texts = parts[0].texts if len(parts) == 1 else pa.concat_arrays([part.texts for part in parts])
    try:
        return texts.take(numbers(source, null if null.any() else None)).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise WireError("an attribute's string value is not UTF-8") from error


def _strings(data: Bytes, start: Offsets, length: Offsets) -> tuple[npt.NDArray[np.bool_], pa.BinaryArray]:
    """Tag, length in one or two varint bytes, UTF-8. The texts stay where they lie: every second entry is a gap."""
    low = _at(data, start + 1)
    high = _at(data, start + 2)
    short = (low < 128) & (low + 2 == length)
    long = (low >= 128) & (high > 0) & (high < 128) & ((low & 127) + (high << 7) + 3 == length)
    sound = short | long
    end = start + length
    offsets = np.zeros(2 * int(sound.sum()) + 1, dtype=np.int32)
    offsets[1::2] = (start + np.where(short, 2, 3))[sound]
    offsets[2::2] = end[sound]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return sound, pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def _at(data: Bytes, places: Offsets) -> Offsets:
    """The byte at each place as a wide integer, 0 beyond the end."""
    inside = places < len(data)
    out = np.zeros(len(places), dtype=np.int64)
    out[inside] = data[places[inside]]
    return out


def _integers(data: Bytes, start: Offsets, length: Offsets) -> tuple[npt.NDArray[np.bool_], pa.BinaryArray]:
    """Tag and a varint of 1 to 10 bytes, two's complement."""
    size = length - 1
    sound = (size >= 1) & (size <= 10)
    value = np.zeros(len(start), dtype=np.uint64)
    for k in range(int(size[sound].max(initial=0))):
        inside = size > k
        byte = np.where(inside, _at(data, start + 1 + k), 0)
        more = byte >= 128
        sound &= ~inside | (more == (size > k + 1))
        if k == 9:
            sound &= byte <= 1
        value |= (byte.astype(np.uint64) & np.uint64(127)) << np.uint64(7 * k)
    return sound, _bytes(numbers(value[sound].view(np.int64)).cast(pa.string()))


def _doubles(data: Bytes, start: Offsets, length: Offsets) -> tuple[npt.NDArray[np.bool_], pa.BinaryArray]:
    """Tag and eight bytes, little-endian."""
    sound = length == _DOUBLE_SIZE
    places = start[sound, None] + np.arange(1, _DOUBLE_SIZE)
    return sound, _bytes(text_of_doubles(data[places].reshape(-1).view("<f8")))


def text_of_doubles(values: npt.NDArray[np.float64]) -> pa.StringArray:
    """The shortest text that reads back as the same double."""
    return numbers(values).cast(pa.string())


def _booleans(data: Bytes, start: Offsets, length: Offsets) -> tuple[npt.NDArray[np.bool_], pa.BinaryArray]:
    value = _at(data, start + 1)
    sound = (length == 2) & (value <= 1)
    return sound, _bytes(booleans(value[sound] == 1).cast(pa.string()))


def _bytes(texts: pa.StringArray) -> pa.BinaryArray:
    """The same memory, for `_merged` to put beside strings that are not checked yet."""
    return texts.cast(pa.binary())


def _slow(values: pa.BinaryArray) -> tuple[Bytes, pa.BinaryArray]:
    encoded = values.dictionary_encode()
    pairs = [nested_text(_parsed(raw)) for raw in encoded.dictionary.to_pylist()]
    characters = np.frombuffer("".join(c for c, _ in pairs).encode("ascii"), dtype=np.uint8)
    texts = pa.array([text for _, text in pairs], pa.string())
    return characters[encoded.indices.to_numpy()], _bytes(texts.take(encoded.indices))


def _parsed(raw: bytes) -> AnyValue:
    try:
        return AnyValue.FromString(raw)
    except DecodeError as error:
        raise WireError(f"an attribute value is not an OTLP AnyValue: {error}") from error


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
    return {_OTLP_JSON_NAMES[character]: text == "true" if character == "b" else text} if character != "n" else {}


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

"""Values: a column of OTLP `AnyValue` to text plus type character.

Takes   serialized `AnyValue` messages, as `protobuf` leaves them.
Gives   text and type characters as `lake.schema` describes them.
Refuses bytes that are no `AnyValue`: `WireError`; values over the limits of `nested`: `TooLarge`.

Wire format of the oneof (https://protobuf.dev/programming-guides/encoding): one tag byte, then a varint, eight bytes or
a length and bytes. The canonical forms of strings, integers, doubles and booleans are read for the whole column at once;
whatever is left (arrays, key-value lists, bytes, odd but legal encodings) goes to `nested`, once a distinct value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import TooLarge, WireError
from .arrays import booleans, numbers, text_of_doubles
from .nested import MAX_BYTES, Budget, nested_text, parsed

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

_TAG_STRING, _TAG_BOOL, _TAG_INT, _TAG_DOUBLE = 0x0A, 0x10, 0x18, 0x21
_DOUBLE_SIZE = 9


def texts_of_values(values: pa.BinaryArray) -> tuple[pa.StringArray, Bytes]:
    """Text and type character of each serialized `AnyValue`; null and empty values have type `n`.

    Raises:
        WireError: a value is malformed or a string is not UTF-8.
        TooLarge: a value is over the limits of `nested`.
    """
    if not len(values):
        return pa.nulls(0, pa.string()), np.zeros(0, dtype=np.uint8)
    offsets, data = _buffers(values)
    start, length = offsets[:-1], offsets[1:] - offsets[:-1]
    if length.max() > MAX_BYTES:
        raise TooLarge(f"an attribute value may take {MAX_BYTES} bytes, this one takes {length.max()}")
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


def _booleans(data: Bytes, start: Offsets, length: Offsets) -> tuple[npt.NDArray[np.bool_], pa.BinaryArray]:
    value = _at(data, start + 1)
    sound = (length == 2) & (value <= 1)
    return sound, _bytes(booleans(value[sound] == 1).cast(pa.string()))


def _bytes(texts: pa.StringArray) -> pa.BinaryArray:
    """The same memory, for `_merged` to put beside strings that are not checked yet."""
    return texts.cast(pa.binary())


def _slow(values: pa.BinaryArray) -> tuple[Bytes, pa.BinaryArray]:
    encoded = values.dictionary_encode()
    budget = Budget()
    pairs = [nested_text(parsed(raw), budget) for raw in encoded.dictionary.to_pylist()]
    characters = np.frombuffer("".join(c for c, _ in pairs).encode("ascii"), dtype=np.uint8)
    texts = pa.array([text for _, text in pairs], pa.string())
    return characters[encoded.indices.to_numpy()], _bytes(texts.take(encoded.indices))

"""JSON columns: the texts that DuckDB leaves of OTLP/JSON to ids, integers, times and enums.

Takes   columns of text whose JSON types `json_shape` has checked.
Gives   columns as `decoded` describes them.
Refuses counts and enums that are no integers of their size: `WireError` with the field's name.
        Ids and times are not refused but made null (or odd), so that `spans` refuses their span alone.

Integers are exact: no text takes the way over a double. The common spelling of each kind is read for the whole column
at once, odd ones once a distinct text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .json_shape import refusal
from .protobuf import hex_of

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""JSON's own spelling of a number, leading zeros tolerated."""

_LOWERCASE_HEX = np.zeros(256, dtype=np.uint8)
for _digit in b"0123456789abcdefABCDEF":
    _LOWERCASE_HEX[_digit] = ord(chr(_digit).lower())

_SIX_BITS = np.zeros(256, dtype=np.uint8)
for _alphabet in (b"+/", b"-_"):  # standard and URL-safe
    for _number, _letter in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + _alphabet):
        _SIX_BITS[_letter] = _number


def ids(texts: pa.StringArray, size: int, *, otherwise: str | None) -> pa.StringArray:
    """Lowercase hex of ids sent as hex or as base64 of exactly `size` bytes.

    Hex of another length stays, null and "" too; `otherwise` stands for what is neither hex nor base64.
    """
    offsets, data = _buffers(texts)
    length = np.diff(offsets)
    digits = _LOWERCASE_HEX[data]
    if ((length == 2 * size) | (length == 0)).all() and digits.all():
        lower = pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(digits))
        return pc.if_else(pc.is_valid(texts), lower, None) if texts.null_count else lower
    known = pc.match_substring_regex(texts, "^([0-9a-fA-F]{2})*$")
    result = pc.if_else(known, pc.ascii_lower(texts), pa.scalar(otherwise, pa.string()))
    stripped = pc.ascii_rtrim(texts, characters="=")
    letters = -(-8 * size // 6)
    is_base64 = pc.fill_null(pc.match_substring_regex(stripped, f"^[A-Za-z0-9+/_-]{{{letters}}}$"), fill_value=False)
    return pc.replace_with_mask(result, is_base64, _hex_of_base64(stripped.filter(is_base64), letters, size))


def _hex_of_base64(texts: pa.StringArray, letters: int, size: int) -> pa.StringArray:
    """RFC 4648 for texts of one length, without their padding."""
    groups = -(-letters // 4)
    bits = np.zeros((len(texts), groups * 4), dtype=np.uint8)
    bits[:, :letters] = _SIX_BITS[_buffers(texts)[1]].reshape(-1, letters)
    a, b, c, d = np.moveaxis(bits.reshape(-1, groups, 4), 2, 0)
    raw = np.stack((a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d), axis=2).reshape(-1, groups * 3)[:, :size]
    offsets = np.arange(len(texts) + 1, dtype=np.int32) * size
    return hex_of(
        pa.BinaryArray.from_buffers(
            pa.binary(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(raw))]
        )
    )


def _buffers(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets from 0 and the bytes they cut; a null has none."""
    if texts.null_count:
        texts = pc.fill_null(texts, "")
    _, offsets, data = texts.buffers()
    if offsets is None or data is None:
        return np.zeros(len(texts) + 1, dtype=np.int32), np.zeros(0, dtype=np.uint8)
    places = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return places - places[0], np.frombuffer(data, dtype=np.uint8)[places[0] : places[-1]]


def integers(texts: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """The integers of type `kind` that the texts stand for; null for null and for what is no such integer."""
    limits = np.iinfo(kind.to_pandas_dtype())
    digits = len(str(limits.max)) - 1  # any number of so many digits fits
    offsets, data = _buffers(texts)
    length = np.diff(offsets)
    if not texts.null_count and ((length > 0) & (length <= digits)).all() and (data - np.uint8(ord("0")) <= 9).all():
        return texts.cast(kind)
    sign = "-?" if limits.min else ""
    plain = pc.fill_null(pc.match_substring_regex(texts, f"^{sign}[0-9]{{1,{digits}}}$"), fill_value=True)
    numbers = pc.if_else(plain, texts, None).cast(kind)
    odd = pc.invert(plain)
    encoded = texts.filter(odd).dictionary_encode()
    found = [integer(text, limits.min, limits.max) for text in encoded.dictionary.to_pylist()]
    return pc.replace_with_mask(numbers, odd, pa.array(found, kind).take(encoded.indices))


def integer(text: str, low: int, high: int) -> int | None:
    """The exact integer between `low` and `high` that a text stands for, else None."""
    if not NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond 10^18
        return None
    return int(number) if low <= number <= high and number == number.to_integral_value() else None


def times(texts: pa.StringArray) -> pa.UInt64Array:
    """Nanoseconds; 0 where absent, null where the text is no unsigned 64-bit integer."""
    return integers(pc.fill_null(texts, "0"), pa.uint64())


def counts(texts: pa.StringArray, field: str) -> pa.Int64Array:
    """Unsigned 32-bit integers, null where absent.

    Raises:
        WireError: a text is no such integer.
    """
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), pa.int64())
    numbers = integers(texts, pa.uint32())
    refuse_nulls(texts, numbers, f"{field} must be an unsigned 32-bit integer")
    return numbers.cast(pa.int64())


def enums(texts: pa.StringArray, names: Mapping[str, int], field: str) -> pa.Int32Array:
    """Numbers of enum values sent as number, digits or name; 0 where absent.

    Raises:
        WireError: a text is neither a 32-bit integer nor one of `names`.
    """
    encoded = pc.fill_null(texts, "0").dictionary_encode()
    words = pa.array([str(names.get(text, text)) for text in encoded.dictionary.to_pylist()], pa.string())
    numbers = integers(words, pa.int32())
    refuse_nulls(words, numbers, f"{field} must be an integer or one of {', '.join(names)}")
    return numbers.take(encoded.indices)


def refuse_nulls(texts: pa.StringArray, numbers: pa.Array, rule: str) -> None:
    """Refuse a column of which some texts were no numbers.

    Raises:
        WireError: the rule and the first text that broke it.
    """
    if numbers.null_count > texts.null_count:
        lost = texts.filter(pc.and_(pc.is_valid(texts), pc.is_null(numbers)))
        raise refusal(f"{rule}, not {quoted(lost[0].as_py())}")


def quoted(text: str) -> str:
    """A text for an error message, cut to be short."""
    return repr(text if len(text) <= 40 else text[:40] + "...")

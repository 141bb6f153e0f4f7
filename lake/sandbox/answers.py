"""Answers: rows as JSON, CSV, Arrow or Parquet.

Takes   record batches as DuckDB makes them.
Gives   the bytes of the answer; JSON is the array of rows, the rest is for the server to put around.
Refuses types that the format has no form for (`TooWide`): the message says which column to cast.

Nothing is rounded. Integers and decimals are JSON numbers with all their digits, times RFC 3339 in UTC, dates, times of day
and intervals ISO 8601, bytes base64, and what JSON has no number for is the text "NaN", "Infinity" or "-Infinity", as
protobuf writes it. A map is an object, or a list of [key, value] if its keys are no text. CSV has the same texts; a cell of
text that a spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import json_text
from .messages import Format


class TooWide(Exception):
    """A column has a type that the format cannot hold."""


class Writer(Protocol):
    """One answer that is being written."""

    row_count: int

    def write(self, rows: pa.RecordBatch, *, max_bytes: int) -> bool:
        """Append rows, unless the answer would have more than `max_bytes`; whether they were appended."""

    def close(self) -> bytes:
        """The answer."""


def writer_of(format: Format, schema: pa.Schema, types: Mapping[str, str]) -> Writer:  # noqa: A002 - as in `Job`
    """A writer for rows of a schema.

    Args:
        types: of each column, as DuckDB writes it.

    Raises:
        TooWide: a column cannot be in the format.
    """
    if format in _TEXTS:
        return _TextWriter(schema, _TEXTS[format])
    for field in schema:
        if format == "parquet" and _has_interval(field.type):
            raise TooWide(cast_it(field.name, types[field.name], "Parquet"))
    return _ArrowWriter(schema, is_parquet=format == "parquet")


def cast_it(name: str, type_: str, what: str) -> str:
    """What to say of a column that cannot be."""
    return f"column {name!r} is of the type {type_}, which {what} cannot hold: cast it, for example to VARCHAR"


def _has_interval(type_: pa.DataType) -> bool:
    if pa.types.is_interval(type_):
        return True
    return any(_has_interval(type_.field(place).type) for place in range(type_.num_fields))


def load() -> None:
    """Load what Arrow and numpy load at their first use: where answers are written, their files are out of reach."""
    rows = pa.RecordBatch.from_arrays(
        [pa.array([[1]]), pa.array([b""]), pa.array([pa.MonthDayNano([1, 1, 1])])], names=["list", "bytes", "interval"]
    )
    for format_ in ("json", "csv", "arrow"):
        _write_all(writer_of(format_, rows.schema, {}), rows)
    _write_all(writer_of("parquet", rows.select(["list"]).schema, {}), rows.select(["list"]))


def _write_all(writer: Writer, rows: pa.RecordBatch) -> None:
    writer.write(rows, max_bytes=2**20)
    writer.close()


class _ArrowWriter:
    """Arrow's stream format, or Parquet of the same rows."""

    def __init__(self, schema: pa.Schema, *, is_parquet: bool) -> None:
        self.row_count = 0
        self._bytes = 0
        self._sink = io.BytesIO()
        self._writer = pq.ParquetWriter(self._sink, schema) if is_parquet else pa.ipc.new_stream(self._sink, schema)

    def write(self, rows: pa.RecordBatch, *, max_bytes: int) -> bool:
        if self._bytes + rows.nbytes > max_bytes:
            return False
        self._writer.write_batch(rows)
        self._bytes += rows.nbytes
        self.row_count += rows.num_rows
        return True

    def close(self) -> bytes:
        self._writer.close()
        return self._sink.getvalue()


class _TextWriter:
    """Rows as lines or items of text."""

    def __init__(self, schema: pa.Schema, text: _Text) -> None:
        self.row_count = 0
        self._text = text
        self._parts = [text.head(schema)]
        self._bytes = len(self._parts[0])

    def write(self, rows: pa.RecordBatch, *, max_bytes: int) -> bool:
        before = self._text.separator if self.row_count else self._text.first
        part = (before + self._text.separator.join(self._text.rows(rows).to_pylist())).encode()
        if self._bytes + len(part) + len(self._text.tail) > max_bytes:
            return False
        self._parts.append(part)
        self._bytes += len(part)
        self.row_count += rows.num_rows
        return True

    def close(self) -> bytes:
        return b"".join([*self._parts, self._text.tail.encode()])


class _Text(Protocol):
    first: str
    """Before the first row."""
    separator: str
    tail: str

    def head(self, schema: pa.Schema) -> bytes: ...
    def rows(self, rows: pa.RecordBatch) -> pa.StringArray: ...


class _Json:
    first, separator, tail = "", ",", "]"

    def head(self, _: pa.Schema) -> bytes:
        return b"["

    def rows(self, rows: pa.RecordBatch) -> pa.StringArray:
        return json_text.objects({name: json_of(rows.column(name)) for name in rows.schema.names})


class _Csv:
    first, separator, tail = "\n", "\n", "\n"

    def head(self, schema: pa.Schema) -> bytes:
        return ",".join(_cells(pa.array(schema.names, pa.string())).to_pylist()).encode()

    def rows(self, rows: pa.RecordBatch) -> pa.StringArray:
        columns = [_csv_of(column) for column in rows.columns]
        return pc.binary_join_element_wise(*columns, ",")


_TEXTS: Mapping[str, _Text] = {"json": _Json(), "csv": _Csv()}


def json_of(values: pa.Array) -> pa.StringArray:
    """Each value as JSON."""
    type_ = values.type
    if pa.types.is_struct(type_):
        fields = dict(zip((field.name for field in type_), map(json_of, values.flatten()), strict=True))
        return _or_null(values, json_text.objects(fields))
    if pa.types.is_map(type_):
        return _or_null(values, _json_of_map(values))
    if pa.types.is_fixed_size_list(type_):
        return json_of(values.cast(pa.list_(type_.value_type)))
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _or_null(values, _gathered(values, json_of(values.flatten()), "[]"))
    text, is_literal = plain(values)
    if pa.types.is_floating(type_):
        return json_text.literals(pc.if_else(pc.is_finite(values), text, json_text.strings(text)))
    return json_text.literals(text) if is_literal else json_text.strings(text)


def _json_of_map(maps: pa.MapArray) -> pa.StringArray:
    entries = maps.cast(pa.list_(pa.struct([("key", maps.type.key_type), ("value", maps.type.item_type)])))
    keys, values = entries.flatten().flatten()
    items = json_of(values)
    if pa.types.is_string(maps.type.key_type):
        return _gathered(entries, json_text.members(keys, items), "{}")
    pairs = pc.binary_join_element_wise("[", json_of(keys), ",", items, "]", "")
    return _gathered(entries, pairs, "[]")


def _gathered(lists: pa.ListArray, items: pa.StringArray, brackets: str) -> pa.StringArray:
    rows = pc.list_parent_indices(lists).to_numpy()
    return json_text.gathered(items, rows.astype(np.int64), len(lists), brackets)


def _or_null(values: pa.Array, text: pa.StringArray) -> pa.StringArray:
    return pc.if_else(values.is_valid(), text, "null") if values.null_count else text


_FORMULA = "^[=+\\-@\t\r]"
_QUOTED = '[",\n\r]|^$'


def _csv_of(values: pa.Array) -> pa.StringArray:
    """Each value as a cell; nothing for null."""
    if pa.types.is_nested(values.type):
        return pc.fill_null(pc.if_else(values.is_valid(), _cells(json_of(values)), None), "")
    text, is_literal = plain(values)
    return pc.fill_null(text if is_literal else _cells(text), "")


def _cells(text: pa.StringArray) -> pa.StringArray:
    """Cells of text: no formulas, and quoted where needed; null for null."""
    safe = pc.replace_substring_regex(text, f"({_FORMULA})", r"'\1")
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(safe, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(safe, _QUOTED), quoted, safe)


def plain(values: pa.Array) -> tuple[pa.StringArray, bool]:
    """Each value as text, null for null, and whether the texts are JSON as they are."""
    type_ = values.type
    if pa.types.is_dictionary(type_):
        return plain(values.dictionary_decode())
    if isinstance(type_, pa.BaseExtensionType):
        return plain(values.storage)
    for is_of_type, text in _TEXT_OF:
        if is_of_type(type_):
            return text(values), False
    if pa.types.is_floating(type_):
        return _numbers(values), True
    is_literal = pa.types.is_boolean(type_) or pa.types.is_integer(type_) or pa.types.is_decimal(type_)
    return values.cast(pa.string()), is_literal or pa.types.is_null(type_)


def _numbers(values: pa.FloatingPointArray) -> pa.StringArray:
    infinite = pc.if_else(pc.greater(values, 0), "Infinity", "-Infinity")
    other = pc.if_else(pc.is_nan(values), "NaN", infinite)
    return pc.if_else(pc.is_finite(values), values.cast(pa.string()), other)


def _times(values: pa.TimestampArray) -> pa.StringArray:
    """RFC 3339; a time without a zone has none in its text either."""
    zone = "Z" if values.type.tz else ""
    local = pc.replace_substring(values.cast(pa.timestamp(values.type.unit)).cast(pa.string()), " ", "T")
    return _with_infinity(values, pc.binary_join_element_wise(local, zone, ""))


def _dates(values: pa.Date32Array) -> pa.StringArray:
    return _with_infinity(values, values.cast(pa.string()))


def _with_infinity(values: pa.Array, text: pa.StringArray) -> pa.StringArray:
    """DuckDB has times before and after all others, the lowest and the highest number there is."""
    numbers = values.view(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    highest = 2 ** (numbers.type.bit_width - 1) - 1
    text = pc.if_else(pc.equal(numbers, highest), "infinity", text)
    return pc.if_else(pc.equal(numbers, -highest), "-infinity", text)


def _base64(values: pa.BinaryArray) -> pa.StringArray:
    return pa.array([None if b is None else base64.b64encode(b).decode() for b in values.to_pylist()], pa.string())


def _intervals(values: pa.MonthDayNanoIntervalArray) -> pa.StringArray:
    return pa.array([None if value is None else _interval(*value) for value in values.to_pylist()], pa.string())


def _interval(months: int, days: int, ns: int) -> str:
    seconds, rest = divmod(abs(ns), 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"P{months}M{days}DT{'-' if ns < 0 else ''}{seconds}{fraction}S"


_TEXT_OF: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.StringArray]], ...] = (
    (pa.types.is_string, lambda values: values),
    (pa.types.is_large_string, lambda values: values.cast(pa.string())),
    (pa.types.is_timestamp, _times),
    (pa.types.is_date32, _dates),
    (pa.types.is_binary, _base64),
    (pa.types.is_large_binary, _base64),
    (pa.types.is_interval, _intervals),
)

"""Attributes: key-value lists in, a map column, its type characters and promoted columns out.

Takes   `KeyValues`: the attributes of n rows (spans, events, links, resources, scopes), each value already as text.
Gives   Arrow columns as `lake.schema` describes them.
Refuses nothing; of a key that comes twice in one row the last one counts, as OTLP forbids the case.

Everything works on whole columns: about ten numpy and Arrow calls for any number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..schema import ATTRIBUTES, Promoted
from .arrays import booleans, lists, numbers

_INTEGER_TEXT = r"^-?[0-9]{1,18}$"


@dataclass(frozen=True, slots=True)
class KeyValues:
    """The attributes of n rows, m in all."""

    offsets: npt.NDArray[np.int32]
    """n + 1 places: row i owns the entries `offsets[i]:offsets[i + 1]`."""
    keys: pa.StringArray
    text: pa.StringArray
    """The values as text, null for a value that is not set."""
    types: npt.NDArray[np.uint8]
    """The type character of each value (see `lake.schema`), as ASCII."""

    @property
    def row_count(self) -> int:
        return len(self.offsets) - 1

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """The row of each entry."""
        return np.repeat(np.arange(self.row_count, dtype=np.int32), self.offsets[1:] - self.offsets[:-1])

    def keep(self, mask: npt.NDArray[np.bool_]) -> KeyValues:
        """The entries where `mask` is true, rows as before."""
        before = np.concatenate(([0], np.cumsum(mask, dtype=np.int32))).astype(np.int32)
        arrow_mask = booleans(mask)
        return KeyValues(before[self.offsets], self.keys.filter(arrow_mask), self.text.filter(arrow_mask), self.types[mask])


@dataclass(frozen=True, slots=True)
class AttributeColumns:
    """What `split` makes of the attributes of n rows; every array has n values."""

    map: pa.MapArray
    types: pa.StringArray
    promoted: dict[str, pa.Array]
    """Column name to values, null where the row has no such attribute."""


def split(attributes: KeyValues, promoted: tuple[Promoted, ...] = ()) -> AttributeColumns:
    """Build the map column, the type characters and one column per promoted attribute."""
    if not len(attributes.types):
        return _empty(attributes.row_count, promoted)
    codes, code_of = _encoded_keys(attributes.keys)
    order = np.argsort(codes, kind="stable")
    rows = attributes.rows
    repeated = _repeated(codes, rows, order)
    if len(repeated):
        mask = np.ones(len(codes), dtype=np.bool_)
        mask[repeated] = False
        return split(attributes.keep(mask), promoted)
    places = _Places(attributes, rows, order, np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=len(code_of))))))
    moved = np.zeros(len(codes), dtype=np.bool_)
    types = attributes.types.copy()
    columns = _promoted_columns(promoted, places, code_of, types, moved)
    kept = attributes.keep(~moved) if moved.any() else attributes
    return AttributeColumns(
        _map(kept),
        text_of_characters(types, attributes.offsets),
        columns,
    )


def _map(attributes: KeyValues) -> pa.MapArray:
    entries = pa.StructArray.from_arrays([attributes.keys, attributes.text], fields=list(ATTRIBUTES.field(0).type))
    return lists(ATTRIBUTES, attributes.offsets, entries)


def _empty(row_count: int, promoted: tuple[Promoted, ...]) -> AttributeColumns:
    offsets, none = np.zeros(row_count + 1, dtype=np.int32), pa.nulls(0, pa.string())
    nothing = KeyValues(offsets, none, none, np.zeros(0, dtype=np.uint8))
    nulls = {p.column: pa.nulls(row_count, p.arrow_type) for p in promoted}
    return AttributeColumns(_map(nothing), text_of_characters(nothing.types, offsets), nulls)


def text_of_characters(characters: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32]) -> pa.StringArray:
    """ASCII characters, cut at `offsets`, as text, null where there are none; no bytes are copied."""
    filled = offsets[1:] > offsets[:-1]
    valid = None if filled.all() else pa.py_buffer(np.packbits(filled, bitorder="little"))
    return pa.StringArray.from_buffers(
        len(offsets) - 1,
        pa.py_buffer(np.ascontiguousarray(offsets)),
        pa.py_buffer(np.ascontiguousarray(characters)),
        valid,
    )


@dataclass(frozen=True, slots=True)
class _Places:
    attributes: KeyValues
    rows: npt.NDArray[np.int32]
    order: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def of(self, code: int) -> npt.NDArray[np.int64]:
        """The entries with this key, rows ascending, at most one a row."""
        return self.order[self.starts[code] : self.starts[code + 1]]


def _encoded_keys(keys: pa.StringArray) -> tuple[npt.NDArray[np.integer], dict[str, int]]:
    encoded = keys.dictionary_encode()
    code_of = {key: code for code, key in enumerate(encoded.dictionary.to_pylist())}
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    # numpy sorts 16-bit integers by radix: several times faster than wider ones
    return (codes.astype(np.int16) if len(code_of) < 2**15 else codes), code_of


def _repeated(
    codes: npt.NDArray[np.integer], rows: npt.NDArray[np.int32], order: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Entries whose key comes again later in the same row."""
    sorted_codes, sorted_rows = codes[order], rows[order]
    again = (sorted_codes[1:] == sorted_codes[:-1]) & (sorted_rows[1:] == sorted_rows[:-1])
    repeated: npt.NDArray[np.int64] = order[:-1][again]
    return repeated


def _promoted_columns(
    promoted: tuple[Promoted, ...],
    places: _Places,
    code_of: dict[str, int],
    types: npt.NDArray[np.uint8],
    moved: npt.NDArray[np.bool_],
) -> dict[str, pa.Array]:
    """The values of the promoted attributes; marks in `moved` and `types` the entries that leave the map.

    Most keys are in no row, and the values of those that are there are copied in one go: a call costs more than the copy.
    """
    count = places.attributes.row_count
    present = [p for p in promoted if not code_of.keys().isdisjoint((p.key, *p.aliases))]
    chosen = np.full((len(present), count), -1, dtype=np.int32)
    for p, of_row in zip(present, chosen, strict=True):
        _choose(p, places, code_of, of_row)
        if p.key in code_of:
            entries = places.of(code_of[p.key])
            canonical = entries[places.attributes.types[entries] == ord(p.type)]
            moved[canonical] = True
            types[canonical] = ord(p.code)
    flat = chosen.reshape(-1)
    values = places.attributes.text.take(numbers(flat, flat < 0))
    nulls = {kind: pa.nulls(count, kind) for kind in {p.arrow_type for p in promoted}}
    columns = {p.column: nulls[p.arrow_type] for p in promoted}
    for i, p in enumerate(present):
        column = values.slice(i * count, count)
        columns[p.column] = column.cast(p.arrow_type) if p.type == "i" else column
    return columns


def _choose(promoted: Promoted, places: _Places, code_of: dict[str, int], of_row: npt.NDArray[np.int32]) -> None:
    """Write into `of_row` the entry of each row that its column takes; -1 stays where there is none."""
    for key in reversed((promoted.key, *promoted.aliases)):  # best last: it overwrites
        if key in code_of:
            entries = places.of(code_of[key])
            usable = entries[_usable(promoted, places.attributes, entries)]
            of_row[places.rows[usable]] = usable


def _usable(promoted: Promoted, attributes: KeyValues, entries: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which entries may fill the column, whether they stay in the map or not."""
    types = attributes.types[entries]
    if promoted.type == "s":
        set_: npt.NDArray[np.bool_] = types != ord("n")
        return set_
    canonical: npt.NDArray[np.bool_] = types == ord(promoted.type)
    if canonical.all():
        return canonical
    matches = pc.match_substring_regex(attributes.text.take(numbers(entries)), _INTEGER_TEXT)
    integers: npt.NDArray[np.bool_] = pc.fill_null(matches, fill_value=False).to_numpy(zero_copy_only=False)
    return canonical | integers

"""Data files: sorted rows of one partition as a Parquet file, and what the Delta log says about it.

Takes   rows of one table, of one hour, in the table's order.
Gives   the bytes of a Parquet file, and its statistics, true for every reader.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .schema import Table

ROW_GROUP_ROWS = 122_880
FILE_MAX_ROWS = 1_000_000
ABSORBED, MERGED, REWRITTEN = "part-", "merged-", "hour-"
"""How the name of a file begins that compaction, the merge of small files, or the rewrite of a closed hour made."""

PAGE_BYTES = 64 * 1024
"""A reader of one trace leaves out the pages that do not have it; with the usual 1 MiB most columns are one page."""

_BLOOM_FALSE_POSITIVES = 0.001
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One hour of a table."""

    day: dt.date
    hour: int

    @classmethod
    def of_hour_number(cls, hours: int) -> Partition:
        """The partition of the hour that began `hours` hours after the Unix epoch."""
        return cls(_EPOCH + dt.timedelta(days=hours // 24), hours % 24)

    @property
    def hour_number(self) -> int:
        """Hours from the Unix epoch to the begin of this hour."""
        return (self.day - _EPOCH).days * 24 + self.hour

    @property
    def values(self) -> dict[str, str | None]:
        return {"day": self.day.isoformat(), "hour": str(self.hour)}

    @property
    def folder(self) -> str:
        return f"day={self.day.isoformat()}/hour={self.hour}"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that is written but in no version yet."""

    path: str
    """Relative to the table's folder."""
    partition: Partition
    size_bytes: int
    row_count: int
    statistics: str
    """JSON as in the Delta protocol, section "Per-file Statistics"."""


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data file of one version of a table."""

    path: str
    partition: Partition
    size_bytes: int
    row_count: int
    written_at_s: float
    """Seconds since the Unix epoch."""

    @property
    def is_merged(self) -> bool:
        """Whether the merge of small files made the file."""
        return self._name.startswith(MERGED)

    @property
    def is_rewritten(self) -> bool:
        """Whether the rewrite of a closed hour made the file."""
        return self._name.startswith(REWRITTEN)

    @property
    def _name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def checksum(self) -> int:
        """CRC-32 of the whole file, as its name says it."""
        return int(self.path.removesuffix(".parquet").rpartition("-")[2], 16)


def parquet(table: Table, rows: pa.Table) -> memoryview:
    """The file."""
    groups = max(1, -(-rows.num_rows // ROW_GROUP_ROWS))
    bloom = {
        column: {"ndv": max(1, pc.count_distinct(rows.column(column)).as_py() // groups), "fpp": _BLOOM_FALSE_POSITIVES}
        for column in table.bloom
    }
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.replace_schema_metadata(None),
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=1,
        data_page_size=PAGE_BYTES,
        use_dictionary=[
            leaf for field in rows.schema if field.name not in table.plain for leaf in _leaves(field.name, field.type)
        ],
        write_statistics=list(table.statistics),
        bloom_filter_options=bloom or None,
        store_schema=False,
        write_page_checksum=True,
    )
    return memoryview(sink.getvalue())


def _leaves(name: str, kind: pa.DataType) -> list[str]:
    """The Parquet columns that an Arrow column becomes, as dotted paths."""
    if pa.types.is_map(kind):
        return [f"{name}.key_value.key", *_leaves(f"{name}.key_value.value", kind.item_type)]
    if pa.types.is_list(kind):
        return _leaves(f"{name}.list.element", kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{name}.{field.name}", field.type)]
    return [name]


def statistics(table: Table, rows: pa.Table) -> str:
    """JSON as in the Delta protocol, section "Per-file Statistics"."""
    low: dict[str, object] = {}
    high: dict[str, object] = {}
    nulls: dict[str, int] = {}
    for name in table.statistics:
        column = rows.column(name)
        nulls[name] = column.null_count
        if pa.types.is_dictionary(column.type):
            column = column.unique().cast(column.type.value_type)
        bounds = pc.min_max(column)
        if bounds["min"].is_valid:
            low[name] = _lower(bounds["min"].as_py())
            high[name] = _upper(bounds["max"].as_py())
    bounded = {"minValues": low, "maxValues": {name: value for name, value in high.items() if value is not None}}
    return json.dumps({"numRecords": rows.num_rows, **bounded, "nullCount": nulls})


def _lower(value: object) -> object:
    """Delta keeps times in milliseconds here; rounding outwards keeps the bounds true for every reader."""
    return _iso(value) if isinstance(value, dt.datetime) else value


def _upper(value: object) -> object:
    """None for a time in the last millisecond there is: no bound, rather than one that is not true."""
    if not isinstance(value, dt.datetime) or value.microsecond % 1000 == 0:
        return _lower(value)
    try:
        return _iso(value + dt.timedelta(milliseconds=1))
    except OverflowError:
        return None


def _iso(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")  # isoformat cuts, it does not round

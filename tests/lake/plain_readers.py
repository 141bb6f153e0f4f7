"""Plain readers: the tables of a lake as deltalake, Polars and DuckDB alone see them. Nothing of Tracelake is imported.

Takes   the folder of a lake.
Gives   for each reader and table the row count, what each column adds up to and a digest of all rows; as JSON on the
        standard output when it is run as a program.
Refuses nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

Measures = list[tuple[str, str]]
"""Columns and what is measured of them."""
Facts = dict[str, Any]

_MEASURES = {
    "string": ("count", "distinct", "min", "max"),
    "long": ("count", "sum"),
    "key": ("count", "distinct", "min", "max"),  # numbers all over 64 bits, whose sum has no room in them
    "short": ("count", "sum"),
    "double": ("count", "sum"),
    "boolean": ("count", "sum"),
    "timestamp": ("count", "min_us", "max_us"),
    "date": ("count", "min", "max"),
    "map": ("count", "keys"),
    "array": ("count", "items"),
}
"""Delta type to what is measured of a column."""

_ARROW: dict[str, Callable[[pa.ChunkedArray], pa.Scalar]] = {
    "count": pc.count,
    "distinct": pc.count_distinct,
    "sum": pc.sum,
    "min": pc.min,
    "max": pc.max,
    "min_us": lambda column: pc.min(column.cast(pa.int64())),
    "max_us": lambda column: pc.max(column.cast(pa.int64())),
    "keys": lambda column: pa.scalar(sum(len(value) for value in column.to_pylist() if value is not None)),
    "items": lambda column: pc.sum(pc.list_value_length(column)),
}
_POLARS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "count": pl.Expr.count,
    "distinct": lambda column: column.drop_nulls().n_unique(),
    "sum": pl.Expr.sum,
    "min": pl.Expr.min,
    "max": pl.Expr.max,
    "min_us": lambda column: column.min().dt.epoch("us"),
    "max_us": lambda column: column.max().dt.epoch("us"),
    "keys": lambda column: column.map.len().sum(),
    "items": lambda column: column.list.len().sum(),
}
_DUCKDB = {
    "count": 'count("{0}")',
    "distinct": 'count(DISTINCT "{0}")',
    "sum": 'sum("{0}")',
    "min": 'min("{0}")',
    "max": 'max("{0}")',
    "min_us": 'epoch_us(min("{0}"))',
    "max_us": 'epoch_us(max("{0}"))',
    "keys": 'sum(cardinality("{0}"))',
    "items": 'sum(len("{0}"))',
}


def measures_of(table: DeltaTable) -> Measures:
    """What can be compared of each column, partition columns too."""
    fields = json.loads(table.schema().to_json())["fields"]
    kinds = {f["name"]: f["type"] if isinstance(f["type"], str) else f["type"]["type"] for f in fields}
    kinds |= {column: "key" for column in kinds if column.endswith("_key")}
    return [(column, measure) for column, kind in kinds.items() for measure in _MEASURES[kind]]


def measuring_sql(measures: Measures, source: str) -> str:
    """A question for DuckDB with one column a measure, named by its place."""
    asked = (f'{_DUCKDB[measure].format(column)} AS "{place}"' for place, (column, measure) in enumerate(measures))
    return f"SELECT {', '.join(asked)} FROM {source}"


def facts(measures: Measures, values: Iterable[Any], rows: list[dict[str, Any]]) -> Facts:
    """What a reader found; a sum over nothing is 0 whoever says it."""
    found = {
        f"{measure} of {column}": str(value or 0 if measure in ("sum", "keys", "items") else value)
        for (column, measure), value in zip(measures, values, strict=True)
    }
    return {"rows": len(rows), "digest": digest(rows), **found}


def digest(rows: list[dict[str, Any]]) -> str:
    """The same for the same rows in whatever order, and however a reader shows a map; without the partition columns."""
    lines = sorted(
        json.dumps(_plain({k: v for k, v in row.items() if k not in ("day", "hour")}), sort_keys=True, default=str)
        for row in rows
    )
    return sha256("\n".join(lines).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A map as an object: readers give it as that, as pairs, or as structs of key and value."""
    if isinstance(value, list) and value:
        if all(isinstance(item, tuple) for item in value):
            return dict(value)
        if all(isinstance(item, dict) and item.keys() == {"key", "value"} for item in value):
            return {item["key"]: item["value"] for item in value}
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def by_deltalake(table: DeltaTable, _: str, measures: Measures) -> Facts:
    rows = table.to_pyarrow_table()
    return facts(measures, (_ARROW[measure](rows.column(c)).as_py() for c, measure in measures), rows.to_pylist())


def by_polars(_: DeltaTable, path: str, measures: Measures) -> Facts:
    scan = pl.scan_delta(path)
    asked = [_POLARS[measure](pl.col(c)).alias(str(place)) for place, (c, measure) in enumerate(measures)]
    return facts(measures, scan.select(asked).collect().row(0), scan.collect().to_dicts())


def by_duckdb(table: DeltaTable, _: str, measures: Measures) -> Facts:
    """The partition columns come from the names of the folders here, and from the log for the other readers."""
    live = table.file_uris()
    if not live:
        return {"rows": 0}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        options = "union_by_name = true, hive_partitioning = true, hive_types = {'day': DATE, 'hour': SMALLINT}"
        connection.execute(f"CREATE VIEW live AS FROM read_parquet({live!r}, {options})")
        values = connection.execute(measuring_sql(measures, "live")).fetchall()[0]
        return facts(measures, values, connection.sql("FROM live").to_arrow_table().to_pylist())


READERS = {"deltalake": by_deltalake, "polars": by_polars, "duckdb": by_duckdb}


def tables_in(lake: Path) -> Iterator[tuple[str, str]]:
    """Name and path of every Delta table."""
    return ((log.parent.name, str(log.parent)) for log in sorted(lake.glob("*/_delta_log")))


def read(lake: Path) -> dict[str, dict[str, Facts]]:
    """Table to reader to what it found."""
    found: dict[str, dict[str, Facts]] = {}
    for name, path in tables_in(lake):
        table = DeltaTable(path)
        actions = pa.table(table.get_add_actions(flatten=True))
        counted = sum(actions.column("num_records").to_pylist())
        found[name] = {reader: ask(table, path, measures_of(table)) for reader, ask in READERS.items()}
        found[name]["log"] = {"rows": counted, "files": actions.num_rows}
    return found


if __name__ == "__main__":
    answer = read(Path(sys.argv[1]))
    ours = sorted({"lake", "api", "notebooks", "scheduler"} & {module.partition(".")[0] for module in sys.modules})
    sys.stdout.write(json.dumps({"tables": answer, "imported": ours}))

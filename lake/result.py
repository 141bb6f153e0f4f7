"""Result: an answer that is computed when it is asked for, as the frame of your choice.

Takes   a DuckDB relation, or rows that are known already (`Rows`).
Gives   `.pl()`, `.arrow()`, `.df()`, or the Arrow PyCapsule protocol, so that Polars, pandas, Altair and others take a
        `Result` as it is. `repr` shows 20 rows and reads no more than those.
Refuses what DuckDB refuses: `QueryError` with its message, `Overloaded` where its memory is not enough, `LakeCorrupt`
        where a file of the lake is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from .errors import LakeCorrupt, Overloaded, QueryError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_SHOWN_ROWS = 20
_FILE_OF_A_LAKE = re.compile(r"/day=[0-9-]+/hour=-?[0-9]+/\S+\.parquet|/landing/\w+/\S+\.parquet")


class Result:
    """A lazy answer. Each method that gives rows runs the query."""

    def __init__(self, relation: duckdb.DuckDBPyRelation | Rows, *held: object) -> None:
        """
        Args:
            held: objects that must live as long as the relation (its connection, Arrow tables it reads).
        """
        self._relation = relation
        self._held = held

    @property
    def columns(self) -> list[str]:
        return list(self._relation.columns)

    def arrow(self) -> pa.Table:
        """All rows as a pyarrow Table."""
        with refusals():
            return self._relation.to_arrow_table()

    def pl(self) -> pl.DataFrame:
        """All rows as a Polars frame."""
        with refusals():
            frame: pl.DataFrame = self._relation.pl()
        return frame

    def df(self) -> pd.DataFrame:
        """All rows as a pandas frame; needs pandas (`pip install pandas`)."""
        return self.arrow().to_pandas()  # DuckDB's own way drops time zones

    def rows(self) -> list[dict[str, Any]]:
        """All rows as dictionaries."""
        rows: list[dict[str, Any]] = self.arrow().to_pylist()
        return rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        with refusals():
            return self._relation.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        with refusals():
            return str(self._relation.limit(_SHOWN_ROWS))


class Rows:
    """Rows that are known, asked as a DuckDB relation is, without the milliseconds that a query over them would take."""

    def __init__(self, table: pa.Table) -> None:
        # of a query every column may be null
        self._table = table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))

    @property
    def columns(self) -> list[str]:
        names: list[str] = self._table.column_names
        return names

    def to_arrow_table(self) -> pa.Table:
        return self._table

    def pl(self) -> pl.DataFrame:
        import polars  # noqa: PLC0415 - takes a tenth of a second, and a server has no use for it

        return polars.DataFrame(self._table)

    def limit(self, count: int) -> duckdb.DuckDBPyRelation:
        return duckdb.from_arrow(self._table.slice(0, count))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@contextmanager
def refusals() -> Iterator[None]:
    """Errors of DuckDB as errors of Tracelake: a query is checked when it is made, and its values when it runs."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:  # other queries share the memory, so a moment later it may be enough
        raise Overloaded(
            f"the query needs more memory than there is: ask for a shorter time or less of it ({error})"
        ) from error
    except (duckdb.IOException, duckdb.InvalidInputException) as error:  # the latter: "too small to be a Parquet file"
        if not _FILE_OF_A_LAKE.search(str(error)):
            raise QueryError(str(error)) from error
        reason = str(error).partition("\n")[0]
        raise LakeCorrupt(
            f"a file is gone or unreadable ({reason}): ask again, for an old answer's files go in time; if it stays so, "
            "`tracelake doctor` says what to do"
        ) from error
    except duckdb.Error as error:
        raise QueryError(str(error)) from error

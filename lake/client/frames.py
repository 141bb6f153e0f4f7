"""Frames: the rows that a server answered, as the frame of your choice.

Takes   an Arrow IPC stream.
Gives   `Result`, with the methods of a local `lake.Result`: `.pl()`, `.arrow()`, `.df()`, `.rows()` and the Arrow PyCapsule
        protocol. The rows have come, so none of them asks the server again.
Refuses bytes that are no whole stream: `BadAnswer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .errors import BadAnswer

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_SHOWN_ROWS = 20
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


class Result:
    """Rows that have come."""

    def __init__(self, table: pa.Table, *, snapshot: str | None = None, truncated: bool = False) -> None:
        """
        Args:
            snapshot: token of the snapshot that they are of, for `at`.
            truncated: there are more rows than these.
        """
        self._table = table
        self.snapshot = snapshot
        self.truncated = truncated

    @property
    def columns(self) -> list[str]:
        return list(self._table.column_names)

    def arrow(self) -> pa.Table:
        """All rows as a pyarrow Table."""
        return self._table

    def pl(self) -> pl.DataFrame:
        """All rows as a Polars frame."""
        import polars as pl  # noqa: PLC0415 - who wants none of it does not wait for it

        return pl.DataFrame(self._table)

    def df(self) -> pd.DataFrame:
        """All rows as a pandas frame; needs pandas (`pip install pandas`)."""
        return self._table.to_pandas()

    def rows(self) -> list[dict[str, Any]]:
        """All rows as dictionaries."""
        rows: list[dict[str, Any]] = self._table.to_pylist()
        return rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"{Result(self._table.slice(0, _SHOWN_ROWS)).pl()}\n{self._table.num_rows} rows"


def read_stream(body: bytes) -> pa.Table:
    """The rows of an Arrow IPC stream.

    Raises:
        BadAnswer: it is none, or its end is missing.
    """
    if not body.endswith(_END_OF_STREAM):  # pyarrow takes a stream that stops between two batches for a whole one
        raise BadAnswer("the answer is no whole Arrow stream: ask again")
    try:
        with pa.ipc.open_stream(body) as stream:
            return stream.read_all()
    except (pa.ArrowException, OSError) as error:
        raise BadAnswer(f"the answer is no Arrow stream: {error}") from error

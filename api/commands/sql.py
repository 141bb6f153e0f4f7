"""`tracelake sql`: one SELECT over a lake, read from its files, for which no server is needed, or asked of a server."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import orjson
import polars as pl
import pyarrow as pa
import rich_click as click

from .lakes import source, source_options
from .options import print_json

_SHOWN_ROWS = 100
_TABLE_COLUMNS = 120
"""Characters that a table may always have: in a pipe nobody knows how wide the screen is."""
_ENDLESS_COLUMNS = 10_000


@click.command()
@click.argument("query")
@click.option(
    "--format", "shape", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True,
    help="table shows the first 100 rows, csv and json have all.",
)  # fmt: skip
@source_options
def sql(query: str, data: Path, project: str, shape: str, url: str | None, key_env: str, *, sandbox: bool) -> None:
    """Run a SELECT over spans, errors, exceptions, deploys, requests and batches.

    It runs with your rights on this machine, like any program that reads the files; with --url in the sandbox of the
    server, on the lake of the key.
    """
    with source(data, project, url, key_env, sandbox=sandbox) as opened:
        rows = opened.sql(query).arrow()
    if shape == "json":
        print_json(rows.to_pylist(maps_as_pydicts="lossy"), default=_plain)
    elif shape == "csv":
        click.echo(_flat(rows).write_csv(), nl=False)
    else:
        _show(_flat(rows.slice(0, _SHOWN_ROWS)))
        if len(rows) > _SHOWN_ROWS:
            click.echo(f"{_SHOWN_ROWS} of {len(rows)} rows; --format csv or json has all", err=True)


def _show(frame: pl.DataFrame) -> None:
    """Print a table; if it is too wide, each row as a list of the values that it has, as psql does too."""
    with pl.Config(
        tbl_rows=_SHOWN_ROWS,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        fmt_str_lengths=80,
        tbl_width_chars=_ENDLESS_COLUMNS,
    ):
        table = str(frame)
    if len(table.partition("\n")[0]) <= max(shutil.get_terminal_size().columns, _TABLE_COLUMNS):
        click.echo(table)
        return
    width = max(len(name) for name in frame.columns)
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        click.echo(f"-- row {number} --")
        for name, value in row.items():
            if value is not None:
                click.echo(f"{name:{width}}  {value}")


def _flat(rows: pa.Table) -> pl.DataFrame:
    """The rows as a frame, with text for what a cell cannot hold: maps, lists, structs, bytes, intervals."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_interval(field.type):
            values = rows.column(place).to_pylist(maps_as_pydicts="lossy")
            text = [None if value is None else _text(value) for value in values]
            rows = rows.set_column(place, field.name, pa.array(text, pa.string()))
    return pl.DataFrame(rows)


def _text(value: object) -> str:
    return orjson.dumps(value, default=_plain).decode() if isinstance(value, (dict, list)) else str(_plain(value))


def _plain(value: object) -> int | float | str:
    """The values of DuckDB that JSON has no form for."""
    if isinstance(value, Decimal):  # the sum of whole numbers too: it has 128 bits
        return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
    if isinstance(value, pa.MonthDayNano):
        months, days, ns = value
        return f"P{months}M{days}DT{ns / 1e9:g}S"
    return value.hex() if isinstance(value, bytes) else str(value)

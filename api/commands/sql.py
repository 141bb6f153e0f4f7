"""`tracelake sql`: one SELECT over a lake, read from its files; no server is needed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import rich_click as click

import lake

from .lakes import folder_of, lake_options
from .options import print_json

_SHOWN_ROWS = 100


@click.command()
@click.argument("query")
@click.option(
    "--format", "shape", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True,
    help="table shows the first 100 rows, csv and json have all.",
)  # fmt: skip
@lake_options
def sql(query: str, data: Path, project: str, shape: str, *, sandbox: bool) -> None:
    """Run a SELECT over spans, errors, exceptions, deploys, requests and batches.

    It runs with your rights on this machine, like any program that reads the files.
    """
    with lake.open(folder_of(data, project, sandbox=sandbox)) as opened:
        frame = opened.sql(query).pl()
    if shape == "csv":
        click.echo(frame.write_csv(), nl=False)
    elif shape == "json":
        print_json(frame.to_dicts())
    else:
        with pl.Config(tbl_rows=_SHOWN_ROWS, tbl_cols=-1, tbl_hide_dataframe_shape=True, fmt_str_lengths=80):
            click.echo(frame.head(_SHOWN_ROWS))
        if len(frame) > _SHOWN_ROWS:
            click.echo(f"{_SHOWN_ROWS} of {len(frame)} rows; --format csv or json has all", err=True)

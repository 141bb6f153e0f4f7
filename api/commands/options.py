"""Options that several commands share, and how they print.

Takes   the options of a command line, or the environment variables that stand for them.
Gives   the data folder, the control database, and lines of JSON or a table on stdout.
Refuses a data folder without a control database where a command only asks or ends things: a typing error in `--data`
        must not leave an empty database behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import rich_click as click
from rich.console import Console
from rich.table import Table

from lake.control import Control
from lake.control.database import FILE_NAME
from lake.errors import ControlError

_ENDLESS_COLUMNS = 10_000

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default="data",
    show_default=True,
    envvar="TRACELAKE_DATA",
    show_envvar=True,
    help="Folder of all lakes.",
)
control_url_option = click.option(
    "--control-url",
    envvar="TRACELAKE_CONTROL_URL",
    show_envvar=True,
    help=f"SQLAlchemy URL of the control database, if it is not {FILE_NAME} in the data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def control_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the control database is."""
    return data_option(control_url_option(command))


def open_control(data: Path, control_url: str | None, *, create: bool = False) -> Control:
    """Open the control database.

    Args:
        create: make it if there is none.

    Raises:
        ControlError: there is none, or it cannot be opened.
    """
    if not create and control_url is None and not (data / FILE_NAME).exists():
        raise ControlError(f"{data} has no {FILE_NAME}: check --data, or make a project first")
    return Control(data, url=control_url)


def print_json(value: object, *, default: Callable[[object], object] | None = None) -> None:
    """Print one value as JSON, times as RFC 3339 in UTC.

    Args:
        default: gives the JSON value of what has none by itself.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z
    click.echo(orjson.dumps(value, default=default, option=options).decode())


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print rows under their headings, never cut to the width of the terminal."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False, width=_ENDLESS_COLUMNS).print(table)


def moment(time: datetime | None) -> str:
    """A time in a table: `2026-11-23 09:00Z`, `-` for none."""
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M}Z"

"""Which lake a command works on: the options, and the folder they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from lake.control import FIRST_PROJECT

from .options import data_option

_project_option = click.option("--project", default=FIRST_PROJECT, show_default=True, help="Project of the lake.")
_sandbox_option = click.option("--sandbox", is_flag=True, help="The lake of test keys instead of the live one.")


def lake_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data`, `--project` and `--sandbox`."""
    return data_option(_project_option(_sandbox_option(command)))


def folder_of(data: Path, project: str, *, sandbox: bool) -> Path:
    """The folder of a lake."""
    return data / project / ("sandbox" if sandbox else "live")

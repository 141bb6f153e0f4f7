"""Which lake a command works on: the options, and the folder or the server they mean."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click
from click import get_current_context
from click.core import ParameterSource

import lake
from lake.control import FIRST_PROJECT

from .options import data_option

_project_option = click.option("--project", default=FIRST_PROJECT, show_default=True, help="Project of the lake.")
_sandbox_option = click.option("--sandbox", is_flag=True, help="The lake of test keys instead of the live one.")

_url_option = click.option("--url", help="Ask the server at this address instead of files.")
_key_env_option = click.option(
    "--key-env", default="TRACELAKE_KEY", show_default=True, metavar="NAME",
    help="Environment variable with the key for --url; the key itself would be in the list of processes.",
)  # fmt: skip


def lake_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data`, `--project` and `--sandbox`."""
    return data_option(_project_option(_sandbox_option(command)))


def folder_of(data: Path, project: str, *, sandbox: bool) -> Path:
    """The folder of a lake."""
    return data / project / ("sandbox" if sandbox else "live")


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`lake_options`, and `--url` and `--key-env` for the lake of a key on a server."""
    return lake_options(_url_option(_key_env_option(command)))


def source(data: Path, project: str, url: str | None, key_env: str, *, sandbox: bool) -> lake.Lake | lake.Client:
    """The lake to ask: in a folder, or on a server if an address is given.

    Raises:
        UsageError: the options say both, or there is no key for the server.
        NotALake: the folder holds no lake.
    """
    if url is None:
        return lake.open(folder_of(data, project, sandbox=sandbox))
    context = get_current_context()
    for name in ("data", "project", "sandbox"):
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is about files: with --url the key says which lake it is")
    key = os.environ.get(key_env, "")
    if not key:
        raise click.UsageError(f"the environment variable {key_env} is empty: set it to a key for {url}")
    return lake.connect(url, key)

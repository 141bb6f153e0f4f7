"""`tracelake serve`: the server, the scheduler and JupyterLab."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
import structlog

from lake.control import FIRST_PROJECT, Control
from lake.sandbox import landlock

from .. import sql_switch
from ..logs import configure_logging
from ..secret import cursor_secret
from ..serve import Command, Supervisor, check_port, commands, wait_until_healthy
from ..settings import SELF_TRACE_KEY, SELF_TRACE_PROJECT, ServerSettings, url_of
from .options import control_options

if TYPE_CHECKING:
    from notebooks.jupyter import Lab

_SELF_TRACE = "self-trace"
"""Name of the keys for it."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, envvar="TRACELAKE_HOST", help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, envvar="TRACELAKE_PORT", help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, envvar="TRACELAKE_WORKERS", help="Processes that answer requests.")
@click.option("--no-lab", is_flag=True, help="Without JupyterLab.")
@click.option(
    "--self-trace", is_flag=True, help=f"Trace requests to the API into the lake of the project {SELF_TRACE_PROJECT}."
)
@control_options
def serve(
    host: str, port: int, workers: int, data: Path, control_url: str | None, *, no_lab: bool, self_trace: bool
) -> None:
    """Serve ingest, queries and notebooks until Ctrl-C.

    On an empty data folder this makes the project `default` and prints one ingest and one live key, once.
    """
    settings, lab = prepared(host, port, workers, data, control_url, with_lab=not no_lab)
    settings = replace(settings, self_trace=settings.self_trace or self_trace)
    print_first_keys(settings)
    supervisor = Supervisor(children(settings, lab))

    def ready() -> None:
        wait_until_healthy(url_of(settings), supervisor.is_told_to_stop)
        if not supervisor.is_told_to_stop():
            click.echo(f"Tracelake answers at {url_of(settings)}", err=True)
            if lab:
                click.echo(f"Notebooks: {lab.url}", err=True)

    sys.exit(supervisor.run(ready))


def prepared(
    host: str, port: int, workers: int, data: Path, control_url: str | None, *, with_lab: bool
) -> tuple[ServerSettings, Lab | None]:
    """Settings out of the options and the environment, and JupyterLab if wanted; from here on logs go to stderr.

    Raises:
        ServeError: the port is taken.
        SettingError: a value cannot be.
    """
    configure_logging()
    settings = ServerSettings.from_env(
        os.environ | {"TRACELAKE_HOST": host, "TRACELAKE_PORT": str(port), "TRACELAKE_WORKERS": str(workers),
                      "TRACELAKE_DATA": str(data), "TRACELAKE_CONTROL_URL": control_url or ""}
    )  # fmt: skip
    check_port(host, port)
    if text := sql_switch.warning(settings, landlock.abi()):
        structlog.get_logger().warning(text)
    cursor_secret(settings.data)  # made here, or refused here, and not by each worker
    lab = _lab(data) if with_lab else None
    # the address without the token: the first page is for everybody who can reach the server
    return replace(settings, lab_url=lab.url.partition("?")[0] if lab else settings.lab_url), lab


def _lab(data: Path) -> Lab:
    from notebooks.jupyter import lab_for  # noqa: PLC0415 - what only starts others and waits needs no Arrow

    return lab_for(data)


def children(settings: ServerSettings, lab: Lab | None) -> list[Command]:
    """The processes to run."""
    started = commands(settings)
    if settings.self_trace:
        key = {SELF_TRACE_KEY: self_trace_key(settings)}
        started = [replace(one, environment={**one.environment, **key}) if one.essential else one for one in started]
    return [*started, Command("lab", tuple(lab.argv), lab.environment)] if lab else started


def self_trace_key(settings: ServerSettings) -> str:
    """A key that the server sends its own traces with; those of earlier starts are revoked."""
    with Control(settings.data, url=settings.control_url) as control:
        if SELF_TRACE_PROJECT not in {project.name for project in control.list_projects()}:
            control.create_project(SELF_TRACE_PROJECT)
        for key in control.list_keys(SELF_TRACE_PROJECT):
            if key.name == _SELF_TRACE and key.revoked_at is None:
                control.revoke_key(key.id)
        return control.create_key(SELF_TRACE_PROJECT, "ingest", name=_SELF_TRACE).secret


def print_first_keys(settings: ServerSettings) -> None:
    """In an empty data folder, make the first project and print its keys."""
    with Control(settings.data, url=settings.control_url) as control:
        if control.create_first_project() is None:
            return
        click.echo("Made the project `default`. Its keys, shown this once:")
        click.echo(f"  ingest: {control.create_key(FIRST_PROJECT, 'ingest').secret}")
        click.echo(f"  live:   {control.create_key(FIRST_PROJECT, 'live').secret}")

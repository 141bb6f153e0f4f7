"""`tracelake demo`: a Tracelake with a lifelike shop in it."""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path

import rich_click as click

from notebooks.jupyter import Lab

from ..demo import check
from ..demo.state import Keys, begun, demo_keys
from ..serve import Command, Supervisor, wait_until_healthy
from ..settings import ServerSettings, url_of
from .options import control_options
from .serve import children, prepared

SPANS = 1_000_000
SEED = 1

_MINUTE_NS = 60 * 10**9


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, envvar="TRACELAKE_HOST", help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, envvar="TRACELAKE_PORT", help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, envvar="TRACELAKE_WORKERS", help="Processes that answer requests.")
@click.option("--no-lab", is_flag=True, help="Without JupyterLab.")
@click.option(
    "--spans", default=SPANS, show_default=True, type=click.IntRange(min=1000),
    help="Spans of the history. Counts in an empty data folder; later the history stays as it is.",
)  # fmt: skip
@click.option("--check", "is_check", is_flag=True, help="Start all, wait until everything answers, stop; 0 if it did.")
@control_options
def demo(
    host: str, port: int, workers: int, data: Path, control_url: str | None, *, no_lab: bool, spans: int, is_check: bool
) -> None:
    """Serve a shop with nine days of history and live traffic, and JupyterLab, until Ctrl-C.

    The history is sent once; a second run keeps the data and the keys. `make clean` removes them.
    """
    # first: JupyterLab makes a lake to open, and in a folder with one there is somebody else's data
    begun(data, seed=SEED, end_ns=time.time_ns() // _MINUTE_NS * _MINUTE_NS, span_count=spans)
    settings, lab = prepared(host, port, workers, data, control_url, with_lab=not no_lab)
    keys = demo_keys(data, settings.control_url)
    supervisor = Supervisor(children(settings, lab))

    def ready() -> None:
        wait_until_healthy(url_of(settings), supervisor.is_told_to_stop)
        if supervisor.is_told_to_stop():
            if is_check:
                sys.exit(1)
            return
        supervisor.add(_shop(settings, keys))
        click.echo(_welcome(url_of(settings), keys, lab))
        if is_check:
            target = check.Target(url_of(settings), keys.live, data, lab.url if lab else None, dt.datetime.now(dt.UTC))
            sys.exit(0 if check.wait_until_all_answers(target, supervisor.is_told_to_stop) else 1)

    sys.exit(supervisor.run(ready))


def _shop(settings: ServerSettings, keys: Keys) -> Command:
    """The process that sends. Its key is in the environment: arguments can be seen by every user."""
    environment = {
        "TRACELAKE_DATA": str(settings.data.resolve()),
        "TRACELAKE_DEMO_URL": url_of(settings),
        "TRACELAKE_DEMO_KEY": keys.ingest,
    }
    return Command("shop", (sys.executable, "-m", "api.demo"), environment, is_client=True)


def _welcome(url: str, keys: Keys, lab: Lab | None) -> str:
    """What to do now."""
    notebooks = [f"  notebooks   {lab.url}"] if lab else []
    lines = [
        "",
        f"  Tracelake   {url}",
        *notebooks,
        f"  ingest key  {keys.ingest}",
        f"  live key    {keys.live}",
        "",
        "  The latest traces of checkout:",
        f'  curl -H "Authorization: Bearer {keys.live}" "{url}/v1/traces?service=checkout&limit=3"',
        "",
        "  Ctrl-C stops all; the data stays.",
        "",
    ]
    return "\n".join(lines)

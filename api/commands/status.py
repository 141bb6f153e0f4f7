"""`tracelake status`: how a data folder is, on one screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

import lake
from lake.control import Control
from lake.control.job_runs import JobRun, job_state
from lake.control.nodes import SERVER, Node
from lake.control.nodes import status as node_status
from lake.errors import LakeError
from lake.folder import FILE_NAME
from lake.storage import Storage, storage
from scheduler.alerts.channels.wording import span
from scheduler.alerts.outbox import Outbox, enqueue
from scheduler.alerts.store import AlertStore

from .options import control_options, json_option, open_control, print_json

_COLOURS = {
    **dict.fromkeys(("ok", "healthy"), "green"),
    **dict.fromkeys(("late", "degraded"), "yellow"),
    **dict.fromkeys(("failing", "offline", "unreadable", "firing"), "red"),
}


@click.command()
@control_options
@json_option
def status(data: Path, control_url: str | None, *, as_json: bool) -> None:
    """How everything is: processes, lakes, jobs and messages about alerts. Reads files; no server has to run."""
    with open_control(data, control_url) as control:
        report = _report(control, data, dt.datetime.now(dt.UTC))
    if as_json:
        print_json(report)
    else:
        _print(report)


def _report(control: Control, data: Path, now: dt.datetime) -> dict[str, Any]:
    places = sorted(path.parent for path in data.glob(f"*/*/{FILE_NAME}"))
    return {
        "processes": [_process(node, now) for node in control.nodes.of(SERVER)],
        "lakes": [_lake(folder) for folder in places],
        "jobs": [_job(run, now) for run in control.jobs.of()],
        "alerts": [
            {"state": state, "count": count} for state, count in sorted(AlertStore(control.engine, enqueue).counts().items())
        ],
        "messages": [
            {"channel": channel, "status": state, "count": count}
            for (channel, state), count in sorted(Outbox(control.engine).counts().items())
        ],
    }


def _process(node: Node, now: dt.datetime) -> dict[str, Any]:
    return {
        "name": node.name,
        "state": node_status(node.last_heartbeat_at, now),
        "silent_s": (now - node.last_heartbeat_at).total_seconds(),
        "memory_bytes": node.gauges.get("memory_bytes"),
        "cpu_percent": node.gauges.get("cpu_percent"),
    }


def _lake(folder: Path) -> dict[str, Any]:
    name = f"{folder.parent.name}/{folder.name}"
    try:
        with lake.open(folder) as opened:
            found: Storage | None = storage(opened.snapshot())
    except (LakeError, OSError):
        found = None
    return {
        "name": name,
        "state": "unreadable" if found is None else "ok",
        "table_bytes": found and found.table_bytes,
        "waiting_files": found and found.waiting_files,
        "waiting_bytes": found and found.waiting_bytes,
    }


def _job(run: JobRun, now: dt.datetime) -> dict[str, Any]:
    return {
        "lake": "(server)" if run.place.is_server else f"{run.place.project}/{run.place.environment}",
        "name": run.job,
        "state": job_state(run, now),
        "last_started_s": (now - run.started_at).total_seconds(),
        "last_duration_s": run.duration_s,
        "runs": run.runs,
        "failures": run.failures,
        "did": dict(run.did),
        "error": run.error if job_state(run, now) == "failing" else None,
    }


def _print(report: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(
        Group(
            _table("PROCESS", ("STATE", "HEARTBEAT", "MIB", "CPU %"), map(_process_row, report["processes"])),
            Text(),
            _table("LAKE", ("STATE", "MIB", "WAITING FILES", "WAITING MIB"), map(_lake_row, report["lakes"])),
            Text(),
            _table("JOB", ("STATE", "LAST", "TOOK", "RUNS", "FAILED", "DID"), map(_job_row, report["jobs"])),
            Text(),
            _table("ALERTS", ("COUNT",), ([one["state"], f"{one['count']:,}"] for one in report["alerts"])),
            Text(),
            _table("MESSAGES", ("", "COUNT"), map(_message_row, report["messages"])),
        )
    )
    for job in report["jobs"]:
        if job["error"]:
            console.print(Text(f"\n{job['lake']} {job['name']}: {job['error']}", style="red"))


def _table(first: str, columns: Iterable[str], rows: Iterable[list[str]]) -> Table:
    """A table whose texts are no markup: names of lakes and errors come from elsewhere."""
    table = Table(first, *columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    return table


def _process_row(one: dict[str, Any]) -> list[str]:
    cpu = one["cpu_percent"]
    shown = "-" if cpu is None else f"{cpu:.0f}"
    return [one["name"], one["state"], _ago(one["silent_s"]), _mib(one["memory_bytes"]), shown]


def _lake_row(one: dict[str, Any]) -> list[str]:
    waiting = one["waiting_files"]
    files = "-" if waiting is None else f"{waiting:,}"
    return [one["name"], one["state"], _mib(one["table_bytes"]), files, _mib(one["waiting_bytes"])]


def _job_row(one: dict[str, Any]) -> list[str]:
    did = ", ".join(f"{name.replace('_', ' ')} {count:,.0f}" for name, count in one["did"].items() if count)
    name = f"{one['lake']} {one['name']}"
    return [name, one["state"], _ago(one["last_started_s"]), f"{one['last_duration_s']:.2f} s", f"{one['runs']:,}",
            f"{one['failures']:,}", did]  # fmt: skip


def _message_row(one: dict[str, Any]) -> list[str]:
    return [one["channel"], one["status"], f"{one['count']:,}"]


def _ago(seconds: float) -> str:
    return f"{span(dt.timedelta(seconds=seconds))} ago"


def _mib(size: float | None) -> str:
    return "-" if size is None else f"{size / 2**20:,.1f}"

"""`tracelake search`: the traces that a TQ query means, in the files of a lake, which needs no server, or on a server."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

import lake
from lake.errors import InvalidParameter
from lake.search.explain import Step

from ..parameters import parse_time
from ..search import found
from .lakes import source, source_options
from .options import json_option, print_json, print_table

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COLUMNS = ("start", "trace id", "service", "operation", "ms", "spans", "errors", "matched")


@click.command()
@click.argument("query")
@click.option("--since", default="1h", show_default=True, help="ISO 8601, or how long ago: 90s, 30m, 6h, 2d.")
@click.option("--until", default="0s", help="ISO 8601, not included, or how long ago; now if left out.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Traces at most.")
@click.option("--explain", is_flag=True, help="Also say on stderr what was run and read.")
@json_option
@source_options
def search(  # noqa: PLR0913 - the options of the command
    query: str,
    since: str,
    until: str,
    limit: int,
    data: Path,
    project: str,
    url: str | None,
    key_env: str,
    *,
    explain: bool,
    as_json: bool,
    sandbox: bool,
) -> None:
    """Find traces with TQ, the search language.

    The newest ones that have spans which QUERY means, such as 'service.name = "cart" AND duration > 100ms'; docs/search.md
    has the language.
    """
    now = dt.datetime.now(dt.UTC)
    begin, end = moment("since", since, now=now), moment("until", until, now=now)
    if explain and url is not None:
        raise click.UsageError('--explain is about files: ask the server for it with "explain": true')
    with source(data, project, url, key_env, sandbox=sandbox) as opened:
        if explain and isinstance(opened, lake.Lake):
            result, steps = opened.explain_search(query, since=begin, until=end, limit=limit)
            for step in steps:
                click.echo(_explanation(step), err=True)
            rows = result.rows()
        else:
            rows = opened.search(query, since=begin, until=end, limit=limit).rows()
    if as_json:
        print_json([msgspec.to_builtins(found(row)) for row in rows])
    else:
        print_table(_COLUMNS, map(_cells, rows))


def moment(name: str, text: str, *, now: dt.datetime) -> dt.datetime:
    """A time as it is written on the command line.

    Raises:
        InvalidParameter: it is none.
    """
    ago = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if ago is None:
        return parse_time(name, text)
    try:
        return now - dt.timedelta(seconds=int(ago[1]) * _UNITS_S[ago[2]])
    except OverflowError:
        raise InvalidParameter(name, f"Parameter '{name}' lies before all times: {text}") from None


def _explanation(step: Step) -> str:
    shares = (("files", step.files), ("row groups", step.row_groups), ("bytes", step.bytes))
    read = ", ".join(f"{share.read:,} of {share.total:,} {name}" for name, share in shares)
    values = "".join(f"\n  ${name} = {value}" for name, value in step.params.items())
    return f"-- {step.purpose}: {step.rows:,} rows from {read}\n{step.sql.strip()}{values}\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    trace = found(row)
    return [
        trace.start_time,
        trace.trace_id,
        trace.root_service or "-",
        trace.root_operation or "-",
        f"{trace.duration_ms:.3f}",
        str(trace.span_count),
        str(trace.error_count),
        str(trace.matched_spans),
    ]

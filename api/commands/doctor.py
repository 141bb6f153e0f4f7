"""`tracelake doctor`: what is wrong with a lake and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from lake.doctor import Report, examine, give_up

from .lakes import folder_of, lake_options
from .options import json_option, print_json, print_table


@click.command()
@click.option("--quick", is_flag=True, help="Look at the log and at sizes, do not read the files.")
@click.option(
    "--give-up", "lost", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", multiple=True,
    help="First put an empty file in the place of this landing file, which is damaged or missing and cannot be restored.",
)  # fmt: skip
@lake_options
@json_option
def doctor(data: Path, project: str, lost: tuple[Path, ...], *, sandbox: bool, quick: bool, as_json: bool) -> None:
    """Compare log with files and landing with watermarks, and verify every file. Exit code 1 if something is broken."""
    for path in lost:
        give_up(folder_of(data, project, sandbox=sandbox), path)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Reading files")
        report = examine(
            folder_of(data, project, sandbox=sandbox),
            check_contents=not quick,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)
    sys.exit(0 if report.is_healthy else 1)


def _print(report: Report) -> None:
    rows = [[t.name, str(t.version), str(t.files), f"{t.rows:,}", f"{t.size_bytes / 2**20:.1f}"] for t in report.tables]
    print_table(["TABLE", "VERSION", "FILES", "ROWS", "MIB"], rows)
    click.echo(f"\n{report.waiting_files} landing files ({report.waiting_bytes / 2**20:.1f} MiB) wait for compaction.")
    for finding in report.findings:
        click.echo(f"\n{finding.severity}: {finding.place}\n  {finding.problem}\n  What to do: {finding.remedy}")
    if not report.findings:
        click.echo("Nothing is wrong.")

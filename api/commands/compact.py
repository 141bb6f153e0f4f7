"""`tracelake compact`: what the scheduler does, once and now."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path

import rich_click as click
from rich.console import Console

from lake.compaction import Compactor
from lake.folder import open_folder
from lake.retention import keep
from lake.rewrite import rewrite_due
from lake.settings import LakeSettings

from .lakes import folder_of, lake_options
from .options import json_option, print_json


@click.command()
@lake_options
@json_option
def compact(data: Path, project: str, *, sandbox: bool, as_json: bool) -> None:
    """Absorb the landing, rewrite the hours that are over, and delete what nobody needs."""
    compactor = Compactor(open_folder(folder_of(data, project, sandbox=sandbox)))
    try:
        with Console(stderr=True).status("Compacting"):
            absorbed = compactor.absorb()
            hours = rewrite_due(compactor, now_s=time.time())
            deleted = keep(compactor, LakeSettings.from_env(os.environ), now_s=time.time())
    finally:
        compactor.lease.release()
    if as_json:
        print_json({"absorbed": asdict(absorbed), "rewritten_hours": hours, "deleted": asdict(deleted)})
    else:
        click.echo(
            f"{absorbed.rows} rows out of {absorbed.files} landing files, {absorbed.duplicate_requests} repeated requests "
            f"dropped, {hours} hours rewritten, {deleted.data_files + deleted.landing_files} files deleted"
        )

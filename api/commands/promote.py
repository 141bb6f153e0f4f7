"""`tracelake promote`: a column of its own for an attribute."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import rich_click as click

from lake.folder import open_folder
from lake.promotion import promote as promote_in

from .lakes import folder_of, lake_options
from .options import json_option, print_json


@click.command()
@click.argument("key")
@click.option("--where", type=click.Choice(["span", "resource"]), default="span", show_default=True,
              help="Whose attribute it is.")  # fmt: skip
@click.option("--type", "kind", type=click.Choice(["s", "i"]), default="s", show_default=True, help="String or integer.")
@click.option("--column", metavar="NAME", help="Name of the column, if the key with _ for its dots will not do.")
@lake_options
@json_option
def promote(
    key: str,
    data: Path,
    project: str,
    where: Literal["span", "resource"],
    kind: Literal["s", "i"],
    column: str | None,
    *,
    sandbox: bool,
    as_json: bool,
) -> None:
    """Give the attribute KEY a column of the table spans, so that filters on it are fast.

    Running servers notice within a second. Nothing is rewritten: for older spans the column shows what their map has.
    """
    promoted = promote_in(open_folder(folder_of(data, project, sandbox=sandbox)), key, where=where, type=kind, column=column)
    if as_json:
        print_json(asdict(promoted))
    else:
        click.echo(f"{promoted.key} of every {promoted.where} is the column {promoted.column} from now on")

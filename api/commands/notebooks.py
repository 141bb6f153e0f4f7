"""`tracelake notebooks`: the bundled notebooks, for a JupyterLab or an editor of your own."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from notebooks import bundled


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def notebooks(folder: Path) -> None:
    """Copy the bundled notebooks into FOLDER and print what is new there; what you have already stays as it is."""
    for path in bundled.copy_to(folder):
        click.echo(path)

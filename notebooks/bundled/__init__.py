"""Bundled: the notebooks that come with Tracelake, and their copies for users.

Takes   a folder.
Gives   each notebook in it as `.ipynb`, made from the `.py` beside this file (jupytext, percent format).
Refuses to overwrite: what a user has, changed or not, stays.
"""

from __future__ import annotations

import json
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..imports import URI_GRAMMAR, without

FIRST = "01_start"
"""The notebook to begin with."""

_KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
"""Without it JupyterLab asks which kernel to use before it shows anything."""


def copy_to(folder: Path) -> list[Path]:
    """Put the bundled notebooks into a folder, made if need be.

    Returns:
        the notebooks that were not there before, by name.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [path for name in names() if (path := _copied(name, folder))]


def names() -> list[str]:
    """The bundled notebooks in reading order."""
    return sorted(entry.name.removesuffix(".py") for entry in files(__name__).iterdir() if entry.name[0].isdigit())


def notebook(name: str) -> dict[str, Any]:
    """One bundled notebook in the format of Jupyter, without outputs.

    Args:
        name: one of `names()`.
    """
    with without(URI_GRAMMAR):
        import jupytext  # noqa: PLC0415 - 1 s that only the first start needs

    node = jupytext.reads(files(__name__).joinpath(f"{name}.py").read_text(encoding="utf-8"), fmt="py:percent")
    return {**node, "metadata": {"kernelspec": _KERNEL, "language_info": {"name": "python"}}}


def _copied(name: str, folder: Path) -> Path | None:
    path = folder / f"{name}.ipynb"
    if path.exists():
        return None
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    new.write_text(json.dumps(notebook(name), indent=1) + "\n", encoding="utf-8")
    return new.rename(path)  # half a notebook would never be made whole

"""Notebooks as a user runs them: from top to bottom, with a kernel of this Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbclient
import nbformat


def run(path: Path, lake: Path, *, allow_errors: bool = False) -> list[list[dict[str, Any]]]:
    """Run a notebook in its folder with a kernel of this Python; the outputs of each code cell."""
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, allow_errors=allow_errors, resources={"metadata": {"path": str(path.parent)}}
    )
    # as in JupyterLab: whatever the user has configured for IPython does not matter
    client.execute(env=os.environ | {"TRACELAKE_LAKE": str(lake), "IPYTHONDIR": str(path.parent / ".ipython")})
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def kinds(outputs: list[dict[str, Any]]) -> list[str]:
    """What each output of a cell is."""
    return [output.get("name") or output["output_type"] for output in outputs]

"""Jupyter: the JupyterLab that `tracelake serve` and `demo` start beside the server.

Takes   the data folder.
Gives   the command, its environment and the address to open: 127.0.0.1, a free port, a new token every time.
Refuses nothing; it puts the bundled notebooks into `<data>/notebooks` first and never overwrites one there.

Whoever has the address can run code as the user who started it. JupyterLab's own files lie in `<data>/notebooks/.jupyter`,
so that what users have configured for themselves neither breaks it nor is changed by it.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from lake.control import FIRST_PROJECT
from lake.folder import FILE_NAME, create_folder
from scheduler.alerts.channels.settings import SECRETS

from . import bundled

FOLDER = "notebooks"
"""Folder of the data folder where the notebooks of users lie."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Lab:
    """How to start JupyterLab."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """Variables on top of those of the parent. The token is one of them: arguments can be seen by every user."""
    url: str
    """The address of the first notebook, with the token after `?`."""


def lab_for(data: Path) -> Lab:
    """JupyterLab over the notebooks of a data folder; starts nothing yet.

    Args:
        data: folder of all lakes; made if need be.

    Raises:
        OSError: the folder cannot be written.
    """
    if os.geteuid() == 0:
        log.warning("JupyterLab runs as root: so does every notebook; outside a container, take another user")
    folder = data.resolve() / FOLDER
    bundled.copy_to(folder)
    port, token = _free_port(), secrets.token_urlsafe(24)
    return Lab(
        argv=(sys.executable, "-m", "jupyterlab", "--Application.log_level=ERROR"),
        environment=_environment(data.resolve(), folder, port, token),
        url=f"http://127.0.0.1:{port}/lab/tree/{bundled.FIRST}.ipynb?token={token}",
    )


def _environment(data: Path, folder: Path, port: int, token: str) -> dict[str, str]:
    own = folder / ".jupyter"
    return {
        **dict.fromkeys(SECRETS, ""),  # code in a notebook sends no messages
        "JUPYTER_TOKEN": token,
        "JUPYTER_PORT": str(port),
        "TRACELAKE_NOTEBOOKS": str(folder),
        "TRACELAKE_LAKE": os.environ.get("TRACELAKE_LAKE") or str(_lake_of(data)),
        "JUPYTER_CONFIG_PATH": str(Path(__file__).parent / "lab"),
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "IPYTHONDIR": str(own / "ipython"),
        "JUPYTER_PATH": "",
        "JUPYTER_NO_CONFIG": "",
    }


def _lake_of(data: Path) -> Path:
    """The lake that notebooks open unless told otherwise: of the first project, or of another one if that has none.

    In an empty data folder it is made: a notebook that is opened before any data has come has something to open.
    """
    lakes = sorted(path.parent for path in data.glob(f"*/live/{FILE_NAME}"))
    first = data / FIRST_PROJECT / "live"
    if not lakes:
        create_folder(first)
    return lakes[0] if lakes and first not in lakes else first


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

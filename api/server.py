"""The web server process: `python -m api.server`, granian with the application of `api.app`.

Takes   the settings of the environment.
Gives   HTTP until SIGTERM; requests that came in are answered first.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces

from lake.lean import leave_out

from .settings import ServerSettings

STOP_S = 4
"""Seconds that a worker has to finish what came in."""

METRICS_FOLDER = ".metrics"
"""Folder of the data folder where workers put their figures together; no project can have this name."""
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that tells `prometheus_client` of it, in the moment when that is imported."""


def main() -> int:
    """Run until told to stop."""
    leave_out("pandas")  # of the workers, which are forked
    settings = ServerSettings.from_env(os.environ)
    _prepare_metrics(settings.data)
    Granian(
        "api.app:create_asgi",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        workers_kill_timeout=STOP_S,
        respawn_failed_workers=True,
        websockets=False,
        log_access=False,
        log_enabled=False,
    ).serve()
    return 0


def _prepare_metrics(data: Path) -> None:
    """An empty folder for the figures of the workers, known to them before they begin."""
    folder = data / METRICS_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    os.environ[METRICS_VARIABLE] = str(folder)


if __name__ == "__main__":
    sys.exit(main())

"""The web server process: `python -m api.server`, granian with the application of `api.app`.

Takes   the settings of the environment.
Gives   HTTP until SIGTERM; requests that came in are answered first.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces

from lake.lean import leave_out

from .settings import ServerSettings

STOP_S = 4
"""Seconds that a worker has to finish what came in."""

METRICS_BASE = Path("/dev/shm")  # noqa: S108 - the folder in it is this user's alone
"""Where workers put their figures together, if it is there: not on the disk of the data, because to write to a mapped file
when the disk is full ends the process."""
METRICS_MIN_FREE_BYTES = 16 * 2**20
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that tells `prometheus_client` of it, in the moment when that is imported."""


def main() -> int:
    """Run until told to stop."""
    leave_out("pandas")  # of the workers, which are forked
    settings = ServerSettings.from_env(os.environ)
    metrics = _prepare_metrics(settings.data)
    try:
        _serve(settings)
    finally:
        shutil.rmtree(metrics, ignore_errors=True)  # if it cannot be, the next server of this folder does it
    return 0


def _serve(settings: ServerSettings) -> None:
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


def _prepare_metrics(data: Path) -> Path:
    """An empty folder for the figures of the workers, known to them before they begin.

    A server that was killed leaves it, so the name is always the same for a data folder.
    """
    name = f"tracelake-{os.getuid()}-{sha256(os.fsencode(data.resolve())).hexdigest()[:16]}"
    has_room = METRICS_BASE.is_dir() and shutil.disk_usage(METRICS_BASE).free > METRICS_MIN_FREE_BYTES
    folder = (METRICS_BASE if has_room else Path(tempfile.gettempdir())) / name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError:  # it is somebody else's, or no folder can be made there
        folder = Path(tempfile.mkdtemp(prefix=name))
    os.environ[METRICS_VARIABLE] = str(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())

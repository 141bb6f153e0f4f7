"""A server that acknowledges too early, for the test that the checker notices.

Takes   what `tracelake serve` takes, from the environment.
Gives   Tracelake as it is, but a landing file is written half a second after its requests were answered: what several
        stores of traces do on purpose, and what ours must never do.
Refuses what `tracelake serve` refuses.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from granian import Granian
from granian.constants import Interfaces
from litestar.types import ASGIApp

from api.app import create_asgi
from api.serve import Supervisor, commands
from api.settings import ServerSettings
from lake import disk, landing
from lake.disk import Disk

DELAY_S = 0.5


def write_later(real_disk: Disk, path: Path, data: bytes | memoryview) -> None:
    """Promise to write a file."""
    threading.Timer(DELAY_S, disk.write_durably, (real_disk, path, data)).start()


def create_early_asgi() -> ASGIApp:
    """The real application on a landing that only promises to write."""
    patch.object(landing, "write_durably", write_later).start()
    return create_asgi()


def serve() -> int:
    """The real processes, the web server replaced."""
    server, *others = commands(ServerSettings.from_env(os.environ))
    return Supervisor([replace(server, argv=(sys.executable, "-m", "tests.faults.early_ack", "worker")), *others]).run()


def serve_web() -> int:
    """As `api.server`, with the application that acknowledges early."""
    settings = ServerSettings.from_env(os.environ)
    Granian(
        "tests.faults.early_ack:create_early_asgi",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_enabled=False,
    ).serve()
    return 0


if __name__ == "__main__":
    sys.exit(serve_web() if "worker" in sys.argv else serve())

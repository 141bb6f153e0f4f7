"""The web server process: `python -m api.server`, granian with the application of `api.app`.

Takes   the settings of the environment.
Gives   HTTP until SIGTERM; requests that came in are answered first.
"""

from __future__ import annotations

import os
import sys

from granian import Granian
from granian.constants import Interfaces

from lake.lean import leave_out

from .settings import ServerSettings

STOP_S = 4
"""Seconds that a worker has to finish what came in."""


def main() -> int:
    """Run until told to stop."""
    leave_out("pandas")  # of the workers, which are forked
    settings = ServerSettings.from_env(os.environ)
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


if __name__ == "__main__":
    sys.exit(main())

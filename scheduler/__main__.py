"""The scheduler process: `python -m scheduler`.

Takes   the settings of the environment (`TRACELAKE_DATA` and those of `lake.settings`).
Gives   maintenance on a timer until SIGTERM or SIGINT. One job runs at a time, so they never get in each other's way.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

import structlog

from lake.lean import leave_out


def main() -> int:
    """Run until told to stop."""
    leave_out("pandas")  # before anything imports pyarrow
    from lake.settings import LakeSettings  # noqa: PLC0415 - as it says above

    from .jobs import build  # noqa: PLC0415
    from .maintenance import Maintenance  # noqa: PLC0415

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    maintenance = Maintenance(Path(os.environ.get("TRACELAKE_DATA", "data")), LakeSettings.from_env(os.environ))
    scheduler = build(maintenance)
    scheduler.start()
    told_to_stop.wait()
    maintenance.stop()
    scheduler.shutdown()  # waits for the job that is running
    maintenance.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

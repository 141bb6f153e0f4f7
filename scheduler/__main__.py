"""The scheduler process: `python -m scheduler`.

Takes   the settings of the environment: `TRACELAKE_DATA`, those of `lake.settings` and `scheduler.alerts.channels.settings`.
Gives   maintenance on a timer until SIGTERM or SIGINT, one job at a time, so they never get in each other's way; and the
        messages of alerts, which wait for none of it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

import structlog

from lake.lean import leave_out


def main() -> int:
    """Run until told to stop."""
    leave_out("pandas")  # before anything imports pyarrow
    from .process import Process  # noqa: PLC0415 - as it says above

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    process = Process(os.environ)
    process.start()
    told_to_stop.wait()
    process.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

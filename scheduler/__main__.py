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
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from lake.lean import leave_out

if TYPE_CHECKING:
    from lake.control.nodes import Description
    from lake.settings import LakeSettings


def main() -> int:
    """Run until told to stop."""
    leave_out("pandas")  # before anything imports pyarrow
    from lake.control import Control  # noqa: PLC0415 - as it says above
    from lake.control.heartbeat import Heartbeat  # noqa: PLC0415
    from lake.control.process import claim  # noqa: PLC0415
    from lake.settings import LakeSettings  # noqa: PLC0415

    from .alerts.channels.senders import Senders  # noqa: PLC0415
    from .alerts.channels.settings import ChannelSettings  # noqa: PLC0415
    from .alerts.deliverer import Deliverer  # noqa: PLC0415
    from .alerts.deploy_watch import DeployWatch  # noqa: PLC0415
    from .alerts.outbox import Outbox  # noqa: PLC0415
    from .jobs import DELIVER_EVERY_S, FORGET_EVERY_S, LOOK_EVERY_S, Job, build  # noqa: PLC0415
    from .maintenance import Maintenance  # noqa: PLC0415

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    data, settings = Path(os.environ.get("TRACELAKE_DATA", "data")), LakeSettings.from_env(os.environ)
    channels = ChannelSettings.from_env(os.environ)
    maintenance = Maintenance(data, settings)
    control = Control(data, url=os.environ.get("TRACELAKE_CONTROL_URL") or None)
    identity = claim(data, "scheduler")
    outbox = Outbox(control.engine)
    deliverer = Deliverer(outbox, Senders(channels))
    jobs = [Job("deliver", deliverer.deliver, DELIVER_EVERY_S), Job("forget", outbox.forget_old, FORGET_EVERY_S)]
    if channels.pagerduty_routing_key:
        jobs.append(Job("deploys", DeployWatch(data, control.engine).look, LOOK_EVERY_S))
    scheduler = build(maintenance, Heartbeat(control, identity, _described(settings)).beat, jobs)
    scheduler.start()
    told_to_stop.wait()
    maintenance.stop()
    scheduler.shutdown()  # waits for the job that is running
    deliverer.close()
    maintenance.close()
    identity.close()
    control.close()
    return 0


def _described(settings: LakeSettings) -> Description:
    """What the process says of itself."""
    from lake.control.nodes import Description  # noqa: PLC0415 - as above

    return Description(
        cluster=os.environ.get("TRACELAKE_CLUSTER") or "default",
        region=os.environ.get("TRACELAKE_REGION") or None,
        version=version("tracelake"),
        config={
            "compaction_files": settings.compaction_files,
            "compaction_interval_s": settings.compaction_interval_s,
            "spans_days": settings.spans_days,
            "errors_days": settings.errors_days,
        },
    )


if __name__ == "__main__":
    sys.exit(main())

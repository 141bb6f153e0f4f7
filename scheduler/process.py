"""Process: all that one scheduler does, put together.

Takes   the environment: `TRACELAKE_DATA`, the settings of `lake.settings` and of `scheduler.alerts.channels.settings`.
Gives   jobs on their timers from `start` to `stop`.
Refuses settings that cannot be (`SettingError`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

from lake.control import Control
from lake.control.heartbeat import HEARTBEAT_EVERY_S, Heartbeat
from lake.control.nodes import Description
from lake.control.process import claim
from lake.settings import LakeSettings

from . import jobs
from .alerts.channels.senders import Senders
from .alerts.channels.settings import ChannelSettings
from .alerts.deliverer import Deliverer
from .alerts.deploy_watch import DeployWatch
from .alerts.outbox import Outbox, enqueue
from .alerts.store import AlertStore
from .alerts.sweep import Sweep
from .jobs import Job
from .ledger import FLUSH_EVERY_S, Ledger
from .maintenance import Maintenance
from .turn import TAKE_EVERY_S, Turn


class Process:
    """One scheduler. Started once, stopped once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """
        Raises:
            SettingError: a value cannot be.
        """
        data, settings = Path(environment.get("TRACELAKE_DATA") or "data"), LakeSettings.from_env(environment)
        channels = ChannelSettings.from_env(environment)
        self._control = Control(data, url=environment.get("TRACELAKE_CONTROL_URL") or None)
        self._identity = claim(data, "scheduler")
        self._turn = Turn(data, self._identity.node_id)
        self._ledger = Ledger(self._control.jobs, self._identity.node_id)
        every_s = jobs.intervals()
        self._maintenance = Maintenance(
            data, settings, note=lambda job, work, place: self._ledger.run(job, every_s[job], work, place)
        )
        self._outbox, self._alerts = Outbox(self._control.engine), AlertStore(self._control.engine, enqueue)
        self._deliverer = Deliverer(self._outbox, Senders(channels))
        self._sweep = Sweep(data, settings, self._alerts)
        heartbeat = Heartbeat(self._control, self._identity, _described(environment, settings))
        others = [
            Job("turn", self._turn.take, TAKE_EVERY_S, is_everywhere=True, is_at_once=True),
            Job("heartbeat", heartbeat.beat, HEARTBEAT_EVERY_S, is_everywhere=True, is_at_once=True),
            Job("ledger", self._ledger.flush, FLUSH_EVERY_S, is_everywhere=True),
            self._noted("sweep", self._sweep.run, jobs.SWEEP_EVERY_S),
            self._noted("deliver", self._deliverer.deliver, jobs.DELIVER_EVERY_S),
            self._noted("forget", self._forget, jobs.FORGET_EVERY_S),
        ]
        self._deploys = DeployWatch(data, self._control.engine)
        if channels.pagerduty_routing_key:
            others.append(self._noted("deploys", self._deploys.look, jobs.LOOK_EVERY_S))
        self._scheduler = jobs.build(self._maintenance, others, is_my_turn=self._turn.is_mine)

    def start(self) -> None:
        """Begin to work, or to wait for the turn."""
        self._scheduler.start()

    def stop(self) -> None:
        """End the jobs that are running and let another process work at once."""
        self._maintenance.stop()
        self._scheduler.shutdown()  # waits for the jobs that are running
        self._deliverer.close()
        self._sweep.close()
        self._deploys.close()
        self._maintenance.close()
        self._ledger.flush()
        self._turn.give_up()
        self._identity.close()
        self._control.close()

    def _forget(self) -> None:
        """Forget what nobody is shown any more of alerts and messages."""
        self._outbox.forget_old()
        self._alerts.forget_old()

    def _noted(self, name: str, run: Callable[[], object], every_s: float) -> Job:
        """A job whose runs can be looked at."""
        return Job(name, partial(self._ledger.run, name, every_s, run), every_s)


def _described(environment: Mapping[str, str], settings: LakeSettings) -> Description:
    """What the process says of itself."""
    return Description(
        cluster=environment.get("TRACELAKE_CLUSTER") or "default",
        region=environment.get("TRACELAKE_REGION") or None,
        version=version("tracelake"),
        config={
            "compaction_files": settings.compaction_files,
            "compaction_interval_s": settings.compaction_interval_s,
            "spans_days": settings.spans_days,
            "errors_days": settings.errors_days,
        },
    )

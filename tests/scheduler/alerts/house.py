"""A data folder with a lake whose traffic a test decides about, and rules that watch it.

Takes   a folder, and what requests there shall be, minute by minute.
Gives   sweeps at times of the test's choice, and the messages that would have been sent.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lake.compaction import Compactor
from lake.control import Control
from lake.control.nodes import Place
from lake.folder import create_folder, open_folder
from lake.settings import LakeSettings
from scheduler.alerts.notifications import Notification
from scheduler.alerts.records import StoredRule
from scheduler.alerts.rules import rule_of
from scheduler.alerts.store import AlertStore
from scheduler.alerts.sweep import Sweep
from scheduler.alerts.windows import LAG
from tests.lake.rows import Landing, deploy, error, span
from tests.lake.spans import START

MINUTE = dt.timedelta(minutes=1)
PLACE = Place("shop", "live")


class House:
    """One project `shop` with a live lake."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.folder = data / PLACE.project / PLACE.environment
        self.landing = Landing(create_folder(self.folder))
        self.control = Control(data)
        self.control.create_project(PLACE.project)
        self.now = START
        self.messages: list[tuple[Notification, tuple[Any, ...]]] = []
        self.store = AlertStore(self.control.engine, self._enqueue, lambda: self.now)
        self.sweep = self.new_sweep()

    def _enqueue(self, _connection: object, notification: Notification, channels: Any, _now: object) -> None:
        self.messages.append((notification, channels))

    def new_sweep(self) -> Sweep:
        """What a scheduler that begins has."""
        return Sweep(self.data, LakeSettings(), self.store, now=lambda: self.now)

    def close(self) -> None:
        self.sweep.close()
        self.landing.end()
        self.control.close()

    def rule(self, name: str = "slow", **condition: Any) -> StoredRule:
        given = {"metric": "latency_p95", "threshold": 100, "window": "2m"} | condition
        return self.store.create(PLACE, rule_of({"name": name, "condition": given, "channels": ["slack"]}))

    def requests(
        self, minute: int, count: int = 10, *, ms: float = 10, failed: int = 0, service: str = "orders", **known: Any
    ) -> None:
        """Requests spread over a minute after `START`, the first `failed` of them with an error."""
        rows = [
            span(
                f"{minute:016x}{id(known) % 2**32:08x}{number:08x}",
                start_ns=int((minute * 60 + number * 59 / count) * 1e9),
                duration_ns=int(ms * 1e6),
                service_name=service,
                status="error" if number < failed else "unset",
                **({"kind": "server"} | known),
            )
            for number in range(count)
        ]
        self.landing.put("spans", *rows)

    def errors(self, minute: float, fingerprint: str = "f", **known: Any) -> None:
        self.landing.put("errors", error(at_s=minute * 60, fingerprint=fingerprint, **known))

    def deploys(self, minute: float, **known: Any) -> None:
        self.landing.put("deploys", deploy(at_s=minute * 60, **known))

    def absorb(self) -> None:
        compactor = Compactor(open_folder(self.folder))
        compactor.absorb()
        compactor.lease.release()

    def at(self, minute: float) -> list[Notification]:
        """Sweep when the windows that end `minute` minutes after `START` are due; the messages that came of it."""
        self.now = START + minute * MINUTE + LAG
        before = len(self.messages)
        self.sweep.run()
        return [message for message, _ in self.messages[before:]]

    def states(self) -> dict[str, str]:
        """The state of each alert, by rule name and labels."""
        rules = {rule.id: rule.rule.name for rule in self.store.rules(PLACE)}
        return {
            " ".join([rules[rule_id], *(value for _, value in series)]): alert.state.name
            for rule_id, alerts in self.store.alerts(PLACE).items()
            for series, alert in alerts.items()
        }

    def history(self) -> list[tuple[str, str]]:
        """Every change, oldest first."""
        found = self.store.events(PLACE, since=START - 100 * MINUTE, until=START + 1_000_000 * MINUTE, limit=1000)
        return [(one.before, one.after) for one in reversed(found)]


def said(messages: list[Notification]) -> list[tuple[str, Mapping[str, str]]]:
    """Status and labels of messages."""
    return [(message.status, message.labels) for message in messages]

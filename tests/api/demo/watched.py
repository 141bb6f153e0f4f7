"""A shop that alert rules watch: its traffic, deploys as they happen, and receivers of what is said about it.

Takes   a server, and the version of a service that comes at a moment.
Gives   the spans and errors that the demo would have sent of any time, over HTTP, and what came of them.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from api.demo import reports
from api.demo.history import History
from api.demo.model import Deploy, Shop
from api.demo.sender import DEPLOYS_PATH, ERRORS_PATH, Sender
from api.demo.shop import SHOP
from api.demo.story import Story
from tests.scheduler.alerts.sinks import Came, HttpSink, MailSink

REQUESTS_A_SECOND = 25
ROUTING_KEY = "R0UT1NGK3Y" * 3 + "AB"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLIC_URL, LAB_URL = "https://traces.example.com", "https://lab.example.com"

_CALM = replace(SHOP, deploys=SHOP.deploys[:-1])
"""Before the deploy that its story ends with."""


class WatchedShop:
    """The shop until `end`: its history is told by deploys alone, what comes now by traffic too."""

    def __init__(self, sender: Sender, end: dt.datetime) -> None:
        self._sender = sender
        self._end = end
        self._shop: Shop = _CALM
        self._sent = 0
        self._history = self._retold()
        for number, report in enumerate(reports.deploys(self._history.story)):
            sender.post_json(DEPLOYS_PATH, report, idempotency_key=f"deploy {number}")

    @property
    def deploys(self) -> list[reports.Report]:
        """All of them as they were sent, oldest first."""
        return reports.deploys(self._history.story)

    def deploy(self, service: str, version: str, at: dt.datetime) -> reports.Report:
        """Bring a version to a service; the report that was sent."""
        deploy = Deploy(self._end - at, service, version, "Ravi", f"{service} {version}")
        self._shop = replace(self._shop, deploys=(*self._shop.deploys, deploy))
        self._history = self._retold()
        report = self.deploys[-1]
        self._sender.post_json(DEPLOYS_PATH, report, idempotency_key=f"deploy {len(self._shop.deploys) - 1}")
        return report

    def traffic(self, since: dt.datetime, until: dt.datetime) -> None:
        """Send what customers did in a time."""
        random = np.random.default_rng(self._sent)
        length_ns = (until - since) // dt.timedelta(microseconds=1) * 1000
        offsets = np.sort(random.integers(0, length_ns, length_ns * REQUESTS_A_SECOND // 10**9))
        part = self._history.played(offsets + int(since.timestamp() * 1e6) * 1000, random)
        self._sender.post_spans(part.body, idempotency_key=f"spans {self._sent}")
        if part.errors:
            self._sender.post_json(ERRORS_PATH, {"errors": part.errors}, idempotency_key=f"errors {self._sent}")
        self._sent += 1

    def _retold(self) -> History:
        end_ns = int(self._end.timestamp() * 1e6) * 1000
        return History(Story(self._shop, end_ns), 1)


@dataclass
class Receivers:
    """Everybody who may be told: one HTTP server for three of them, and a mail server."""

    http: HttpSink = field(default_factory=HttpSink)
    mail: MailSink = field(default_factory=MailSink)

    @property
    def settings(self) -> Mapping[str, str]:
        """Environment variables of a Tracelake that tells them."""
        return {
            "TRACELAKE_ALLOW_PRIVATE_TARGETS": "1",
            "TRACELAKE_PUBLIC_URL": PUBLIC_URL,
            "TRACELAKE_LAB_URL": LAB_URL,
            "TRACELAKE_SLACK_URL": f"{self.http.url}/slack",
            "TRACELAKE_PAGERDUTY_URL": f"{self.http.url}/pagerduty",
            "TRACELAKE_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "TRACELAKE_WEBHOOK_URL": f"{self.http.url}/hook",
            "TRACELAKE_WEBHOOK_SECRET": SECRET,
            "TRACELAKE_SMTP_URL": f"smtp+plain://127.0.0.1:{self.mail.port}",
            "TRACELAKE_ALERT_EMAIL_TO": "oncall@example.com",
            "TRACELAKE_ALERT_EMAIL_FROM": "tracelake@example.com",
        }

    def came(self, path: str) -> list[Came]:
        """What came to one address, in order."""
        return [came for came in self.http.came if came.path == path]

    def json(self, path: str) -> list[Any]:
        return [came.json for came in self.came(path)]


@contextmanager
def receivers() -> Iterator[Receivers]:
    """Receivers that listen."""
    found = Receivers()
    with ExitStack() as stack:
        stack.enter_context(found.http)
        stack.enter_context(found.mail)
        yield found

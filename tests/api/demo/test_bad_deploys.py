"""Two bad deploys of the demo's shop, from the first slow request to the message that all is well again.

The short form moves the clock of the sweep by hand, minute by minute; everything else is real: spans, errors and deploys
come over HTTP, rules are made over HTTP, messages go to an HTTP and an SMTP server. The long form is a whole
`tracelake serve` in real time.
"""

from __future__ import annotations

import datetime as dt
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import notebooks
from api.demo.failures import ERROR_VERSION
from api.demo.sender import Sender
from api.demo.shop import SLOW_VERSION
from lake.control import Control
from lake.settings import LakeSettings
from scheduler.alerts.channels.channel import CHANNEL_TYPES
from scheduler.alerts.channels.senders import Senders
from scheduler.alerts.channels.settings import ChannelSettings
from scheduler.alerts.channels.wording import moment, quantity
from scheduler.alerts.deliverer import Deliverer
from scheduler.alerts.deploy_watch import DeployWatch
from scheduler.alerts.outbox import Outbox, enqueue
from scheduler.alerts.store import AlertStore
from scheduler.alerts.sweep import Sweep
from scheduler.alerts.windows import LAG
from tests.api.clients import Client
from tests.api.demo.watched import LAB_URL, PUBLIC_URL, ROUTING_KEY, SECRET, Receivers, WatchedShop, receivers
from tests.scheduler.alerts.formats import pagerduty_change, pagerduty_event, signed_webhook, slack_message
from tests.servers import DEADLINE_S, Server, running, wait_until

MINUTE = dt.timedelta(minutes=1)
CONDITIONS = {
    "checkout": {"metric": "latency_p95", "threshold": 350, "service": "checkout"},
    "payment": {"metric": "error_rate", "threshold": 0.04, "service": "payment"},
}
"""By service; before its bad deploy half of that."""
BAD = {"checkout": SLOW_VERSION, "payment": ERROR_VERSION}
GOOD = {"checkout": "v4.11.3", "payment": "v3.7.2"}
CHANGES = [("ok", "pending"), ("pending", "firing"), ("firing", "ok")]
LONGEST_S = 900
"""Seconds that the long form may take; some 6 minutes are what the rules wait for."""


class Watch(ABC):
    """A shop, the rules that watch it, and what was heard of them."""

    def __init__(self, server: Server, shop: WatchedShop, told: Receivers, now: dt.datetime) -> None:
        self.server, self.shop, self.told, self.now = server, shop, told, now
        self.client = Client(server.url, server.live_key)

    @abstractmethod
    def go_on(self) -> None:
        """Let some time pass."""

    @abstractmethod
    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Let time pass until something is so."""

    def rules(self, window: str) -> dict[str, Any]:
        """Make a rule for each service that will get a bad deploy; by service."""
        made = {}
        for service, condition in CONDITIONS.items():
            body = {
                "name": f"{condition['metric']} of {service}",
                "condition": condition | {"window": window, "for": window},
                "channels": list(CHANNEL_TYPES),
                "severity": "critical",
            }
            answer = self.client.post("/v1/alerts/rules", json=body)
            assert answer.status_code == 201, answer.text
            made[service] = answer.json()
        return made

    def deploy(self, versions: Mapping[str, str]) -> dict[str, Any]:
        """Bring a version to each service now, which customers notice from now on; what was reported, by service."""
        return {service: self.shop.deploy(service, version, self.now) for service, version in versions.items()}

    def events(self, rule: Mapping[str, Any]) -> list[Any]:
        """The history of a rule, oldest first."""
        return list(reversed(self.client.found("/v1/alerts/events", rule_id=rule["id"])["data"]))

    def are(self, rules: Mapping[str, Any], state: str) -> bool:
        """Whether all rules have been judged and are in a state."""
        found = [self.client.found(f"/v1/alerts/rules/{rule['id']}") for rule in rules.values()]
        return all(rule["last_evaluated_at"] and rule["state"] == state for rule in found)

    def deliveries(self) -> list[Any]:
        return list(self.client.found("/v1/alerts/deliveries", limit=100)["data"])


class ByHand(Watch):
    """A minute passes when it is told to; nothing but the web server runs beside it."""

    def __init__(self, server: Server, shop: WatchedShop, told: Receivers, now: dt.datetime, control: Control) -> None:
        super().__init__(server, shop, told, now)
        self._outbox = Outbox(control.engine)
        self._deliverer = Deliverer(self._outbox, Senders(ChannelSettings.from_env(told.settings)))
        self._sweep = Sweep(server.data, LakeSettings(), AlertStore(control.engine, enqueue), now=lambda: self.now + LAG)
        self._deploys = DeployWatch(server.data, control.engine)

    def go_on(self) -> None:
        self.shop.traffic(self.now, self.now + MINUTE)
        self.now += MINUTE
        self._sweep.run()
        self._deploys.look()
        wait_until(self._is_all_sent, lambda: f"not sent: {self._outbox.pending()}")

    def _is_all_sent(self) -> bool:
        self._deliverer.deliver()
        return self._deliverer.wait_idle(DEADLINE_S) and not self._outbox.pending()

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        for _ in range(10):
            self.go_on()
            if is_so():
                return
        raise AssertionError(f"not {what} after 10 minutes")

    def close(self) -> None:
        self._deliverer.close()
        self._sweep.close()
        self._deploys.close()


class Live(Watch):
    """Time passes by itself, and a scheduler judges."""

    def go_on(self) -> None:
        """Send what customers did since the last time."""
        now = dt.datetime.now(dt.UTC)
        self.shop.traffic(self.now, now)
        self.now = now

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        def is_so_now() -> bool:
            self.go_on()
            return is_so()

        wait_until(is_so_now, lambda: f"not {what}\n{self.server.log_end()}", timeout_s=LONGEST_S, poll_s=5)


@contextmanager
def by_hand(data: Path) -> Iterator[Watch]:
    with ExitStack() as stack:
        told = stack.enter_context(receivers())
        server = stack.enter_context(running(data, workers=1, argv=[sys.executable, "-m", "api.server"]))
        sender = stack.enter_context(Sender(server.url, server.ingest_key))
        control = stack.enter_context(Control(server.data))
        start = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - 20 * MINUTE
        watch = ByHand(server, WatchedShop(sender, start + 60 * MINUTE), told, start, control)
        stack.callback(watch.close)
        stack.enter_context(watch.client)
        yield watch


@contextmanager
def live(data: Path) -> Iterator[Watch]:
    with ExitStack() as stack:
        told = stack.enter_context(receivers())
        server = stack.enter_context(running(data, workers=1, settings=told.settings))
        sender = stack.enter_context(Sender(server.url, server.ingest_key))
        now = dt.datetime.now(dt.UTC)
        watch = Live(server, WatchedShop(sender, now + 60 * MINUTE), told, now - 3 * MINUTE)
        stack.enter_context(watch.client)
        yield watch


@pytest.mark.parametrize(
    ("begin", "window"),
    [
        pytest.param(by_hand, "2m", id="clock by hand"),
        pytest.param(live, "1m", id="tracelake serve", marks=pytest.mark.full),
    ],
)
def test_bad_deploys_are_told_to_everybody_and_so_is_their_end(tmp_path, begin, window):
    with begin(tmp_path / "data") as watch:
        watch.go_on()
        rules = watch.rules(window)
        watch.until(lambda: watch.are(rules, "ok"), "judged as good")
        bad = watch.deploy(BAD)
        watch.until(lambda: watch.are(rules, "firing"), "firing")
        watch.deploy(GOOD)
        watch.until(lambda: watch.are(rules, "ok"), "well again")
        count = 2 * len(CHANNEL_TYPES) * len(rules)
        watch.until(lambda: len(of_alerts(watch)) == count and is_all_delivered(watch), "told")
        for service, rule in rules.items():
            began, fired, ended = watch.events(rule)
            assert [(one["before"], one["after"]) for one in (began, fired, ended)] == CHANGES
            assert when(bad[service]["deployed_at"]) < when(began["at"])
            messages = told_of(watch, rule, fired["key"])
            for event, told in ((fired, messages["firing"]), (ended, messages["resolved"])):
                assert_named(told, rule, event, began["at"], bad[service])
            assert_example(watch, messages["firing"]["hook"], service)
        assert_changes(watch)


def when(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def of_alerts(watch: Watch) -> list[Any]:
    return [one for one in watch.deliveries() if one["event"] != "deployed"]


def is_all_delivered(watch: Watch) -> bool:
    return all(one["status"] == "delivered" for one in watch.deliveries())


def told_of(watch: Watch, rule: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """The messages about one rule, by status and channel, each as its receiver understands it and each once."""
    found: dict[str, dict[str, Any]] = {"firing": {}, "resolved": {}}
    for came in watch.told.came("/hook"):
        body = signed_webhook(came.body, came.headers, SECRET)
        if body["groupLabels"]["alertname"] == rule["name"]:
            assert found[body["status"]].setdefault("hook", body) is body
    for sent in map(slack_message, watch.told.json("/slack")):
        header = sent["blocks"][0]["text"]["text"]
        if rule["name"] in header:
            assert found["resolved" if "Resolved" in header else "firing"].setdefault("slack", sent) is sent
    for recipients, mail in watch.told.mail.came:
        assert recipients == ["oncall@example.com"]
        if rule["name"] in mail["Subject"]:
            assert found["resolved" if "Resolved" in mail["Subject"] else "firing"].setdefault("email", mail) is mail
    for event in map(pagerduty_event, watch.told.json("/pagerduty/v2/enqueue")):
        assert event["routing_key"] == ROUTING_KEY
        if event["dedup_key"] == key:
            status = {"trigger": "firing", "resolve": "resolved"}[event["event_action"]]
            assert found[status].setdefault("pagerduty", event) is event
    assert {len(channels) for channels in found.values()} == {len(CHANNEL_TYPES)}
    return found


def assert_named(
    told: Mapping[str, Any], rule: Mapping[str, Any], event: Mapping[str, Any], since: str, bad: Mapping[str, Any]
) -> None:
    """Every message names service, value, threshold, since when, the bad deploy, an example and the notebook."""
    [alert], [ours] = told["hook"]["alerts"], told["hook"]["tracelake"]["alerts"]
    began, [trace_id] = when(since), ours["exemplar_trace_ids"]
    assert alert["labels"]["service"] == rule["condition"]["service"]
    assert (ours["value"], ours["threshold"]) == (event["value"], rule["condition"]["threshold"])
    assert when(alert["startsAt"]) == began
    assert (ours["deploy"]["version"], ours["deploy"]["git_sha"]) == (bad["version"], bad["git_sha"])
    assert_notebook(ours["notebook_url"])
    unit = {"latency_p95": "ms", "error_rate": "ratio"}[rule["condition"]["metric"]]
    named = [
        rule["condition"]["service"], quantity(event["value"], unit), quantity(rule["condition"]["threshold"], unit),
        f"{bad['version']} {bad['git_sha'][:12]}, {moment(when(bad['deployed_at']))}",
        trace_id, f"{PUBLIC_URL}/v1/traces/{trace_id}", ours["notebook_url"],
    ]  # fmt: skip
    slack = told["slack"]["blocks"][1]["text"]["text"]
    for text in (slack, content(told["email"], "plain"), content(told["email"], "html")):
        assert [part for part in [*named, moment(began)] if part not in text] == []
    if told["pagerduty"]["event_action"] == "trigger":  # the end of an incident has no payload of its own
        assert when(told["pagerduty"]["payload"]["timestamp"]) == began
        text = str(told["pagerduty"])
        assert [part for part in [*named[:1], *named[2:]] if part not in text] == []
        assert told["pagerduty"]["payload"]["custom_details"]["value"] == event["value"]


def content(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def assert_notebook(url: str) -> None:
    """The link leads to a notebook that there is."""
    assert url.startswith(f"{LAB_URL}/lab/tree/")
    name = url.removeprefix(f"{LAB_URL}/lab/tree/").removesuffix(".ipynb")
    assert (Path(notebooks.__file__).parent / "bundled" / f"{name}.py").exists()


def assert_example(watch: Watch, body: Mapping[str, Any], service: str) -> None:
    """The example is a trace of the version that is to blame, and shows what the rule is about."""
    [ours] = body["tracelake"]["alerts"]
    [trace_id] = ours["exemplar_trace_ids"]
    requests = [
        span for span in watch.client.trace(trace_id)["spans"] if (span["service"], span["kind"]) == (service, "server")
    ]
    assert BAD[service] in {span["resource"]["service.version"] for span in requests}
    if ours["metric"] == "error_rate":
        assert "error" in {span["status"]["code"] for span in requests}
    else:
        assert min(abs(span["duration_ms"] / ours["value"] - 1) for span in requests) < 0.1


def assert_changes(watch: Watch) -> None:
    """PagerDuty has heard of each deploy of the last day, once."""
    changes = [pagerduty_change(sent) for sent in watch.told.json("/pagerduty/v2/change/enqueue")]
    day_ago = watch.now - dt.timedelta(days=1)
    deploys = [one for one in watch.shop.deploys if when(one["deployed_at"]) > day_ago]
    told = sorted((one["payload"]["source"], one["payload"]["custom_details"]["git_sha"]) for one in changes)
    assert told == sorted((one["service"], one["git_sha"]) for one in deploys)

"""A message is sent once, and what became of it is an outcome, never an exception."""

import datetime as dt

import pytest

from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.outcome import Outcome, of_answer, retry_after_s
from scheduler.alerts.channels.senders import Senders
from scheduler.alerts.channels.settings import ChannelSettings
from scheduler.alerts.deploy_notes import Deployed
from scheduler.alerts.targets import HttpAnswer, Targets
from tests.scheduler.alerts.alerts import BEGAN, FIRING
from tests.scheduler.alerts.sinks import HttpSink

NOW = dt.datetime(2026, 11, 25, 9, 0, tzinfo=dt.UTC)
DEPLOYED = Deployed("deploy_1", "shop", "checkout", "v1", None, None, None, None, BEGAN)


def send(settings, channel, message=(FIRING,), **options):
    return Senders(settings, **options).send(message, channel, message_id="msg_1", sent_at=dt.datetime.now(dt.UTC))


@pytest.mark.parametrize("kind", ["slack", "pagerduty", "webhook"])
def test_each_kind_of_http_arrives(kind):
    with HttpSink(status=202) as sink:
        settings = ChannelSettings(slack_url=f"{sink.url}/s", pagerduty_url=sink.url, pagerduty_routing_key="0" * 32,
                                   webhook_url=f"{sink.url}/w", allow_private_targets=True)  # fmt: skip
        assert send(settings, Channel(kind)) == Outcome("delivered")
        [came] = sink.came
    assert came.path == {"slack": "/s", "pagerduty": "/v2/enqueue", "webhook": "/w"}[kind]
    assert came.headers["content-type"] == "application/json"
    assert came.headers["user-agent"].startswith("Tracelake/")
    assert came.json


def test_a_deploy_arrives_as_a_change():
    with HttpSink(status=202) as sink:
        settings = ChannelSettings(pagerduty_url=sink.url, pagerduty_routing_key="0" * 32, allow_private_targets=True)
        assert send(settings, Channel("pagerduty"), DEPLOYED) == Outcome("delivered")
        assert sink.came[0].path == "/v2/change/enqueue"


@pytest.mark.parametrize(
    ("status", "result"),
    [(200, "delivered"), (202, "delivered"), (204, "delivered"), (301, "dead"), (307, "dead"), (400, "dead"), (401, "dead"),
     (403, "dead"), (404, "dead"), (408, "retry"), (410, "dead"), (413, "dead"), (429, "retry"), (500, "retry"),
     (502, "retry"), (503, "retry"), (504, "retry")],
)  # fmt: skip
def test_a_status_says_whether_it_is_worth_another_attempt(status, result):
    assert of_answer("webhook", HttpAnswer(status, {"retry-after": "7"}, b"secret of somebody"), NOW).result == result


@pytest.mark.parametrize(
    ("channel", "body", "said"),
    [
        ("slack", b"invalid_payload", ": invalid_payload"),
        ("slack", b"<html>internal page</html>", ""),
        ("pagerduty", b'{"status":"invalid event","message":"Event object is invalid"}', ": Event object is invalid"),
        ("pagerduty", b"[]", ""),
        ("webhook", b"invalid_payload", ""),
    ],
)
def test_what_slack_and_pagerduty_say_is_told_and_nothing_of_others(channel, body, said):
    assert of_answer(channel, HttpAnswer(400, {}, body), NOW).reason == f"it answered 400{said}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 0.0), (" 120 ", 120.0), ("Wed, 25 Nov 2026 09:01:00 GMT", 60.0),
     ("Wed, 25 Nov 2026 08:00:00 GMT", 0.0), ("", None), ("soon", None), ("-5", None), ("1e9", None), ("9" * 40, None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text, seconds):
    assert retry_after_s({"retry-after": text}, NOW) == seconds


def test_an_address_that_is_not_public_is_dead_at_once_without_the_switch():
    with HttpSink() as sink:
        outcome = send(ChannelSettings(webhook_url=f"https://127.0.0.1:{sink.port}/"), Channel("webhook"))
        assert sink.connections == 0
    assert outcome.result == "dead"
    assert "TRACELAKE_ALLOW_PRIVATE_TARGETS" in (outcome.reason or "")


def test_a_channel_that_is_not_set_is_dead_and_says_how_to_set_it():
    assert send(ChannelSettings(), Channel("slack")).reason == "set TRACELAKE_SLACK_URL to an incoming webhook of Slack"


def test_a_fault_of_our_own_is_an_outcome_without_its_text(capsys):
    class Broken(Targets):
        def post(self, request):
            raise KeyError("https://hooks.slack.com/secret")

    settings = ChannelSettings(slack_url="https://hooks.slack.com/secret")
    assert send(settings, Channel("slack"), targets=Broken()) == Outcome("retry", "a fault of Tracelake (KeyError)")
    assert "secret" not in "".join(capsys.readouterr())

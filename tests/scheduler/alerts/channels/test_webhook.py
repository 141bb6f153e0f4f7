"""What goes to a webhook is what receivers of Alertmanager take, signed as Standard Webhooks has it."""

import datetime as dt
from dataclasses import replace

import pytest

from scheduler.alerts.channels import webhook
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.settings import ChannelSettings, ChannelUnusable
from tests.scheduler.alerts.alerts import FIRING, RESOLVED, of_service
from tests.scheduler.alerts.formats import signed_webhook

SECRET, OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "QUJD" * 11
DEFAULT = Channel("webhook")
SETTINGS = ChannelSettings(webhook_url="https://example.com/hook", webhook_secret=SECRET,
                           public_url="https://traces.example.com", lab_url="https://lab.example.com")  # fmt: skip


def sent(*notifications, channel=DEFAULT, settings=SETTINGS, secret=SECRET):
    request = webhook.render(notifications, channel, settings, message_id="msg_1", sent_at=dt.datetime.now(dt.UTC))
    assert len(request.body) < 100_000
    return signed_webhook(request.body, request.headers, secret)


def test_a_firing_alert_has_begun_and_not_ended():
    body = sent(FIRING)
    [alert] = body["alerts"]
    assert (body["status"], alert["status"], body["groupKey"]) == ("firing", "firing", "shop/live:rule_8c1d2e3f4a")
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-25T09:00:00Z", "0001-01-01T00:00:00Z")
    assert alert["labels"] == {"alertname": "p95 of checkout", "severity": "critical", "project": "shop",
                               "environment": "live", "service": "checkout"}  # fmt: skip
    assert alert["generatorURL"] == "https://traces.example.com/v1/alerts/rules/rule_8c1d2e3f4a"


def test_a_resolved_alert_has_ended_and_is_the_same():
    [alert] = sent(RESOLVED)["alerts"]
    assert (alert["status"], alert["endsAt"]) == ("resolved", "2026-11-25T09:12:30Z")
    assert alert["fingerprint"] == sent(FIRING)["alerts"][0]["fingerprint"]


def test_what_alertmanager_has_no_place_for_is_beside_it():
    [ours] = sent(FIRING)["tracelake"]["alerts"]
    assert ours["deploy"] == {"id": "deploy_0123456789abcdef0123", "version": "v1.2.3",
                              "git_sha": "abc123def4567890abc123def4567890abc12345",
                              "deployed_at": "2026-11-25T08:53:00Z"}  # fmt: skip
    assert ours["exemplar_trace_ids"] == [FIRING.trace_id]
    assert ours["notebook_url"] == FIRING.links(None, SETTINGS.lab_url).notebook
    assert (ours["value"], ours["threshold"], ours["unit"], ours["status"]) == (812.4, 500.0, "ms", "firing")
    assert sent(replace(FIRING, status="acknowledged"))["tracelake"]["alerts"][0]["status"] == "acknowledged"


def test_alerts_of_one_rule_are_one_body_with_what_they_have_in_common():
    body = sent(*(of_service(f"service-{number}") for number in range(60)))
    assert len(body["alerts"]) == webhook.ALERTS_MAX
    assert body["truncatedAlerts"] == 10
    assert "service" not in body["commonLabels"]
    assert body["commonLabels"]["alertname"] == "p95 of checkout"
    assert len({alert["fingerprint"] for alert in body["alerts"]}) == webhook.ALERTS_MAX


def test_the_secret_of_the_settings_signs_for_their_own_address_only():
    elsewhere = Channel("webhook", "https://other.example.com/hook")
    request = webhook.render([FIRING], elsewhere, SETTINGS, message_id="msg_1", sent_at=dt.datetime.now(dt.UTC))
    assert request.headers.keys() == {"Content-Type", "webhook-id"}
    assert sent(FIRING, channel=replace(elsewhere, secret=OTHER_SECRET), secret=OTHER_SECRET)
    assert sent(FIRING, channel=Channel("webhook", secret=OTHER_SECRET), secret=OTHER_SECRET)


def test_without_an_address_the_setting_is_named():
    with pytest.raises(ChannelUnusable, match="TRACELAKE_WEBHOOK_URL"):
        sent(FIRING, settings=ChannelSettings())

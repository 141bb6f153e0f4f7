"""What goes to PagerDuty are events as its Events API v2 has them."""

import datetime as dt
import json
from dataclasses import replace

import pytest

from scheduler.alerts.channels import pagerduty
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.settings import ChannelSettings, ChannelUnusable
from scheduler.alerts.deploy_notes import Deployed
from tests.scheduler.alerts.alerts import BEGAN, FIRING, RESOLVED
from tests.scheduler.alerts.formats import pagerduty_change, pagerduty_event

KEY = "R0UT1NGK3Y" * 3 + "AB"
DEFAULT = Channel("pagerduty")
SETTINGS = ChannelSettings(
    pagerduty_routing_key=KEY, public_url="https://traces.example.com", lab_url="https://lab.example.com"
)


def event(notification, channel=DEFAULT, settings=SETTINGS):
    request = pagerduty.render(notification, channel, settings)
    assert request.url == f"{settings.pagerduty_url}/v2/enqueue"
    return pagerduty_event(json.loads(request.body))


def test_an_alert_triggers_and_its_end_resolves_with_the_same_key():
    acknowledged = replace(FIRING, status="acknowledged")
    actions = {event(one)["event_action"]: event(one)["dedup_key"] for one in (FIRING, acknowledged, RESOLVED)}
    assert actions == dict.fromkeys(("trigger", "acknowledge", "resolve"), FIRING.alert_key)


def test_a_trigger_names_all_and_links_to_the_notebook():
    sent = event(FIRING)
    assert sent["payload"]["summary"] == "p95 of checkout: checkout: latency_p95 812 ms, above 500 ms over 5 min"
    assert sent["payload"]["severity"] == "critical"
    assert (sent["payload"]["source"], sent["payload"]["component"]) == ("checkout", "checkout")
    assert sent["payload"]["timestamp"] == "2026-11-25T09:00:00+00:00"
    details = sent["payload"]["custom_details"]
    assert (details["value"], details["threshold"], details["trace_id"]) == (812.4, "> 500 ms", FIRING.trace_id)
    assert details["deploy"] == "v1.2.3 abc123def456, 2026-11-25 08:53:00 UTC"
    assert {link["text"]: link["href"] for link in sent["links"]} == {
        "Notebook": FIRING.links(None, SETTINGS.lab_url).notebook,
        "Example trace": f"https://traces.example.com/v1/traces/{FIRING.trace_id}",
        "Rule": "https://traces.example.com/v1/alerts/rules/rule_8c1d2e3f4a",
    }


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_every_severity_is_one_of_pagerduty(severity):
    assert event(replace(FIRING, severity=severity))["payload"]["severity"] == severity


def test_an_alert_that_is_about_everything_has_a_source_and_nothing_is_too_long():
    sent = event(replace(FIRING, labels={}, rule_name="x" * 2000, deploy=None, trace_id=None, value=None), settings=replace(
        SETTINGS, public_url="", lab_url=""))  # fmt: skip
    assert sent["payload"]["source"] == "shop/live"
    assert sent["links"] == []


def test_a_rule_may_have_a_routing_key_of_its_own():
    assert event(FIRING, Channel("pagerduty", "0" * 32))["routing_key"] == "0" * 32
    with pytest.raises(ChannelUnusable, match="TRACELAKE_PAGERDUTY_ROUTING_KEY"):
        pagerduty.render(FIRING, Channel("pagerduty"), ChannelSettings())


@pytest.mark.parametrize(
    ("names", "summary"),
    [
        (
            {"service": "checkout", "version": "v1.2.3", "environment": "production"},
            "checkout v1.2.3 deployed to production",
        ),
        ({"git_sha": "abc123"}, "shop abc123 deployed"),
        ({}, "shop deploy_0123 deployed"),
    ],
)
def test_a_deploy_is_a_change_event(names, summary):
    fields = {"service": None, "version": None, "git_sha": None, "environment": None, "deployer": "ann", "description": None}
    deployed = Deployed(**{"id": "deploy_0123", "project": "shop", "deployed_at": BEGAN, **fields, **names})
    request = pagerduty.render_deploy(Deployed.from_json(deployed.to_json()), Channel("pagerduty"), SETTINGS)
    assert request.url == "https://events.pagerduty.com/v2/change/enqueue"
    sent = pagerduty_change(json.loads(request.body))
    assert sent["payload"]["summary"] == summary
    assert dt.datetime.fromisoformat(sent["payload"]["timestamp"]) == BEGAN
    assert sent["payload"]["custom_details"]["deployer"] == "ann"


def test_what_is_no_deploy_is_not_read():
    with pytest.raises(ValueError, match="no deploy"):
        Deployed.from_json("{}")

"""What goes to Slack passes Slack's own checks, and says nothing that users put into it to be more than text."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.alerts.channels import slack
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.settings import ChannelSettings, ChannelUnusable
from tests.scheduler.alerts.alerts import FIRING, RESOLVED, of_service
from tests.scheduler.alerts.formats import slack_message

URL = "https://hooks.slack.com/services/T000/B000/XXXX"
DEFAULT = Channel("slack")
SETTINGS = ChannelSettings(slack_url=URL, public_url="https://traces.example.com", lab_url="https://lab.example.com")


def message(*notifications, channel=DEFAULT, settings=SETTINGS):
    request = slack.render(notifications, channel, settings)
    assert request.headers["Content-Type"] == "application/json"
    return slack_message(json.loads(request.body))


def test_a_message_names_all_and_links_to_the_notebook():
    sent = message(FIRING)
    assert sent["text"].splitlines() == [
        "[critical] p95 of checkout",
        "checkout: latency_p95 812 ms, above 500 ms over 5 min".replace(">", "&gt;"),
    ]
    assert sent["blocks"][0]["text"]["text"] == ":red_circle: [critical] p95 of checkout"
    text = sent["blocks"][1]["text"]["text"]
    for part in ("Service: checkout", "812 ms", "Threshold: &gt; 500 ms", "Since: 2026-11-25 09:00:00 UTC",
                 "v1.2.3 abc123def456",
                 f"/v1/traces/{FIRING.trace_id}|{FIRING.trace_id}>",
                 f"Notebook: <{FIRING.links(None, SETTINGS.lab_url).notebook}|open>"):  # fmt: skip
        assert part in text
    assert "channel" not in sent


def test_a_resolved_alert_is_a_message_of_its_own():
    sent = message(RESOLVED)
    assert sent["blocks"][0]["text"]["text"] == ":white_check_mark: Resolved: p95 of checkout"
    assert "well again after 12 min 30 s" in sent["blocks"][1]["text"]["text"]


def test_alerts_of_one_rule_are_one_message():
    many = [of_service(f"service-{number}") for number in range(40)]
    sent = message(*many)
    assert len(sent["blocks"]) == 1 + slack.SHOWN_MAX + 1
    assert sent["blocks"][-1]["text"]["text"] == "and 25 more"


def test_a_rule_may_name_a_channel_or_another_webhook():
    assert message(FIRING, channel=Channel("slack", "#ops"))["channel"] == "#ops"
    other = slack.render([FIRING], Channel("slack", "https://mattermost.example.com/hooks/x"), SETTINGS)
    assert other.url == "https://mattermost.example.com/hooks/x"
    assert slack.render([FIRING], Channel("slack"), SETTINGS).url == URL


def test_without_a_webhook_the_setting_is_named():
    with pytest.raises(ChannelUnusable, match="TRACELAKE_SLACK_URL"):
        slack.render([FIRING], Channel("slack", "#ops"), ChannelSettings())


@given(name=st.text(min_size=1, max_size=120), service=st.text(max_size=5000), query=st.none() | st.text(max_size=4096))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
def test_no_text_of_users_is_a_mention_or_too_long(name, service, query):
    hostile = replace(FIRING, rule_name=f"<!channel> {name}", labels={"service": f"<!here>{service}"}, query=query)
    sent = message(hostile, replace(hostile, alert_key="other"))
    texts = [block["text"]["text"] for block in sent["blocks"] if block["text"]["type"] == "mrkdwn"]
    for text in (sent["text"], *texts):
        assert "<!" not in text
        assert len(text) <= 3000

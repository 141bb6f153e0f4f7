"""What a rule says of a channel is kept and shown as it was said, without its secrets."""

import pytest

from lake.errors import InvalidParameter
from scheduler.alerts.channels.channel import CHANNEL_TYPES, Channel, masked, read_channel, shown_channel

ROUTING_KEY = "R0UT1NGK3Y" * 3 + "AB"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK_URL = "https://hooks.slack.com/services/T000/B000/XXXXabcd"


@pytest.mark.parametrize("name", CHANNEL_TYPES)
def test_a_name_is_a_channel_of_the_settings(name):
    assert shown_channel(read_channel(name, "channels[0]")) == name


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"type": "slack"}, "slack"),
        ({"type": "slack", "target": "#ops"}, {"type": "slack", "target": "#ops"}),
        ({"type": "slack", "target": SLACK_URL}, {"type": "slack", "target": "****abcd"}),
        ({"type": "email", "target": "a@example.com, b@example.com"},) * 2,
        ({"type": "pagerduty", "target": ROUTING_KEY}, {"type": "pagerduty", "target": "****3YAB"}),
        ({"type": "webhook", "target": "https://example.com/hook?k=v1234", "secret": SECRET},
         {"type": "webhook", "target": "****1234", "secret": "****LaSw"}),
    ],
)  # fmt: skip
def test_an_object_is_shown_without_its_secrets(said, shown):
    channel = read_channel(said, "channels[0]")
    assert shown_channel(channel) == shown
    assert Channel.from_json(channel.to_json()) == channel
    assert not any(secret in repr(channel) for secret in (ROUTING_KEY, SECRET, SLACK_URL))


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ("pager", "channels[1]"),
        ("", "channels[1]"),
        (None, "channels[1]"),
        (5, "channels[1]"),
        ([], "channels[1]"),
        ({}, "channels[1]"),
        ({"type": "sms"}, "channels[1]"),
        ({"type": ["slack"]}, "channels[1].type"),
        ({"type": "slack", "url": "https://x"}, "channels[1].url"),
        ({"type": "slack", "target": ""}, "channels[1].target"),
        ({"type": "slack", "target": 5}, "channels[1].target"),
        ({"type": "slack", "target": "ops"}, "channels[1].target"),
        ({"type": "slack", "target": "#ops <!channel>"}, "channels[1].target"),
        ({"type": "slack", "target": "ftp://example.com"}, "channels[1].target"),
        ({"type": "email", "target": "nobody"}, "channels[1].target"),
        ({"type": "email", "target": "a@example.com\r\nBcc: all@example.com"}, "channels[1].target"),
        ({"type": "email", "target": "a@example.com\n"}, "channels[1].target"),
        ({"type": "email", "target": "a@example.com,"}, "channels[1].target"),
        ({"type": "email", "target": "a b@example.com"}, "channels[1].target"),
        ({"type": "email", "target": ",".join(["a@example.com"] * 51)}, "channels[1].target"),
        ({"type": "pagerduty", "target": "short"}, "channels[1].target"),
        ({"type": "webhook", "target": "file:///etc/passwd"}, "channels[1].target"),
        ({"type": "webhook", "target": "https://user:hunter2@example.com/"}, "channels[1].target"),
        ({"type": "webhook", "target": "https://example.com/" + "x" * 3000}, "channels[1].target"),
        ({"type": "webhook", "secret": "secret"}, "channels[1].secret"),
        ({"type": "webhook", "secret": "whsec_c2hvcnQ="}, "channels[1].secret"),
        ({"type": "slack", "secret": SECRET}, "channels[1].secret"),
    ],
)
def test_what_is_no_channel_is_refused_and_the_field_named(said, param):
    with pytest.raises(InvalidParameter) as refused:
        read_channel(said, "channels[1]")
    assert refused.value.param == param
    assert "hunter2" not in str(refused.value)


def test_channels_are_told_apart_by_where_they_lead():
    said = ["slack", "email", {"type": "slack", "target": "#ops"}, {"type": "slack", "target": "#dev"}]
    assert len({read_channel(one, "it").key for one in said}) == len(said)
    assert read_channel("slack", "it").key == read_channel({"type": "slack"}, "it").key


def test_of_a_short_secret_nothing_is_shown():
    assert masked("hunter2") == "****"

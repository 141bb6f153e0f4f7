"""Settings of channels are checked when they are read, and keep their secrets."""

from dataclasses import fields

import pytest

from lake.errors import SettingError
from scheduler.alerts.channels.settings import SECRETS, ChannelSettings

GOOD = {
    "TRACELAKE_SLACK_URL": "https://hooks.slack.com/services/T000/B000/hidden1",
    "TRACELAKE_SMTP_URL": "smtp://tracelake:hidden2@mail.example.com:587",
    "TRACELAKE_ALERT_EMAIL_TO": "oncall@example.com, lead@example.com",
    "TRACELAKE_ALERT_EMAIL_FROM": "tracelake@example.com",
    "TRACELAKE_PAGERDUTY_ROUTING_KEY": "hidden3x" * 4,
    "TRACELAKE_PAGERDUTY_URL": "https://events.eu.pagerduty.com",
    "TRACELAKE_WEBHOOK_URL": "https://example.com/hidden4",
    "TRACELAKE_WEBHOOK_SECRET": "whsec_aGlkZGVuNWhpZGRlbjVoaWRkZW41aGlkZGVuNQ==",
    "TRACELAKE_PUBLIC_URL": "https://traces.example.com",
    "TRACELAKE_LAB_URL": "https://lab.example.com/lab",
    "TRACELAKE_ALLOW_PRIVATE_TARGETS": "1",
}


def test_every_setting_is_read_and_no_secret_is_shown():
    settings = ChannelSettings.from_env(GOOD)
    assert {f"TRACELAKE_{f.name.upper()}" for f in fields(ChannelSettings)} == set(GOOD)
    defaults = ChannelSettings()
    assert all(getattr(settings, f.name) != getattr(defaults, f.name) for f in fields(ChannelSettings))
    assert "hidden" not in repr(settings)
    assert "aGlkZGVu" not in repr(settings)
    assert {name for name, value in GOOD.items() if "hidden" in value or "aGlkZGVu" in value} == set(SECRETS)


def test_what_is_not_set_has_its_default():
    assert ChannelSettings.from_env({"TRACELAKE_SLACK_URL": "", "OTHER": "x"}) == ChannelSettings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TRACELAKE_SLACK_URL", "hidden"),
        ("TRACELAKE_SMTP_URL", "mail.example.com:25"),
        ("TRACELAKE_SMTP_URL", "smtp://user:hidden@mail.example.com:port"),
        ("TRACELAKE_SMTP_URL", "smtp+plain://user:hidden@mail.example.com"),
        ("TRACELAKE_SMTP_URL", "http://mail.example.com"),
        ("TRACELAKE_ALERT_EMAIL_TO", "nobody"),
        ("TRACELAKE_ALERT_EMAIL_FROM", "a@example.com\nBcc: b@example.com"),
        ("TRACELAKE_PAGERDUTY_ROUTING_KEY", "hidden"),
        ("TRACELAKE_PAGERDUTY_URL", "events.pagerduty.com"),
        ("TRACELAKE_WEBHOOK_URL", "ftp://hidden.example.com"),
        ("TRACELAKE_WEBHOOK_SECRET", "hidden"),
        ("TRACELAKE_PUBLIC_URL", "traces.example.com"),
        ("TRACELAKE_ALLOW_PRIVATE_TARGETS", "yes"),
    ],
)
def test_a_wrong_setting_is_named_and_its_secret_not_repeated(name, text):
    with pytest.raises(SettingError, match=name) as refused:
        ChannelSettings.from_env({name: text})
    assert "hidden" not in str(refused.value)

"""Settings of channels: where messages go if a rule does not say, and what they link to.

Takes   environment variables, of the scheduler process alone: no other one sends.
Gives   `ChannelSettings`, frozen; `SECRETS`, the variables that no other process shall see.
Refuses values that cannot be: `SettingError` names the variable and does not repeat a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from lake.errors import InvalidParameter, LakeError, SettingError

from ..addresses import ALLOW_PRIVATE, TargetRefused, check_url
from .channel import addresses, read_channel
from .signing import SecretUnusable, secret_bytes

SECRETS = ("TRACELAKE_SLACK_URL", "TRACELAKE_SMTP_URL", "TRACELAKE_PAGERDUTY_ROUTING_KEY", "TRACELAKE_WEBHOOK_URL",
           "TRACELAKE_WEBHOOK_SECRET")  # fmt: skip
"""Variables that hold secrets."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Every field is an environment variable: `slack_url` is `TRACELAKE_SLACK_URL`."""

    slack_url: str = field(default="", repr=False)
    """Incoming webhook of Slack, or of what takes the same."""
    smtp_url: str = field(default="", repr=False)
    """`smtp://user:password@host:587` (STARTTLS), `smtps://` (TLS from the start) or `smtp+plain://host:25` (without)."""
    alert_email_to: str = ""
    """Addresses that e-mail goes to, with commas between them."""
    alert_email_from: str = ""
    """Address that it comes from."""
    pagerduty_routing_key: str = field(default="", repr=False)
    """Integration key of PagerDuty's Events API v2; deploys are told to it too."""
    pagerduty_url: str = "https://events.pagerduty.com"
    """Address of that API; of an account in the EU `https://events.eu.pagerduty.com`."""
    webhook_url: str = field(default="", repr=False)
    """Where the channel `webhook` sends to."""
    webhook_secret: str = field(default="", repr=False)
    """`whsec_` and base64: what its requests are signed with (Standard Webhooks)."""
    public_url: str = ""
    """Address of this server as people reach it, for links."""
    lab_url: str = ""
    """Address of JupyterLab, for links."""
    allow_private_targets: bool = False
    """Whether messages may go to private addresses, and to those without TLS."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings that are set; the others keep their defaults.

        Raises:
            SettingError: a value cannot be.
        """
        texts = {name: environment[variable] for name, variable in _VARIABLES.items() if environment.get(variable)}
        for name, text in texts.items():
            _refuse(_VARIABLES[name], _CHECKS[name], text)
        return cls(**texts, allow_private_targets=_switch(environment))


def _url(text: str) -> None:
    check_url(text, allow_private=True)


def _smtp_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("smtp", "smtps", "smtp+plain") and bool(parts.hostname) and parts.port != 0
        is_open = parts.scheme == "smtp+plain" and parts.username is not None
    except ValueError:
        is_one, is_open = False, False
    if is_open:
        raise TargetRefused("a password must not go to smtp+plain://, where anybody on the way reads it")
    if not is_one:
        raise TargetRefused("must be smtp://user:password@host:587, smtps://... or smtp+plain://host:25")


def _channel(kind: str) -> Callable[[str], object]:
    return lambda text: read_channel({"type": kind, "target": text}, "it")


_CHECKS: Mapping[str, Callable[[str], object]] = {
    "slack_url": _url,
    "smtp_url": _smtp_url,
    "alert_email_to": lambda text: addresses(text, "it"),
    "alert_email_from": _channel("email"),
    "pagerduty_routing_key": _channel("pagerduty"),
    "pagerduty_url": _url,
    "webhook_url": _url,
    "webhook_secret": secret_bytes,
    "public_url": _url,
    "lab_url": _url,
}
_VARIABLES = {name: f"TRACELAKE_{name.upper()}" for name in _CHECKS}


def _refuse(variable: str, check: Callable[[str], object], text: str) -> None:
    try:
        check(text)
    except (TargetRefused, InvalidParameter, SecretUnusable) as error:
        raise SettingError(f"{variable}: {error}") from None


def _switch(environment: Mapping[str, str]) -> bool:
    text = environment.get(ALLOW_PRIVATE) or "0"
    if text not in ("0", "1"):
        raise SettingError(f"{ALLOW_PRIVATE} must be 0 or 1, not {text!r}")
    return text == "1"


class ChannelUnusable(LakeError):
    """The channel cannot be used as things are; the message says which setting it wants."""

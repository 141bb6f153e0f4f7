"""Channel: where a rule's messages go.

Takes   what a rule says: a name, or `{"type": ..., "target": ..., "secret": ...}`.
Gives   `Channel`; what was said, for answers, without its secrets.
Refuses what is none, naming the field: `InvalidParameter`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, Self, cast, get_args

import msgspec

from lake.errors import InvalidParameter

from ..addresses import URL_MAX_CHARACTERS, TargetRefused, check_url
from .signing import SecretUnusable, secret_bytes

ChannelType = Literal["slack", "email", "pagerduty", "webhook"]

CHANNEL_TYPES: tuple[ChannelType, ...] = get_args(ChannelType)

RECIPIENTS_MAX = 50

_FIELDS = ("type", "target", "secret")
_SLACK_CHANNEL = re.compile(r"[#@][^\s#@<>&]{1,80}")
_ROUTING_KEY = re.compile(r"[A-Za-z0-9]{32}")
"""Integration key of PagerDuty's Events API."""
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\\\"@]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
"""The plain form of RFC 5321, without quotes or comments."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where messages go."""

    type: ChannelType
    target: str | None = field(default=None, repr=False)
    """Slack: URL of an incoming webhook, or `#channel`; e-mail: addresses with commas between them; PagerDuty: routing key;
    webhook: URL. None: that of the settings."""
    secret: str | None = field(default=None, repr=False)
    """Of a webhook: what its requests are signed with. None: that of the settings, if they have the target too."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(values["type"], values.get("target"), values.get("secret"))

    @property
    def key(self) -> str:
        """What tells it from other channels: 32 hex digits."""
        return sha256(msgspec.json.encode([self.type, self.target])).hexdigest()[:32]

    def to_json(self) -> dict[str, str]:
        """All of it, for the database."""
        values = {"type": self.type, "target": self.target, "secret": self.secret}
        return {name: value for name, value in values.items() if value is not None}


def read_channel(said: object, param: str) -> Channel:
    """The channel that a rule names.

    Args:
        said: a name or an object, as JSON or TOML has it.
        param: what the field is called, for errors.

    Raises:
        InvalidParameter: it is none.
    """
    if isinstance(said, str):
        return Channel(_type(said, param))
    if not isinstance(said, Mapping):
        raise InvalidParameter(param, f"{param} must be one of {', '.join(CHANNEL_TYPES)}, or an object with a type")
    for name, value in said.items():
        if name not in _FIELDS:
            raise InvalidParameter(f"{param}.{name}", f"{param} has no field {name!r}, only {', '.join(_FIELDS)}")
        if not isinstance(value, str) or not value:
            raise InvalidParameter(f"{param}.{name}", f"{param}.{name} must be a text that is not empty")
    texts = cast(Mapping[str, str], said)
    channel = Channel(_type(texts.get("type"), param), texts.get("target"), texts.get("secret"))
    _check_target(channel, f"{param}.target")
    _check_secret(channel, f"{param}.secret")
    return channel


def shown_channel(channel: Channel) -> str | dict[str, str]:
    """What was said, with `****` and the last four characters in the place of secrets."""
    if channel.target is None and channel.secret is None:
        return channel.type
    shown: dict[str, Any] = channel.to_json()
    if channel.target is not None and _is_secret(channel):
        shown["target"] = masked(channel.target)
    if channel.secret is not None:
        shown["secret"] = masked(channel.secret)
    return shown


def masked(secret: str) -> str:
    """The last four characters; of a short one nothing."""
    return f"****{secret[-4:]}" if len(secret) >= 16 else "****"


def _is_secret(channel: Channel) -> bool:
    """Whether who has the target can send to it."""
    return channel.type == "pagerduty" or (channel.target or "").lower().startswith(("http:", "https:"))


def _type(said: object, param: str) -> ChannelType:
    if said not in CHANNEL_TYPES:
        raise InvalidParameter(param, f"{param} must be one of {', '.join(CHANNEL_TYPES)}, not {said!r}")
    return said


def _check_target(channel: Channel, param: str) -> None:
    target = channel.target
    if target is None:
        return
    if channel.type == "email":
        addresses(target, param)
    elif channel.type == "pagerduty":
        if not _ROUTING_KEY.fullmatch(target):
            raise InvalidParameter(param, f"{param} must be a routing key of PagerDuty: 32 letters and digits")
    elif not (channel.type == "slack" and _SLACK_CHANNEL.fullmatch(target)):
        try:
            check_url(target, allow_private=True)  # what may be reached is decided when something is sent
        except TargetRefused as error:
            kinds = "a #channel or a URL" if channel.type == "slack" else "a URL"
            raise InvalidParameter(
                param, f"{param} must be {kinds}, up to {URL_MAX_CHARACTERS} characters: {error}"
            ) from None


def _check_secret(channel: Channel, param: str) -> None:
    if channel.secret is None:
        return
    if channel.type != "webhook":
        raise InvalidParameter(param, f"{param} is for a webhook only")
    try:
        secret_bytes(channel.secret)
    except SecretUnusable as error:
        raise InvalidParameter(param, f"{param} {error}") from None


def addresses(text: str, param: str) -> list[str]:
    """The addresses of a list with commas.

    Raises:
        InvalidParameter: one of them is none; a line break among them would be a header of its own.
    """
    found = [address.strip(" ") for address in text.split(",")]
    if len(found) > RECIPIENTS_MAX or not all(map(_ADDRESS.fullmatch, found)):
        raise InvalidParameter(param, f"{param} must be up to {RECIPIENTS_MAX} e-mail addresses with commas between them")
    return found

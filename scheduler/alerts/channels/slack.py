"""Slack: a message to an incoming webhook, as Block Kit. Mattermost and others take the same.

Takes   notifications of one rule and status.
Gives   the request.
Refuses to guess where it goes: `ChannelUnusable`.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and, for the limits of blocks,
https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..notifications import Links, Notification
from ..targets import HttpRequest
from . import wording
from .channel import Channel
from .settings import ChannelSettings, ChannelUnusable

HEADER_MAX_CHARACTERS = 150
TEXT_MAX_CHARACTERS = 3000
SHOWN_MAX = 15
"""Alerts that one message shows; a block each, of the 50 that it may have."""

_SIGNS = {"critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":large_blue_circle:"}
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def render(notifications: Sequence[Notification], channel: Channel, settings: ChannelSettings) -> HttpRequest:
    """The request that says it.

    Raises:
        ChannelUnusable: no webhook is set.
    """
    is_url = (channel.target or "").lower().startswith("http")
    url = channel.target if is_url and channel.target else settings.slack_url
    if not url:
        raise ChannelUnusable("set TRACELAKE_SLACK_URL to an incoming webhook of Slack")
    message = _message(notifications, settings)
    if channel.target and not is_url:
        message["channel"] = channel.target
    return HttpRequest(url, msgspec.json.encode(message), {"Content-Type": "application/json"})


def _message(notifications: Sequence[Notification], settings: ChannelSettings) -> dict[str, Any]:
    first, title = notifications[0], wording.title(notifications)
    sign = _SIGNS[first.severity] if first.status == "firing" else ":white_check_mark:"
    header = {"type": "plain_text", "text": wording.cut(f"{sign} {title}", HEADER_MAX_CHARACTERS), "emoji": True}
    shown = notifications[:SHOWN_MAX]
    blocks = [{"type": "header", "text": header}]
    blocks += [_section(_text(one, one.links(settings.public_url, settings.lab_url))) for one in shown]
    if len(notifications) > len(shown):
        blocks.append(_section(f"and {len(notifications) - len(shown)} more"))
    texts = [title, *map(wording.summary, shown)]
    return {"text": wording.cut(_escaped("\n".join(texts)), TEXT_MAX_CHARACTERS), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _text(notification: Notification, links: Links) -> str:
    """The facts, a line each; as many whole lines as there is room for."""
    lines = [f"*{_escaped(wording.summary(notification))}*"]
    lines += [f"{label}: {_linked(text, url)}" for label, text, url in wording.facts(notification, links)]
    lines = [
        line if len(line) <= TEXT_MAX_CHARACTERS // 4 else wording.cut(line, TEXT_MAX_CHARACTERS // 4) for line in lines
    ]
    while len("\n".join(lines)) > TEXT_MAX_CHARACTERS:
        lines.pop()
    return "\n".join(lines)


def _linked(text: str, url: str | None) -> str:
    return f"<{_escaped(url)}|{_escaped(text)}>" if url else _escaped(text)


def _escaped(text: str) -> str:
    """Text of users says nothing to Slack: no mention, no link."""
    return text.translate(_ESCAPES)

"""E-mail: a message in text and HTML.

Takes   notifications of one rule and status.
Gives   the message, with its recipients. All messages of one rule are one thread, for programs that show threads.
Refuses to guess who gets it: `ChannelUnusable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from html import escape

from ..notifications import Notification
from . import wording
from .channel import Channel, addresses
from .settings import ChannelSettings, ChannelUnusable

SHOWN_MAX = 50
"""Alerts that one message shows."""


def render(
    notifications: Sequence[Notification], channel: Channel, settings: ChannelSettings, *, message_id: str, sent_at: datetime
) -> EmailMessage:
    """The message that says it.

    Args:
        message_id: the same on every attempt.
        sent_at: the moment of this attempt.

    Raises:
        ChannelUnusable: recipients or sender are not set.
    """
    to = channel.target or settings.alert_email_to
    if not to or not settings.alert_email_from:
        raise ChannelUnusable("set TRACELAKE_ALERT_EMAIL_FROM, and TRACELAKE_ALERT_EMAIL_TO or the target of the channel")
    first = notifications[0]
    message = EmailMessage(policy=SMTP)
    message["From"] = Address("Tracelake", addr_spec=settings.alert_email_from)
    message["To"] = [Address(addr_spec=address) for address in addresses(to, "target")]
    message["Subject"] = wording.title(notifications)
    message["Date"] = format_datetime(sent_at)
    domain = settings.alert_email_from.rpartition("@")[2]
    message["Message-ID"] = f"<{message_id}@{domain}>"
    thread = sha256(f"{first.project}/{first.environment}/{first.rule_id}".encode()).hexdigest()[:32]
    message["In-Reply-To"] = message["References"] = f"<rule-{thread}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(_text(notifications, settings))
    message.add_alternative(_html(notifications, settings), subtype="html")
    return message


def _text(notifications: Sequence[Notification], settings: ChannelSettings) -> str:
    parts = []
    for one in notifications[:SHOWN_MAX]:
        found = wording.facts(one, one.links(settings.public_url, settings.lab_url))
        width = max(len(fact.label) for fact in found)
        lines = [f"{label + ':':<{width + 1}} {text}{f'  {url}' if url else ''}" for label, text, url in found]
        parts.append("\n".join([wording.summary(one), "", *lines]))
    return "\n\n".join([*parts, *_left_out(notifications)]) + "\n"


def _html(notifications: Sequence[Notification], settings: ChannelSettings) -> str:
    parts = []
    for one in notifications[:SHOWN_MAX]:
        found = wording.facts(one, one.links(settings.public_url, settings.lab_url))
        rows = "".join(
            f'<tr><th align="left" valign="top">{escape(label)}</th><td>{_linked(text, url)}</td></tr>'
            for label, text, url in found
        )
        parts.append(f"<h3>{escape(wording.summary(one))}</h3><table cellpadding=4>{rows}</table>")
    left_out = "".join(f"<p>{text}</p>" for text in _left_out(notifications))
    body = f"<h2>{escape(wording.title(notifications))}</h2>{''.join(parts)}{left_out}"
    return f'<!doctype html><html><body style="font-family: sans-serif">{body}</body></html>\n'


def _linked(text: str, url: str | None) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>' if url else escape(text)


def _left_out(notifications: Sequence[Notification]) -> list[str]:
    count = len(notifications) - SHOWN_MAX
    return [f"and {count} more"] if count > 0 else []

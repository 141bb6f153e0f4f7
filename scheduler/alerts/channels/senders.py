"""Senders: a message on its way.

Takes   what is to be said, and the channel.
Gives   what became of it: `Outcome`. Nothing that goes wrong is an exception.
Refuses nothing.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import datetime
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import structlog

from ..addresses import TargetRefused
from ..deploy_notes import Deployed
from ..notifications import Notification
from ..targets import TIMEOUT_S, HttpRequest, Targets, TargetUnreachable
from . import email, pagerduty, slack, webhook
from .channel import Channel
from .outcome import Outcome, of_answer, of_smtp
from .settings import ChannelSettings, ChannelUnusable

Message = Sequence[Notification] | Deployed
"""Notifications of one rule and status, or a deploy."""

log = structlog.get_logger()


class Senders:
    """Sends by every kind of channel. Safe for use by several threads."""

    def __init__(self, settings: ChannelSettings, targets: Targets | None = None) -> None:
        """
        Args:
            targets: how HTTP is sent; by default guarded as the settings say.
        """
        self._settings = settings
        self._targets = targets or Targets(allow_private=settings.allow_private_targets)

    def send(self, message: Message, channel: Channel, *, message_id: str, sent_at: datetime) -> Outcome:
        """Send a message once.

        Args:
            message_id: the same on every attempt.
            sent_at: the moment of this attempt.
        """
        try:
            rendered = self._rendered(message, channel, message_id, sent_at)
            if isinstance(rendered, HttpRequest):
                return of_answer(channel.type, self._targets.post(rendered), sent_at)
            return send_mail(self._settings.smtp_url, rendered)
        except (ChannelUnusable, TargetRefused) as error:
            return Outcome("dead", str(error))
        except TargetUnreachable as error:
            return Outcome("retry", str(error))
        except Exception as error:  # a fault of ours must not end the delivery of others; its text may hold a secret
            log.error("message not sent", message=message_id, channel=channel.type, error=type(error).__name__)
            return Outcome("retry", f"a fault of Tracelake ({type(error).__name__})")

    def _rendered(
        self, message: Message, channel: Channel, message_id: str, sent_at: datetime
    ) -> HttpRequest | EmailMessage:
        if isinstance(message, Deployed):
            return pagerduty.render_deploy(message, channel, self._settings)
        if channel.type == "pagerduty":
            [notification] = message
            return pagerduty.render(notification, channel, self._settings)
        if channel.type == "slack":
            return slack.render(message, channel, self._settings)
        render = email.render if channel.type == "email" else webhook.render
        return render(message, channel, self._settings, message_id=message_id, sent_at=sent_at)


def send_mail(smtp_url: str, message: EmailMessage, *, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Hand a message to the mail server.

    Args:
        smtp_url: `smtp://`, `smtps://` or `smtp+plain://`, as `ChannelSettings.smtp_url`.
        timeout_s: seconds that each step may take.
    """
    if not smtp_url:
        return Outcome("dead", "set TRACELAKE_SMTP_URL to a mail server")
    try:
        server = _connected(smtp_url, timeout_s)
    except (smtplib.SMTPException, OSError) as error:
        return of_smtp(error)
    with closing(server):
        try:
            refused = server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            return of_smtp(error)
        with suppress(smtplib.SMTPException, OSError):  # it has the message; to send it again would double it
            server.quit()
    return Outcome("delivered", f"not to {len(refused)} recipients that the mail server refuses" if refused else None)


def _connected(smtp_url: str, timeout_s: float) -> smtplib.SMTP:
    """A mail server that is ready to take a message; a password never goes without TLS."""
    parts = urlsplit(smtp_url)
    host, tls = parts.hostname or "", ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=timeout_s, context=tls)
    else:
        server = smtplib.SMTP(host, parts.port or (587 if parts.scheme == "smtp" else 25), timeout=timeout_s)
    try:
        if parts.scheme == "smtp":
            server.starttls(context=tls)
        if parts.username is not None:
            server.login(unquote(parts.username), unquote(parts.password or ""))
    except (smtplib.SMTPException, OSError):
        server.close()
        raise
    return server

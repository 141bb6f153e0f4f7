"""Outcome: what an answer to a message means: it is delivered, it shall be sent again later, or never.

Takes   answers of HTTP and errors of SMTP.
Gives   `Outcome`.
Refuses nothing.

What can pass is tried again: no answer, 408, 429 and 5xx; 4xx replies of SMTP. What cannot is dead at once: other 4xx, 3xx,
which would be a target that nobody checked, and 5xx replies of SMTP.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from .channel import ChannelType
from .wording import cut, plain

if TYPE_CHECKING:
    from ..targets import HttpAnswer  # who only reads outcomes needs no HTTP

REASON_MAX_CHARACTERS = 300

Result = Literal["delivered", "retry", "dead"]

_CODE = re.compile(rb"[a-z_]{3,60}")
"""How Slack says what is wrong: `invalid_payload`, `channel_is_archived`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt."""

    result: Result
    reason: str | None = None
    """For people: why it is not delivered, or not to all. Without addresses and secrets."""
    retry_after_s: float | None = None
    """What the other side asks to wait."""


def of_answer(channel: ChannelType, answer: HttpAnswer, now: datetime) -> Outcome:
    """What an answer of HTTP means."""
    if 200 <= answer.status < 300:
        return Outcome("delivered")
    reason = f"it answered {answer.status}{_said(channel, answer.body)}"
    if answer.status in (408, 429) or answer.status >= 500:
        return Outcome("retry", reason, retry_after_s(answer.headers, now))
    return Outcome("dead", reason)


def _said(channel: ChannelType, body: bytes) -> str:
    """What Slack and PagerDuty say is wrong. Of other answers nothing: they may be of whom nobody here should read."""
    text = ""
    if channel == "slack" and _CODE.fullmatch(body.strip()):
        text = body.strip().decode()
    if channel == "pagerduty":
        try:
            text = msgspec.json.decode(body, type=_Refusal).message
        except msgspec.MsgspecError:
            text = ""
    return f": {cut(plain(text), REASON_MAX_CHARACTERS)}" if text else ""


class _Refusal(msgspec.Struct):
    """What PagerDuty answers."""

    message: str = ""


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` asks for, None if it does not say (RFC 9110, 10.2.3).

    Args:
        headers: names in lower case.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def of_smtp(error: smtplib.SMTPException | OSError) -> Outcome:
    """What an error of SMTP means (RFC 5321, 4.2.1)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        result: Result = "retry" if any(code < 500 for code in codes) else "dead"
        return Outcome(result, f"the mail server refuses all recipients ({', '.join(map(str, sorted(set(codes))))})")
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
        reason = cut(f"the mail server answered {error.smtp_code} {plain(said)}", REASON_MAX_CHARACTERS)
        return Outcome("dead" if error.smtp_code >= 500 else "retry", reason)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Outcome("dead", cut(f"the mail server cannot do it: {plain(str(error))}", REASON_MAX_CHARACTERS))
    return Outcome("retry", cut(f"no answer of the mail server: {plain(str(error))}", REASON_MAX_CHARACTERS))

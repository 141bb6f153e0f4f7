"""Notifications: what is said of an alert when it changes. The seam between those who judge and those who send.

Takes   an alert as it was when it changed.
Gives   `Notification`, its JSON text and back, and the addresses of what it is about.
Refuses text that is no notification (`ValueError`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

Severity = Literal["critical", "warning", "info"]
Status = Literal["firing", "acknowledged", "resolved"]
Reason = Literal["no_data", "error", "rule_deleted", "rule_disabled", "channel_removed", "missing_series"]
"""Why a status is what it is, if not for the value: the rule had nothing to judge or could not be asked; it is gone, or
switched off; it does not tell this channel any more; the series it watched is gone while others go on."""

_NOTEBOOK = "01_start"
"""Bundled notebook that an alert opens."""


@dataclass(frozen=True, slots=True)
class DeployNote:
    """A deploy as a message names it."""

    id: str
    version: str | None
    git_sha: str | None
    deployed_at: datetime


@dataclass(frozen=True, slots=True)
class Links:
    """Where to look; None where nothing is known to link to."""

    rule: str | None
    trace: str | None
    notebook: str | None


@dataclass(frozen=True, slots=True)
class Notification:
    """One message about one alert, as it was when the alert changed; channels render it, the outbox keeps it as JSON."""

    id: str
    """`msg_` and hex digits; the same on every attempt to deliver it."""
    project: str
    environment: str
    """Which lake of the project: `live` or `sandbox`."""
    rule_id: str
    rule_name: str
    severity: Severity
    alert_key: str
    """From `alert_key`: dedup key, and what the messages of one alert are grouped by."""
    labels: Mapping[str, str]
    """Which series of the rule: empty, `service`, or `service` and `endpoint`."""
    status: Status
    reason: Reason | None
    metric: str
    operator: str
    threshold: float
    """In `unit`, as is `value`."""
    unit: str
    """`ms`, `ratio` (0 to 1), `per minute`, or empty for a number without one."""
    window_s: int
    query: str | None
    """TQ, where the rule has one in place of a metric of its own."""
    value: float | None
    """None where nothing was there to judge."""
    started_at: datetime
    """When the condition began to hold. Aware, UTC, as every time here."""
    ended_at: datetime | None
    """When it ceased to; None while it holds."""
    evaluated_to: datetime
    """End of the window that was judged."""
    deploy: DeployNote | None = None
    """The last deploy before it began, of the service or of every service."""
    trace_id: str | None = None
    """An example."""

    def to_json(self) -> str:
        """As the outbox keeps it."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is no text of `to_json`.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ValueError(f"no notification: {error}") from error

    def links(self, public_url: str | None, lab_url: str | None) -> Links:
        """The addresses of the rule, the example trace and the notebook to look at.

        Args:
            public_url: address of this server as people reach it (`TRACELAKE_PUBLIC_URL`).
            lab_url: address of JupyterLab or of a page in it (`TRACELAKE_LAB_URL`); a token in it is left out.
        """
        api = public_url.rstrip("/") if public_url else None
        return Links(
            rule=f"{api}/v1/alerts/rules/{quote(self.rule_id, safe='')}" if api else None,
            trace=f"{api}/v1/traces/{quote(self.trace_id, safe='')}" if api and self.trace_id else None,
            notebook=_in_lab(lab_url, _NOTEBOOK) if lab_url else None,
        )


def new_message_id() -> str:
    """An id that no other message has."""
    return f"msg_{secrets.token_hex(12)}"


def alert_key(project: str, environment: str, rule_id: str, labels: Mapping[str, str]) -> str:
    """What tells an alert apart from every other one: 32 hex digits, the same for equal arguments for ever.

    The parts are written as JSON, so that no two lists of them run into the same text.
    """
    parts = [project, environment, rule_id, sorted(labels.items())]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _in_lab(lab_url: str, notebook: str) -> str:
    parts = urlsplit(lab_url)
    base = parts.path.rstrip("/").partition("/lab/")[0].removesuffix("/lab")
    return urlunsplit((parts.scheme, parts.netloc, f"{base}/lab/tree/{notebook}.ipynb", "", ""))

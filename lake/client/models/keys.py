"""Keys as the server shows them."""

from __future__ import annotations

import datetime as dt

from msgspec import Struct


class ApiKey(Struct, frozen=True, kw_only=True):
    """What is known of a key; not the key."""

    id: str
    """Public: the prefix and twelve digits."""
    name: str | None = None
    project: str
    kind: str
    """`ingest`, `live` or `test`."""
    environment: str
    """`live` or `sandbox`."""
    scopes: list[str]
    rate_limit: int
    """Requests a minute."""
    created_at: dt.datetime
    last_used_at: dt.datetime | None = None
    """To the hour."""
    revoked_at: dt.datetime | None = None


class NewApiKey(ApiKey, frozen=True, kw_only=True):
    """A key that has just been made."""

    key: str
    """The key itself, which is never shown again; `repr` leaves it out."""

    def __repr__(self) -> str:
        return f"NewApiKey(id={self.id!r}, name={self.name!r}, kind={self.kind!r}, key=...)"


class RevokedApiKey(Struct, frozen=True, kw_only=True):
    """A key that nobody can use any more."""

    id: str
    revoked: bool

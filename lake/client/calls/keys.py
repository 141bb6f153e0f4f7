"""Calls about keys: those of the project of the key that asks, which needs the scope `admin`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from ..call import JSON, Call, encoded, get, reader, segment
from ..models.keys import ApiKey, NewApiKey, RevokedApiKey
from ..models.paging import Page
from ..retries import Repeat
from ..transport import Request


def current_key() -> Call[ApiKey]:
    """Who am I: what the server knows of the key that asks; needs no scope."""
    return get("/v1/keys/current", ApiKey)


def list_keys(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[ApiKey]]:
    """One page of the keys, the oldest first, the revoked ones too; to a test key those of the sandbox.

    Args:
        limit: keys of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before.
    """
    return get("/v1/keys", Page[ApiKey], limit=limit, cursor=cursor)


def get_key(key_id: str) -> Call[ApiKey]:
    """One key by its id, also if it is revoked.

    Raises:
        NotFound: there is no such key.
    """
    return get(_path(key_id), ApiKey)


def create_key(
    *,
    kind: str | None = None,
    name: str | None = None,
    scopes: Sequence[str] | None = None,
    rate_limit: int | None = None,
) -> Call[NewApiKey]:
    """Make a key with no more permissions and no higher limit than the one that asks.

    Not sent again where it may have been made already: look with `list_keys`.

    Args:
        kind: `ingest`, `live` or `test`; without it that of the key that asks.
        name: what people call it.
        scopes: without it all that the key that asks can give.
        rate_limit: requests a minute; without it that of the key that asks.
    """
    wanted = {"kind": kind, "name": name, "scopes": scopes, "rate_limit": rate_limit}
    body = encoded({name: value for name, value in wanted.items() if value is not None})
    request = Request("POST", "/v1/keys", headers={"Content-Type": JSON}, body=body, repeat=Repeat.IF_REFUSED)
    return Call(request, reader(NewApiKey))


def change_key(
    key_id: str, *, name: str | UnsetType | None = UNSET, rate_limit: int | UnsetType | None = UNSET
) -> Call[ApiKey]:
    """Change the name or the limit of a key; what is not given stays.

    Args:
        name: None takes it away.
        rate_limit: requests a minute; None is the server's default.

    Raises:
        NotFound: there is no such key.
    """
    given = {"name": name, "rate_limit": rate_limit}
    body = encoded({name: value for name, value in given.items() if value is not UNSET})
    return Call(Request("PATCH", _path(key_id), headers={"Content-Type": JSON}, body=body), reader(ApiKey))


def revoke_key(key_id: str) -> Call[RevokedApiKey]:
    """End a key for good; every worker of the server refuses it within a second.

    Raises:
        NotFound: there is no such key.
    """
    return Call(Request("DELETE", _path(key_id)), reader(RevokedApiKey))


def _path(key_id: str) -> str:
    return f"/v1/keys/{segment('key_id', key_id)}"

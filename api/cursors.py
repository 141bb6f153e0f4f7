"""Cursors: where a page ended, as text that only this deployment can make.

Takes   the snapshot, window and filters of a list, and the last row of a page.
Gives   `v1.<base64url JSON>.<HMAC>`.
Refuses text that is no cursor, was made for another list or other filters, or by another deployment: `InvalidCursor`.

A cursor names a snapshot, so rows that come later neither shift nor double nor hide anything. It has no file names and
needs no server state; it ends when the snapshot expires (`LakeSettings.snapshot_keep_s`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256
from typing import Any

import orjson

from .problems import InvalidCursor

_PREFIX = "v1"


def encode(secret: bytes, scope: str, content: dict[str, Any]) -> str:
    """Make a cursor.

    Args:
        scope: the list and tenant it is for; not in the text, but signed.
    """
    payload = base64.urlsafe_b64encode(orjson.dumps(content)).decode("ascii").rstrip("=")
    return f"{_PREFIX}.{payload}.{_signature(secret, scope, payload)}"


def decode(secret: bytes, scope: str, cursor: str) -> dict[str, Any]:
    """Read a cursor that `encode` made with the same secret and scope.

    Raises:
        InvalidCursor: it is none.
    """
    prefix, _, rest = cursor.partition(".")
    payload, _, signature = rest.partition(".")
    if prefix != _PREFIX or not hmac.compare_digest(signature.encode(), _signature(secret, scope, payload).encode()):
        raise InvalidCursor("cursor", "'cursor' must be the next_cursor of an earlier answer to the same key")
    try:
        content: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, orjson.JSONDecodeError) as error:
        raise InvalidCursor("cursor", "'cursor' must be the next_cursor of an earlier answer") from error
    return content


def _signature(secret: bytes, scope: str, payload: str) -> str:
    digest = hmac.digest(secret, f"{scope}\0{payload}".encode(), sha256)
    return base64.urlsafe_b64encode(digest[:18]).decode("ascii")

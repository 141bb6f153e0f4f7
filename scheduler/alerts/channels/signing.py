"""Signing: how who receives a webhook knows that Tracelake sent it. Standard Webhooks 1.0.

Takes   a secret, `whsec_` and base64, and the bytes of a message.
Gives   the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
Refuses secrets that are none (`SecretUnusable`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import datetime
from hashlib import sha256

from lake.errors import LakeError

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64


class SecretUnusable(LakeError):
    """The text is no secret of a webhook. It is not repeated."""


def secret_bytes(secret: str) -> bytes:
    """
    Raises:
        SecretUnusable: it is none.
    """
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not secret.startswith(PREFIX) or not MIN_BYTES <= len(found) <= MAX_BYTES:
        raise SecretUnusable(f"must be {PREFIX} and {MIN_BYTES} to {MAX_BYTES} bytes in base64")
    return found


def signature_headers(secret: str, message_id: str, body: bytes, sent_at: datetime) -> dict[str, str]:
    """The headers of one attempt.

    Args:
        message_id: the same on every attempt.
        sent_at: the moment of this attempt.
    """
    timestamp = str(int(sent_at.timestamp()))
    digest = hmac.digest(secret_bytes(secret), b".".join((message_id.encode(), timestamp.encode(), body)), sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }

"""Who receives a webhook can tell that Tracelake sent it, with the published library."""

import base64
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from scheduler.alerts.channels.signing import SecretUnusable, secret_bytes, signature_headers

BODY = json.dumps({"status": "firing", "name": "p99 über 500 ms"}).encode()


def secret_of(content: bytes) -> str:
    return f"whsec_{base64.b64encode(content).decode()}"


@given(st.binary(min_size=24, max_size=64))
def test_the_published_library_verifies_what_is_signed(content):
    headers = signature_headers(secret_of(content), "msg_1", BODY, dt.datetime.now(dt.UTC))
    assert Webhook(secret_of(content)).verify(BODY, headers) == json.loads(BODY)


@pytest.mark.parametrize("change", ["body", "id", "timestamp", "secret"])
def test_a_message_that_was_changed_is_not_verified(change):
    now = dt.datetime.now(dt.UTC)
    headers = signature_headers(secret_of(b"a" * 32), "msg_1", BODY, now)
    if change == "id":
        headers["webhook-id"] = "msg_2"
    if change == "timestamp":
        headers["webhook-timestamp"] = str(int(now.timestamp()) - 60)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of((b"b" if change == "secret" else b"a") * 32)).verify(BODY + b" " * (change == "body"), headers)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                    secret_of(b"x" * 23), secret_of(b"x" * 65), "whsec_ü"])  # fmt: skip
def test_what_is_no_secret_is_refused_and_not_repeated(secret):
    with pytest.raises(SecretUnusable) as refused:
        secret_bytes(secret)
    assert not secret or secret == "whsec_" or secret not in str(refused.value)

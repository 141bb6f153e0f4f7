"""Bodies of errors, deploys and request metrics, in both generations of names, become rows or are refused by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lake.errors import TooLarge, WireError
from lake.schema import DEPLOYS, ERRORS, REQUESTS
from lake.wire import reports
from lake.wire.reports import Reports

NOW_US = 1_700_000_000_123_456
NOW = datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)

SEED_ERROR = (
    b'{ "error_type": "RuntimeError", "message": "Something went wrong", "backtrace": ["app/models/user.rb:42:in `save`"] }'
)
SEED_DEPLOY = b'{ "version": "v1.2.3", "git_sha": "abc123def", "deployer": "github-actions" }'
GEM_BATCH = (
    b'{"errors":[{"exception_class":"RecordNotFound","message":"Couldn\'t find User with ID=123",'
    b'"backtrace":["app/models/user.rb:10"],"fingerprint":"527a556a043d862fa359e000a77da7a5",'
    b'"timestamp":"2026-01-02T23:43:00Z"}]}'
)
ERROR = {"exception_class": "RuntimeError", "message": "boom"}
DEPLOY = {"version": "v1"}
REQUEST = {"request_id": "r1", "method": "GET", "path": "/users", "status": 200, "total_ms": 12.5}
TRACE_ID, SPAN_ID = "5b8aa5a2d2c872e8321cf37308d69df2", "051581bf3cb55c13"

DECODERS = {
    "error": reports.decode_error,
    "errors": reports.decode_errors,
    "deploy": reports.decode_deploy,
    "requests": reports.decode_requests,
}


def decode(what: str, body: object, key: str | None = None) -> Reports:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DECODERS[what](content, ingested_at_us=NOW_US, idempotency_key=key)


def row(what: str, body: object) -> dict[str, Any]:
    (only,) = decode(what, body).table.to_pylist()
    return only


def test_the_error_of_the_reference_is_taken_as_printed():
    error = row("error", SEED_ERROR)
    assert error["exception_class"] == "RuntimeError"
    assert error["message"] == "Something went wrong"
    assert error["backtrace"] == ["app/models/user.rb:42:in `save`"]
    assert error["location"] == "app/models/user.rb:42:in `save`"
    assert error["timestamp"] == error["ingested_at"] == NOW
    assert len(error["fingerprint"]) == 32


def test_the_deploy_of_the_reference_is_taken_as_printed():
    deploy = row("deploy", SEED_DEPLOY)
    assert (deploy["version"], deploy["git_sha"], deploy["deployer"]) == ("v1.2.3", "abc123def", "github-actions")
    assert deploy["deployed_at"] == NOW


def test_the_batch_of_the_ruby_gem_is_taken_as_sent():
    error = row("errors", GEM_BATCH)
    assert error["exception_class"] == "RecordNotFound"
    assert error["fingerprint"] == "527a556a043d862fa359e000a77da7a5"
    assert error["timestamp"] == datetime(2026, 1, 2, 23, 43, tzinfo=UTC)


@pytest.mark.parametrize(
    ("what", "body", "schema"),
    [
        ("error", ERROR, ERRORS.arrow_schema),
        ("errors", {"errors": []}, ERRORS.arrow_schema),
        ("errors", {"errors": [ERROR, ERROR]}, ERRORS.arrow_schema),
        ("errors", {"errors": [1]}, ERRORS.arrow_schema),
        ("deploy", DEPLOY, DEPLOYS.arrow_schema),
        ("requests", {"requests": []}, REQUESTS.arrow_schema),
        ("requests", {"requests": [REQUEST]}, REQUESTS.arrow_schema),
    ],
)
def test_a_table_has_exactly_the_columns_of_the_schema(what, body, schema):
    table = decode(what, body).table
    assert table.schema.equals(schema, check_metadata=True)
    table.validate(full=True)


def test_a_batch_keeps_the_sound_errors_and_lists_the_others():
    outcome = decode("errors", {"errors": [ERROR, 1, {"message": "no class"}, ERROR, ERROR | {"timestamp": "soon"}]})
    assert outcome.table.num_rows == 2
    assert [rejected.index for rejected in outcome.rejected] == [1, 2, 4]
    assert outcome.rejected[1].message.startswith("exception_class is missing")
    assert outcome.rejected[2].message.startswith("timestamp must be a time such as")


@pytest.mark.parametrize(("what", "list_"), [("errors", "errors"), ("requests", "requests")])
def test_a_batch_of_too_many_is_refused_whole(what, list_):
    with pytest.raises(TooLarge, match="10000 reports, this one has 10001"):
        decode(what, b'{"%s":[%s]}' % (list_.encode(), b",".join([b"{}"] * 10_001)))


def test_the_ids_of_a_key_are_always_the_same_and_differ_inside_a_batch():
    ids = decode("errors", {"errors": [ERROR, ERROR]}, "k").table["id"].to_pylist()
    assert ids == decode("errors", {"errors": [ERROR, ERROR]}, "k").table["id"].to_pylist()
    assert len(set(ids)) == 2
    assert ids != decode("errors", {"errors": [ERROR, ERROR]}, "other").table["id"].to_pylist()


@pytest.mark.parametrize("what", ["error", "deploy"])
def test_an_empty_body_is_refused(what):
    with pytest.raises(WireError, match="must be a JSON object"):
        decode(what, b"")

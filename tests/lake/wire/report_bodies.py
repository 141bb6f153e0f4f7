"""Reports as clients send them, and what the decoders make of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

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
OLD_ERROR = {
    "error_type": "NoMethodError",
    "message": "undefined method 'name' for nil",
    "backtrace": ["app/models/user.rb:42:in 'display_name'", "app/controllers/users_controller.rb:15:in 'show'"],
    "context": {"user_id": 123, "request_id": "req-abc123", "params": {"id": "123"}},
    "environment": "production",
    "git_sha": "abc123",
    "happened_at": "2024-01-15T14:30:00Z",
    "trace_id": TRACE_ID,
    "span_id": SPAN_ID,
}
NEW_ERROR = {
    "exception_class": "NoMethodError",
    "message": "undefined method 'name' for nil",
    "backtrace": ["app/models/user.rb:42:in 'display_name'"],
    "fingerprint": "abc123def456",
    "timestamp": "2024-01-15T14:30:00Z",
    "request_id": "req-abc123",
    "user_id": "123",
    "params": {"id": 123, "password": "[FILTERED]"},
    "source_context": {
        "file": "app/models/user.rb",
        "lineno": 42,
        "pre_context": [],
        "context_line": "x",
        "post_context": [],
    },
}

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
    rows: list[dict[str, Any]] = decode(what, body).table.to_pylist()
    assert len(rows) == 1
    return rows[0]

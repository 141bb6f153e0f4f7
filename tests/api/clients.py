"""Clients: what a test sends and asks, over HTTP.

Takes   the address of a server and a key; the few things about a span that a test cares about.
Gives   `Client`, and OTLP/JSON as a JavaScript SDK writes it.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 60
"""Seconds that an answer may take on a busy machine; no measurement."""


class Client(httpx.Client):
    """HTTP to one server with one key."""

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        super().__init__(base_url=url, headers=headers, timeout=TIMEOUT_S)

    def store(self, *spans: Mapping[str, Any], service: str = "shop", **resource: Any) -> None:
        """Store spans; returns when they are acknowledged."""
        answer = self.post("/ingest/v1/traces", json=otlp(*spans, service=service, **resource))
        assert (answer.status_code, answer.json()) == (200, {"partialSuccess": {}}), answer.text

    def listed(self, **parameters: Any) -> list[str]:
        """The ids of a list of traces, in its order."""
        return [item["trace_id"] for item in self.found("/v1/traces", **parameters)["data"]]

    def trace(self, trace_id: str) -> dict[str, Any]:
        """One trace."""
        return self.found(f"/v1/traces/{trace_id}")

    def found(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The content of a 200."""
        answer = self.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def refused(self, path: str, **parameters: Any) -> tuple[int, str, str | None]:
        """Status, code and parameter of a refusal."""
        answer = self.get(path, params=parameters)
        error = answer.json()["error"]
        assert error["request_id"] == answer.headers["x-request-id"]
        return answer.status_code, error["code"], error.get("param")

    def pages(self, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Page after page of a list of traces."""
        cursor: dict[str, str] = {}
        while True:
            page = self.found("/v1/traces", **parameters, **cursor)
            yield page
            if not page["has_more"]:
                return
            cursor = {"cursor": page["next_cursor"]}


@dataclass(frozen=True, slots=True)
class Project:
    """A project with a client for each kind of its keys."""

    name: str
    ingest: Client
    live: Client
    test: Client


def otlp(*spans: Mapping[str, Any], service: str | None = "shop", **resource: Any) -> dict[str, Any]:
    """An OTLP/JSON request of spans of one service."""
    attributes = ({"service.name": service} if service else {}) | _dotted(resource)
    return {
        "resourceSpans": [
            {"resource": {"attributes": key_values(attributes)}, "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}
        ]
    }


def span(
    name: str = "GET /",
    *,
    trace_id: str | None = None,
    span_id: str | None = None,
    parent: str | None = None,
    start: dt.datetime | int | None = None,
    ms: float = 10,
    kind: int = 2,
    status: int = 0,
    events: list[dict[str, Any]] | None = None,
    **attributes: Any,
) -> dict[str, Any]:
    """One span.

    Args:
        start: a time, or nanoseconds since the epoch; now if none.
        kind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
        status: 0 unset, 1 ok, 2 error.
        attributes: `http_status__code` is `http.status_code`.
    """
    start_ns = nanoseconds(start) if isinstance(start, dt.datetime) else start or time.time_ns()
    return {
        "traceId": trace_id or new_trace_id(),
        "spanId": span_id or secrets.token_hex(8),
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + int(ms * 1e6)),
        "attributes": key_values(_dotted(attributes)),
        "events": events or [],
        "status": {"code": status},
    }


def _dotted(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {"_".join(part.replace("_", ".") for part in key.split("__")): value for key, value in keywords.items()}


def exception(kind: str, message: str, *, at: int | None = None) -> dict[str, Any]:
    """An exception event."""
    attributes = key_values({"exception.type": kind, "exception.message": message})
    return {"name": "exception", "timeUnixNano": str(at or time.time_ns()), "attributes": attributes}


def key_values(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP/JSON has them; integers are numbers."""
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in attributes.items()]


UNKNOWN_TRACE = "f" * 32
"""The id of no trace that a test sends."""


def new_trace_id() -> str:
    """A trace id that no other test has."""
    return secrets.token_hex(16)


def nanoseconds(time: dt.datetime) -> int:
    """Since the Unix epoch, exactly."""
    return (time - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1) * 1000

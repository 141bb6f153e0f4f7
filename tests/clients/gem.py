"""Gem: the requests of the Ruby gem `miniapm` 0.1.0, in the shapes that its own test suite recorded.

Takes   the name of a recording.
Gives   the request as the gem builds it, with new ids and the present time.
Refuses nothing.

The gem sends plain JSON under the names of the second generation, children before their parents, integers as text.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, NamedTuple

HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "miniapm-ruby/0.1.0",
    "Accept": "*/*",
    "Accept-Encoding": "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
}

_INTERNAL, _SERVER, _CLIENT, _CONSUMER = 1, 2, 3, 5
_UNSET, _OK = {"code": 0}, {"code": 1}
_RESOURCE = {
    "service.name": "miniapm-gem-test", "deployment.environment": "test", "host.name": "laptop.localdomain",
    "telemetry.sdk.name": "miniapm-ruby", "telemetry.sdk.version": "0.1.0", "telemetry.sdk.language": "ruby",
    "ruby.version": "3.3.10", "git.sha": "418d00d6e9d9f6099803fbabe6604de8338071ee",
}  # fmt: skip


class _Span(NamedTuple):
    name: str
    kind: int
    attributes: dict[str, Any]
    parent: str | None = None
    """Name of the parent."""
    status: dict[str, Any] = _UNSET
    events: tuple[tuple[str, dict[str, Any]], ...] = ()


def _failed(message: str) -> dict[str, Any]:
    return {"code": 2, "message": message}


def _exception(class_: str, message: str, *backtrace: str) -> tuple[str, dict[str, Any]]:
    return "exception", {
        "exception.type": class_, "exception.message": message, "exception.stacktrace": "\n".join(backtrace)
    }  # fmt: skip


def _sql(system: str, statement: str, **more: str) -> dict[str, Any]:
    return {"db.system": system, **more, "db.statement": statement}


def _http(method: str, url: str, status: int, **more: Any) -> dict[str, Any]:
    return {"http.method": method, "http.url": url, "http.status_code": status, **more}


def _job(class_: str, queue: str, id_: str) -> dict[str, Any]:
    return {
        "messaging.system": "sidekiq", "messaging.operation": "process", "job.class": class_, "job.queue": queue,
        "job.id": id_,
    }  # fmt: skip


TRACES: dict[str, list[_Span]] = {
    "single_span": [_Span("GET /api/users", _SERVER, _http("GET", "http://example.com/api/users", 200))],
    "batch_spans": [
        _Span("SELECT * FROM orders", _CLIENT, _sql("postgresql", "SELECT * FROM orders WHERE user_id = ?"),
              "GET /api/orders"),
        _Span("cache_read orders:list", _INTERNAL, {"cache.hit": False}, "GET /api/orders"),
        _Span("GET /api/orders", _SERVER, {"http.method": "GET", "http.status_code": 200}),
    ],
    "span_with_events": [
        _Span("process_order", _INTERNAL, {"order.id": "12345"}, events=(
            ("validation_passed", {"rules_checked": 5}),
            ("payment_processed", {"gateway": "stripe", "amount": 99.99}),
            ("email_sent", {"template": "order_confirmation"}),
        )),
    ],
    "span_with_exception": [
        _Span("POST /api/create", _SERVER, {"http.method": "POST"}, status=_failed("Database connection failed"), events=(
            _exception("StandardError", "Database connection failed",
                       "app/models/user.rb:42", "app/controllers/users_controller.rb:18"),
        )),
    ],
    "http_client_span": [
        _Span("GET /api/external", _SERVER, {}),
        _Span("GET api.stripe.com/v1/charges", _CLIENT,
              _http("GET", "https://api.stripe.com/v1/charges", 200, **{"http.response_content_length": 1234}),
              "GET /api/external", _OK),
    ],
    "job_span": [_Span("SendEmailJob", _CONSUMER, _job("SendEmailJob", "default", "abc123"))],
    "full_request": [
        _Span("SELECT users.*", _CLIENT,
              _sql("postgresql", "SELECT * FROM users WHERE id = $1", **{"db.name": "myapp_production"}),
              "UsersController#show"),
        _Span("cache_read user:123:profile", _INTERNAL, {"cache.key": "user:123:profile", "cache.hit": True},
              "UsersController#show"),
        _Span("GET api.gravatar.com/avatar", _CLIENT, _http("GET", "https://api.gravatar.com/avatar/abc123", 200),
              "UsersController#show", _OK),
        _Span("render users/_profile.html.erb", _INTERNAL, {"template": "users/_profile.html.erb"},
              "render users/show.html.erb"),
        _Span("render users/show.html.erb", _INTERNAL, {"template": "users/show.html.erb", "layout": "application"},
              "UsersController#show"),
        _Span("UsersController#show", _INTERNAL, {"code.namespace": "UsersController", "code.function": "show"},
              "GET /api/users/123"),
        _Span("GET /api/users/123", _SERVER, {
            "http.method": "GET", "http.url": "http://localhost:3000/api/users/123", "http.host": "localhost",
            "http.scheme": "http", "http.target": "/api/users/123", "http.status_code": 200,
        }),
    ],
    "distributed": [
        _Span("GET /api/products/123", _SERVER, {}),
        _Span("GET /internal/inventory", _SERVER, {}, "GET /api/products/123"),
    ],
    "background_job": [
        _Span("SELECT users.*", _CLIENT, _sql("postgresql", "SELECT * FROM users WHERE id = $1"), "SendWelcomeEmailJob"),
        _Span("POST api.sendgrid.com/v3/mail/send", _CLIENT, _http("POST", "https://api.sendgrid.com/v3/mail/send", 202),
              "SendWelcomeEmailJob", _OK),
        _Span("SendWelcomeEmailJob", _CONSUMER, _job("SendWelcomeEmailJob", "mailers", "jid-abc123")),
    ],
    "request_with_error": [
        _Span("INSERT INTO orders", _CLIENT, _sql("postgresql", "INSERT INTO orders (user_id, total) VALUES ($1, $2)"),
              "POST /api/orders"),
        _Span("POST api.stripe.com/v1/charges", _CLIENT, _http("POST", "https://api.stripe.com/v1/charges", 402),
              "POST /api/orders", _failed("Card declined"),
              (_exception("RuntimeError", "Card declined", "app/services/payment_processor.rb:42"),)),
        _Span("POST /api/orders", _SERVER,
              {"http.method": "POST", "http.target": "/api/orders", "http.status_code": 422},
              status=_failed("Payment failed")),
    ],
}  # fmt: skip
"""The recorded trace requests, spans in the order sent."""


def trace_request(name: str) -> dict[str, Any]:
    """A recorded request of `TRACES`."""
    trace_id, now_ns = secrets.token_hex(16), time.time_ns()
    ids = {span.name: secrets.token_hex(8) for span in TRACES[name]}
    spans = [_span(span, trace_id, ids, now_ns + place * 1000) for place, span in enumerate(TRACES[name])]
    scope = {"name": "miniapm-ruby", "version": "0.1.0"}
    return {
        "resourceSpans": [
            {"resource": {"attributes": _attributes(_RESOURCE)}, "scopeSpans": [{"scope": scope, "spans": spans}]}
        ]
    }


def _span(span: _Span, trace_id: str, ids: dict[str, str], start_ns: int) -> dict[str, Any]:
    built = {
        "traceId": trace_id, "spanId": ids[span.name], "name": span.name, "kind": span.kind,
        "startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(start_ns + 6000),
        "attributes": _attributes(span.attributes), "status": span.status,
    }  # fmt: skip
    if span.events:
        built["events"] = [
            {"name": name, "timeUnixNano": str(start_ns + 1), "attributes": _attributes(attributes)}
            for name, attributes in span.events
        ]
    if span.parent:
        built["parentSpanId"] = ids[span.parent]
    return built


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: str | bool | float) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
    return {"stringValue": value}


_GEMS = "/usr/lib/ruby/gems/3.3.0/gems/rspec-core-3.13.6/lib/rspec/core"

ERRORS: dict[str, list[dict[str, Any]]] = {
    "basic_error": [{
        "exception_class": "StandardError", "message": "Something went wrong during processing",
        "backtrace": ["app/models/user.rb:42:in `save'", "app/controllers/users_controller.rb:18:in `create'",
                      "actionpack (7.0.0) lib/action_controller/metal.rb:100"],
        "fingerprint": "69656c0bf868b1efabc722ceccfd8ad6", "request_id": "req-12345", "user_id": "42",
    }],
    "with_context": [{
        "exception_class": "PaymentError", "message": "Payment gateway timeout",
        "backtrace": ["app/services/payment_processor.rb:55", "app/controllers/checkout_controller.rb:32"],
        "fingerprint": "34ffbe99340fb9f82ce5e5b14d43530b",
    }],
    "fingerprints": [{
        "exception_class": "RecordNotFound", "message": f"Couldn't find User with ID={number}",
        "backtrace": ["app/models/user.rb:10"], "fingerprint": "527a556a043d862fa359e000a77da7a5",
    } for number in (123, 456)],
    "long_backtrace": [{
        "exception_class": "DeepStackError", "message": "Very deep call stack",
        "backtrace": [f"app/deep/nested/file_{number}.rb:{number * 10}" for number in range(50)],
        "fingerprint": "62370d52bcdb868ce67df3f7fe169510",
    }],
    "filtered_params": [{
        "exception_class": "ValidationError", "message": "Invalid credentials",
        "backtrace": ["app/controllers/sessions_controller.rb:10"], "fingerprint": "fa60e86af8badbf3c8625b48ebd84b1c",
        "params": {"email": "user@example.com", "password": "[FILTERED]", "remember_me": True},
    }],
    "from_exception": [{
        "exception_class": "RuntimeError", "message": "Database connection lost",
        "backtrace": ["/app/spec/integration/error_reporting_spec.rb:36:in `block (3 levels) in <top (required)>'",
                      f"{_GEMS}/example.rb:263:in `instance_exec'", f"{_GEMS}/example.rb:263:in `block in run'"],
        "fingerprint": "b746941ef54a439afeeda38a6e6562f8", "request_id": "req-67890", "user_id": "123",
        "params": {"action": "index", "controller": "users"},
    }],
}  # fmt: skip
"""The recorded errors, one request each; the gem gives whole seconds as their time."""


def error_requests(name: str) -> list[dict[str, Any]]:
    """The recorded requests of `ERRORS`."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return [error | {"timestamp": now} for error in ERRORS[name]]

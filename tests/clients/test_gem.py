"""The Ruby gem `miniapm`: every request that its own test suite recorded is taken, stored and read back."""

from __future__ import annotations

import json

import pytest

import lake
from tests.clients import gem
from tests.clients.otlp import from_json, spans_of


def send(server, path, content):
    answer = server.client.post(path, json=content, headers=server.sending | gem.HEADERS)
    assert answer.is_success, answer.text  # what the gem looks at; it ignores the body
    return answer


def stored_errors(server, ids):
    with lake.open(server.lake) as opened:
        rows = opened.sql("SELECT * FROM errors WHERE list_contains($ids, id) ORDER BY message", {"ids": ids}).rows()
    return rows


def assert_is_stored(row, error):
    for name, value in error.items():
        if name == "timestamp":
            assert f"{row[name]:%Y-%m-%dT%H:%M:%SZ}" == value
        elif name == "params":
            assert json.loads(row[name]) == value
        else:
            assert row[name] == value


@pytest.mark.parametrize("name", gem.TRACES)
def test_a_trace_of_the_gem_comes_back_as_it_was_sent(server, name):
    request = gem.trace_request(name)
    send(server, "/ingest/v1/traces", request)
    trace_id = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
    exported = server.client.get(f"/v1/traces/{trace_id}", headers=server.reading, params={"format": "otlp"})
    assert spans_of(from_json(exported.content)) == spans_of(from_json(json.dumps(request)))


@pytest.mark.parametrize("name", gem.TRACES)
def test_a_trace_of_the_gem_is_shown_under_its_root(server, name):
    request = gem.trace_request(name)
    send(server, "/ingest/v1/traces", request)
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    shown = server.client.get(f"/v1/traces/{spans[0]['traceId']}", headers=server.reading).json()
    [root] = [span for span in spans if "parentSpanId" not in span]
    assert (shown["root_operation"], shown["root_service"], shown["environment"], shown["git_sha"]) == (
        root["name"], "miniapm-gem-test", "test", "418d00d6e9d9f6099803fbabe6604de8338071ee"
    )  # fmt: skip
    assert {(span["span_id"], span["parent_span_id"]) for span in shown["spans"]} == {
        (span["spanId"], span.get("parentSpanId")) for span in spans
    }
    exceptions = [event for span in spans for event in span.get("events", ()) if event["name"] == "exception"]
    assert len(shown["errors"]) == len(exceptions)
    assert shown["status"] == ("error" if any(span["status"]["code"] == 2 for span in spans) else "unset")


@pytest.mark.parametrize("name", gem.ERRORS)
def test_an_error_of_the_gem_is_stored_with_all_its_fields(server, name):
    errors = gem.error_requests(name)
    ids = [send(server, "/ingest/errors", error).json()["id"] for error in errors]
    for row, error in zip(stored_errors(server, ids), errors, strict=True):
        assert_is_stored(row, error)


@pytest.mark.parametrize("name", gem.ERRORS)
def test_the_gem_and_the_server_agree_on_the_fingerprint(server, name):
    """So that what the gem reports and what is reported with curl come into one group."""
    for error in gem.error_requests(name):
        own = {key: value for key, value in error.items() if key != "fingerprint"}
        assert send(server, "/ingest/errors", own).json()["fingerprint"] == error["fingerprint"]


def test_the_batches_that_the_gem_sends_in_production_are_stored(server):
    errors = [error | {"request_id": f"batch-{place}"} for place, error in enumerate(gem.error_requests("fingerprints"))]
    assert send(server, "/ingest/errors/batch", {"errors": errors}).json() == {"accepted": 2, "errors": []}
    with lake.open(server.lake) as opened:
        rows = opened.sql("SELECT * FROM errors WHERE starts_with(request_id, 'batch-') ORDER BY request_id").rows()
    for row, error in zip(rows, errors, strict=True):
        assert_is_stored(row, error)


def test_an_exception_that_the_gem_reports_as_event_and_as_error_is_one_occurrence(server):
    request = gem.trace_request("span_with_exception")
    [span] = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    send(server, "/ingest/v1/traces", request)
    error = {"exception_class": "StandardError", "message": "Database connection failed", "backtrace": [],
             "request_id": span["traceId"], "timestamp": gem.error_requests("basic_error")[0]["timestamp"]}  # fmt: skip
    send(server, "/ingest/errors/batch", {"errors": [error]})
    shown = server.client.get(f"/v1/traces/{span['traceId']}", headers=server.reading).json()
    assert [found["exception_class"] for found in shown["errors"]] == ["StandardError"]


def test_the_health_check_of_the_gem_succeeds(server):
    """It posts an empty object."""
    answer = send(server, "/health", {})
    assert answer.json() == {"status": "ok"}

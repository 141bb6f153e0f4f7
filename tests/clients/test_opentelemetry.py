"""The OpenTelemetry SDKs and the Collector: what they send is stored, and comes back as they sent it."""

from __future__ import annotations

import base64
import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.clients.otlp import from_json, from_protobuf, spans_of
from tests.faults.load import make_request

HERE = Path(__file__).parent


def trace_of(server, sent):
    """The id of the one trace that was sent, and what the API says about it."""
    [trace_id] = {span.trace_id.hex() for r in sent.resource_spans for s in r.scope_spans for span in s.spans}
    answer = server.client.get(f"/v1/traces/{trace_id}", headers=server.reading)
    assert answer.status_code == 200, answer.text
    return trace_id, answer.json()


def assert_comes_back(server, trace_id, sent):
    exported = server.client.get(f"/v1/traces/{trace_id}", headers=server.reading, params={"format": "otlp"})
    assert spans_of(from_json(exported.content)) == spans_of(sent)
    as_protobuf = server.reading | {"Accept": "application/x-protobuf"}
    exported = server.client.get(f"/v1/traces/{trace_id}", headers=as_protobuf)
    assert spans_of(from_protobuf(exported.content)) == spans_of(sent)


def assert_shows_the_cart(shown, exception):
    """What both applications do, as the API shows it."""
    root, child = shown["spans"]
    assert (root["name"], root["kind"], root["service"], root["parent_span_id"]) == ("GET /cart", "server", "checkout", None)
    assert (child["name"], child["kind"], child["depth"], child["parent_span_id"]) == (
        "SELECT cart", "client", 1, root["span_id"]
    )  # fmt: skip
    attributes = root["attributes"]
    assert (attributes["http.request.method"], attributes["http.response.status_code"]) == ("GET", 500)
    assert (attributes["ratio"], attributes["retried"]) == (0.25, True)
    assert (attributes["tags"], attributes["sizes"]) == (["a", "b"], [1, 2])
    assert child["status"] == {"code": "error", "message": "no such cart"}
    assert [event["name"] for event in child["events"]] == ["row", "exception"]
    assert child["events"][0]["attributes"] == {"number": 7, "exact": 0.5}
    assert [link["trace_id"] for link in child["links"]] == ["0af7651916cd43dd8448eb211c80319c"]
    assert [(error["exception_class"], error["message"]) for error in shown["errors"]] == [(exception, "no such cart")]


@pytest.mark.parametrize("compression", ["gzip", "deflate", "none"])
def test_the_python_sdk_is_understood_in_every_compression_it_knows(server, sdk_environment, compression):
    environment = sdk_environment | {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_COMPRESSION": compression
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(HERE / "python_app.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not done.stderr, "the exporter complains"
    sent = from_protobuf(base64.b64decode(done.stdout))
    trace_id, shown = trace_of(server, sent)
    assert_shows_the_cart(shown, "LookupError")
    assert_comes_back(server, trace_id, sent)


@pytest.fixture(scope="session")
def js_app(tmp_path_factory):
    """The folder of the JavaScript application with the packages it needs."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    folder = tmp_path_factory.mktemp("js")
    shutil.copytree(HERE / "js", folder, dirs_exist_ok=True)
    if subprocess.run(["npm", "ping"], cwd=folder, capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("needs the npm registry, which npm cannot reach")
    install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(install, cwd=folder, capture_output=True, check=True, timeout=300)
    return folder


def test_the_javascript_sdk_sends_json_with_integers_as_numbers_and_is_understood(server, sdk_environment, js_app):
    done = subprocess.run(
        ["node", "app.js"], cwd=js_app, env=sdk_environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert not done.stderr, "the exporter complains"
    assert '"intValue":500' in done.stdout
    sent = from_json(done.stdout)
    trace_id, shown = trace_of(server, sent)
    assert_shows_the_cart(shown, "TypeError")
    assert_comes_back(server, trace_id, sent)


def from_the_collector(server, content, coding):
    headers = server.sending | {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": coding,
        "User-Agent": "OpenTelemetry Collector Contrib/0.140.0 (linux/amd64)",
    }
    return server.client.post("/ingest/v1/traces", content=content, headers=headers)


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)], ids=["gzip", "zstd"]
)
def test_the_collector_is_answered_in_protobuf_and_with_200(server, coding, encode):
    """Older exporters take no other status for success."""
    request = make_request(8)
    answer = from_the_collector(server, encode(request.body), coding)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-protobuf")
    response = ExportTraceServiceResponse()
    response.ParseFromString(answer.content)
    assert not response.HasField("partial_success")
    assert_comes_back(server, request.trace_id, from_protobuf(request.body))


def test_the_collector_is_told_in_protobuf_that_it_need_not_send_again(server):
    answer = from_the_collector(server, make_request(8).body, "snappy")
    assert (answer.status_code, answer.headers["Content-Type"]) == (415, "application/x-protobuf")
    status = Status()
    status.ParseFromString(answer.content)
    assert "snappy" in status.message

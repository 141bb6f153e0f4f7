"""Ingest over HTTP: every route, its answers, and its refusals in their order."""

import base64
import gzip
import json
import re
import secrets
import zlib

import httpx
import pytest
import zstandard
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

import lake
from api.problems import PROTOBUF
from lake.control import Control
from tests.api.clients import UNKNOWN_TRACE, Client, exception, key_values, new_trace_id, otlp, span
from tests.api.command_line import output
from tests.api.conftest import project_of
from tests.servers import wait_until

JSON = {"Content-Type": "application/json"}
PROTO = {"Content-Type": PROTOBUF}
TRACE_PATHS = ("/ingest/v1/traces", "/v1/traces")
REPORT_PATHS = ("/ingest/errors", "/ingest/errors/batch", "/ingest/deploys", "/ingest/requests")
GOOD = {
    "/ingest/errors": {"error_type": "RuntimeError", "message": "Something went wrong"},
    "/ingest/errors/batch": {"errors": [{"error_type": "RuntimeError", "message": "Something went wrong"}]},
    "/ingest/deploys": {"version": "v1"},
    "/ingest/requests": {"requests": [{"request_id": "r", "method": "GET", "path": "/", "status": 200, "total_ms": 1.5}]},
}

every_path = pytest.mark.parametrize("path", [*TRACE_PATHS, *REPORT_PATHS])


def good_body(path):
    return GOOD.get(path) or otlp(span())


def protobuf(*spans, **what):
    """The same request in protobuf, as Python, Java, Go and Ruby send it."""
    request = ExportTraceServiceRequest()
    for sent in spans:
        resource = request.resource_spans.add()
        [attribute] = key_values({"service.name": what.get("service", "shop")})
        resource.resource.attributes.add(key=attribute["key"]).value.string_value = attribute["value"]["stringValue"]
        new = resource.scope_spans.add().spans.add(name=sent["name"], kind=sent["kind"])
        new.trace_id, new.span_id = bytes.fromhex(sent["traceId"]), bytes.fromhex(sent["spanId"])
        new.start_time_unix_nano, new.end_time_unix_nano = int(sent["startTimeUnixNano"]), int(sent["endTimeUnixNano"])
        new.status.code = sent["status"]["code"]
    return request.SerializeToString()


@pytest.fixture
def open_lake(server, project):
    """The live lake of the project, read from its files."""
    with lake.open(server.data / project.name / "live") as opened:
        yield opened


@pytest.mark.parametrize("path", TRACE_PATHS)
def test_json_traces_are_answered_in_json_and_are_there(project, path):
    sent = span(http_route="/users")
    answer = project.ingest.post(path, json=otlp(sent))
    assert (answer.status_code, answer.content) == (200, b'{"partialSuccess":{}}')
    assert answer.headers["content-type"] == "application/json"
    assert project.live.trace(sent["traceId"])["spans"][0]["attributes"] == {"http.route": "/users"}


@pytest.mark.parametrize("path", TRACE_PATHS)
def test_protobuf_traces_are_answered_in_protobuf_and_are_there(project, path):
    sent = span()
    answer = project.ingest.post(path, content=protobuf(sent), headers=PROTO)
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    assert project.live.trace(sent["traceId"])["span_count"] == 1


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("zstd", zstandard.compress),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_bodies_come_in_every_coding(project, coding, compress, encoding):
    sent = span()
    body = protobuf(sent) if encoding == "protobuf" else json.dumps(otlp(sent)).encode()
    headers = (PROTO if encoding == "protobuf" else JSON) | {"Content-Encoding": coding}
    answer = project.ingest.post("/v1/traces", content=compress(body), headers=headers)
    assert answer.status_code == 200, answer.text
    assert project.live.trace(sent["traceId"])["span_count"] == 1


def test_a_body_in_chunks_of_no_declared_length_is_a_body(project):
    sent = span()
    body = json.dumps(otlp(sent)).encode()
    answer = project.ingest.post("/v1/traces", content=(body[i : i + 7] for i in range(0, len(body), 7)), headers=JSON)
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.status_code == 200
    assert project.live.trace(sent["traceId"])["span_count"] == 1


def test_the_span_of_the_reference_is_taken_as_it_is_printed(project):
    """Integers are numbers there and times are texts; and every id may be base64, as protobuf's own JSON has it."""
    ids = {"hex": new_trace_id(), "upper": new_trace_id(), "base64": new_trace_id()}
    spelled = {
        "hex": ids["hex"],
        "upper": ids["upper"].upper(),
        "base64": base64.b64encode(bytes.fromhex(ids["base64"])).decode(),
    }
    for number, (kind, trace_id) in enumerate(spelled.items(), 1):
        sent = span(trace_id=trace_id, kind="SPAN_KIND_SERVER" if kind == "upper" else 2, http_status__code=200)  # type: ignore[arg-type]
        sent["startTimeUnixNano"] = int(sent["startTimeUnixNano"]) if kind == "hex" else sent["startTimeUnixNano"]
        sent["attributes"].append({"key": "n", "value": {"intValue": str(number)}})
        project.ingest.store(sent)
        [shown] = project.live.trace(ids[kind])["spans"]
        assert shown["kind"] == "server"
        assert shown["attributes"] == {"http.status_code": 200, "n": number}


def test_nothing_to_store_is_stored_at_once(project):
    assert project.ingest.post("/v1/traces", json={"resourceSpans": []}).json() == {"partialSuccess": {}}
    assert project.ingest.post("/v1/traces", content=b"", headers=PROTO).content == b""
    assert project.ingest.post("/ingest/errors/batch", json={"errors": []}).json() == {"accepted": 0, "errors": []}
    assert project.ingest.post("/ingest/requests", json={"requests": []}).json() == {"accepted": 0, "errors": []}


def test_an_impossible_span_is_refused_alone(project):
    good, bad = span(), span(trace_id="0" * 32)
    answer = project.ingest.post("/v1/traces", json=otlp(good, bad))
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert "trace_id" in partial["errorMessage"]
    in_protobuf = project.ingest.post("/v1/traces", content=protobuf(span(), bad), headers=PROTO)
    assert ExportTraceServiceResponse.FromString(in_protobuf.content).partial_success.rejected_spans == 1
    assert project.live.trace(good["traceId"])["span_count"] == 1


ERRORS = [
    {"error_type": "KeyError", "message": "first", "happened_at": "2026-01-01T00:00:00Z", "environment": "prod"},
    {"exception_class": "KeyError", "message": "second", "timestamp": "2026-01-01T00:00:00Z", "fingerprint": "f" * 32,
     "params": {"a": 1}, "source_context": {"file": "a.rb", "lineno": 1}, "backtrace": []},
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=["generation 1", "generation 2"])
def test_an_error_of_either_generation_is_stored(project, open_lake, error):
    answer = project.ingest.post("/ingest/errors", json=error)
    assert answer.status_code == 200
    told = answer.json()
    assert set(told) == {"id", "fingerprint"}
    assert re.fullmatch(r"err_[0-9a-f]+", told["id"])
    assert re.fullmatch(r"[0-9a-f]{32}", told["fingerprint"])
    [row] = open_lake.sql("SELECT * FROM errors WHERE id = ?", [told["id"]]).rows()
    assert (row["exception_class"], row["message"], row["fingerprint"]) == (
        "KeyError", error["message"], told["fingerprint"],
    )  # fmt: skip
    assert f"{row['timestamp']:%Y-%m-%dT%H:%M:%SZ}" == "2026-01-01T00:00:00Z"


def test_a_batch_of_errors_counts_the_good_ones_and_names_the_others(project):
    answer = project.ingest.post("/ingest/errors/batch", json={"errors": [*ERRORS, {"message": "no class"}, 7]})
    assert answer.status_code == 200
    told = answer.json()
    assert told["accepted"] == 2
    assert [error["index"] for error in told["errors"]] == [2, 3]
    assert "exception_class" in told["errors"][0]["error"]


@pytest.mark.parametrize(
    "deploy",
    [
        {"version": "v1.2.3", "deployed_at": "2024-01-15T16:30:00+02:00", "environment": "prod", "deployer": "ci"},
        {"git_sha": "abc", "version": "v1.2.3", "timestamp": "2024-01-15T14:30:00Z", "env": "prod"},
    ],
    ids=["generation 1", "generation 2"],
)
def test_a_deploy_of_either_generation_is_stored(project, open_lake, deploy):
    answer = project.ingest.post("/ingest/deploys", json=deploy)
    assert answer.status_code == 200
    told = answer.json()
    assert re.fullmatch(r"deploy_[0-9a-f]+", told.pop("id"))
    assert told == {"version": "v1.2.3", "deployed_at": "2024-01-15T14:30:00Z"}
    rows = open_lake.sql("SELECT environment FROM deploys WHERE id = ?", [answer.json()["id"]]).rows()
    assert rows == [{"environment": "prod"}]


def test_a_deploy_of_a_commit_alone_has_no_version(project):
    assert project.ingest.post("/ingest/deploys", json={"git_sha": "abc"}).json()["version"] is None


def test_requests_are_stored(project, open_lake):
    name = secrets.token_hex(8)
    sent = {"request_id": name, "method": "GET", "path": "/", "status": 200, "total_ms": 1.5}
    body = {"metadata": {"host": "web-1", "env": "prod"}, "requests": [sent, {"request_id": "bad"}]}
    answer = project.ingest.post("/ingest/requests", json=body)
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert [error["index"] for error in answer.json()["errors"]] == [1]
    [row] = open_lake.sql("SELECT * FROM requests WHERE request_id = ?", [name]).rows()
    assert (row["host_name"], row["environment"], row["status_code"], row["total_ms"]) == ("web-1", "prod", 200, 1.5)


def test_an_idempotency_key_makes_two_reports_one(project, open_lake):
    key = {"Idempotency-Key": secrets.token_hex(8)}
    one, two = (project.ingest.post("/ingest/errors", json=GOOD["/ingest/errors"], headers=key).json() for _ in range(2))
    assert one == two
    assert len(open_lake.sql("SELECT 1 FROM errors WHERE id = ?", [one["id"]]).rows()) == 1


@every_path
@pytest.mark.parametrize("key", ["", "x" * 257])
def test_an_idempotency_key_that_cannot_be_is_refused(project, path, key):
    answer = project.ingest.post(path, json=good_body(path), headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.text


@every_path
def test_a_missing_type_is_json_if_it_looks_like_it(project, path):
    body = json.dumps(good_body(path)).encode()
    assert project.ingest.post(path, content=b" \n" + body).status_code == 200
    assert project.ingest.post(path, content=b"[" + body + b"]").status_code == 415
    assert project.ingest.post(path, content=b"").status_code == 415


@every_path
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/xml", 415),
        ("application/jsonp", 415),
    ],
)
def test_a_type_that_is_not_known_is_refused(project, path, kind, status):
    answer = project.ingest.post(path, content=json.dumps(good_body(path)), headers={"Content-Type": kind})
    assert answer.status_code == status
    if status == 415:
        said = answer.json()["error"]
        assert "use " in (said if path.startswith("/ingest") else said["message"])


@pytest.mark.parametrize("path", REPORT_PATHS)
def test_reports_have_no_protobuf(project, path):
    assert project.ingest.post(path, content=b"", headers=PROTO).status_code == 415


@every_path
@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "compress", "GZIP2"])
def test_a_coding_that_is_not_known_is_refused(project, path, coding):
    answer = project.ingest.post(path, content=b"{}", headers=JSON | {"Content-Encoding": coding})
    assert answer.status_code == 415


BAD_JSON = [b"", b"{", b"null", b"[]", b"7", b'"text"', b"{} {}", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000]


@every_path
@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: repr(body[:12]))
def test_a_body_that_is_not_what_the_route_takes_is_400_and_never_422(project, path, body):
    answer = project.ingest.post(path, content=body, headers=JSON)
    assert answer.status_code == 400
    said = answer.json()["error"]
    if path == "/v1/traces":
        assert said["code"] == "invalid_json"
        assert said["message"].startswith("Invalid trace format: ")
    elif path == "/ingest/v1/traces":
        assert said == "Invalid trace format"
        assert answer.json()["details"]
    else:
        assert said


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/ingest/errors", {"message": "m"}, "exception_class"),
        ("/ingest/errors", {"error_type": "E"}, "message"),
        ("/ingest/errors", {"error_type": 7, "message": "m"}, "error_type"),
        ("/ingest/errors", {"error_type": "E", "message": "m", "timestamp": "soon"}, "timestamp"),
        ("/ingest/errors", {"error_type": "E", "message": "m", "backtrace": {"a": 1}}, "backtrace"),
        ("/ingest/errors/batch", {"errors": {}}, "errors"),
        ("/ingest/errors/batch", {}, "errors"),
        ("/ingest/deploys", {"deployer": "me"}, "version or git_sha"),
        ("/ingest/deploys", {"version": "v1", "deployed_at": "soon"}, "deployed_at"),
        ("/ingest/requests", {}, "requests"),
    ],
)
def test_a_wrong_field_is_named(project, path, body, named):
    answer = project.ingest.post(path, json=body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


@pytest.mark.parametrize("path", TRACE_PATHS)
def test_protobuf_that_is_none_is_refused_in_protobuf(project, path):
    answer = project.ingest.post(path, content=b"\xff" * 50, headers=PROTO)
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROTOBUF)
    said = Status.FromString(answer.content)
    assert (said.code, said.message[:21]) == (3, "Invalid trace format:")


@pytest.mark.parametrize(
    ("method", "path"),
    [(method, path) for path in (*TRACE_PATHS, *REPORT_PATHS) for method in ("PUT", "DELETE", "PATCH")]
    + [("GET", path) for path in ("/ingest/v1/traces", *REPORT_PATHS)],
)
def test_another_method_is_405_with_those_that_are_there(project, method, path):
    answer = project.live.request(method, path)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    said = answer.json()["error"]
    assert (said["code"] == "method_not_allowed") if path == "/v1/traces" else said


@pytest.mark.parametrize(
    "path", ["/ingest", "/ingest/", "/ingest/nothing", "/ingest/v2/traces", "/v2/traces", "/v1/nothing"]
)
def test_an_unknown_path_is_404_in_json(project, path):
    answer = project.live.post(path, json={})
    assert answer.status_code == 404
    said = answer.json()["error"]
    assert isinstance(said, str) if path.startswith("/ingest") else said["code"] == "not_found"


@pytest.mark.parametrize("path", ["/v1/metrics", "/ingest/v1/metrics", "/v1/logs", "/ingest/v1/logs"])
def test_metrics_and_logs_are_told_plainly_that_there_is_no_place_for_them(project, path):
    variable = f"OTEL_{path.rpartition('/')[2].upper()}_EXPORTER=none"
    in_json = project.ingest.post(path, json={"resourceMetrics": []})
    assert in_json.status_code == 404
    assert variable in in_json.text
    in_protobuf = project.ingest.post(path, content=b"", headers=PROTO)
    assert in_protobuf.status_code == 404
    assert variable in Status.FromString(in_protobuf.content).message


@every_path
@pytest.mark.parametrize("header", [None, "Basic x", "Bearer proj_unknown", "Bearer"])
def test_the_key_is_looked_at_before_the_body(anonymous, path, header):
    """A bad key with a bad body of a bad type is a bad key."""
    headers = {"Content-Type": "text/plain", "Content-Encoding": "br"} | ({"Authorization": header} if header else {})
    answer = anonymous.post(path, content=b"\xff" * 100, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    if path != "/v1/traces":
        assert answer.json() == {"error": "Missing or invalid API key"}
    else:
        assert answer.json()["error"]["message"] == "Missing or invalid API key"


def test_the_header_of_an_sdk_that_does_not_decode_it_is_understood(server, project):
    key = project.ingest.headers["authorization"].removeprefix("Bearer ")
    for header in (f"Bearer%20{key}", f"bearer {key}"):
        with httpx.Client(base_url=server.url, headers={"Authorization": header}) as client:
            assert client.post("/ingest/deploys", json=GOOD["/ingest/deploys"]).status_code == 200


@pytest.mark.parametrize("path", ["/v1/traces", f"/v1/traces/{UNKNOWN_TRACE}"])
def test_an_ingest_key_may_not_ask(project, path):
    assert project.ingest.refused(path) == (403, "permission_denied", None)


CANARY = "canary-"


def test_what_is_sent_with_one_key_is_seen_by_the_keys_of_the_same_lake_and_no_other(server, new_project):
    """Four lakes, a canary in each by every route; then everybody looks everywhere."""
    one, other = new_project(), new_project()
    senders = {
        (one.name, "live"): [one.ingest, one.live],
        (one.name, "sandbox"): [one.test],
        (other.name, "live"): [other.ingest, other.live],
        (other.name, "sandbox"): [other.test],
    }
    readers = {(p.name, kind): c for p in (one, other) for kind, c in (("live", p.live), ("sandbox", p.test))}
    sent = {place: [_leave_canary(c, f"{CANARY}{'-'.join(place)}") for c in clients] for place, clients in senders.items()}
    for place, reader in readers.items():
        own = f"{CANARY}{'-'.join(place)}"
        assert sorted(reader.listed()) == sorted(sent[place])
        for trace_id in sent[place]:
            shown = reader.get(f"/v1/traces/{trace_id}").text
            assert set(re.findall(rf"{CANARY}[\w-]+", shown)) == {own}
        for trace_id in {found[0] for found in sent.values()} - set(sent[place]):
            assert reader.refused(f"/v1/traces/{trace_id}") == (404, "not_found", None)
            assert reader.get(f"/v1/traces/{trace_id}", params={"format": "otlp"}).status_code == 404
        _only_own_canaries(server.data.joinpath(*place), own, len(sent[place]))


def _leave_canary(client, name):
    """Something of every route; returns the id of the trace."""
    sent = span(events=[exception("Canary", name)])
    client.store(sent, service=name)
    for path, body in (
        ("/ingest/errors", {"error_type": "Canary", "message": name, "trace_id": sent["traceId"]}),
        ("/ingest/errors/batch", {"errors": [{"error_type": "Canary", "message": name}]}),
        ("/ingest/deploys", {"version": name, "deployed_at": "2026-01-01"}),
        (
            "/ingest/requests",
            {"requests": [{"request_id": name, "method": "GET", "path": "/", "status": 200, "total_ms": 1}]},
        ),
    ):
        assert client.post(path, json=body).status_code == 200
    return sent["traceId"]


def _only_own_canaries(folder, name, senders):
    with lake.open(folder) as opened:
        for column, table, each in (
            ("service_name", "spans", 1),
            ("message", "errors", 2),
            ("version", "deploys", 1),
            ("request_id", "requests", 1),
        ):
            found = opened.sql(f"SELECT {column} AS name FROM {table} WHERE {column} LIKE '{CANARY}%'").rows()
            assert [row["name"] for row in found] == [name] * (each * senders), table


def test_a_key_works_at_once_and_is_refused_by_every_worker_once_it_is_revoked(server, project):
    with Control(server.data) as control:
        new = control.create_key(project.name, "live")
        with Client(server.url, new.secret) as client, Client(server.url, new.secret) as elsewhere:
            clients = (client, elsewhere, client, elsewhere)  # both workers, as far as that can be had
            assert {c.post("/ingest/deploys", json={"version": "v"}).status_code for c in clients} == {200}
            control.revoke_key(new.key.id)
            wait_until(
                lambda: {c.get("/v1/traces").status_code for c in clients} == {401},
                lambda: "a revoked key is still good",
            )
            assert {c.post("/ingest/deploys", json={"version": "v"}).status_code for c in clients} == {401}


def test_a_project_that_was_deleted_and_made_again_starts_empty_and_works(server, new_project):
    first = new_project()
    sent = span()
    first.ingest.store(sent)
    assert first.live.trace(sent["traceId"])
    with Control(server.data) as control:
        control.delete_project(first.name, force=True)
    wait_until(lambda: first.live.get("/v1/traces").status_code == 401, lambda: "a key of a deleted project is still good")
    second = project_of(server, first.name)
    assert second.live.refused(f"/v1/traces/{sent['traceId']}") == (404, "not_found", None)
    new = span()
    second.ingest.store(new)
    assert second.live.trace(new["traceId"])["span_count"] == 1
    with lake.open(server.data / first.name / "live") as opened:
        assert opened.trace(new["traceId"]).arrow().num_rows == 1
    for client in (second.ingest, second.live, second.test):
        client.close()


def test_a_running_server_takes_notice_of_a_promotion(server, new_project):
    """Both workers write the new column, and what came before shows there too."""
    project = new_project()
    before, *after = (span(customer_tier="gold") for _ in range(9))
    project.ingest.store(before)
    output("promote", "customer.tier", "--data", server.data, "--project", project.name)
    key = project.live.headers["authorization"].removeprefix("Bearer ")
    for sent in after:
        with Client(server.url, key) as client:
            client.store(sent)
            [shown] = client.trace(sent["traceId"])["spans"]
            assert shown["attributes"] == {"customer.tier": "gold"}
    with lake.open(server.data / project.name / "live") as opened:
        rows = opened.sql("SELECT customer_tier, attributes FROM spans").rows()
    assert [row["customer_tier"] for row in rows] == ["gold"] * 9
    assert [dict(row["attributes"] or {}) for row in rows].count({}) == 8, "the column stands in place of the entry"

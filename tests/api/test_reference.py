"""The description of the API: OpenAPI that is valid, and that real answers hold to."""

import re

import jsonschema
import pytest
import schemathesis

from api.app import DESCRIBED_ROUTES
from api.problems import PROTOBUF
from tests.api.clients import UNKNOWN_TRACE, exception, new_trace_id, otlp, span


@pytest.fixture(scope="module")
def described(anonymous):
    return anonymous.get("/schema/openapi.json").json()


def routes():
    """What the application answers, by path: the methods of each route that is not left out on purpose."""
    found: dict[str, set[str]] = {}
    for route in DESCRIBED_ROUTES:
        for path in route.paths:
            if route.include_in_schema is not False:
                methods = found.setdefault(re.sub(r":\w+}", "}", path), set())
                methods |= {method.lower() for method in route.http_methods}
    return found


def test_the_description_lists_every_route(described):
    methods = {"get", "head", "post", "put", "patch", "delete"}
    assert {path: methods & set(item) for path, item in described["paths"].items()} == routes()


def test_the_description_is_valid_openapi(described):
    assert described["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(described).validate()
    with pytest.raises(ValueError, match="title"):
        schemathesis.openapi.from_dict(described | {"info": {}}).validate()


def test_every_reference_within_the_description_leads_somewhere(described):
    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if "$ref" in value else [])
            value = list(value.values())
        for item in value if isinstance(value, list) else []:
            yield from references(item)

    found = set(references(described))
    assert "#/components/schemas/TraceSummary" in found
    for reference in found:
        root, components, group, name = reference.split("/")
        assert (root, components) == ("#", "components")
        assert name in described["components"][group], reference


def test_every_operation_has_a_name_of_its_own_a_summary_and_its_answers(described):
    operations = [operation for item in described["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert {"200", "201"} & set(operation["responses"])
        assert "422" not in operation["responses"]


def test_the_parameters_of_the_list_are_described_with_their_limits(described):
    parameters = described["paths"]["/v1/traces"]["get"]["parameters"]
    by_name = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert set(by_name) == {"service", "start_time", "end_time", "min_duration_ms", "status", "limit", "cursor"}
    assert by_name["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert by_name["status"]["enum"] == ["ok", "error", "unset"]


ERROR = {"error_type": "RuntimeError", "message": "Something went wrong"}
TRACE = "5ca1ab1e" * 4
"""A trace with all that a trace can have."""


@pytest.fixture(scope="module")
def told(project):
    """A project that has something of everything."""
    root = span(trace_id=TRACE, span_id="1" * 16, status=2, events=[exception("ValueError", "no")], n=1, x=1.5, a="b")
    child = span(trace_id=TRACE, parent="1" * 16, kind=3)
    child["links"] = [{"traceId": new_trace_id(), "spanId": "2" * 16}]
    project.ingest.store(root, child, git_sha="abc")
    assert project.ingest.post("/ingest/deploys", json={"version": "v1", "deployed_at": "2026-01-01"}).status_code == 200
    return project


REAL = [
    ("GET", "/health", {}, 200),
    ("GET", "/health?verbose=1", {}, 200),
    ("POST", "/health", {}, 200),
    ("GET", "/v1/traces", {}, 200),
    ("GET", "/v1/traces?limit=0", {}, 400),
    ("GET", f"/v1/traces/{TRACE}", {}, 200),
    ("GET", f"/v1/traces/{UNKNOWN_TRACE}", {}, 404),
    ("GET", "/v1/keys", {}, 200),
    ("GET", "/v1/keys/current", {}, 200),
    ("GET", "/v1/keys/mtk_live_000000000000", {}, 404),
    ("POST", "/v1/keys", {"json": {"name": "CI", "scopes": ["read"]}}, 201),
    ("POST", "/v1/keys", {"json": {"scopes": ["nothing"]}}, 400),
    ("PATCH", "/v1/keys/mtk_live_000000000000", {"json": {}}, 404),
    ("DELETE", "/v1/keys/mtk_live_000000000000", {}, 404),
    ("GET", "/v1/nodes", {}, 200),
    ("GET", "/v1/nodes/nothing", {}, 404),
    ("POST", "/v1/nodes", {"json": {"node_id": "c1", "labels": {"a": "b"}, "metrics": {"cpu_percent": 1}}}, 201),
    ("GET", "/v1/nodes/c1", {}, 200),
    ("POST", "/v1/nodes/c1/heartbeat", {"json": {}}, 200),
    ("PATCH", "/v1/nodes/c1", {"json": {"draining": True}}, 200),
    ("DELETE", "/v1/nodes/c1", {}, 200),
    ("POST", "/v1/traces", {"json": otlp(span())}, 200),
    ("POST", "/v1/traces", {"json": otlp(span() | {"spanId": "1"}, span())}, 200),
    ("POST", "/v1/traces", {"json": []}, 400),
    ("POST", "/v1/sql", {"json": {"query": "SELECT 1 AS one"}}, 200),
    ("POST", "/v1/sql", {"json": {"query": "SELEC"}}, 400),
    ("POST", "/ingest/v1/traces", {"json": otlp(span())}, 200),
    ("POST", "/ingest/v1/traces", {"json": []}, 400),
    ("POST", "/ingest/errors", {"json": ERROR}, 200),
    ("POST", "/ingest/errors", {"json": {}}, 400),
    ("POST", "/ingest/errors/batch", {"json": {"errors": [ERROR, {}]}}, 200),
    ("POST", "/ingest/deploys", {"json": {"version": "v1"}}, 200),
    ("POST", "/ingest/deploys", {"json": {"git_sha": "abc"}}, 200),
    ("POST", "/ingest/requests", {"json": {"requests": [{}]}}, 200),
    ("POST", "/ingest/requests", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
]
"""Requests with the live key, and the status of their answers."""


@pytest.mark.parametrize(("method", "path", "what", "status"), REAL)
def test_a_real_answer_is_as_described(told, described, method, path, what, status):
    check(described, told.live.request(method, path, **what), status)


@pytest.mark.parametrize("path", ["/v1/traces", "/ingest/errors"])
def test_a_refusal_of_a_key_is_as_described(anonymous, told, described, path):
    method = "GET" if path.startswith("/v1") else "POST"
    check(described, anonymous.request(method, path), 401)
    refused = told.ingest if method == "GET" else None
    if refused:
        check(described, refused.request(method, path), 403)


def test_a_trace_in_protobuf_is_as_described(told, described):
    answer = told.live.get(f"/v1/traces/{TRACE}", headers={"Accept": PROTOBUF})
    assert answer.headers["content-type"] == PROTOBUF
    assert PROTOBUF in operation_of(described, answer.request)["responses"]["200"]["content"]


def test_a_span_has_the_described_fields_and_no_others(told, described):
    shown = told.live.trace(TRACE)["spans"]
    schemas = described["components"]["schemas"]
    for whole, parts in (("Span", shown), ("SpanEvent", shown[0]["events"]), ("SpanLink", shown[1]["links"])):
        assert parts
        assert all(set(part) == set(schemas[whole]["properties"]) for part in parts)


def check(described, answer, status):
    """The answer has the status, the headers and the content that its operation is described with."""
    assert answer.status_code == status, answer.text
    response = operation_of(described, answer.request)["responses"][str(status)]
    assert {name.lower() for name in response["headers"]} <= set(answer.headers)
    schema = response["content"][answer.headers["content-type"]]["schema"]
    jsonschema.validate(
        answer.json(),
        schema | {"components": described["components"]},
        jsonschema.Draft202012Validator,
        format_checker=jsonschema.FormatChecker(),
    )


def operation_of(described, request):
    """What is described of the route of a request."""
    segments = request.url.path.split("/")
    for path, item in described["paths"].items():
        parts = path.split("/")
        if len(parts) == len(segments) and all(
            part == segment or part.startswith("{") for part, segment in zip(parts, segments, strict=True)
        ):
            return item[request.method.lower()]
    raise AssertionError(f"{request.url} is not described")


def test_the_page_of_the_description_shows_every_route(anonymous):
    page = anonymous.get("/schema").text
    shown = set(re.findall(r"<h2><code>([A-Z]+) ([^<]+)</code></h2>", page))
    assert shown == {(method.upper(), path) for path, methods in routes().items() for method in methods - {"head"}}

"""The list of traces and one trace, over HTTP."""

import datetime as dt
import secrets

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.problems import PROTOBUF
from tests.api.clients import Client, exception, nanoseconds, new_trace_id, otlp, span

NOON = dt.datetime(2026, 1, 15, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
DAY = {"start_time": "2026-01-15", "end_time": "2026-01-16"}


def ids(*numbers):
    """The traces of `shop` by their numbers."""
    return [f"{number:032x}" for number in numbers]


@pytest.fixture(scope="module")
def shop(project):
    """Six traces, a minute apart; the first digit of an id's number is also the minute."""
    gateway = [
        span("GET /0", trace_id=ids(0x10)[0], start=NOON, ms=100, status=1, http_route="/0", http_request_method="GET",
             http_response_status__code=200),
        span("GET /1", trace_id=ids(0x11)[0], start=NOON + MINUTE, ms=200, status=2),
        span("GET /2", trace_id=ids(0x12)[0], start=NOON + 2 * MINUTE, ms=300),
        span("GET /3", trace_id=ids(0x13)[0], start=NOON + 3 * MINUTE, ms=400, http_response_status__code=500),
        span("GET /4", trace_id=ids(0x14)[0], span_id="4" * 16, start=NOON + 4 * MINUTE, ms=500, status=1),
        span("tick", trace_id=ids(0x15)[0], start=NOON + 5 * MINUTE, ms=600, kind=1),
    ]  # fmt: skip
    later = NOON + 4 * MINUTE + dt.timedelta(milliseconds=1)
    child = span("SELECT", trace_id=ids(0x14)[0], parent="4" * 16, start=later, ms=599.5, kind=3, status=2)
    project.ingest.store(
        *gateway[:5],
        service="gateway",
        deployment_environment_name="prod",
        service_version="v1",
        vcs_ref_head_revision="abc",
    )
    project.ingest.store(child, service="users")
    project.ingest.store(gateway[5], service="cron")
    return project.live


def test_the_newest_comes_first(shop):
    assert shop.listed(**DAY) == ids(0x15, 0x14, 0x13, 0x12, 0x11, 0x10)


def test_an_item_is_a_summary_of_its_trace(shop):
    *_, first = shop.found("/v1/traces", **DAY)["data"]
    assert first == {
        "trace_id": ids(0x10)[0],
        "root_service": "gateway",
        "root_operation": "GET /0",
        "root_missing": False,
        "services": ["gateway"],
        "start_time": "2026-01-15T12:00:00.000000Z",
        "end_time": "2026-01-15T12:00:00.100000Z",
        "duration_ms": 100.0,
        "span_count": 1,
        "error_count": 0,
        "status": "ok",
        "root_status": "ok",
        "http": {"method": "GET", "route": "/0", "status_code": 200},
        "environment": "prod",
        "version": "v1",
        "git_sha": "abc",
    }


def test_a_trace_of_two_services_is_one_item(shop):
    found = shop.found("/v1/traces", service="users", **DAY)["data"]
    assert [(item["trace_id"], item["services"], item["root_service"]) for item in found] == [
        (ids(0x14)[0], ["gateway", "users"], "gateway")
    ]
    assert (found[0]["span_count"], found[0]["error_count"], found[0]["duration_ms"]) == (2, 1, 600.5)
    assert (found[0]["status"], found[0]["root_status"]) == ("error", "ok")


def test_the_envelope_says_what_was_asked(shop):
    answer = shop.get("/v1/traces", params=DAY)
    content = answer.json()
    assert list(content) == ["data", "has_more", "next_cursor", "start_time", "end_time"]
    assert (content["has_more"], content["next_cursor"]) == (False, None)
    assert (content["start_time"], content["end_time"]) == ("2026-01-15T00:00:00.000000Z", "2026-01-16T00:00:00.000000Z")
    assert answer.headers["x-lake-snapshot"]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"service": "gateway"}, [0x14, 0x13, 0x12, 0x11, 0x10]),
        ({"service": "users"}, [0x14]),
        ({"service": "cron"}, [0x15]),
        ({"service": "nobody"}, []),
        ({"service": "Gateway"}, []),
        ({"service": "' OR 1=1 --"}, []),
        ({"status": "ok"}, [0x10]),
        ({"status": "error"}, [0x14, 0x13, 0x11]),
        ({"status": "unset"}, [0x15, 0x12]),
        ({"min_duration_ms": 0}, [0x15, 0x14, 0x13, 0x12, 0x11, 0x10]),
        ({"min_duration_ms": 300}, [0x15, 0x14, 0x13, 0x12]),
        ({"min_duration_ms": 301}, [0x15, 0x14, 0x13]),
        ({"min_duration_ms": 600}, [0x15, 0x14]),
        ({"min_duration_ms": 601}, []),
        ({"limit": 2}, [0x15, 0x14]),
        ({"limit": 200}, [0x15, 0x14, 0x13, 0x12, 0x11, 0x10]),
        ({"service": "gateway", "status": "error", "min_duration_ms": 400, "limit": 1}, [0x14]),
        (
            {"service": "", "cursor": ""},
            [0x15, 0x14, 0x13, 0x12, 0x11, 0x10],
        ),
        ({"unknown": "parameter", "page": 7}, [0x15, 0x14, 0x13, 0x12, 0x11, 0x10]),
    ],
)
def test_a_filter_leaves_what_fits(shop, parameters, found):
    assert shop.listed(**DAY, **parameters) == ids(*found)


@pytest.mark.parametrize(
    ("start_time", "end_time", "found"),
    [
        ("2026-01-15T12:01:00Z", "2026-01-15T12:03:00Z", [0x12, 0x11]),
        ("2026-01-15T12:01:00.000001Z", "2026-01-15T12:03:00.000001Z", [0x13, 0x12]),
        ("2026-01-15T14:01:00+02:00", "2026-01-15T14:03:00 02:00", [0x12, 0x11]),
        ("2026-01-15T07:01:00-05:00", "2026-01-15T07:03:00-05:00", [0x12, 0x11]),
        ("2026-01-15T12:01", "2026-01-15 12:03", [0x12, 0x11]),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", [0x15, 0x14, 0x13, 0x12, 0x11, 0x10]),
        ("1969-12-31", "1970-01-01", []),
        ("2300-01-01", "9999-12-31", []),
    ],
)
def test_a_window_begins_with_its_start_and_ends_before_its_end(shop, start_time, end_time, found):
    """The + of the third is written as it stands, as people do; so it arrives as a space."""
    answer = shop.get(f"/v1/traces?start_time={start_time}&end_time={end_time}".replace(" ", "%20"))
    assert answer.status_code == 200, answer.text
    assert [item["trace_id"] for item in answer.json()["data"]] == ids(*found)


def test_a_window_with_an_end_alone_is_the_hour_before(shop):
    content = shop.found("/v1/traces", end_time="2026-01-15T13:02:00Z")
    assert content["start_time"] == "2026-01-15T12:02:00.000000Z"
    assert [item["trace_id"] for item in content["data"]] == ids(0x15, 0x14, 0x13, 0x12)


def test_a_window_without_an_end_reaches_to_now(shop):
    content = shop.found("/v1/traces", start_time="2026-01-15T12:05:00Z")
    assert [item["trace_id"] for item in content["data"]] == ids(0x15)
    ago = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(content["end_time"])
    assert dt.timedelta(0) <= ago < dt.timedelta(minutes=5)


def test_without_a_window_it_is_the_last_hour(new_project):
    project = new_project()
    now = dt.datetime.now(dt.UTC)
    inside, outside, ahead = (span(start=now - ago) for ago in (59 * MINUTE, 61 * MINUTE, -60 * MINUTE))
    project.ingest.store(inside, outside, ahead)
    content = project.live.found("/v1/traces")
    assert [item["trace_id"] for item in content["data"]] == [inside["traceId"]]
    window = dt.datetime.fromisoformat(content["end_time"]) - dt.datetime.fromisoformat(content["start_time"])
    assert window == dt.timedelta(hours=1)


def test_a_page_has_fifty_unless_asked_otherwise(new_project):
    project = new_project()
    project.ingest.store(*(span() for _ in range(201)))
    assert len(project.live.found("/v1/traces")["data"]) == 50
    full = project.live.found("/v1/traces", limit=200)
    assert (len(full["data"]), full["has_more"]) == (200, True)
    assert project.live.found("/v1/traces", limit=200, cursor=full["next_cursor"])["has_more"] is False


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("limit", ["0", "201", "-1", "abc", "1.5", "1e2", " 5", "9999999999999999999999"]),
        ("min_duration_ms", ["-1", "abc", "1.5", "100ms", "NaN"]),
        ("status", ["OK", "failed", "0", "error,ok"]),
        ("start_time", ["yesterday", "1767344400", "2026-13-01", "2026-01-15T25:00:00Z", "12:00"]),
        ("end_time", ["tomorrow", "1767344400000", "2026-02-30"]),
    ],
)
def test_a_value_that_cannot_be_is_400_with_the_parameter(shop, parameter, values):
    for value in values:
        assert shop.refused("/v1/traces", **{parameter: value}) == (400, "invalid_parameter", parameter), value


@pytest.mark.parametrize("parameter", ["service", "limit", "min_duration_ms", "status", "start_time", "end_time", "cursor"])
def test_a_parameter_that_comes_twice_is_400(shop, parameter):
    """Which of the two the client means is not ours to guess."""
    assert shop.refused("/v1/traces", **{parameter: ["1", "1"]}) == (400, "invalid_parameter", parameter)


@pytest.mark.parametrize(
    "window",
    [
        {"start_time": "2026-01-15T12:00:00Z", "end_time": "2026-01-15T12:00:00Z"},
        {"start_time": "2026-01-15T12:00:01Z", "end_time": "2026-01-15T12:00:00Z"},
        {"start_time": "2100-01-01"},
    ],
)
def test_a_window_that_begins_at_its_end_or_after_is_400(shop, window):
    assert shop.refused("/v1/traces", **window) == (400, "invalid_parameter", "start_time")


def test_a_head_of_the_list_has_its_headers_and_no_body(shop):
    head = shop.head("/v1/traces", params=DAY)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["x-lake-snapshot"]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        (["unset"], "unset"),
        (["ok"], "ok"),
        (["error"], "error"),
        (["ok", "unset"], "ok"),
        (["unset", "ok"], "unset"),
        (["ok", "error"], "error"),
        (["unset", "error"], "error"),
    ],
    ids="+".join,
)
def test_the_status_of_a_trace_is_that_of_its_root_unless_a_span_failed(project, spans, expected):
    root, *children = spans
    trace_id, codes = new_trace_id(), {"unset": 0, "ok": 1, "error": 2}
    first = span(trace_id=trace_id, status=codes[root])
    others = [span(trace_id=trace_id, parent=first["spanId"], status=codes[child], kind=1) for child in children]
    project.ingest.store(first, *others)
    shown = project.live.trace(trace_id)
    assert (shown["status"], shown["root_status"]) == (expected, root)


def test_of_several_roots_the_earliest_then_the_longest_counts(project):
    trace_id, now = new_trace_id(), nanoseconds(dt.datetime.now(dt.UTC))
    later = span("later", trace_id=trace_id, start=now + 1000, ms=900)
    short = span("short", trace_id=trace_id, start=now, ms=1)
    long = span("long", trace_id=trace_id, start=now, ms=2)
    project.ingest.store(later, short, long)
    shown = project.live.trace(trace_id)
    assert (shown["root_operation"], shown["root_span_id"], shown["root_missing"]) == ("long", long["spanId"], False)


def test_a_trace_whose_root_is_missing_is_named_after_its_earliest_span(project):
    trace_id, now = new_trace_id(), nanoseconds(dt.datetime.now(dt.UTC))
    project.ingest.store(
        span("second", trace_id=trace_id, parent="a" * 16, start=now + 5),
        span("first", trace_id=trace_id, parent="b" * 16, start=now),
    )
    shown = project.live.trace(trace_id)
    assert (shown["root_operation"], shown["root_missing"]) == ("first", True)


def test_one_trace_has_the_fields_of_its_item_and_more(shop):
    shown = shop.trace(ids(0x14)[0])
    [item] = shop.found("/v1/traces", service="users", **DAY)["data"]
    assert item.items() <= shown.items()
    assert set(shown) - set(item) == {"root_span_id", "truncated", "errors", "deploy", "n_plus_one", "spans"}
    assert (shown["root_span_id"], shown["truncated"]) == ("4" * 16, False)
    assert [one["name"] for one in shown["spans"]] == ["GET /4", "SELECT"]


def test_a_span_is_shown_with_everything_that_was_sent(project):
    start = nanoseconds(NOON) + 123_456_789
    trace_id, parent = new_trace_id(), span(start=start, ms=50)
    parent |= {"traceId": trace_id}
    sent = span(
        "SELECT users", trace_id=trace_id, span_id="c" * 16, parent=parent["spanId"], start=start + 2_000_000, ms=1.5,
        kind=3, status=2, db_system_name="postgresql", rows=3, ratio=0.5, cached=True,
        events=[{"name": "retry", "timeUnixNano": str(start), "attributes": []}],
    )  # fmt: skip
    sent["status"]["message"] = "deadlock"
    sent["links"] = [{"traceId": "d" * 32, "spanId": "e" * 16, "attributes": []}]
    project.ingest.store(parent, sent, host_name="db-1")
    root, shown = project.live.trace(trace_id)["spans"]
    assert shown == {
        "span_id": "c" * 16,
        "parent_span_id": parent["spanId"],
        "name": "SELECT users",
        "service": "shop",
        "kind": "client",
        "category": "db",
        "start_time": "2026-01-15T12:00:00.125456Z",
        "start_time_unix_nano": str(start + 2_000_000),
        "end_time": "2026-01-15T12:00:00.126956Z",
        "duration_ms": 1.5,
        "offset_ms": 2.0,
        "depth": 1,
        "status": {"code": "error", "message": "deadlock"},
        "attributes": {"db.system.name": "postgresql", "rows": 3, "ratio": 0.5, "cached": True},
        "resource": {"service.name": "shop", "host.name": "db-1"},
        "scope": {"name": "test", "version": None},
        "events": [{"name": "retry", "time": "2026-01-15T12:00:00.123456Z", "attributes": {}}],
        "links": [{"trace_id": "d" * 32, "span_id": "e" * 16, "attributes": {}}],
    }
    assert (root["parent_span_id"], root["depth"], root["offset_ms"], root["category"]) == (None, 0, 0.0, "http_server")


def test_the_case_of_a_trace_id_does_not_matter(project):
    sent = span(trace_id="ABCDEF" + new_trace_id()[6:])
    project.ingest.store(sent)
    assert project.live.trace(sent["traceId"].upper())["trace_id"] == sent["traceId"].lower()


@pytest.mark.parametrize("trace_id", ["0" * 32, "abc", "z" * 32, "a" * 33, "%20" * 32, "a" * 31 + "%0A"])
def test_what_is_no_trace_id_is_400(shop, trace_id):
    assert shop.refused(f"/v1/traces/{trace_id}") == (400, "invalid_parameter", "trace_id")


def test_an_unknown_trace_is_404(shop):
    for parameters in ({}, {"format": "otlp"}):
        assert shop.refused(f"/v1/traces/{new_trace_id()}", **parameters) == (404, "not_found", None)


@pytest.mark.parametrize("value", ["xml", "OTLP", "protobuf"])
def test_an_unknown_format_is_400(shop, value):
    assert shop.refused(f"/v1/traces/{ids(0x14)[0]}", format=value) == (400, "invalid_parameter", "format")


def test_a_span_that_was_sent_twice_is_shown_once(project):
    sent = span()
    project.ingest.store(sent)
    project.ingest.store(sent, span(trace_id=sent["traceId"], parent=sent["spanId"]))
    assert project.live.trace(sent["traceId"])["span_count"] == 2


def test_a_trace_comes_back_as_the_otlp_that_was_sent(project):
    sent = span(http_route="/a", n=7, events=[exception("E", "m")])
    project.ingest.store(sent)
    in_json = project.live.get(f"/v1/traces/{sent['traceId']}", params={"format": "otlp"})
    assert in_json.headers["content-type"] == "application/json"
    [resource] = in_json.json()["resourceSpans"]
    [scope] = resource["scopeSpans"]
    [shown] = scope["spans"]
    assert (shown["traceId"], shown["startTimeUnixNano"]) == (sent["traceId"], sent["startTimeUnixNano"])
    assert {"key": "n", "value": {"intValue": "7"}} in shown["attributes"]

    in_protobuf = project.live.get(f"/v1/traces/{sent['traceId']}", headers={"Accept": PROTOBUF})
    assert in_protobuf.headers["content-type"] == PROTOBUF
    assert in_protobuf.headers["x-lake-snapshot"]
    request = ExportTraceServiceRequest.FromString(in_protobuf.content)
    [read] = request.resource_spans[0].scope_spans[0].spans
    assert read.trace_id.hex() == sent["traceId"]
    again = project.test.post("/v1/traces", content=in_protobuf.content, headers={"Content-Type": PROTOBUF})
    assert again.status_code == 200
    assert project.test.trace(sent["traceId"])["spans"] == project.live.trace(sent["traceId"])["spans"]


def test_a_trace_names_its_errors_each_once(project):
    """One raised in a span, the same one reported as well, and one that was only reported."""
    now = nanoseconds(dt.datetime.now(dt.UTC))
    sent = span(start=now, events=[exception("OutOfStock", "no hats", at=now)])
    project.ingest.store(sent)
    assert project.live.trace(sent["traceId"])["errors"][0]["exception_class"] == "OutOfStock"
    for message in ("no hats", "no shoes"):
        answer = project.ingest.post(
            "/ingest/errors", json={"error_type": "OutOfStock", "message": message, "trace_id": sent["traceId"]}
        )
        assert answer.status_code == 200
    errors = project.live.trace(sent["traceId"])["errors"]
    assert [set(error) for error in errors] == [{"id", "exception_class", "message", "fingerprint"}] * 2
    assert sorted(error["message"] for error in errors) == ["no hats", "no shoes"]


def test_a_trace_names_the_latest_deploy_before_it(new_project):
    project = new_project()
    for version, deployed_at, service in (
        ("old", NOON - 2 * MINUTE, None),
        ("latest", NOON - MINUTE, None),
        ("of another service", NOON - MINUTE / 2, "users"),
        ("later", NOON + MINUTE, None),
    ):
        deploy = {"version": version, "git_sha": "abc", "deployed_at": deployed_at.isoformat()}
        answer = project.ingest.post("/ingest/deploys", json=deploy | ({"service": service} if service else {}))
        assert answer.status_code == 200
    before, between, users = span(start=NOON - 3 * MINUTE), span(start=NOON), span(start=NOON)
    project.ingest.store(before, between, service="shop")
    project.ingest.store(users, service="users")
    assert project.live.trace(before["traceId"])["deploy"] is None
    deploy = project.live.trace(between["traceId"])["deploy"]
    assert deploy.pop("id").startswith("deploy_")
    assert deploy == {"version": "latest", "git_sha": "abc", "deployed_at": "2026-01-15T11:59:00.000000Z"}
    assert project.live.trace(users["traceId"])["deploy"]["version"] == "of another service"


def test_the_deploy_of_a_trace_is_one_of_its_root_and_environment(new_project):
    """Only where there is none, one of another service of the trace."""
    project = new_project()
    for version, minutes, known in (
        ("root", 9, {"service": "shop", "environment": "live"}),
        ("test", 5, {"service": "shop", "environment": "test"}),
        ("other", 3, {"service": "users", "environment": "live"}),
        ("stranger", 1, {"service": "mail"}),
    ):
        deploy = {"version": version, "deployed_at": (NOON - minutes * MINUTE).isoformat()} | known
        assert project.ingest.post("/ingest/deploys", json=deploy).status_code == 200

    def deploy_of(root, **resource):
        sent = span(start=NOON)
        project.ingest.store(sent, service=root, **resource)
        project.ingest.store(span(trace_id=sent["traceId"], parent=sent["spanId"], start=NOON), service="users", **resource)
        deploy = project.live.trace(sent["traceId"])["deploy"]
        return deploy and deploy["version"]

    live = {"deployment_environment_name": "live"}
    assert deploy_of("shop", **live) == "root"
    assert deploy_of("shop", deployment_environment_name="test") == "test"
    assert deploy_of("shop") == "test"  # nothing is known of its environment
    assert deploy_of("gateway", **live) == "other"
    assert deploy_of("gateway", deployment_environment_name="elsewhere") is None


def test_a_query_in_a_loop_is_named(project):
    root = span()
    loop = [
        span("SELECT", trace_id=root["traceId"], parent=root["spanId"], kind=3, ms=2, start=nanoseconds(NOON) + n,
             db_system_name="postgresql", db_query_text=f"SELECT * FROM hats WHERE id = {n}")
        for n in range(5)
    ]  # fmt: skip
    project.ingest.store(root, *loop)
    assert project.live.trace(root["traceId"])["n_plus_one"] == [
        {
            "pattern": "SELECT * FROM hats WHERE id = ?",
            "service": "shop",
            "caller_span_id": root["spanId"],
            "count": 5,
            "total_duration_ms": 10.0,
            "span_ids": [one["spanId"] for one in loop],
        }
    ]
    alone = span(db_system_name="postgresql")
    project.ingest.store(alone)
    assert project.live.trace(alone["traceId"])["n_plus_one"] == []


def test_a_trace_of_more_spans_than_are_shown_says_so(project):
    trace_id = new_trace_id()
    root = span(trace_id=trace_id)
    project.ingest.store(root, *(span(trace_id=trace_id, parent=root["spanId"]) for _ in range(10_000)))
    shown = project.live.trace(trace_id)
    assert (len(shown["spans"]), shown["truncated"]) == (10_000, True)


def test_parents_in_a_circle_are_shown_all_the_same(project):
    trace_id = new_trace_id()
    project.ingest.store(
        span("a", trace_id=trace_id, span_id="a" * 16, parent="b" * 16),
        span("b", trace_id=trace_id, span_id="b" * 16, parent="a" * 16),
    )
    assert project.live.trace(trace_id)["span_count"] == 2


def test_a_key_of_another_kind_of_client_gets_the_same_answers(server, project):
    """What SDKs of the reference send: no Accept, an Accept of anything, an Accept of JSON."""
    sent = span()
    project.ingest.store(sent)
    key = project.live.headers["authorization"].removeprefix("Bearer ")
    with Client(server.url, key) as client:
        shown = [
            client.get(f"/v1/traces/{sent['traceId']}", headers={"Accept": a}).json() for a in ("*/*", "application/json")
        ]
    assert shown[0] == shown[1]


def test_a_value_with_every_kind_of_character_comes_back(project):
    odd = 'quote " backslash \\ newline \n null-ish \u0001 emoji 🦔 rtl \u202e' + secrets.token_hex(4)
    sent = span(odd, text=odd)
    project.ingest.post("/v1/traces", json=otlp(sent, service=odd))
    [shown] = project.live.trace(sent["traceId"])["spans"]
    assert (shown["name"], shown["attributes"]["text"], shown["service"]) == (odd, odd, odd)
    assert project.live.listed(service=odd) == [sent["traceId"]]

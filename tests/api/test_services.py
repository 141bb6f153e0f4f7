"""Services, endpoints and the graph of who calls whom, over HTTP."""

import datetime as dt
import secrets
from typing import Any

import pytest

from tests.api.clients import new_trace_id, span

HOUR = {"time_window": "1h"}


@pytest.fixture(scope="module")
def start():
    """When the calls of this module happen: some minutes ago, so that all of them lie in the window."""
    return dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - dt.timedelta(minutes=10)


def at(start, ms):
    return start + dt.timedelta(milliseconds=ms)


@pytest.fixture(scope="module")
def system(project, start):
    """A known system. gateway calls orders by HTTP three times, once in vain; orders asks a database, puts messages into a
    queue that worker and audit read, and calls an address outside; a legacy service answers gateway without a parent link.
    """
    for number in range(3):
        trace, client, server, produced = new_trace_id(), *(secrets.token_hex(8) for _ in range(3))
        failed = 2 if number == 2 else 0
        project.ingest.store(
            span("GET /buy/17", trace_id=trace, span_id="1" * 16, start=at(start, 0), ms=100, status=failed,
                 http_request_method="GET", http_route="/buy/{id}"),
            span("POST", trace_id=trace, span_id=client, parent="1" * 16, start=at(start, 5), ms=50, kind=3,
                 http_request_method="POST", server_address="orders.internal"),
            span("GET /legacy", trace_id=trace, parent="1" * 16, start=at(start, 60), ms=20, kind=3,
                 http_request_method="GET", server_address="legacy.internal"),
            service="gateway", service_version=f"v{number}", deployment_environment_name="prod",
            telemetry_sdk_language="python",
        )  # fmt: skip
        project.ingest.store(
            span("POST /orders", trace_id=trace, span_id=server, parent=client, start=at(start, 6), ms=40, status=failed,
                 http_request_method="POST", http_route="/orders"),
            span("SELECT orders", trace_id=trace, parent=server, start=at(start, 7), ms=10, kind=3,
                 db_system_name="postgresql", db_namespace="shop"),
            span("send orders", trace_id=trace, span_id=produced, parent=server, start=at(start, 20), ms=1, kind=4,
                 messaging_system="kafka", messaging_destination_name="orders", messaging_operation_name="send"),
            span("POST", trace_id=trace, parent=server, start=at(start, 22), ms=5, kind=3, http_request_method="POST",
                 server_address="api.payments.example"),
            span("checks itself", trace_id=trace, span_id="5" * 16, parent=server, start=at(start, 30), ms=2, kind=3),
            span("itself", trace_id=trace, parent="5" * 16, start=at(start, 31), ms=1),
            service="orders", k8s_cluster_name="eu",
        )  # fmt: skip
        for consumer in ("worker", "audit"):
            project.ingest.store(
                span("process orders", trace_id=trace, parent=produced, start=at(start, 200), ms=30, kind=5,
                     messaging_system="kafka", messaging_destination_name="orders", messaging_operation_name="process"),
                service=consumer,
            )  # fmt: skip
        project.ingest.store(span("legacy", trace_id=trace, start=at(start, 62), ms=10), service="legacy")
    project.ingest.store(  # a consumer that knows nothing of who wrote its message
        span("process mails", start=at(start, 0), ms=3, kind=5, messaging_system="kafka",
             messaging_destination_name="mails"),
        service="mailer",
    )  # fmt: skip
    project.ingest.post("/ingest/deploys", json={"version": "v1", "service": "orders", "deployed_at": start.isoformat()})
    return project.live


EDGES = {
    ("gateway", "orders", "http", False): (3, 1),
    ("gateway", "legacy", "http", True): (3, 0),
    ("orders", "db:postgresql/shop", "database", False): (3, 0),
    ("orders", "worker", "messaging", False): (3, 0),
    ("orders", "audit", "messaging", False): (3, 0),
    ("orders", "external:api.payments.example", "http", False): (3, 0),
    ("queue:kafka/mails", "mailer", "messaging", False): (1, 0),
}


def edges(answer):
    return {
        (edge["source"], edge["target"], edge["type"], edge["inferred"]): (edge["call_count"], edge["error_count"])
        for edge in answer["edges"]
    }


def test_the_topology_is_the_known_graph(system):
    assert edges(system.found("/v1/topology", **HOUR)) == EDGES


def test_nodes_are_services_and_what_they_call(system):
    nodes = {node["id"]: (node["name"], node["type"]) for node in system.found("/v1/topology")["nodes"]}
    assert nodes == {
        "gateway": ("gateway", "service"),
        "orders": ("orders", "service"),
        "legacy": ("legacy", "service"),
        "worker": ("worker", "service"),
        "audit": ("audit", "service"),
        "mailer": ("mailer", "service"),
        "db:postgresql/shop": ("postgresql/shop", "database"),
        "queue:kafka/mails": ("kafka/mails", "queue"),
        "external:api.payments.example": ("api.payments.example", "external"),
    }


def test_an_edge_has_the_latency_that_its_caller_sees(system):
    answer = system.found("/v1/topology")
    of = {(edge["source"], edge["target"]): edge["latency_ms"] for edge in answer["edges"]}
    for quantile in ("p50", "p95", "p99", "avg"):
        assert of["gateway", "orders"][quantile] == pytest.approx(50, rel=0.011)
        assert of["orders", "worker"][quantile] == pytest.approx(30, rel=0.011)
        assert of["orders", "db:postgresql/shop"][quantile] == pytest.approx(10, rel=0.011)


def test_a_cluster_has_its_services_and_the_calls_that_touch_it(system):
    eu = system.found("/v1/topology", cluster="eu")
    assert eu["cluster"] == "eu"
    assert set(edges(eu)) == {key for key in EDGES if "orders" in key[:2]}
    assert {node["id"]: node["cluster"] for node in eu["nodes"]}["orders"] == "eu"
    assert [service["name"] for service in system.found("/v1/services", cluster="eu")["data"]] == ["orders"]
    assert "orders" not in [service["name"] for service in system.found("/v1/services", cluster="default")["data"]]
    assert system.found("/v1/topology", cluster="nowhere")["edges"] == []


def test_a_service_says_how_it_is(system):
    services = {service["name"]: service for service in system.found("/v1/services")["data"]}
    assert list(services) == sorted(services)
    gateway, orders = services["gateway"], services["orders"]
    assert {name: gateway[name] for name in ("environments", "clusters", "versions", "language")} == {
        "environments": ["prod"],
        "clusters": ["default"],
        "versions": ["v0", "v1", "v2"],
        "language": "python",
    }
    assert (gateway["span_count"], gateway["request_count"], gateway["error_count"]) == (9, 3, 1)
    assert gateway["error_rate"] == pytest.approx(1 / 3)
    assert gateway["latency_ms"]["p95"] == pytest.approx(100, rel=0.011)
    assert gateway["depends_on"] == ["legacy", "orders"]
    assert gateway["last_deploy"] is None
    assert orders["depends_on"] == ["audit", "db:postgresql/shop", "external:api.payments.example", "worker"]
    assert orders["last_deploy"]["version"] == "v1"


def test_an_endpoint_is_named_by_its_route_or_operation(system):
    found = system.found("/v1/endpoints", service="orders")["data"]
    assert [(item["endpoint"], item["kind"], item["request_count"], item["error_count"]) for item in found] == [
        ("POST", "client", 3, 0),
        ("POST /orders", "server", 3, 1),
        ("SELECT orders", "client", 3, 0),
        ("checks itself", "client", 3, 0),
        ("itself", "server", 3, 0),
        ("send orders", "producer", 3, 0),
    ]
    assert [item["endpoint"] for item in found if item["is_request"]] == ["POST /orders", "itself"]


def test_endpoints_come_in_pages(system):
    whole = system.found("/v1/endpoints")["data"]
    paged: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = system.found("/v1/endpoints", limit=2, **cursor)
        paged += page["data"]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [(item["service"], item["endpoint"], item["kind"]) for item in paged] == [
        (item["service"], item["endpoint"], item["kind"]) for item in whole
    ]
    assert len(whole) == 13


@pytest.mark.parametrize("path", ["/v1/services", "/v1/topology"])
@pytest.mark.parametrize("value", ["2h", "1H", "60", "1h "])
def test_another_window_is_refused(system, path, value):
    assert system.refused(path, time_window=value) == (400, "invalid_parameter", "time_window")


@pytest.mark.parametrize("path", ["/v1/services", "/v1/topology", "/v1/endpoints"])
def test_another_project_and_the_sandbox_see_nothing(system, project, new_project, path):
    for client in (project.test, new_project().live):
        answer = client.found(path)
        assert not answer.get("data")
        assert not answer.get("edges")
        assert not answer.get("nodes")


@pytest.mark.parametrize("path", ["/v1/services", "/v1/topology", "/v1/endpoints"])
def test_an_ingest_key_may_not_ask(project, path):
    assert project.ingest.refused(path) == (403, "permission_denied", None)


@pytest.mark.parametrize("path", ["/v1/services", "/v1/topology", "/v1/endpoints"])
def test_an_answer_names_its_snapshot(system, path):
    assert system.get(path).headers["x-lake-snapshot"]

"""Services of a real server, through the client."""

import secrets
import time

import msgspec
import pytest

import lake
from tests.api.clients import new_trace_id, otlp, span


@pytest.fixture(scope="module")
def asker(server):
    with lake.connect(server.url, server.live_key) as client:
        yield client


@pytest.fixture(scope="module")
def front_and_back(server):
    """Two services of a cluster of their own; the first calls the second, which asks a database."""
    cluster = f"c-{secrets.token_hex(4)}"
    start = time.time_ns() - 120_000_000_000
    trace_id, root, call, answer = new_trace_id(), *(secrets.token_hex(8) for _ in range(3))
    front = [
        span("GET /", trace_id=trace_id, span_id=root, start=start, ms=40, http_request_method="GET", http_route="/"),
        span("GET /b", trace_id=trace_id, span_id=call, parent=root, start=start, ms=30, kind=3, http_request_method="GET"),
    ]
    back = [
        span("GET /b", trace_id=trace_id, span_id=answer, parent=call, start=start, ms=20, http_route="/b", status=2),
        span("SELECT b", trace_id=trace_id, parent=answer, start=start, ms=10, kind=3, db_system="postgresql"),
    ]
    with lake.connect(server.url, server.ingest_key) as sender:
        for name, spans in (("front", front), ("back", back)):
            body = otlp(*spans, service=f"{name}-{cluster}", k8s_cluster_name=cluster)
            sender.send_traces(msgspec.json.encode(body), content_type="application/json")
    return cluster


def test_services_come_typed(asker, front_and_back):
    back, front = asker.list_services(cluster=front_and_back, time_window="6h").data
    assert (front.name, front.request_count, front.error_rate) == (f"front-{front_and_back}", 1, 0.0)
    assert (back.request_count, back.error_count, back.clusters) == (1, 1, [front_and_back])
    assert front.latency_ms.p95 == pytest.approx(40, rel=0.02)
    assert back.name in front.depends_on


def test_the_graph_comes_typed(asker, front_and_back):
    found = asker.get_topology(cluster=front_and_back)
    assert (found.time_window, found.cluster) == ("1h", front_and_back)
    assert {node.type for node in found.nodes} == {"service", "database"}
    edges = {(edge.source, edge.type): edge for edge in found.edges}
    front, back = (f"{name}-{front_and_back}" for name in ("front", "back"))
    assert edges[front, "http"].target == back
    assert edges[front, "http"].call_count == 1
    assert edges[back, "database"].latency_ms.p50 == pytest.approx(10, rel=0.02)


def test_endpoints_come_typed_and_page_by_page(asker, front_and_back):
    every = list(asker.iter_endpoints(cluster=front_and_back, limit=1))
    keys = [(one.service, one.endpoint, one.kind) for one in every]
    assert keys == sorted(keys, key=str)
    assert len(set(keys)) == len(keys) == 4
    [front] = [one for one in every if one.is_request and one.service == f"front-{front_and_back}"]
    assert (front.endpoint, front.request_count) == ("GET /", 1)
    assert front.latency_ms.p50 == pytest.approx(40, rel=0.02)
    assert asker.list_endpoints(cluster=front_and_back, limit=1).has_more

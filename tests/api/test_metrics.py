"""Prometheus reads figures of a key's lake, put together from all workers, and nothing of other lakes."""

import datetime as dt
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lake.control import Control
from lake.control.database import writing
from lake.settings import LakeSettings
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.outbox import enqueue
from scheduler.alerts.store import AlertStore
from scheduler.alerts.sweep import Sweep
from tests.api.clients import new_trace_id, span
from tests.scheduler.alerts.alerts import FIRING
from tests.servers import wait_until


@pytest.fixture
def own(new_project):
    return new_project()


def samples(client):
    """Values by name and labels, as Prometheus' own reader finds them."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def total(found, name, **labels):
    return sum(value for (known, has), value in found.items() if known == name and labels.items() <= dict(has).items())


def test_ingest_landing_jobs_and_messages_are_counted(server, own):
    own.ingest.store(*(span("GET /", trace_id=new_trace_id()) for _ in range(7)), service="cart")
    with Control(server.data) as control, writing(control.engine) as connection, connection.begin():
        enqueue(connection, replace(FIRING, project=own.name), [Channel("slack")], dt.datetime.now(dt.UTC))
    found = {}

    def are_there():
        found.update(samples(own.live))
        return (
            total(found, "tracelake_ingest_spans_total") == 7
            and total(found, "tracelake_job_done_total", job="compact", what="rows") == 7
            and total(found, "tracelake_alert_deliveries", channel="slack", status="dead") == 1
        )

    wait_until(are_there, lambda: f"the figures are {found}")
    assert total(found, "tracelake_ingest_bytes_total") > 0
    assert total(found, "tracelake_tables_bytes") > 0
    assert ("tracelake_landing_files", frozenset()) in found
    assert total(found, "tracelake_job_runs_total", job="compact", scope="lake") >= 1
    assert total(found, "tracelake_job_state", job="compact") == 1


def test_alerts_are_counted_by_state(server, own):
    condition = {"metric": "request_count", "threshold": 3, "window": "5m", "service": "cart"}
    rule = {"name": "Busy", "condition": condition, "channels": ["slack"]}
    assert own.live.post("/v1/alerts/rules", json=rule).status_code == 201
    start = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
    own.live.store(*(span("GET /", start=start, http_route="/") for _ in range(5)), service="cart")
    with Control(server.data) as control:
        sweep = Sweep(server.data, LakeSettings(), AlertStore(control.engine, enqueue))
        sweep.run()  # whatever the server's scheduler has judged already stays as it is
        sweep.close()
    found = samples(own.live)
    assert total(found, "tracelake_alerts", state="firing") == 1
    assert total(found, "tracelake_alerts") == 1


def test_requests_are_counted_in_whatever_worker_answers(server, own):
    count = 40
    for _ in range(count):  # each on a connection of its own, so that both workers answer some
        assert httpx.get(f"{server.url}/v1/services", headers=own.live.headers).status_code == 200
    own.live.get("/v1/traces/none")
    name = "tracelake_http_request_duration_seconds"
    for _ in range(4):
        found = samples(own.live)
        assert total(found, f"{name}_count", method="GET", route="/v1/services", status="200") == count
        assert total(found, f"{name}_bucket", route="/v1/services", le="+Inf") == count
        assert total(found, f"{name}_count", route="/v1/traces/{trace_id}", status="400") == 1


def test_methods_that_anybody_can_make_up_are_one_figure(own):
    for method in ("BREW", "STEEP"):
        assert own.live.request(method, "/v1/services").status_code >= 400
    found = {dict(labels).get("method") for name, labels in samples(own.live) if name.startswith("tracelake_http_request")}
    assert found == {"(other)"}


def test_the_graph_has_the_names_of_tempo(own):
    trace_id, now = new_trace_id(), dt.datetime.now(dt.UTC)
    start = int(now.replace(hour=0, minute=0, second=1, microsecond=0).timestamp() * 1e9)
    caller = span("GET pay", trace_id=trace_id, span_id="1" * 16, kind=3, start=start, ms=30)
    own.ingest.store(caller, service="cart")
    own.ingest.store(span("POST /pay", trace_id=trace_id, span_id="2" * 16, parent="1" * 16, kind=2, start=start, ms=20,
                          status=2), service="pay")  # fmt: skip
    labels = {"client": "cart", "server": "pay"}
    found = {}

    def is_there():
        found.update(samples(own.live))
        return total(found, "traces_service_graph_request_total", **labels) == 1

    wait_until(is_there, lambda: f"the figures are {found}")
    assert total(found, "traces_service_graph_request_failed_total", **labels) == 1
    assert 0 < total(found, "traces_service_graph_request_server_seconds_sum", **labels) < 1


def test_figures_of_another_lake_are_not_there(own, new_project):
    own.ingest.store(span("GET /"), service="canary-of-mine")
    assert own.live.get("/v1/topology").status_code == 200
    other = new_project()
    for client in (other.live, own.test):
        found = samples(client)
        assert total(found, "tracelake_ingest_spans_total") == 0
        assert total(found, "tracelake_http_request_duration_seconds_count", route="/v1/topology") == 0
        text = client.get("/metrics").text
        assert "canary-of-mine" not in text
        assert own.name not in text


def test_a_key_is_needed(anonymous):
    assert anonymous.get("/metrics").status_code == 401

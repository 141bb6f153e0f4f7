"""Nodes over HTTP: the server's own processes, and a project's collectors."""

import datetime as dt
import re
import secrets
from itertools import pairwise

import pytest

from tests.api.clients import otlp, span
from tests.servers import wait_until


@pytest.fixture
def own(new_project):
    """A project of the test's own."""
    return new_project()


def error(answer):
    content = answer.json()["error"]
    return answer.status_code, content["code"], content.get("param")


def nodes(client, **filters):
    return {node["node_id"]: node for node in client.found("/v1/nodes", **filters)["data"]}


def with_role(client, role):
    return [node for node in nodes(client).values() if node["role"] == role]


def registered(client, **body):
    answer = client.post("/v1/nodes", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_processes_of_the_server_are_nodes(own):
    wait_until(lambda: len(with_role(own.live, "api")) == 2, lambda: "not both workers have said that they are alive")
    wait_until(lambda: len(with_role(own.live, "scheduler")) == 1, lambda: "the scheduler has not said that it is alive")
    for node in with_role(own.live, "api") + with_role(own.live, "scheduler"):
        assert re.fullmatch("node_[0-9a-f]{12}", node["node_id"])
        assert node["cluster"] == "default"
        assert node["status"] in ("healthy", "degraded")
        assert node["version"]
        assert node["metrics"]["memory_bytes"] > 2**20
        assert node["uptime_seconds"] >= 0
    [scheduler] = with_role(own.live, "scheduler")
    assert scheduler["metrics"]["disk_used_bytes"] >= 0
    assert own.live.found(f"/v1/nodes/{scheduler['node_id']}")["config"]["compaction_files"] == 4


def test_a_node_has_the_traffic_of_the_project_that_asks_and_no_other(own, new_project):
    other = new_project()
    own.ingest.store(span(), span(), service="a")
    refused = own.ingest.post("/ingest/v1/traces", json=otlp(span(), span() | {"spanId": "zz"}))
    assert "rejectedSpans" in refused.json()["partialSuccess"]

    def total(client, name):
        return sum(node["metrics"][name] for node in with_role(client, "api"))

    wait_until(lambda: total(own.live, "spans_received_total") == 3, lambda: f"{with_role(own.live, 'api')}")
    assert total(own.live, "spans_rejected_total") == 1
    assert total(own.live, "bytes_received_total") > 100
    for client in (other.live, own.test):
        assert total(client, "spans_received_total") == total(client, "bytes_received_total") == 0
    recent = [own.live.found(f"/v1/nodes/{node['node_id']}")["recent"] for node in with_role(own.live, "api")]
    assert all(len(points) == 60 for points in recent)
    assert sum(point["spans_received"] for points in recent for point in points) == 3
    [times] = {tuple(point["time"] for point in points) for points in recent[:1]}
    assert list(times) == sorted(times)
    gaps = {dt.datetime.fromisoformat(b) - dt.datetime.fromisoformat(a) for a, b in pairwise(times)}
    assert gaps == {dt.timedelta(minutes=1)}


def test_a_collector_becomes_a_node_by_a_header_of_what_it_sends(own):
    header = {"X-Mesh-Node-Id": "collector-1"}
    assert own.ingest.post("/ingest/v1/traces", json=otlp(span(), span()), headers=header).status_code == 200
    assert own.ingest.post("/ingest/deploys", json={"version": "v1"}, headers=header).status_code == 200
    wait_until(lambda: "collector-1" in nodes(own.live), lambda: "the collector is not there")
    wait_until(lambda: nodes(own.live)["collector-1"]["metrics"]["spans_received_total"] == 2, lambda: str(nodes(own.live)))
    node = nodes(own.live)["collector-1"]
    assert (node["name"], node["role"], node["status"]) == ("collector-1", "collector", "healthy")
    assert "collector-1" not in nodes(own.test)


@pytest.mark.parametrize("value", ["", "a b", "a" * 65, "../x", "a\tb"])
def test_a_header_that_names_no_node_does_not_keep_spans_out(own, value):
    answer = own.ingest.post("/ingest/v1/traces", json=otlp(span()), headers={"X-Mesh-Node-Id": value})
    assert answer.status_code == 200


def test_a_collector_presents_itself_and_says_that_it_is_alive(own):
    node = registered(
        own.live,
        node_id="eu-1",
        name="Collector EU",
        cluster="prod-eu",
        region="eu-west-1",
        version="0.140.0",
        address="10.0.0.5:4318",
        labels={"team": "core"},
        config={"batch_size": 512, "tls": True},
    )
    assert (node["node_id"], node["name"], node["cluster"], node["region"]) == (
        "eu-1",
        "Collector EU",
        "prod-eu",
        "eu-west-1",
    )
    assert (node["labels"], node["config"]) == ({"team": "core"}, {"batch_size": 512, "tls": True})
    assert (node["status"], node["draining"], node["metrics"]["buffer_spans"]) == ("healthy", False, None)
    metrics = {"buffer_spans": 820, "flush_lag_ms": 240.5, "cpu_percent": 12.5}
    beaten = own.live.post("/v1/nodes/eu-1/heartbeat", json={"metrics": metrics})
    assert beaten.status_code == 200
    assert metrics.items() <= beaten.json()["metrics"].items()
    assert own.live.found("/v1/nodes/eu-1")["last_heartbeat_at"] >= node["last_heartbeat_at"]
    assert own.live.post("/v1/nodes/eu-1/heartbeat", json={}).json()["metrics"]["buffer_spans"] == 820
    again = registered(own.live, node_id="eu-1", version="0.141.0")
    assert (again["version"], again["name"]) == ("0.141.0", "Collector EU")
    assert re.fullmatch("node_[0-9a-f]{12}", registered(own.live)["node_id"])


def test_a_collector_is_labelled_drained_and_forgotten(own):
    registered(own.live, node_id="c1", labels={"a": "b", "c": "d"})
    changed = own.live.patch("/v1/nodes/c1", json={"labels": {"team": "core"}, "draining": True}).json()
    assert (changed["labels"], changed["draining"]) == ({"team": "core"}, True)
    assert own.live.post("/v1/nodes/c1/heartbeat", json={}).json()["draining"] is True
    assert own.live.patch("/v1/nodes/c1", json={"draining": False}).json()["labels"] == {"team": "core"}
    assert own.live.delete("/v1/nodes/c1").json() == {"node_id": "c1", "deleted": True}
    for answer in (
        own.live.delete("/v1/nodes/c1"),
        own.live.get("/v1/nodes/c1"),
        own.live.post("/v1/nodes/c1/heartbeat", json={}),
        own.live.patch("/v1/nodes/c1", json={}),
    ):
        assert error(answer) == (404, "not_found", None)


def test_the_list_is_filtered_and_has_pages(own):
    for number in range(3):
        registered(own.live, node_id=f"n{number}", cluster="one" if number else "two")
    assert set(nodes(own.live, cluster="one")) == {"n1", "n2"}
    assert nodes(own.live, cluster="one", status="offline") == {}
    assert {"n0", "n1", "n2"} <= set(nodes(own.live, status="healthy"))
    first = own.live.found("/v1/nodes", limit=2, cluster="one")
    assert ([node["node_id"] for node in first["data"]], first["has_more"]) == (["n1", "n2"], False)
    first = own.live.found("/v1/nodes", limit=1, cluster="one")
    second = own.live.found("/v1/nodes", limit=1, cluster="one", cursor=first["next_cursor"])
    assert [page["data"][0]["node_id"] for page in (first, second)] == ["n1", "n2"]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)
    assert own.live.refused("/v1/nodes", cursor=first["next_cursor"]) == (400, "invalid_cursor", "cursor")
    assert own.live.refused("/v1/nodes", status="fine") == (400, "invalid_parameter", "status")
    assert own.live.refused("/v1/nodes", limit="0") == (400, "invalid_parameter", "limit")


def test_another_project_and_the_sandbox_know_nothing_of_a_collector(own, new_project):
    name = f"canary-{secrets.token_hex(4)}"
    registered(own.live, node_id=name)
    other = new_project()
    for client in (other.live, own.test):
        assert name not in client.get("/v1/nodes").text
        for method in ("GET", "DELETE"):
            assert error(client.request(method, f"/v1/nodes/{name}")) == (404, "not_found", None)
        for method, path in (("PATCH", f"/v1/nodes/{name}"), ("POST", f"/v1/nodes/{name}/heartbeat")):
            assert error(client.request(method, path, json={})) == (404, "not_found", None)
    assert registered(other.live, node_id=name, cluster="theirs")["cluster"] == "theirs"
    assert own.live.found(f"/v1/nodes/{name}")["cluster"] == "default"


def test_a_process_of_the_server_is_not_managed_by_one_of_its_projects(own):
    wait_until(lambda: bool(with_role(own.live, "api")), lambda: "no worker has said that it is alive")
    node_id = with_role(own.live, "api")[0]["node_id"]
    for answer in (
        own.live.delete(f"/v1/nodes/{node_id}"),
        own.live.patch(f"/v1/nodes/{node_id}", json={"draining": True}),
        own.live.post(f"/v1/nodes/{node_id}/heartbeat", json={}),
    ):
        assert error(answer) == (403, "permission_denied", None)
    assert error(own.live.post("/v1/nodes", json={"node_id": node_id})) == (400, "invalid_parameter", "node_id")


def test_an_ingest_key_is_refused_here_too(own):
    for answer in (
        own.ingest.get("/v1/nodes"),
        own.ingest.post("/v1/nodes", json={}),
        own.ingest.post("/v1/nodes/c1/heartbeat", json={}),
        own.ingest.patch("/v1/nodes/c1", json={}),
        own.ingest.delete("/v1/nodes/c1"),
    ):
        assert error(answer) == (403, "permission_denied", None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"node_id": "a b"}, "node_id"),
        ({"node_id": ""}, "node_id"),
        ({"name": ""}, "name"),
        ({"labels": {"a": 1}}, "labels[...]"),
        ({"labels": {str(number): "" for number in range(65)}}, "labels"),
        ({"config": {"a": {}}}, "config[...]"),
        ({"metrics": {"cpu_percent": -1}}, "metrics.cpu_percent"),
        ({"metrics": {"cpu": 1}}, "metrics.cpu"),
    ],
)
def test_what_a_node_cannot_say_is_refused_with_the_field(own, body, param):
    assert error(own.live.post("/v1/nodes", json=body)) == (400, "invalid_parameter", param)

"""Nodes of a real server, through the client."""

import datetime as dt
import secrets

import pytest

import lake
from lake.client import NotFound, PermissionDenied
from lake.client.models.nodes import CollectorNode, Gauges, NodeChange, NodeRegistration
from tests.servers import wait_until


@pytest.fixture(scope="module")
def asker(server):
    with lake.connect(server.url, server.live_key) as client:
        yield client


def test_the_processes_of_the_server_are_nodes(asker):
    nodes: list[CollectorNode] = []

    def are_there():
        nodes[:] = asker.iter_nodes(limit=1)
        return {"api", "scheduler"} <= {node.role for node in nodes}

    wait_until(are_there, lambda: f"the nodes are {nodes}")
    [api] = [node for node in nodes if node.role == "api"]
    found = asker.get_node(api.node_id)
    assert (found.status, len(found.recent)) == ("healthy", 60)
    assert found.last_heartbeat_at <= dt.datetime.now(dt.UTC)
    with pytest.raises(PermissionDenied, match="process of the server"):
        asker.forget_node(api.node_id)


def test_a_collector_is_registered_beats_is_changed_and_forgotten(asker):
    node_id = f"otel-{secrets.token_hex(4)}"
    made = asker.register_node(NodeRegistration(node_id=node_id, name="edge", cluster="eu", labels={"rack": "7"}))
    assert (made.node_id, made.role, made.status, made.labels) == (node_id, "collector", "healthy", {"rack": "7"})
    assert asker.register_node(NodeRegistration(node_id=node_id, region="west")).name == "edge"
    assert asker.beat_node(node_id, metrics=Gauges(cpu_percent=12.5)).metrics.cpu_percent == 12.5
    assert asker.change_node(node_id, NodeChange(draining=True)).draining
    assert asker.beat_node(node_id).draining
    assert node_id in [node.node_id for node in asker.list_nodes(cluster="eu", status="healthy").data]
    assert asker.forget_node(node_id).deleted
    with pytest.raises(NotFound):
        asker.get_node(node_id)

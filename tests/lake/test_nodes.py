"""Nodes: how one is by its heartbeat, what each has taken in, and who may know of it."""

import datetime as dt
import subprocess
import sys

import pytest

from lake.control import Control
from lake.control import nodes as nodes_module
from lake.control.heartbeat import Heartbeat
from lake.control.nodes import FORGET_AFTER, SERVER, Description, Place, Traffic, spans_per_second, status
from lake.control.process import FOLDER, claim
from lake.errors import ControlError

NOW = dt.datetime(2026, 11, 23, 9, 0, 30, tzinfo=dt.UTC)
SHOP, SANDBOX, OTHER = Place("shop", "live"), Place("shop", "sandbox"), Place("other", "live")


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def control(tmp_path, clock):
    with Control(tmp_path, now=clock) as control:
        for name in ("shop", "other"):
            control.create_project(name)
        yield control


@pytest.fixture
def nodes(control):
    return control.nodes


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [
        (-3600, "healthy"),
        (0, "healthy"),
        (29.999, "healthy"),
        (30, "degraded"),
        (120, "degraded"),
        (120.001, "offline"),
        (1e9, "offline"),
    ],
)
def test_a_node_is_as_well_as_its_last_heartbeat_is_young(silent_s, expected):
    assert status(NOW - dt.timedelta(seconds=silent_s), NOW) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"), [({}, 0), ({0: 90}, 1), ({-1: 60, 0: 30}, 1), ({-1: 180}, 2), ({-2: 1000, 1: 1000}, 0)]
)
def test_the_rate_is_that_of_the_running_minute_and_the_one_before(minutes, expected):
    running = int(NOW.timestamp() // 60)
    found = {running + offset: Traffic(spans_received=spans) for offset, spans in minutes.items()}
    assert spans_per_second(found, NOW) == pytest.approx(expected)


def test_a_node_is_what_it_last_said(nodes, clock):
    nodes.beat(SHOP, "c1", "collector", Description(cluster="prod", labels={"a": "b"}, gauges={"cpu_percent": 5.0}))
    clock.now += dt.timedelta(seconds=40)
    nodes.beat(SHOP, "c1", "collector", Description(name="Collector", gauges={"cpu_percent": 7.0}))
    [node] = nodes.of(SHOP)
    assert (node.id, node.name, node.cluster, node.labels) == ("c1", "Collector", "prod", {"a": "b"})
    assert node.gauges == {"cpu_percent": 7.0}
    assert node.last_heartbeat_at == clock.now
    assert nodes.find(SHOP, "c1") == node


def test_a_lake_knows_its_own_collectors_and_the_processes_of_the_server(nodes):
    nodes.beat(SERVER, "node_api", "api", Description(name="api-1"))
    nodes.beat(SHOP, "c1", "collector", Description())
    nodes.beat(OTHER, "c1", "collector", Description(cluster="theirs"))
    nodes.beat(OTHER, "c2", "collector", Description())
    assert [node.id for node in nodes.of(SHOP)] == ["node_api", "c1"]
    assert [node.id for node in nodes.of(SANDBOX)] == ["node_api"]
    assert nodes.find(SHOP, "c1").cluster == "default"
    assert nodes.find(SHOP, "c2") is None
    assert nodes.change(SHOP, "c2", Description(draining=True)) is None
    assert not nodes.forget(SHOP, "c2")
    assert not nodes.forget(SHOP, "node_api")
    assert len(nodes.of(OTHER)) == 3


def test_no_collector_is_taken_for_a_process_of_the_server(nodes):
    nodes.beat(SERVER, "node_api", "api", Description())
    with pytest.raises(ControlError, match="is a process of the server itself"):
        nodes.beat(SHOP, "node_api", "collector", Description())
    nodes.take_in({(SHOP, "node_api", True): Traffic(9, 9, 9)})
    assert nodes.traffic(SHOP) == {}


def test_traffic_adds_up_by_lake_node_and_minute(nodes, clock):
    for _ in range(2):
        nodes.take_in({(SHOP, "a", False): Traffic(1, 2, 3), (OTHER, "a", False): Traffic(100, 100, 100)})
    clock.now += dt.timedelta(minutes=1)
    nodes.take_in({(SHOP, "a", False): Traffic(10, 20, 30), (SHOP, "b", False): Traffic(5, 0, 7)})
    assert nodes.traffic(SHOP) == {"a": Traffic(12, 24, 36), "b": Traffic(5, 0, 7)}
    assert nodes.traffic(SANDBOX) == {}
    minute = int(NOW.timestamp() // 60)
    assert nodes.minutes(SHOP) == {
        "a": {minute: Traffic(2, 4, 6), minute + 1: Traffic(10, 20, 30)},
        "b": {minute + 1: Traffic(5, 0, 7)},
    }
    clock.now += dt.timedelta(minutes=59)
    assert list(nodes.minutes(SHOP)["a"]) == [minute + 1]
    assert nodes.of(SHOP) == []  # only a collector becomes a node by what it sends


def test_a_collector_becomes_a_node_by_what_it_sends(nodes, clock):
    nodes.take_in({(SHOP, "c1", True): Traffic(1, 0, 10)})
    [node] = nodes.of(SHOP)
    assert (node.id, node.name, node.role, node.last_heartbeat_at) == ("c1", "c1", "collector", NOW)
    nodes.change(SHOP, "c1", Description(name="Named", draining=True))
    clock.now += dt.timedelta(minutes=5)
    nodes.take_in({(SHOP, "c1", True): Traffic(1, 0, 10)})
    [node] = nodes.of(SHOP)
    assert (node.name, node.draining, node.last_heartbeat_at) == ("Named", True, clock.now)


def test_a_lake_has_so_many_collectors_and_no_more(nodes, monkeypatch):
    monkeypatch.setattr(nodes_module, "MAX_NODES", 3)
    nodes.take_in({(SHOP, f"c{number}", True): Traffic(1, 0, 0) for number in range(5)})
    assert len(nodes.of(SHOP)) == len(nodes.traffic(SHOP)) == 3
    with pytest.raises(ControlError, match="3 collectors already"):
        nodes.beat(SHOP, "new", "collector", Description())
    nodes.beat(SHOP, "c0", "collector", Description())
    nodes.beat(OTHER, "new", "collector", Description())


def test_a_forgotten_node_is_gone_with_its_traffic_and_comes_back_new(nodes):
    nodes.take_in({(SHOP, "c1", True): Traffic(1, 2, 3), (SHOP, "c2", True): Traffic(4, 5, 6)})
    assert nodes.forget(SHOP, "c1")
    assert not nodes.forget(SHOP, "c1")
    assert nodes.traffic(SHOP) == {"c2": Traffic(4, 5, 6)}
    assert list(nodes.minutes(SHOP)) == ["c2"]
    nodes.take_in({(SHOP, "c1", True): Traffic(7, 0, 0)})
    assert nodes.traffic(SHOP)["c1"] == Traffic(7, 0, 0)


def test_what_is_silent_for_long_is_forgotten(nodes, clock):
    nodes.take_in({(SHOP, "old", True): Traffic(1, 2, 3), (SHOP, "new", True): Traffic(1, 2, 3)})
    clock.now += FORGET_AFTER
    nodes.forget_silent()
    assert len(nodes.of(SHOP)) == 2
    nodes.take_in({(SHOP, "new", True): Traffic(1, 2, 3)})
    clock.now += dt.timedelta(seconds=1)
    nodes.forget_silent()
    assert [node.id for node in nodes.of(SHOP)] == ["new"]
    assert nodes.traffic(SHOP) == {"new": Traffic(2, 4, 6)}


def test_a_deleted_project_leaves_no_nodes(control, nodes):
    nodes.take_in({(SHOP, "c1", True): Traffic(1, 2, 3)})
    control.delete_project("shop", force=True)
    assert (nodes.of(SHOP), nodes.traffic(SHOP), nodes.minutes(SHOP)) == ([], {}, {})


def test_a_place_is_taken_by_one_process_and_keeps_its_id(tmp_path):
    first, second = claim(tmp_path, "api"), claim(tmp_path, "api")
    scheduler = claim(tmp_path, "scheduler")
    assert len({first.node_id, second.node_id, scheduler.node_id}) == 3
    assert first.name.startswith("api-1@")
    assert second.name.startswith("api-2@")
    first.close()
    again = claim(tmp_path, "api")
    assert (again.node_id, again.name) == (first.node_id, first.name)
    for identity in (second, scheduler, again):
        identity.close()


def test_a_killed_process_leaves_its_place(tmp_path):
    program = (
        "import sys, pathlib; from lake.control.process import claim\n"
        "print(claim(pathlib.Path(sys.argv[1]), 'api').node_id, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    node_id = process.stdout.readline().strip()
    other = claim(tmp_path, "api")
    assert other.node_id != node_id
    process.kill()
    process.communicate()
    again = claim(tmp_path, "api")
    assert again.node_id == node_id
    for identity in (other, again):
        identity.close()


def test_a_damaged_id_is_made_anew(tmp_path):
    claim(tmp_path, "api").close()
    (tmp_path / FOLDER / "api-1").write_bytes(b"nonsense" * 20)
    identity = claim(tmp_path, "api")
    assert (tmp_path / FOLDER / "api-1").read_text() == identity.node_id
    identity.close()


def test_a_heartbeat_tells_what_the_process_takes(control, nodes, tmp_path):
    identity = claim(tmp_path, "scheduler")
    heartbeat = Heartbeat(control, identity, Description(cluster="prod", config={"workers": 2}))
    heartbeat.beat()
    [node] = nodes.of(SHOP)
    assert (node.id, node.name, node.role, node.cluster) == (identity.node_id, identity.name, "scheduler", "prod")
    assert (node.started_at, node.config) == (identity.started_at, {"workers": 2})
    assert node.gauges["memory_bytes"] > 2**20
    assert node.gauges["cpu_percent"] >= 0
    identity.close()


def test_a_heartbeat_that_the_database_cannot_take_is_no_end(control, tmp_path, caplog):
    identity = claim(tmp_path, "api")
    heartbeat = Heartbeat(control, identity, Description())
    with control._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE nodes RENAME TO elsewhere")
    heartbeat.beat()
    assert "no heartbeat" in caplog.text
    identity.close()

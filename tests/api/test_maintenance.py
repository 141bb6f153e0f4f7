"""How a lake is kept can be seen by whoever has a key for it, and of other lakes nothing."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from api.maintenance import schedulers
from lake.control.job_runs import JobRun
from lake.control.nodes import SERVER, Node
from tests.api.clients import span
from tests.servers import wait_until

NOW = dt.datetime(2026, 11, 25, 9, 0, tzinfo=dt.UTC)


@pytest.fixture
def own(new_project):
    return new_project()


def jobs(client, scope):
    return {job["name"]: job for job in client.found("/v1/maintenance")["jobs"] if job["scope"] == scope}


def test_the_jobs_of_a_lake_and_of_the_server_are_shown(server, own):
    own.ingest.store(span("GET /"), service="cart")
    found: dict[str, Any] = {}

    def is_compacted():
        found.update(jobs(own.live, "lake"))
        return found.get("compact", {}).get("did", {}).get("rows") == 1

    wait_until(is_compacted, lambda: f"the jobs are {found}\n{server.log_end()}")
    assert found["compact"]["state"] in ("ok", "late")
    assert found["compact"]["failures"] == 0
    assert found["compact"]["interval_seconds"] == 1
    assert {"deliver"} <= jobs(own.live, "server").keys()
    report = own.live.found("/v1/maintenance")
    assert report["storage"]["table_bytes"] > 0
    assert report["schedulers"]["waiting"] == []
    [scheduler] = [node for node in own.live.found("/v1/nodes")["data"] if node["role"] == "scheduler"]
    assert report["schedulers"]["working"] == scheduler["node_id"]


def test_jobs_of_another_lake_are_not_there(own, new_project):
    own.ingest.store(span("GET /"), service="cart")
    wait_until(lambda: "compact" in jobs(own.live, "lake"), lambda: "nothing is noted")
    assert jobs(new_project().live, "lake") == {}


def node(name, silent_s=0):
    heard_at = NOW - dt.timedelta(seconds=silent_s)
    return Node(name, SERVER, "scheduler", name, "default", None, None, None, None, heard_at)


def test_who_ran_a_job_last_works_and_who_is_alive_waits():
    run = JobRun(SERVER, "deliver", "node_2", 1, 1, 0, NOW, 0.1, NOW, None, None, None)
    before = replace(run, node="node_1", started_at=NOW - dt.timedelta(seconds=30))
    nodes = [node("node_1"), node("node_2"), node("node_3", silent_s=500)]
    found = schedulers(nodes, [before, run], NOW)
    assert (found.working, found.waiting) == ("node_2", ["node_1"])
    assert schedulers([], [run], NOW).working is None
    assert schedulers(nodes, [], NOW).waiting == ["node_1", "node_2"]

"""The server traces its own requests when it is asked to, and not what it sends these traces with."""

import pytest

from lake.control import Control
from tests.api.clients import Client
from tests.servers import command, running, wait_until


@pytest.fixture
def traced(tmp_path):
    with running(tmp_path / "data", workers=1, argv=[command(), "serve", "--no-lab", "--self-trace"]) as server:
        yield server


def test_requests_are_traced_and_ingest_of_their_traces_is_not(traced):
    with Control(traced.data) as control:
        key = control.create_key("tracelake", "live").secret
        [own] = [one for one in control.list_keys("tracelake") if one.kind == "ingest"]
        assert own.name == "self-trace"
    caller = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", **traced.reading}
    assert traced.client.get("/v1/services", headers=caller).status_code == 200
    assert traced.client.get("/v1/traces/none", headers=traced.reading).status_code == 400
    assert traced.client.get("/v1/services", headers={"Authorization": "Bearer mtk_live_none"}).status_code == 401
    asked = 3

    def spans():
        nonlocal asked
        asked += 1
        query = "SELECT name, trace_id, parent_span_id, attributes FROM spans ORDER BY start_time"
        return asker.post("/v1/sql", json={"query": query}).json()["data"]

    with Client(traced.url, key) as asker:
        wait_until(lambda: len(spans()) >= 3, lambda: f"they are {spans()}\n{traced.log_end()}")
        first = spans()[:3]
        assert [row["name"] for row in first] == ["GET /v1/services", "GET /v1/traces/{trace_id}", "GET /v1/services"]
        assert (first[0]["trace_id"], first[0]["parent_span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
        assert "'tracelake.project': 'default'" in str(first[0]["attributes"])
        found = spans()
    assert len(found) <= asked  # what the spans are sent with makes none
    names = {row["name"] for row in found}
    assert not [name for name in names if "ingest" in name or "health" in name]
    assert "mtk_live" not in str(first)

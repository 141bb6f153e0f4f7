"""What was acknowledged is seen by whoever asks next, whichever worker answers."""

from __future__ import annotations

import httpx
import pytest

from tests.faults.load import make_request


@pytest.mark.parametrize("traces", [200, pytest.param(1000, marks=pytest.mark.full)])
def test_a_trace_is_found_at_once_on_another_connection(server, traces):
    found = 0
    # a new connection for every question goes to any of the two workers, the sender stays with one
    limits = httpx.Limits(max_keepalive_connections=0)
    asking = httpx.Client(base_url=server.url, headers=server.reading, limits=limits, timeout=60)
    protobuf = server.sending | {"Content-Type": "application/x-protobuf"}
    sending = httpx.Client(base_url=server.url, headers=protobuf, timeout=60)
    with asking, sending:
        for _ in range(traces):
            request = make_request(8)
            assert sending.post("/ingest/v1/traces", content=request.body).status_code == 200
            answer = asking.get(f"/v1/traces/{request.trace_id}")
            found += answer.status_code == 200 and answer.json()["span_count"] == 8
    assert found == traces

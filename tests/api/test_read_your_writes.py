"""Who has an answer 200 finds what was sent: at once, over another connection, whichever worker answers."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import lake
from tests.api.clients import Client, span

THREADS = 3
TRACES_A_CONNECTION = 10


@pytest.mark.parametrize("times", [150, pytest.param(1000, marks=pytest.mark.full)])
def test_a_trace_is_found_at_once_while_compaction_runs(server, new_project, times):
    project = new_project()
    key = project.live.headers["authorization"].removeprefix("Bearer ")
    first = span()
    project.live.store(first)

    def send_and_ask(count):
        """New connections all the time: the system gives each to one of the workers."""
        missing = []
        for _ in range(0, count, TRACES_A_CONNECTION):
            with Client(server.url, key) as sender, Client(server.url, key) as reader:
                for _ in range(TRACES_A_CONNECTION):
                    sent = span()
                    sender.store(sent)
                    answer = reader.get(f"/v1/traces/{sent['traceId']}")
                    if answer.status_code != 200 or answer.json()["spans"][0]["span_id"] != sent["spanId"]:
                        missing.append((sent["traceId"], answer.status_code))
        return missing

    with lake.open(server.data / project.name / "live") as opened, ThreadPoolExecutor(THREADS) as pool:
        before = opened.snapshot().tables["spans"].version
        found = pool.map(send_and_ask, [times // THREADS] * THREADS)
        assert [one for missing in found for one in missing] == []
        assert opened.snapshot().tables["spans"].version > before + 1, "compaction did not run meanwhile"
        [counted] = opened.sql("SELECT count(DISTINCT trace_id) AS n FROM spans").rows()
    assert counted["n"] == 1 + THREADS * -(-(times // THREADS) // TRACES_A_CONNECTION) * TRACES_A_CONNECTION

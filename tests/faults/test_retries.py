"""Processes that are killed one by one are replaced, and requests that clients send again count once."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.faults.checker import assert_settles, check
from tests.faults.load import Ledger, Load, deliver, deliver_waiting, make_request
from tests.faults.rounds import end_lease
from tests.servers import running, send, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory, settings):
    with running(tmp_path_factory.mktemp("retries") / "data", settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def ledger():
    """What was sent to `server`."""
    return Ledger()


@pytest.mark.parametrize("name", ["api.server", "scheduler"])
def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost(server, ledger, name):
    """Of the web server's processes the last one is a worker."""
    with Load(server.url, server.sending, ledger):
        before = len(ledger.acknowledged_now())
        wait_until(lambda: len(ledger.acknowledged_now()) > before + 20, lambda: f"{ledger.statuses}")
        known = server.processes(name)
        send(known[-1], signal.SIGKILL)
        wait_until(lambda: not set(server.processes(name)) <= set(known), lambda: f"only {known} run")
        before = len(ledger.acknowledged_now())
        wait_until(lambda: len(ledger.acknowledged_now()) > before + 20, lambda: f"{ledger.statuses}")
        verdict = check(server.lake, ledger, is_settled=False)
        assert verdict.is_sound, verdict
    end_lease(server.lake)  # of a scheduler that was killed
    deliver_waiting(server.url, server.sending, ledger)
    assert not ledger.unforeseen
    assert_settles(server.lake, ledger)


def test_a_request_that_comes_three_times_at_once_counts_once(server, ledger):
    """As from a client that is too impatient, through any worker and any commit."""
    requests = [make_request(40) for _ in range(30)]
    headers = server.sending | {"Content-Type": "application/x-protobuf"}
    with httpx.Client(headers=headers, timeout=60) as client, ThreadPoolExecutor(6) as senders:

        def deliver_one(request):
            return deliver(client, f"{server.url}/ingest/v1/traces", ledger, ledger.take(lambda: request))

        answers = list(senders.map(deliver_one, [request for request in requests for _ in range(3)]))
    assert all(answers)
    assert all(ledger.attempts[request.name] == 3 for request in requests)
    assert_settles(server.lake, ledger)

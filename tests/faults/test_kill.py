"""`kill -9` of every process under load: what was acknowledged is there, once, and the server is soon there again."""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

from tests.faults.checker import assert_healthy, assert_settles, check
from tests.faults.load import RANDOM, Ledger, Load, deliver_waiting
from tests.faults.rounds import MOMENTS, end_lease, is_torn
from tests.servers import Server, running, wait_until


@pytest.fixture
def server(tmp_path, settings):
    server = Server(tmp_path / "data", settings=settings)
    yield server
    server.close()


@pytest.mark.parametrize("cycles", [3, pytest.param(20, marks=pytest.mark.full)])
def test_what_was_acknowledged_survives_kill_9_of_everything_exactly_once(server, cycles, capsys):
    ledger = Ledger()
    killed: Counter[str] = Counter()
    ready_s: list[float] = []
    server.start()
    server.wait_ready()
    with Load(server.url, server.sending, ledger):
        for cycle in range(cycles):
            moment = kill_during(server, ledger, [None, *MOMENTS][cycle % 3])
            killed[moment] += 1
            killed["inside a round"] += is_torn(server.lake)
            assert_healthy(server.lake)
            end_lease(server.lake)  # it outlives its process, and until then nothing would be compacted
            known = RANDOM.choice(sorted(ledger.acknowledged_now()))
            ready_s.append(restart(server, ledger.sent[known].trace_id))
            verdict = check(server.lake, ledger, is_settled=False)
            assert verdict.is_sound, f"cycle {cycle}: {verdict}"
    deliver_waiting(server.url, server.sending, ledger)
    assert_settles(server.lake, ledger)
    assert not ledger.unforeseen
    assert killed["inside a round"], "no kill hit a round of compaction"
    with capsys.disabled():
        sys.stdout.write(summary(cycles, ledger, ready_s, killed))


def kill_during(server: Server, ledger: Ledger, moment: str | None) -> str:
    """Kill everything while requests come in: as soon as the compactor takes a step, or at any time."""
    before = len(ledger.acknowledged_now())
    wait_until(lambda: len(ledger.acknowledged_now()) > before, lambda: f"nothing is acknowledged: {ledger.statuses}")
    time.sleep(RANDOM.uniform(0, 1.5))  # the fault comes at any time
    victims = server.processes()
    if moment is not None:
        steps = MOMENTS[moment](server.lake)
        wait_until(lambda: MOMENTS[moment](server.lake) > steps, lambda: "nothing is compacted", poll_s=0.001)
    server.kill(victims)
    return moment or "at any time"


def restart(server: Server, trace_id: str) -> float:
    """Start again on the same folder; seconds until it is healthy and has answered a query."""
    start_s = time.monotonic()
    server.start()
    server.wait_ready()
    answer = server.client.get(f"/v1/traces/{trace_id}", headers=server.reading)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - start_s


def summary(cycles: int, ledger: Ledger, ready_s: list[float], killed: Counter[str]) -> str:
    repeated = sum(times > 1 for times in ledger.attempts.values())
    return (
        f"\n{cycles} x kill -9 ({dict(killed)}): {ledger.acknowledged_spans:,} spans acknowledged in "
        f"{len(ledger.acknowledged):,} requests ({repeated} sent again), 0 lost, 0 partial, 0 duplicated; "
        f"slowest ready {max(ready_s):.1f} s\n"
    )


def test_a_server_that_acknowledges_before_it_writes_is_found_out(tmp_path, settings):
    ledger = Ledger()
    argv = [sys.executable, "-m", "tests.faults.early_ack"]
    with running(tmp_path / "data", settings=settings, argv=argv) as server:
        with Load(server.url, server.sending, ledger):
            wait_until(lambda: len(ledger.acknowledged_now()) > 100, lambda: f"{ledger.statuses}")
            server.kill()
        assert check(server.lake, ledger, is_settled=False).lost

"""SIGTERM and Ctrl-C under load: every process ends, and what was acknowledged is there."""

from __future__ import annotations

import signal

import pytest

from tests.faults.checker import assert_healthy, assert_settles, check
from tests.faults.load import Ledger, Load, deliver_waiting
from tests.servers import Server, wait_until


@pytest.fixture
def server(tmp_path, settings):
    server = Server(tmp_path / "data", settings=settings)
    server.start()
    server.wait_ready()
    yield server
    server.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_server_that_is_stopped_under_load_ends_with_0_and_keeps_what_it_acknowledged(server, number):
    ledger = Ledger()
    with Load(server.url, server.sending, ledger):
        wait_until(lambda: len(ledger.acknowledged_now()) > 50, lambda: f"{ledger.statuses}")
        code = server.stop(number)
        left = server.processes()
        verdict = check(server.lake, ledger, is_settled=False)
    assert code == 0, server.log_end()
    assert not left
    assert verdict.is_sound, verdict
    assert not ledger.unforeseen
    assert_healthy(server.lake)
    server.start()
    server.wait_ready()
    deliver_waiting(server.url, server.sending, ledger)
    assert_settles(server.lake, ledger)

"""SIGTERM and Ctrl-C under load: every process ends, what was acknowledged is there, and others may go on at once."""

from __future__ import annotations

import signal

import pytest

from tests.faults.checker import assert_healthy, check
from tests.faults.load import Ledger, Load
from tests.faults.rounds import data_files, holder
from tests.servers import running, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_server_that_is_stopped_under_load_ends_with_0_and_keeps_what_it_acknowledged(tmp_path, settings, number):
    ledger = Ledger()
    with running(tmp_path / "data", settings=settings) as server:
        with Load(server.url, server.sending, ledger):
            wait_until(lambda: data_files(server.lake) > 0, lambda: f"nothing is compacted: {ledger.statuses}")
            code = server.stop(number)
        assert code == 0, server.log_end()
        assert not server.processes()
        verdict = check(server.lake, ledger, is_settled=False)
        assert verdict.is_sound, verdict
        assert not ledger.unforeseen
        assert not holder(server.lake), "the compactor took its lease with it"
        assert_healthy(server.lake)

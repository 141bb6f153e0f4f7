"""The smoke test of the demo says what is missing."""

import datetime as dt

import pytest

from api.demo.check import Target, wait_until_all_answers
from api.demo.state import DemoError, State
from tests.api.demo.conftest import END_NS
from tests.servers import free_port, running

NOW = dt.datetime.now(dt.UTC)


def target(data, url=None, key="none"):
    return Target(url or f"http://127.0.0.1:{free_port()}", key, data, lab_url=None, since=NOW)


def problem(target):
    with pytest.raises(DemoError) as raised:
        wait_until_all_answers(target, lambda: False, history_s=0, answer_s=0)
    return str(raised.value)


def test_a_history_that_was_not_sent_is_missing(tmp_path):
    assert "the history has not been sent" in problem(target(tmp_path))
    State(1, END_NS, 1000).write(tmp_path)
    assert "the history has not been sent" in problem(target(tmp_path))


def test_a_server_that_is_not_there_does_not_answer(tmp_path):
    State(1, END_NS, 1000, is_complete=True).write(tmp_path)
    assert "/health does not answer" in problem(target(tmp_path))


def test_a_key_that_is_not_good_and_an_empty_lake_are_told_apart(tmp_path):
    with running(tmp_path / "data", workers=1) as server:
        State(1, END_NS, 1000, is_complete=True).write(server.data)
        assert "/v1/traces answers 401" in problem(target(server.data, server.url))
        assert "no traces of checkout" in problem(target(server.data, server.url, server.live_key))


def test_told_to_stop_it_has_not_found_that_all_answers(tmp_path):
    assert not wait_until_all_answers(target(tmp_path), lambda: True)

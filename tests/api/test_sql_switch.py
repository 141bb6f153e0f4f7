"""Where SQL is switched on, and what is said at start."""

import pytest
from structlog.testing import capture_logs

from api.commands import serve
from api.settings import ServerSettings
from api.sql_switch import is_loopback, problem, warning
from lake.sandbox import landlock
from tests.servers import free_port


@pytest.mark.parametrize(
    ("host", "abi", "allowed", "is_on", "is_warned"),
    [
        ("127.0.0.1", 7, False, True, False),
        ("0.0.0.0", 7, False, True, False),
        ("127.0.0.1", 0, False, True, True),
        ("localhost", 0, False, True, True),
        ("::1", 0, False, True, True),
        ("0.0.0.0", 0, False, False, True),
        ("::", 0, False, False, True),
        ("192.0.2.1", 0, False, False, True),
        ("192.0.2.1", 0, True, True, True),
        ("shop.example", 0, False, False, True),
    ],
)
def test_without_landlock_sql_is_for_this_machine_only_unless_somebody_says_so(host, abi, allowed, is_on, is_warned):
    settings = ServerSettings(host=host, sql_without_landlock=allowed)
    assert (problem(settings, abi) is None) == is_on
    assert (warning(settings, abi) is not None) == is_warned


def test_what_is_switched_off_says_how_to_switch_it_on():
    text = problem(ServerSettings(host="0.0.0.0"), 0) or ""
    assert "Landlock" in text
    assert "TRACELAKE_SQL_WITHOUT_LANDLOCK=1" in text


@pytest.mark.parametrize("abi", [0, 7])
def test_a_server_says_at_start_that_there_is_no_landlock(monkeypatch, tmp_path, abi):
    monkeypatch.setattr(serve, "configure_logging", lambda: None)  # of this process, which runs other tests too
    monkeypatch.setattr(landlock, "abi", lambda: abi)
    with capture_logs() as logged:
        serve.prepared("127.0.0.1", free_port(), 1, tmp_path, None, with_lab=False)
    warned = [line["event"] for line in logged if line["log_level"] == "warning"]
    assert ["Landlock" in text for text in warned] == ([True] if abi == 0 else [])


def test_a_name_is_loopback_only_if_it_is_localhost():
    assert is_loopback("localhost")
    assert not is_loopback("localhost.example")

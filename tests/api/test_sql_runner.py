"""Where SQL is switched on, and what is said at start."""

import pytest

from api.settings import ServerSettings
from api.sql_runner import is_loopback, problem, warning


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


def test_a_name_is_loopback_only_if_it_is_localhost():
    assert is_loopback("localhost")
    assert not is_loopback("localhost.example")

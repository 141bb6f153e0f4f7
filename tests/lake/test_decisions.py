"""Decisions about groups of errors: the last one counts, in its lake, for every process."""

import datetime as dt

import pytest

from lake.control import Control
from lake.error_status import Decision
from lake.errors import Overloaded

START = dt.datetime(2026, 11, 25, 9, 0, 0, 123_456, tzinfo=dt.UTC)


@pytest.fixture
def control(tmp_path):
    with Control(tmp_path, now=lambda: START) as control:
        for name in ("shop", "other"):
            control.create_project(name)
        yield control


def test_a_decision_says_what_when_and_by_whom(control):
    made = control.decisions.decide("shop", "live", "f", "resolved", key_id="mtk_live_1")
    assert made == Decision("resolved", START, "mtk_live_1")
    assert control.decisions.of("shop", "live") == {"f": made}


def test_the_last_decision_counts(control):
    for status in ("resolved", "ignored", "open"):
        control.decisions.decide("shop", "live", "f", status, key_id=f"key {status}")
    assert control.decisions.of("shop", "live") == {"f": Decision("open", START, "key open")}


def test_a_decision_is_about_one_fingerprint_of_one_lake(control):
    control.decisions.decide("shop", "live", "f", "resolved", key_id="k")
    control.decisions.decide("shop", "live", "F", "ignored", key_id="k")
    control.decisions.decide("shop", "sandbox", "f", "ignored", key_id="k")
    found = {name: decision.status for name, decision in control.decisions.of("shop", "live").items()}
    assert found == {"f": "resolved", "F": "ignored"}
    assert control.decisions.of("other", "live") == {}


def test_another_process_sees_it_and_so_does_the_next_one(control, tmp_path):
    with Control(tmp_path) as another:
        made = control.decisions.decide("shop", "live", "f" * 256, "ignored", key_id="k")
        assert another.decisions.of("shop", "live") == {"f" * 256: made}


def test_decisions_go_with_their_project_and_no_other_ones(control):
    for project in ("shop", "other"):
        control.decisions.decide(project, "live", "f", "ignored", key_id="k")
    control.delete_project("shop", force=True)
    control.create_project("shop")
    assert control.decisions.of("shop", "live") == {}
    assert set(control.decisions.of("other", "live")) == {"f"}


def test_a_database_that_cannot_be_read_or_written_is_a_passing_fault(control, tmp_path):
    control.close()
    (tmp_path / "tracelake.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Overloaded):
        control.decisions.of("shop", "live")
    with pytest.raises(Overloaded):
        control.decisions.decide("shop", "live", "f", "open", key_id="k")

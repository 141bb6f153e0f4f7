from __future__ import annotations

import datetime as dt

import pytest

from lake.analysis.windows import DAY_MIN, undisturbed, windows
from tests.lake.analysis.minutes import NOON


def at(minutes):
    return NOON + dt.timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("others", "now", "before", "after", "look", "together"),
    [
        ([], 600, (-60, 0), (2, 62), None, 1),
        ([0.5], 600, (-60, 0), (2, 62), None, 1),  # in the same minute
        ([-40, 35], 600, (-38, 0), (2, 35), None, 1),
        ([-200, 200], 600, (-60, 0), (2, 62), None, 1),
        ([8], 600, (-60, 0), (10, 70), None, 2),
        ([-9, 8, 18], 600, (-60, 0), (29, 89), None, 4),  # counted from the first one
        ([], 62, (-60, 0), (2, 62), None, 1),
        ([], 61, (-60, 0), (2, 32), 30, 1),
        ([], 20, (-60, 0), (2, 17), 15, 1),
        ([], 3, (-60, 0), (2, 2), 0, 1),
        ([22], 15, (-60, 0), (2, 7), 5, 1),
    ],
)
def test_windows_end_where_another_deploy_begins(others, now, before, after, look, together):
    found = windows(NOON, [at(other) for other in others], at(now))
    assert (found.before, found.after, found.look_min, found.together) == (before, after, look, together)


def test_the_minute_of_a_deploy_is_in_no_window():
    found = windows(NOON + dt.timedelta(seconds=30), [], at(600), guard_min=0)
    assert (found.before[1], found.after[0]) == (0, 1)


def test_a_placebo_with_a_deploy_in_it_is_disturbed():
    found = windows(NOON, [], at(600))
    quiet = undisturbed(found, [NOON, NOON - dt.timedelta(days=2, minutes=130)])
    disturbed = [(int(day), int(start)) for day, start, q in zip(found.days, found.starts, quiet, strict=True) if not q]
    assert disturbed == []
    quiet = undisturbed(found, [NOON - dt.timedelta(days=2, minutes=100)])
    first = [start - found.first + DAY_MIN * 2 for start, q in zip(found.starts, quiet, strict=True) if not q]
    assert first == [-60]

"""What every list shares: window, position and the filters that a cursor is bound to."""

import datetime as dt

import pytest

from api.paging import LATEST, Window, window
from api.times import EPOCH, iso_ns
from lake.errors import InvalidParameter

NOON = dt.datetime(2026, 1, 15, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (NOON - HOUR, NOON)),
        (None, NOON - HOUR, (NOON - 2 * HOUR, NOON - HOUR)),
        (NOON - 9 * HOUR, None, (NOON - 9 * HOUR, NOON)),
        (NOON - 9 * HOUR, NOON - HOUR, (NOON - 9 * HOUR, NOON - HOUR)),
        (dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC), (EPOCH, LATEST)),
        (None, EPOCH + HOUR / 2, (EPOCH, EPOCH + HOUR / 2)),
    ],
)
def test_a_window_is_what_was_asked_for_as_far_as_there_are_spans(start, end, expected):
    assert window(start, end, default=HOUR, now=NOON) == Window(*expected)


@pytest.mark.parametrize(("start", "end"), [(NOON, NOON), (NOON, NOON - HOUR), (NOON + HOUR, None)])
def test_a_window_that_is_empty_is_refused_with_its_start(start, end):
    with pytest.raises(InvalidParameter) as caught:
        window(start, end, default=HOUR, now=NOON)
    assert caught.value.param == "start_time"


def test_times_are_rfc_3339_to_the_microsecond():
    assert iso_ns(1_767_344_400_123_456_789) == "2026-01-02T09:00:00.123456Z"
    assert iso_ns(0) == "1970-01-01T00:00:00.000000Z"

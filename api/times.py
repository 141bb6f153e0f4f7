"""Times: as the API writes them, RFC 3339 in UTC to the microsecond.

Takes   aware datetimes, and nanoseconds since the Unix epoch.
Gives   text with a `Z`.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def iso(time: dt.datetime) -> str:
    """A time as text."""
    return time.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def iso_ns(ns: int) -> str:
    """Nanoseconds since the Unix epoch as text; what is below a microsecond is cut."""
    return iso(time_of(ns))


def time_of(ns: int) -> dt.datetime:
    """Nanoseconds since the Unix epoch as a time; what is below a microsecond is cut."""
    return EPOCH + dt.timedelta(microseconds=ns // 1000)


def microseconds(time: dt.datetime) -> int:
    """Since the Unix epoch, exactly: a time in a cursor."""
    return (time - EPOCH) // dt.timedelta(microseconds=1)


def time_of_microseconds(us: int) -> dt.datetime:
    """Microseconds since the Unix epoch as a time."""
    return EPOCH + dt.timedelta(microseconds=us)

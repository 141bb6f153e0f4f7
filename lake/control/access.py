"""Access: how the control database is read and changed, and what its times are.

Takes   the engine of `database.open_database`.
Gives   connections in a `with` block; times as the tables have them, whole microseconds since the Unix epoch, and back.
Refuses nothing. While the database cannot be read or written it raises `Overloaded`: who asked shall come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..errors import Overloaded
from .database import writing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that reads.

    Raises:
        Overloaded: the database cannot be read at the moment.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise Overloaded(f"the control database cannot be read: {error.orig}") from error


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction, which is kept if the block ends well and otherwise undone.

    Raises:
        Overloaded: the database cannot be written at the moment.
    """
    try:
        with writing(engine) as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise Overloaded(f"the control database cannot be written: {error.orig}") from error


def to_us(time: datetime) -> int:
    """A time as the tables have it, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """A time of the tables."""
    return _EPOCH + us * _MICROSECOND

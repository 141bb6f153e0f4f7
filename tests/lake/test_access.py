"""Times of the control database are exact, and who cannot read or write it is told to come back."""

import datetime as dt
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import insert, select

from lake.control.access import changing, from_us, reading, to_us
from lake.control.database import open_database, projects, sqlite_url
from lake.errors import Overloaded


@pytest.mark.parametrize("us", [0, 1, -1, 1_795_622_606_855_634, 4_102_444_799_999_999])
def test_a_time_comes_back_to_the_microsecond(us):
    assert to_us(from_us(us)) == us


def test_no_microsecond_is_lost_to_floating_point():
    times = [dt.datetime(2026, 11, 25, 9, 0, 0, us, dt.UTC) for us in range(0, 1_000_000, 997)]
    assert [from_us(to_us(time)) for time in times] == times


@pytest.fixture
def engine(tmp_path):
    engine = open_database(sqlite_url(tmp_path))
    yield engine
    engine.dispose()


def test_what_ends_in_an_error_is_undone(engine):
    with pytest.raises(ZeroDivisionError):
        _fail_after_insert(engine)
    with reading(engine) as connection:
        assert connection.execute(select(projects)).all() == []


def _fail_after_insert(engine):
    with changing(engine) as connection:
        connection.execute(insert(projects).values(name="shop", created_at_us=1))
        raise ZeroDivisionError


def test_a_database_that_is_broken_is_a_reason_to_come_back(engine, tmp_path):
    with closing(sqlite3.connect(tmp_path / "tracelake.db")) as database, database:
        database.execute("DROP TABLE keys")
        database.execute("DROP TABLE projects")
    with pytest.raises(Overloaded, match="cannot be read"), reading(engine) as connection:
        connection.execute(select(projects))
    with pytest.raises(Overloaded, match="cannot be written"), changing(engine) as connection:
        connection.execute(insert(projects).values(name="shop", created_at_us=1))

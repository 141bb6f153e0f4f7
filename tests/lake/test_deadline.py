"""A query is stopped when its time is over."""

import duckdb
import pytest

from lake.deadline import Deadline
from lake.errors import Overloaded, QueryTimeout

ENDLESS = "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b WHERE a.range % 7 = b.range % 11"


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def test_a_query_that_goes_on_is_stopped(connection):
    with pytest.raises(QueryTimeout, match=r"longer than 0\.1 s"), Deadline(0.1).over(connection):
        connection.execute(ENDLESS)
    assert connection.sql("SELECT 1").fetchall() == [(1,)]


def test_no_query_begins_when_the_time_is_over(connection):
    times = iter([0.0, 10.0])
    with pytest.raises(QueryTimeout), Deadline(5, clock=lambda: next(times)).over(connection):
        pytest.fail("the block ran")


def test_a_query_in_time_is_answered_and_its_other_errors_are_its_own(connection):
    with Deadline(60).over(connection):
        assert connection.sql("SELECT 1").fetchall() == [(1,)]
    with pytest.raises(duckdb.CatalogException), Deadline(60).over(connection):
        connection.sql("SELECT * FROM nowhere")


def test_who_asks_is_told_to_come_back():
    assert issubclass(QueryTimeout, Overloaded)

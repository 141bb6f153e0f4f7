"""N+1: worked out by hand for small traces."""

import pyarrow as pa
import pytest

from lake.n_plus_one import MIN_QUERIES, n_plus_one, patterns
from lake.schema import SPANS
from tests.lake.rows import Row, span

N = MIN_QUERIES


def queries(n=N, statement="SELECT * FROM users WHERE id = {}", **known):
    """Queries of a loop."""
    every: Row = {"kind": "client", "name": "SELECT users", "db_system": "postgresql", "duration_ns": 2_000_000} | known
    return [span(1, db_statement=statement and statement.format(i), start_ns=i, **every) for i in range(n)]


def found(*rows):
    return n_plus_one(pa.Table.from_pylist(list(rows), schema=SPANS.arrow_schema))


def counts(*rows):
    return [(one["pattern"], one["count"]) for one in found(*rows)]


USERS = "SELECT * FROM users WHERE id = ?"


def test_a_query_in_a_loop_is_found_with_all_its_spans():
    root, loop = span(span_id="a"), queries(parent_span_id="a")
    assert found(root, *loop) == [
        {
            "pattern": USERS,
            "service": "shop",
            "caller_span_id": "a",
            "count": N,
            "total_duration_ns": N * 2_000_000,
            "span_ids": [one["span_id"] for one in loop],
        }
    ]


@pytest.mark.parametrize(("n", "expected"), [(0, []), (N - 1, []), (N, [(USERS, N)]), (40, [(USERS, 40)])])
def test_four_are_none_and_five_are_one(n, expected):
    assert counts(span(span_id="a"), *queries(n, parent_span_id="a")) == expected


def test_a_loop_of_two_queries_is_two_findings_the_most_frequent_first():
    orders = queries(N + 1, "SELECT * FROM orders WHERE user = {}", parent_span_id="a")
    mixed = [one for pair in zip(queries(parent_span_id="a"), orders, strict=False) for one in pair] + orders[-1:]
    assert counts(*mixed) == [("SELECT * FROM orders WHERE user = ?", N + 1), (USERS, N)]


def test_of_equally_frequent_ones_the_longer_comes_first():
    slow = queries(statement="SELECT slow", parent_span_id="a", duration_ns=9_000_000)
    assert counts(*queries(parent_span_id="a"), *slow) == [("SELECT slow", N), (USERS, N)]


def test_different_queries_are_no_loop():
    rows = [one for i in range(N) for one in queries(1, f"SELECT * FROM t{'abcdefg'[i]}", parent_span_id="a")]
    assert counts(*rows) == []


def test_without_a_statement_the_name_counts():
    assert counts(*queries(statement=None, parent_span_id="a")) == [("SELECT users", N)]
    redis = [queries(1, None, parent_span_id="a", name=f"GET user:{i}", db_system="redis")[0] for i in range(N)]
    assert counts(*redis) == [("GET user:?", N)]


def test_spans_that_ask_no_database_are_none():
    assert counts(*(span(name="render", parent_span_id="a") for _ in range(40))) == []


@pytest.mark.parametrize(
    "parent",
    [{}, {"parent_span_id": "gone"}],
    ids=["without a parent", "of a parent that has not come"],
)
def test_queries_whose_parent_is_missing_belong_together(parent):
    [one] = found(*queries(**parent))
    assert (one["count"], one["caller_span_id"]) == (N, parent.get("parent_span_id"))


def test_the_same_query_from_two_places_is_two_loops():
    places = [span(span_id=id_, kind="server") for id_ in "ab"]
    assert counts(*places, *queries(3, parent_span_id="a"), *queries(3, parent_span_id="b")) == []
    both = found(*places, *queries(parent_span_id="a"), *queries(parent_span_id="b"))
    assert [(one["caller_span_id"], one["count"]) for one in both] == [("a", N), ("b", N)]


def test_the_same_query_of_two_services_is_two_loops():
    rows = [*queries(3, parent_span_id="a"), *queries(3, parent_span_id="a", service_name="api")]
    assert counts(*rows) == []


def test_a_service_that_is_called_in_a_loop_has_no_loop_itself():
    """A gateway calls `users` five times, which asks once each time."""
    calls = [span(span_id=f"call{i}", parent_span_id="root", kind="client", service_name="gateway") for i in range(N)]
    servers = [span(span_id=f"server{i}", parent_span_id=f"call{i}", kind="server", service_name="users") for i in range(N)]
    asked = [queries(1, parent_span_id=f"server{i}", service_name="users")[0] for i in range(N)]
    assert counts(span(span_id="root"), *calls, *servers, *asked) == []


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_wrappers_around_each_query_do_not_hide_the_loop(depth):
    """A library makes spans around every query, one in the other."""
    rows = [span(span_id="root", kind="server")]
    for i in range(N):
        above = "root"
        for level in range(depth):
            rows.append(span(span_id=f"{i}-{level}", parent_span_id=above))
            above = f"{i}-{level}"
        rows += queries(1, parent_span_id=above)
    [one] = found(*rows)
    assert (one["count"], one["caller_span_id"]) == (N, "root")


def test_wrappers_below_a_parent_that_has_not_come_belong_together():
    wrappers = [span(span_id=f"w{i}", parent_span_id="gone") for i in range(N)]
    [one] = found(*wrappers, *(queries(1, parent_span_id=f"w{i}")[0] for i in range(N)))
    assert (one["count"], one["caller_span_id"]) == (N, "gone")


def test_a_span_that_does_more_than_one_query_is_no_wrapper():
    places = [span(span_id=f"m{i}", parent_span_id="root") for i in range(N)]
    twice = [one for i in range(N) for one in queries(2, parent_span_id=f"m{i}")]
    assert counts(span(span_id="root", kind="server"), *places, *twice) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_cycle_of_parents_ends(length):
    cycle = [span(span_id=f"c{i}", parent_span_id=f"c{(i + 1) % length}") for i in range(length)]
    [one] = found(*cycle, *queries(parent_span_id="c0"))
    assert (one["count"], one["caller_span_id"]) == (N, "c0")
    itself = queries(1, span_id="q", parent_span_id="q")
    assert counts(*itself, *queries(parent_span_id="a")) == [(USERS, N)]


def test_span_ids_that_come_twice_have_a_place():
    """As Zipkin's do: client and server of one call."""
    both = [span(span_id="a", kind="client"), span(span_id="a", kind="server", parent_span_id="a")]
    assert counts(*both, *queries(parent_span_id="a")) == [(USERS, N)]


@pytest.mark.parametrize(
    ("statement", "pattern"),
    [
        ("SELECT 1", "SELECT ?"),
        ("SELECT * FROM t1 WHERE a=-1.5e3 AND b = 0xFF", "SELECT * FROM t1 WHERE a=-? AND b = ?"),
        ("SELECT  *\n\tFROM t ", "SELECT * FROM t"),
        ("WHERE a = 'it''s' AND b = 'x\\'y' AND c = ''", "WHERE a = ? AND b = ? AND c = ?"),
        ("WHERE a IN (1, 2,3)", "WHERE a IN (?)"),
        ("WHERE a IN ('x')", "WHERE a IN (?)"),
        ("WHERE a = $1 AND b = $12", "WHERE a = ? AND b = ?"),
        ("SELECT 1 /*traceparent='00-ab-01'*/", "SELECT ?"),
        ("SELECT a -- why 5\nFROM t", "SELECT a FROM t"),
        ('SELECT "user2" FROM users_2024', 'SELECT "user2" FROM users_2024'),
        ("SELECT 'größer'", "SELECT ?"),
        ("", ""),
    ],
)
def test_a_pattern_has_no_values(statement, pattern):
    assert patterns(pa.array([statement])).to_pylist() == [pattern]


def test_a_pattern_is_shown_shorter_than_it_is_compared():
    long = "x" * 2000
    rows = [
        *queries(statement=f"SELECT {long}a", parent_span_id="a"),
        *queries(statement=f"SELECT {long}b", parent_span_id="a"),
    ]
    assert [(len(one["pattern"]), one["count"]) for one in found(*rows)] == [(1000, N), (1000, N)]

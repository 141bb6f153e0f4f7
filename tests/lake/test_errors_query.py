"""Every occurrence of an error is counted once, whether it was reported, raised in a span, or both."""

import datetime as dt
from collections import defaultdict

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lake
from lake import queries
from lake.compaction import Compactor
from lake.folder import LakeFolder
from lake.occurrences import occurrences as made_of
from tests.lake.checks import DISK
from tests.lake.rows import Row, error, exception_event, span, table, trace_id
from tests.lake.spans import START

REACH = dt.timedelta(seconds=5)


def raised(message="no item", at_s=0.0, **known):
    """A row of the table `exceptions`."""
    row = error(message, at_s, **known)
    return row | {"id": known.get("id", "x" + row["id"]), "span_start_time": row["timestamp"]}


def occurrences(tmp_path, errors, exceptions):
    """What the view says of these rows of the tables, which is what is made of them without SQL."""
    lake_folder = LakeFolder(tmp_path)
    reported, happened = table(lake_folder, "errors", errors), table(lake_folder, "exceptions", exceptions)
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("reported_rows", reported)
        connection.register("raised_rows", happened)
        query = queries.errors("SELECT * FROM reported_rows", "SELECT * FROM raised_rows")
        found = connection.sql(query).to_arrow_table()
    alike = made_of(reported, happened)
    assert alike.column_names == found.column_names
    assert by_id(alike) == by_id(found)
    return found.to_pylist()


def by_id(rows):
    return sorted(rows.to_pylist(), key=lambda row: row["id"])


def expected(errors, exceptions):
    """Ids of the occurrences, and the pairs, worked out one row after the other."""
    reported = once(errors, key=lambda e: e["id"], newest=False)
    reports, seen = [], set()
    for row in sorted(reported, key=lambda e: (e["ingested_at"], e["id"])):
        key = (row["request_id"], row["timestamp"], row["message"])
        if row["request_id"] is None or key not in seen:
            seen.add(key)
            reports.append(row)
    events = once(exceptions, key=lambda e: e["id"], newest=True)
    pairs: dict[str, str] = {}
    for name in ("trace_id", "request_id"):
        free_reports = [r for r in reports if r["id"] not in pairs]
        free_events = [e for e in events if e["id"] not in pairs.values()]
        for group, (left, right) in grouped(free_reports, free_events, name).items():
            assert group[-1] is not None
            found = matched(left, right)
            assert len(found) == most_pairs(left, right)
            pairs |= found
    ids = {row["id"] for row in reports} | {row["id"] for row in events} - set(pairs.values())
    return ids, pairs


def once(rows, *, key, newest):
    """The first or the last row of each key."""
    found: dict[str, Row] = {}
    for row in sorted(rows, key=lambda r: r["ingested_at"], reverse=newest):
        found.setdefault(key(row), row)
    return list(found.values())


def grouped(left, right, key):
    groups: dict[tuple[str, ...], tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((left, right)):
        for row in rows:
            if row[key] is not None:
                groups[row["exception_class"], row["message"], row[key]][side].append(row)
    return groups


def matched(left, right):
    """Pairs in order of time."""
    left, right = (sorted(rows, key=lambda r: (r["timestamp"], r["id"])) for rows in (left, right))
    pairs = {}
    while left and right:
        gap = right[0]["timestamp"] - left[0]["timestamp"]
        if abs(gap) <= REACH:
            pairs[left.pop(0)["id"]] = right.pop(0)["id"]
        elif gap > REACH:
            left.pop(0)
        else:
            right.pop(0)
    return pairs


def most_pairs(left, right):
    """Size of the largest matching, found by augmenting paths: it knows nothing of order."""
    taken: dict[int, int] = {}

    def place(i, tried):
        for j, event in enumerate(right):
            if j not in tried and abs(event["timestamp"] - left[i]["timestamp"]) <= REACH:
                tried.add(j)
                if j not in taken or place(taken[j], tried):
                    taken[j] = i
                    return True
        return False

    return sum(place(i, set()) for i in range(len(left)))


SECONDS = st.sampled_from([0.0, 0.000001, 2.0, 4.0, 5.0, 5.000001, 7.0, 10.0, 10.000001, 12.0, 17.0])
IDS = st.sampled_from([None, "a", "b"])


@st.composite
def rows(draw, make, prefix):
    count = draw(st.integers(0, 6))
    made = []
    for number in range(count):
        repeated = draw(st.integers(0, 9)) == 0 and number > 0
        made.append(
            make(
                draw(st.sampled_from(["m", "n"])),
                draw(SECONDS),
                id=f"{prefix}{number - 1 if repeated else number}",
                exception_class=draw(st.sampled_from(["A", "B"])) if draw(st.booleans()) else "A",
                trace_id=draw(IDS),
                request_id=draw(IDS),
                ingested_s=number + 1,
            )
        )
    return made


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(rows(error, "r"), rows(raised, "x")), min_size=1, max_size=25))
def test_occurrences_and_pairs_are_those_worked_out_by_hand(tmp_path_factory, cases):
    """Cases do not touch each other, and to prepare the query takes longer than to run it: so many go in one."""
    cases = [tuple([apart(row, case) for row in side] for side in sides) for case, sides in enumerate(cases)]
    everything = [[row for sides in cases for row in sides[side]] for side in (0, 1)]
    found = occurrences(tmp_path_factory.getbasetemp(), *everything)
    worked_out = [expected(*sides) for sides in cases]
    assert sorted(row["id"] for row in found) == sorted(id_ for ids, _ in worked_out for id_ in ids)
    pairs = {report: event for _, paired in worked_out for report, event in paired.items()}
    own, others = (
        {row["id"]: row["trace_id"] for row in once(rows, key=lambda r: r["id"], newest=newest)}
        for rows, newest in zip(everything, (False, True), strict=True)
    )
    traces = {row["id"]: row["trace_id"] for row in found if row["source"] == "reported"}
    assert traces == {id_: own[id_] or others.get(pairs.get(id_, "")) for id_ in traces}


def apart(row, case):
    """The row with everything that could join it to others made the case's own."""
    return row | {
        name: f"{case} {row[name]}" for name in ("id", "exception_class", "trace_id", "request_id") if row[name] is not None
    }


def sources(tmp_path, errors, exceptions):
    return sorted(row["source"] for row in occurrences(tmp_path, errors, exceptions))


T: Row = {"trace_id": "a"}


@pytest.mark.parametrize(
    ("reports", "events", "found"),
    [
        ([], [], ""),
        ([error(**T)], [], "r"),
        ([], [raised(**T)], "s"),
        ([error(**T)], [raised(**T)], "r"),
        ([error(at_s=0, **T)], [raised(at_s=5, **T)], "r"),
        ([error(at_s=5, **T)], [raised(at_s=0, **T)], "r"),
        ([error(at_s=0, **T)], [raised(at_s=5.000001, **T)], "rs"),
        ([error(**T)], [raised(trace_id="b")], "rs"),
        ([error(**T)], [raised(message="another", **T)], "rs"),
        ([error(**T)], [raised(exception_class="Another", **T)], "rs"),
        ([error()], [raised(**T)], "rs"),  # nothing says that they belong together
        ([error()], [raised()], "rs"),
        ([error(request_id="q")], [raised(request_id="q", **T)], "r"),
        ([error(request_id="q", trace_id="b")], [raised(request_id="q", **T)], "r"),
        ([error(request_id="a")], [raised(**T)], "rs"),  # a request of the name of a trace is no trace
        # two requests within 5 s, both reported and raised
        ([error(at_s=0, **T), error(at_s=2, **T)], [raised(at_s=0.1, **T), raised(at_s=2.1, **T)], "rr"),
        ([error(at_s=0, **T), error(at_s=2, trace_id="b")], [raised(at_s=2.1, trace_id="b"), raised(at_s=0.1, **T)], "rr"),
        # more of one side than of the other
        ([error(at_s=0, **T)], [raised(at_s=0, **T), raised(at_s=1, **T)], "rs"),
        ([error(at_s=0, **T), error(at_s=1, **T)], [raised(at_s=1, **T)], "rr"),
        # the first report has no event any more within reach, the last one has
        ([error(at_s=0, **T), error(at_s=4, **T), error(at_s=8, **T)], [raised(at_s=8, **T)], "rrr"),
        ([error(at_s=8, **T)], [raised(at_s=0, **T), raised(at_s=4, **T), raised(at_s=8, **T)], "rss"),
        # a chain: each could be with the next one
        ([error(at_s=s, **T) for s in (0, 8, 16)], [raised(at_s=s, **T) for s in (4, 12, 20)], "rrr"),
        ([error(at_s=s, **T) for s in (4, 12, 20)], [raised(at_s=s, **T) for s in (0, 8, 16)], "rrr"),
        # by request only what has no partner by trace
        (
            [error(at_s=0, request_id="q", **T), error(at_s=1, request_id="q")],
            [raised(at_s=0, request_id="q", **T), raised(at_s=1, request_id="q", trace_id="b")],
            "rr",
        ),
        # reports of the same thing
        ([error(id="1", ingested_s=0, **T), error(id="1", ingested_s=1, **T)], [raised(**T)], "r"),
        ([error(request_id="q"), error(request_id="q")], [], "r"),
        ([error(request_id="q"), error(request_id="q", at_s=1)], [], "rr"),
        ([error(request_id="q"), error("another", request_id="q")], [], "rr"),
        ([error(), error()], [], "rr"),  # without a request nothing says that they are one
        ([], [raised(id="x", ingested_s=0), raised(id="x", ingested_s=1)], "s"),
    ],
)
def test_reports_and_events_are_one_occurrence(tmp_path, reports, events, found):
    assert "".join(source[0] for source in sources(tmp_path, reports, events)) == found


def test_a_repeat_of_one_report_does_not_hide_another_one(tmp_path):
    """A repeated Idempotency-Key with other content: what it says the second time is not there, so it repeats nothing."""
    first = error("a", id="1", request_id="q", ingested_s=0)
    again = error("b", id="1", request_id="q", ingested_s=1)
    other = error("b", id="2", request_id="q", ingested_s=2)
    assert [row["message"] for row in occurrences(tmp_path, [first, again, other], [])] == ["a", "b"]


def test_a_report_gets_what_its_event_knows_and_it_does_not(tmp_path):
    known = {
        "service_name": "shop",
        "environment": "live",
        "git_sha": "abc",
        "version": "2",
        "span_id": "s",
        "trace_id": "a",
    }
    [found] = occurrences(tmp_path, [error(request_id="q", version="3")], [raised(request_id="q", **known)])
    assert {name: found[name] for name in known} == known | {"version": "3"}
    assert found["source"] == "reported"


def test_an_event_counts_as_its_span_came_last(tmp_path):
    events = [raised("old", id="x", ingested_s=0), raised("new", id="x", ingested_s=5)]
    assert [row["message"] for row in occurrences(tmp_path, [], events)] == ["new"]


def test_thousands_of_the_same_error_in_one_trace_are_paired(tmp_path):
    reports = [error(at_s=i / 100, **T) for i in range(2000)]
    events = [raised(at_s=i / 100 + 7, **T) for i in range(2000)]
    assert sources(tmp_path, reports, events).count("span") == 2000 - len(matched(reports, events))


@pytest.mark.parametrize("compacted", ["nothing", "errors first", "spans first", "everything"])
def test_an_occurrence_is_one_wherever_its_halves_lie(lake_folder, landing, compacted):
    compactor = Compactor(lake_folder, disk=DISK)

    def report():
        landing.put("errors", error("no item", 1, trace_id=trace_id(1)))

    def raise_in_span():
        landing.put("spans", span(1, events=[exception_event("no item", 2)]))

    first, second = (report, raise_in_span) if compacted == "errors first" else (raise_in_span, report)
    first()
    if compacted != "nothing":
        compactor.absorb()
    second()
    if compacted == "everything":
        compactor.absorb()
    with lake.open(lake_folder.path) as opened:
        assert [row["source"] for row in opened.errors().rows()] == ["reported"]
        assert opened.errors(since=START + dt.timedelta(seconds=1.5)).rows() == []
        assert opened.sql("SELECT count(*) AS n FROM errors").rows() == [{"n": 1}]


def test_without_reports_the_view_has_the_same_columns(lake_folder, landing):
    landing.put("spans", span(1, events=[exception_event("raised", 2)]))
    with lake.open(lake_folder.path) as opened:
        alone = opened.sql("SELECT * FROM errors").arrow()
        landing.put("errors", error("reported", 1))
        both = opened.sql("SELECT * FROM errors ORDER BY source DESC").arrow()
    assert both.schema == alone.schema
    assert both.slice(0, 1).to_pylist() == alone.to_pylist()

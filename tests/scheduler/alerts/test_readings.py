"""What is read of windows is what counting the spans by hand gives, whichever way it was read."""

import datetime as dt
import random
from types import SimpleNamespace

import numpy as np
import pytest

import lake
from lake.compaction import Compactor
from lake.folder import create_folder
from lake.search import parse
from lake.search.totals import has_total, totals
from scheduler.alerts import minute_counts
from scheduler.alerts.readings import MAX_SERIES, Asked, read_all
from scheduler.alerts.rules import condition_of
from scheduler.alerts.states import Reading
from tests.lake.rows import Landing, error, span
from tests.lake.spans import START

MINUTE = dt.timedelta(minutes=1)
MINUTES = 12
SERVICES = ("orders", "users", "mail")


def make_rows():
    """Spans of three services: requests and what they call, here and there one that failed."""
    rnd = random.Random(7)  # noqa: S311 - repeatable, not secret
    rows = []
    for number in range(600):
        service = rnd.choice(SERVICES)
        rows.append(
            span(
                number,
                start_ns=rnd.randrange(MINUTES * 60) * 10**9 + rnd.randrange(10**9),
                duration_ns=int(rnd.lognormvariate(17, 1)),
                kind=rnd.choice(["server", "server", "client"]),
                parent_span_id=rnd.choice([None, "1" * 16]),
                status=rnd.choice(["unset", "unset", "error"]),
                service_name=service,
                environment=rnd.choice(["production", "staging", None]),
                cluster=rnd.choice(["eu", None]),
                http_method="GET",
                http_route=rnd.choice(["/a", "/b"]),
            )
        )
    return rows


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A lake, half absorbed, and the rows that it was made of."""
    folder = tmp_path_factory.mktemp("readings") / "lake"
    created = create_folder(folder)
    landing, rows = Landing(created), make_rows()
    landing.put("spans", *rows[:400])
    landing.put(
        "errors", *(error(at_s=60 * m + 5, fingerprint=f"f{m // 4}", service_name=SERVICES[m % 2]) for m in range(10))
    )
    compactor = Compactor(created)
    compactor.absorb()
    compactor.lease.release()
    landing.put("spans", *rows[400:])
    landing.end()
    with lake.open(folder) as opened:
        yield SimpleNamespace(lake=opened, rows=rows)


def read(known, *asked):
    return read_all([Asked(condition_of(given), ends) for given, ends in asked], *known.lake.tables())


def wanted(rows, end, window, *, requests=True, **filters):
    """The rows that a rule is about."""
    return [
        row for row in rows
        if end - window <= row["start_time"] < end
        and (not requests or row["kind"] == "server" or row["parent_span_id"] is None)
        and all((row[name] or "default") == value for name, value in filters.items())
    ]  # fmt: skip


def assert_alike(some, others):
    """Sums of floats may differ in the last place."""
    for one, other in zip(some, others, strict=True):
        assert (one.absent, list(one.series)) == (other.absent, list(other.series))
        for series, reading in one.series.items():
            assert reading.value == pytest.approx(other.series[series].value)


def rank(values, share):
    return sorted(values)[int(np.ceil(share * len(values))) - 1]


def apdex(ms, threshold=500):
    return (sum(x <= threshold for x in ms) + sum(x <= 4 * threshold for x in ms)) / 2 / len(ms)


BY_HAND = {
    "latency_p50": lambda ms, failed: rank(ms, 0.50), "latency_p90": lambda ms, failed: rank(ms, 0.90),
    "latency_p95": lambda ms, failed: rank(ms, 0.95), "latency_p99": lambda ms, failed: rank(ms, 0.99),
    "latency_avg": lambda ms, failed: sum(ms) / len(ms), "latency_max": lambda ms, failed: max(ms),
    "error_rate": lambda ms, failed: failed / len(ms), "error_count": lambda ms, failed: failed,
    "request_count": lambda ms, failed: len(ms), "request_rate": lambda ms, failed: len(ms) / 5,
    "apdex": lambda ms, failed: apdex(ms, 20),
}  # fmt: skip
FILTERS = [
    {}, {"service": "orders"}, {"service": "users", "environment": "production"}, {"cluster": "eu"}, {"cluster": "default"},
    {"operation": "GET /a"}, {"service": "mail", "operation": "GET /b", "environment": "staging", "cluster": "eu"},
]  # fmt: skip
COLUMNS = {"service": "service_name", "environment": "environment", "cluster": "cluster"}


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_metrics_are_what_counting_by_hand_gives(known, filters):
    end, window = START + 9 * MINUTE, 5 * MINUTE
    given = {"threshold": 1, "window": "5m", "apdex_threshold_ms": 20, **filters}
    columns = {COLUMNS[name]: value for name, value in filters.items() if name in COLUMNS}
    if "operation" in filters:
        columns |= {"http_route": filters["operation"].removeprefix("GET "), "requests": False}
    rows = wanted(known.rows, end, window, **columns)
    assert len(rows) > 5
    durations_ms, failed = [row["duration_ns"] / 1e6 for row in rows], sum(row["status"] == "error" for row in rows)
    for metric, [found] in zip(BY_HAND, read(known, *((given | {"metric": name}, (end,)) for name in BY_HAND)), strict=True):
        by_hand = BY_HAND[metric](durations_ms, failed)
        assert found.series[()].value == pytest.approx(by_hand, rel=0.05 if metric == "apdex" else 0.0101), metric


def test_spans_are_all_spans(known):
    end = START + 9 * MINUTE
    [[found]] = read(known, ({"metric": "span_count", "threshold": 1, "window": "5m", "service": "users"}, (end,)))
    assert found.series[()].value == len(wanted(known.rows, end, 5 * MINUTE, requests=False, service_name="users"))


@pytest.mark.parametrize("seconds", [30, 90])
def test_short_windows_are_exact(known, seconds):
    ends = (START + 7 * MINUTE, START + 8 * MINUTE)
    [found] = read(known, ({"metric": "request_count", "threshold": 1, "window": f"{seconds}s"}, ends))
    by_hand = [len(wanted(known.rows, end, dt.timedelta(seconds=seconds))) for end in ends]
    assert [one.series[()].value for one in found] == by_hand


@pytest.mark.parametrize("group_by", ["service", "endpoint"])
@pytest.mark.parametrize("metric", ["latency_p95", "error_rate", "request_count"])
def test_windows_that_are_read_together_are_those_that_are_read_alone(known, group_by, metric, monkeypatch):
    given = {"metric": metric, "threshold": 1, "window": "3m", "group_by": group_by}
    ends = tuple(START + minute * MINUTE for minute in range(3, MINUTES))
    [together] = read(known, (given, ends))
    alone = [read(known, (given, (end,)))[0][0] for end in ends]
    assert together == alone
    assert any(one.series for one in together)
    with monkeypatch.context() as patched:  # as if the time were long
        patched.setattr(minute_counts, "HELD_FOR", MINUTE)
        patched.setattr(minute_counts, "_MAX_CELLS", 1)
        assert read(known, (given, ends)) == [together]
        assert read(known, (given, ends[:1])) == [together[:1]]


def test_every_rule_has_the_answer_that_it_has_alone(known):
    ends = (START + 9 * MINUTE,)
    asked = [
        ({"metric": metric, "threshold": 1, "window": window, **filters}, ends)
        for metric in (*BY_HAND, "span_count")
        for window in ("30s", "2m", "5m")
        for filters in FILTERS
    ]
    asked += [({"query": query, "threshold": 1, "window": "5m"}, ends) for query in QUERIES]
    together = read(known, *asked)
    for one, found in list(zip(asked, together, strict=True))[::29]:
        assert_alike(found, read(known, one)[0])


def test_what_a_window_has_nothing_of_is_a_zero_of_counts_only(known):
    ends = (START + 9 * MINUTE,)
    asked = [
        ({"metric": metric, "threshold": 1, "window": "5m", "service": "nobody"}, ends)
        for metric in (*BY_HAND, "span_count")
    ]
    counts = {"error_count", "request_count", "request_rate", "span_count"}
    for (given, _), [found] in zip(asked, read(known, *asked), strict=True):
        assert found.series == {}
        assert found.absent == (Reading(0.0) if given["metric"] in counts else Reading())


def test_where_the_lake_has_nothing_a_count_is_no_zero(known):
    [[found]] = read(known, ({"metric": "request_count", "threshold": 1, "window": "5m"}, (START + 600 * MINUTE,)))
    assert (found.series, found.absent) == ({}, Reading())


def test_errors_are_counted_in_their_service(known):
    ends = (START + 6 * MINUTE, START + 10 * MINUTE)
    given = {"metric": "error_occurrences", "threshold": 1, "window": "5m"}
    found = read(known, (given, ends), (given | {"service": "orders"}, ends), (given | {"group_by": "service"}, ends))
    assert [one.series[()].value for one in found[0]] == [5, 5]
    assert [one.series[()].value for one in found[1]] == [2, 2]
    assert [{series[0][1]: reading.value for series, reading in one.series.items()} for one in found[2]] == [
        {"users": 3, "orders": 2}, {"users": 3, "orders": 2},
    ]  # fmt: skip


def test_a_fingerprint_is_new_once(known):
    ends = tuple(START + minute * MINUTE for minute in (1, 3, 5, 7, 9))
    [found] = read(known, ({"metric": "new_error", "threshold": 0, "window": "2m"}, ends))
    assert [one.series[()].value if one.series else 0 for one in found] == [1, 0, 1, 0, 1]


QUERIES = [
    "{ true } | rate()", '{ service.name = "orders" } | rate()', "{ status = error } | count_over_time() by(service.name)",
    "{ kind = server } | avg_over_time(duration)", "{ true } | max_over_time(duration) by(service.name, kind)",
    "{ duration > 100ms } | min_over_time(duration) by(resource.deployment.environment.name)",
    '{ service.name = "nobody" } | rate()',
    '{ service.name = "nobody" } | avg_over_time(duration)', "{ true } | sum_over_time(span.missing)",
    "{ .http.route = `/a` } | count_over_time() by(.http.route)",
]  # fmt: skip
WHOLE_TRACES = ["{ trace:duration > 50ms } | rate()", "{ true } | quantile_over_time(duration, .9, .5) by(service.name)"]


def test_queries_that_are_asked_together_say_what_they_say_alone(known):
    since, until = START + 2 * MINUTE, START + 7 * MINUTE
    queries = [parse(text) for text in QUERIES]
    assert all(map(has_total, queries))
    tables, ask = known.lake.tables()

    def run(_, text, values, source):
        return ask(text, values, source)

    together = totals(queries, since, until, tables, tables.snapshot.lake.promoted, run)
    for query, found in zip(queries, together, strict=True):
        rows = known.lake.search_metrics(query, since=since, until=until, step_s=300).rows()
        labels = [tuple((name, word or "") for name, word in row["labels"]) for row in rows]
        assert found == {label: pytest.approx(row["value"]) for label, row in zip(labels, rows, strict=True)}, query


@pytest.mark.parametrize("query", WHOLE_TRACES)
def test_other_queries_are_asked_alone(known, query):
    assert not has_total(parse(query))
    ends = (START + 7 * MINUTE, START + 8 * MINUTE)
    [found] = read(known, ({"query": query, "threshold": 1, "window": "5m"}, ends))
    for end, one in zip(ends, found, strict=True):
        rows = known.lake.search_metrics(query, since=end - 5 * MINUTE, until=end, step_s=300).rows()
        assert [reading.value for reading in one.series.values()] == [row["value"] for row in rows]


def test_windows_of_a_query_that_are_read_together_are_those_that_are_read_alone(known):
    ends = (START + 6 * MINUTE, START + 7 * MINUTE)
    for query in (QUERIES[2], QUERIES[3], QUERIES[6]):
        given = {"query": query, "threshold": 1, "window": "2m"}
        assert_alike(read(known, (given, ends))[0], [read(known, (given, (end,)))[0][0] for end in ends])


def test_a_query_of_traces_counts_spans(known):
    given = {"query": 'service.name = "orders" AND duration > 20ms', "threshold": 1, "window": "5m"}
    [[found]] = read(known, (given, (START + 9 * MINUTE,)))
    rows = wanted(known.rows, START + 9 * MINUTE, 5 * MINUTE, requests=False, service_name="orders")
    assert found.series[()].value == sum(row["duration_ns"] > 20e6 for row in rows)


def test_a_query_that_fails_says_why_and_others_are_answered(known, monkeypatch):
    for module in ("metrics", "totals"):
        monkeypatch.setattr(f"lake.search.{module}.MAX_SERIES", 5)
    ends = (START + 9 * MINUTE,)
    many = "{ true } | rate() by(trace:id)"
    [failed], [fine] = read(
        known, *(({"query": text, "threshold": 1, "window": "10m"}, ends) for text in (many, QUERIES[0]))
    )
    assert failed.series == {}
    assert "more than 5 series" in failed.absent.problem
    assert fine.series[()].value > 0


def test_a_rule_has_no_more_series_than_people_can_look_at(known, monkeypatch):
    assert MAX_SERIES == 1000
    given = {"metric": "request_count", "threshold": 1, "window": "5m", "group_by": "endpoint"}
    monkeypatch.setattr("scheduler.alerts.readings.MAX_SERIES", 5)
    [[found]] = read(known, (given, (START + 9 * MINUTE,)))
    assert found.absent.problem == "the rule has 6 series, at most 5 can be: filter it"

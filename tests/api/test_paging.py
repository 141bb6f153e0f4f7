"""Pages of a list that goes on changing: a cursor continues what the first page has begun."""

import datetime as dt

import pytest

import lake
from tests.api.clients import Client, new_trace_id, span
from tests.servers import running, wait_until

NOON = dt.datetime(2026, 1, 15, 12, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
WINDOW = {"start_time": "2026-01-15T11:00:00Z", "end_time": "2026-01-15T14:00:00Z"}


def listed(page):
    return [item["trace_id"] for item in page["data"]]


@pytest.fixture(scope="module")
def shop(project):
    """Thirty traces a second apart, in several landing files or tables; the newest first, as they are listed."""
    traces = [span(start=NOON + n * SECOND) for n in range(30)]
    for n in range(0, 30, 10):
        project.ingest.store(*traces[n : n + 10])
    return project.live, [trace["traceId"] for trace in reversed(traces)]


@pytest.mark.parametrize("limit", [1, 7, 10, 29, 30, 31])
def test_pages_are_the_list_without_a_gap_and_without_a_double(shop, limit):
    client, ids = shop
    pages = list(client.pages(limit=limit, **WINDOW))
    assert [trace_id for page in pages for trace_id in listed(page)] == ids
    assert {len(page["data"]) for page in pages[:-1]} <= {limit}
    assert {(page["start_time"], page["end_time"]) for page in pages} == {
        ("2026-01-15T11:00:00.000000Z", "2026-01-15T14:00:00.000000Z")
    }


def test_traces_that_start_together_are_told_apart_by_their_ids(new_project):
    project = new_project()
    traces = [span(start=NOON) for _ in range(9)]
    project.ingest.store(*traces)
    found = [trace_id for page in project.live.pages(limit=2, **WINDOW) for trace_id in listed(page)]
    assert found == sorted((trace["traceId"] for trace in traces), reverse=True)


def test_the_limit_may_change_from_page_to_page(shop):
    client, ids = shop
    first = client.found("/v1/traces", limit=3, **WINDOW)
    second = client.found("/v1/traces", limit=20, cursor=first["next_cursor"])
    assert listed(first) + listed(second) == ids[:23]


def test_the_window_of_the_first_page_goes_on(shop):
    client, ids = shop
    first = client.found("/v1/traces", limit=3, **WINDOW)
    assert listed(client.found("/v1/traces", limit=3, cursor=first["next_cursor"])) == ids[3:6]
    repeated = client.found("/v1/traces", limit=3, cursor=first["next_cursor"], **WINDOW)
    assert listed(repeated) == ids[3:6]


@pytest.mark.parametrize(
    "changed",
    [
        {"service": "other"},
        {"status": "ok"},
        {"min_duration_ms": 1},
        {"start_time": "2026-01-15T11:00:01Z"},
        {"end_time": "2026-01-15T13:59:59Z"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_cursor_with_other_filters_is_refused(shop, changed):
    client, _ = shop
    cursor = client.found("/v1/traces", limit=3, **WINDOW)["next_cursor"]
    asked = {"cursor": cursor, **WINDOW} | changed
    assert client.refused("/v1/traces", **asked) == (400, "invalid_cursor", "cursor")


def test_filters_are_repeated_with_the_cursor(shop):
    client, ids = shop
    filters = {"service": "shop", "status": "unset", "min_duration_ms": 5}
    pages = client.pages(limit=11, **filters, **WINDOW)
    assert [trace_id for page in pages for trace_id in listed(page)] == ids


def test_a_cursor_that_was_changed_or_made_up_is_refused(shop):
    client, _ = shop
    cursor = client.found("/v1/traces", limit=3, **WINDOW)["next_cursor"]
    for place in range(0, len(cursor), len(cursor) // 20):
        forged = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        assert client.refused("/v1/traces", cursor=forged) == (400, "invalid_cursor", "cursor")
    for made_up in ("x", "v1.e30.AAAA", cursor[:-1], cursor + "A", cursor + " ", "%ED%A0%80"):
        assert client.get(f"/v1/traces?cursor={made_up}").json()["error"]["code"] == "invalid_cursor", made_up


def test_a_cursor_of_one_lake_is_none_in_another(shop, project, new_project):
    client, _ = shop
    cursor = client.found("/v1/traces", limit=3, **WINDOW)["next_cursor"]
    for stranger in (project.test, new_project().live):
        assert stranger.refused("/v1/traces", cursor=cursor) == (400, "invalid_cursor", "cursor")


def test_a_parameter_that_cannot_be_is_refused_with_a_cursor_too(shop):
    client, _ = shop
    cursor = client.found("/v1/traces", limit=3, **WINDOW)["next_cursor"]
    assert client.refused("/v1/traces", cursor=cursor, start_time="soon") == (400, "invalid_parameter", "start_time")
    assert client.refused("/v1/traces", cursor=cursor, limit=0) == (400, "invalid_parameter", "limit")


def test_pages_are_those_of_the_first_one_whatever_happens_meanwhile(tmp_path):
    """Newer and older traces, spans that come late, compaction, and a restart of the server between two pages."""
    settings = {"TRACELAKE_COMPACTION_FILES": "2", "TRACELAKE_COMPACTION_INTERVAL_S": "1"}
    with running(tmp_path / "data", workers=2, settings=settings) as server, Client(server.url, server.live_key) as client:
        traces = [span(start=NOON + n * SECOND) for n in range(40)]
        for n in range(0, 40, 8):
            client.store(*traces[n : n + 8])
        expected = [trace["traceId"] for trace in reversed(traces)]

        pages, cursor = [client.found("/v1/traces", limit=10, **WINDOW)], {}
        while pages[-1]["has_more"]:
            client.store(span(start=NOON + dt.timedelta(minutes=90)))
            client.store(span(start=NOON - dt.timedelta(minutes=30)))
            client.store(*(span(start=NOON + n * SECOND + SECOND / 2) for n in range(40)))
            late = traces[0]
            client.store(span(trace_id=late["traceId"], parent=late["spanId"], start=NOON, ms=5000, status=2))
            _wait_until_absorbed(server)
            if len(pages) == 2:
                server.stop()
                server.start()
                server.wait_ready()
            cursor = {"cursor": pages[-1]["next_cursor"]}
            pages.append(client.found("/v1/traces", limit=10, **cursor))

        items = [item for page in pages for item in page["data"]]
        assert [item["trace_id"] for item in items] == expected
        assert {(item["span_count"], item["status"]) for item in items} == {(1, "unset")}
        now = client.found("/v1/traces", limit=200, **WINDOW)
        assert len(now["data"]) > len(expected)
        assert client.trace(expected[-1])["status"] == "error"


def _wait_until_absorbed(server):
    with lake.open(server.lake) as opened:
        wait_until(
            lambda: not any(table.tail for table in opened.snapshot().tables.values()),
            lambda: f"compaction does not catch up; the end of the log:\n{server.log_end()}",
        )


def test_a_cursor_whose_snapshot_is_gone_says_start_again(tmp_path):
    settings = {"TRACELAKE_SNAPSHOT_KEEP_S": "1", "TRACELAKE_COMPACTION_INTERVAL_S": "1"}
    with running(tmp_path / "data", workers=1, settings=settings) as server, Client(server.url, server.live_key) as client:
        client.store(*(span(start=NOON + n * SECOND) for n in range(4)))
        _wait_until_absorbed(server)
        cursor = client.found("/v1/traces", limit=2, **WINDOW)["next_cursor"]
        client.store(span(trace_id=new_trace_id()))
        _wait_until_absorbed(server)
        wait_until(lambda: client.get("/v1/traces", params={"cursor": cursor}).status_code != 200, lambda: "never expires")
        refused = client.get("/v1/traces", params={"cursor": cursor})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_cursor", "cursor")
        assert "start again" in error["message"]
        assert len(client.listed(**WINDOW)) == 4

"""Groups of errors: what is counted, when they were seen, what people decided about them."""

import datetime as dt

import pytest

import lake
from lake.compaction import Compactor
from lake.error_groups import ErrorFilter
from lake.error_status import Decision
from lake.errors import InvalidParameter
from lake.time_buckets import buckets
from tests.lake.checks import DISK
from tests.lake.rows import deploy, error, exception_event, span, trace_id
from tests.lake.spans import START

HOUR = dt.timedelta(hours=1)
SECOND = dt.timedelta(seconds=1)
WINDOW = {"since": START - HOUR, "until": START + HOUR}


@pytest.fixture
def opened(lake_folder):
    with lake.open(lake_folder.path) as opened:
        yield opened


@pytest.fixture(params=["landing", "tables"])
def settle(request, lake_folder):
    """Leaves what came in the landing, or absorbs it."""
    return (lambda: None) if request.param == "landing" else Compactor(lake_folder, disk=DISK).absorb


def groups(opened, **asked):
    return opened.error_groups(**WINDOW | asked).rows()


def page(opened, decisions=None, **asked):
    return opened.error_page(ErrorFilter(WINDOW["since"], WINDOW["until"]), decisions=decisions or {}, **asked).rows()


def test_a_group_says_what_where_and_when(opened, landing, settle):
    known = {"service_name": "shop", "environment": "live", "fingerprint": "f"}
    landing.put(
        "errors",
        error("old", 0, **known, user_id="u1", version="1", git_sha="a", location="app.rb:1"),
        error("new", 9, **known | {"service_name": "api"}, user_id="u2", version="2", git_sha="b", trace_id=trace_id(7)),
        error("mid", 5, **known, user_id="u1", version=None),
        error("else", 1, fingerprint="g"),
    )
    settle()
    [found, other] = groups(opened)
    counts = found.pop("counts")
    assert found == {
        "fingerprint": "f",
        "exception_class": "OutOfStock",
        "message": "new",
        "location": "app.rb:1",
        "trace_id": trace_id(7),
        "count": 3,
        "users": 2,
        "services": ["api", "shop"],
        "environments": ["live"],
        "first_seen_at": START,
        "last_seen_at": START + 9 * SECOND,
        "status": "open",
        "regressed": False,
        "first_version": "1",
        "first_git_sha": "a",
        "last_version": "2",
        "last_git_sha": "b",
    }
    cut = buckets(**WINDOW, most=48)
    assert (sum(counts), len(counts), counts[(START - cut.start) // (cut.size_s * SECOND)]) == (3, cut.count, 3)
    assert (other["services"], other["environments"], other["users"], other["trace_id"]) == ([], [], 0, None)


def test_an_error_that_is_reported_and_raised_counts_once(opened, landing, settle):
    landing.put("spans", span(1, events=[exception_event("no 1 hat", 1), exception_event("no 2 hat", 1)]))
    [raised] = groups(opened)
    landing.put("errors", error("no 1 hat", 2, trace_id=trace_id(1), fingerprint=raised["fingerprint"]))
    settle()
    assert sum(group["count"] for group in groups(opened)) == 2


def test_the_window_begins_with_its_start_and_ends_before_its_end(opened, landing, settle):
    landing.put("errors", *(error(at_s=at_s) for at_s in (0, 1, 2, 3)))
    settle()
    [group] = groups(opened, since=START + SECOND, until=START + 3 * SECOND)
    assert group["count"] == 2
    assert (group["first_seen_at"], group["last_seen_at"]) == (START, START + 3 * SECOND)
    assert groups(opened, since=START + 4 * SECOND) == []


def test_the_first_time_is_that_of_the_whole_lake(opened, landing, settle):
    landing.put("errors", error(at_s=-86_400 * 9, version="1"), error(at_s=0, version="9"))
    settle()
    [group] = groups(opened)
    assert (group["count"], group["first_version"], group["last_version"]) == (1, "1", "9")
    assert group["first_seen_at"] == START - dt.timedelta(days=9)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {"a": 2, "b": 1, "c": 1}),
        ({"service": "shop"}, {"a": 1, "b": 1}),
        ({"service": "nobody"}, {}),
        ({"environment": "test"}, {"a": 1}),
        ({"service": "shop", "environment": "test"}, {}),
        ({"text": "HAT"}, {"a": 2}),
        ({"text": "keyerror"}, {"b": 1}),
        ({"text": "stock.py"}, {"c": 1}),
        ({"text": "%"}, {}),
        ({"text": ".*"}, {}),
        ({"limit": 1}, {"c": 1}),
    ],
)
def test_a_filter_leaves_the_groups_that_fit(opened, landing, settle, asked, found):
    landing.put(
        "errors",
        error("no hat", 0, fingerprint="a", service_name="shop", environment="live"),
        error("no shoe", 1, fingerprint="a", service_name="api", environment="test"),
        error("x", 2, fingerprint="b", service_name="shop", exception_class="KeyError"),
        error("y", 3, fingerprint="c", service_name="api", location="app/stock.py:3"),
    )
    settle()
    assert {group["fingerprint"]: group["count"] for group in groups(opened, **asked)} == found


@pytest.mark.parametrize(("sort", "order"), [("last_seen", "cba"), ("first_seen", "acb"), ("count", "cba")])
def test_pages_follow_each_other_in_every_order(opened, landing, settle, sort, order):
    landing.put(
        "errors",
        *(error(at_s=at_s, fingerprint="a") for at_s in (3,)),
        *(error(at_s=at_s, fingerprint="b") for at_s in (0, 5)),
        *(error(at_s=at_s, fingerprint="c") for at_s in (1, 5)),
    )
    settle()
    found, after = "", None
    while True:
        rows = page(opened, sort=sort, limit=1, after=after)
        if not rows:
            break
        found += rows[0]["fingerprint"]
        after = (rows[0]["count" if sort == "count" else f"{sort}_at"], rows[0]["fingerprint"])
    assert found == order


@pytest.mark.parametrize(
    ("status", "decided_s", "shown", "regressed"),
    [
        ("open", 0, "open", False),
        ("ignored", 0, "ignored", False),
        ("resolved", 10, "resolved", False),  # at the very moment is not after it
        ("resolved", 10.000001, "resolved", False),
        ("resolved", 9.999999, "open", True),
    ],
)
def test_a_resolved_group_that_occurs_again_is_open_and_regressed(
    opened, landing, settle, status, decided_s, shown, regressed
):
    landing.put("errors", error(at_s=0), error(at_s=10), error(at_s=0, fingerprint="other"))
    settle()
    decisions = {"f": Decision(status, START + decided_s * SECOND, "key"), "gone": Decision("ignored", START, "key")}
    found = {group["fingerprint"]: group for group in page(opened, decisions)}
    assert (found["f"]["status"], found["f"]["regressed"]) == (shown, regressed)
    assert (found["other"]["status"], found["other"]["regressed"]) == ("open", False)
    for word in ("open", "resolved", "ignored"):
        listed = {group["fingerprint"] for group in page(opened, decisions, status=word)}
        assert listed == {name for name, group in found.items() if group["status"] == word}


def test_one_group_has_its_versions_and_the_deploys_around_it(opened, landing, settle):
    landing.put(
        "errors",
        error(at_s=1, version="1", service_name="shop"),
        error(at_s=2, version="2", service_name="shop"),
        error(at_s=3, version="1", service_name="shop"),
    )
    landing.put(
        "deploys",
        deploy(-86_400, id="old", service_name="shop"),
        deploy(0.5, id="before", service_name="shop"),
        deploy(0.9, id="of another service", service_name="api"),
        deploy(2.5, id="of all"),
    )
    settle()
    view = opened.error_view("f", **WINDOW)
    assert view.group["count"] == 3
    assert [(row["version"], row["count"]) for row in view.versions.to_pylist()] == [("1", 2), ("2", 1)]
    assert view.deploy.column("id").to_pylist() == ["before"]
    assert view.deploys.column("id").to_pylist() == ["of all", "before"]
    assert sum(view.group["counts"]) == 3


def test_a_group_outside_its_window_is_known_by_its_last_occurrence(opened, landing, settle):
    landing.put("errors", error("first", 0), error("last", 5, service_name="shop"))
    settle()
    window = {"since": START + HOUR, "until": START + 2 * HOUR}
    view = opened.error_view("f", **window)
    assert (view.group["message"], view.group["count"], view.group["users"], sum(view.group["counts"])) == ("last", 0, 0, 0)
    assert view.group["last_seen_at"] == START + 5 * SECOND
    assert opened.error_occurrences("f", **window).rows() == []


def test_what_was_never_seen_is_none(opened, landing):
    assert opened.error_view("f", **WINDOW) is None
    assert opened.error_occurrences("f", **WINDOW) is None
    assert not opened.has_error("f")
    assert groups(opened) == []
    landing.put("errors", error())
    assert opened.has_error("f")
    assert not opened.has_error("g")


def test_occurrences_are_those_of_the_view_with_all_they_say(opened, landing, settle):
    """Reported ones with their backtrace, events of spans with theirs, pairs once, repeats once."""
    landing.put("spans", span(1, events=[exception_event("no 1 hat", 1)]), span(2, events=[exception_event("no 2 hat", 2)]))
    [raised] = groups(opened)
    known = {"fingerprint": raised["fingerprint"], "backtrace": ["a.rb:1", "b.rb:2"], "params": '{"a":1}'}
    twice = error("no 3 hat", 3, **known, request_id="q")
    landing.put("errors", error("no 1 hat", 1.5, trace_id=trace_id(1), **known), twice, twice)
    settle()
    found = opened.error_occurrences(raised["fingerprint"], **WINDOW).rows()
    expected = opened.sql("SELECT * FROM errors ORDER BY timestamp DESC, id DESC").rows()
    assert found == expected
    assert [row["source"] for row in found] == ["reported", "span", "reported"]

    pages, before = [], None
    while rows := opened.error_occurrences(raised["fingerprint"], **WINDOW, limit=1, before=before).rows():
        pages += rows
        before = (rows[0]["timestamp"], rows[0]["id"])
    assert pages == expected


def test_a_snapshot_repeats_its_groups_while_more_comes_and_is_absorbed(opened, lake_folder, landing):
    landing.put("errors", error(at_s=0))
    at = opened.at(opened.snapshot())
    before = groups(at)
    landing.put("errors", error(at_s=1), error(at_s=-9, fingerprint="other"))
    Compactor(lake_folder, disk=DISK).absorb()
    assert groups(at) == before
    assert len(groups(opened)) == 2


def test_groups_are_made_without_a_look_at_spans(opened, lake_folder, landing):
    """So their cost follows errors: the files of spans could be gone."""
    landing.put("spans", *(span(n, events=[exception_event(f"no {n} hats", n)]) for n in range(3)))
    landing.put("errors", error())
    Compactor(lake_folder, disk=DISK).absorb()
    files = list((lake_folder.path / "spans").rglob("*.parquet"))
    assert files
    for file in files:
        file.unlink()
    assert sorted(group["count"] for group in groups(opened)) == [1, 3]


def test_groups_follow_what_is_absorbed_merged_and_comes_late(opened, lake_folder, landing):
    """What is kept of files in memory never stands for another set of files."""
    compactor = Compactor(lake_folder, disk=DISK)
    for n in range(6):
        landing.put("errors", error(at_s=n), error(at_s=-86_400 * (n + 1), version=f"{n}"))
        if n % 2:
            compactor.absorb()
        [group] = groups(opened)
        assert (group["count"], group["first_version"]) == (n + 1, f"{n}")
        assert group["first_seen_at"] == START - (n + 1) * dt.timedelta(days=1)


def test_a_time_without_a_zone_is_refused(opened):
    with pytest.raises(InvalidParameter):
        opened.error_groups(since=dt.datetime(2026, 1, 1), until=START)  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize(
    ("length_s", "most", "size_s", "count"),
    [(86_400, 48, 1800, 48), (86_400, 288, 300, 288), (3600, 48, 300, 12), (10, 48, 1, 10), (0.5, 48, 1, 1)],
)
def test_buckets_are_as_small_as_may_be(length_s, most, size_s, count):
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    found = buckets(start, start + dt.timedelta(seconds=length_s), most=most)
    assert (found.start, found.size_s, found.count) == (start, size_s, count)


def test_buckets_begin_on_the_clock_and_reach_over_every_window():
    start = dt.datetime(2026, 1, 1, 12, 34, 56, tzinfo=dt.UTC)
    found = buckets(start, start + HOUR, most=12)
    assert (found.start, found.count) == (dt.datetime(2026, 1, 1, 12, 30, tzinfo=dt.UTC), 13)
    ever = buckets(dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2262, 4, 11, tzinfo=dt.UTC), most=48)
    assert ever.count <= 49
    assert ever.start + ever.count * dt.timedelta(seconds=ever.size_s) >= dt.datetime(2262, 4, 11, tzinfo=dt.UTC)

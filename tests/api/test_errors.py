"""Groups of errors over HTTP, from what services report and from what their spans say."""

import datetime as dt
from urllib.parse import quote

import pytest

import lake
from lake.control import Control
from tests.api.clients import Client, exception, nanoseconds, span
from tests.api.conftest import project_of
from tests.servers import running, wait_until

NOON = dt.datetime(2026, 1, 15, 12, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
DAY = {"start_time": "2026-01-15", "end_time": "2026-01-16"}


def report(client, message="no hats", at=NOON, **known):
    """Report an error; returns its fingerprint."""
    body = {"error_type": "OutOfStock", "message": message, "happened_at": at.isoformat(), "service": "shop"} | known
    answer = client.post("/ingest/errors", json={name: value for name, value in body.items() if value is not None})
    assert answer.status_code == 200, answer.text
    return answer.json()["fingerprint"]


def decide(client, fingerprint, status):
    return client.patch(f"/v1/errors/{fingerprint}", json={"status": status})


@pytest.fixture(scope="module")
def shop(project):
    """Two groups: one of three reports, one that a span has and that is reported as well."""
    for n, version in enumerate(("1", "1", "2")):
        report(
            project.ingest, f"no {n} hats", NOON + n * MINUTE, version=version, git_sha=f"sha{version}", user_id=f"u{n % 2}",
            environment="live", backtrace=["app/stock.rb:7:in `take'"], params={"hat": n}, context={"cart": [1, 2]},
            source_context={"file": "app/stock.rb", "lineno": 7},
        )  # fmt: skip
    at = nanoseconds(NOON + 10 * MINUTE)
    failed = span(trace_id="a1" * 16, start=at, status=2, events=[exception("Timeout", "5000 ms", at=at)])
    project.ingest.store(failed, service="api")
    report(project.ingest, "5000 ms", NOON + 10 * MINUTE + SECOND, error_type="Timeout", trace_id="a1" * 16, service=None)
    return project.live


def groups(client, **parameters):
    return client.found("/v1/errors", **DAY | parameters)["data"]


def test_a_list_has_a_group_for_each_fingerprint(shop):
    answer = shop.get("/v1/errors", params=DAY)
    assert answer.headers["x-lake-snapshot"]
    content = answer.json()
    assert (content["has_more"], content["next_cursor"]) == (False, None)
    assert (content["start_time"], content["end_time"]) == ("2026-01-15T00:00:00.000000Z", "2026-01-16T00:00:00.000000Z")
    timeout, hats = content["data"]
    counts = hats.pop("occurrences")
    assert hats == {
        "fingerprint": hats["fingerprint"],
        "exception_class": "OutOfStock",
        "message": "no 2 hats",
        "location": "app/stock.rb:7:in `take'",
        "status": "open",
        "regressed": False,
        "status_changed_at": None,
        "status_changed_by": None,
        "count": 3,
        "users": 2,
        "services": ["shop"],
        "environments": ["live"],
        "first_seen_at": "2026-01-15T12:00:00.000000Z",
        "last_seen_at": "2026-01-15T12:02:00.000000Z",
        "first": {"version": "1", "git_sha": "sha1"},
        "last": {"version": "2", "git_sha": "sha2"},
        "trace_id": None,
    }
    assert (counts["start_time"], counts["bucket_s"], len(counts["counts"])) == ("2026-01-15T00:00:00.000000Z", 1800, 48)
    assert counts["counts"][24] == sum(counts["counts"]) == 3
    assert (timeout["count"], timeout["trace_id"], timeout["services"]) == (1, "a1" * 16, ["api"])


@pytest.mark.parametrize(
    ("parameters", "classes"),
    [
        ({"service": "shop"}, ["OutOfStock"]),
        ({"service": "api"}, ["Timeout"]),
        ({"environment": "live"}, ["OutOfStock"]),
        ({"q": "TIMEOUT"}, ["Timeout"]),
        ({"q": "no 1 h"}, ["OutOfStock"]),
        ({"q": "stock.rb"}, ["OutOfStock"]),
        ({"q": "' OR 1=1 --"}, []),
        ({"status": "open"}, ["Timeout", "OutOfStock"]),
        ({"status": "ignored"}, []),
        ({"sort": "count"}, ["OutOfStock", "Timeout"]),
        ({"sort": "first_seen"}, ["Timeout", "OutOfStock"]),
        ({"limit": 1}, ["Timeout"]),
        ({"end_time": "2026-01-15T12:02:00Z"}, ["OutOfStock"]),
        ({"start_time": "2026-01-15T12:02:00.000001Z"}, ["Timeout"]),
        ({"service": "", "q": "", "unknown": "1"}, ["Timeout", "OutOfStock"]),
    ],
)
def test_a_filter_leaves_what_fits(shop, parameters, classes):
    assert [group["exception_class"] for group in groups(shop, **parameters)] == classes


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("limit", "0"), ("limit", "201"), ("status", "closed"), ("sort", "users"), ("start_time", "soon"),
        ("end_time", "2026-02-30"), ("start_time", "2100-01-01"), ("q", ["a", "b"]),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_400_with_the_parameter(shop, parameter, value):
    assert shop.refused("/v1/errors", **{parameter: value}) == (400, "invalid_parameter", parameter)


def test_without_a_window_it_is_the_last_day(new_project):
    project = new_project()
    now = dt.datetime.now(dt.UTC)
    fingerprint = report(project.ingest, at=now - dt.timedelta(hours=23))
    report(project.ingest, at=now - dt.timedelta(hours=25))
    [group] = project.live.found("/v1/errors")["data"]
    assert group["count"] == 1
    assert project.live.found(f"/v1/errors/{fingerprint}")["count"] == 1
    assert len(project.live.found(f"/v1/errors/{fingerprint}/occurrences")["data"]) == 1


def test_one_group_says_what_it_may_have_to_do_with(new_project):
    project = new_project()
    for version, at, service in (("1", NOON - 9 * MINUTE, "shop"), ("2", NOON - MINUTE, None), ("3", NOON, "other")):
        deploy = {"version": version, "deployed_at": at.isoformat()} | ({"service": service} if service else {})
        assert project.ingest.post("/ingest/deploys", json=deploy).status_code == 200
    fingerprint = report(project.ingest, "no 1 hat", NOON, version="2", backtrace=["a.rb:1"], params={"n": 1})
    report(project.ingest, "no 2 hat", NOON + MINUTE, version="2", backtrace=["a.rb:1"])
    content = project.live.found(f"/v1/errors/{fingerprint}", **DAY)
    assert set(groups(project.live)[0]) < set(content)
    assert [(row["version"], row["count"]) for row in content["versions"]] == [("2", 2)]
    assert (content["deploy"]["version"], content["deploy"]["service"]) == ("2", None)
    assert [row["version"] for row in content["deploys"]] == ["2", "1"]
    assert (content["occurrences"]["bucket_s"], sum(content["occurrences"]["counts"])) == (300, 2)
    assert [row["message"] for row in content["latest"]] == ["no 2 hat", "no 1 hat"]
    assert (content["latest"][1]["backtrace"], content["latest"][1]["params"]) == (["a.rb:1"], {"n": 1})


def test_a_group_is_there_outside_its_window_too(shop):
    [hats] = groups(shop, service="shop")
    content = shop.found(f"/v1/errors/{hats['fingerprint']}", start_time="2026-01-10", end_time="2026-01-11")
    assert (content["count"], content["message"], content["latest"]) == (0, "no 2 hats", [])
    assert content["last_seen_at"] == hats["last_seen_at"]


def test_an_occurrence_is_shown_with_everything_that_was_reported(shop):
    [hats] = groups(shop, service="shop")
    path = f"/v1/errors/{hats['fingerprint']}/occurrences"
    content = shop.found(path, **DAY)
    newest = content["data"][0]
    assert newest.pop("id").startswith("err_")
    assert newest == {
        "timestamp": "2026-01-15T12:02:00.000000Z",
        "source": "reported",
        "exception_class": "OutOfStock",
        "message": "no 2 hats",
        "backtrace": ["app/stock.rb:7:in `take'"],
        "location": "app/stock.rb:7:in `take'",
        "service": "shop",
        "environment": "live",
        "version": "2",
        "git_sha": "sha2",
        "user_id": "u0",
        "request_id": None,
        "trace_id": None,
        "span_id": None,
        "params": {"hat": 2},
        "context": {"cart": [1, 2]},
        "source_context": {"file": "app/stock.rb", "lineno": 7},
    }
    first = shop.found(path, limit=2, **DAY)
    second = shop.found(path, limit=2, cursor=first["next_cursor"])
    assert [row["message"] for row in first["data"] + second["data"]] == ["no 2 hats", "no 1 hats", "no 0 hats"]
    [other] = groups(shop, service="api")
    refused = shop.refused(f"/v1/errors/{other['fingerprint']}/occurrences", cursor=first["next_cursor"])
    assert refused == (400, "invalid_cursor", "cursor")


@pytest.mark.parametrize("fingerprint", ["0" * 32, "no%20such", "%27%3B--", "x" * 500])
def test_an_unknown_fingerprint_is_404(shop, fingerprint):
    for path in (f"/v1/errors/{fingerprint}", f"/v1/errors/{fingerprint}/occurrences"):
        assert shop.refused(path) == (404, "not_found", None)
    answer = decide(shop, fingerprint, "resolved")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "fingerprint",
    [
        "Größe: 100 % & mehr?",
        "Timeout:app/stock.rb:7",
        "/",
        "a//b/",
        "%2F",
        "100%",
        "occurrences",
        "a/occurrences",
        "..",
        "😀",
        "+ +",
    ],
)
def test_a_fingerprint_of_the_clients_own_is_found_by_it(project, fingerprint):
    assert report(project.test, fingerprint=fingerprint) == fingerprint
    path = f"/v1/errors/{quote(fingerprint, safe='').replace('.', '%2E')}"
    assert project.test.found(path, **DAY)["fingerprint"] == fingerprint
    assert [row["message"] for row in project.test.found(f"{path}/occurrences", **DAY)["data"]] == ["no hats"]
    changed = project.test.patch(path, json={"status": "ignored"}).json()
    assert (changed["fingerprint"], changed["status"]) == (fingerprint, "ignored")


def test_a_resolved_group_that_occurs_again_is_open_and_regressed(new_project):
    project = new_project()
    now = dt.datetime.now(dt.UTC)
    fingerprint = report(project.ingest, at=now)
    answer = decide(project.live, fingerprint, "resolved")
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert (content["fingerprint"], content["status"]) == (fingerprint, "resolved")
    assert content["status_changed_by"].startswith("mtk_live_")

    def shown():
        [group] = project.live.found("/v1/errors", start_time=(now - MINUTE).isoformat(), end_time="2100-01-01")["data"]
        assert group["status_changed_at"] == content["status_changed_at"]
        return group["status"], group["regressed"]

    assert shown() == ("resolved", False)
    report(project.ingest, at=now - MINUTE)  # late, from before it was resolved
    assert shown() == ("resolved", False)
    report(project.ingest, at=dt.datetime.fromisoformat(content["status_changed_at"]) + SECOND)
    assert shown() == ("open", True)
    content = decide(project.live, fingerprint, "ignored").json()
    assert shown() == ("ignored", False)
    report(project.ingest, at=dt.datetime.fromisoformat(content["status_changed_at"]) + SECOND)
    assert shown() == ("ignored", False)
    content = decide(project.live, fingerprint, "open").json()
    assert shown() == ("open", False)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b'{"status": "closed"}', (400, "invalid_parameter", "status")),
        (b'{"status": 1}', (400, "invalid_parameter", "status")),
        (b"{}", (400, "missing_parameter", "status")),
        (b'{"status": "open", "why": "x"}', (400, "invalid_parameter", "why")),
        (b"[]", (400, "invalid_json", None)),
        (b"{", (400, "invalid_json", None)),
        (b"", (400, "invalid_json", None)),
    ],
)
def test_a_change_that_cannot_be_is_400_with_the_field(shop, body, refusal):
    [group] = groups(shop, service="shop")
    answer = shop.patch(f"/v1/errors/{group['fingerprint']}", content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("param")) == refusal
    assert groups(shop, service="shop")[0]["status"] == "open"


def test_an_ingest_key_neither_sees_nor_decides(shop, project):
    [group] = groups(shop, service="shop")
    for answer in (project.ingest.get("/v1/errors"), decide(project.ingest, group["fingerprint"], "ignored")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")


def test_a_status_is_one_of_one_lake(new_project):
    """The same error in two projects, and in the sandbox of one: what is decided about one says nothing of the others."""
    first, second = new_project(), new_project()
    clients = [(first.ingest, first.live), (first.test, first.test), (second.ingest, second.live)]
    fingerprints = {report(sender, fingerprint="same") for sender, _ in clients}
    assert fingerprints == {"same"}
    assert decide(first.live, "same", "ignored").status_code == 200
    assert [groups(reader)[0]["status"] for _, reader in clients] == ["ignored", "open", "open"]
    assert decide(first.test, "same", "resolved").status_code == 200
    assert [groups(reader)[0]["status"] for _, reader in clients] == ["ignored", "resolved", "open"]
    assert [group["fingerprint"] for group in groups(first.live, status="ignored")] == ["same"]
    assert groups(second.live, status="ignored") == []


def test_a_project_of_the_same_name_does_not_inherit_a_status(server, new_project):
    project = new_project()
    report(project.ingest, fingerprint="f")
    assert decide(project.live, "f", "ignored").status_code == 200
    with Control(server.data) as control:
        control.delete_project(project.name, force=True)
    again = project_of(server, project.name)
    report(again.ingest, fingerprint="f")
    assert groups(again.live)[0]["status"] == "open"
    for client in (again.ingest, again.live, again.test):
        client.close()


def test_pages_are_those_of_the_first_one_whatever_happens_meanwhile(tmp_path):
    """New groups, new occurrences of old ones, errors that come late, compaction, a restart between two pages."""
    settings = {"TRACELAKE_COMPACTION_FILES": "2", "TRACELAKE_COMPACTION_INTERVAL_S": "1"}
    with running(tmp_path / "data", workers=2, settings=settings) as server, Client(server.url, server.live_key) as client:
        for n in range(20):
            report(client, at=NOON + n * SECOND, fingerprint=f"{n:02}")
        pages, cursor = [client.found("/v1/errors", limit=7, **DAY)], {}
        while pages[-1]["has_more"]:
            for n in range(20):
                report(client, at=NOON + n * SECOND + MINUTE, fingerprint=f"{n:02}")
            report(client, at=NOON + SECOND / 2, fingerprint="late")
            report(client, at=NOON + 2 * MINUTE, fingerprint="new")
            _wait_until_absorbed(server)
            if len(pages) == 1:
                server.stop()
                server.start()
                server.wait_ready()
            cursor = {"cursor": pages[-1]["next_cursor"]}
            pages.append(client.found("/v1/errors", limit=7, **cursor))
        found = [(group["fingerprint"], group["count"]) for page in pages for group in page["data"]]
        assert found == [(f"{n:02}", 1) for n in reversed(range(20))]
        assert len(groups(client)) == 22


def _wait_until_absorbed(server):
    with lake.open(server.lake) as opened:
        wait_until(
            lambda: not any(table.tail for table in opened.snapshot().tables.values()),
            lambda: f"compaction does not catch up; the end of the log:\n{server.log_end()}",
        )


@pytest.mark.parametrize("changed", [{"service": "x"}, {"sort": "count"}, {"q": "x"}, {"status": "open"}])
def test_a_cursor_with_other_filters_is_refused(shop, changed):
    cursor = shop.found("/v1/errors", limit=1, **DAY)["next_cursor"]
    assert shop.refused("/v1/errors", cursor=cursor, **changed) == (400, "invalid_cursor", "cursor")
    assert shop.refused("/v1/traces", cursor=cursor) == (400, "invalid_cursor", "cursor")

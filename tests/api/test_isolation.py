"""No answer shows a key what another project has, or its own project's other lake."""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from dataclasses import dataclass, field

import pytest

from tests.api.clients import Client, exception, new_trace_id, span


@dataclass
class Lake:
    """A lake whose every word has its canary, and what its key was told of it."""

    owner: Client
    """May ask."""
    canary: str = field(default_factory=lambda: f"canary{secrets.token_hex(6)}")
    trace_id: str = field(default_factory=new_trace_id)
    ids: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def lakes(new_project):
    """Two projects and the sandbox of the first one, filled alike."""
    first, second = new_project(), new_project()
    made = [Lake(first.live), Lake(first.test), Lake(second.live)]
    writers = [first.ingest, first.test, second.ingest]
    for lake, writer in zip(made, writers, strict=True):
        fill(lake, writer)
    return made


def fill(lake, writer):
    word = lake.canary
    root = span(f"GET /{word}", trace_id=lake.trace_id, span_id="1" * 16, http_route=f"/{word}", http_request_method="GET",
                events=[exception(f"{word}Error", f"no {word}")], user_id=word)  # fmt: skip
    query = span(f"SELECT {word}", trace_id=lake.trace_id, parent="1" * 16, kind=3, db_system_name="postgresql",
                 db_namespace=word, note=word)  # fmt: skip
    writer.store(root, query, service=word, k8s_cluster_name=word, deployment_environment_name=word)
    others = [span(f"GET /{word}/{number}", trace_id=new_trace_id()) for number in range(3)]
    writer.store(*others, service=word)
    assert writer.post("/ingest/errors", json={"error_type": f"{word}Reported", "message": word, "backtrace": []}).is_success
    lake.ids["deploy"] = writer.post("/ingest/deploys", json={"version": word, "deployer": word}).json()["id"]
    metrics = [{"request_id": word, "method": "GET", "path": f"/{word}", "status": 200, "total_ms": 1}]
    assert writer.post("/ingest/requests", json={"requests": metrics}).is_success
    lake.ids["key"] = lake.owner.post("/v1/keys", json={"kind": kind_of(lake), "name": word}).json()["id"]
    lake.ids["node"] = lake.owner.post("/v1/nodes", json={"name": word, "cluster": word}).json()["node_id"]
    rule = {"name": word, "condition": {"metric": "latency_max", "threshold": 0, "window": "5m"}, "channels": ["slack"]}
    lake.ids["rule"] = lake.owner.post("/v1/alerts/rules", json=rule).json()["id"]
    silence = {"comment": word, "starts_at": WINDOW["end_time"], "ends_at": LATER}
    lake.ids["silence"] = lake.owner.post("/v1/alerts/silences", json=silence).json()["id"]
    [lake.ids["fingerprint"], *_] = [group["fingerprint"] for group in lake.owner.found("/v1/errors")["data"]]
    assert lake.owner.patch(f"/v1/errors/{lake.ids['fingerprint']}", json={"status": "ignored"}).is_success


def kind_of(lake):
    return lake.owner.found("/v1/keys/current")["kind"]


WINDOW = {
    "start_time": (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)).isoformat(),
    "end_time": (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat(),
}

LATER = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)).isoformat()

VIEWS = ("spans", "errors", "deploys", "requests", "exceptions", "endpoint_minutes", "trace_summaries", "service_edges")


def questions(told):
    """What can be asked, with the ids and words that somebody was told."""
    word, ids = told.canary, told.ids
    for path in (
        "/v1/traces", f"/v1/traces?service={word}", f"/v1/traces/{told.trace_id}", f"/v1/traces/{told.trace_id}?format=otlp",
        "/v1/services", f"/v1/services?cluster={word}", "/v1/topology", f"/v1/topology?cluster={word}", "/v1/endpoints",
        f"/v1/endpoints?service={word}", "/v1/errors", f"/v1/errors?service={word}", f"/v1/errors/{ids['fingerprint']}",
        f"/v1/errors/{ids['fingerprint']}/occurrences", "/v1/deploys", f"/v1/deploys/{ids['deploy']}", "/v1/keys",
        f"/v1/keys/{ids['key']}", "/v1/keys/current", "/v1/nodes", f"/v1/nodes/{ids['node']}", "/v1/alerts/rules",
        f"/v1/alerts/rules/{ids['rule']}", "/v1/alerts/silences", "/v1/alerts", "/v1/alerts?state=ok", "/v1/alerts/events",
        "/v1/alerts/deliveries", f"/v1/deploys/{ids['deploy']}/impact",
    ):  # fmt: skip
        yield "GET", path, None
    yield "POST", f"/v1/alerts/rules/{ids['rule']}/test?hours=1", None
    yield "POST", "/v1/traces/search", {"query": f'service.name = "{word}"', **WINDOW}
    yield "POST", "/v1/traces/search", {"query": "{ true } | select(.note, user.id)", **WINDOW}
    yield "POST", "/v1/traces/metrics", {"query": "{ true } | count_over_time() by(service.name)", **WINDOW, "step": 3600}
    for view in VIEWS:
        yield "POST", "/v1/sql", {"query": f"SELECT * FROM {view}"}


def without_echo(text, body):
    """An answer without the question that it repeats."""
    return text if body is None else text.replace(body["query"].replace('"', '\\"'), "")


def answers(asker, told):
    """Each answer to a key, to what another one was told: status, headers and body."""
    for method, path, body in questions(told):
        answer = asker.owner.request(method, path, json=body)
        assert answer.status_code < 500, (path, answer.text)
        yield path, answer, without_echo(answer.text, body) + repr(list(answer.headers.items()))


def manages_keys_of(lakes, asker, told):
    """A live key manages all keys of its project, those of the sandbox among them."""
    return asker is lakes[0] and told is lakes[1]


UNTIL_A_SWEEP = {"/v1/alerts", "/v1/alerts?state=ok", "/v1/alerts/events", "/v1/alerts/deliveries"}
"""What has something to show only when the scheduler has judged a rule."""


def test_a_key_sees_its_own_canaries(lakes):
    """The control: every question is one that shows a canary to its owner, but for the keys' own page."""
    for lake in lakes:
        silent = [path for path, _, text in answers(lake, lake) if lake.canary not in text]
        assert set(silent) <= {"/v1/keys/current", *UNTIL_A_SWEEP, f"/v1/alerts/rules/{lake.ids['rule']}/test?hours=1"}, (
            silent
        )


def test_no_answer_shows_a_canary_to_another_key(lakes):
    for asker in lakes:
        for told in lakes:
            if asker is not told:
                for path, answer, text in answers(asker, told):
                    if path.startswith("/v1/keys") and manages_keys_of(lakes, asker, told):
                        continue
                    shown = text.replace(path.partition("?")[2].partition("=")[2] or "\0", "")
                    assert told.canary not in shown, (path, answer.text)


def test_what_another_key_was_told_of_is_not_found(lakes):
    for asker in lakes:
        for told in lakes:
            if asker is not told:
                for path in (
                    f"/v1/traces/{told.trace_id}",
                    f"/v1/errors/{told.ids['fingerprint']}",
                    f"/v1/deploys/{told.ids['deploy']}",
                    f"/v1/deploys/{told.ids['deploy']}/impact",
                    *([] if manages_keys_of(lakes, asker, told) else [f"/v1/keys/{told.ids['key']}"]),
                    f"/v1/nodes/{told.ids['node']}",
                    f"/v1/alerts/rules/{told.ids['rule']}",
                ):
                    assert asker.owner.refused(path)[:2] == (404, "not_found")


def test_what_another_key_was_told_of_cannot_be_changed(lakes):
    for asker in lakes:
        for told in lakes:
            if asker is not told:
                for method, path, body in (
                    ("PATCH", f"/v1/errors/{told.ids['fingerprint']}", {"status": "resolved"}),
                    ("PATCH", f"/v1/keys/{told.ids['key']}", {"name": "mine"}),
                    ("DELETE", f"/v1/keys/{told.ids['key']}", None),
                    ("PATCH", f"/v1/nodes/{told.ids['node']}", {"labels": {"a": "b"}}),
                    ("DELETE", f"/v1/nodes/{told.ids['node']}", None),
                    ("PATCH", f"/v1/alerts/rules/{told.ids['rule']}", {"name": "mine"}),
                    ("POST", f"/v1/alerts/rules/{told.ids['rule']}/test", None),
                    ("DELETE", f"/v1/alerts/rules/{told.ids['rule']}", None),
                    ("DELETE", f"/v1/alerts/silences/{told.ids['silence']}", None),
                ):
                    if path.startswith("/v1/keys") and manages_keys_of(lakes, asker, told):
                        continue
                    answer = asker.owner.request(method, path, json=body)
                    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (path, answer.text)


def test_a_cursor_says_nothing_of_the_rows_behind_it_and_is_good_for_its_key_only(lakes):
    for asker in lakes:
        for told in lakes:
            cursor = told.owner.found("/v1/traces", limit=1)["next_cursor"]
            payload = cursor.split(".")[1]
            assert told.canary.encode() not in base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
            if asker is not told:
                assert asker.owner.refused("/v1/traces", cursor=cursor) == (400, "invalid_cursor", "cursor")
                snapshot = told.owner.get("/v1/traces").headers["x-lake-snapshot"]
                answer = asker.owner.post("/v1/sql", json={"query": "SELECT * FROM spans", "snapshot": snapshot})
                assert told.canary not in answer.text

"""Keys managed by keys, over HTTP."""

import re
import secrets
from typing import Any

import pytest

from lake.control import Control
from lake.control.control import TRUST_S
from tests.api.clients import Client
from tests.servers import wait_until

ALL = ["admin", "alerts", "ingest", "read", "sql"]


@pytest.fixture
def client(server):
    """Makes clients with a key."""
    clients = []

    def make(key):
        clients.append(Client(server.url, key))
        return clients[-1]

    yield make
    for made in clients:
        made.close()


@pytest.fixture
def own(new_project):
    """A project of the test's own."""
    return new_project()


def create(client, status=201, **body):
    answer = client.post("/v1/keys", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def error(answer):
    content = answer.json()["error"]
    return answer.status_code, content["code"], content.get("param")


def test_a_key_tells_whose_it_is(own):
    told = own.live.found("/v1/keys/current")
    assert re.fullmatch("mtk_live_[0-9a-f]{12}", told["id"])
    assert {
        name: told[name] for name in ("name", "project", "kind", "environment", "scopes", "rate_limit", "revoked_at")
    } == {
        "name": None,
        "project": own.name,
        "kind": "live",
        "environment": "live",
        "scopes": ALL,
        "rate_limit": 1000,
        "revoked_at": None,
    }
    assert own.test.found("/v1/keys/current")["environment"] == "sandbox"
    assert error(own.ingest.get("/v1/keys/current")) == (403, "permission_denied", None)


@pytest.mark.parametrize(
    ("kind", "prefix", "scopes"), [(None, "mtk_live_", ALL), ("test", "mtk_test_", ALL), ("ingest", "proj_", ["ingest"])]
)
def test_a_new_key_is_shown_once_and_works(own, client, kind, prefix, scopes):
    made = create(own.live, name="CI", **({"kind": kind} if kind else {}))
    key = made.pop("key")
    assert key.startswith(made["id"])
    assert key.startswith(prefix)
    assert (made["project"], made["scopes"], made["name"]) == (own.name, scopes, "CI")
    assert own.live.found(f"/v1/keys/{made['id']}") == made
    assert key not in own.live.get("/v1/keys").text
    if kind == "ingest":
        assert client(key).post("/ingest/deploys", json={"version": "v1"}).status_code == 200
    else:
        assert client(key).found("/v1/keys/current")["id"] == made["id"]


def test_a_key_with_less_to_do_is_refused_the_rest(own, client):
    reader = client(create(own.live, scopes=["read"])["key"])
    assert reader.found("/v1/traces")["data"] == []
    assert reader.found("/v1/keys/current")["scopes"] == ["read"]
    for answer in (reader.get("/v1/keys"), reader.post("/v1/keys", json={}), reader.delete("/v1/keys/x")):
        assert error(answer) == (403, "permission_denied", None)
    assert reader.post("/ingest/deploys", json={"version": "v1"}).status_code == 403


def test_no_key_gives_more_than_it_has(own, client):
    admin = client(create(own.live, scopes=["admin", "read"], rate_limit=500)["key"])
    assert create(admin)["scopes"] == ["admin", "read"]
    assert create(admin)["rate_limit"] == 500
    for wanted in ({"scopes": ["sql"]}, {"kind": "ingest"}, {"rate_limit": 501}):
        assert error(admin.post("/v1/keys", json=wanted)) == (403, "permission_denied", None)
    other = create(own.live, rate_limit=400)["id"]
    for limit in (501, None):
        assert error(admin.patch(f"/v1/keys/{other}", json={"rate_limit": limit})) == (403, "permission_denied", None)
    assert admin.patch(f"/v1/keys/{other}", json={"rate_limit": 450}).json()["rate_limit"] == 450


def test_a_test_key_knows_test_keys_only(own):
    made = create(own.test)
    assert made["kind"] == "test"
    assert {item["kind"] for item in own.test.found("/v1/keys")["data"]} == {"test"}
    assert {item["kind"] for item in own.live.found("/v1/keys")["data"]} == {"ingest", "live", "test"}
    live = own.live.found("/v1/keys/current")["id"]
    for method in ("GET", "DELETE", "PATCH"):
        body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        assert error(own.test.request(method, f"/v1/keys/{live}", **body)) == (404, "not_found", None)
    for kind in ("live", "ingest"):
        assert error(own.test.post("/v1/keys", json={"kind": kind})) == (403, "permission_denied", None)


def test_keys_of_another_project_are_not_there(own, new_project):
    other = new_project()
    theirs = other.live.found("/v1/keys/current")["id"]
    unknown = "mtk_live_" + secrets.token_hex(6)
    for method in ("GET", "DELETE", "PATCH"):
        body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        answers = [own.live.request(method, f"/v1/keys/{key}", **body) for key in (theirs, unknown)]
        assert [error(answer) for answer in answers] == [(404, "not_found", None)] * 2
    assert theirs not in own.live.get("/v1/keys").text
    assert other.live.found("/v1/keys/current")["revoked_at"] is None


def test_a_revoked_key_is_refused_by_every_worker_within_a_second(own, client):
    made = create(own.live)
    clients = [client(made["key"]) for _ in range(8)]
    assert {one.get("/v1/traces").status_code for one in clients} == {200}
    assert own.live.delete(f"/v1/keys/{made['id']}").json() == {"id": made["id"], "revoked": True}
    wait_until(
        lambda: {one.get("/v1/traces").status_code for one in clients} == {401},
        lambda: "a worker still takes the key",
        timeout_s=TRUST_S + 9,  # requests on a busy machine take their time too
    )
    assert own.live.found(f"/v1/keys/{made['id']}")["revoked_at"] is not None
    assert own.live.delete(f"/v1/keys/{made['id']}").status_code == 200


def test_a_key_may_end_itself(own, client):
    made = create(own.live)
    one = client(made["key"])
    assert one.delete(f"/v1/keys/{made['id']}").status_code == 200
    wait_until(lambda: one.get("/v1/traces").status_code == 401, lambda: "the key still works")


def test_a_change_of_name_and_limit_holds_and_the_rest_stays(own, client):
    made = create(own.live, name="a")
    path = f"/v1/keys/{made['id']}"
    assert own.live.patch(path, json={"rate_limit": 7}).json() == {
        **{name: value for name, value in made.items() if name != "key"},
        "rate_limit": 7,
    }
    one = client(made["key"])
    wait_until(lambda: one.get("/health").headers["x-ratelimit-limit"] == "7", lambda: "the limit is the old one")
    assert own.live.patch(path, json={"name": "b", "rate_limit": None}).json()["rate_limit"] == 1000
    assert own.live.patch(path, json={"name": None}).json()["name"] is None


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"kind": "root"}, "invalid_parameter", "kind"),
        ({"scopes": []}, "invalid_parameter", "scopes"),
        ({"scopes": ["root"]}, "invalid_parameter", "scopes[0]"),
        ({"kind": "ingest", "scopes": ["read"]}, "invalid_parameter", "scopes"),
        ({"rate_limit": 0}, "invalid_parameter", "rate_limit"),
        ({"rate_limit": 10_001}, "invalid_parameter", "rate_limit"),
        ({"rate_limit": "5"}, "invalid_parameter", "rate_limit"),
        ({"name": ""}, "invalid_parameter", "name"),
        ({"name": "a\nb"}, "invalid_parameter", "name"),
        ({"name": "a" * 101}, "invalid_parameter", "name"),
        ({"project": "other"}, "invalid_parameter", "project"),
        ([], "invalid_json", None),
    ],
)
def test_what_a_key_cannot_be_is_refused_with_the_field(own, body, code, param):
    assert error(own.live.post("/v1/keys", json=body)) == (400, code, param)


def test_the_list_has_pages(server, own):
    with Control(server.data) as control:
        made = [control.create_key(own.name, "live").key.id for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = own.live.found("/v1/keys", limit=3, **cursor)
        seen += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            break
        assert len(page["data"]) == 3
        cursor = {"cursor": page["next_cursor"]}
    assert page["next_cursor"] is None
    assert seen[-5:] == made
    assert len(seen) == len(set(seen)) == 8
    refused = own.test.get("/v1/keys", params=cursor)
    assert error(refused) == (400, "invalid_cursor", "cursor")
    assert own.live.refused("/v1/keys", limit=0) == (400, "invalid_parameter", "limit")

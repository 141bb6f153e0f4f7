"""Errors, deploys and keys of a real server, through the client."""

import datetime as dt
import secrets

import pytest

import lake
from lake.client import (
    BadRequest,
    DeployReport,
    ErrorReport,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    Unauthorized,
)
from tests.lake.client.hostile import hostile, refuses
from tests.servers import wait_until

NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
DAY = {"start_time": NOON - dt.timedelta(hours=12), "end_time": NOON + dt.timedelta(hours=12)}
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def asker(server):
    with lake.connect(server.url, server.live_key) as client:
        yield client


@pytest.fixture(scope="module")
def shop(server):
    """A service with a deploy, and with two kinds of errors, one of them three times."""
    service = f"shop-{secrets.token_hex(4)}"
    with lake.connect(server.url, server.ingest_key) as sender:
        sender.report_deploy(DeployReport(version="v1", git_sha="abc123d", service=service, deployed_at=NOON - HOUR))
        sender.report_deploy(DeployReport(version="v2", service=service, deployed_at=NOON + HOUR))
        out = [
            ErrorReport(
                exception_class="OutOfStock", message=f"no item {n} left", service=service, version="v1", user_id=f"u{n}",
                timestamp=NOON + dt.timedelta(minutes=n), backtrace=["app/stock.py:7 in take"], context={"cart": [n]},
            )
            for n in range(3)
        ]  # fmt: skip
        other = ErrorReport(exception_class="Timeout", message="after 5 s", service=service, timestamp=NOON)
        assert sender.report_errors([*out, other]).accepted == 4
    return service


def test_groups_of_errors_come_typed(asker, shop):
    first, second = asker.list_errors(service=shop, sort="count", **DAY).data
    assert (first.exception_class, first.count, first.users, first.status) == ("OutOfStock", 3, 3, "open")
    assert (first.first_seen_at, first.last_seen_at) == (NOON, NOON + dt.timedelta(minutes=2))
    assert first.first.version == "v1"
    assert first.occurrences is not None
    assert sum(first.occurrences.counts) == 3
    assert (second.exception_class, second.count) == ("Timeout", 1)
    assert [group.count for group in asker.iter_errors(service=shop, sort="count", limit=1, **DAY)] == [3, 1]
    assert [group.count for group in asker.iter_errors(service=shop, q="TIMEOUT", **DAY)] == [1]


def test_a_group_comes_with_what_belongs_to_it(asker, shop):
    [group] = asker.list_errors(service=shop, q="OutOfStock", **DAY).data
    found = asker.get_error(group.fingerprint, **DAY)
    assert found.count == 3
    assert found.deploy is not None
    assert (found.deploy.version, found.deploy.git_sha, found.deploy.service) == ("v1", "abc123d", shop)
    assert [deploy.version for deploy in found.deploys] == ["v2", "v1"]
    assert [version.count for version in found.versions] == [3]
    assert found.latest[0].message == "no item 2 left"
    occurrences = list(asker.iter_occurrences(group.fingerprint, limit=2, **DAY))
    assert [occurrence.context for occurrence in occurrences] == [{"cart": [2]}, {"cart": [1]}, {"cart": [0]}]
    assert occurrences[0].backtrace == ["app/stock.py:7 in take"]
    assert asker.list_occurrences(group.fingerprint, limit=2, **DAY).has_more


def test_a_group_can_be_resolved(asker, shop):
    [group] = asker.list_errors(service=shop, q="Timeout", **DAY).data
    told = asker.set_error_status(group.fingerprint, "resolved")
    assert (told.fingerprint, told.status) == (group.fingerprint, "resolved")
    assert asker.get_error(group.fingerprint, **DAY).status == "resolved"
    assert asker.list_errors(service=shop, status="resolved", **DAY).data[0].fingerprint == group.fingerprint
    with pytest.raises(BadRequest) as refused:
        asker.set_error_status(group.fingerprint, "gone")
    assert refused.value.param == "status"
    with pytest.raises(NotFound):
        asker.get_error("no such / error", **DAY)


def test_deploys_come_typed(asker, shop):
    newest, oldest = asker.iter_deploys(service=shop, limit=1, **DAY)
    assert (newest.version, newest.deployed_at, oldest.git_sha) == ("v2", NOON + HOUR, "abc123d")
    assert newest.predecessor is not None
    assert newest.predecessor.id == oldest.id
    assert asker.get_deploy(newest.id) == newest
    assert oldest.predecessor is None
    impact = asker.get_deploy_impact(newest.id, window=15)
    assert (impact.deploy_id, impact.verdict) == (newest.id, "insufficient data")
    with pytest.raises(NotFound):
        asker.get_deploy("deploy_none")


def test_a_key_is_made_used_changed_and_revoked(server, asker):
    me = asker.current_key()
    assert (me.kind, me.environment, me.project) == ("live", "live", "default")
    made = asker.create_key(kind="live", name="reader", scopes=["read"])
    assert made.key not in repr(made)
    assert (made.name, made.scopes) == ("reader", ["read"])
    assert asker.get_key(made.id).name == "reader"
    assert made.id in [key.id for key in asker.iter_keys(limit=1)]
    with lake.connect(server.url, made.key) as reader:
        assert reader.list_traces(start_time=NOON, end_time=NOON + HOUR).data == []
        with pytest.raises(PermissionDenied):
            reader.list_keys()
        assert asker.change_key(made.id, rate_limit=500).rate_limit == 500
        assert asker.change_key(made.id, name=None).name is None
        assert asker.get_key(made.id).rate_limit == 500
        assert asker.revoke_key(made.id).revoked
        wait_until(lambda: is_refused(reader), lambda: "a revoked key is still taken")
    assert asker.get_key(made.id).revoked_at is not None


def is_refused(client):
    try:
        client.current_key()
    except Unauthorized:
        return True
    return False


def test_a_key_is_not_made_twice_because_an_answer_was_lost(ask):
    with hostile(refuses(500, "internal_error")) as server, pytest.raises(ServerError):
        ask(server.url, "create_key")
    assert len(server.asked) == 1
    with hostile(refuses(429, "rate_limited")) as server, pytest.raises(RateLimited):
        ask(server.url, "create_key")
    assert len(server.asked) == 4  # it certainly was not made

"""`/health`, and what every answer has in common."""

import re
import sqlite3

import pytest

from tests.api.clients import UNKNOWN_TRACE, Client
from tests.servers import running


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("key", [None, "proj_revoked", "nonsense"])
def test_health_needs_no_key_and_minds_none(server, method, key):
    """The Ruby gem asks with POST."""
    with Client(server.url, key) as client:
        answer = client.request(method, "/health", json={} if method == "POST" else None)
    assert answer.status_code == 200
    assert answer.text == ("" if method == "HEAD" else '{"status":"ok"}')


def test_health_tells_more_when_asked(anonymous):
    told = anonymous.get("/health", params={"verbose": 1}).json()
    assert {"status": "ok", "db_ok": True}.items() <= told.items()
    assert told["uptime_seconds"] >= 0
    assert anonymous.get("/health", params={"verbose": 0}).json() == {"status": "ok"}


def test_a_server_without_its_control_database_says_so_and_tells_clients_to_come_back(tmp_path):
    with running(tmp_path / "data", workers=1) as server, Client(server.url, server.ingest_key) as client:
        with sqlite3.connect(server.data / "tracelake.db") as database:
            database.execute("ALTER TABLE keys RENAME TO elsewhere")
            database.execute("ALTER TABLE projects RENAME TO nowhere")
        database.close()
        sick = client.get("/health")
        assert sick.status_code == 503
        told = sick.json()
        assert told.pop("uptime_seconds") >= 0
        assert told == {"status": "unhealthy", "error": "Database unreachable", "db_ok": False}
        refused = client.post("/ingest/errors", json={"error_type": "A", "message": ""})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert sick.headers["x-ratelimit-limit"] == refused.headers["x-ratelimit-limit"] == "1000"


JSON = {"Content-Type": "application/json"}
ANSWERS = [
    ("GET", "/health", 200),
    ("GET", "/", 200),
    ("GET", "/schema/openapi.json", 200),
    ("GET", "/v1/traces", 200),
    ("GET", f"/v1/traces/{UNKNOWN_TRACE}", 404),
    ("GET", "/v1/traces?limit=0", 400),
    ("POST", "/ingest/errors", 400),
    ("POST", "/ingest/v1/traces", 400),
    ("DELETE", "/ingest/errors", 405),
    ("OPTIONS", "/v1/traces", 204),
    ("GET", "/nowhere", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_has_a_number_and_says_that_it_is_not_to_be_kept(project, method, path, status):
    one, other = (project.live.request(method, path, headers=JSON, content=b"") for _ in range(2))
    assert (one.status_code, other.status_code) == (status, status)
    assert re.fullmatch(r"req_[0-9a-f]{10}", one.headers["x-request-id"])
    assert one.headers["x-request-id"] != other.headers["x-request-id"]
    assert one.headers["x-api-version"] == "3.2.1"
    assert one.headers["cache-control"] == "no-store"
    assert one.headers["x-content-type-options"] == "nosniff"


def test_an_answer_without_a_key_has_them_too(anonymous):
    answer = anonymous.get("/v1/traces")
    assert answer.status_code == 401
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("number", ["a", "7f3a8b2e-4d.X_9", "a" * 64])
def test_a_sane_number_of_the_caller_is_kept(anonymous, number):
    answer = anonymous.get("/v1/traces", headers={"X-Request-Id": number})
    assert answer.headers.get_list("x-request-id") == [number]
    assert answer.json()["error"]["request_id"] == number


@pytest.mark.parametrize("number", ["", "a" * 65, "a b", "<script>", "a,b", "\xe4"])
def test_another_number_of_the_caller_is_replaced(anonymous, number):
    answer = anonymous.get("/v1/traces", headers={"X-Request-Id": number.encode("latin-1")})
    assert re.fullmatch(r"req_[0-9a-f]{10}", answer.headers["x-request-id"])
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]

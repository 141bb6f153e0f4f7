"""What a server does at its limits: it refuses early, says when to come back, and recovers by itself."""

import gzip
import json
import secrets
import socket
import subprocess
import sys
import zlib

import pytest
import zstandard
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos ships no types

import lake
from api.problems import PROTOBUF
from tests.api.clients import Client, otlp, span
from tests.servers import command, running, wait_until

BODY_MAX_BYTES = 20_000
WITHOUT_SCHEDULER = [sys.executable, "-m", "api.server"]
JSON = {"Content-Type": "application/json"}
GOOD = {
    "/ingest/v1/traces": otlp(span()),
    "/v1/traces": otlp(span()),
    "/ingest/errors": {"error_type": "E", "message": ""},
    "/ingest/errors/batch": {"errors": [{"error_type": "E", "message": ""}]},
    "/ingest/deploys": {"version": "v"},
    "/ingest/requests": {"requests": [{"request_id": "r", "method": "GET", "path": "/", "status": 200, "total_ms": 1}]},
}
PATHS = list(GOOD)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server with little room; it answers 202, and nobody compacts its lake."""
    settings = {
        "TRACELAKE_BODY_MAX_BYTES": str(BODY_MAX_BYTES),
        "TRACELAKE_REQUEST_MAX_SPANS": "10",
        "TRACELAKE_REQUEST_MAX_RESOURCES": "3",
        "TRACELAKE_INFLIGHT_MAX_BYTES": str(2 * BODY_MAX_BYTES),
        "TRACELAKE_INGEST_SUCCESS_STATUS": "202",
    }
    data = tmp_path_factory.mktemp("small") / "data"
    with running(data, workers=1, settings=settings, argv=WITHOUT_SCHEDULER) as server:
        yield server


@pytest.fixture(scope="module")
def client(small):
    with Client(small.url, small.live_key) as client:
        yield client


def error_of(size_bytes):
    """An error whose body has exactly this size."""
    empty = json.dumps({"error_type": "E", "message": ""}).encode()
    return json.dumps({"error_type": "E", "message": "x" * (size_bytes - len(empty))}).encode()


@pytest.mark.parametrize(("path", "body"), GOOD.items())
def test_the_second_generation_of_answers_is_202_and_empty(client, path, body):
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.content) == (202, b"")
    assert client.post(path, content=b"{", headers=JSON).status_code == 400


@pytest.mark.parametrize("path", PATHS)
def test_a_body_over_the_limit_is_413(client, path):
    answer = client.post(path, content=b"x" * (BODY_MAX_BYTES + 1), headers=JSON)
    assert answer.status_code == 413
    said = answer.json()["error"]
    assert str(BODY_MAX_BYTES) in (said if path.startswith("/ingest") else said["message"])


def test_the_limit_itself_passes(client):
    assert client.post("/ingest/errors", content=error_of(BODY_MAX_BYTES), headers=JSON).status_code == 202


def test_a_body_in_chunks_is_refused_at_the_limit(client):
    """No declared length, and no end: only who counts can refuse it."""

    def endless():
        while True:
            yield b"x" * 1000

    assert client.post("/ingest/errors", content=endless(), headers=JSON).status_code == 413


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_bomb_is_413_after_inflation(client, path, coding, compress):
    bomb = compress(bytes(100 * BODY_MAX_BYTES))
    assert len(bomb) < BODY_MAX_BYTES
    assert client.post(path, content=bomb, headers=JSON | {"Content-Encoding": coding}).status_code == 413
    just_fits = compress(error_of(BODY_MAX_BYTES))
    assert client.post("/ingest/errors", content=just_fits, headers=JSON | {"Content-Encoding": coding}).status_code == 202


def test_a_413_in_protobuf_is_one(client):
    answer = client.post("/v1/traces", content=b"x" * (BODY_MAX_BYTES + 1), headers={"Content-Type": PROTOBUF})
    assert answer.status_code == 413
    assert Status.FromString(answer.content).code == 8


@pytest.mark.parametrize("path", ["/ingest/v1/traces", "/v1/traces"])
def test_more_spans_or_resources_than_a_request_may_hold_are_413(client, path):
    assert client.post(path, json=otlp(*(span() for _ in range(10)))).status_code == 202
    too_many = client.post(path, json=otlp(*(span() for _ in range(11))))
    assert too_many.status_code == 413
    assert "11" in too_many.text
    resources = {"resourceSpans": [otlp(span())["resourceSpans"][0] for _ in range(4)]}
    assert client.post(path, json=resources).status_code == 413


def raw(server, key, *, length, body=b""):
    """A connection that has sent the head of a request and a part of its body."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = (
        f"POST /ingest/errors HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def test_clients_that_stop_in_the_middle_hold_others_up_no_longer_than_they_stay(small, client):
    """Their bytes are in memory, so others are told to come back; when they have gone there is room again."""
    stopped = []

    def is_full():
        """Refused ones among them hold nothing, so there is one more until the memory is full."""
        stopped.append(raw(small, small.ingest_key, length=BODY_MAX_BYTES, body=b"x" * (BODY_MAX_BYTES - 100)))
        return client.post("/ingest/errors", content=error_of(1000), headers=JSON).status_code == 503

    try:
        wait_until(is_full, lambda: f"{len(stopped)} bodies of 20 kB are in memory, and nobody is refused")
        assert client.get("/health").status_code == 200
    finally:
        for connection in stopped:
            connection.close()
    wait_until(
        lambda: client.post("/ingest/errors", content=error_of(1000), headers=JSON).status_code == 202,
        lambda: "the clients have gone, and their bytes have not",
    )
    assert "request failed" not in small.log_end()


def test_a_body_that_is_shorter_than_it_said_is_not_stored(small, client):
    with lake.open(small.lake) as opened:
        before = opened.sql("SELECT count(*) AS n FROM errors").rows()
        with raw(small, small.ingest_key, length=200, body=error_of(150)) as connection:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(30)
            assert b" 200 " not in connection.recv(1000).partition(b"\r\n")[0]
        assert client.post("/ingest/errors", content=b"{", headers=JSON).status_code == 400
        assert opened.sql("SELECT count(*) AS n FROM errors").rows() == before


def test_too_much_waiting_for_compaction_is_503_until_it_has_been_compacted(tmp_path):
    settings = {"TRACELAKE_LANDING_MAX_FILES": "3", "TRACELAKE_LANDING_MAX_BYTES": "100000000"}
    data = tmp_path / "data"
    with (
        running(data, workers=2, settings=settings, argv=WITHOUT_SCHEDULER) as server,
        Client(server.url, server.live_key) as client,
    ):
        statuses, acknowledged = [], []
        for _ in range(2):

            def is_full():
                sent = span()
                answer = client.post("/v1/traces", json=otlp(sent))
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    acknowledged.append(sent["traceId"])
                    return False
                assert int(answer.headers["retry-after"]) >= 1
                assert "landing files wait for compaction" in answer.json()["error"]["message"]
                return True

            wait_until(is_full, lambda: f"never full: {statuses}")
            for path, body in (
                ("/ingest/errors", {"error_type": "E", "message": ""}),
                ("/ingest/deploys", {"version": "v"}),
            ):
                wait_until(lambda: client.post(path, json=body).status_code == 503, lambda: "one worker has not noticed")  # noqa: B023 - called at once
            assert client.get("/v1/traces").status_code == 200
            assert client.get("/health").status_code == 200

            subprocess.run([command(), "compact", "--data", data], check=True, capture_output=True)
            wait_until(
                lambda: client.post("/ingest/deploys", json={"version": "v"}).status_code == 200, lambda: "does not recover"
            )
        assert set(statuses) == {200, 503}
        assert sorted(client.listed(limit=200)) == sorted(acknowledged)


def test_too_many_bytes_waiting_are_503(tmp_path):
    with (
        running(
            tmp_path / "data", workers=1, settings={"TRACELAKE_LANDING_MAX_BYTES": "1"}, argv=WITHOUT_SCHEDULER
        ) as server,
        Client(server.url, server.live_key) as client,
    ):
        assert client.post("/v1/traces", json=otlp(span())).status_code == 200
        wait_until(lambda: client.post("/v1/traces", json=otlp(span())).status_code == 503, lambda: "never full")


def test_a_disk_that_is_nearly_full_is_503_before_it_is_full(tmp_path):
    with (
        running(tmp_path / "data", workers=1, settings={"TRACELAKE_DISK_FREE_MIN_BYTES": str(2**60)}) as server,
        Client(server.url, server.live_key) as client,
    ):
        for path, body in GOOD.items():
            answer = client.post(path, json=body)
            assert answer.status_code == 503, path
            assert "bytes are free" in answer.text
            assert int(answer.headers["retry-after"]) >= 1
        assert client.listed() == []


def test_a_disk_that_takes_no_more_is_503_and_what_was_acknowledged_stays(tmp_path):
    """The limit on the size of files stands for the disk: writing fails in the middle, as it does on a full one."""
    argv = ["sh", "-c", 'ulimit -f 400 && exec "$@"', "sh", *WITHOUT_SCHEDULER]
    with running(tmp_path / "data", workers=1, argv=argv) as server, Client(server.url, server.live_key) as client:
        sent = span()
        client.store(sent)
        big = otlp(*(span(text=secrets.token_hex(2000)) for _ in range(300)))
        for _ in range(2):
            answer = client.post("/v1/traces", json=big)
            assert answer.status_code == 503
            assert "free space or mend the disk" in answer.json()["error"]["message"]
            assert answer.headers["retry-after"]
            again = span()
            client.store(again)
            assert client.trace(again["traceId"])["span_count"] == 1
        assert len(client.listed()) == 3
        assert client.trace(sent["traceId"])["span_count"] == 1

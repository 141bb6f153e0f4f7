"""The limit of requests a minute, as clients meet it: two workers, one count."""

import asyncio
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar, get

from api import problems
from api.headers import with_headers
from api.limits import address, rate_headers, with_limits
from api.problems import PROTOBUF
from api.rate_window import Decision
from api.rates import Rates
from lake.control import Control
from lake.settings import LakeSettings
from tests.api.clients import UNKNOWN_TRACE, Client, otlp, span
from tests.servers import running

JSON = {"Content-Type": "application/json"}
HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
THREADS = 16


@pytest.fixture
def limited(server, project):
    """Makes clients of one new key with a limit of its own."""
    clients: list[Client] = []

    def make(limit, *, kind="live", count=1):
        with Control(server.data) as control:
            key = control.create_key(project.name, kind, rate_limit=limit).secret
        clients.extend(Client(server.url, key) for _ in range(count))
        return clients[-count:]

    yield make
    for client in clients:
        client.close()


def left(answer):
    """Limit and rest that an answer tells."""
    now_s = time.time()
    assert 0 < int(answer.headers["x-ratelimit-reset"]) - now_s <= 63, "seconds since the Unix epoch"
    return int(answer.headers["x-ratelimit-limit"]), int(answer.headers["x-ratelimit-remaining"])


def test_workers_together_let_pass_what_one_key_may_send(limited):
    limit, sent = 150, 400
    clients = limited(limit, count=THREADS)  # each has a connection of its own, so both workers have some

    def ask(number):
        return clients[number % THREADS].get("/v1/traces?limit=1")

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(ask, range(sent)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == pytest.approx(limit, abs=0.03 * limit)
    assert statuses.count(200) + statuses.count(429) == sent
    assert {int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status_code == 429} == {0}


def test_a_refusal_says_when_to_come_again(limited):
    [client] = limited(2)
    first, second, third = (client.get("/v1/traces") for _ in range(3))
    assert [answer.status_code for answer in (first, second, third)] == [200, 200, 429]
    assert [left(answer) for answer in (first, second, third)] == [(2, 1), (2, 0), (2, 0)]
    assert 1 <= int(third.headers["retry-after"]) <= 61
    error = third.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert (error["code"], error["request_id"]) == ("rate_limited", third.headers["x-request-id"])
    assert third.headers["cache-control"] == "no-store"
    head = client.head("/v1/traces")
    assert (head.status_code, head.content) == (429, b"")


def test_what_is_never_refused_is_not_counted(limited):
    [client] = limited(3)
    for _ in range(5):
        assert client.get("/health").status_code == 200
        assert client.post("/ingest/v1/traces", json=otlp(span())).status_code == 200
        assert client.post("/v1/traces", json=otlp(span())).status_code == 200
        assert client.post("/ingest/nowhere").status_code == 404
    answers = [client.get("/v1/traces") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    for answer in (client.get("/health"), client.post("/ingest/errors", json={"error_type": "A", "message": ""})):
        assert answer.status_code == 200
        assert set(HEADERS) <= set(answer.headers)


EVERY = [
    ("GET", "/", 200),
    ("GET", "/health", 200),
    ("GET", "/schema/openapi.json", 200),
    ("GET", "/v1/traces", 200),
    ("GET", "/v1/traces?limit=0", 400),
    ("GET", f"/v1/traces/{UNKNOWN_TRACE}", 404),
    ("GET", "/nowhere", 404),
    ("OPTIONS", "/v1/traces", 204),
    ("DELETE", "/v1/traces", 405),
    ("DELETE", "/ingest/errors", 405),
    ("POST", "/ingest/errors", 400),
    ("POST", "/ingest/v1/traces", 400),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERY)
def test_every_answer_tells_the_limit(project, method, path, status):
    answer = project.live.request(method, path, headers=JSON)
    assert answer.status_code == status
    assert left(answer)[0] == 1000
    assert [answer.headers.get_list(name) for name in HEADERS] == [[answer.headers[name]] for name in HEADERS]


def test_every_refusal_of_a_key_or_a_body_tells_the_limit(anonymous, project, server):
    with Client(server.url, "mtk_live_" + secrets.token_hex(38)) as unknown:
        answers = [
            (anonymous.get("/v1/traces"), 401),
            (unknown.get("/v1/traces"), 401),
            (anonymous.post("/ingest/errors"), 401),
            (project.ingest.get("/v1/traces"), 403),
            (project.ingest.post("/ingest/errors", content=bytes(LakeSettings().body_max_bytes + 1), headers=JSON), 413),
            (project.ingest.post("/ingest/v1/traces", headers={"Content-Type": PROTOBUF}, content=b"x"), 400),
        ]
    for answer, status in answers:
        assert answer.status_code == status
        assert left(answer)[0] == 1000


def test_a_limit_holds_for_one_key_and_not_for_its_project(limited, project):
    [one] = limited(1)
    assert [one.get("/v1/traces").status_code for _ in range(2)] == [200, 429]
    assert project.live.get("/v1/traces").status_code == 200
    [other] = limited(1, kind="test")
    assert other.get("/v1/traces").status_code == 200


def test_without_a_good_key_the_address_counts_and_nobody_is_believed_to_be_elsewhere(tmp_path):
    settings = {"TRACELAKE_RATE_LIMIT_PER_MINUTE": "20"}
    with running(tmp_path / "data", workers=2, settings=settings) as server, Client(server.url) as client:
        statuses = []
        for number in range(40):
            key = {"Authorization": f"Bearer mtk_live_{secrets.token_hex(38)}"} if number % 2 else {}
            elsewhere = {"X-Forwarded-For": f"10.0.0.{number}", "Forwarded": f"for=10.0.0.{number}", "X-Real-IP": "1.1.1.1"}
            statuses.append(client.get("/v1/traces", headers=key | elsewhere).status_code)
        assert statuses == [401] * 20 + [429] * 20
        assert client.get("/health").status_code == 200
        assert client.get("/v1/traces", headers=server.reading).status_code == 200, "a good key counts for itself"


def test_an_answer_to_a_fault_of_the_server_tells_the_limit(tmp_path):
    @get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError

    handlers: dict[Any, Any] = {Exception: problems.answer}
    app = Litestar([broken], exception_handlers=handlers, openapi_config=None, logging_config=None)

    async def ask(control, rates):
        transport = httpx.ASGITransport(cast("Any", with_headers(with_limits(app, control, rates, default_limit=7))))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get("/v1/broken")

    with Control(tmp_path) as control, closing(Rates(tmp_path)) as rates:
        answer = asyncio.run(ask(control, rates))
    assert answer.status_code == 500
    assert left(answer) == (7, 6)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        (None, ""),
    ],
)
def test_the_addresses_of_one_subscriber_are_one(host, name):
    assert address(cast("Any", {"client": (host, 4711) if host else None})) == name


def test_the_reset_is_a_whole_second_of_the_epoch_and_not_before_the_window():
    assert rate_headers(Decision(True, 1000, 997, 59.2), 1_710_503_940.5) == [
        (b"x-ratelimit-limit", b"1000"),
        (b"x-ratelimit-remaining", b"997"),
        (b"x-ratelimit-reset", b"1710504000"),
    ]

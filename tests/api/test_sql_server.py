"""`POST /v1/sql` where something is wrong with the machine, the server or the query."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from api.app import create_app, open_server
from api.settings import ServerSettings
from lake.control import FIRST_PROJECT
from lake.sandbox.parent import Sandbox
from tests.servers import PROC, wait_until

# of how the application is put together, for the next version of the framework; elsewhere other processes do that
pytestmark = pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")


def answer_of(data, body, *, sandbox=None, **settings):
    """The answer of an application of its own to one request with a live key."""

    async def story():
        server = open_server(ServerSettings(data=data, **settings), sandbox=sandbox)
        server.control.create_first_project()
        key = server.control.create_key(FIRST_PROJECT, "live").secret
        transport = httpx.ASGITransport(app=cast("Any", create_app(server)))  # two names for the types of ASGI
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
                return await client.post("/v1/sql", json=body, headers={"Authorization": f"Bearer {key}"})
        finally:
            server.sql.close()
            await server.tenants.close()
            server.rates.close()
            server.control.close()

    return asyncio.run(story())


ONE = {"query": "SELECT 1 AS one"}


def test_without_landlock_others_are_answered_503_with_what_to_do(tmp_path):
    answer = answer_of(tmp_path, ONE, host="0.0.0.0", sandbox=Sandbox(landlock_abi=0))
    assert answer.status_code == 503
    error = answer.json()["error"]
    assert error["code"] == "service_unavailable"
    assert "TRACELAKE_SQL_WITHOUT_LANDLOCK=1" in error["message"]


@pytest.mark.parametrize("settings", [{"host": "127.0.0.1"}, {"host": "0.0.0.0", "sql_without_landlock": True}])
def test_without_landlock_this_machine_is_answered_and_others_if_somebody_says_so(tmp_path, settings):
    answer = answer_of(tmp_path, ONE, sandbox=Sandbox(landlock_abi=0), **settings)
    assert answer.json()["data"] == [{"one": 1}]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(10000000) a, range(10000000) b",
        "SELECT list_reduce(range(30000000), lambda a, b: a + b + 1)",
    ],
    ids=["DuckDB ends it", "its process is killed"],
)
def test_what_takes_too_long_is_answered_503_with_retry_after(tmp_path, query):
    answer = answer_of(tmp_path, {"query": query}, sql_timeout_s=1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert "longer than 1 s" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) >= 1


def test_what_needs_too_much_memory_is_the_querys_fault(tmp_path):
    answer = answer_of(tmp_path, {"query": "SELECT repeat('x', 1000000000)"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_query"
    assert "memory" in answer.json()["error"]["message"]


def zygotes(server):
    """Processes that SQL is forked from, of the workers of a server."""
    found = []
    for place in PROC.iterdir():
        if place.name.isdigit():
            try:
                command = (place / "cmdline").read_bytes()
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"lake.sandbox.zygote" in command and parent in server.processes():
                found.append(int(place.name))
    return found


@pytest.mark.skipif(not PROC.exists(), reason="looks for processes in /proc")
def test_the_server_survives_the_end_of_the_process_that_sql_is_forked_from(server, project):
    def asked():
        # several, for each goes to one of the workers
        return [project.live.post("/v1/sql", json=ONE).status_code for _ in range(6)]

    assert asked() == [200] * 6
    killed = zygotes(server)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert asked() == [200] * 6
    assert project.live.get("/v1/traces").status_code == 200
    wait_until(lambda: not set(killed) & set(zygotes(server)), lambda: "a killed process is still there")


@pytest.mark.skipif(not PROC.exists(), reason="looks for processes in /proc")
def test_what_sql_is_forked_from_knows_nothing_of_the_server(server, project):
    assert project.live.post("/v1/sql", json=ONE).status_code == 200
    for pid in zygotes(server):
        assert b"TRACELAKE" not in Path(PROC / str(pid) / "environ").read_bytes()
        opened = [str(place.readlink()) for place in (PROC / str(pid) / "fd").iterdir()]
        assert not [path for path in opened if str(server.data) in path and not path.endswith(".log")]
        # its own socket to the server, and nothing that listens
        assert len([path for path in opened if path.startswith("socket:")]) <= 2

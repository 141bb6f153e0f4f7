"""Clients of a hostile server, with and without asyncio, that never really wait."""

import asyncio
from functools import partial

import pytest

from lake.client import Limits, connect, connect_async
from tests.lake.client.clocks import KEY, Waits
from tests.servers import running

LIMITS = Limits(timeout_s=30, max_retries=3)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real server."""
    with running(tmp_path_factory.mktemp("client") / "data", workers=1) as server:
        yield server


@pytest.fixture
def waits():
    """What the client of the test waited."""
    return Waits()


@pytest.fixture(params=["client", "async client"])
def ask(request, waits):
    """Makes one call of a server and gives its answer: `ask(url, "get_trace", trace_id)`; the same for both clients."""

    def ask(url, name, *args, limits=LIMITS, **kwargs):
        if request.param == "client":
            with connect(url, KEY, limits=limits, clock=waits.clock) as client:
                found = getattr(client, name)(*args, **kwargs)
                return list(found) if name.startswith("iter_") else found
        return asyncio.run(answer(url, name, *args, limits=limits, **kwargs))

    async def answer(url, name, *args, limits, **kwargs):
        async with connect_async(url, KEY, limits=limits, clock=waits.clock) as client:
            found = getattr(client, name)(*args, **kwargs)
            return [item async for item in found] if name.startswith("iter_") else await found

    return ask


@pytest.fixture
def list_page(ask):
    """Asks a server for one page of traces."""
    return partial(ask, name="list_traces")

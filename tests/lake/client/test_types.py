"""What a type checker knows of the calls: mypy checks it, and running it shows that it is so."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import pytest

import lake
from lake.client import Result, Snapshot
from lake.client.models.errors import ErrorGroup
from lake.client.models.paging import Page
from lake.client.models.traces import TraceSummary
from tests.servers import Server


def test_a_call_has_the_type_of_its_answer(server: Server) -> None:
    with lake.connect(server.url, server.live_key) as client:
        assert_type(client, lake.Client)
        rows = assert_type(client.sql("SELECT 1 AS one"), Result)
        assert isinstance(rows, Result)
        assert isinstance(assert_type(client.snapshot(), Snapshot), Snapshot)
        page = assert_type(client.list_traces(service="shop", limit=1), Page[TraceSummary])
        assert isinstance(page, Page)
        errors = assert_type(
            client.iter_errors(start_time=dt.datetime.now(dt.UTC) - dt.timedelta(days=1)), Iterator[ErrorGroup]
        )
        assert isinstance(errors, Iterator)
        assert isinstance(client.at(client.snapshot()).spans(service="nothing"), Result)


def test_a_coroutine_has_the_type_of_its_answer(server: Server) -> None:
    async def ask() -> None:
        async with lake.connect_async(server.url, server.live_key) as client:
            assert_type(client, lake.AsyncClient)
            assert isinstance(assert_type(await client.sql("SELECT 1 AS one"), Result), Result)
            assert isinstance(assert_type(await client.list_traces(), Page[TraceSummary]), Page)
            traces = assert_type(client.iter_traces(), AsyncIterator[TraceSummary])
            assert isinstance(traces, AsyncIterator)
            assert isinstance(await client.at(await client.snapshot()).deploys(service="nothing"), Result)

    asyncio.run(ask())


def test_a_wrong_argument_is_known_before_anything_runs(server: Server) -> None:
    with lake.connect(server.url, server.live_key) as client, pytest.raises(TypeError, match="servce"):
        client.list_traces(servce="shop")  # type: ignore[call-arg]

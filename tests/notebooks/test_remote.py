"""The first notebook and its questions, asked of a server instead of files."""

from __future__ import annotations

import datetime as dt

import pytest

import lake
from notebooks import bundled, session
from notebooks.session import NoLake
from tests.notebooks.notebooks import kinds, run
from tests.notebooks.shop import make_shop
from tests.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server on the lake of the shop."""
    server = Server(tmp_path_factory.mktemp("remote") / "data", workers=1)
    make_shop(server.lake)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def far(server):
    with lake.connect(server.url, server.live_key) as client:
        yield client


def test_every_question_has_the_same_answer_from_files_and_from_a_server(shop, far):
    look = session.largest_change(shop)
    assert session.largest_change(far) == look
    assert look is not None
    trace_id = session.slow_trace(shop, look)
    assert session.slow_trace(far, look) == trace_id
    for ask in (
        session.overview,
        session.services,
        session.recent_errors,
        lambda one: session.latency(one, look),
        lambda one: session.latency(one, None),
        lambda one: session.deploys(one, look),
        lambda one: session.trace(one, trace_id),
        lambda one: session.trace(one, None),
    ):
        here, there = ask(shop), ask(far)
        assert here.schema == there.schema
        assert here.equals(there)


def test_the_busiest_endpoint_is_found_where_no_deploy_changed_one(tmp_path):
    server = Server(tmp_path / "data", workers=1)
    make_shop(server.lake, minutes=10, deploys=False)
    server.start()
    try:
        server.wait_ready()
        with lake.open(server.lake) as near, lake.connect(server.url, server.live_key) as far:
            look = session.largest_change(far)
            assert look == session.largest_change(near)
            assert look is not None
            assert look.until - look.since == dt.timedelta(hours=3)
    finally:
        server.close()


def test_the_first_notebook_asks_the_server_that_the_environment_names(tmp_path, server, monkeypatch):
    monkeypatch.setenv("TRACELAKE_URL", server.url)
    monkeypatch.setenv("TRACELAKE_KEY", server.live_key)
    (path,) = bundled.copy_to(tmp_path / "notebooks")
    cells = run(path, tmp_path / "nowhere")
    assert [kinds(outputs) for outputs in cells] == [["execute_result"]] * 6
    assert "api-gateway" in cells[1][0]["data"]["text/html"]


def test_a_folder_that_is_named_is_opened_whatever_the_environment_says(shop_folder, monkeypatch):
    monkeypatch.setenv("TRACELAKE_URL", "http://127.0.0.1:1")
    opened = session.open_lake(shop_folder)
    assert isinstance(opened, lake.Lake)
    opened.close()


def test_a_key_that_is_none_is_a_sentence_in_the_notebook(server, monkeypatch):
    monkeypatch.setenv("TRACELAKE_URL", server.url)
    monkeypatch.setenv("TRACELAKE_KEY", "mtk_live_" + "0" * 32)
    with pytest.raises(NoLake, match=r"(?s)invalid_api_key.*TRACELAKE_URL.*TRACELAKE_KEY"):
        session.open_lake()
    monkeypatch.delenv("TRACELAKE_KEY")
    with pytest.raises(NoLake, match="the key is empty"):
        session.open_lake()

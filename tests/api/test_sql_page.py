"""docs/sql.md says what is true: its examples run, its limits are those of the code."""

import datetime as dt
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.sql import DEFAULT_LIMIT, MAX_LIMIT, TYPES
from api.sql_runner import AT_ONCE, WAITING
from lake.sandbox.check import QUERY_MAX_BYTES, TABLE_FUNCTIONS
from lake.sandbox.messages import Limits
from lake.schema import TABLES
from tests.api.clients import exception, new_trace_id, span

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shop(project):
    """A project with what the examples ask for."""
    project.ingest.store(
        span("GET /", ms=120.5, http_route="/", events=[exception("OutOfStock", "no tea")]), span(ms=80), service="checkout"
    )
    assert project.ingest.post("/ingest/deploys", json={"version": "v1", "deployed_at": "2026-01-01"}).is_success
    return project


def filled(server, project, text):
    key = project.live.headers["authorization"].removeprefix("Bearer ")
    return text.replace("http://localhost:3000", server.url).replace("<live key>", key)


def test_the_first_example_answers_as_the_page_shows(server, shop):
    (command,) = blocks("")[:1]
    assert command.startswith("curl ")
    done = subprocess.run(["bash", "-c", filled(server, shop, command)], capture_output=True, check=True)
    found, shown = json.loads(done.stdout), json.loads(blocks("json")[0])
    assert found.keys() == shown.keys()
    assert {name: found[name] for name in ("columns", "data", "truncated")} == {
        name: shown[name] for name in ("columns", "data", "truncated")
    }


@pytest.mark.parametrize("query", blocks("sql"))
def test_every_query_of_the_page_runs(shop, query):
    values = {"trace_id": new_trace_id(), "since": (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)).isoformat()}
    named = {name: value for name, value in values.items() if f"${name}" in query}
    answer = shop.live.post("/v1/sql", json={"query": query, "params": named})
    assert answer.status_code == 200, answer.text


def test_the_program_of_the_page_runs(server, shop):
    (program,) = blocks("python")
    names: dict[str, Any] = {}
    exec(filled(server, shop, program), names)  # noqa: S102 - our own page
    assert names["table"].num_rows == 2


@pytest.mark.parametrize("number", [DEFAULT_LIMIT, MAX_LIMIT, QUERY_MAX_BYTES])
def test_the_page_has_the_limits_of_the_code(number):
    assert f"{number:,}" in PAGE


def test_the_page_has_the_limits_of_a_query():
    limits = Limits()
    assert f"| time | {limits.timeout_s:g} s" in PAGE
    assert f"{limits.memory_mib} MiB for DuckDB, {limits.address_space_bytes // 2**30} GiB of address space" in PAGE
    assert f"{limits.max_bytes // 2**20} MiB" in PAGE
    assert f"{AT_ONCE} queries in each worker, 1 of each key; {WAITING} wait, at most {WAITING // 2} of one key" in PAGE


def test_the_page_has_every_view():
    section = PAGE.partition("\n## Views\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(TABLES)


def test_the_page_has_every_format_and_function_of_tables():
    assert all(f"`{media_type}`" in PAGE for media_type in TYPES.values())
    assert all(f"`{name}`" in PAGE for name in TABLE_FUNCTIONS)

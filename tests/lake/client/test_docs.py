"""docs/client.md says what is true: its examples run, and its tables are those of the code."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

import lake
from lake import client as remote
from lake.client import Client, Limits, RemoteLake
from tests.api.clients import otlp, span

PAGE = (Path(__file__).parents[3] / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def traces(server):
    """Some traces of the service that the examples ask about."""
    with lake.connect(server.url, server.ingest_key) as sender:
        spans = [span("POST /orders", ms=250, status=2) for _ in range(5)]
        sender.send_traces(msgspec.json.encode(otlp(*spans, service="checkout")), content_type="application/json")
    return spans


def test_the_examples_run_one_after_the_other(server, traces, capsys):
    names: dict[str, Any] = {}
    try:
        for example in EXAMPLES:
            code = example.replace("http://localhost:3000", server.url)
            code = code.replace("mtk_live_...", server.live_key).replace("proj_...", server.ingest_key)
            exec(compile(code, "docs/client.md", "exec"), names)  # noqa: S102 - the examples of our own page
    finally:
        names["shop"].close()
    printed = capsys.readouterr().out
    assert printed.count("POST /orders") == len(traces) + 1
    assert "not_found req_" in printed
    assert names["slow"].arrow().num_rows == 5
    assert len(EXAMPLES) > 5


def test_every_limit_is_in_the_page_with_its_default():
    for limit in fields(Limits):
        default = str(limit.default).removesuffix(".0")
        assert f"\n| `{limit.name}` | {default} |" in PAGE


def test_every_call_is_in_the_page():
    calls = {name for name in (*vars(Client), *vars(RemoteLake)) if not name.startswith("_")} - {"run", "url"}
    assert calls > {"list_traces", "sql"}
    assert {name for name in calls if f"`{name}`" not in PAGE and f"shop.{name}(" not in PAGE} == set()


def test_every_error_is_in_the_page():
    errors = {name for name in remote.__all__ if isinstance(getattr(remote, name), type)
              and issubclass(getattr(remote, name), lake.LakeError)}  # fmt: skip
    assert len(errors) > 8
    assert {name for name in errors if f"`{name}`" not in PAGE} == set()

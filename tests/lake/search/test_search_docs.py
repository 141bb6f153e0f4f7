"""docs/search.md is true: each query of it finds something in a small lake, and nothing of the language is missing."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from lake.search import parse
from lake.search.fields import INTRINSICS
from lake.search.tree import COMPARISONS, RELATIONS
from tests.lake.search.sent import MS, Attributes, Event, Link, Sent
from tests.lake.search.stores import stored
from tests.lake.spans import START

TEXT = Path(__file__).parents[3].joinpath("docs", "search.md").read_text(encoding="utf-8")
QUERIES = [line for block in re.findall(r"```tq\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]

GOLD: Attributes = {
    "customer.tier": "gold",
    "retries": 2,
    "cached": True,
    "odd key!": "x",
    "pause_ns": 2 * MS,
    "duration": "long",
}
SHOP = [
    Sent(1, 1, None, "GET /cart", "server", 0, 200 * MS, "error", "boom", {**GOLD, "http.response.status_code": 500},
         {"service.name": "api-gateway"}, ("asgi", "0.5"), {"short": "yes"},
         (Event("exception", MS, {"exception.type": "ValueError"}),), (Link(9, 9, {"why": "retry"}),)),
    Sent(1, 2, 1, "add", "client", MS, 150 * MS, "error", None, {**GOLD, "http.request.body.size": 4000, "copy": "add"},
         {"service.name": "cart"}),
    Sent(1, 3, 1, "charge", "server", 2 * MS, 2000 * MS, "ok", None, {}, {"service.name": "pay"}),
    Sent(1, 4, 2, "GET", "client", 3 * MS, MS, "unset", None, {"db.system.name": "redis"}, {"service.name": "cart"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with stored(tmp_path_factory.mktemp("docs") / "lake", [SHOP], "landing") as opened:
        yield opened


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_page_finds_something(opened, query):
    known = {"since": START, "until": START + dt.timedelta(minutes=1)}
    if parse(query).metric is None:
        assert opened.search(query, **known).rows()
    else:
        assert opened.search_metrics(query, **known, step_s=60).rows()


def test_every_field_has_an_example():
    names = {name for field, intrinsic in INTRINSICS.items() for name in (field, *intrinsic.aliases)}
    words = set(re.findall(r"[\w.:]+", "\n".join(QUERIES)))
    assert names <= words


def test_every_operator_and_function_has_an_example():
    grammar = Path(parse.__code__.co_filename).with_name("grammar.lark").read_text(encoding="utf-8")
    functions = set(re.findall(r"[a-z]+_over_time|rate|count|avg|min|max|sum|by|select|coalesce", grammar))
    functions |= {f"{name}_over_time" for name in ("min", "max", "avg", "sum", "histogram")}
    operators = {
        *COMPARISONS,
        *(f"{prefix}{op}" for op in RELATIONS for prefix in ("", "!", "&")),
        "IN",
        "BETWEEN",
        "NOT IN",
    }
    text = "\n".join(QUERIES)
    tokens = set(re.findall(r"[!&]?[<>=~]+", text))
    assert {op for op in operators if not op[0].isalpha()} <= tokens
    assert all(op.lower() in text.lower() for op in operators if op[0].isalpha())
    assert all(f"{name}(" in text for name in functions)

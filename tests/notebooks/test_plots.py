"""Charts show what the frames hold, and text from telemetry never becomes anything but text."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from notebooks import plots, session
from notebooks.render import MIME_TYPE, Note, Table, alt, shown, table
from notebooks.session import Look
from notebooks.waterfall import MAX_SPANS
from tests.notebooks.shop import DEPLOYED_AT, EARLIER_DEPLOY, HOSTILE, MINUTES, ORDERS_A_MINUTE, SPANS_A_TRACE, START

MINUTE = dt.timedelta(minutes=1)
LOOK = Look("orders", "POST /orders", START, START + MINUTES * MINUTE, DEPLOYED_AT)
HOSTILE_LOOK = Look(HOSTILE.service, f"POST {HOSTILE.route}", START, START + MINUTES * MINUTE, DEPLOYED_AT)
EXPRESSIONS = {"expr", "signal", "test", "filter", "calculate", "labelExpr", "href", "url"}
"""Keys of Vega-Lite whose text is evaluated, or followed."""


def bundle(chart: Any) -> dict[str, Any]:
    """What a notebook gets."""
    data, _ = chart._repr_mimebundle_()
    return dict(data)


def values(spec: dict[str, Any], *columns: str) -> list[tuple[Any, ...]]:
    """The distinct rows of the data set that has these columns."""
    found = next(rows for rows in spec["datasets"].values() if rows and set(columns) <= set(rows[0]))
    return list(dict.fromkeys(tuple(row[column] for column in columns) for row in found))


def marks(spec: dict[str, Any]) -> list[str]:
    return [node["mark"]["type"] for node in nodes(spec) if "mark" in node]


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a specification."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from nodes(inner)


@pytest.fixture(scope="module")
def latency(shop):
    return session.latency(shop, LOOK)


@pytest.fixture(scope="module")
def deploys(shop):
    return session.deploys(shop, LOOK)


@pytest.fixture(scope="module")
def trace(shop):
    return session.trace(shop, session.slow_trace(shop, LOOK))


@pytest.fixture(scope="module")
def latency_spec(latency, deploys):
    return bundle(plots.latency_by_minute(latency, deploys, str(LOOK)))[MIME_TYPE]


@pytest.fixture(scope="module")
def waterfall_spec(trace):
    return bundle(plots.waterfall(trace))[MIME_TYPE]


@pytest.fixture(scope="module", params=["latency", "waterfall"])
def hostile_spec(request, hostile):
    if request.param == "waterfall":
        return bundle(plots.waterfall(session.trace(hostile, session.slow_trace(hostile, HOSTILE_LOOK))))[MIME_TYPE]
    frames = session.latency(hostile, HOSTILE_LOOK), session.deploys(hostile, HOSTILE_LOOK)
    return bundle(plots.latency_by_minute(*frames, str(HOSTILE_LOOK)))[MIME_TYPE]


def test_a_chart_is_of_the_version_that_jupyterlab_draws(latency_spec, waterfall_spec):
    for spec in (latency_spec, waterfall_spec):
        assert spec["$schema"] == "https://vega.github.io/schema/vega-lite/v5.json"


def test_a_chart_has_no_html_that_would_load_a_script(latency, deploys):
    assert set(bundle(plots.latency_by_minute(latency, deploys))) == {MIME_TYPE, "text/plain"}


def test_charts_of_users_are_drawn_so_too():
    assert set(bundle(alt.Chart(pl.DataFrame({"a": [1]})).mark_point().encode(x="a"))) == {MIME_TYPE, "text/plain"}


def test_the_menu_of_a_chart_offers_no_other_site(latency, deploys):
    chart: Any = plots.latency_by_minute(latency, deploys)
    _, metadata = chart._repr_mimebundle_()
    assert metadata[MIME_TYPE]["embed_options"]["actions"]["editor"] is False


def test_both_percentiles_of_every_minute_are_drawn(latency, latency_spec):
    drawn = {(of, start): ms for start, of, ms in values(latency_spec, "start", "of", "ms")}
    assert len(drawn) == 2 * MINUTES
    for row in latency.iter_rows(named=True):
        start = f"{row['start']:%Y-%m-%dT%H:%M:%S.000Z}"
        assert (drawn["p50", start], drawn["p95", start]) == (row["p50_ms"], row["p95_ms"])


def test_a_minute_without_requests_is_a_gap_and_not_a_line(latency, deploys):
    hole = pl.col("start").is_between(START + 10 * MINUTE, START + 19 * MINUTE)
    spec = bundle(plots.latency_by_minute(latency.filter(~hole), deploys))[MIME_TYPE]
    drawn = values(spec, "start", "of", "ms")
    assert sum(ms is None for _, _, ms in drawn) == 20
    assert len(drawn) == 2 * MINUTES


def test_each_deploy_is_a_rule_with_a_label(latency_spec):
    assert values(latency_spec, "start", "label", "own") == [
        (f"{EARLIER_DEPLOY:%Y-%m-%dT%H:%M:%S.000Z}", "api-gateway v9", False),
        (f"{DEPLOYED_AT:%Y-%m-%dT%H:%M:%S.000Z}", "orders v2.4.0", True),
    ]
    assert marks(latency_spec).count("rule") == 2  # across both panels
    assert "text" in marks(latency_spec)


def test_a_deploy_outside_the_chart_does_not_widen_it(latency, deploys):
    early = latency.filter(pl.col("start") < EARLIER_DEPLOY)
    spec = bundle(plots.latency_by_minute(early, deploys))[MIME_TYPE]
    assert "rule" not in marks(spec)


def test_requests_are_stacked_on_those_that_failed(latency, latency_spec):
    bars = values(latency_spec, "of", "low", "high", "start")
    failed = {start: (low, high) for of, low, high, start in bars if of == "failed"}
    answered = {start: (low, high) for of, low, high, start in bars if of == "answered"}
    assert {low for low, _ in failed.values()} == {0}
    assert {high for _, high in answered.values()} == {ORDERS_A_MINUTE}
    assert all(answered[start][0] == high for start, (_, high) in failed.items())
    assert sum(high for _, high in failed.values()) == latency["errors"].sum() > 0


def test_times_are_drawn_in_utc_wherever_the_browser_is(latency_spec):
    scales = [n["encoding"]["x"]["scale"] for n in nodes(latency_spec) if "scale" in n.get("encoding", {}).get("x", {})]
    assert scales
    assert all(scale["type"] == "utc" for scale in scales)


@pytest.mark.parametrize(
    ("lefts", "widths", "lines"),
    [
        ([0, 200, 400], [100, 100, 100], [0, 0, 0]),
        ([0, 50, 60, 70, 120], [100, 100, 100, 100, 10], [0, 1, 2, None, 0]),
        ([], [], []),
    ],
)
def test_labels_of_deploys_do_not_cover_each_other(lefts, widths, lines):
    assert plots.free_lines(lefts, widths) == lines


def test_a_waterfall_has_a_bar_for_each_span_in_the_order_of_calls(waterfall_spec):
    rows = values(waterfall_spec, "row", "label", "indent")
    assert [label for _, label, _ in sorted(rows)] == [
        "api-gateway · POST /orders", "POST /orders", "orders · POST /orders", "SELECT stock", "SELECT stock",
        "mail · send mail",
    ]  # fmt: skip
    assert [indent for _, _, indent in sorted(rows)] == [0, 12, 24, 36, 36, 36]


def test_a_bar_is_where_its_span_was(trace, waterfall_spec):
    begin = trace["start_time"].min()
    slowest = trace.filter(name="SELECT stock").sort("duration_ns")[-1]
    offset, end, duration = values(waterfall_spec, "offset_ms", "end_ms", "duration_ms")[4]
    assert duration == slowest["duration_ns"][0] / 1e6
    assert offset == pytest.approx((slowest["start_time"][0] - begin) / dt.timedelta(milliseconds=1), abs=0.001)
    assert end == pytest.approx(offset + duration)


def test_the_title_of_a_waterfall_says_how_long_and_which(trace, waterfall_spec):
    assert waterfall_spec["title"]["text"] == "POST /orders"
    facts = waterfall_spec["title"]["subtitle"]
    assert f"{SPANS_A_TRACE} spans" in facts
    assert "3 services" in facts
    assert trace["trace_id"][0] in facts


def test_a_span_that_failed_has_a_mark_beside_its_colour(shop):
    failed = shop.sql("SELECT trace_id FROM spans WHERE status = 'error' ORDER BY start_time LIMIT 1").rows()
    spec = bundle(plots.waterfall(session.trace(shop, failed[0]["trace_id"])))[MIME_TYPE]
    rows = values(spec, "failed", "lasts", "outcome")
    assert [(lasts[:2], outcome) for is_failed, lasts, outcome in rows if is_failed] == [("✕ ", "error: no item 7 left")]
    assert not any("✕" in lasts for is_failed, lasts, _ in rows if not is_failed)
    assert "1 failed (✕)" in spec["title"]["subtitle"]


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [(0, "0 µs"), (994_000, "994 µs"), (995_000, "1.0 ms"), (99_940_000, "99.9 ms"), (99_950_000, "100 ms"),
     (9_999_000_000, "9999 ms"), (9_999_600_000, "10.0 s"), (3_600_000_000_000, "3600.0 s")],
)  # fmt: skip
def test_a_duration_has_the_unit_to_read_it_in(trace, duration_ns, text):
    one = trace.head(1).with_columns(duration_ns=pl.lit(duration_ns, pl.Int64))
    assert values(bundle(plots.waterfall(one))[MIME_TYPE], "lasts") == [(text,)]


def test_a_very_short_span_still_has_a_bar_to_see(trace):
    instant = pl.when(name="send mail").then(0).otherwise("duration_ns")
    spec = bundle(plots.waterfall(trace.with_columns(duration_ns=instant)))[MIME_TYPE]
    widths = [end - offset for offset, end in values(spec, "offset_ms", "end_ms")]
    assert min(widths) > 0


def test_a_large_trace_is_cut_and_says_so(trace):
    many = pl.concat(
        [trace.with_columns(span_id=pl.col("span_id") + str(i), parent_span_id=pl.col("parent_span_id") + str(i))
         for i in range(50)]
    )  # fmt: skip
    spec = bundle(plots.waterfall(many))[MIME_TYPE]
    assert len(values(spec, "row")) == MAX_SPANS
    assert f"300 spans, of which {MAX_SPANS} are drawn" in spec["title"]["subtitle"]


def test_many_services_all_have_a_colour(trace):
    many = trace.with_columns(service_name=pl.format("service {}", pl.int_range(pl.len())))
    colour = next(
        n["encoding"]["color"] for n in nodes(bundle(plots.waterfall(many))[MIME_TYPE])
        if n.get("encoding", {}).get("color", {}).get("field") == "service"
    )  # fmt: skip
    assert len(colour["scale"]["range"]) == len(colour["scale"]["domain"]) == SPANS_A_TRACE


def test_without_data_there_is_a_sentence(empty):
    for nothing in (
        plots.latency_by_minute(session.latency(empty, None), session.deploys(empty, None)),
        plots.waterfall(session.trace(empty, None)),
        table(session.services(empty), empty="No spans yet."),
    ):
        assert isinstance(nothing, Note)
        assert repr(nothing).endswith(".")
        assert repr(nothing) in nothing._repr_html_()


def test_text_from_telemetry_is_in_no_expression_and_no_address(hostile_spec):
    suspicious = [word for word in ("__pwned", "javascript:", "script>", "7*7") if word in json.dumps(hostile_spec)]
    assert suspicious  # it is there, as data
    evaluated = [value for node in nodes(hostile_spec) for key, value in node.items() if key in EXPRESSIONS]
    assert evaluated
    assert not [word for word in suspicious if word in json.dumps(evaluated)]


def test_a_table_escapes_what_it_shows(hostile):
    html = table(session.recent_errors(hostile))._repr_html_()
    assert "&lt;img src=x onerror=window.__pwned=7&gt;" in html
    for name in dataclasses.astuple(HOSTILE):
        assert not name.startswith("<") or name not in html


def test_a_sentence_escapes_what_it_says():
    assert "<b>" not in Note("<b>")._repr_html_()


def test_a_table_keeps_names_from_becoming_formulas(shop):
    html = table(session.services(shop))._repr_html_()
    assert html.startswith('<table class="tex2jax_ignore mathjax_ignore">')


def test_a_long_table_says_how_much_is_left_out():
    html = Table(pl.DataFrame({"n": range(1234)}))._repr_html_()
    assert html.count("<tr>") == 51
    assert "and 1,184 more rows" in html


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (1234567, "1,234,567"), (1234.56, "1,234.6"), (True, "True"), ("x" * 400, "x" * 299 + "…"),
     (dt.datetime(2026, 11, 23, 10, 0, 5, 999, tzinfo=dt.timezone(dt.timedelta(hours=1))), "2026-11-23 09:00:05")],
)  # fmt: skip
def test_a_value_is_shown_to_be_read(value, text):
    assert shown(value) == text

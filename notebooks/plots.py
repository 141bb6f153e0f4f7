"""Plots: frames as charts.

Takes   frames as `notebooks.session` gives them.
Gives   Altair charts that JupyterLab draws without a network; a `Note` where there is nothing to draw.
Refuses nothing. Importing this module sets the renderer and theme of `notebooks.render` for every Altair chart.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from . import render
from .render import BLUE, FAILED, GREY, MUTED, ORANGE, PIXELS_A_LETTER, TEXT, WIDTH, Note, alt, clipped, in_utc, plain
from .waterfall import waterfall

__all__ = ["latency_by_minute", "waterfall"]

render.use()

_LABEL_LINES = 3
"""Lines above the plot that labels of deploys take turns on."""
_LABEL_HEIGHT = 14
_CLOCK = "utcFormat(datum.value, utchours(datum.value) + utcminutes(datum.value) == 0 ? '%b %d' : '%H:%M')"


def latency_by_minute(latency: pl.DataFrame, deploys: pl.DataFrame, title: str = "Latency") -> alt.VConcatChart | Note:
    """p50 and p95 over time above the number of requests, with the deploys as rules across both.

    Args:
        latency: `session.latency`.
        deploys: `session.deploys`.
    """
    if latency.is_empty():
        return Note("No requests in this time, so there is no latency to draw.")
    steps = _steps(in_utc(latency))
    marks = _marks(in_utc(deploys), steps)
    x = alt.X("start:T", title=None, scale=alt.Scale(type="utc", nice=False))
    above = x.axis(labels=False, ticks=False, grid=False)
    below = x.axis(labelExpr=_CLOCK, tickCount=8, grid=False)
    legend = alt.Legend(title=None, orient="top", offset=_LABEL_HEIGHT * (marks["line"].drop_nulls().n_unique() + 0.5))
    upper = alt.layer(*_percentiles(steps, above, legend), *_rules(marks, above), *_labels(marks, above))
    lower = alt.layer(_requests(steps, below), *_rules(marks, below))
    chart: alt.VConcatChart = alt.vconcat(
        upper.properties(width=WIDTH, height=220),
        lower.properties(width=WIDTH, height=56),
        spacing=8,
        title=_title(steps, title),
        description=f"Latency by minute. {title}",
    ).resolve_scale(color="independent")
    return chart


def _steps(latency: pl.DataFrame) -> pl.DataFrame:
    """All steps from the first to the last, those without a request too: a line must not run on where nothing was."""
    step = dt.timedelta(minutes=latency["step_minutes"][0])
    first, last = latency["start"][0], latency["start"][-1]
    every = pl.select(start=pl.datetime_range(first, last, step, time_zone="UTC"))
    return every.join(latency, on="start", how="left").with_columns(
        pl.col("requests", "errors").fill_null(0),
        until=pl.col("start") + step,
        minute=pl.col("start").dt.strftime("%Y-%m-%d %H:%M UTC"),
    )


def _marks(deploys: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """The deploys inside the chart, each with its label and where that stands; `line` is null if there is no room."""
    begin, end = steps["start"][0], steps["until"][-1]
    inside = deploys.filter(pl.col("deployed_at").is_between(begin, end, closed="left")).sort("deployed_at")
    label = pl.concat_str(clipped(pl.col("service"), 24), clipped(pl.col("version"), 20), separator=" ").str.strip_chars()
    at = (pl.col("deployed_at") - begin) / (end - begin) * WIDTH
    marks = inside.select(
        "service", "version", "own", start="deployed_at", label=label,
        minute=pl.col("deployed_at").dt.strftime("%Y-%m-%d %H:%M:%S UTC"),
        side=pl.when(at < 0.8 * WIDTH).then(pl.lit("left")).otherwise(pl.lit("right")),
        left=at - pl.when(at < 0.8 * WIDTH).then(0).otherwise(label.str.len_chars() * PIXELS_A_LETTER),
        width=label.str.len_chars() * PIXELS_A_LETTER,
    )  # fmt: skip
    return marks.with_columns(line=pl.Series(free_lines(marks["left"].to_list(), marks["width"].to_list()), dtype=pl.Int64))


def free_lines(lefts: list[float], widths: list[float]) -> list[int | None]:
    """The lowest line for each label where it covers no earlier one, None if there is none.

    Args:
        lefts: left edges in pixels.
        widths: in pixels.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_LABEL_LINES)]
    lines: list[int | None] = []
    for left, width in zip(lefts, widths, strict=True):
        free = (n for n, spans in enumerate(taken) if all(left > b or left + width < a for a, b in spans))
        line = next(free, None)
        if line is not None:
            taken[line].append((left, left + width))
        lines.append(line)
    return lines


_STEP = [
    alt.Tooltip("minute:N", title="from"),
    alt.Tooltip("p95_ms:Q", title="p95 ms", format=",.1f"),
    alt.Tooltip("p50_ms:Q", title="p50 ms", format=",.1f"),
    alt.Tooltip("requests:Q", format=","),
    alt.Tooltip("errors:Q", title="failed", format=","),
]


def _percentiles(steps: pl.DataFrame, x: alt.X, legend: alt.Legend) -> list[alt.Chart]:
    """Two lines, and over them a column for each step that answers the pointer."""
    long = steps.select("start", p50="p50_ms", p95="p95_ms").unpivot(index="start", variable_name="of", value_name="ms")
    y = alt.Y("ms:Q", title="ms", axis=alt.Axis(tickCount=5, domain=False, ticks=False))
    lines = (
        alt.Chart(plain(long))
        .mark_line(strokeWidth=2, strokeJoin="round", point=alt.OverlayMarkDef(size=12))
        .encode(x, y, alt.Color("of:N", scale=alt.Scale(domain=["p95", "p50"], range=[ORANGE, BLUE]), legend=legend))
    )
    hover = alt.selection_point(on="pointerover", clear="pointerout", empty=False)
    columns = (
        alt.Chart(plain(steps))
        .mark_bar(color=MUTED)
        .encode(
            x,
            x2="until:T",
            y=alt.value(0),
            y2=alt.value("height"),
            fillOpacity=alt.condition(hover, alt.value(0.12), alt.value(0)),
            tooltip=_STEP,
        )
        .add_params(hover)
    )
    return [lines, columns]


def _requests(steps: pl.DataFrame, x: alt.X) -> alt.Chart:
    """Requests in each step, those that failed at the bottom."""
    bars = pl.concat(
        [
            steps.with_columns(of=pl.lit("failed"), low=pl.lit(0, pl.Int64), high="errors"),
            steps.with_columns(of=pl.lit("answered"), low="errors", high="requests"),
        ]
    )
    y = alt.Y("low:Q", title="requests", axis=alt.Axis(tickCount=2, grid=False, domain=False, ticks=False))
    colour = alt.Color("of:N", scale=alt.Scale(domain=["failed", "answered"], range=[FAILED, GREY]), legend=None)
    chart: alt.Chart = (
        alt.Chart(plain(bars)).mark_bar(opacity=0.7).encode(x, y, colour, x2="until:T", y2="high:Q", tooltip=_STEP)
    )
    return chart


_DEPLOY = [alt.Tooltip("minute:N", title="deployed"), alt.Tooltip("service:N"), alt.Tooltip("version:N")]


def _rules(marks: pl.DataFrame, x: alt.X) -> list[alt.Chart]:
    """A rule for each deploy: whole for the service looked at, dashed for the others."""
    dash = alt.condition("datum.own", alt.value([1, 0]), alt.value([4, 4]))
    rules = alt.Chart(plain(marks)).mark_rule(color=TEXT, strokeWidth=1.2).encode(x, strokeDash=dash, tooltip=_DEPLOY)
    return [] if marks.is_empty() else [rules]


def _labels(marks: pl.DataFrame, x: alt.X) -> list[alt.Chart]:
    """What was deployed, above the plot; late ones to the left of their rule, where there is room."""
    return [
        alt.Chart(plain(some))
        .mark_text(align=side, baseline="bottom")
        .encode(x, y=alt.value(-4 - _LABEL_HEIGHT * line), text="label:N", tooltip=_DEPLOY)
        for (line, side), some in marks.drop_nulls("line").group_by("line", "side", maintain_order=True)
    ]


def _title(steps: pl.DataFrame, title: str) -> alt.TitleParams:
    step = steps["until"][0] - steps["start"][0]
    every = "minute" if step == dt.timedelta(minutes=1) else f"{step // dt.timedelta(minutes=1)} minutes"
    what = f"p50 and p95 of the requests of each {every}; below, how many they are, failed ones in red"
    return alt.TitleParams(title, subtitle=f"{what}. {steps['start'][0]:%Y-%m-%d}, UTC", limit=WIDTH)

"""Waterfall: one trace as a chart, what called what, when and for how long.

Takes   the rows of one trace, as `Lake.trace` gives them.
Gives   an Altair chart: names as deep as their calls, bars in the colour of their service, durations.
Refuses nothing.
"""

from __future__ import annotations

import polars as pl

from .render import FAILED, PIXELS_A_LETTER, SERVICES, TEXT, WIDTH, Note, alt, clipped, plain, shown
from .tree import in_order, start_ns

MAX_SPANS = 100
"""Spans that are drawn at most."""

_ROW = 20
_NAMES, _BARS, _TIMES, _GAP = 270, 386, 58, 8  # pixels; together `WIDTH`
_VISIBLE = 1.5
"""Pixels of the shortest bar."""
_INDENT, _MAX_INDENT = 12, 144


def waterfall(trace: pl.DataFrame, title: str = "") -> alt.HConcatChart | Note:
    """One trace as a waterfall.

    Args:
        trace: `session.trace`, or the frame of `Lake.trace`.
        title: by default the name of the first span.
    """
    if trace.is_empty():
        return Note("No trace to draw.")
    spans = _drawn(trace)
    rows = alt.Chart(plain(spans)).encode(
        y=alt.Y("row:O", axis=None, scale=alt.Scale(type="band", paddingInner=0.3, paddingOuter=0.15)), tooltip=_TOOLTIP
    )
    panels = (_names(rows), _bars(rows, spans), _times(rows))
    height = _ROW * spans.height
    return alt.hconcat(
        *(
            panel.properties(width=width, height=height)
            for panel, width in zip(panels, (_NAMES, _BARS, _TIMES), strict=True)
        ),
        spacing=_GAP,
        title=_title(trace, spans, title),
        description=f"Waterfall of a trace. {title}",
    )


_TOOLTIP = [
    alt.Tooltip("service:N"),
    alt.Tooltip("name:N"),
    alt.Tooltip("kind:N"),
    alt.Tooltip("offset_ms:Q", title="starts at ms", format=",.2f"),
    alt.Tooltip("duration_ms:Q", title="takes ms", format=",.2f"),
    alt.Tooltip("outcome:N"),
    alt.Tooltip("detail:N"),
]


def _drawn(trace: pl.DataFrame) -> pl.DataFrame:
    """The rows of the chart, from top to bottom."""
    begin_ns, whole_ns = _extent(trace)
    spans = in_order(trace.with_columns(pl.col("service_name").fill_null("(no service)")), MAX_SPANS)
    caller = pl.col("service_name").gather(pl.col("caller"))
    indent = (pl.col("depth") * _INDENT).clip(upper_bound=_MAX_INDENT)
    own = pl.when(caller.eq_missing(pl.col("service_name"))).then("name")
    label = own.otherwise(pl.concat_str("service_name", "name", separator=" · "))
    offset_ms = pl.Series((start_ns(spans) - begin_ns) / 1e6)
    return spans.select(
        "kind",
        row=pl.int_range(pl.len()),
        service=clipped(pl.col("service_name"), 60),
        name=clipped(pl.col("name"), 120),
        indent=indent,
        label=clipped(label, (_NAMES - indent) // PIXELS_A_LETTER),
        offset_ms=offset_ms,
        end_ms=offset_ms + (pl.col("duration_ns") / 1e6).clip(lower_bound=whole_ns / 1e6 * _VISIBLE / _BARS),
        duration_ms=pl.col("duration_ns") / 1e6,
        lasts=pl.concat_str(pl.when(status="error").then(pl.lit("✕ ")).otherwise(pl.lit("")), _duration()),
        failed=pl.col("status") == "error",
        outcome=clipped(pl.concat_str("status", "status_message", separator=": ", ignore_nulls=True), 200),
        detail=clipped(pl.coalesce("db_statement", "url_path", "http_route", "messaging_destination"), 300),
    )


def _extent(trace: pl.DataFrame) -> tuple[int, int]:
    """When the trace starts, in nanoseconds since the Unix epoch, and how long it takes to its last end."""
    starts = start_ns(trace)
    begin = int(starts.min())
    return begin, int((starts + trace["duration_ns"].to_numpy()).max()) - begin


def _duration() -> pl.Expr:
    """`duration_ns` as text: three digits, whatever the unit."""
    ms = pl.col("duration_ns") / 1e6
    return (
        pl.when(ms >= 9999.5).then(pl.format("{} s", (ms / 1000).round(1)))
        .when(ms >= 99.95).then(pl.format("{} ms", ms.round(0).cast(pl.Int64)))
        .when(ms >= 0.995).then(pl.format("{} ms", ms.round(1)))
        .otherwise(pl.format("{} µs", (ms * 1000).round(0).cast(pl.Int64)))
    )  # fmt: skip


def _names(rows: alt.Chart) -> alt.Chart:
    x = alt.X("indent:Q", axis=None, scale=alt.Scale(domain=[0, _NAMES], nice=False))
    names: alt.Chart = rows.mark_text(align="left", limit=_NAMES).encode(x, text="label:N")
    return names


def _bars(rows: alt.Chart, spans: pl.DataFrame) -> alt.Chart:
    services = spans["service"].unique(maintain_order=True).to_list()
    scale = alt.Scale(domain=services, range=[SERVICES[i % len(SERVICES)] for i in range(len(services))])
    legend = alt.Legend(title=None, orient="top", columns=6, labelLimit=160, symbolType="square")
    axis = alt.Axis(orient="top", tickCount=5, domain=False, ticks=False, labelExpr="datum.label + ' ms'")
    bars: alt.Chart = rows.mark_bar(cornerRadius=1).encode(
        x=alt.X("offset_ms:Q", title=None, axis=axis, scale=alt.Scale(nice=False)),
        x2="end_ms:Q",
        color=alt.Color("service:N", scale=scale, legend=legend),
    )
    return bars


def _times(rows: alt.Chart) -> alt.Chart:
    colour = alt.condition("datum.failed", alt.value(FAILED), alt.value(TEXT))
    times: alt.Chart = rows.mark_text(align="right").encode(x=alt.value(_TIMES), text="lasts:N", color=colour)
    return times


def _title(trace: pl.DataFrame, spans: pl.DataFrame, title: str) -> alt.TitleParams:
    _, whole_ns = _extent(trace)
    failed = trace.filter(status="error").height
    facts = [
        f"{whole_ns / 1e6:,.1f} ms",
        f"{trace.height:,} spans" + (f", of which {spans.height} are drawn" if spans.height < trace.height else ""),
        f"{trace['service_name'].n_unique()} services",
        f"{failed} failed (✕)" if failed else "none failed",
        f"trace {trace['trace_id'][0]}",
        f"{shown(trace['start_time'].min())} UTC",
    ]
    return alt.TitleParams(title or spans["name"][0], subtitle=" · ".join(facts), limit=WIDTH)

"""Report table: the rows of a deploy report, judged together.

Takes   what was measured of each endpoint.
Gives   a frame with q-values and verdicts, worst first.
Refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import polars.selectors as cs

from .endpoint_report import Measured
from .sequential import level_of
from .verdicts import ALPHA, JUDGED, Finding, Verdict, q_values, verdict
from .windows import Windows

GRAVITY: tuple[Verdict, ...] = ("regressed", "suspect", "improved", "inconclusive", "no evidence", "insufficient data")


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one endpoint, before it is judged with the others."""

    service: str
    endpoint: str
    measured: Measured
    windows: Windows
    overlaps: tuple[str, ...]
    """Ids of other deploys that could explain a change."""
    well_founded: bool
    """Controls and history were there, and no other deploy that could explain a change."""


def judged(rows: list[Row]) -> pl.DataFrame:
    """The table of a report."""
    p_values = [_at_level(row) if row.measured.metric in JUDGED and row.measured.enough else np.nan for row in rows]
    table = [_columns(row, float(q)) for row, q in zip(rows, q_values(p_values), strict=True)]
    gravity = {one: place for place, one in enumerate(GRAVITY)}
    found = pl.DataFrame(table, schema=COLUMNS, orient="row").with_columns(cs.float().fill_nan(None))
    order = found["verdict"].replace_strict(gravity, return_dtype=pl.Int64)
    return found.sort(order, "p_value", "service", "endpoint", "metric", nulls_last=True)


def _at_level(row: Row) -> float:
    """The p-value, made larger at a look before the end by as much as the level of that look is lower."""
    p_value, look = row.measured.support.p_value, row.windows.look_min
    if look is None:
        return p_value
    return min(1.0, p_value * ALPHA / level_of(look, row.windows.width_min)) if look else float("nan")


def _columns(row: Row, q: float) -> dict[str, object]:
    one = row.measured
    finding = Finding(one.metric, one.before_mixed, one.ratio, one.low, one.high, q, one.enough, row.well_founded)
    percent = {
        "diff_pct": one.ratio, "ci_low_pct": one.low, "ci_high_pct": one.high, "detectable_pct": one.detectable,
        "diff_raw_pct": one.after / one.before if one.before else float("nan"),
        "warm_up_pct": one.warm_up,
    }  # fmt: skip
    return {
        "service": row.service, "endpoint": row.endpoint, "metric": one.metric, "verdict": verdict(finding),
        "unit": "share" if one.metric == "errors" else "ms",
        "before": one.before, "before_mixed": one.before_mixed, "after": one.after,
        **{name: None if value is None else (value - 1) * 100 for name, value in percent.items()},
        "p_slower": one.support.p_higher, "p_value": one.support.p_value, "q_value": q,
        "n_before": one.requests[0], "n_after": one.requests[1], "mix_distance": one.mix_distance,
        "n_controls": one.support.controls, "n_placebo_days": one.support.days, "mode": one.mode,
        "overlaps": list(row.overlaps),
        "before_from_min": row.windows.before[0], "after_from_min": row.windows.after[0],
        "after_until_min": row.windows.after[1],
    }  # fmt: skip


COLUMNS: dict[str, type[pl.DataType] | pl.DataType] = {
        "service": pl.String, "endpoint": pl.String, "metric": pl.String, "verdict": pl.String, "unit": pl.String,
        "before": pl.Float64, "before_mixed": pl.Float64, "after": pl.Float64,
        "diff_pct": pl.Float64, "ci_low_pct": pl.Float64, "ci_high_pct": pl.Float64, "detectable_pct": pl.Float64,
        "diff_raw_pct": pl.Float64, "warm_up_pct": pl.Float64,
        "p_slower": pl.Float64, "p_value": pl.Float64, "q_value": pl.Float64,
        "n_before": pl.Int64, "n_after": pl.Int64, "mix_distance": pl.Float64,
        "n_controls": pl.Int64, "n_placebo_days": pl.Int64, "mode": pl.String, "overlaps": pl.List(pl.String),
        "before_from_min": pl.Int64, "after_from_min": pl.Int64, "after_until_min": pl.Int64,
}  # fmt: skip
"""Columns of a report; percentages are of the value before in the mix of the requests after."""

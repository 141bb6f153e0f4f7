"""Decomposition: which calls made an endpoint slower, and whether they became slower or more.

Takes   critical paths of requests before and after, and what each span on them is.
Gives   one row per part (service and operation) whose changes add up to the change of the mean duration, to a nanosecond.
Refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from .critical_path import Steps, Tree, critical_paths

PART = ("service_name", "operation")


@dataclass(frozen=True, slots=True)
class Decomposition:
    """How the mean duration of an endpoint changed."""

    before_ns: float
    after_ns: float
    parts: pl.DataFrame
    """service_name, operation, change_ns = slower_ns + calls_ns, the largest change first; calls_before, calls_after (per
    request, on critical paths), own_before_ns, own_after_ns (per call)."""


def steps_of(spans: pl.DataFrame, is_request: pl.Series) -> pl.DataFrame:
    """The critical paths of some requests as rows: request (place of its span), service_name, operation, own_ns.

    Args:
        spans: trace_id, span_id, parent_span_id, start_ns, duration_ns, service_name, operation; each span once.
        is_request: which of them are the requests.
    """
    steps: Steps = critical_paths(Tree.of(spans), is_request.arg_true().to_numpy().astype("int64"))
    parts = spans.select(PART)[steps.span]
    return parts.with_columns(pl.Series("request", steps.request), pl.Series("own_ns", steps.own_ns))


def decomposed(before: pl.DataFrame, after: pl.DataFrame) -> Decomposition:
    """Split the change of the mean duration by part.

    A part takes n calls of s nanoseconds per request. The change of n * s is n * ds + s * dn, with the means of n and s
    before and after: the decomposition of Kitagawa, "Components of a difference between two rates", JASA 50 (1955), which
    leaves no remainder. A part that is on one side only has changed its calls alone.

    Args:
        before: of `steps_of`, at least one request.
        after: the same.
    """
    sides = [_per_request(steps, name) for steps, name in ((before, "before"), (after, "after"))]
    both = sides[0].join(sides[1], on=list(PART), how="full", coalesce=True, nulls_equal=True)
    both = both.with_columns(pl.col("calls_before", "calls_after").fill_null(0))
    both = both.with_columns(
        pl.col("own_before_ns").fill_null(pl.col("own_after_ns")), pl.col("own_after_ns").fill_null(pl.col("own_before_ns"))
    )
    calls, own = (pl.col(f"{name}_after{ns}") - pl.col(f"{name}_before{ns}") for name, ns in (("calls", ""), ("own", "_ns")))
    mean_calls = (pl.col("calls_after") + pl.col("calls_before")) / 2
    mean_own = (pl.col("own_after_ns") + pl.col("own_before_ns")) / 2
    parts = both.with_columns((mean_calls * own).alias("slower_ns"), (mean_own * calls).alias("calls_ns"))
    parts = parts.with_columns((pl.col("slower_ns") + pl.col("calls_ns")).alias("change_ns"))
    columns = (*PART, "change_ns", "slower_ns", "calls_ns", "calls_before", "calls_after", "own_before_ns", "own_after_ns")
    largest = pl.col("change_ns").abs()
    return Decomposition(
        _mean_ns(before), _mean_ns(after), parts.sort(largest, *PART, descending=[True, False, False]).select(columns)
    )


def _mean_ns(steps: pl.DataFrame) -> float:
    return int(steps["own_ns"].sum()) / steps["request"].n_unique()


def _per_request(steps: pl.DataFrame, side: str) -> pl.DataFrame:
    """Calls per request, and own time per call, of each part."""
    return steps.group_by(PART).agg(
        (pl.len() / steps["request"].n_unique()).alias(f"calls_{side}"),
        pl.col("own_ns").mean().alias(f"own_{side}_ns"),
    )

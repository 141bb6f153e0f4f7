"""Suspects: which service is behind a change that many of them feel.

Takes   spans of some windows of time, one of them in question and the others quiet.
Gives   the services, the most suspected first, with what speaks against each.
Refuses nothing; what has too few spans to say something says nothing.

A slow service slows all that wait for it, so durations point at the top of the call graph. What a service does itself
is told by self times, and a call is two things: the server's self time, and the rest of the client's, which is the way
there and back and the wait before the server begins. That rest belongs to both ends. A service in trouble moves nearly
all that is its own, and its neighbours only where they meet it: so each service has one test of all that it has a part
in. Code that takes another way shows in the calls it makes: those of one operation are compared with those of its quiet
times.
"""

from __future__ import annotations

import polars as pl

from .critical_path import Tree, self_times

OPERATION = ("service_name", "callee", "operation")
"""What timings are of; `callee` is another service that a span is a call to, else empty."""

MIN_SPANS, MIN_QUIET_SPANS = 5, 20
"""In the window in question, and in a quiet one."""

RESOLUTION_NS = 10_000
"""Added to self times before their logarithm is taken: below that they are the clock's."""

LARGEST_Z = 8.0
"""A timing counts as no more than this, or one operation would speak for all."""


def timings(spans: pl.DataFrame) -> pl.DataFrame:
    """The logarithms of the self times of each operation in each window.

    Args:
        spans: trace_id, span_id, parent_span_id, start_ns, duration_ns, service_name, operation, window; each span once.

    Returns:
        `OPERATION`, window, count, mean, variance.
    """
    tree = Tree.of(spans)
    own_ns = pl.Series("own_ns", self_times(tree)).clip(0)
    calls = spans.select("service_name").with_columns(pl.Series("parent", tree.parent)).filter(pl.col("parent") >= 0)
    calls = calls.with_columns(spans["service_name"][calls["parent"]].alias("caller"))
    called = calls.filter(pl.col("caller") != pl.col("service_name")).group_by("parent").agg(
        pl.col("service_name").first().alias("callee")
    )  # fmt: skip
    rows = spans.with_row_index("parent").with_columns(pl.col("parent").cast(pl.Int64), (own_ns + RESOLUTION_NS).log())
    rows = rows.join(called, on="parent", how="left", maintain_order="left").with_columns(pl.col("callee").fill_null(""))
    return rows.group_by(*OPERATION, "window").agg(
        pl.len().alias("count"), pl.col("own_ns").mean().alias("mean"), pl.col("own_ns").var(ddof=0).alias("variance")
    )


def calls_made(spans: pl.DataFrame) -> pl.DataFrame:
    """How many calls an operation makes, by what it calls, in each window.

    Args:
        spans: as of `timings`.

    Returns:
        service_name, operation, child (service and operation), window, count (of the operation), mean, variance.
    """
    operation = ["service_name", "operation"]
    parents = spans.select("trace_id", "span_id", *operation, "window")
    children = spans.select(
        "trace_id",
        pl.col("parent_span_id").alias("span_id"),
        pl.concat_str("service_name", "operation", separator=" ").alias("child"),
    )
    each = children.group_by("trace_id", "span_id", "child").len("calls").join(parents, on=["trace_id", "span_id"])
    sums = each.group_by(*operation, "child", "window").agg(
        pl.col("calls").sum(), pl.col("calls").cast(pl.Float64).pow(2).sum().alias("squares")
    )
    counts = parents.group_by(*operation, "window").len("count")
    # an operation that makes none of its calls in some window makes 0 of them there
    every = sums.select(*operation, "child").unique().join(counts, on=operation)
    every = every.join(sums, on=[*operation, "child", "window"], how="left").with_columns(
        pl.col("calls").fill_null(0), pl.col("squares").fill_null(0)
    )
    mean = pl.col("calls") / pl.col("count")
    return every.with_columns(mean.alias("mean"), (pl.col("squares") / pl.col("count") - mean**2).alias("variance"))


def deviations(rows: pl.DataFrame, window: int, quiet: list[int]) -> pl.DataFrame:
    """How far each value of a window is from those of the quiet ones, in standard errors (`z`).

    The standard error is the larger one of two: what quiet windows differ by, and what chance does to so many spans.

    Args:
        rows: of `timings` or `calls_made`.
        window: the one in question.
        quiet: the others, without it.
    """
    key = [name for name in rows.columns if name not in _OF_WINDOW]
    known = rows.filter(pl.col("window").is_in(quiet) & (pl.col("count") >= MIN_QUIET_SPANS))
    total = pl.col("count").sum()
    usual = known.group_by(key).agg(
        ((pl.col("mean") * pl.col("count")).sum() / total).alias("usual"),
        ((pl.col("variance") * pl.col("count")).sum() / total).alias("within"),
        pl.col("mean").var().fill_null(0).alias("between"),
        pl.len().alias("windows"),
    )
    found = rows.filter((pl.col("window") == window) & (pl.col("count") >= MIN_SPANS)).join(usual, on=key)
    variance = pl.max_horizontal("between", pl.col("within") / pl.col("count")) * (1 + 1 / pl.col("windows"))
    change = pl.col("mean") - pl.col("usual")
    return found.select(*key, change.alias("change"), (change / (variance + _LEAST_VARIANCE).sqrt()).alias("z"))


_OF_WINDOW = ("window", "count", "mean", "variance", "calls", "squares")

_LEAST_VARIANCE = 1e-8
"""What never varied may vary by a little."""


def suspects(slower: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """The services by how much speaks against them.

    `slower` adds up the z of all that a service has a part in: its own work, its calls to others, and those of others to it;
    divided by the root of their number it is one z again (Stouffer et al., "The American Soldier", 1949, vol. 1, p. 45).
    `other_calls` is the largest z of the calls that it makes, whichever way: one branch not taken is enough.

    Args:
        slower: of `deviations`, of `timings`.
        calls: of `deviations`, of `calls_made`.

    Returns:
        service_name, score (the larger of both), slower, other_calls.
    """
    is_call = pl.col("callee") != ""
    parts = pl.concat([slower.select("service_name", "z"), slower.filter(is_call).select(service_name="callee", z="z")])
    z = pl.col("z").clip(-LARGEST_Z, LARGEST_Z)
    timing = parts.group_by("service_name").agg((z.sum() / pl.len().sqrt()).alias("slower"))
    branches = calls.group_by("service_name").agg(pl.col("z").abs().max().alias("other_calls"))
    both = timing.join(branches, on="service_name", how="full", coalesce=True).with_columns(
        pl.col("slower", "other_calls").fill_null(0)
    )
    both = both.with_columns(pl.max_horizontal("slower", "other_calls").alias("score"))
    return both.select("service_name", "score", "slower", "other_calls").sort(
        "score", "service_name", descending=[True, False]
    )

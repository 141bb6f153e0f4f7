"""Minutes of a small shop, as `endpoint_minutes` has them, for tests of deploy reports.

Takes   what a deploy does to one of its services.
Gives   rows around noon of the day of the deploy and of the days before.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import polars as pl

from lake.analysis.facts import Deploy, Facts
from lake.derived.histogram import bins_of

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(hours=2)
SERVICES = ("cart", "search", "mail", "stock", "users")
DEPLOY = Deploy("d1", NOON, "cart", "v2")
CALLS = pl.DataFrame(
    {"source": ["web", "cart"], "target": ["cart", "db"]}, schema={"source": pl.String, "target": pl.String}
)
NO_ERRORS = pl.DataFrame(
    schema={
        "service_name": pl.String, "fingerprint": pl.String, "exception_class": pl.String, "message": pl.String,
        "timestamp": pl.Datetime("us", "UTC"),
    }
)  # fmt: skip
MINUTES_AROUND = 125


def minutes(
    factor: float = 1.0,
    *,
    per_minute: float = 20,
    days: int = 7,
    services: Sequence[str] = SERVICES,
    failing: float = 0.0,
    slow_share_after: float | None = None,
    old_share_after: float = 0.0,
    shared: float = 1.0,
    seed: int = 1,
) -> pl.DataFrame:
    """Rows of a shop whose `cart` is deployed at `NOON`.

    Args:
        factor: of the durations of `cart` from then on, for the version v2 alone.
        per_minute: requests of each service.
        days: before the deploy that are known.
        failing: share of the requests of `cart` that fail from then on, beside the one percent of all.
        slow_share_after: share of the stratum "large", whose requests take twice as long, from then on; before it is 0.3.
        old_share_after: share of the requests that the old version still answers.
        shared: of the durations of all services from then on.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    axes = np.meshgrid(
        np.arange(len(services)), np.arange(days + 1), np.arange(-MINUTES_AROUND, MINUTES_AROUND), indexing="ij"
    )
    cells = random.poisson(per_minute, axes[0].shape).ravel()
    service, day, minute = (np.repeat(axis.ravel(), cells) for axis in axes)
    after = (day == 0) & (minute >= 0)
    deployed = after & (service == 0)
    large = random.random(len(service)) < np.where(deployed & (slow_share_after is not None), slow_share_after or 0, 0.3)
    old = ~deployed | (random.random(len(service)) < old_share_after)
    drift = random.normal(0, 0.02, axes[0].shape).ravel()
    log_ms = np.log(20) + 0.5 * random.standard_normal(len(service)) + np.repeat(drift, cells) + np.log(2) * large
    log_ms += np.log(shared) * after + np.log(factor) * (deployed & ~old)
    failed = random.random(len(service)) < 0.01 + failing * deployed
    at_us = (int(NOON.timestamp()) + 60 * minute - 86_400 * day) * 1_000_000
    requests = pl.DataFrame(
        {
            "minute": pl.Series(at_us).cast(pl.Datetime("us", "UTC")),
            "service_name": np.array(services)[service],
            "stratum": np.where(large, "large", "small"),
            "service_version": np.where(old, "v1", "v2"),
            "failed": failed,
            "bin": bins_of((np.exp(log_ms) * 1e6).astype(np.int64)),
        }
    )
    keys = ["minute", "service_name", "stratum", "service_version"]
    bins = requests.group_by(*keys, "bin").agg(pl.len().cast(pl.Int64).alias("count"), pl.col("failed").sum()).sort("bin")
    return bins.group_by(keys).agg(
        pl.lit("GET /").alias("endpoint"),
        pl.lit(True).alias("is_request"),
        pl.col("count").sum().alias("span_count"),
        pl.col("failed").sum().cast(pl.Int64).alias("error_count"),
        pl.col("bin").alias("latency_bins"),
        pl.col("count").alias("latency_counts"),
    )


def facts(rows: pl.DataFrame, *deploys: Deploy, calls: pl.DataFrame = CALLS, errors: pl.DataFrame = NO_ERRORS) -> Facts:
    return Facts(rows, deploys or (DEPLOY,), calls, errors)

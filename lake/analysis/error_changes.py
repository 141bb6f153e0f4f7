"""Error changes: errors that a deploy brought, and those that became more or fewer.

Takes   occurrences of errors, each once, with fingerprint and time, and the windows of a deploy.
Gives   one row per fingerprint: counts, rate ratio with interval, and whether it is new.
Refuses nothing.

A new kind of error needs no statistics: it was never seen in the seven days before, and is there now.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from .windows import DAY_MIN, PLACEBO_DAYS, Windows

CONFIDENCE = 0.95


def error_changes(occurrences: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """The errors of the time after a deploy, new ones first, then by rate ratio.

    Args:
        occurrences: fingerprint, exception_class, message, timestamp; those of one service since seven days before.
        windows: of the deploy.

    Returns:
        fingerprint, exception_class, message, first_seen_at, count_before, count_after, rate_ratio, ratio_low, ratio_high
        (infinite where there were none before), p_value, is_new.
    """
    minute = pl.col("timestamp").dt.epoch("s") // 60 - windows.first
    since = (minute >= -PLACEBO_DAYS * DAY_MIN) & (minute < windows.after[1])
    widths = [end - begin for begin, end in (windows.before, windows.after)]
    found = (
        occurrences.filter(since)
        .sort("timestamp")
        .group_by("fingerprint", maintain_order=True)
        .agg(
            pl.col("exception_class", "message").first(),
            pl.col("timestamp").first().alias("first_seen_at"),
            *(
                minute.is_between(*window, closed="left").sum().cast(pl.Int64).alias(name)
                for name, window in (("count_before", windows.before), ("count_after", windows.after))
            ),
            (minute.min() >= 0).alias("is_new"),
        )
        .filter(pl.col("is_new") | (pl.col("count_before") + pl.col("count_after") > 0))
    )
    return _with_ratios(found, *widths).sort("is_new", "rate_ratio", "count_after", descending=True, nulls_last=True)


def _with_ratios(rows: pl.DataFrame, before_min: int, after_min: int) -> pl.DataFrame:
    """With the ratio of the rates per minute.

    Given the sum of two Poisson counts, one of them is binomial; its exact interval (Clopper and Pearson, Biometrika 26,
    1934) gives that of the ratio: Przyborowski and Wilenski, "Homogeneity of results in testing samples from Poisson
    series", Biometrika 31 (1940).
    """
    before, after = (rows[name].to_numpy().astype(np.float64) for name in ("count_before", "count_after"))
    total, exposure = before + after, before_min / max(after_min, 1)
    tail = (1 - CONFIDENCE) / 2
    low = np.where(after > 0, stats.beta.ppf(tail, np.maximum(after, 1), before + 1), 0.0)
    high = np.where(before > 0, stats.beta.ppf(1 - tail, after + 1, np.maximum(before, 1)), 1.0)
    share = after_min / max(before_min + after_min, 1)
    tails = np.minimum(stats.binom.cdf(after, total, share), stats.binom.sf(after - 1, total, share))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = {"rate_ratio": after / before, "ratio_low": low / (1 - low), "ratio_high": high / (1 - high)}
    columns = {name: pl.Series(values * exposure) for name, values in ratios.items()}
    found = rows.with_columns(**columns, p_value=pl.Series(np.minimum(1, 2 * tails)))
    return found.with_columns(pl.col("rate_ratio").fill_nan(None))

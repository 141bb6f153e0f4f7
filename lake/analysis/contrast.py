"""Contrast: which attribute = value slow or failing spans have more often than the others.

Takes   how often each value of each attribute occurs among the chosen spans and among the rest.
Gives   the values by how much they tell the two apart.
Refuses nothing; attributes that nearly every span has a value of its own for (ids) tell nothing and are left out.

The question is that of Honeycomb's BubbleUp (https://docs.honeycomb.io/investigate/analyze/identify-outliers): not "what is
common among the slow", which is what is common anyway, but "what is more common there".
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from .verdicts import q_values

MISSING = "(missing)"
"""Stands for the spans that do not have the attribute: not to have it is a value too."""

MIN_SUPPORT = 20
"""Chosen spans with a value; fewer are an anecdote."""

MAX_DISTINCT = 0.5
"""Values per span from which an attribute is an id."""

CONFIDENCE = 0.95


def occurrences(attributes: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """How often each value occurs on either side.

    Args:
        attributes: span (any number of it), key, value: one row per attribute of a span.
        chosen: span, is_chosen: one row per span, those without attributes among them.

    Returns:
        key, value, chosen, others.
    """
    rows = attributes.join(chosen, on="span", how="inner")
    is_chosen = pl.col("is_chosen")
    found = rows.group_by("key", "value").agg(
        is_chosen.sum().cast(pl.Int64).alias("chosen"), (~is_chosen).sum().cast(pl.Int64).alias("others")
    )
    totals = chosen.select(
        is_chosen.sum().cast(pl.Int64).alias("chosen"), (~is_chosen).sum().cast(pl.Int64).alias("others")
    ).row(0)
    missing = found.group_by("key").agg(
        (totals[0] - pl.col("chosen").sum()).alias("chosen"), (totals[1] - pl.col("others").sum()).alias("others")
    )
    missing = missing.select("key", pl.lit(MISSING).alias("value"), "chosen", "others")
    return pl.concat([found, missing.filter(pl.col("chosen") + pl.col("others") > 0)])


def contrast(occurrences: pl.DataFrame, chosen: int, others: int, *, limit: int = 20) -> pl.DataFrame:
    """The values that chosen spans have more often, what tells most first.

    The log odds ratio has half a span added to each cell (Haldane, Annals of Human Genetics 20, 1956) and the standard error
    of Woolf (the same journal 19, 1955). Values are ordered by its lower bound times the difference of the shares: what is
    sure and explains many of the chosen spans comes first. Benjamini-Hochberg over all values.

    Args:
        occurrences: key, value, chosen, others.
        chosen: chosen spans in all.
        others: the others in all.
        limit: rows at most.

    Returns:
        key, value, chosen, others, share_chosen, share_low, share_high (Wilson), share_others, odds_ratio, odds_low,
        q_value.
    """
    rows = _without_ids(occurrences, chosen + others).filter(pl.col("chosen") >= MIN_SUPPORT).sort("key", "value")
    with_value = [rows[name].to_numpy().astype(np.float64) for name in ("chosen", "others")]
    cells = np.stack([*with_value, chosen - with_value[0], others - with_value[1]]) + 0.5
    log_odds = np.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    error = np.sqrt((1 / cells).sum(0))
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    share = [values / max(1, total) for values, total in zip(with_value, (chosen, others), strict=True)]
    low, high = _wilson(with_value[0], chosen, z)
    found = rows.with_columns(
        share_chosen=pl.Series(share[0]),
        share_low=pl.Series(low),
        share_high=pl.Series(high),
        share_others=pl.Series(share[1]),
        odds_ratio=pl.Series(np.exp(log_odds)),
        odds_low=pl.Series(np.exp(log_odds - z * error)),
        q_value=pl.Series(q_values((2 * stats.norm.sf(np.abs(log_odds / error))).tolist())),
        score=pl.Series(np.maximum(0, log_odds - z * error) * (share[0] - share[1])),
    )
    sure = found.filter(pl.col("score") > 0).sort("score", "key", "value", descending=[True, False, False])
    return sure.drop("score").head(limit)


def _without_ids(occurrences: pl.DataFrame, spans: int) -> pl.DataFrame:
    distinct = pl.col("value").n_unique().over("key")
    return occurrences.filter(distinct <= MAX_DISTINCT * spans)


def _wilson(count: np.ndarray, total: int, z: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a share: Wilson, JASA 22 (1927)."""
    total = max(1, total)
    centre = (count + z**2 / 2) / (total + z**2)
    reach = z / (total + z**2) * np.sqrt(count * (total - count) / total + z**2 / 4)
    return centre - reach, centre + reach

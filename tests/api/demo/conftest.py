"""The shop's history as rows, as the wire reads them."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from api.demo.history import History
from api.demo.shop import SHOP
from api.demo.story import Story
from tests.lake.spans import rows_of

END = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
END_NS = int(END.timestamp()) * 10**9


@pytest.fixture(scope="session")
def story():
    """The shop's nine days."""
    return Story(SHOP, END_NS)


@pytest.fixture(scope="session")
def history(story):
    """A million spans of it."""
    return History(story, 1_000_000)


@pytest.fixture(scope="session")
def spans_between(history):
    """All the spans of the history whose requests began between two ages, as a frame."""

    def between(oldest: dt.timedelta, youngest: dt.timedelta) -> pl.DataFrame:
        since, until = END - oldest, END - youngest
        bodies = [history.part(number).body for number in parts_between(history, since, until)]
        spans = pl.DataFrame(pl.from_arrow(rows_of(bodies, ingested_at=END)[0]))
        begun = spans.group_by("trace_id").agg(pl.col("start_time").min().alias("begun"))
        return spans.join(begun, on="trace_id").filter(pl.col("begun").is_between(since, until, closed="left"))

    return between


def parts_between(history, since, until):
    """The numbers of the parts that reach into a time."""
    starts = [start_of(history, number) for number in range(history.part_count + 1)]
    ends = starts[1:]
    return [n for n, (start, end) in enumerate(zip(starts, ends, strict=False)) if start < until and end > since]


def start_of(history, part):
    """When a part begins."""
    share = part / history.part_count
    [start_ns] = history.story.moments(share, share, 1, np.random.default_rng(1))
    return dt.datetime.fromtimestamp(start_ns / 1e9, dt.UTC)

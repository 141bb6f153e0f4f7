"""Searches as the server shows them: what one ran and read, and numbers over time."""

from __future__ import annotations

import datetime as dt
from typing import Any

from msgspec import Struct

from .traces import FoundTrace


class ReadShare(Struct, frozen=True, kw_only=True):
    """How much was read of how much there is."""

    total: int
    read: int


class SearchStep(Struct, frozen=True, kw_only=True):
    """One query that a search ran."""

    purpose: str
    """`candidates`, `starts`, `spans` or `judge`, see docs/search.md."""
    sql: str
    params: dict[str, Any] = {}
    """The values of `$name` in the SQL."""
    files: ReadShare
    row_groups: ReadShare
    bytes: ReadShare
    rows: int
    """Of the answer."""


class FoundTraces(Struct, frozen=True, kw_only=True):
    """A page of the traces that a search found, and how it found them."""

    data: list[FoundTrace]
    has_more: bool = False
    next_cursor: str | None = None
    query: str
    explain: list[SearchStep] = []


class Series(Struct, frozen=True, kw_only=True):
    """The points of one set of labels."""

    labels: dict[str, str | None]
    points: list[tuple[dt.datetime, float]]
    """Start of the step, and value; durations in seconds."""


class Metrics(Struct, frozen=True, kw_only=True):
    """Series over time, by labels."""

    data: list[Series]
    query: str
    start_time: dt.datetime
    end_time: dt.datetime
    step: float
    """Seconds from one point to the next."""

"""Paging: the window, the pinned snapshot and the cursors of a list; the same for every list of the API.

Takes   what a request says of window, limit and cursor, and the filters of the list.
Gives   `Page`: which part of the list is wanted; the lake at its snapshot; the envelope `{data, has_more, next_cursor}`.
Refuses windows that end before they begin, and cursors of another list, other filters or an expired snapshot.

A list is asked for one row more than the page shows, so it is known whether there are more. The position in a cursor is
the sort key of the last row that was shown: `[start_ns, trace_id]` of a list of traces. A page reads the snapshot that the
first page was read from, so rows that come meanwhile neither shift nor double nor hide anything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from litestar.openapi.spec import OpenAPIType, Schema

import lake
from lake.control import Principal
from lake.errors import InvalidParameter, SnapshotInvalid

from . import cursors
from .parameters import Parameters, parse_time
from .problems import InvalidCursor
from .reference import query
from .state import Server
from .times import EPOCH, iso

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
LIMIT = query(
    "limit",
    f"1 to {MAX_LIMIT}, without it {DEFAULT_LIMIT}",
    Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
)
CURSOR = query("cursor", "next_cursor of the page before; with the same filters")

LATEST = dt.datetime(2262, 4, 11, tzinfo=dt.UTC)
"""Nothing that OTLP can say starts before the epoch or after this; a window that reaches further (0001-01-01 is Go's zero
time) is cut."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time from `since` to `until`, the end not included."""

    since: dt.datetime
    until: dt.datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for a list says of its window and page, in the types it has when it was read."""

    start_time: dt.datetime | None
    end_time: dt.datetime | None
    limit: int
    """Rows of the page, at least 1."""
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that a request asks for."""

    window: Window
    limit: int
    snapshot: str | None = None
    """Token of the snapshot that the first page was read from, None on the first page."""
    after: Sequence[Any] | None = None
    """Position of the last row of the page before, None on the first page."""

    def pinned(self, lake: lake.Lake) -> lake.Lake:
        """The lake at the snapshot of the first page.

        Raises:
            InvalidCursor: that snapshot is gone.
        """
        try:
            return lake.at(self.snapshot or lake.snapshot())
        except SnapshotInvalid as error:
            raise InvalidCursor("cursor", f"'cursor' is expired, start again: {error}") from error


class Pager:
    """The pages of one list, for one key's lake and one set of filters."""

    def __init__(self, server: Server, principal: Principal, name: str, filters: Sequence[Any] = ()) -> None:
        """
        Args:
            name: of the list; a cursor is good for lists of this name only.
            filters: all that must stay the same from page to page, beside the window.
        """
        self._secret = server.cursor_secret
        self._scope = f"{name}\0{principal.project}\0{principal.environment}"
        self._filters = sha256(repr(tuple(filters)).encode()).hexdigest()[:16]

    def page(self, asked: Asked, *, default: dt.timedelta, now: dt.datetime) -> Page:
        """The page that a request asks for.

        Args:
            default: length of the window where the request gives no start.

        Raises:
            InvalidParameter: the window ends before it begins.
            InvalidCursor: the cursor is none, or comes with other filters than the page it continues.
        """
        if asked.cursor is None:
            return Page(window(asked.start_time, asked.end_time, default=default, now=now), asked.limit)
        content = cursors.decode(self._secret, self._scope, asked.cursor)
        known = Window(parse_time("cursor", content["since"]), parse_time("cursor", content["until"]))
        is_same = asked.start_time in (None, known.since) and asked.end_time in (None, known.until)
        if content["filters"] != self._filters or not is_same:
            raise InvalidCursor("cursor", "'cursor' continues a list with other filters: repeat them or start again")
        return Page(known, asked.limit, content["snapshot"], content["after"])

    def answer(
        self,
        page: Page,
        snapshot: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        position: Callable[[Mapping[str, Any]], Sequence[Any]],
        item: Callable[[Mapping[str, Any]], Any],
    ) -> dict[str, Any]:
        """The envelope of a page.

        Args:
            snapshot: token of the snapshot that the rows are of.
            rows: those of the page in order, and one more if there are more.
            position: sort key of a row, as JSON has it; `Page.after` of the page that follows.
            item: what is shown of a row.
        """
        shown, has_more = rows[: page.limit], len(rows) > page.limit
        return {
            "data": [item(row) for row in shown],
            "has_more": has_more,
            "next_cursor": self._cursor(page, snapshot, position(shown[-1])) if has_more else None,
            "start_time": iso(page.window.since),
            "end_time": iso(page.window.until),
        }

    def _cursor(self, page: Page, snapshot: str, after: Sequence[Any]) -> str:
        content = {
            "snapshot": snapshot,
            "since": page.window.since.isoformat(),
            "until": page.window.until.isoformat(),
            "filters": self._filters,
            "after": list(after),
        }
        return cursors.encode(self._secret, self._scope, content)


def limit_of(parameters: Parameters) -> int:
    """Rows of the page.

    Raises:
        InvalidParameter: `limit` is none, or not from 1 to `MAX_LIMIT`.
    """
    return parameters.number("limit", lowest=1, highest=MAX_LIMIT) or DEFAULT_LIMIT


def asked(parameters: Parameters) -> Asked:
    """What a query string says of window and page: `start_time`, `end_time`, `limit`, `cursor`.

    Raises:
        InvalidParameter: one of them cannot be.
    """
    return Asked(
        parameters.time("start_time"),
        parameters.time("end_time"),
        limit_of(parameters),
        parameters.text("cursor"),
    )


def window(
    start_time: dt.datetime | None, end_time: dt.datetime | None, *, default: dt.timedelta, now: dt.datetime
) -> Window:
    """The window from a start to an end; without an end to now, without a start `default` long.

    Raises:
        InvalidParameter: it ends before it begins, or at once.
    """
    until = end_time or now
    since = start_time or max(until, EPOCH + default) - default
    if since >= until:
        raise InvalidParameter("start_time", "Parameter 'start_time' must lie before 'end_time'")
    return Window(min(max(since, EPOCH), LATEST), min(max(until, EPOCH), LATEST))

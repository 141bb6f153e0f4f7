"""Row pages: the pages of a list that lies in the control database; the same for every such list.

Takes   what a request says of limit and cursor, and the filters of the list.
Gives   `RowPages`: behind which row the page begins; what the envelope says beside `data`.
Refuses cursors of another list, of another lake or with other filters (`InvalidCursor`).

These rows have no snapshot. A page goes on behind the last row of the one before, so what comes or goes meanwhile neither
doubles nor hides another row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lake.control import Principal

from . import cursors
from .paging import limit_of
from .parameters import Parameters
from .state import Server

Item = TypeVar("Item")


class RowPages:
    """One request for a page of a list, for one key's lake and one set of filters."""

    def __init__(
        self, server: Server, principal: Principal, parameters: Parameters, name: str, filters: Sequence[Any] = ()
    ) -> None:
        """
        Args:
            name: of the list; a cursor is good for lists of this name only.
            filters: all that must stay the same from page to page.
        """
        self._secret = server.cursor_secret
        self._scope = "\0".join([name, principal.project, principal.environment, *map(str, filters)])
        self._limit = limit_of(parameters)
        cursor = parameters.text("cursor")
        self.after: list[Any] | None = cursors.decode(self._secret, self._scope, cursor)["after"] if cursor else None
        """Position of the last row of the page before, None on the first page."""

    @property
    def row_count(self) -> int:
        """Rows to ask for: those of the page, and one more to know whether there are more."""
        return self._limit + 1

    def page(self, rows: Sequence[Item], position: Callable[[Item], Sequence[Any]]) -> tuple[Sequence[Item], dict[str, Any]]:
        """The rows that are shown, and `has_more` and `next_cursor`.

        Args:
            rows: `row_count` at most, in order; more are left out.
            position: sort key of a row, as JSON has it.
        """
        shown, has_more = rows[: self._limit], len(rows) > self._limit
        last = {"after": list(position(shown[-1]))} if has_more else {}
        next_cursor = cursors.encode(self._secret, self._scope, last) if has_more else None
        return shown, {"has_more": has_more, "next_cursor": next_cursor}

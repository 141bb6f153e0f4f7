"""Values: what a query is compared with, beside its SQL and never in it.

Takes   texts, numbers, times.
Gives   a name for each one, `$v1`, and all of them by name.
Refuses nothing.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"\$(v[0-9]+)")


class Values:
    """The values of one statement; an equal one is bound once."""

    def __init__(self) -> None:
        self._names: dict[tuple[type, object], str] = {}

    def bind(self, value: object) -> str:
        """The name of a value in the text of the statement."""
        key = (type(value), value)
        if key not in self._names:
            self._names[key] = f"v{len(self._names) + 1}"
        return f"${self._names[key]}"

    def used_in(self, text: str) -> dict[str, object]:
        """The values that a statement names; DuckDB refuses others, and conditions that say nothing are left out of it."""
        used = set(_NAME.findall(text))
        return {name: value for (_, value), name in self._names.items() if name in used}

"""Positions: where in a query something is wrong, as people count.

Takes   a message, the query, and a place in it in bytes.
Gives   the message with line and column, the line itself, and a caret below.
Refuses nothing; a place outside of the query is left out.
"""

from __future__ import annotations

_SHOWN_CHARACTERS = 60
"""Of a long line, that many on either side."""


def located(message: str, query: str, position: int | None) -> str:
    """A message with its place.

    Args:
        position: bytes of UTF-8 before it, None if nobody knows.
    """
    if position is None or not 0 <= position <= len(query.encode()):
        return message
    before = query.encode()[:position].decode(errors="ignore")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1)
    text = query.split("\n")[line - 1]
    start = max(0, column - _SHOWN_CHARACTERS)
    shown = text[start : column + _SHOWN_CHARACTERS].expandtabs(1)
    return f"{message} (line {line}, column {column + 1})\n{shown}\n{' ' * (column - start)}^"

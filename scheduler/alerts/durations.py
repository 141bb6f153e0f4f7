"""Durations: lengths of time as people write them in rules.

Takes   `5m`, `1h30m`, `30s`, or whole seconds.
Gives   seconds, and text.
Refuses everything else (`InvalidParameter`).
"""

from __future__ import annotations

import re
from functools import lru_cache

from lake.errors import InvalidParameter

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_TEXT = re.compile("".join(f"(?:(?P<{unit}>[0-9]{{1,6}}){unit})?" for unit in _UNITS))


@lru_cache(maxsize=4096)
def seconds(param: str, text: str) -> int:
    """The seconds of a text.

    Args:
        param: what an error names.

    Raises:
        InvalidParameter: it is no duration.
    """
    match = _TEXT.fullmatch(text)
    if not match or not text:
        raise InvalidParameter(param, f"{param}: {text!r} is no duration; write one as 30s, 5m, 1h or 1h30m")
    return sum(int(match[unit] or 0) * size for unit, size in _UNITS.items())


def text_of(seconds: int) -> str:
    """The shortest text of some seconds."""
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"

"""Rate window: whether one more request fits into the last minute. Pure: the time is an argument.

Takes   how many requests were counted in each second of the last minute, the limit and the time.
Gives   `Decision`: whether a request may pass, how many are left, and when the first of those counted is forgotten.
Refuses nothing.

A window holds the second that is running and the 60 before it, so it covers every moment of the last 60 s: no 60 s ever see
more requests than the limit. The price is that a request is forgotten after 60 to 61 s, so who sends without a pause has
1/61 less than the limit (docs/decisions/0009-rate-limit-in-a-shared-file.md).
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

WINDOW_S = 60
"""Seconds that a limit is for."""
SECONDS = WINDOW_S + 1
"""Seconds that a window holds a count of; second `s` has the place `s % SECONDS`."""


class Decision(NamedTuple):
    """What a request is told."""

    is_allowed: bool
    limit: int
    remaining: int
    """Requests that may follow at once."""
    reset_after_s: float
    """Seconds until the first counted request is forgotten; after a refusal there is room again then."""


def empty() -> array[int]:
    """A window without requests; 16 bits a second hold the highest limit there is (`lake.control.keys`)."""
    return array("H", bytes(2 * SECONDS))


def slide(counts: array[int], last_s: float, now_s: float) -> None:
    """Forget the seconds that are no longer in the window.

    Args:
        counts: by second; changed in place.
        last_s: when the window was last slid or counted in.
        now_s: a later time. An earlier one has another zero (the machine was started again): all is forgotten.
    """
    if not 0 <= int(now_s) - int(last_s) < SECONDS:
        counts[:] = empty()
        return
    for second in range(int(last_s) + 1, int(now_s) + 1):
        counts[second % SECONDS] = 0


def decide(counts: array[int], limit: int, now_s: float) -> Decision:
    """Whether one more request may pass.

    Args:
        counts: of a window that was slid to this time.
        now_s: by the same clock.
    """
    used = sum(counts)
    return Decision(used < limit, limit, max(0, limit - used - 1), _reset_after_s(counts, now_s))


def show(counts: array[int], limit: int, now_s: float) -> Decision:
    """What a request is told that is not counted and always passes."""
    return Decision(True, limit, max(0, limit - sum(counts)), _reset_after_s(counts, now_s))


def _reset_after_s(counts: array[int], now_s: float) -> float:
    """Seconds until the oldest second with requests leaves the window; a whole window if there is none."""
    split = int(now_s) % SECONDS + 1
    by_age = (counts[split:] + counts[:split]).tobytes()
    empty_seconds = (len(by_age) - len(by_age.lstrip(b"\0"))) // counts.itemsize
    return int(now_s) - (SECONDS - 1) + min(empty_seconds, SECONDS - 1) + SECONDS - now_s

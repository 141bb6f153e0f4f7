"""Retries: which requests are sent again, and after how long.

Takes   the kind of a call, and what came of it: a status with its headers, or an error of the network.
Gives   a policy for httpx-retries: exponential backoff with full jitter, on top of what `Retry-After` or, with 429,
        `X-RateLimit-Reset` asks for.
Refuses to wait longer than it may: `TooLong`, which ends the retries with the answer that asked for it. To come back
        earlier than asked would only be refused again.
"""

from __future__ import annotations

import asyncio
import copy
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Self

import httpx
from httpx_retries import Retry

BACKOFF_S = 0.5
"""The first wait is at most this, each further one at most twice the one before."""

_METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
"""All of them: what may be sent again depends on the call and not on its method."""


class Repeat(Enum):
    """What may be done when a call did not succeed."""

    ALWAYS = "sending it again is the same as sending it once: reads, and ingest that names what it sends"
    UNLESS_WORKING = "a question that is dear: again only if the server has not begun to answer it"
    IF_REFUSED = "it would be done twice: again only if it certainly was not done"


_UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_LOST = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)

_POLICY: Mapping[Repeat, tuple[tuple[int, ...], tuple[type[Exception], ...]]] = {
    Repeat.ALWAYS: ((429, 500, 502, 503, 504), _LOST),
    Repeat.UNLESS_WORKING: ((429, 503), _UNREACHED),
    Repeat.IF_REFUSED: ((429,), _UNREACHED),
}
"""Statuses and errors after which a call is sent again."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is and how to let some pass; tests bring their own."""

    now_s: Callable[[], float] = time.time
    """Seconds since the Unix epoch."""
    elapsed_s: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    pause_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    """From 0 to 1."""


class TooLong(Exception):
    """The server wants to be asked again later than this caller waits."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response = response


class Retries(Retry):
    """The policy of one call; httpx-retries asks it after each attempt."""

    def __init__(self, repeat: Repeat, *, max_retries: int, max_wait_s: float, clock: Clock) -> None:
        statuses, errors = _POLICY[repeat]
        super().__init__(
            max_retries, allowed_methods=_METHODS, status_forcelist=statuses, retry_on_exceptions=errors,
            max_backoff_wait=max_wait_s,
        )  # fmt: skip
        self._clock = clock

    def increment(self) -> Self:
        """The policy after one more attempt; the library's own way would lose the clock."""
        later = copy.copy(self)
        later.attempts_made += 1
        return later

    def sleep(self, response: httpx.Response | Exception) -> None:
        """Wait for the next attempt."""
        self._clock.pause(self._wait_s(response))

    async def asleep(self, response: httpx.Response | Exception) -> None:
        """Wait for the next attempt."""
        await self._clock.pause_async(self._wait_s(response))

    def _wait_s(self, response: httpx.Response | Exception) -> float:
        asked_s = 0.0
        if isinstance(response, httpx.Response):
            asked_s = asked_wait_s(response.status_code, response.headers, now_s=self._clock.now_s()) or 0.0
            if asked_s > self.max_backoff_wait:
                raise TooLong(response)
        jitter = self._clock.jitter()
        return wait_s(self.attempts_made, asked_s=asked_s, jitter=jitter, max_wait_s=self.max_backoff_wait)


def wait_s(attempt: int, *, asked_s: float, jitter: float, max_wait_s: float) -> float:
    """Seconds until a call is sent again.

    Args:
        attempt: 1 after the first one.
        asked_s: what the server asked for; jitter comes on top, so that not everybody returns at that moment.
        jitter: from 0 to 1.
    """
    return min(asked_s + jitter * BACKOFF_S * 2.0 ** (attempt - 1), max_wait_s)


def asked_wait_s(status: int, headers: Mapping[str, str], *, now_s: float) -> float | None:
    """Seconds after which the server wants to be asked again, None if it does not say.

    Times are measured against the server's own clock where it tells it (`Date`).

    Args:
        headers: names in any case, or in lower case.
        now_s: seconds since the Unix epoch on the clock of this machine.
    """
    here_s = _date_s(headers.get("date", ""))
    there_s = now_s if here_s is None else here_s
    after = headers.get("retry-after", "").strip()
    if _is_number(after):
        return float(after)
    at_s = _date_s(after)
    if at_s is None and status == 429 and _is_number(headers.get("x-ratelimit-reset", "").strip()):
        at_s = float(headers["x-ratelimit-reset"])
    return None if at_s is None else max(0.0, at_s - there_s)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _date_s(text: str) -> float | None:
    """The time of a header of HTTP."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None

"""Deadline: how long the queries of one question may take together.

Takes   seconds.
Gives   a context for each query: DuckDB stops what is still running when the time is over.
Refuses to begin a query afterwards; both are `QueryTimeout`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from .errors import QueryTimeout


class Deadline:
    """A time that is over some seconds from now."""

    def __init__(self, timeout_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._end_s = clock() + timeout_s

    @contextmanager
    def over(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """A block in which the connection runs one query.

        Raises:
            QueryTimeout: the time is over.
        """
        left_s = self._end_s - self._clock()
        if left_s <= 0:
            raise self._timeout()
        timer = threading.Timer(left_s, connection.interrupt)
        timer.start()
        try:
            yield
        except duckdb.InterruptException as error:
            raise self._timeout() from error
        finally:
            timer.cancel()

    def _timeout(self) -> QueryTimeout:
        return QueryTimeout(f"the query took longer than {self._timeout_s:g} s: ask for a shorter time, or for less of it")

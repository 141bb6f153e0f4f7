"""Rates: the windows of all API keys and addresses, shared by the worker processes of a server.

Takes   the name of who sends a request, and its limit.
Gives   the decision on it (`api.rate_window`), the same in whichever worker it arrives.
Refuses nothing. On a disk that has no room for the table each worker counts for itself.

The windows are a table in a mapped file of the data folder, `rates.bin`; a lock on the file makes looking and counting one
step. Nothing of it matters after a minute: the file is never flushed, may be deleted while no server runs, and a worker
that is killed in the middle of a count leaves at most that count wrong. The table has a fixed size: a name has four places,
and who finds them taken gets that of the name that has been quiet for longest.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from array import array
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import structlog

from lake.disk import Disk, make_folders_durably

from .rate_window import SECONDS, Decision, decide, empty, show, slide

log = structlog.get_logger()

FILE_NAME = "rates.bin"
PLACES = 8192
"""Names in a half of the table: API keys in one, addresses of those who have none in the other, so that no flood of
addresses can make keys forget."""

_WAYS = 4
_SETS = PLACES // _WAYS
_HEAD = struct.Struct("=QQ")
"""Hash of the name, and the second of its last request by the monotonic clock, which all processes share."""
_USED_BYTES = _HEAD.size + array("H").itemsize * SECONDS
_PLACE_BYTES = 144  # of a place: 16 + 122, and the next one at a whole word
_SIZE_BYTES = 2 * PLACES * _PLACE_BYTES


class Rates:
    """The table, as one process has it open. For one thread."""

    def __init__(self, data: Path, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            data: folder that all workers share.
        """
        self._monotonic_s = monotonic_s
        make_folders_durably(Disk(), data)
        self._descriptor = os.open(data / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        self._table = _mapped(self._descriptor)
        self._shown: dict[str, Decision] = {}
        self._shown_at_s = 0

    def close(self) -> None:
        self._table.close()
        os.close(self._descriptor)

    def count(self, name: str, limit: int, *, is_key: bool) -> Decision:
        """Count a request if it may pass.

        Args:
            name: id of an API key, or an address.
            limit: requests within a window.
        """
        tag = _tag(name)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            now_s = self._monotonic_s()
            place, counts = self._window(tag, now_s, is_key=is_key)
            decision = decide(counts, limit, now_s)
            if decision.is_allowed:
                second = int(now_s)
                counts[second % SECONDS] += 1
                self._table[place : place + _USED_BYTES] = _HEAD.pack(tag, second) + counts.tobytes()
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return decision

    def look(self, name: str, limit: int, *, is_key: bool) -> Decision:
        """What is left, without counting: for requests that are never refused. Looked up once a second, without the lock."""
        now_s = self._monotonic_s()
        if int(now_s) != self._shown_at_s:
            self._shown.clear()
            self._shown_at_s = int(now_s)
        if (known := self._shown.get(name)) is None:
            _, counts = self._window(_tag(name), now_s, is_key=is_key)
            known = self._shown[name] = show(counts, limit, now_s)
        return known

    def _window(self, tag: int, now_s: float, *, is_key: bool) -> tuple[int, array[int]]:
        """Where the window of a name is in the table, and its counts now."""
        first = ((tag % _SETS) * _WAYS + (0 if is_key else PLACES)) * _PLACE_BYTES
        longest_s, quietest = -1.0, first
        for place in range(first, first + _WAYS * _PLACE_BYTES, _PLACE_BYTES):
            found, last_s = _HEAD.unpack_from(self._table, place)
            if found == tag:
                counts = array("H", self._table[place + _HEAD.size : place + _USED_BYTES])
                slide(counts, last_s, now_s)
                return place, counts
            quiet_s = now_s - last_s if last_s <= now_s else float("inf")  # in the future: from before the machine started
            if quiet_s > longest_s:
                longest_s, quietest = quiet_s, place
        return quietest, empty()


def _mapped(descriptor: int) -> mmap.mmap:
    """The table in a file, made if it is not there."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # another worker may be at it too
    try:
        if os.fstat(descriptor).st_size != _SIZE_BYTES:
            os.ftruncate(descriptor, 0)  # of another version
            # every byte is written: where a mapped file has a hole and the disk is full, a write to it ends the process
            if os.pwrite(descriptor, bytes(_SIZE_BYTES), 0) != _SIZE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return mmap.mmap(descriptor, _SIZE_BYTES)
    except OSError as error:
        log.warning("no room for the table of rate limits: each worker counts for itself", file=FILE_NAME, error=str(error))
        return mmap.mmap(-1, _SIZE_BYTES)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@lru_cache(maxsize=4096)
def _tag(name: str) -> int:
    """The 64 bits that stand for a name in the table; never those of an empty place."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") or 1

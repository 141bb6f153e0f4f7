"""Lease: at most one process at a time compacts a lake.

Takes   a lake folder, a name for the process and the time.
Gives   the right to compact, until `expires_at` unless renewed.
Refuses while another process holds it: `LeaseLost`.

The lease only keeps two compactors from doing the same work. What keeps them from doing harm is the compare-and-swap of
every commit (`lake.tables`): a process that was stopped past its lease and goes on finds its commit refused.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from .errors import LeaseLost

LEASE_S = 20
"""Seconds that a lease lasts without being renewed."""


class Lease:
    """One process's claim to compact one lake, or to something else of which there is one in a folder."""

    def __init__(
        self, folder: Path, *, owner: str | None = None, name: str = "compactor.lease", does: str = "compacts this lake"
    ) -> None:
        """
        Args:
            folder: of the lake.
            name: of the file that says who holds it.
            does: what the holder does, for the message to others.
        """
        self._path = folder / name
        self._does = does
        self.owner = owner or f"{os.getpid()}-{secrets.token_hex(8)}"

    def hold(self, *, now_s: float) -> None:
        """Take the lease or renew it for `LEASE_S` seconds.

        Args:
            now_s: seconds since the Unix epoch.

        Raises:
            LeaseLost: another process holds it.
        """
        with self._exclusive() as file:
            holder, expires_at_s = self._read(file)
            # a lease that ends later than one taken now was taken before the clock was set back: it may say anything
            if holder not in (None, self.owner) and now_s < expires_at_s <= now_s + LEASE_S:
                raise LeaseLost(f"{self._path.parent}: {holder} {self._does} until {expires_at_s:.0f}")
            self._write(file, {"owner": self.owner, "expires_at_s": now_s + LEASE_S})

    def release(self) -> None:
        """Give the lease up, if it is still this process's."""
        with self._exclusive() as file:
            if self._read(file)[0] == self.owner:
                self._write(file, {})

    @contextmanager
    def _exclusive(self) -> Iterator[int]:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    @staticmethod
    def _read(file: int) -> tuple[str | None, float]:
        try:
            content = orjson.loads(os.pread(file, 4096, 0))
        except orjson.JSONDecodeError:  # new, or cut short by a crash: nobody's
            return None, 0.0
        return content.get("owner"), content.get("expires_at_s", 0.0)

    @staticmethod
    def _write(file: int, content: dict[str, object]) -> None:
        os.ftruncate(file, 0)
        os.pwrite(file, orjson.dumps(content), 0)

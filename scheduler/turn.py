"""Turn: which of several schedulers on one data folder works; the others wait.

Takes   the data folder.
Gives   whether it is the turn of this process. It ends with the process, or when that has not renewed it for `LEASE_S`.
Refuses nothing.

As with the lease of a lake, the turn only keeps two from doing the same work. What keeps them from doing harm are the
compare-and-swap of every commit (`lake.tables`), of every attempt to send a message (`scheduler.alerts.outbox`) and of every
rule that is judged (`scheduler.alerts.sweep`): a process that is stopped past its turn and goes on changes nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from lake.control.process import FOLDER
from lake.errors import LeaseLost
from lake.lease import LEASE_S, Lease

LEASE_NAME = "scheduler.lease"
TAKE_EVERY_S = 2
"""Seconds between two looks of one who waits, and two renewals of one who works."""
_MARGIN_S = 5.0
"""Seconds before the end of the lease from which its holder does not count on it any more."""

log = structlog.get_logger()


class Turn:
    """The turn of one process. `take` is for one thread, `is_mine` for any."""

    def __init__(
        self,
        data: Path,
        node: str,
        *,
        now_s: Callable[[], float] = time.time,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            data: the data folder, with the folder of nodes in it.
            node: id of this process among the nodes.
        """
        self._lease = Lease(data / FOLDER, owner=node, name=LEASE_NAME, does="keeps the lakes")
        self._now_s = now_s
        self._elapsed_s = elapsed_s
        self._mine_until_s = float("-inf")
        self._is_told = False

    def take(self) -> None:
        """Take the turn if nobody has it, renew it if this process does."""
        asked_s = self._elapsed_s()
        try:
            self._lease.hold(now_s=self._now_s())
        except LeaseLost as error:
            self._mine_until_s = float("-inf")
            if not self._is_told:
                log.info("another scheduler works, this one waits", reason=str(error))
            self._is_told = True
            return
        except OSError as error:  # what was taken before lasts its time
            log.error("turn not taken for the moment", reason=str(error))
            return
        if self._is_told:
            log.info("this scheduler works now")
        self._is_told = False
        self._mine_until_s = asked_s + LEASE_S - _MARGIN_S

    def is_mine(self) -> bool:
        """Whether this process works."""
        return self._elapsed_s() < self._mine_until_s

    def give_up(self) -> None:
        """Let another process have it at once."""
        self._mine_until_s = float("-inf")
        self._lease.release()

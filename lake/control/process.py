"""Process: which collector node this process is.

Takes   the data folder and the role of the process.
Gives   `ProcessIdentity`: the same id as the process had that was in this place before.
Refuses nothing.

A place is a file in `.nodes/` of the data folder that holds an id. Who has its lock has the place; the lock ends with the
process, however it ends, so a worker that is started again is the node that it was.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ..disk import Disk, make_folders_durably

Role = Literal["api", "scheduler", "collector"]
"""What a node does: answers requests, keeps lakes in order, or sends from elsewhere."""

FOLDER = ".nodes"
_ID = re.compile(rb"node_[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process of this server."""

    node_id: str
    name: str
    """Role, place and machine: `api-1@host`."""
    role: Role
    started_at: datetime
    _descriptor: int = field(repr=False)

    def close(self) -> None:
        """Leave the place to another process."""
        os.close(self._descriptor)


def claim(data: Path, role: Role) -> ProcessIdentity:
    """Take the first place of a role that nobody has."""
    folder = data / FOLDER
    make_folders_durably(Disk(), folder)
    number = 1
    while (descriptor := _locked(folder / f"{role}-{number}")) is None:
        number += 1
    name = f"{role}-{number}@{socket.gethostname()}"
    return ProcessIdentity(_id_in(descriptor), name, role, datetime.now(UTC), descriptor)


def _locked(path: Path) -> int | None:
    """The descriptor of a file with its lock, None if somebody has that."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _id_in(descriptor: int) -> str:
    """The id that a file holds, or a new one written into it."""
    found = os.pread(descriptor, 64, 0)
    if not _ID.fullmatch(found):
        found = f"node_{secrets.token_hex(6)}".encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, found, 0)
    return found.decode()

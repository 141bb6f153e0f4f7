"""Messages: what a server, its zygote and a child say to each other.

Takes   values and bytes.
Gives   frames on a socket: a length and that many bytes.
Refuses a frame that is longer than expected, and a socket that ends in the middle: `EOFError`.

Only a job goes down as JSON and Arrow; what comes up is an `Outcome`, which is checked as it is decoded, and bytes that
are passed on unread.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Literal

import msgspec

_LENGTH = struct.Struct("!Q")

Format = Literal["json", "csv", "arrow", "parquet"]
"""How an answer is written."""

Problem = Literal["query", "timeout", "memory", "file", "bug"]
"""Whose fault it is; a bug is ours."""


class Limits(msgspec.Struct, frozen=True):
    """What one query may cost."""

    timeout_s: float = 10.0
    """Seconds that DuckDB may take; half a second later the process is gone."""
    max_rows: int = 10_000
    max_bytes: int = 16 * 2**20
    """Bytes of an answer, as Arrow and as it is written."""
    memory_mib: int = 256
    """MiB that DuckDB may allocate; nothing is spilled to disk."""
    address_space_bytes: int = 2**30
    """Everything of the process, libraries included."""


class Job(msgspec.Struct, frozen=True):
    """One query. The Arrow tables follow, a frame each, in the order of `tables`."""

    query: str
    params: dict[str, Any] | list[Any] | None
    folder: str
    """Of the lake; files are named inside of it."""
    files: list[str]
    """Every file that may be read."""
    views: dict[str, str]
    """SELECT by name, of the views that the query can mean."""
    names: list[str]
    """Every view that there is."""
    tables: list[str]
    """Names of the Arrow tables that the views mention."""
    format: Format
    limits: Limits
    landlock: int
    """Version to restrict oneself by, 0 for none."""


class Column(msgspec.Struct, frozen=True):
    """One column of an answer."""

    name: str
    type: str
    """As DuckDB writes it."""


class Outcome(msgspec.Struct, frozen=True):
    """How a query ended. The answer follows in a frame of its own; an empty one if there is a problem."""

    problem: Problem | None = None
    message: str = ""
    columns: tuple[Column, ...] = ()
    row_count: int = 0
    truncated: bool = False
    """There are more rows than the limits let through."""


def send(channel: socket.socket, content: bytes | memoryview) -> None:
    """Write one frame."""
    channel.sendall(_LENGTH.pack(len(content)))
    channel.sendall(content)


def receive(channel: socket.socket, *, max_bytes: int) -> bytearray:
    """Read one frame.

    Raises:
        EOFError: the other end has gone, or says more than it should.
    """
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    if length > max_bytes:
        raise EOFError(f"a frame of {length} bytes, at most {max_bytes} were expected")
    return _exactly(channel, length)


def _exactly(channel: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = channel.recv_into(view)
        if not count:
            raise EOFError("the other end has gone")
        view = view[count:]
    return content

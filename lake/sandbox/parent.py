"""Parent: the server's side of the sandbox.

Takes   a query, the folder of a lake, and the views of one of its snapshots.
Gives   `Answer`: its columns, and the bytes in the format that was asked for.
Refuses what the child refuses (`QueryError`), a query that takes too long (`SqlTimeout`) and one whose process was ended
        from outside (`Overloaded`), a snapshot whose files are gone (`LakeCorrupt`).

A child that has not answered half a second after its time is killed: `interrupt` and DuckDB's own limit of time do not stop
one long call of a function.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from ..errors import LakeCorrupt, Overloaded, QueryError
from . import landlock
from .messages import Column, Format, Job, Limits, Outcome, receive, send
from .zygote import END, FORK, IDLE_S, ORDER, PID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..relations import Relation

GRACE_S = 0.5
"""Seconds after its time when a query is killed."""

_OUTCOME_MAX_BYTES = 4 * 2**20
_FRAMING_MAX_BYTES = 2**20
"""What a format may add to its rows."""

_START_S = 30.0
"""Seconds that the zygote has to load what its children need and to fork the first one."""
_END_S = 1.0

_INHERITED = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")
"""What Python may need to find itself; nothing else of the server's environment reaches the sandbox."""

ZYGOTE_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # a process with threads cannot be forked safely: neither those of Arrow's other allocator nor of linear algebra
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_ARENA_MAX": "1",  # each arena takes 64 MiB of the address space, which is limited
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TZ": "UTC",
}


class SqlTimeout(Overloaded):
    """The query took longer than it may."""


class SandboxBroken(Overloaded):
    """The zygote does not start; its own words are on standard error."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask."""

    query: str
    folder: str
    """Of the lake; the views name files inside of it."""
    views: Mapping[str, Relation]
    names: tuple[str, ...]
    """Every view that there is."""
    params: dict[str, Any] | list[Any] | None = None
    format: Format = "json"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    columns: tuple[Column, ...]
    row_count: int
    truncated: bool
    content: bytes | bytearray
    """In the format of the question; JSON is the array of rows."""


class Sandbox:
    """Children for queries, and the zygote that they come from.

    Safe for use by several threads.
    """

    def __init__(
        self,
        *,
        landlock_abi: int | None = None,
        idle_s: float = IDLE_S,
        command: Sequence[str] = (sys.executable, "-m", "lake.sandbox.zygote"),
    ) -> None:
        """
        Args:
            landlock_abi: version of Landlock to use, 0 for none; by default what the kernel has.
            idle_s: seconds without a query after which the zygote goes.
            command: what starts the zygote.
        """
        self.landlock_abi = landlock.abi() if landlock_abi is None else landlock_abi
        self._command = (*command, str(idle_s))
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None

    def ask(self, question: Question) -> Answer:
        """Answer one query, in a process of its own.

        Raises:
            QueryError: it is none, needs too much memory, or something in it is wrong.
            SqlTimeout: it takes too long.
            LakeCorrupt: a file of the snapshot is gone.
            Overloaded: the process was ended from outside.
            SandboxBroken: there is none to be had.
        """
        tables = {name: table for view in question.views.values() for name, table in view.tables.items()}
        job = self._job(question, list(tables))
        with self._child() as (channel, zygote):
            deadline_s = time.monotonic() + question.limits.timeout_s + GRACE_S
            try:
                channel.settimeout(question.limits.timeout_s + GRACE_S)
                send(channel, msgspec.json.encode(job))
                for table in tables.values():
                    send(channel, _stream(table))
                outcome = msgspec.json.decode(_receive(channel, deadline_s, _OUTCOME_MAX_BYTES), type=Outcome)
                content = _receive(channel, deadline_s, question.limits.max_bytes + _FRAMING_MAX_BYTES)
            except (TimeoutError, EOFError, ConnectionError, msgspec.DecodeError) as error:
                raise _broken(error, question.limits, deadline_s, zygote) from error
        _check(outcome, question.limits)
        return Answer(outcome.columns, outcome.row_count, outcome.truncated, content)

    def _job(self, question: Question, tables: list[str]) -> Job:
        views = question.views
        return Job(
            query=question.query,
            params=question.params,
            folder=question.folder,
            files=sorted({file for view in views.values() for file in view.files}),
            views={name: view.text for name, view in views.items()},
            names=list(question.names),
            tables=tables,
            format=question.format,
            limits=question.limits,
            landlock=self.landlock_abi,
        )

    @contextmanager
    def _child(self) -> Iterator[tuple[socket.socket, _Zygote]]:
        """A new child, and the socket to it; gone afterwards."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._lock:
                zygote, pid = self._forked(theirs)
            try:
                yield ours, zygote
            finally:
                with self._lock:
                    zygote.end(pid)

    def _forked(self, channel: socket.socket) -> tuple[_Zygote, int]:
        if self._zygote is not None:
            try:
                return self._zygote, self._zygote.fork(channel)
            except (EOFError, OSError):  # it was idle for long, or somebody killed it
                self._zygote.close()
        self._zygote = _Zygote(self._command)
        try:
            return self._zygote, self._zygote.fork(channel)
        except (EOFError, OSError) as error:
            self._zygote.close()
            self._zygote = None
            raise SandboxBroken("SQL cannot be run at the moment: ask again in a moment", retry_after_s=5) from error

    @property
    def zygote_pid(self) -> int | None:
        """Process of the zygote, None if none was needed yet."""
        return None if self._zygote is None else self._zygote.pid

    def close(self) -> None:
        """End the zygote and every child."""
        with self._lock:
            if self._zygote is not None:
                self._zygote.close()
                self._zygote = None


class _Zygote:
    """One zygote as its parent sees it; not for use by two threads at once."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | ZYGOTE_ENVIRONMENT
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_START_S)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own argv
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, channel: socket.socket) -> int:
        """Fork a child that has the socket; returns its process.

        Raises:
            EOFError: the zygote has gone.
            OSError: the same.
        """
        socket.send_fds(self._control, [ORDER.pack(FORK, 0)], [channel.fileno()])
        answer = self._control.recv(PID.size, socket.MSG_WAITALL)
        if len(answer) < PID.size:
            raise EOFError("the zygote has gone")
        pid: int = PID.unpack(answer)[0]
        return pid

    def end(self, pid: int) -> None:
        """Kill a child, if it still runs, and let its number go."""
        try:
            self._control.sendall(ORDER.pack(END, pid))
        except OSError:  # the zygote has gone, and its children with it
            return

    def has_ended(self) -> bool:
        """Whether it has gone; its end of the socket is closed before its children are killed."""
        if self._control.fileno() < 0:
            return True
        return bool(select.select([self._control], [], [], 0)[0]) and not self._control.recv(1, socket.MSG_PEEK)

    def close(self) -> None:
        """End it; it ends its children."""
        self._control.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:  # stopped, or hanging: its children end with it
            self._process.kill()
            self._process.wait()


def _stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _receive(channel: socket.socket, deadline_s: float, max_bytes: int) -> bytearray:
    channel.settimeout(max(0.001, deadline_s - time.monotonic()))
    return receive(channel, max_bytes=max_bytes)


def _broken(error: Exception, limits: Limits, deadline_s: float, zygote: _Zygote) -> QueryError | Overloaded:
    """Why a child said nothing, or nothing that can be."""
    if isinstance(error, TimeoutError) or time.monotonic() > deadline_s - GRACE_S:
        return _timeout(limits)
    if zygote.has_ended():
        return Overloaded("the process that the query ran in was ended: ask again")
    return QueryError(f"the query ended its process, most likely since it needs more memory than it may have: {_LESS}")


def _timeout(limits: Limits) -> SqlTimeout:
    return SqlTimeout(f"the query took longer than {limits.timeout_s:g} s: {_LESS}", retry_after_s=1)


def _check(outcome: Outcome, limits: Limits) -> None:
    if outcome.problem == "timeout":
        raise _timeout(limits)
    if outcome.problem == "file":
        raise LakeCorrupt(outcome.message)
    if outcome.problem == "bug":
        raise RuntimeError(f"a query met a bug of the sandbox:\n{outcome.message}")
    if outcome.problem is not None:
        raise QueryError(outcome.message)


_LESS = "ask for a shorter time, fewer columns, or less of them"

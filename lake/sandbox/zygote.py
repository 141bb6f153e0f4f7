"""Zygote: the process that the children of the sandbox are forked from; `python -m lake.sandbox.zygote`.

Takes   orders on the socket that is its standard input: fork a child for the socket that comes along, end a child.
Gives   children that have DuckDB and Arrow loaded, and nothing else: no key, no database, no socket of the server.
Refuses to outlive the server: when the socket ends it ends its children and itself. Without work it ends after a while.

It is started as a new program and not forked from the server, so it has nothing of the server's memory. It makes no DuckDB
instance and no thread, so a fork is safe. A child that has ended stays a zombie until the server says so, so that its
number cannot mean another process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable

from ..lean import leave_out

FORK, END = 1, 2
ORDER = struct.Struct("!BI")
"""What to do, and with which child."""
PID = struct.Struct("!I")

IDLE_S = 300.0
"""Seconds without a query after which it ends; the next query starts another one."""


def serve(control: socket.socket, idle_s: float, run: Callable[[socket.socket], None]) -> None:
    """Follow orders until there will be none.

    Args:
        run: what a child does.
    """
    children: set[int] = set()
    try:
        while children or select.select([control], [], [], idle_s)[0]:
            order, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 1)
            if not order:
                return
            what, pid = ORDER.unpack(order)
            if what == FORK:
                children.add(child := _fork(control, descriptors[0], run))
                control.sendall(PID.pack(child))
            elif pid in children:
                _end(pid)
                children.remove(pid)
    finally:
        for pid in children:
            _end(pid)


def _fork(control: socket.socket, descriptor: int, run: Callable[[socket.socket], None]) -> int:
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid
    try:
        control.close()
        run(socket.socket(fileno=descriptor))
    finally:
        os._exit(0)  # nothing of the zygote's is the child's to clean up


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it had no group yet
        os.killpg(pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)  # a zombie takes it too
    os.waitpid(pid, 0)


def main() -> None:
    """Run until the server ends."""
    leave_out("pandas")
    from . import answers, child  # noqa: PLC0415 - the server imports this module too, and shall not load what children do

    answers.load()
    gc.freeze()  # what is loaded by now is there for good: collections in children shall not touch, and so copy, it
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as control:
        serve(control, float(sys.argv[1]), child.run)


if __name__ == "__main__":
    main()
    os._exit(0)  # orderly ends of libraries have nothing to put in order here, and DuckDB's writes a report of what it left

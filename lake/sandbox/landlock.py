"""Landlock: what the kernel keeps from this process, whatever its code does.

Takes   the files and folders that may be read.
Gives   a process (this one, and all that it starts) that can open nothing else, write nowhere, open no TCP connection,
        signal nobody and meet nobody by abstract socket, each as far as the kernel knows how (`abi`).
Refuses to pretend: `restrict` raises `OSError` when the kernel does not take the rules.

Only the calling thread is restricted, and threads that it starts later: apply it before a library starts any. There is no
binding in the standard library, so this calls the kernel, https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every architecture that Python runs on but Alpha."""

_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38

_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3

_ACCESS_BITS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many kinds of access to files a version knows, from the version that first knew them."""
_TCP = 0b11
"""bind and connect, from version 4."""
_SCOPES = 0b11
"""Abstract sockets and signals, from version 6."""


class _Ruleset(ctypes.Structure):
    _fields_ = [("access_fs", ctypes.c_uint64), ("access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def abi() -> int:
    """The version of Landlock that this kernel has switched on, 0 if none."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def restrict(version: int, readable: Iterable[Path]) -> None:
    """Allow this thread to read these files, and everything in those of them that are folders, and nothing else.

    Args:
        version: what `abi` says, at least 1.

    Raises:
        OSError: a path is not there, or the kernel refuses.
    """
    access = (1 << max(bits for since, bits in _ACCESS_BITS.items() if version >= since)) - 1
    rules = _Ruleset(access, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    # an older kernel refuses a structure that is longer than its own, unless the rest is zero
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), ctypes.c_uint32(0))
    with closing(os.fdopen(ruleset, "rb", closefd=True)):
        for path in readable:
            _allow(ruleset, path)
        if _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise _error()
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))


def _allow(ruleset: int, path: Path) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        access = _READ_FILE | _READ_FOLDER if stat.S_ISDIR(os.fstat(place).st_mode) else _READ_FILE
        rule = _PathBeneath(access, place)
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise _error()
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"Landlock: {os.strerror(number)}")

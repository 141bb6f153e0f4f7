"""Disk: the few file operations that durability rests on, in one place so that tests can break them one by one.

Takes   paths and bytes.
Gives   files that are whole and survive `kill -9` and power loss once `write_durably` has returned.
Refuses nothing; every failure is the `OSError` of the step that failed. Unless that was the last step, the target then
        is as it was before.

A file becomes visible by its name, so nobody ever reads half of one. The order of the steps is the promise: write, flush
to the device, give it its name, flush the folder (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sys
from pathlib import Path

TEMPORARY = ".tmp"
"""Suffix of a file that is not there yet."""


class Disk:
    """The file system."""

    def write(self, path: Path, data: bytes | memoryview) -> None:
        """Create `path` with `data`; not durable yet. Raises `FileExistsError` if it is there."""
        rest = memoryview(data).cast("B")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            while rest:  # a full disk writes less than asked, once, before it says so
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)

    def flush(self, path: Path) -> None:
        """Return when the content of the file is on the device."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if sys.platform == "darwin":
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's cache
            else:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file, in place of `target` if that is there."""
        source.rename(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name. Raises `FileExistsError` if `target` is there: of two callers one wins."""
        target.hardlink_to(source)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def flush_folder(self, folder: Path) -> None:
        """Return when the names in the folder are on the device."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)


def write_durably(disk: Disk, path: Path, data: bytes | memoryview) -> None:
    """Create the file `path`, of a name that nobody else uses, so that it is there, whole, after any crash that follows.

    Raises:
        OSError: a step failed. If it was the last one the file may be there all the same, whole but perhaps not durable.
    """
    _name(disk, path.with_name(path.name + TEMPORARY), path, data)


def replace_durably(disk: Disk, path: Path, data: bytes | memoryview) -> None:
    """Put a new file in the place of `path`; a reader, and a crash, finds the old one or the new one.

    Raises:
        OSError: a step failed. If it was the last one the new file may be there, whole but perhaps not durable.
    """
    _name(disk, _unique(path), path, data)


def create_durably(disk: Disk, path: Path, data: bytes | memoryview) -> None:
    """Create the file `path` as `write_durably` does, unless somebody else was faster.

    Raises:
        FileExistsError: the file is there, and it is not this one.
        OSError: a step failed. If it was the last one the file may be there all the same, whole but perhaps not durable.
    """
    temporary = _unique(path)
    try:
        disk.write(temporary, data)
        disk.flush(temporary)
        disk.link(temporary, path)
    finally:
        _give_up(disk, temporary)
    disk.flush_folder(path.parent)


def _name(disk: Disk, temporary: Path, path: Path, data: bytes | memoryview) -> None:
    """Write `temporary` and give it the name `path`."""
    try:
        disk.write(temporary, data)
        disk.flush(temporary)
        disk.rename(temporary, path)
    except OSError:
        _give_up(disk, temporary)
        raise
    disk.flush_folder(path.parent)


def _unique(path: Path) -> Path:
    """A temporary name beside `path` that no other process writes to."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}{TEMPORARY}")


def _give_up(disk: Disk, temporary: Path) -> None:
    with contextlib.suppress(OSError):  # the first failure is the one to report
        disk.unlink(temporary)


def make_folders_durably(disk: Disk, folder: Path) -> None:
    """Create `folder` and its parents so that they are there after any crash that follows.

    The name of the deepest folder that is there already is flushed too: whoever made it may have failed, or died, or be
    just about to do so. A folder gets a child only then, so the names further up are durable.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    with contextlib.suppress(PermissionError):  # a folder whose parent we may not read was made by somebody else
        disk.flush_folder(folder.parent)
    for new in reversed(missing):
        disk.make_folder(new)
        disk.flush_folder(new.parent)

"""A disk that forgets: what may be left of a folder after a power loss.

Takes   the file operations of the code under test, which are really done, so that it and delta-rs see their effect.
Gives   any state that the folder may have after a power loss at any moment: what was flushed is there, of the rest some.
Refuses nothing; `fail_at` makes operations fail as a full or dying disk does.

A file that was not flushed is whole, empty, cut at a sector, or has sectors of zeros. A name that was made, moved or
removed in a folder that was not flushed since may be as before or as after, each by itself and in any combination. A move
within a folder happens whole or not at all. Files that somebody writes past `Disk` are noticed when they or their folder
are flushed; what somebody deletes past it may come back.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from lake.disk import Disk

_SECTOR = 512


class UnflushedDisk(Disk):
    """The file system without the flushes, for tests in which the power stays on."""

    def flush(self, path: Path) -> None:
        pass

    def flush_folder(self, folder: Path) -> None:
        pass


class FlushFails(Disk):
    """The names in one folder cannot be flushed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def flush_folder(self, folder: Path) -> None:
        if folder == self._folder:
            raise OSError(errno.EIO, "Input/output error")


@dataclass(slots=True)
class _File:
    content: bytes
    flushed_at: float = float("inf")
    """Number of operations after which the content is on the device."""


@dataclass(slots=True)
class _Folder:
    changes: list[_Change] = field(default_factory=list)
    flushed_at: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Change:
    """What one operation does to the names in a folder."""

    at: int
    gone: str | None = None
    name: str = ""
    node: _File | _Folder | None = None


class SimDisk(Disk):
    """A real folder, and everything that was done to it."""

    def __init__(self, root: Path, *, fail_at: Collection[int] = ()) -> None:
        """
        Args:
            root: a folder whose present content is durable.
            fail_at: numbers of operations that fail, counted from 0.
        """
        self.done = 0
        """Operations so far."""
        self.meanwhile: Callable[[Path], None] | None = None
        """Called before a folder is flushed: what other processes do at that moment."""
        self._root = root
        self._fail_at = fail_at
        self._nodes: dict[Path, _File | _Folder] = {}
        self._load(root)

    def _load(self, path: Path) -> _File | _Folder:
        node: _File | _Folder
        if path.is_dir():
            node = _Folder([_Change(-1, name=child.name, node=self._load(child)) for child in path.iterdir()], [0])
        else:
            node = _File(path.read_bytes(), -1)
        self._nodes[path] = node
        return node

    def _folder(self, path: Path) -> _Folder:
        folder = self._nodes[path]
        assert isinstance(folder, _Folder)
        return folder

    def _file(self, path: Path) -> _File:
        file = self._nodes[path]
        assert isinstance(file, _File)
        return file

    def _begin(self) -> int:
        """Number of the operation; raises if it is one that fails."""
        self.done += 1
        if self.done - 1 in self._fail_at:
            raise OSError(errno.EIO, "Input/output error")
        return self.done

    def write(self, path: Path, data: bytes | memoryview) -> None:
        try:
            at = self._begin()
        except OSError:
            self._create(self.done, path, bytes(data)[: len(data) // 2])
            raise
        self._create(at, path, bytes(data))

    def _create(self, at: int, path: Path, content: bytes) -> None:
        super().write(path, content)
        self._nodes[path] = _File(content)
        self._folder(path.parent).changes.append(_Change(at, name=path.name, node=self._nodes[path]))

    def flush(self, path: Path) -> None:
        self._notice(path)
        file = self._file(path)
        file.flushed_at = min(file.flushed_at, self._begin())

    def rename(self, source: Path, target: Path) -> None:
        at = self._begin()
        super().rename(source, target)
        self._nodes[target] = self._nodes.pop(source)
        change = _Change(at, gone=source.name, name=target.name, node=self._nodes[target])
        self._folder(target.parent).changes.append(change)

    def link(self, source: Path, target: Path) -> None:
        at = self._begin()
        super().link(source, target)
        self._nodes[target] = self._nodes[source]
        self._folder(target.parent).changes.append(_Change(at, name=target.name, node=self._nodes[target]))

    def unlink(self, path: Path) -> None:
        at = self._begin()
        super().unlink(path)
        if self._nodes.pop(path, None) is not None:
            self._folder(path.parent).changes.append(_Change(at, gone=path.name))

    def flush_folder(self, folder: Path) -> None:
        if self.meanwhile:
            self.meanwhile(folder)
        if folder not in self._nodes:  # outside of the root
            self._begin()
            return
        for path in folder.iterdir():
            self._notice(path)
        self._folder(folder).flushed_at.append(self._begin())

    def _notice(self, path: Path) -> None:
        """Take in a file that somebody else wrote."""
        if path not in self._nodes and path.is_file():
            self._nodes[path] = _File(path.read_bytes())
            self._folder(path.parent).changes.append(_Change(self.done, name=path.name, node=self._nodes[path]))

    def make_folder(self, folder: Path) -> None:
        at = self._begin()
        super().make_folder(folder)
        if folder not in self._nodes:
            self._nodes[folder] = _Folder()
            self._folder(folder.parent).changes.append(_Change(at, name=folder.name, node=self._nodes[folder]))

    def lose_power(self, target: Path, *, after: int, random: Random) -> None:
        """Make `target` a folder as it may be found if the power goes after the first `after` operations."""
        self._restore(self._folder(self._root), target, after, random)

    def _restore(self, folder: _Folder, target: Path, after: int, random: Random) -> None:
        target.mkdir()
        durable_until = max((at for at in folder.flushed_at if at <= after), default=-1)
        names: dict[str, _File | _Folder] = {}
        for change in folder.changes:
            if change.at < durable_until or (change.at <= after and random.random() < 0.5):
                if change.gone is not None:
                    names.pop(change.gone, None)
                if change.node is not None:
                    names[change.name] = change.node
        for name, node in names.items():
            if isinstance(node, _Folder):
                self._restore(node, target / name, after, random)
            else:
                (target / name).write_bytes(node.content if node.flushed_at <= after else _torn(node.content, random))


def _torn(content: bytes, random: Random) -> bytes:
    """What may be on the device of content that was not flushed."""
    sectors = [content[i : i + _SECTOR] for i in range(0, len(content), _SECTOR)]
    kind = random.randrange(4)
    if kind == 0:
        return content
    if kind == 1:
        return b""
    if kind == 2:
        return b"".join(sectors[: random.randrange(len(sectors) + 1)])
    return b"".join(sector if random.random() < 0.5 else bytes(len(sector)) for sector in sectors)

"""Folder: what makes a folder a lake.

Takes   a path.
Gives   `lake.json` in it: the format version and the promotions made since; the tables' folders appear as they fill.
Refuses a folder without it, or with a version this code does not know: `NotALake`.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from .disk import Disk, create_durably, make_folders_durably, replace_durably
from .errors import NotALake
from .schema import FORMAT_VERSION, PROMOTED, Promoted

FILE_NAME = "lake.json"

_ESCAPE = re.compile("%[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class LakeFolder:
    """A folder that is a lake."""

    path: Path
    promoted: tuple[Promoted, ...] = PROMOTED
    """Every promotion of this lake, in column order."""


def open_folder(path: Path) -> LakeFolder:
    """Read what kind of lake the folder holds.

    Raises:
        NotALake: there is none, or its format is newer than this version of Tracelake, or no lake can be there.
    """
    _check_path(path)
    try:
        content = orjson.loads((path / FILE_NAME).read_bytes())
        if content["format_version"] > FORMAT_VERSION:
            raise NotALake(
                f"{path} has lake format {content['format_version']}, this Tracelake reads up to {FORMAT_VERSION}: "
                "install a newer Tracelake"
            )
        extra = tuple(Promoted(**{**p, "aliases": tuple(p["aliases"])}) for p in content["promoted"])
    except (FileNotFoundError, NotADirectoryError):
        raise NotALake(f"{path} holds no lake: {FILE_NAME} is missing; check the path or create one") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise NotALake(f"{path / FILE_NAME} is damaged ({error}); restore it from a backup") from error
    return LakeFolder(path, PROMOTED + extra)


def create_folder(path: Path, *, disk: Disk | None = None) -> LakeFolder:
    """Make the folder a lake, unless it is one already.

    Raises:
        NotALake: no lake can be there, or what is there is of a newer format.
    """
    _check_path(path)
    if not (path / FILE_NAME).exists():
        disk = disk or Disk()
        make_folders_durably(disk, path)
        with contextlib.suppress(FileExistsError):  # somebody else is making the same lake
            create_durably(disk, path / FILE_NAME, _content(()))
    return open_folder(path)


def mark_of(path: Path) -> object:
    """What is another one whenever the lake's `lake.json` is written, None while there is none."""
    try:
        found = (path / FILE_NAME).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def add_promotion(lake: LakeFolder, promoted: Promoted, *, disk: Disk | None = None) -> LakeFolder:
    """Record one more promotion; rows written from now on have its column."""
    earlier = open_folder(lake.path).promoted[len(PROMOTED) :]  # there may be more of them than when `lake` was opened
    replace_durably(disk or Disk(), lake.path / FILE_NAME, _content((*earlier, promoted)))
    return open_folder(lake.path)


def _check_path(path: Path) -> None:
    if found := _ESCAPE.search(str(path.absolute())):
        raise NotALake(f"{path}: the path has {found[0]!r}, which Delta readers take for another character; use another one")


def _content(extra: tuple[Promoted, ...]) -> bytes:
    content = {"format_version": FORMAT_VERSION, "promoted": [asdict(p) for p in extra]}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2)

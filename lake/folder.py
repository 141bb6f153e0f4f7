"""Folder: what makes a folder a lake.

Takes   a path.
Gives   `lake.json` in it: the format version and the promotions made since; the tables' folders appear as they fill.
Refuses a folder without it, or with a version this code does not know: `NotALake`.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from .disk import Disk, make_folders_durably, write_durably
from .errors import NotALake
from .schema import FORMAT_VERSION, PROMOTED, Promoted

_NAME = "lake.json"


@dataclass(frozen=True, slots=True)
class LakeFolder:
    """A folder that is a lake."""

    path: Path
    promoted: tuple[Promoted, ...] = PROMOTED
    """Every promotion of this lake, in column order."""


def open_folder(path: Path) -> LakeFolder:
    """Read what kind of lake the folder holds.

    Raises:
        NotALake: there is none, or its format is newer than this version of Tracelake.
    """
    try:
        content = orjson.loads((path / _NAME).read_bytes())
        version = content["format_version"]
    except FileNotFoundError:
        raise NotALake(f"{path} holds no lake: {_NAME} is missing; check the path or create one") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise NotALake(f"{path / _NAME} is damaged ({error}); restore it from a backup") from error
    if version > FORMAT_VERSION:
        raise NotALake(
            f"{path} has lake format {version}, this Tracelake reads up to {FORMAT_VERSION}: install a newer Tracelake"
        )
    extra = tuple(Promoted(**{**p, "aliases": tuple(p["aliases"])}) for p in content.get("promoted", []))
    return LakeFolder(path, PROMOTED + extra)


def create_folder(path: Path, *, disk: Disk | None = None) -> LakeFolder:
    """Make the folder a lake, unless it is one already."""
    disk = disk or Disk()
    make_folders_durably(disk, path)
    if not (path / _NAME).exists():
        _write(disk, path, ())
    return open_folder(path)


def add_promotion(lake: LakeFolder, promoted: Promoted, *, disk: Disk | None = None) -> LakeFolder:
    """Record one more promotion; rows written from now on have its column."""
    _write(disk or Disk(), lake.path, (*lake.promoted[len(PROMOTED) :], promoted))
    return open_folder(lake.path)


def _write(disk: Disk, path: Path, extra: tuple[Promoted, ...]) -> None:
    content = {"format_version": FORMAT_VERSION, "promoted": [asdict(p) for p in extra]}
    new = path / f"{_NAME}.{secrets.token_hex(8)}"
    write_durably(disk, new, orjson.dumps(content, option=orjson.OPT_INDENT_2))
    disk.rename(new, path / _NAME)
    disk.flush_folder(path)

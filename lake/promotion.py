"""Promotion: one more attribute of a lake gets a column of its own.

Takes   the lake, the attribute's key, where it is sent and its type.
Gives   `Promoted`, recorded in `lake.json`. Rows that come from then on have the column; for older ones the views read the
        attribute's map entry, so nothing is rewritten. Servers, compactors and open lakes notice by themselves.
Refuses a key that has a column already, a column name that is taken or none, and more keys than there are characters:
        `InvalidParameter` names what to change.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from .errors import InvalidParameter
from .folder import LakeFolder, add_promotion, open_folder
from .schema import PARTITIONS, PROMOTED_CODES, Promoted, tables_of

_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
_KEY_MAX_CHARACTERS = 256


def promote(
    lake: LakeFolder,
    key: str,
    *,
    where: Literal["span", "resource"] = "span",
    type: Literal["s", "i"] = "s",  # noqa: A002 - as in `Promoted`
    column: str | None = None,
) -> Promoted:
    """Give an attribute a column of the table `spans`.

    Args:
        key: of the attribute, as it is sent.
        where: whether it is an attribute of spans or of their resource.
        type: `s` for strings, `i` for integers; an attribute of another type stays where it is, and fills the column too
            where its text can be of that type.
        column: its name; by default the key in lower case, with `_` for what no name has.

    Raises:
        InvalidParameter: `key` or `column` cannot be.
        NotALake: the folder holds no lake.
    """
    if not key or len(key) > _KEY_MAX_CHARACTERS:
        raise InvalidParameter("key", f"key must have 1 to {_KEY_MAX_CHARACTERS} characters")
    with _alone(lake.path):
        current = open_folder(lake.path)
        _check_key(key, where, current)
        name = column or re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
        _check_name(name, current)
        promoted = Promoted(name, key, _free_code(where, current), where, type)
        add_promotion(current, promoted)
    return promoted


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process promotes at a time."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _check_key(key: str, where: str, lake: LakeFolder) -> None:
    for promoted in lake.promoted:
        if promoted.where == where and key in (promoted.key, *promoted.aliases):
            raise InvalidParameter("key", f"key {key!r} of a {where} has the column {promoted.column!r} already")


def _check_name(name: str, lake: LakeFolder) -> None:
    if not _NAME.fullmatch(name):
        problem = f"column {name!r} must begin with a letter and have only a-z, 0-9 and _, at most 63 of them"
        raise InvalidParameter("column", f"{problem}: choose one with --column")
    taken = {column.name for column in (*tables_of(lake.promoted)["spans"].columns, *PARTITIONS)}
    if name in taken:
        raise InvalidParameter("column", f"column {name!r} is taken: choose another one with --column")


def _free_code(where: str, lake: LakeFolder) -> str:
    used = {promoted.code for promoted in lake.promoted if promoted.where == where}
    for code in PROMOTED_CODES:
        if code not in used:
            return code
    raise InvalidParameter("key", f"{len(used)} attributes of a {where} have columns and no more can: query it in the map")

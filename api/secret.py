"""Secret: the random bytes that sign cursors, the same in every worker and after a restart."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from lake.disk import Disk, make_folders_durably
from lake.errors import SettingError

SIZE_BYTES = 32


def cursor_secret(data: Path) -> bytes:
    """Read the secret of a data folder, or make it; of several processes that try at once one wins.

    Raises:
        SettingError: there is one that no secret can be: with it anybody could make cursors.
    """
    path = data / "cursor.key"
    if not path.exists():
        _make(path)
    secret = path.read_bytes()
    if len(secret) != SIZE_BYTES:
        raise SettingError(f"{path} is damaged: delete it and start again; only the cursors that clients hold end with it")
    return secret


def _make(path: Path) -> None:
    disk = Disk()
    make_folders_durably(disk, path.parent)
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(SIZE_BYTES))
    disk.flush(new)
    with contextlib.suppress(FileExistsError):
        os.link(new, path)
    new.unlink()
    disk.flush_folder(path.parent)

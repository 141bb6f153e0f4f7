"""Secret: the random bytes that sign cursors, the same in every worker and after a restart."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from lake.disk import Disk, make_folders_durably

SIZE_BYTES = 32


def cursor_secret(data: Path) -> bytes:
    """Read the secret of a data folder, or make it; of several processes that try at once one wins."""
    path = data / "cursor.key"
    if not path.exists():
        make_folders_durably(Disk(), data)
        new = data / f"cursor.key.{secrets.token_hex(8)}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SIZE_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_bytes()

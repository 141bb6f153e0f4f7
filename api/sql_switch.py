"""SQL switch: whether a server runs SQL of others, and what it says of that at start.

Takes   its settings, and what the kernel can keep from a process.
Gives   the reason why not, or the warning.
Refuses nothing. It imports nothing of the server, for the process that starts the others only says the warning.
"""

from __future__ import annotations

import ipaddress

from .settings import ServerSettings

_NO_LANDLOCK = (
    "the kernel of this machine has no Landlock, so SQL of others is kept from the server's files by DuckDB's own settings "
    "alone; TRACELAKE_SQL_WITHOUT_LANDLOCK=1 allows it nevertheless (docs/sql.md)"
)


def problem(settings: ServerSettings, landlock_abi: int) -> str | None:
    """Why SQL cannot be run for who can reach the server, None if it can."""
    if landlock_abi or settings.sql_without_landlock or is_loopback(settings.host):
        return None
    return f"SQL is switched off here: {_NO_LANDLOCK}"


def warning(settings: ServerSettings, landlock_abi: int) -> str | None:
    """What to say at start about SQL, None if there is nothing."""
    return problem(settings, landlock_abi) or (None if landlock_abi else f"SQL is on: {_NO_LANDLOCK}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Settings of the server: where it listens and what it may hold.

Takes   environment variables and the options of `tracelake serve`.
Gives   `ServerSettings`, frozen; worker processes read the same from the environment that the command sets.
Refuses values that cannot be: `SettingError` names the variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lake.control.keys import RATE_LIMIT_MAX
from lake.errors import SettingError
from lake.settings import LakeSettings

SELF_TRACE_PROJECT = "tracelake"
"""Project whose live lake has the server's own traces (`api.self_trace`)."""
SELF_TRACE_KEY = "TRACELAKE_SELF_TRACE_KEY"
"""Environment variable of the web server process alone: the key that it sends them with."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server."""

    data: Path = Path("data")
    """Folder of all lakes and of the control database (`TRACELAKE_DATA`)."""
    control_url: str | None = None
    """SQLAlchemy URL of the control database, if it is not in the data folder (`TRACELAKE_CONTROL_URL`)."""
    host: str = "127.0.0.1"
    """Address to listen on (`TRACELAKE_HOST`)."""
    port: int = 3000
    """Port to listen on (`TRACELAKE_PORT`)."""
    workers: int = 1
    """Processes that answer requests (`TRACELAKE_WORKERS`)."""
    ingest_success_status: int = 200
    """Status of a successful ingest; 202 with an empty body for clients that insist (`TRACELAKE_INGEST_SUCCESS_STATUS`)."""
    rate_limit_per_minute: int = 1000
    """Requests a minute of a key without a limit of its own, or of an address (`TRACELAKE_RATE_LIMIT_PER_MINUTE`)."""
    cluster: str = "default"
    """Cluster that the server's own processes are listed under (`TRACELAKE_CLUSTER`)."""
    region: str = ""
    """Region of them (`TRACELAKE_REGION`)."""
    lab_url: str = ""
    """Address of JupyterLab to link from the first page (`TRACELAKE_LAB_URL`)."""
    lake: LakeSettings = field(default_factory=LakeSettings)
    """Settings of every lake."""
    sql_timeout_s: int = 10
    """Seconds that a query of `POST /v1/sql` may take (`TRACELAKE_SQL_TIMEOUT_S`)."""
    sql_without_landlock: bool = False
    """Whether `POST /v1/sql` answers on an address that others can reach although the kernel has no Landlock
    (`TRACELAKE_SQL_WITHOUT_LANDLOCK=1`)."""
    self_trace: bool = False
    """Whether requests to the API are traced into the lake of the project `tracelake` (`TRACELAKE_SELF_TRACE=1`)."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings that are set; the others keep their defaults.

        Raises:
            SettingError: a value cannot be.
        """
        return cls(
            data=Path(environment.get("TRACELAKE_DATA", "data")),
            control_url=environment.get("TRACELAKE_CONTROL_URL") or None,
            host=environment.get("TRACELAKE_HOST", "127.0.0.1"),
            port=_number(environment, "TRACELAKE_PORT", 3000, 65_535),
            workers=_number(environment, "TRACELAKE_WORKERS", 1, 64),
            ingest_success_status=_success(environment),
            rate_limit_per_minute=_number(environment, "TRACELAKE_RATE_LIMIT_PER_MINUTE", 1000, RATE_LIMIT_MAX),
            cluster=environment.get("TRACELAKE_CLUSTER") or "default",
            region=environment.get("TRACELAKE_REGION", ""),
            lab_url=environment.get("TRACELAKE_LAB_URL", ""),
            lake=LakeSettings.from_env(environment),
            self_trace=_switch(environment, "TRACELAKE_SELF_TRACE"),
            sql_timeout_s=_number(environment, "TRACELAKE_SQL_TIMEOUT_S", 10, 600),
            sql_without_landlock=_switch(environment, "TRACELAKE_SQL_WITHOUT_LANDLOCK"),
        )


def url_of(settings: ServerSettings) -> str:
    """The address that a server answers at from its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://{host}:{settings.port}"


def _number(environment: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= highest:
        raise SettingError(f"{name} must be a whole number from 1 to {highest}, not {text!r}")
    return int(text)


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name) or "0"
    if text not in ("0", "1"):
        raise SettingError(f"{name} must be 0 or 1, not {text!r}")
    return text == "1"


def _success(environment: Mapping[str, str]) -> int:
    name = "TRACELAKE_INGEST_SUCCESS_STATUS"
    text = environment.get(name) or "200"
    if text not in ("200", "202"):
        raise SettingError(f"{name} must be 200 or 202, not {text!r}")
    return int(text)

"""Deploy watch: deploys of the live lakes, put into the outbox for PagerDuty.

Takes   the data folder and the control database.
Gives   a message for each deploy that came lately, once.
Refuses nothing: a lake that cannot be read does not stop the others.

What is in the outbox already is the only memory, so a restart neither repeats nor loses a deploy; one that came while no
scheduler ran for longer than `LATELY` is not told any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

import lake
from lake.control.database import writing
from lake.folder import FILE_NAME, mark_of

from .deploy_notes import Deployed
from .outbox import enqueue_deploys

LATELY = timedelta(minutes=15)
_SHOWN = timedelta(days=1)
"""How long ago a deploy may have been that comes now."""
_DEPLOYS_MAX = 100
"""Deploys of one lake that one look tells of."""

log = structlog.get_logger()


class DeployWatch:
    """Looks after the deploys of a data folder. For one thread at a time."""

    def __init__(self, data: Path, engine: Engine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._data = data
        self._engine = engine
        self._now = now
        self._lakes: dict[Path, tuple[lake.Lake, object]] = {}

    def look(self) -> None:
        """Put the deploys that came lately into the outbox."""
        folders = {path.parent for path in self._data.glob(f"*/live/{FILE_NAME}")}
        self._forget(self._lakes.keys() - folders)
        for folder in sorted(folders):
            try:
                self._tell(folder.parent.name, self._deploys(folder))
            except (lake.LakeError, DBAPIError, OSError) as error:
                log.error("deploys not told", lake=str(folder), exc_info=error)

    def close(self) -> None:
        """Give the lakes back."""
        self._forget(set(self._lakes))

    def _forget(self, folders: Collection[Path]) -> None:
        for folder in folders:
            self._lakes.pop(folder)[0].close()

    def _lake(self, folder: Path) -> lake.Lake:
        mark = mark_of(folder)  # another one once the folder holds another lake
        if folder in self._lakes and self._lakes[folder][1] != mark:
            self._forget([folder])
        if folder not in self._lakes:
            self._lakes[folder] = lake.open(folder), mark
        return self._lakes[folder][0]

    def _deploys(self, folder: Path) -> list[Deployed]:
        now = self._now()
        page = self._lake(folder).deploy_page(since=now - _SHOWN, until=now + LATELY, limit=_DEPLOYS_MAX)
        rows = page.arrow().to_pylist()
        return [Deployed.of(folder.parent.name, row) for row in rows if row["ingested_at"] >= now - LATELY]

    def _tell(self, project: str, deployed: list[Deployed]) -> None:
        if deployed:
            with writing(self._engine) as connection, connection.begin():
                enqueue_deploys(connection, "live", deployed, self._now())

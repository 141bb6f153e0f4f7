"""Deploy watch: deploys of the live lakes, put into the outbox for PagerDuty.

Takes   the data folder and the control database.
Gives   a message for each deploy that came lately, once.
Refuses nothing: a lake that cannot be read does not stop the others.

What is in the outbox already is the only memory, so a restart neither repeats nor loses a deploy; one that came while no
scheduler ran for longer than `LATELY` is not told any more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine

from lake.control.access import changing
from lake.control.nodes import Place
from lake.errors import LakeError
from lake.folder import FILE_NAME

from ..open_lakes import OpenLakes
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
        self._lakes = OpenLakes(data)

    def look(self) -> None:
        """Put the deploys that came lately into the outbox."""
        places = {Place(path.parent.parent.name, "live") for path in self._data.glob(f"*/live/{FILE_NAME}")}
        self._lakes.keep(places)
        for place in sorted(places):
            try:
                self._tell(self._deploys(place))
            except (LakeError, OSError) as error:
                log.error("deploys not told", project=place.project, exc_info=error)

    def close(self) -> None:
        """Give the lakes back."""
        self._lakes.close()

    def _deploys(self, place: Place) -> list[Deployed]:
        now = self._now()
        page = self._lakes.of(place).deploy_page(since=now - _SHOWN, until=now + LATELY, limit=_DEPLOYS_MAX)
        rows = page.arrow().to_pylist()
        return [Deployed.of(place.project, row) for row in rows if row["ingested_at"] >= now - LATELY]

    def _tell(self, deployed: list[Deployed]) -> None:
        if deployed:
            with changing(self._engine) as connection:
                enqueue_deploys(connection, "live", deployed, self._now())

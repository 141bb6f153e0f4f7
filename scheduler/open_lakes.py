"""Open lakes: the lakes of a data folder that a job reads, opened once and not for every run.

Takes   the data folder.
Gives   a lake by its project and environment.
Refuses places where no lake is (`NotALake`).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import lake
from lake.control.nodes import Place
from lake.folder import mark_of
from lake.settings import LakeSettings


class OpenLakes:
    """The lakes that one job has open. For one thread at a time."""

    def __init__(self, data: Path, settings: LakeSettings | None = None) -> None:
        self._data = data
        self._settings = settings
        self._open: dict[Place, tuple[lake.Lake, object]] = {}

    def of(self, place: Place) -> lake.Lake:
        """The lake of a place; opened anew once its folder holds another one, or the same with another promotion.

        Raises:
            NotALake: there is none yet.
        """
        folder = self._data / place.project / place.environment
        mark = mark_of(folder)
        if place in self._open and self._open[place][1] != mark:
            self._close(place)
        if place not in self._open:
            self._open[place] = lake.open(folder, self._settings), mark
        return self._open[place][0]

    def keep(self, places: Collection[Place]) -> None:
        """Give back the lakes of other places."""
        for place in self._open.keys() - set(places):
            self._close(place)

    def close(self) -> None:
        """Give all lakes back."""
        self.keep(())

    def _close(self, place: Place) -> None:
        self._open.pop(place)[0].close()

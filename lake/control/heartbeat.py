"""Heartbeat: how a process of the server says that it is alive.

Takes   the control database, the identity of the process, and what it says of itself.
Gives   a heartbeat with what the process measures of itself at the moment.
Refuses nothing: what the database cannot take is logged, and the next heartbeat comes.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import psutil

from ..errors import Overloaded
from .control import Control
from .nodes import SERVER, Description
from .process import ProcessIdentity

HEARTBEAT_EVERY_S = 10

logger = logging.getLogger(__name__)


class Heartbeat:
    """The heartbeat of one process. For one thread at a time."""

    def __init__(self, control: Control, identity: ProcessIdentity, said: Description) -> None:
        self._control = control
        self._identity = identity
        self._said = replace(said, name=identity.name, started_at=identity.started_at)
        self._process = psutil.Process()
        self._process.cpu_percent()  # begins to measure

    def beat(self) -> None:
        """Say it once."""
        gauges = {"cpu_percent": self._process.cpu_percent(), "memory_bytes": self._process.memory_info().rss}
        try:
            said = replace(self._said, gauges=gauges)
            self._control.nodes.beat(SERVER, self._identity.node_id, self._identity.role, said)
        except Overloaded as error:
            logger.warning("no heartbeat node=%s error=%s", self._identity.node_id, error)

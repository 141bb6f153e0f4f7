"""Traffic: what this worker has taken in, by lake and node, until it is noted in the control database.

Takes   each request of ingest: whose it is, from which collector, how many spans and bytes.
Gives   the sums to `lake.control.nodes`, every few seconds and at the end, together with the heartbeat of the worker.
Refuses nothing. What the database cannot take at the moment is kept for the next time.

Ingest pays for two additions in a dictionary; the database is written by a thread.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import structlog

from lake.control import Principal
from lake.control.heartbeat import HEARTBEAT_EVERY_S, Heartbeat
from lake.control.nodes import MAX_NODES, Nodes, Place, Traffic
from lake.errors import Overloaded

NODE_HEADER = "x-mesh-node-id"
"""Header of ingest by which a collector says which node it is."""

NODE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

log = structlog.get_logger()


class TrafficLedger:
    """The traffic of one worker. Belongs to one event loop."""

    def __init__(self, nodes: Nodes, node_id: str) -> None:
        """
        Args:
            node_id: of the worker itself.
        """
        self._nodes = nodes
        self._node_id = node_id
        self._sums: dict[tuple[Place, str, bool], Traffic] = {}

    def note(self, principal: Principal, collector: str | None, traffic: Traffic) -> None:
        """Count a request.

        Args:
            collector: value of `NODE_HEADER`; one that is no id is as good as none.
        """
        place = Place(principal.project, principal.environment)
        self._add((place, self._node_id, False), traffic)
        if collector and NODE_ID.fullmatch(collector) and len(self._sums) < MAX_NODES:
            self._add((place, collector, True), traffic)

    def _add(self, key: tuple[Place, str, bool], traffic: Traffic) -> None:
        known = self._sums.get(key)
        self._sums[key] = known + traffic if known else traffic

    async def flush(self) -> None:
        """Hand over what has gathered."""
        sums, self._sums = self._sums, {}
        if not sums:
            return
        try:
            await asyncio.to_thread(self._nodes.take_in, sums)
        except Overloaded as error:
            log.warning("traffic not noted", reason=str(error))
            self._take_back(sums)

    def _take_back(self, sums: Mapping[tuple[Place, str, bool], Traffic]) -> None:
        for key, traffic in sums.items():
            self._add(key, traffic)


async def keep_noted(ledger: TrafficLedger, heartbeat: Heartbeat, nodes: Nodes) -> None:
    """Note traffic and heartbeat again and again, until cancelled."""
    while True:
        try:
            await ledger.flush()
            await asyncio.to_thread(heartbeat.beat)
            await asyncio.to_thread(nodes.forget_silent)
        except Exception as error:  # whatever it is, the worker goes on with its work and tries again
            log.error("nodes not noted", exc_info=error)
        await asyncio.sleep(HEARTBEAT_EVERY_S)

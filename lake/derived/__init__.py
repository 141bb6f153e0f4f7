"""Derived: the tables whose rows follow from spans.

Takes   spans of one hour or of several.
Gives   for each table of `lake.schema.DERIVED` the rows that follow from them. Rows of different spans are put together by
        whoever reads them, so each batch of spans adds its own, and only the rewrite of a whole hour replaces some.
Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from ..schema import ENDPOINT_MINUTES, EXCEPTIONS, SERVICE_EDGES, TRACE_SUMMARIES
from .edges import joined, service_edges_of, settled
from .endpoints import endpoint_minutes_of, merged
from .exceptions import exceptions_of
from .spans import Spans
from .summaries import trace_summaries_of

__all__ = ["DERIVATIONS", "Derivation", "Spans"]


@dataclass(frozen=True, slots=True)
class Derivation:
    """How the rows of one table follow from spans."""

    of: Callable[[Spans], pa.Table]
    """The rows of some spans."""
    together: Callable[[pa.Table], pa.Table]
    """Fewer rows that say the same, out of some rows of one hour."""
    of_hour: Callable[[pa.Table], pa.Table]
    """The rows of an hour that is over, out of the rows of its parts; each part has whole traces."""


def _as_they_are(rows: pa.Table) -> pa.Table:
    return rows


DERIVATIONS = {
    EXCEPTIONS.name: Derivation(lambda spans: exceptions_of(spans.rows), _as_they_are, _as_they_are),
    ENDPOINT_MINUTES.name: Derivation(endpoint_minutes_of, merged, merged),
    SERVICE_EDGES.name: Derivation(service_edges_of, joined, settled),
    TRACE_SUMMARIES.name: Derivation(trace_summaries_of, _as_they_are, _as_they_are),
}
"""By the name of the table."""

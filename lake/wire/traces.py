"""Traces: the bodies of several OTLP trace requests to rows, with an outcome for each.

Takes   bodies as they came, inflated, in either encoding.
Gives   one table of rows for all of them and one `Outcome` a body.
Refuses single bodies: a malformed one, or one over the limits, gets its error as outcome; the others are not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from ..errors import TooLarge, WireError
from ..schema import PROMOTED, Promoted, tables_of
from . import otlp_json, protobuf
from .decoded import Decoded
from .spans import Refused, span_rows

Encoding = Literal["protobuf", "json"]

_DECODE = {"protobuf": protobuf.decode, "json": otlp_json.decode}


@dataclass(frozen=True, slots=True)
class TraceBody:
    """One `ExportTraceServiceRequest`."""

    content: bytes
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one body."""

    row_count: int = 0
    refused: Refused | None = None
    """Spans that were left out."""
    error: WireError | None = None
    """Why the whole body was refused."""


@dataclass(frozen=True, slots=True)
class TraceRows:
    """The rows of some bodies."""

    table: pa.Table
    order: tuple[int, ...]
    """The bodies in the order of their rows; refused ones are not in it."""
    outcomes: tuple[Outcome, ...]
    """One for each body, in the order given."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold."""

    max_spans: int
    max_resources: int


def trace_rows(
    bodies: Sequence[TraceBody], *, limits: Limits, ingested_at_us: int, promoted: tuple[Promoted, ...] = PROMOTED
) -> TraceRows:
    """Decode bodies.

    Args:
        ingested_at_us: microseconds since the Unix epoch, for the column `ingested_at`.
        promoted: the promotions of the lake the rows go to.
    """
    outcomes: dict[int, Outcome] = {}
    tables: list[pa.Table] = [tables_of(promoted)["spans"].arrow_schema.empty_table()]
    order: list[int] = []
    for encoding in _DECODE:
        places = [place for place, body in enumerate(bodies) if body.encoding == encoding]
        for group, decoded in _decoded(encoding, places, bodies, limits, outcomes):
            rows = span_rows(decoded, ingested_at_us=ingested_at_us, promoted=promoted)
            tables.append(rows.table)
            order.extend(group)
            outcomes.update(
                (place, Outcome(count, refused))
                for place, count, refused in zip(group, rows.row_counts, rows.refused, strict=True)
            )
    table = tables[1] if len(tables) == 2 else pa.concat_tables(tables, promote_options="permissive")
    return TraceRows(table, tuple(order), tuple(outcomes[place] for place in range(len(bodies))))


def _decoded(
    encoding: str, places: list[int], bodies: Sequence[TraceBody], limits: Limits, outcomes: dict[int, Outcome]
) -> list[tuple[list[int], Decoded]]:
    """Groups of bodies that decode together; whoever spoils a group gets an error as outcome.

    All together first, since that is fast and nearly always right; one by one only when somebody spoils it.
    """
    if not places:
        return []
    try:
        decoded = _DECODE[encoding]([bodies[place].content for place in places])
        _check(decoded, limits)
    except WireError as error:
        if len(places) == 1:
            outcomes[places[0]] = Outcome(error=error)
            return []
        return [part for place in places for part in _decoded(encoding, [place], bodies, limits, outcomes)]
    return [(places, decoded)]


def _check(decoded: Decoded, limits: Limits) -> None:
    resources = decoded.resources.request
    spans = resources[decoded.scopes.resource[decoded.scope]]
    for what, requests, limit in (("spans", spans, limits.max_spans), ("resources", resources, limits.max_resources)):
        most = int(np.bincount(requests, minlength=1).max())
        if most > limit:
            raise TooLarge(f"a request may hold {limit} {what}, this one has {most}: send smaller batches")

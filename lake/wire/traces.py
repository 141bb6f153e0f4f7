"""Traces: the bodies of several OTLP trace requests to rows, with an outcome for each.

Takes   bodies as they came, inflated, in either encoding.
Gives   one table of rows for all of them and one `Outcome` a body.
Refuses single bodies: a malformed one, or one over the limits, gets its error as outcome; the others are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from ..errors import WireError
from ..schema import PROMOTED, Promoted, tables_of
from . import otlp_json, protobuf
from .decoded import Decoded
from .limits import Limits, check_decoded
from .spans import Refused, span_rows

__all__ = ["Encoding", "Limits", "Outcome", "TraceBody", "TraceRows", "trace_rows"]

Encoding = Literal["protobuf", "json"]

_DECODE: dict[Encoding, Callable[[list[bytes], Limits], Decoded]] = {"protobuf": protobuf.decode, "json": otlp_json.decode}

_GROUP_BYTES = 4 * 2**20
"""Bytes of bodies that are decoded together; in memory they take some fifty times as much at the very worst."""


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


def trace_rows(
    bodies: Sequence[TraceBody], *, limits: Limits, ingested_at_us: int, promoted: tuple[Promoted, ...] = PROMOTED
) -> TraceRows:
    """Decode bodies.

    Args:
        ingested_at_us: microseconds since the Unix epoch, for the column `ingested_at`.
        promoted: the promotions of the lake the rows go to.
    """
    outcomes: dict[int, Outcome] = {}
    tables: list[pa.Table] = []
    order: list[int] = []
    for encoding in _DECODE:
        for group, decoded in _decoded(encoding, bodies, limits, outcomes):
            rows = span_rows(decoded, ingested_at_us=ingested_at_us, promoted=promoted)
            tables.append(rows.table)
            order.extend(group)
            outcomes.update(
                (place, Outcome(count, refused))
                for place, count, refused in zip(group, rows.row_counts, rows.refused, strict=True)
            )
    if not tables:
        tables.append(tables_of(promoted)["spans"].arrow_schema.empty_table())
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
    return TraceRows(table, tuple(order), tuple(outcomes[place] for place in range(len(bodies))))


def _decoded(
    encoding: Encoding, bodies: Sequence[TraceBody], limits: Limits, outcomes: dict[int, Outcome]
) -> Iterator[tuple[list[int], Decoded]]:
    """Groups of bodies of one encoding, decoded together; whoever spoils a group gets an error as outcome.

    All together first, since that is fast and nearly always right; one by one only when somebody spoils it.
    """
    groups = _groups([place for place, body in enumerate(bodies) if body.encoding == encoding], bodies)
    while groups:
        places = groups.pop(0)
        try:
            decoded = _DECODE[encoding]([bodies[place].content for place in places], limits)
            check_decoded(decoded, limits)
        except WireError as error:
            if len(places) == 1:
                outcomes[places[0]] = Outcome(error=error)
            else:
                groups[:0] = [[place] for place in places]
            continue
        yield places, decoded


def _groups(places: list[int], bodies: Sequence[TraceBody]) -> list[list[int]]:
    """Bodies up to `_GROUP_BYTES` together, a larger one alone: what bounds the memory of decoding."""
    groups: list[list[int]] = []
    size = 0
    for place in places:
        size += len(bodies[place].content)
        if not groups or size > _GROUP_BYTES:
            groups.append([])
            size = len(bodies[place].content)
        groups[-1].append(place)
    return groups

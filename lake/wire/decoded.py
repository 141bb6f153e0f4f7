"""Decoded: one shape for OTLP trace requests, whatever encoding they came in.

Takes   nothing; this module only says what `protobuf` and `otlp_json` give and what `spans` takes.

An `ExportTraceServiceRequest` is a tree request > resource > scope > span. Here each level is a set of equally long
columns, and each level below the first knows the row above it that it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .attributes import KeyValues

Indices = npt.NDArray[np.int32]

Counts: TypeAlias = pa.Array
"""Integers of any width; 0 and null mean the same."""


@dataclass(frozen=True, slots=True)
class Resources:
    """R resources (`ResourceSpans`)."""

    request: Indices
    """R indices: the request each one came in, ascending."""
    attributes: KeyValues
    dropped_attributes_count: Counts
    entity_refs: pa.ListArray
    """list<binary>: each `EntityRef` as protobuf."""
    schema_url: pa.StringArray


@dataclass(frozen=True, slots=True)
class Scopes:
    """S scopes (`ScopeSpans`)."""

    resource: Indices
    """S indices into the resources, ascending."""
    name: pa.StringArray
    version: pa.StringArray
    attributes: KeyValues
    dropped_attributes_count: Counts
    schema_url: pa.StringArray


@dataclass(frozen=True, slots=True)
class Events:
    """E events of all spans."""

    offsets: Indices
    """N + 1 places: span i owns the events `offsets[i]:offsets[i + 1]`."""
    name: pa.StringArray
    time_unix_nano: pa.UInt64Array
    attributes: KeyValues
    dropped_attributes_count: Counts


@dataclass(frozen=True, slots=True)
class Links:
    """L links of all spans."""

    offsets: Indices
    trace_id: pa.StringArray
    """Lowercase hex of whatever bytes were sent."""
    span_id: pa.StringArray
    trace_state: pa.StringArray
    flags: Counts
    attributes: KeyValues
    dropped_attributes_count: Counts


@dataclass(frozen=True, slots=True)
class Decoded:
    """All spans of some requests; N spans."""

    request_count: int
    resources: Resources
    scopes: Scopes
    scope: Indices
    """N indices: the scope of each span, ascending."""
    trace_id: pa.StringArray
    """Lowercase hex of whatever bytes were sent (`spans` checks the length), null if it was no id at all."""
    span_id: pa.StringArray
    parent_span_id: pa.StringArray
    """As `trace_id`; empty or null for a root."""
    name: pa.StringArray
    kind: pa.Int32Array
    start_time_unix_nano: pa.UInt64Array
    """Null where the sender's value is no unsigned 64-bit integer."""
    end_time_unix_nano: pa.UInt64Array
    status_code: pa.Int32Array
    """Null where the span has no status."""
    status_message: pa.StringArray
    trace_state: pa.StringArray
    flags: Counts
    attributes: KeyValues
    dropped_attributes_count: Counts
    events: Events
    dropped_events_count: Counts
    links: Links
    dropped_links_count: Counts

"""Exceptions: the exception events of spans, as rows of the table `exceptions`.

Takes   rows of `spans`.
Gives   one row per event of the name `exception` that has a type or a message, with the columns of
        `lake.schema.EXCEPTIONS`; the same spans always give the same rows, ids included.
Refuses nothing.

Event and attribute names: https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..dictionaries import without_dictionaries
from ..fingerprint import app_lines, fingerprints
from ..schema import EXCEPTIONS, TIMESTAMP
from ..wire.arrays import offsets_of, owners_of

SOURCE_COLUMNS = (
    "trace_id", "span_id", "start_time", "service_name", "environment", "git_sha", "service_version", "user_id",
    "attributes", "ingested_at",
)  # fmt: skip
"""The columns of `spans` that the rows are made from, besides `events`."""

_NO_TIME = pa.scalar(0, TIMESTAMP)


def exceptions_of(spans: pa.Table) -> pa.Table:
    """Derive the exceptions of some spans.

    Args:
        spans: at least `events` and `SOURCE_COLUMNS`.
    """
    if spans.column("events").null_count == len(spans):  # the usual case, and the cheapest test there is
        return EXCEPTIONS.arrow_schema.empty_table()
    with_events = np.flatnonzero(pc.fill_null(pc.list_value_length(spans.column("events")), 0).to_numpy())
    lists = spans.column("events").take(pa.array(with_events)).combine_chunks()
    offsets, owners, events = offsets_of(lists), owners_of(lists), lists.flatten()
    wanted = np.flatnonzero(pc.equal(events.field("name"), "exception").to_numpy(zero_copy_only=False))
    owners = owners[wanted]
    return _rows(
        without_dictionaries(spans.select(SOURCE_COLUMNS).take(pa.array(with_events[owners]))),
        events.take(pa.array(wanted)),
        (wanted - offsets[owners]).astype(np.int64),
    )


def _rows(spans: pa.Table, events: pa.StructArray, index_in_span: npt.NDArray[np.int64]) -> pa.Table:
    """One row per event; `spans` has the span of each."""
    attributes = events.field("attributes")
    exception_class = pc.fill_null(_attribute(attributes, "exception.type"), "")
    message = pc.fill_null(_attribute(attributes, "exception.message"), "")
    trace = pc.fill_null(_attribute(attributes, "exception.stacktrace"), "").dictionary_encode()  # few of them are new ones
    backtraces = _lines(trace.dictionary)
    location = app_lines(backtraces).take(trace.indices)
    of_span = {name: spans.column(name).combine_chunks() for name in spans.column_names}
    request_id = pc.coalesce(*(_attribute(of_span["attributes"], key) for key in ("http.request_id", "request_id")))
    columns = {
        "id": _ids(of_span["trace_id"], of_span["span_id"], index_in_span),
        "timestamp": _times(events.field("time"), of_span["start_time"]),
        "exception_class": exception_class,
        "message": message,
        "backtrace": backtraces.take(trace.indices),
        "fingerprint": fingerprints(exception_class, message, location),
        "location": location,
        "service_name": of_span["service_name"],
        "environment": of_span["environment"],
        "git_sha": of_span["git_sha"],
        "version": of_span["service_version"],
        "user_id": of_span["user_id"],
        "request_id": request_id,
        "trace_id": of_span["trace_id"],
        "span_id": of_span["span_id"],
        "ingested_at": of_span["ingested_at"],
        "span_start_time": of_span["start_time"],
    }
    schema = EXCEPTIONS.arrow_schema
    arrays = [columns.get(field.name, pa.nulls(len(events), field.type)) for field in schema]
    rows = pa.Table.from_arrays(arrays, schema=schema)
    told = pc.or_(pc.not_equal(exception_class, ""), pc.not_equal(message, ""))
    return rows if pc.all(told).as_py() else rows.filter(told)


def _times(event: pa.TimestampArray, span: pa.TimestampArray) -> pa.TimestampArray:
    """The time of each event, where it has one: to protobuf 0 is the same as none."""
    return pc.if_else(pc.greater(pc.fill_null(event, _NO_TIME), _NO_TIME), event, span)


def _attribute(maps: pa.MapArray, key: str) -> pa.StringArray:
    return pc.map_lookup(maps, pa.scalar(key), "first")


def _lines(text: pa.StringArray) -> pa.ListArray:
    """Each text cut into its lines; an empty text has none."""
    lines = pc.split_pattern_regex(text, "\r?\n")
    empty = pa.scalar([], pa.list_(pa.string()))
    return pc.if_else(pc.equal(text, ""), empty, lines)


def _ids(trace_id: pa.StringArray, span_id: pa.StringArray, index: npt.NDArray[np.int64]) -> pa.StringArray:
    """Ends of ids, since low-entropy generators count there."""
    digits = pc.utf8_lpad(pa.array(index).cast(pa.string()), 4, "0")
    return pc.binary_join_element_wise("err_", pc.utf8_slice_codeunits(trace_id, -8), span_id, digits, "")

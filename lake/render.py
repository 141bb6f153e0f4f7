"""Render: the spans of one trace as the JSON of the API, made by DuckDB from whole columns.

Takes   rows of `spans` of one trace, each span once.
Gives   SQL whose one value is a JSON array of spans, and the depth of each span in its tree.
Refuses nothing: cycles of parents, missing parents and several roots all have a place.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .queries import identifier, literal
from .schema import PROMOTED, PROMOTED_CODES, Promoted


def with_places(rows: pa.Table) -> pa.Table:
    """The rows and two columns more: `_depth`, and the start of the trace as `_trace_start_ns`."""
    start_us = pc.cast(rows.column("start_time"), pa.int64())
    start_ns = pc.add(pc.multiply(start_us, 1000), pc.cast(rows.column("start_ns_remainder"), pa.int64()))
    trace_start_ns = pa.repeat(pc.min(start_ns), rows.num_rows)
    return rows.append_column("_depth", pa.array(depths(rows))).append_column("_trace_start_ns", trace_start_ns)


def depths(rows: pa.Table) -> npt.NDArray[np.int64]:
    """How many ancestors each span has among the rows; a span in a cycle, or below one, counts as if cut at a root.

    Pointer doubling: each round looks twice as far up, so even a chain of 10,000 spans takes 14 rounds.
    """
    count = rows.num_rows
    parent = pc.index_in(rows.column("parent_span_id"), value_set=rows.column("span_id").combine_chunks())
    above = pc.fill_null(parent, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    above = np.append(np.where(above < 0, count, above), count)  # the place after the last one is above every root
    depth = np.append(np.ones(count, dtype=np.int64), 0)
    for _ in range(max(1, count).bit_length()):
        depth = depth + depth[above]
        above = above[above]
    return np.where(above[:-1] == count, depth[:-1] - 1, 0)


def spans_json(relation: str, promoted: tuple[Promoted, ...] = PROMOTED) -> str:
    """SQL for the array of spans, by start.

    Args:
        relation: name of the rows, with the columns of `with_places`.
    """
    of_span = tuple(p for p in promoted if p.where == "span")
    of_resource = tuple(p for p in promoted if p.where == "resource")
    return f"""
        SELECT coalesce('[' || string_agg(to_json(_span)::VARCHAR, ',' ORDER BY _start_ns, span_id, kind) || ']', '[]')
        FROM (
            SELECT *, epoch_us(start_time) * 1000 + start_ns_remainder AS _start_ns, struct_pack(
                span_id := span_id, parent_span_id := parent_span_id, name := name, service := service_name,
                kind := kind, category := {_CATEGORY},
                start_time := {_time("start_time")}, start_time_unix_nano := (_start_ns)::VARCHAR,
                end_time := {_time("make_timestamp((_start_ns + duration_ns) // 1000)")},
                duration_ms := duration_ns / 1e6, offset_ms := (_start_ns - _trace_start_ns) / 1e6, depth := _depth,
                status := struct_pack(code := status, message := coalesce(status_message, '')),
                attributes := {attributes_json("attributes", "attribute_types", of_span)},
                resource := {attributes_json("resource_attributes", "resource_attribute_types", of_resource)},
                scope := struct_pack(name := scope_name, version := scope_version),
                events := coalesce(list_transform(events, lambda e: struct_pack(name := e.name, time := {_time("e.time")},
                    attributes := {attributes_json("e.attributes", "e.attribute_types", ())})), []),
                links := coalesce(list_transform(links, lambda l: struct_pack(trace_id := l.trace_id, span_id := l.span_id,
                    attributes := {attributes_json("l.attributes", "l.attribute_types", ())})), [])) AS _span
            FROM {relation})
    """


def attributes_json(values: str, types: str, promoted: tuple[Promoted, ...]) -> str:
    """SQL for one JSON object of all attributes, promoted ones under their keys, each in its own type."""
    from_columns = [
        f"CASE WHEN contains({types}, {literal(p.code)}) "
        f"THEN {literal(json.dumps(p.key) + ':')} || to_json({identifier(p.column)})::VARCHAR END"
        for p in promoted
    ]
    letters = f"string_split(translate({types}, {literal(PROMOTED_CODES)}, ''), '')"
    from_map = f"""list_transform(list_zip(map_keys({values}), map_values({values}), {letters}),
        lambda a: to_json(a[1])::VARCHAR || ':' || CASE
            WHEN a[2] IS NULL THEN 'null'
            WHEN a[3] IN ('i', 'b', 'a', 'k', 'A', 'K') THEN a[2]
            WHEN a[3] = 'd' AND a[2] NOT IN ('nan', 'inf', '-inf') THEN a[2]
            ELSE to_json(a[2])::VARCHAR END)"""
    parts = f"list_concat(list_filter([{', '.join(from_columns)}], lambda x: x IS NOT NULL), {from_map})"
    return f"('{{' || array_to_string({parts if promoted else from_map}, ',') || '}}')::JSON"


def _time(expression: str) -> str:
    return f"strftime({expression}, '%Y-%m-%dT%H:%M:%S.%fZ')"


_CATEGORY = """CASE
    WHEN db_system IN ('elasticsearch', 'opensearch') THEN 'search'
    WHEN db_system IS NOT NULL OR db_statement IS NOT NULL THEN 'db'
    WHEN (http_method IS NOT NULL OR url_path IS NOT NULL) AND kind = 'client' THEN 'http_client'
    WHEN kind = 'server' THEN 'http_server'
    WHEN regexp_matches(name, '^render_(template|partial|collection)|\\.(erb|haml|slim)|ActionView') THEN 'view'
    WHEN kind IN ('producer', 'consumer') OR messaging_system IS NOT NULL
        OR regexp_matches(name, '(?i)sidekiq|active_?job|perform') THEN 'job'
    WHEN regexp_matches(name, '^(rake[: ]|thor:|make:)|rake::task') THEN 'command'
    ELSE 'internal' END"""
"""Kind of work a span stands for, as MiniAPM's lists tell them apart; a server span always counts as a web request."""

"""N+1: the same database query again and again from one place, where one query would do.

Takes   the spans of one trace, each once, by start.
Gives   the repeated queries, the most frequent first.
Refuses nothing: missing parents, cycles of parents and span ids that come twice all have a place.

Two spans are the same query when all of this is equal:

    service     that sent it
    pattern     the statement without what differs from row to row: literals and parameters are `?`, comments are gone,
                a list of values is as good as one; without a statement the name of the span, treated alike. Many a client
                sends no statement unless it is told to.
    caller      the parent. An internal span with this one child is a wrapper that some library makes around every query;
                the parent of that counts instead, and so on.

MiniAPM calls five of them in one trace an N+1, wherever they come from. Here they have one caller: five requests that a
gateway sends to a service, each with one query, are no loop over a query, and a query in two loops is two findings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]

MIN_QUERIES = 5
"""So many of the same are an N+1: MiniAPM's number."""

STATEMENT_MAX_CHARACTERS = 2048
"""Of a statement that are compared: there may be ten thousand, each as long as an attribute may be."""

PATTERN_MAX_CHARACTERS = 1000
"""Of a pattern that are shown."""

_TEXT = r"'(?:[^'\\]|\\.|'')*'"
_NUMBER = r"\b0[xX][0-9a-fA-F]+\b|\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b"
_WITHOUT_VALUES = (
    (rf"{_TEXT}|\$\d+|{_NUMBER}", "?"),
    (r"(?s)/\*.*?\*/|--[^\n]*|\s+", " "),  # after the texts: a comment of sqlcommenter has some in it
    (r"\(\s*\?(?:\s*,\s*\?)+\s*\)", "(?)"),
    (r" {2,}", " "),
)
"""Pattern and replacement, in this order. Each costs a walk over all statements, so they are few."""


def n_plus_one(spans: pa.Table) -> list[dict[str, Any]]:
    """The queries that come `MIN_QUERIES` times or more.

    Returns:
        pattern, service, caller_span_id (None for spans without a parent), count, total_duration_ns (the sum: some may run
        at the same time), span_ids by start.
    """
    is_query = pc.or_(spans.column("db_system").is_valid(), spans.column("db_statement").is_valid())
    places = np.flatnonzero(is_query.to_numpy())
    if len(places) < MIN_QUERIES:
        return []
    queries = spans.select(["name", "db_statement", "service_name", "span_id", "duration_ns"]).take(pa.array(places))
    queries = queries.combine_chunks()
    pattern = patterns(pc.coalesce(_whole(queries, "db_statement"), _whole(queries, "name")))
    caller = callers(spans)[places]
    group = _numbered(_codes(_whole(queries, "service_name")), _codes(pattern), caller)
    counts = np.bincount(group)
    total_ns = np.zeros(len(counts), dtype=np.int64)
    np.add.at(total_ns, group, _whole(queries, "duration_ns").to_numpy())
    first = np.full(len(counts), len(group), dtype=np.int64)
    np.minimum.at(first, group, np.arange(len(group)))
    found = sorted(np.flatnonzero(counts >= MIN_QUERIES), key=lambda g: (-counts[g], -total_ns[g], first[g]))
    names = _names(spans)
    return [
        {
            "pattern": pattern[int(first[g])].as_py()[:PATTERN_MAX_CHARACTERS],
            "service": queries.column("service_name")[int(first[g])].as_py(),
            "caller_span_id": None if caller[first[g]] < 0 else names[int(caller[first[g]])].as_py(),
            "count": int(counts[g]),
            "total_duration_ns": int(total_ns[g]),
            "span_ids": queries.column("span_id").filter(pa.array(group == g)).to_pylist(),
        }
        for g in found
    ]


def patterns(statements: pa.StringArray) -> pa.StringArray:
    """Statements without what differs from one to the next."""
    distinct = pc.utf8_slice_codeunits(statements, 0, STATEMENT_MAX_CHARACTERS).dictionary_encode()
    texts = distinct.dictionary
    for pattern, replacement in _WITHOUT_VALUES:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return pc.utf8_trim_whitespace(texts).take(distinct.indices)


def callers(spans: pa.Table) -> Integers:
    """Who calls each span, as its place in `_names`; -1 where there is nobody.

    A parent that has not come is somebody all the same. Pointer doubling: each round skips twice as many wrappers, and a
    cycle of them ends like a chain.
    """
    names = _names(spans)
    own = pc.index_in(_whole(spans, "span_id"), value_set=names).to_numpy()
    parent = pc.fill_null(pc.index_in(_whole(spans, "parent_span_id"), value_set=names), -1).to_numpy().astype(np.int64)
    children = np.bincount(parent[parent >= 0], minlength=len(names))
    above = np.arange(len(names))
    is_wrapper = pc.equal(spans.column("kind"), "internal").to_numpy() & (children[own] == 1) & (parent >= 0)
    above[own[is_wrapper]] = parent[is_wrapper]
    for _ in range(len(names).bit_length()):
        above = above[above]
    return np.where(parent < 0, -1, above[parent])


def _names(spans: pa.Table) -> pa.StringArray:
    """Every span id that the trace knows of, each once."""
    known = pa.chunked_array([_whole(spans, "span_id"), _whole(spans, "parent_span_id").drop_null()], pa.string())
    return pc.unique(known)


def _codes(values: pa.StringArray) -> Integers:
    codes: Integers = pc.fill_null(values.dictionary_encode().indices, -1).to_numpy().astype(np.int64)
    return codes


def _numbered(*keys: Integers) -> Integers:
    """The same small number for each combination of keys."""
    number = np.unique(np.stack(keys), axis=1, return_inverse=True)[1]
    return number.reshape(-1).astype(np.int64)


def _whole(rows: pa.Table, name: str) -> pa.Array:
    return rows.column(name).combine_chunks()

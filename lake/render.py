"""Render: one trace as the API shows it, made from whole columns.

Takes   rows of `spans`, each span once, by start.
Gives   a JSON array of the spans, the depth of each span in its tree, and the summary of the trace.
Refuses nothing: cycles of parents, missing parents and several roots all have a place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from . import json_text
from .schema import PROMOTED, PROMOTED_CODES, TIMESTAMP, Promoted
from .wire.arrays import booleans, numbers

Integers = npt.NDArray[np.int64]

_MAX_NS = 2**63 - 1
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_JSON_ALREADY = np.frombuffer(b"ibakAK", dtype=np.uint8)
"""Types of attributes whose text is JSON: integer, boolean, array and key-value list."""
_PROMOTED_CHARACTERS = np.frombuffer(PROMOTED_CODES.encode(), dtype=np.uint8)


def start_ns(rows: pa.Table) -> Integers:
    """Start of each span in nanoseconds since the Unix epoch."""
    microseconds: Integers = rows.column("start_time").cast(pa.int64()).to_numpy()
    remainder: Integers = rows.column("start_ns_remainder").cast(pa.int64()).to_numpy()
    return np.add(microseconds * 1000, remainder)


def depths(rows: pa.Table) -> Integers:
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


def summary(rows: pa.Table) -> dict[str, Any]:
    """What `lake.queries.TRACES` says of a trace, from all of its spans (at least one).

    The root has no parent; of several the earliest, then the longest; without any it is the earliest span of all.
    """
    starts, durations = start_ns(rows), rows.column("duration_ns").to_numpy()
    keys = {"has_parent": rows.column("parent_span_id").is_valid(), "start": pa.array(starts),
            "shortness": pa.array(-durations), "span_id": rows.column("span_id")}  # fmt: skip
    first = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])[:1]
    root: dict[str, Any] = rows.select([*_ROOT.values()]).rename_columns([*_ROOT]).take(first).to_pylist()[0]
    root["missing"] = root["missing"] is not None
    errors = pc.sum(pc.equal(rows.column("status"), "error")).as_py()
    failed = errors > 0 or (root["kind"] == "server" and (root["http_status_code"] or 0) >= 500)
    return {
        "trace_id": rows.column("trace_id")[0].as_py(),
        "start_ns": int(starts.min()),
        "end_ns": int((starts + durations).max()),
        "span_count": rows.num_rows,
        "error_count": errors,
        "services": sorted(pc.unique(rows.column("service_name").drop_null()).to_pylist()),
        "root": root,
        "status": "error" if failed else "ok" if root["status"] == "ok" else "unset",
    }


_ROOT = {
    "service": "service_name", "operation": "name", "status": "status", "kind": "kind", "missing": "parent_span_id",
    "span_id": "span_id", "environment": "environment", "version": "service_version", "git_sha": "git_sha",
    "http_method": "http_method", "http_route": "http_route", "http_status_code": "http_status_code",
}  # fmt: skip
"""Fields of a summary's root and the columns they come from."""


def spans_json(rows: pa.Table, promoted: tuple[Promoted, ...] = PROMOTED) -> str:
    """A JSON array of the spans, in the order of the rows.

    Args:
        promoted: every promotion of the lake the rows come from.
    """
    rows = rows.combine_chunks()
    column = _Columns(rows)
    starts, durations = start_ns(rows), column["duration_ns"].to_numpy()
    ends = numbers((starts + durations) // 1000).cast(TIMESTAMP)
    span = {
        "span_id": json_text.strings(column["span_id"]),
        "parent_span_id": json_text.strings(column["parent_span_id"]),
        "name": json_text.strings(column["name"]),
        "service": json_text.strings(column["service_name"]),
        "kind": json_text.strings(column["kind"]),
        "category": json_text.strings(_categories(column)),
        "start_time": _times(column["start_time"]),
        "start_time_unix_nano": json_text.strings(pa.array(starts).cast(pa.string())),
        "end_time": _times(ends),
        "duration_ms": json_text.literals(pa.array(durations / 1e6)),
        "offset_ms": json_text.literals(pa.array((starts - starts.min(initial=_MAX_NS)) / 1e6)),
        "depth": json_text.literals(pa.array(depths(rows))),
        "status": json_text.objects(
            {
                "code": json_text.strings(column["status"]),
                "message": json_text.strings(pc.fill_null(column["status_message"], "")),
            }
        ),
        "attributes": _attributes(column, "attributes", "attribute_types", _of(promoted, "span")),
        "resource": _attributes(column, "resource_attributes", "resource_attribute_types", _of(promoted, "resource")),
        "scope": json_text.objects(
            {"name": json_text.strings(column["scope_name"]), "version": json_text.strings(column["scope_version"])}
        ),
        "events": _lists(column["events"], _events),
        "links": _lists(column["links"], _links),
    }
    every = json_text.gathered(json_text.objects(span), np.zeros(rows.num_rows, dtype=np.int64), 1, "[]")
    text: str = every[0].as_py()
    return text


class _Columns:
    """Columns of a table or a struct by name, each in one piece."""

    def __init__(self, rows: pa.Table | pa.StructArray) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> pa.Array:
        if isinstance(self._rows, pa.StructArray):
            return self._rows.field(name)
        return self._rows.column(name).chunk(0)

    def __len__(self) -> int:
        return len(self._rows)


def _of(promoted: tuple[Promoted, ...], where: str) -> list[Promoted]:
    return [p for p in promoted if p.where == where]


def _times(times: pa.TimestampArray) -> pa.StringArray:
    return json_text.strings(pc.strftime(times, format=_TIME_FORMAT))


def _events(events: _Columns) -> pa.StringArray:
    return json_text.objects(
        {
            "name": json_text.strings(events["name"]),
            "time": _times(events["time"]),
            "attributes": _attributes(events, "attributes", "attribute_types", []),
        }
    )


def _links(links: _Columns) -> pa.StringArray:
    return json_text.objects(
        {
            "trace_id": json_text.strings(links["trace_id"]),
            "span_id": json_text.strings(links["span_id"]),
            "attributes": _attributes(links, "attributes", "attribute_types", []),
        }
    )


def _lists(lists: pa.ListArray, render: Callable[[_Columns], pa.StringArray]) -> pa.StringArray:
    """Each list as a JSON array; null as an empty one."""
    if lists.null_count == len(lists):  # most spans have no events, and hardly any has links
        return pa.repeat("[]", len(lists))
    return json_text.gathered(render(_Columns(lists.flatten())), _rows_of(lists), len(lists), "[]")


def _rows_of(lists: pa.Array) -> Integers:
    """The row that each of the list's items belongs to."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), lengths)


def _attributes(column: _Columns, values: str, types: str, promoted: list[Promoted]) -> pa.StringArray:
    """One JSON object of all attributes a row, promoted ones under their keys, each in its own type."""
    characters, rows = _characters(column[types])
    maps = column[values]
    lists = maps.cast(pa.list_(maps.type.field(0)))
    entries = lists.flatten()
    keys, texts, sent, places = [entries.field("key")], [entries.field("value")], [], [_rows_of(lists)]
    sent.append(characters[~np.isin(characters, _PROMOTED_CHARACTERS)])
    for p in promoted:
        of_rows = rows[characters == ord(p.code)]
        if len(of_rows):
            keys.append(pa.repeat(pa.scalar(p.key), len(of_rows)))
            texts.append(column[p.column].take(numbers(of_rows)).cast(pa.string()))
            sent.append(np.full(len(of_rows), ord(p.type), dtype=np.uint8))
            places.append(of_rows)
    members = json_text.members(pa.concat_arrays(keys), _typed(pa.concat_arrays(texts), np.concatenate(sent)))
    return json_text.gathered(members, np.concatenate(places), len(lists), "{}")


def _characters(types: pa.StringArray) -> tuple[npt.NDArray[np.uint8], Integers]:
    """The type characters of all rows one after the other, and the row of each."""
    lengths = pc.fill_null(pc.binary_length(types), 0).to_numpy(zero_copy_only=False)
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(types)], pc.fill_null(types, "")), "")[0]
    return np.frombuffer(joined.as_py().encode("ascii"), dtype=np.uint8), np.repeat(np.arange(len(types)), lengths)


def _typed(texts: pa.StringArray, types: npt.NDArray[np.uint8]) -> pa.StringArray:
    """The values of attributes as JSON; a double that JSON has no number for is a string."""
    plain = np.isin(types, _JSON_ALREADY)
    doubles = types == ord("d")
    if doubles.any():
        finite = pc.fill_null(pc.match_substring_regex(texts, "^-?[0-9]"), fill_value=False)
        plain |= doubles & finite.to_numpy(zero_copy_only=False)
    return pc.if_else(booleans(plain), json_text.literals(texts), json_text.strings(texts))


def _categories(column: _Columns) -> pa.StringArray:
    """Kind of work a span stands for, as MiniAPM's lists tell them apart; a server span always counts as a web request."""
    name, kind = column["name"], column["kind"]

    def present(*names: str) -> pa.BooleanArray:
        return _either(*(column[name].is_valid() for name in names))

    cases = {
        "search": pc.is_in(column["db_system"], value_set=pa.array(["elasticsearch", "opensearch"])),
        "db": present("db_system", "db_statement"),
        "http_client": pc.and_(present("http_method", "url_path"), pc.equal(kind, "client")),
        "http_server": pc.equal(kind, "server"),
        "view": pc.match_substring_regex(name, r"^render_(template|partial|collection)|\.(erb|haml|slim)|ActionView"),
        "job": _either(
            pc.is_in(kind, value_set=pa.array(["producer", "consumer"])),
            present("messaging_system"),
            pc.match_substring_regex(name, "(?i)sidekiq|active_?job|perform"),
        ),
        "command": pc.match_substring_regex(name, "^(rake[: ]|thor:|make:)|rake::task"),
    }
    conditions = pa.StructArray.from_arrays(
        [pc.fill_null(case, fill_value=False) for case in cases.values()], names=[*cases]
    )
    return pc.case_when(conditions, *(pa.scalar(word) for word in cases), pa.scalar("internal"))


def _either(first: pa.BooleanArray, *others: pa.BooleanArray) -> pa.BooleanArray:
    for other in others:
        first = pc.or_(first, other)
    return first

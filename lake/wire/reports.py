"""Reports: the JSON bodies of errors, deploys and request metrics to rows.

Takes   one body and the time it came; an Idempotency-Key if the client sent one.
Gives   rows with the columns of `lake.schema`, and which reports of a batch were left out.
Refuses a body that is malformed or whose only report is: `WireError`. In a batch a bad report is refused alone.

Reports are few and small beside spans, and every field of theirs has several names and types; so one is read at a time,
and only the columns are built at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import TooLarge, WireError
from ..fingerprint import app_lines, fingerprints
from ..schema import DEPLOYS, ERRORS, REQUESTS, TIMESTAMP, Table
from .report_fields import METADATA_FIELDS, Columns, columns_of, deploy_columns, error_columns, request_columns

MAX_REPORTS = 10_000
"""Reports in one batch."""

MAX_VALUES = 2_000_000
"""JSON values in one body, counted by their separators. Each becomes a Python object, twenty times as large as `{},`."""

_ID_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Rejected:
    """A report of a batch that was left out."""

    index: int
    """Its place in the batch, from 0."""
    message: str
    """The field and what it must be."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What one body came to."""

    table: pa.Table
    rejected: tuple[Rejected, ...] = ()


_Kind = TypeVar("_Kind")


class _Errors(msgspec.Struct):
    errors: list[msgspec.Raw]


class _Requests(msgspec.Struct):
    requests: list[msgspec.Raw]
    metadata: dict[str, Any] | None = None


def decode_error(body: bytes, *, ingested_at_us: int, idempotency_key: str | None) -> Reports:
    """One error.

    Args:
        ingested_at_us: microseconds since the Unix epoch; also its time if it has none.
        idempotency_key: the same key gives the same id.

    Raises:
        WireError: the body is no error.
    """
    rows = {0: error_columns(_decoded(body, dict, "a JSON object"))}
    return Reports(_errors(rows, ingested_at_us, idempotency_key))


def decode_errors(body: bytes, *, ingested_at_us: int, idempotency_key: str | None) -> Reports:
    """A batch of errors: `{"errors": [...]}`; arguments as `decode_error`.

    Raises:
        WireError: the body is no batch.
        TooLarge: it has more than `MAX_REPORTS`.
    """
    rows, rejected = _each(_decoded(body, _Errors, "a JSON object with the list `errors`").errors, error_columns)
    return Reports(_errors(rows, ingested_at_us, idempotency_key), rejected)


def decode_deploy(body: bytes, *, ingested_at_us: int, idempotency_key: str | None) -> Reports:
    """One deploy; arguments as `decode_error`.

    Raises:
        WireError: the body is no deploy.
    """
    rows = {0: deploy_columns(_decoded(body, dict, "a JSON object"))}
    columns = _columns(DEPLOYS, rows, ingested_at_us) | {"id": _ids("deploy_", rows, idempotency_key)}
    return Reports(_table(DEPLOYS, columns))


def decode_requests(body: bytes, *, ingested_at_us: int, idempotency_key: str | None) -> Reports:
    """A batch of request metrics: `{"metadata": {...}, "requests": [...]}`; arguments as `decode_error`.

    Requests have no id of ours, so a key changes nothing.

    Raises:
        WireError: the body is no batch.
        TooLarge: it has more than `MAX_REPORTS`.
    """
    batch = _decoded(body, _Requests, "a JSON object with the list `requests`")
    metadata, rest = columns_of(batch.metadata or {}, METADATA_FIELDS, "metadata.")
    rows, rejected = _each(batch.requests, lambda report: request_columns(report, metadata, rest))
    return Reports(_table(REQUESTS, _columns(REQUESTS, rows, ingested_at_us)), rejected)


def _decoded(body: bytes | msgspec.Raw, kind: type[_Kind], rule: str) -> _Kind:
    """
    Raises:
        WireError: the body is not that.
        TooLarge: it has more than `MAX_VALUES`.
    """
    if isinstance(body, bytes) and sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise TooLarge(f"a body may hold {MAX_VALUES} JSON values: send smaller batches")
    try:
        return msgspec.json.decode(body, type=kind)
    except RecursionError as error:
        raise WireError("the JSON is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(f"the report must be {rule}: {error}") from error


def _each(
    reports: Sequence[msgspec.Raw], read: Callable[[dict[str, Any]], Columns]
) -> tuple[dict[int, Columns], tuple[Rejected, ...]]:
    """The sound reports of a batch by their place, and the others."""
    if len(reports) > MAX_REPORTS:
        raise TooLarge(f"a batch may hold {MAX_REPORTS} reports, this one has {len(reports)}: send smaller batches")
    rows, rejected = {}, []
    for index, report in enumerate(reports):
        try:
            rows[index] = read(_decoded(report, dict, "a JSON object"))
        except WireError as error:
            rejected.append(Rejected(index, str(error)))
    return rows, tuple(rejected)


def _errors(rows: dict[int, Columns], ingested_at_us: int, idempotency_key: str | None) -> pa.Table:
    columns = _columns(ERRORS, rows, ingested_at_us)
    location = app_lines(columns["backtrace"])
    computed = fingerprints(columns["exception_class"], columns["message"], location)
    return _table(
        ERRORS,
        columns
        | {
            "id": _ids("err_", rows, idempotency_key),
            "fingerprint": pc.coalesce(columns["fingerprint"], computed),
            "location": location,
        },
    )


def _columns(table: Table, rows: dict[int, Columns], ingested_at_us: int) -> dict[str, pa.Array]:
    """The columns as far as the rows have them; a row without a time has that of ingest."""
    columns = {c.name: pa.array([row.get(c.name) for row in rows.values()], c.type) for c in table.columns}
    ingested_at = pa.repeat(pa.scalar(ingested_at_us, TIMESTAMP), len(rows))
    return columns | {"ingested_at": ingested_at, table.time: pc.coalesce(columns[table.time], ingested_at)}


def _ids(prefix: str, rows: dict[int, Columns], idempotency_key: str | None) -> pa.StringArray:
    """Random ids; with a key always the same ones, so that a repeat is told by them."""
    if idempotency_key is None:
        return pa.array([prefix + secrets.token_hex(_ID_DIGITS // 2) for _ in rows], pa.string())
    hashes = (sha256(f"{index}\0{idempotency_key}".encode()).hexdigest() for index in rows)
    return pa.array([prefix + hash_[:_ID_DIGITS] for hash_ in hashes], pa.string())


def _table(table: Table, columns: dict[str, pa.Array]) -> pa.Table:
    schema = table.arrow_schema
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)

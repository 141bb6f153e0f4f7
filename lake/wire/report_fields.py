"""Report fields: what errors, deploys and request metrics are made of, by every name that senders use.

Takes   one report as JSON values.
Gives   its columns as Python values. Null and an empty text are the same as no field.
Refuses a report without a required field, or with a field of a wrong type: `WireError` names it.

There are two generations of names: `error_type` and `happened_at` of an error became `exception_class` and `timestamp`,
`environment` and `deployed_at` of a deploy `env` and `timestamp`. Both are taken; the newer one counts where both have a
value. What fills no column (unknown names, another name of the same thing, a trace id that is none) is kept in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import WireError
from .report_values import (
    Reader,
    Value,
    backtrace,
    class_name,
    hex_id,
    json_object,
    json_text,
    long_text,
    milliseconds,
    name_text,
    time_us,
    whole_number,
)

MAX_FINGERPRINT_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Field:
    """A column and where its value comes from."""

    column: str
    names: tuple[str, ...]
    """What senders call it; the first that has a value counts."""
    read: Reader
    required: bool = False
    default: Value = None
    """Value of the column where the field is absent."""


_name = name_text()

ERROR_FIELDS = (
    Field("timestamp", ("timestamp", "happened_at", "occurred_at"), time_us),
    Field("exception_class", ("exception_class", "error_type", "type", "class", "name"), class_name, required=True),
    Field("message", ("message",), long_text, default=""),
    Field("backtrace", ("backtrace",), backtrace, default=[]),
    Field("fingerprint", ("fingerprint",), name_text(MAX_FINGERPRINT_CHARACTERS)),
    Field("service_name", ("service", "service_name"), _name),
    Field("environment", ("environment", "env"), _name),
    Field("git_sha", ("git_sha",), _name),
    Field("version", ("version",), _name),
    Field("user_id", ("user_id",), _name),
    Field("request_id", ("request_id",), _name),
    Field("trace_id", ("trace_id",), hex_id(32)),
    Field("span_id", ("span_id",), hex_id(16)),
    Field("params", ("params",), json_text),
    Field("context", ("context",), json_object),
    Field("source_context", ("source_context",), json_object),
)

DEPLOY_FIELDS = (
    Field("deployed_at", ("timestamp", "deployed_at"), time_us),
    Field("version", ("version", "tag"), _name),
    Field("git_sha", ("git_sha", "sha", "commit", "revision"), _name),
    Field("service_name", ("service", "service_name"), _name),
    Field("environment", ("env", "environment"), _name),
    Field("deployer", ("deployer", "user"), _name),
    Field("description", ("description", "message"), long_text),
)

REQUEST_FIELDS = (
    Field("request_id", ("request_id",), _name, required=True),
    Field("timestamp", ("timestamp", "happened_at"), time_us),
    Field("method", ("method",), _name, required=True),
    Field("path", ("path",), long_text, required=True),
    Field("controller", ("controller",), _name),
    Field("action", ("action",), _name),
    Field("status_code", ("status", "status_code"), whole_number, required=True),
    Field("total_ms", ("total_ms", "duration_ms"), milliseconds, required=True),
    Field("db_ms", ("db_ms",), milliseconds, default=0.0),
    Field("db_count", ("db_count",), whole_number, default=0),
    Field("view_ms", ("view_ms",), milliseconds, default=0.0),
)

METADATA_FIELDS = (
    Field("host_name", ("host",), _name),
    Field("environment", ("env",), _name),
    Field("git_sha", ("git_sha",), _name),
)
"""Of the object `metadata` beside the list of requests; they hold for all of them."""

Columns = dict[str, Value]


def columns_of(report: Mapping[str, Value], fields: tuple[Field, ...], path: str = "") -> tuple[Columns, Columns]:
    """The columns of one report, and by name whatever fills none.

    Args:
        path: where the report stands in the body, for messages.

    Raises:
        WireError: a required field is missing, or a field has a wrong type.
    """
    rest = {name: value for name, value in report.items() if value not in (None, "")}
    columns = {}
    for field in fields:
        value = None
        for name in field.names:
            if name in rest and (value := field.read(path + name, rest[name])) is not None:
                del rest[name]
                break
        if value is None and field.required:
            raise WireError(_missing(field))
        columns[field.column] = field.default if value is None else value
    return columns, rest


def _missing(field: Field) -> str:
    first, *others = field.names
    return f"{first} is missing" + (f"; {' or '.join(others)} would do as well" if others else "")


def error_columns(report: Mapping[str, Value]) -> Columns:
    """The columns of a reported error that depend on nothing but itself.

    Raises:
        WireError: it is none.
    """
    if "message" not in report:
        raise WireError("message is missing; it may be empty")
    columns, rest = columns_of(report, ERROR_FIELDS)
    context = report.get("context") or {}
    for name in ("user_id", "request_id"):
        if columns[name] is None:
            columns[name] = _name_in(context, name)
    if columns["trace_id"] is None:
        columns["trace_id"] = hex_id(32)("request_id", columns["request_id"])
    return columns | _extra(rest)


def _name_in(context: Mapping[str, Value], name: str) -> str | None:
    """A name in the context of an error; the context is the sender's own, so it may be anything there."""
    try:
        found: str | None = columns_of(context, (Field(name, (name,), _name),))[0][name]
    except WireError:
        return None
    return found


def deploy_columns(report: Mapping[str, Value]) -> Columns:
    """The columns of a deploy that depend on nothing but itself.

    Raises:
        WireError: it is none.
    """
    columns, rest = columns_of(report, DEPLOY_FIELDS)
    if columns["version"] is None and columns["git_sha"] is None:
        raise WireError("version or git_sha is missing: a deploy needs at least one of them")
    return columns | _extra(rest)


def request_columns(report: Mapping[str, Value], metadata: Columns, metadata_rest: Columns) -> Columns:
    """The columns of one request.

    Args:
        metadata: columns from the body's `metadata`.
        metadata_rest: what else was in there.

    Raises:
        WireError: it is none.
    """
    columns, rest = columns_of(report, REQUEST_FIELDS)
    return columns | metadata | _extra(metadata_rest | rest)


def _extra(rest: Columns) -> Columns:
    said = {name: value for name, value in rest.items() if value not in ([], {})}
    return {"extra": json_text("the report", said)}

"""Schema: THE list of tables and columns, with type, unit and source.

`docs/file-format.md` is tested against this module, the wire writes these columns, compaction stores them, and every
view shows them. Landing files and compacted files have the same columns in the same order.

What is absent is null: an empty text, list or map and a count of 0 are not stored.

Types keep to what Delta, DuckDB, Polars and Spark all read: no unsigned integers, no nanosecond timestamps (a timestamp
is in microseconds and `*_ns_remainder` keeps the 0-999 nanoseconds below it), no VARIANT.

Attributes. `attributes` maps key to text. Beside it `attribute_types` has ONE character per attribute *as it was sent*,
in the order sent, so that an export is exact:

    s string   i integer   d double   b boolean   y bytes (base64)   n no value
    a array and k key-value list, as plain JSON        A and K: the same as OTLP/JSON, where plain JSON would lose types
    0-9 and others of `PROMOTED_CODES`: the attribute stands in that promoted column, not in the map

A promoted column takes the map entry away only for its canonical key in its canonical type. Older names of the same
thing (`Promoted.aliases`) stay in the map and fill the column as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import pyarrow as pa

FORMAT_VERSION = 1
"""Version of everything this module describes; a lake with a higher one is refused."""

TIMESTAMP = pa.timestamp("us", tz="UTC")
ATTRIBUTES = pa.map_(pa.string(), pa.string())

EVENT = pa.struct(
    [
        ("name", pa.string()),
        ("time", TIMESTAMP),
        ("time_ns_remainder", pa.int16()),
        ("attributes", ATTRIBUTES),
        ("attribute_types", pa.string()),
        ("dropped_attributes_count", pa.int64()),
    ]
)
LINK = pa.struct(
    [
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("trace_state", pa.string()),
        ("flags", pa.int64()),
        ("attributes", ATTRIBUTES),
        ("attribute_types", pa.string()),
        ("dropped_attributes_count", pa.int64()),
    ]
)

BINS_TYPE, COUNTS_TYPE = pa.list_(pa.int16()), pa.list_(pa.int64())
"""A histogram of durations: its bins in order, and how many durations lie in each (see `lake.derived.histogram`)."""

SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Words for OTLP `Span.SpanKind` 0-5; a number the specification does not have yet is kept as its digits."""

STATUS_CODES = ("unset", "ok", "error")
"""Words for OTLP `Status.StatusCode` 0-2."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """An attribute that people filter by, stored as a column of its own."""

    column: str
    key: str
    """Canonical attribute key: the current OpenTelemetry semantic convention."""
    code: str
    """Its character in `attribute_types` / `resource_attribute_types`; never given to another key."""
    where: Literal["span", "resource"]
    type: Literal["s", "i"] = "s"
    """Canonical attribute type: only this one leaves the map."""
    aliases: tuple[str, ...] = ()
    """Older or vendor keys of the same thing, best first."""

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.int64() if self.type == "i" else pa.string()


PROMOTED = (
    Promoted("service_name", "service.name", "0", "resource"),
    Promoted("service_version", "service.version", "1", "resource"),
    Promoted("service_namespace", "service.namespace", "2", "resource"),
    Promoted("environment", "deployment.environment.name", "3", "resource", aliases=("deployment.environment",)),
    Promoted("cluster", "k8s.cluster.name", "4", "resource", aliases=("cluster", "deployment.cluster")),
    Promoted("host_name", "host.name", "5", "resource"),
    Promoted("pod_name", "k8s.pod.name", "6", "resource"),
    Promoted("git_sha", "vcs.ref.head.revision", "7", "resource", aliases=("git.sha", "git.commit.sha")),
    Promoted("sdk_language", "telemetry.sdk.language", "8", "resource"),
    Promoted("http_method", "http.request.method", "0", "span", aliases=("http.method",)),
    Promoted("http_route", "http.route", "1", "span"),
    Promoted("http_status_code", "http.response.status_code", "2", "span", "i", aliases=("http.status_code",)),
    Promoted("url_path", "url.path", "3", "span", aliases=("http.target",)),
    Promoted("db_system", "db.system.name", "4", "span", aliases=("db.system",)),
    Promoted("db_namespace", "db.namespace", "5", "span", aliases=("db.name",)),
    Promoted("db_operation", "db.operation.name", "6", "span", aliases=("db.operation",)),
    Promoted("db_statement", "db.query.text", "7", "span", aliases=("db.statement",)),
    Promoted("messaging_system", "messaging.system", "8", "span"),
    Promoted("messaging_operation", "messaging.operation.name", "9", "span", aliases=("messaging.operation",)),
    Promoted("messaging_destination", "messaging.destination.name", "!", "span", aliases=("messaging.destination",)),
    Promoted("rpc_system", "rpc.system.name", '"', "span", aliases=("rpc.system",)),
    Promoted("rpc_service", "rpc.service", "#", "span"),
    Promoted("rpc_method", "rpc.method", "$", "span"),
    Promoted("peer_service", "peer.service", "%", "span"),
    Promoted("server_address", "server.address", "&", "span", aliases=("net.peer.name", "http.host")),
    Promoted("user_id", "user.id", "(", "span", aliases=("enduser.id",)),
    Promoted("client_address", "client.address", ")", "span", aliases=("net.sock.peer.addr", "http.client_ip")),
    Promoted("error_type", "error.type", "*", "span"),
)
"""The promoted attributes of a new lake. `tracelake promote` adds further ones to one lake (see `lake.promotion`)."""

PROMOTED_CODES = '0123456789!"#$%&()*+,-./:;<=>?@[]^_`{|}~'
"""Characters a promotion may use: printable ASCII that is not a letter, quote or backslash."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type, unit and where its value comes from."""

    name: str
    type: pa.DataType
    source: str
    unit: str = ""
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """One Delta table of a lake."""

    name: str
    columns: tuple[Column, ...]
    time: str
    """Column whose value decides the `day` and `hour` partition."""
    sort: tuple[str, ...]
    """Order of rows inside a compacted file."""
    landing: str
    """Name of the landing stream the rows come from; equal to `name` unless the table is derived."""
    retention: str
    """Field of `lake.settings.LakeSettings` with the days its rows are kept."""
    statistics: tuple[str, ...] = ()
    """Columns whose min and max go into the Delta log, for pruning."""
    bloom: tuple[str, ...] = ()
    """Columns with a Parquet bloom filter."""
    plain: frozenset[str] = field(default_factory=frozenset)
    """Columns of nearly unique values, written without a dictionary."""

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])


PARTITIONS = (
    Column("day", pa.date32(), "UTC day of the row's time", nullable=False),
    Column("hour", pa.int16(), "UTC hour of the row's time; -1 for the overflow partition", nullable=False),
)
"""Partition columns of every table: in the Delta log and folder names, not inside the files."""

OVERFLOW_HOUR = -1
"""Hour of the one partition (of day 1970-01-01) for requests that span more than 1,000 hours."""


def _promoted_columns(where: str) -> tuple[Column, ...]:
    return tuple(
        Column(p.column, p.arrow_type, " or ".join(f"`{key}`" for key in (p.key, *p.aliases)))
        for p in PROMOTED
        if p.where == where
    )


_INGESTED = Column("ingested_at", TIMESTAMP, "clock of the ingesting process", "us", nullable=False)

SPANS = Table(
    name="spans",
    landing="spans",
    time="start_time",
    sort=("trace_id", "start_time"),
    retention="spans_days",
    statistics=("trace_id", "start_time", "duration_ns", "service_name", "status", "http_status_code", "ingested_at"),
    bloom=("trace_id",),
    plain=frozenset(
        {
            "trace_id",
            "span_id",
            "parent_span_id",
            "start_time",
            "start_ns_remainder",
            "duration_ns",
            "user_id",
            "client_address",
            "url_path",
        }
    ),
    columns=(
        Column("trace_id", pa.string(), "OTLP `trace_id`, 32 lowercase hex digits", nullable=False),
        Column("span_id", pa.string(), "OTLP `span_id`, 16 lowercase hex digits", nullable=False),
        Column("parent_span_id", pa.string(), "OTLP `parent_span_id`; null for a root"),
        Column("name", pa.string(), "OTLP `name`", nullable=False),
        Column("kind", pa.string(), f"OTLP `kind` as a word: {', '.join(SPAN_KINDS)}", nullable=False),
        Column("start_time", TIMESTAMP, "OTLP `start_time_unix_nano`, rounded down", "us", nullable=False),
        Column("start_ns_remainder", pa.int16(), "nanoseconds of the start below `start_time`, 0-999", "ns", False),
        Column("duration_ns", pa.int64(), "end minus start, 0 where the end came first", "ns", nullable=False),
        Column("end_before_start_ns", pa.int64(), "how far the end lay before the start; null in sound spans", "ns"),
        Column("status", pa.string(), f"OTLP `status.code` as a word: {', '.join(STATUS_CODES)}", nullable=False),
        Column("status_message", pa.string(), "OTLP `status.message`; null if empty"),
        *_promoted_columns("resource"),
        *_promoted_columns("span"),
        Column("exception_type", pa.string(), "`exception.type` of the last `exception` event"),
        Column("attributes", ATTRIBUTES, "OTLP `attributes` that are not promoted"),
        Column("attribute_types", pa.string(), "one character per attribute as sent, see `attributes`"),
        Column("dropped_attributes_count", pa.int64(), "OTLP `dropped_attributes_count`; null if 0"),
        Column("events", pa.list_(EVENT), "OTLP `events`"),
        Column("dropped_events_count", pa.int64(), "OTLP `dropped_events_count`; null if 0"),
        Column("links", pa.list_(LINK), "OTLP `links`"),
        Column("dropped_links_count", pa.int64(), "OTLP `dropped_links_count`; null if 0"),
        Column("flags", pa.int64(), "OTLP `flags`; null if 0"),
        Column("trace_state", pa.string(), "OTLP `trace_state`; null if empty"),
        Column("resource_attributes", ATTRIBUTES, "OTLP `resource.attributes` that are not promoted"),
        Column("resource_attribute_types", pa.string(), "one character per resource attribute as sent"),
        Column("resource_dropped_attributes_count", pa.int64(), "OTLP `resource.dropped_attributes_count`; null if 0"),
        Column("resource_entity_refs", pa.list_(pa.binary()), "OTLP `resource.entity_refs`, each as protobuf"),
        Column("resource_schema_url", pa.string(), "OTLP `resource_spans.schema_url`; null if empty"),
        Column("scope_name", pa.string(), "OTLP `scope.name`; null if empty"),
        Column("scope_version", pa.string(), "OTLP `scope.version`; null if empty"),
        Column("scope_attributes", ATTRIBUTES, "OTLP `scope.attributes`"),
        Column("scope_attribute_types", pa.string(), "one character per scope attribute as sent"),
        Column("scope_dropped_attributes_count", pa.int64(), "OTLP `scope.dropped_attributes_count`; null if 0"),
        Column("scope_schema_url", pa.string(), "OTLP `scope_spans.schema_url`; null if empty"),
        _INGESTED,
    ),
)

SPAN_IDENTITY = ("trace_id", "span_id", "kind", "start_time", "start_ns_remainder")
"""Columns that make a span the same span when it comes again."""

SPAN_RECENCY = ("ingested_at", "duration_ns", "status", "name")
"""Of equal spans the one counts that is highest in these columns: the one that came last; the others break a tie, so that
every reader and every rewrite takes the same one."""

ERRORS = Table(
    name="errors",
    landing="errors",
    time="timestamp",
    sort=("fingerprint", "timestamp"),
    retention="errors_days",
    statistics=("timestamp", "fingerprint", "service_name", "trace_id", "ingested_at"),
    plain=frozenset({"id", "trace_id", "span_id", "request_id"}),
    columns=(
        Column("id", pa.string(), "`err_` and 20 hex digits, given at ingest", nullable=False),
        Column("timestamp", TIMESTAMP, "`timestamp`, `happened_at` or `occurred_at`; else ingest time", "us", False),
        Column("exception_class", pa.string(), "`exception_class`, `error_type`, `type`, `class` or `name`", "", False),
        Column("message", pa.string(), "`message`", nullable=False),
        Column("backtrace", pa.list_(pa.string()), "`backtrace`, one line each", nullable=False),
        Column("fingerprint", pa.string(), "`fingerprint`, else computed (see `lake.fingerprint`)", nullable=False),
        Column("location", pa.string(), "first line of the application in the backtrace"),
        Column("service_name", pa.string(), "`service` or `service_name`"),
        Column("environment", pa.string(), "`environment` or `env`"),
        Column("git_sha", pa.string(), "`git_sha`"),
        Column("version", pa.string(), "`version`"),
        Column("user_id", pa.string(), "`user_id`, also from `context`"),
        Column("request_id", pa.string(), "`request_id`, also from `context`"),
        Column("trace_id", pa.string(), "`trace_id`, or a `request_id` of 32 hex digits"),
        Column("span_id", pa.string(), "`span_id`"),
        Column("params", pa.string(), "`params` as JSON"),
        Column("context", pa.string(), "`context` as JSON"),
        Column("source_context", pa.string(), "`source_context` as JSON"),
        Column("extra", pa.string(), "unknown fields as one JSON object"),
        _INGESTED,
    ),
)

EXCEPTIONS = Table(
    name="exceptions",
    landing="spans",
    time="span_start_time",  # not its own: so the rows of an hour can be made again from the spans of that hour
    sort=("fingerprint", "timestamp"),
    retention="errors_days",
    statistics=("span_start_time", "timestamp", "fingerprint", "service_name", "trace_id", "ingested_at"),
    plain=frozenset({"id", "trace_id", "span_id", "request_id"}),
    columns=(
        *(
            Column(c.name, c.type, source, c.unit, c.nullable)
            for c, source in zip(
                ERRORS.columns,
                (
                    "`err_`, end of the trace id, span id and event index: the same at every derivation",
                    "time of the `exception` event, else start of the span",
                    "`exception.type` of the event",
                    "`exception.message` of the event",
                    "`exception.stacktrace` of the event, one line each",
                    "computed (see `lake.fingerprint`)",
                    "first line of the application in the backtrace",
                    "`service_name` of the span",
                    "`environment` of the span",
                    "`git_sha` of the span",
                    "`service_version` of the span",
                    "`user_id` of the span",
                    "span attribute `http.request_id` or `request_id`",
                    "`trace_id` of the span",
                    "`span_id` of the span",
                    "null",
                    "null",
                    "null",
                    "null",
                    "`ingested_at` of the span",
                ),
                strict=True,
            )
        ),
        Column("span_start_time", TIMESTAMP, "`start_time` of the span", "us", nullable=False),
    ),
)

ENDPOINT_MINUTES = Table(
    name="endpoint_minutes",
    landing="spans",
    time="minute",
    sort=("service_name", "endpoint", "minute"),
    retention="rollups_days",
    statistics=("minute", "service_name", "ingested_at"),
    columns=(
        Column("minute", TIMESTAMP, "minute in which the spans started", "us", nullable=False),
        Column("service_name", pa.string(), "`service_name` of the spans"),
        Column("endpoint", pa.string(), "what they did (see `lake.derived.endpoints`)", nullable=False),
        Column("kind", pa.string(), "`kind` of the spans", nullable=False),
        Column("is_request", pa.bool_(), "they are of kind server or consumer, or roots", nullable=False),
        Column("environment", pa.string(), "`environment` of the spans"),
        Column("cluster", pa.string(), "`cluster` of the spans"),
        Column("service_version", pa.string(), "`service_version` of the spans"),
        Column("sdk_language", pa.string(), "`sdk_language` of the spans"),
        Column("span_count", pa.int64(), "spans", nullable=False),
        Column("error_count", pa.int64(), "spans of status error, or servers that answered 5xx", nullable=False),
        Column("latency_bins", BINS_TYPE, "bins of `duration_ns` that are not empty, in order", nullable=False),
        Column("latency_counts", COUNTS_TYPE, "spans in each of those bins", nullable=False),
        Column("ingested_at", TIMESTAMP, "latest `ingested_at` of the spans", "us", nullable=False),
    ),
)

TRACE_SUMMARIES = Table(
    name="trace_summaries",
    landing="spans",
    time="start_time",
    sort=("start_time", "trace_id"),
    retention="spans_days",
    statistics=("start_time", "trace_id", "ingested_at"),
    plain=frozenset({"trace_id", "start_time", "start_ns_remainder", "duration_ns", "root_span_id", "root_duration_ns"}),
    columns=(
        Column("trace_id", pa.string(), "`trace_id` of the spans", nullable=False),
        Column("start_time", TIMESTAMP, "earliest start of those spans of the trace that are known here", "us", False),
        Column("start_ns_remainder", pa.int16(), "nanoseconds of the start below `start_time`, 0-999", "ns", False),
        Column("duration_ns", pa.int64(), "from there to the latest end", "ns", nullable=False),
        Column("span_count", pa.int64(), "spans", nullable=False),
        Column("error_count", pa.int64(), "spans of status error", nullable=False),
        Column("services", pa.list_(pa.string()), "every `service_name`, in order", nullable=False),
        Column("root_missing", pa.bool_(), "every span has a parent; then the earliest stands for the root", "", False),
        Column("root_span_id", pa.string(), "of the root: no parent, earliest, longest", nullable=False),
        Column("root_offset_ns", pa.int64(), "start of the root after the start of the trace", "ns", nullable=False),
        Column("root_duration_ns", pa.int64(), "`duration_ns` of the root", "ns", nullable=False),
        Column("root_kind", pa.string(), "`kind` of the root", nullable=False),
        Column("root_service", pa.string(), "`service_name` of the root"),
        Column("root_name", pa.string(), "`name` of the root", nullable=False),
        Column("root_status", pa.string(), "`status` of the root", nullable=False),
        Column("root_environment", pa.string(), "`environment` of the root"),
        Column("root_version", pa.string(), "`service_version` of the root"),
        Column("root_git_sha", pa.string(), "`git_sha` of the root"),
        Column("root_http_method", pa.string(), "`http_method` of the root"),
        Column("root_http_route", pa.string(), "`http_route` of the root"),
        Column("root_http_status_code", pa.int64(), "`http_status_code` of the root"),
        Column("ingested_at", TIMESTAMP, "latest `ingested_at` of the spans", "us", nullable=False),
    ),
)

SERVICE_EDGES = Table(
    name="service_edges",
    landing="spans",
    time="start_time",
    sort=("role", "start_time"),
    retention="rollups_days",
    statistics=("start_time", "ingested_at"),
    plain=frozenset({"span_key", "parent_key", "trace_key", "duration_ns"}),
    columns=(
        Column("role", pa.string(), "edge: calls of a minute; caller, callee: one side of a call", nullable=False),
        Column("start_time", TIMESTAMP, "minute of the calls; of one side its own start", "us", nullable=False),
        Column("source", pa.string(), "who calls: a service or a queue"),
        Column("source_type", pa.string(), "service or queue"),
        Column("target", pa.string(), "who is called: a service, or what is known of it"),
        Column("target_type", pa.string(), "service, database, queue or external"),
        Column("type", pa.string(), "database, messaging, rpc, http or other", nullable=False),
        Column("inferred", pa.bool_(), "there is no parent link: one side lies within the other", nullable=False),
        Column("environment", pa.string(), "`environment` of the caller, else of the callee"),
        Column("cluster", pa.string(), "`cluster` of the caller"),
        Column("target_cluster", pa.string(), "`cluster` of the callee"),
        Column("call_count", pa.int64(), "calls", nullable=False),
        Column("error_count", pa.int64(), "calls of which one side failed", nullable=False),
        Column("latency_bins", BINS_TYPE, "bins of the calls' durations that are not empty, in order", nullable=False),
        Column("latency_counts", COUNTS_TYPE, "calls in each of those bins", nullable=False),
        Column("span_key", pa.int64(), "of one side: hash of its trace and span id"),
        Column("parent_key", pa.int64(), "of a callee: hash of its trace and parent span id"),
        Column("trace_key", pa.int64(), "of one side: hash of its trace id"),
        Column("duration_ns", pa.int64(), "of one side: its duration", "ns"),
        Column("address", pa.string(), "of one side: `server_address`"),
        Column("answered", pa.bool_(), "of a producer: some consumer is counted already"),
        Column("ingested_at", TIMESTAMP, "latest `ingested_at` of the spans", "us", nullable=False),
    ),
)

DEPLOYS = Table(
    name="deploys",
    landing="deploys",
    time="deployed_at",
    sort=("deployed_at",),
    retention="deploys_days",
    statistics=("deployed_at", "service_name", "ingested_at"),
    columns=(
        Column("id", pa.string(), "`deploy_` and 20 hex digits, given at ingest", nullable=False),
        Column("deployed_at", TIMESTAMP, "`deployed_at` or `timestamp`; else ingest time", "us", nullable=False),
        Column("version", pa.string(), "`version` or `tag`"),
        Column("git_sha", pa.string(), "`git_sha`, `sha`, `commit` or `revision`"),
        Column("service_name", pa.string(), "`service` or `service_name`; null means every service of the project"),
        Column("environment", pa.string(), "`environment` or `env`"),
        Column("deployer", pa.string(), "`deployer` or `user`"),
        Column("description", pa.string(), "`description` or `message`"),
        Column("extra", pa.string(), "unknown fields as one JSON object"),
        _INGESTED,
    ),
)

REQUESTS = Table(
    name="requests",
    landing="requests",
    time="timestamp",
    sort=("timestamp",),
    retention="requests_days",
    statistics=("timestamp", "ingested_at"),
    plain=frozenset({"request_id"}),
    columns=(
        Column("request_id", pa.string(), "`request_id`", nullable=False),
        Column("timestamp", TIMESTAMP, "`timestamp` or `happened_at`; else ingest time", "us", nullable=False),
        Column("method", pa.string(), "`method`", nullable=False),
        Column("path", pa.string(), "`path`", nullable=False),
        Column("controller", pa.string(), "`controller`"),
        Column("action", pa.string(), "`action`"),
        Column("status_code", pa.int64(), "`status` or `status_code`", nullable=False),
        Column("total_ms", pa.float64(), "`total_ms` or `duration_ms`", "ms", nullable=False),
        Column("db_ms", pa.float64(), "`db_ms`, default 0", "ms", nullable=False),
        Column("db_count", pa.int64(), "`db_count`, default 0", nullable=False),
        Column("view_ms", pa.float64(), "`view_ms`, default 0", "ms", nullable=False),
        Column("host_name", pa.string(), "`metadata.host`"),
        Column("environment", pa.string(), "`metadata.env`"),
        Column("git_sha", pa.string(), "`metadata.git_sha`"),
        Column("extra", pa.string(), "other metadata and unknown fields as one JSON object"),
        _INGESTED,
    ),
)

BATCHES = Table(
    name="batches",
    landing="spans",
    time="ingested_at",
    sort=("ingested_at",),
    retention="batches_days",
    statistics=("ingested_at", "writer", "sequence"),
    plain=frozenset({"request_hash"}),
    columns=(
        Column("request_hash", pa.string(), "SHA-256 of the inflated body, or of the Idempotency-Key", nullable=False),
        Column("writer", pa.string(), "landing writer that stored it", nullable=False),
        Column("sequence", pa.int64(), "landing file of that writer", nullable=False),
        Column("position", pa.int64(), "place of the request in that file, from 0", nullable=False),
        Column("row_count", pa.int64(), "spans of the request in that file", nullable=False),
        Column("duplicate", pa.bool_(), "the request repeats one of the last 24 h; its rows are dropped", "", False),
        _INGESTED,
    ),
)

DERIVED = (EXCEPTIONS, ENDPOINT_MINUTES, SERVICE_EDGES, TRACE_SUMMARIES)
"""The tables whose rows follow from those of `spans` (see `lake.derived`), in the order of their commits. The last one has a
row for every span, so it tells whether the others are made (`lake.rewrite`)."""

TABLES = {t.name: t for t in (BATCHES, SPANS, *DERIVED, ERRORS, DEPLOYS, REQUESTS)}
"""Every table by name. `batches` is made from the landing of `spans` too, and comes first, because it decides which requests
the others leave out."""


def tables_of(promoted: tuple[Promoted, ...]) -> dict[str, Table]:
    """The tables of a lake with these promotions: `spans` has a further column for each one of its own."""
    extra = tuple(Column(p.column, p.arrow_type, f"`{p.key}`") for p in promoted[len(PROMOTED) :])
    return {**TABLES, "spans": replace(SPANS, columns=SPANS.columns + extra)}


LANDINGS = tuple(dict.fromkeys(t.landing for t in TABLES.values()))
"""Landing streams: what a request can be written to."""

"""The tables are open: deltalake, Polars and DuckDB read them without Tracelake and agree with it."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

import lake
from lake.compaction import Compactor
from lake.folder import open_folder
from lake.promotion import promote
from lake.retention import keep
from lake.rewrite import rewrite_due
from lake.schema import TABLES
from lake.settings import LakeSettings
from lake.tables import CHECKPOINT_EVERY, log_file
from lake.wire.reports import decode_deploy, decode_errors, decode_requests
from tests.lake import plain_readers
from tests.lake.checks import DISK
from tests.lake.spans import START, nanoseconds, otlp_body, rows_of

HOUR = dt.timedelta(hours=1)
DAY_S = 86_400

_VIEWS = {"errors": "(SELECT * FROM errors WHERE id NOT IN (SELECT id FROM exceptions))"}
"""What of a view is the table; the others are the same."""


def text(key, value):
    return KeyValue(key=key, value=AnyValue(string_value=value))


def rich_body(number, *, start=START):
    """One trace of two spans with every kind of value, in letters of several scripts; the second fails."""
    trace_id = sha256(f"rich {number}".encode()).digest()[:16]
    begin = nanoseconds(start) + 123
    raised = Span.Event(
        name="exception",
        time_unix_nano=begin + 1_000,
        attributes=[text("exception.type", "Σφάλμα"), text("exception.message", f"ключ {number} 🔑")],
    )
    items = [
        KeyValue(key="count", value=AnyValue(int_value=-7)),
        KeyValue(key="ratio", value=AnyValue(double_value=0.1)),
        KeyValue(key="blob", value=AnyValue(bytes_value=b"\x00\xff")),
        KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue(bool_value=True)]))),
        text("tenant", f"租户 {number}"),
        text("http.route", "/größe/{id}"),
    ]
    spans = [
        Span(
            trace_id=trace_id,
            span_id=(place + 1).to_bytes(8, "big"),
            parent_span_id=b"" if place == 0 else (1).to_bytes(8, "big"),
            name="GET 🙂" if place == 0 else "SELECT",
            start_time_unix_nano=begin + place,
            end_time_unix_nano=begin + 5_000_001,
            kind=Span.SPAN_KIND_UNSPECIFIED if place == 0 else Span.SPAN_KIND_CLIENT,
            attributes=items if place == 0 else [text("db.system.name", "постгрес")],
            events=[] if place == 0 else [raised, Span.Event(name="empty")],
            links=[Span.Link(trace_id=trace_id, span_id=(9).to_bytes(8, "big"))] if place == 0 else [],
            status=Status(code=Status.STATUS_CODE_ERROR if place else Status.STATUS_CODE_UNSET),
        )
        for place in range(2)
    ]
    resource = Resource(attributes=[text("service.name", "warenkörbe"), text("zone", "eu-1")])
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])]
    ).SerializeToString()


def error_body(first):
    errors = [
        {"exception_class": "Timeout", "message": f"слишком долго {n}", "backtrace": ["a.rb:1", "b.rb:2"][: n % 3],
         "timestamp": (START + n * HOUR / 2).isoformat(), "service": "shop", "odd": {"n": n}}
        for n in range(first, first + 4)
    ]  # fmt: skip
    return json.dumps({"errors": errors}).encode()


def request_body(first):
    requests = [
        {"request_id": f"r{n}", "timestamp": (START + n * HOUR / 2).isoformat(), "method": "GET", "path": "/ä",
         "status": 200 + n, "total_ms": n + 0.5, "db_ms": 0.25}
        for n in range(first, first + 4)
    ]  # fmt: skip
    return json.dumps({"metadata": {"host": "web-1"}, "requests": requests}).encode()


def deploy_body(number):
    return json.dumps({"version": f"v{number}", "deployed_at": (START + number * HOUR).isoformat()}).encode()


def put_reports(landing, first, ingested_at):
    came_us = nanoseconds(ingested_at) // 1000
    errors = decode_errors(error_body(first), ingested_at_us=came_us, idempotency_key=None)
    requests = decode_requests(request_body(first), ingested_at_us=came_us, idempotency_key=None)
    deploys = decode_deploy(deploy_body(first), ingested_at_us=came_us, idempotency_key=None)
    for stream, reports in {"errors": errors, "requests": requests, "deploys": deploys}.items():
        landing.put_table(stream, reports.table)


@pytest.fixture
def compactor(lake_folder):
    return Compactor(lake_folder, disk=DISK)


@pytest.fixture
def put_spans(lake_folder, landing):
    """Lands the rows of a body as the API does."""

    def put(body, *, ingested_at=START):
        rows, (request,) = rows_of([body], ingested_at=ingested_at, promoted=lake_folder.promoted)
        return landing.put_table("spans", rows, request=request.hash)

    return put


@pytest.fixture
def filled(lake_folder, landing, compactor, put_spans):
    """Three hours of everything, in two compactions: late spans, a repeated request and a span that came twice.

    Spans: 20 + 6 + 2 of the first compaction; 5 late ones, 2 + 2 of which 2 are there already, none of the repeat.
    """
    first = otlp_body(20, traces=3, start=START, step=HOUR / 8, exceptions=True)
    put_spans(first)
    put_spans(otlp_body(6, start=START + HOUR))
    put_spans(rich_body(1))
    put_reports(landing, 0, START)
    compactor.absorb()
    later = START + 3 * HOUR
    put_spans(first, ingested_at=later)
    put_spans(otlp_body(5, start=START + HOUR / 3, service="late"), ingested_at=later)
    put_spans(rich_body(2), ingested_at=later)
    put_spans(rich_body(1, start=START) + b"\xba\x3e\x00", ingested_at=later)  # the same spans in other bytes
    put_reports(landing, 4, later)
    compactor.absorb()
    return lake_folder.path


ROWS = {
    "batches": 7, "deploys": 2, "endpoint_minutes": 33, "errors": 8, "exceptions": 23, "requests": 8, "service_edges": 33,
    "spans": 37, "trace_summaries": 14,
}  # fmt: skip
"""Of `filled`. The spans that came twice are there twice before the rewrite of their hour."""
ROWS_ONCE = {
    **ROWS, "exceptions": 22, "spans": 35, "endpoint_minutes": 31, "trace_summaries": 13,
    "service_edges": 1,  # to the database; nobody calls the servers
}  # fmt: skip


def plain(folder):
    """What each reader finds in each table, asked in a process that knows nothing of Tracelake."""
    command = [sys.executable, "-I", str(Path(plain_readers.__file__)), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["imported"] == []
    return answer["tables"]


def by_tracelake(folder, name):
    """What Tracelake finds in one table, in the form of the readers; it has no partition columns."""
    table = DeltaTable(folder / name)
    measures = [(column, measure) for column, measure in plain_readers.measures_of(table) if column not in ("day", "hour")]
    source = _VIEWS.get(name, name)
    columns = ", ".join(f'"{column}"' for column in dict(measures))
    memory = LakeSettings(query_memory_mib=2048)  # to DuckDB each of the many distinct counts is dear, however few the rows
    with lake.open(folder, memory) as opened:
        (values,) = opened.sql(plain_readers.measuring_sql(measures, source)).rows()
        rows = opened.sql(f"SELECT {columns} FROM {source}").arrow().to_pylist()
    return plain_readers.facts(measures, values.values(), rows)


def assert_all_agree(folder, rows):
    """Every reader has these rows, and for each column the same counts, sums and bounds, and the same values."""
    found = plain(folder)
    assert {name: tables["log"]["rows"] for name, tables in found.items()} == rows
    for name, readers in found.items():
        assert readers["polars"] == readers["deltalake"], name
        assert readers["duckdb"] == readers["deltalake"], name
        ours = by_tracelake(folder, name)
        assert ours == {fact: readers["deltalake"][fact] for fact in ours}, name
        assert ours["rows"] == rows[name], name


def rewrite_all(compactor):
    return rewrite_due(compactor, now_s=(START + dt.timedelta(days=30)).timestamp(), max_hours=1000)


def files_on_disk(folder, name):
    return {
        str(path.relative_to(folder / name)) for path in (folder / name).rglob("*.parquet") if "_delta_log" not in str(path)
    }


def live_files(folder, name):
    actions = pa.table(DeltaTable(folder / name).get_add_actions(flatten=True))
    return set(actions.column("path").to_pylist())


# The same answers


def test_all_readers_agree_after_compaction(filled):
    assert_all_agree(filled, ROWS)


def test_all_readers_agree_after_the_rewrite_of_closed_hours(filled, compactor):
    assert rewrite_all(compactor)
    assert_all_agree(filled, ROWS_ONCE)


def test_maps_lists_and_promoted_columns_hold_what_was_sent(filled, compactor):
    rewrite_all(compactor)
    spans = pl.scan_delta(str(filled / "spans")).filter(pl.col("service_name") == "warenkörbe").collect()
    roots = spans.filter(pl.col("parent_span_id").is_null()).sort("ingested_at")
    assert roots["http_route"].to_list() == ["/größe/{id}"] * 2
    assert sorted(row["tenant"] for row in roots["attributes"]) == ["租户 1", "租户 2"]
    assert [row["zone"] for row in roots["resource_attributes"]] == ["eu-1"] * 2
    failed = spans.filter(pl.col("status") == "error")
    assert failed["exception_type"].to_list() == ["Σφάλμα"] * 2
    assert sorted(events[0]["attributes"]["exception.message"] for events in failed["events"]) == ["ключ 1 🔑", "ключ 2 🔑"]


def test_a_column_promoted_later_is_read_by_all(filled, lake_folder, compactor, landing):
    promote(lake_folder, "tenant")
    rows, (request,) = rows_of([rich_body(3, start=START + HOUR)], promoted=open_folder(filled).promoted)
    landing.put_table("spans", rows, request=request.hash)
    compactor.absorb()
    found = plain(filled)["spans"]
    assert found["polars"] == found["deltalake"] == found["duckdb"]
    assert (found["deltalake"]["count of tenant"], found["deltalake"]["max of tenant"]) == ("1", "租户 3")


# Which files


def test_the_log_names_other_files_than_the_folder_right_after_a_rewrite(filled, compactor):
    """Replaced files stay an hour for the queries that run on them, so who reads the folder by a pattern counts twice."""
    assert live_files(filled, "spans") == files_on_disk(filled, "spans")
    rewrite_all(compactor)
    assert live_files(filled, "spans") < files_on_disk(filled, "spans")
    with duckdb.connect() as connection:
        counted = connection.sql(f"SELECT count(*) FROM read_parquet('{filled}/spans/day=*/hour=*/*.parquet')").fetchall()
    assert counted == [(ROWS["spans"] + ROWS_ONCE["spans"],)]


def test_a_file_that_was_replaced_is_not_read(filled, compactor):
    rewrite_all(compactor)
    for path in files_on_disk(filled, "spans") - live_files(filled, "spans"):
        (filled / "spans" / path).write_bytes(b"no Parquet")
    found = plain_readers.read(filled)["spans"]
    assert [found[reader]["rows"] for reader in plain_readers.READERS] == [ROWS_ONCE["spans"]] * 3


def test_all_agree_after_retention_removed_files(filled, compactor):
    rewrite_all(compactor)
    gone = keep(compactor, LakeSettings(spans_days=9999, requests_days=1), now_s=time.time() + DAY_S)
    assert gone.data_files
    assert gone.landing_files
    assert live_files(filled, "spans") == files_on_disk(filled, "spans")
    found = plain(filled)
    assert found["spans"]["deltalake"]["rows"] == ROWS_ONCE["spans"]
    assert found["spans"]["deltalake"] == found["spans"]["polars"] == found["spans"]["duckdb"]


def test_all_agree_after_checkpoints_and_the_clean_up_of_the_log(filled, compactor):
    log = compactor.log("spans")
    while log.version < CHECKPOINT_EVERY + 1:
        log.commit()
    for path in (log.folder / "_delta_log").iterdir():
        if path.name[:20].isdigit():
            os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    while log.version < 2 * CHECKPOINT_EVERY:
        log.commit()
    assert not log_file(log.folder, 1).exists()
    assert_all_agree(filled, ROWS)


def test_folders_are_named_by_the_partition_values_of_the_log(filled, compactor):
    rewrite_all(compactor)
    for name in TABLES:
        for file in pa.table(DeltaTable(filled / name).get_add_actions(flatten=True)).to_pylist():
            folder = f"day={file['partition.day']}/hour={file['partition.hour']}"
            assert file["path"].rpartition("/")[0] == folder

"""The client against a real server: what is sent comes back, typed."""

import asyncio
import datetime as dt
import inspect
import secrets
import time
from dataclasses import replace

import msgspec
import pytest

import lake
from lake import client as remote
from lake.client import (
    AsyncClient,
    Client,
    DeployReport,
    ErrorReport,
    Limits,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unauthorized,
)
from lake.client.models.reports import SpansSent
from lake.client.models.traces import Http
from tests.api.clients import exception, new_trace_id, otlp, span
from tests.lake.client.clocks import Waits
from tests.lake.spans import otlp_body
from tests.servers import running


@pytest.fixture(scope="module")
def sender(server):
    with lake.connect(server.url, server.ingest_key) as client:
        yield client


@pytest.fixture(scope="module")
def asker(server):
    with lake.connect(server.url, server.live_key) as client:
        yield client


def now():
    return dt.datetime.now(dt.UTC)


def new_service():
    return f"service-{secrets.token_hex(4)}"


def send(sender, *spans, service):
    sent = sender.send_traces(msgspec.json.encode(otlp(*spans, service=service)), content_type="application/json")
    assert sent.rejected_spans == 0


def test_a_trace_comes_back_typed(sender, asker):
    service, trace_id, root = new_service(), new_trace_id(), secrets.token_hex(8)
    start = now().replace(microsecond=0)
    later = start + dt.timedelta(milliseconds=2)
    send(
        sender,
        span("GET /", trace_id=trace_id, span_id=root, start=start, ms=20, http_route="/", http_status__code=200),
        span("query", trace_id=trace_id, parent=root, start=later, ms=5, kind=3, status=2, events=[exception("E", "no")]),
        service=service,
    )
    trace = asker.get_trace(trace_id.upper())
    assert (trace.trace_id, trace.root_span_id, trace.root_operation) == (trace_id, root, "GET /")
    assert (trace.start_time, trace.duration_ms, trace.span_count) == (start, 20.0, 2)
    assert trace.services == [service]
    assert trace.http == Http(route="/", status_code=200)
    first, second = trace.spans
    assert (first.name, first.depth, first.parent_span_id) == ("GET /", 0, None)
    assert (second.parent_span_id, second.depth, second.status.code) == (root, 1, "error")
    assert (second.start_time, second.offset_ms) == (later, 2.0)
    assert second.events[0].attributes["exception.type"] == "E"
    assert [error.exception_class for error in trace.errors] == ["E"]
    [listed] = asker.list_traces(service=service).data
    assert (listed.trace_id, listed.start_time, listed.duration_ms, listed.status) == (trace_id, start, 20.0, "error")


def test_spans_in_protobuf_come_back_as_they_were_sent(sender, asker):
    body = otlp_body(3, start=now(), service="exported")
    assert sender.send_traces(body) == SpansSent()
    [trace_id] = {trace.trace_id for trace in asker.iter_traces(service="exported")}
    assert asker.export_trace(trace_id) == body


def test_what_is_wrong_with_spans_is_told(sender):
    bad = span("GET /") | {"spanId": "00"}
    body = msgspec.json.encode(otlp(span("GET /"), bad))
    told = sender.send_traces(body, content_type="application/json")
    assert told.rejected_spans == 1
    assert "span" in told.error_message
    with pytest.raises(remote.BadRequest, match="Invalid trace format"):
        sender.send_traces(b"\xff")


def test_all_pages_of_a_list_are_each_trace_once(sender, asker):
    service = new_service()
    ids = [new_trace_id() for _ in range(7)]
    send(sender, *(span("GET /", trace_id=trace_id) for trace_id in ids), service=service)
    found = [trace.trace_id for trace in asker.iter_traces(service=service, limit=3)]
    assert sorted(found) == sorted(ids)
    first = asker.list_traces(service=service, limit=3)
    assert first.has_more
    assert first.next_cursor


def test_filters_and_times_arrive(sender, asker):
    service, start = new_service(), now() - dt.timedelta(days=2)
    send(sender, span("GET /", start=start, ms=500), service=service)
    window = {"start_time": start - dt.timedelta(seconds=1), "end_time": start + dt.timedelta(seconds=1)}
    kathmandu = dt.timezone(dt.timedelta(hours=5, minutes=45))
    assert asker.list_traces(service=service).data == []
    assert len(asker.list_traces(service=service, **window).data) == 1
    assert len(asker.list_traces(service=service, **{n: t.astimezone(kathmandu) for n, t in window.items()}).data) == 1
    assert len(asker.list_traces(service=service, min_duration_ms=500, status="unset", **window).data) == 1
    assert asker.list_traces(service=service, min_duration_ms=501, **window).data == []


def test_a_report_that_is_sent_twice_counts_once(sender, server):
    report = ErrorReport(exception_class="OutOfStock", message="no item 7 left", service=new_service(), timestamp=now())
    first = sender.report_error(report, idempotency_key="once")
    again = sender.report_error(report, idempotency_key="once")
    assert first == again
    with lake.open(server.lake) as files:
        [found] = files.errors(service=report.service).rows()
    assert (found["id"], found["exception_class"], found["timestamp"]) == (first.id, "OutOfStock", report.timestamp)


def test_a_batch_says_what_was_stored(sender):
    good = ErrorReport(exception_class="E", message="m", backtrace=["a.py:1"], context={"cart": 7})
    bad = ErrorReport(exception_class="", message="m")
    told = sender.report_errors([good, bad])
    assert told.accepted == 1
    assert [rejected.index for rejected in told.errors] == [1]


def test_a_deploy_is_recorded(sender, server):
    service, at = new_service(), now().replace(microsecond=0)
    told = sender.report_deploy(DeployReport(version="v1", git_sha="abc123d", service=service, deployed_at=at))
    assert (told.version, told.deployed_at) == ("v1", at)
    with lake.open(server.lake) as files:
        [found] = files.deploys(service=service).rows()
    assert (found["id"], found["version"], found["deployed_at"]) == (told.id, "v1", at)


def test_refusals_of_a_real_server_name_the_request(server, sender, asker):
    with pytest.raises(NotFound) as refused:
        asker.get_trace(new_trace_id())
    assert refused.value.code == "not_found"
    assert str(refused.value.request_id).startswith("req_")
    with pytest.raises(remote.BadRequest) as wrong:
        asker.get_trace("no-id")
    assert (wrong.value.code, wrong.value.param) == ("invalid_parameter", "trace_id")
    with pytest.raises(PermissionDenied):
        sender.list_traces()
    with lake.connect(server.url, "mtk_live_" + "0" * 32) as stranger, pytest.raises(Unauthorized):
        stranger.list_traces()


def test_a_naive_time_is_refused_before_anything_is_sent(asker):
    with pytest.raises(lake.LakeError, match="start_time has no time zone"):
        asker.list_traces(start_time=dt.datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_many_calls_at_once_with_asyncio(server, sender, asker):
    ids = [new_trace_id() for _ in range(20)]
    send(sender, *(span("GET /", trace_id=trace_id) for trace_id in ids), service=new_service())

    async def ask():
        async with lake.connect_async(server.url, server.live_key) as client:
            return await asyncio.gather(*(client.get_trace(trace_id) for trace_id in ids))

    assert [trace.trace_id for trace in asyncio.run(ask())] == ids


def test_the_limit_of_a_real_server_is_waited_for_as_it_says(tmp_path):
    settings = {"TRACELAKE_RATE_LIMIT_PER_MINUTE": "3"}
    waits = Waits()
    with running(tmp_path / "data", workers=1, settings=settings) as server:
        clock = replace(waits.clock, now_s=time.time)
        limits = Limits(max_retries=2)
        with lake.connect(server.url, server.live_key, limits=limits, clock=clock) as client:
            for _ in range(3):
                client.list_traces()
            with pytest.raises(RateLimited) as refused:
                client.list_traces()
    assert refused.value.code == "rate_limited"
    assert refused.value.retry_after_s is not None
    assert len(waits.seconds) == 2
    assert all(0 < asked <= Limits().max_wait_s for asked in (refused.value.retry_after_s, *waits.seconds))


def test_a_client_outlives_a_restart_of_its_server(tmp_path):
    with running(tmp_path / "data", workers=1) as server, lake.connect(server.url, server.live_key) as client:
        then = client.snapshot()
        assert client.list_traces().data == []
        assert server.stop() == 0
        server.start()
        server.wait_ready()
        assert client.list_traces().data == []
        assert client.at(then).sql("SELECT count(*) AS n FROM spans").rows() == [{"n": 0}]


def test_both_clients_have_the_same_calls():
    names = {name for name in vars(Client) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert names > {"list_traces", "iter_traces", "get_trace", "report_error"}
    for name in names:
        one, other = inspect.signature(getattr(Client, name)), inspect.signature(getattr(AsyncClient, name))
        assert one.parameters == other.parameters
        assert str(other.return_annotation).removeprefix("Async") in (str(one.return_annotation), "None")


def test_a_method_shows_the_signature_of_its_call():
    assert "limit: 'int | None' = None" in str(inspect.signature(Client.list_traces))
    assert inspect.signature(Client.get_trace).return_annotation == "Trace"
    assert inspect.signature(Client.list_traces).return_annotation == "Page[TraceSummary]"
    assert inspect.signature(Client.iter_traces).return_annotation == "Iterator[TraceSummary]"
    assert "1 to 200" in str(Client.iter_traces.__doc__)

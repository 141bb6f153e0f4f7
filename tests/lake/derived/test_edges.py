"""Who calls whom: by the words of the definition, however the spans came, and the same after an hour is settled."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.derived import Spans, edges
from lake.derived.edges import joined, resolved, service_edges_of, settled
from lake.derived.histogram import bins_of
from lake.schema import SERVICE_EDGES
from tests.lake.derived.call_graphs import HOUR_NS, MS, QUEUE, calls_in, hour_of, plain_calls, random_graph, spans_table
from tests.lake.rows import Row, span

EMPTY = SERVICE_EDGES.arrow_schema.empty_table()
SEEDS = st.integers(0, 2**32)


def derived(rows: list[Row]) -> pa.Table:
    return service_edges_of(Spans(spans_table(rows)))


def called(rows: pa.Table) -> dict[tuple[Any, Any], int]:
    """How often each source called each target."""
    found: dict[tuple[Any, Any], int] = {}
    for row in resolved(rows).to_pylist():
        pair = (row["source"], row["target"])
        found[pair] = found.get(pair, 0) + row["call_count"]
    return found


def call(
    source: str = "web", target: str = "cart", *, start_ns: int = 0, duration_ns: int = 10 * MS, **known: Any
) -> list[Row]:
    """A client span and the server span that answers it."""
    client = span(kind="client", service_name=source, start_ns=start_ns, duration_ns=duration_ns, http_method="GET")
    return [client, answer(client, target, start_ns=start_ns + MS, **known)]


def answer(client: Row, service: str = "cart", **known: Any) -> Row:
    known = {"kind": "server", "parent_span_id": client["span_id"], "duration_ns": MS} | known
    return span(client["trace_id"], service_name=service, **known)


def hours(rows: pa.Table) -> list[pa.Table]:
    """Rows of edges apart by hour, as the partitions of the table are."""
    hour = pc.floor_temporal(rows.column("start_time"), unit="hour")
    return [rows.filter(pc.equal(hour, one)) for one in pc.unique(hour)]


# --- the definition


def test_a_client_and_its_server_are_a_call_that_lasts_as_long_as_the_client_waited():
    (row,) = resolved(derived(call())).to_pylist()
    assert (row["source"], row["target"], row["type"], row["call_count"]) == ("web", "cart", "http", 1)
    assert (row["source_type"], row["target_type"], row["inferred"]) == ("service", "service", False)
    assert row["latency_bins"] == [int(bins_of(pa.array([10 * MS]).to_numpy())[0])]


def test_a_call_inside_a_service_is_none():
    assert called(derived(call("web", "web"))) == {}


@pytest.mark.parametrize(
    ("known", "target", "kind"),
    [
        ({"db_system": "redis"}, "db:redis", "database"),
        ({"db_system": "mysql", "db_namespace": "shop", "peer_service": "x"}, "db:mysql/shop", "database"),
        ({"messaging_system": "sqs"}, "queue:sqs", "queue"),
        ({"peer_service": "stripe", "server_address": "api.stripe.com"}, "stripe", "external"),
        ({"server_address": "api.stripe.com"}, "external:api.stripe.com", "external"),
    ],
)
def test_a_client_that_nobody_answers_calls_what_it_names(known, target, kind):
    (row,) = resolved(derived([span(kind="client", service_name="web", **known)])).to_pylist()
    assert (row["target"], row["target_type"]) == (target, kind)


def test_a_client_that_nobody_answers_and_that_names_nothing_is_no_call():
    assert called(derived([span(kind="client", http_method="GET")])) == {}


def test_a_producer_calls_each_of_its_consumers_and_waits_for_none():
    producer = span(kind="producer", service_name="web", duration_ns=MS, **QUEUE)
    consumers = [answer(producer, name, kind="consumer", duration_ns=70 * MS, **QUEUE) for name in ("mail", "pay")]
    rows = resolved(derived([producer, *consumers]))
    assert called(derived([producer, *consumers])) == {("web", "mail"): 1, ("web", "pay"): 1}
    assert set(rows.column("latency_bins").to_pylist()[0]) == {int(bins_of(pa.array([70 * MS]).to_numpy())[0])}


def test_without_the_other_side_a_queue_stands_between():
    producer, consumer = span(kind="producer", **QUEUE), span(2, kind="consumer", service_name="mail", **QUEUE)
    queue = "queue:kafka/orders"
    assert called(derived([producer, consumer])) == {("shop", queue): 1, (queue, "mail"): 1}


def test_of_servers_below_one_client_the_first_is_the_called_one():
    client, first = call(target="cart")
    retry = answer(client, "pay", start_ns=5 * MS)
    assert called(derived([client, retry, first])) == {("web", "cart"): 1}


@pytest.mark.parametrize(
    ("client", "server", "errors"),
    [
        ({}, {}, 0),
        ({"status": "error"}, {}, 1),
        ({}, {"status": "error"}, 1),
        ({}, {"http_status_code": 500}, 1),
        ({}, {"http_status_code": 404}, 0),
        ({"http_status_code": 503}, {}, 0),  # a client says itself whether that is an error to it
    ],
)
def test_a_call_fails_if_one_side_does(client, server, errors):
    rows = call()
    rows[0] |= client
    rows[1] |= server
    assert resolved(derived(rows)).column("error_count").to_pylist() == [errors]


def test_a_server_without_a_parent_is_called_by_the_innermost_client_around_it():
    outer = span(kind="client", service_name="web", duration_ns=50 * MS)
    inner = span(kind="client", service_name="cart", duration_ns=20 * MS)
    server = span(kind="server", service_name="pay", start_ns=MS, duration_ns=MS)
    assert called(derived([outer, inner, server])) == {("cart", "pay"): 1}
    assert resolved(derived([outer, inner, server])).column("inferred").to_pylist() == [True]


@pytest.mark.parametrize(
    "server",
    [
        {"start_ns": 15 * MS},
        {"start_ns": -1000},
        {"service_name": "web"},
        {"service_name": None},
        {"server_address": "elsewhere"},
        {"trace": 2},
    ],
)
def test_a_server_that_cannot_be_meant_is_not_called(server):
    client = span(kind="client", service_name="web", duration_ns=10 * MS, server_address="here")
    row = span(**({"trace": 1, "kind": "server", "service_name": "pay", "start_ns": MS, "duration_ns": MS} | server))
    assert called(derived([client, row])) == {("web", "external:here"): 1}


def test_a_trace_id_that_everything_has_costs_no_pairs(monkeypatch):
    monkeypatch.setattr(edges, "MAX_PAIRS", 3)
    clients = [span(kind="client", service_name="web", duration_ns=10 * MS) for _ in range(2)]
    server = span(kind="server", service_name="pay", duration_ns=MS)
    assert called(derived([*clients, server])) == {("web", "pay"): 1}
    assert called(derived([*clients, server, span(kind="server", service_name="cart", duration_ns=MS)])) == {}


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_calls_are_those_that_a_look_at_each_span_finds(seed: int):
    rows = random_graph(seed)
    assert calls_in(resolved(derived(rows))) == plain_calls(rows)


# --- however the spans come


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, data=st.data())
def test_edges_are_the_same_however_spans_are_split_into_batches_and_hours_settled(seed: int, data: st.DataObject):
    rows = random_graph(seed, alike=True)
    batch = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    files = [part for n in range(4) for part in hours(derived([row for row, b in zip(rows, batch, strict=True) if b == n]))]
    kept = []
    for hour in hours(pa.concat_tables([EMPTY, *files])):
        here = [file for file in files if file.num_rows and hours(pa.concat_tables([file, hour]))[1:] == []]
        merge = data.draw(st.sets(st.sampled_from(range(len(here)))))
        kept.append(joined(pa.concat_tables([EMPTY, *(here[n] for n in merge)])))
        kept += [file for n, file in enumerate(here) if n not in merge]
    closed = data.draw(st.sets(st.sampled_from(sorted({hour_of(row) for row in rows}))))
    assert calls_in(resolved(pa.concat_tables(with_settled(rows, kept, closed)))) == plain_calls(rows)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, data=st.data())
def test_an_hour_that_is_settled_says_what_its_spans_do_whatever_came_before(seed: int, data: st.DataObject):
    rows = random_graph(seed)
    closed = data.draw(st.sets(st.sampled_from(sorted({hour_of(row) for row in rows}))))
    assert calls_in(resolved(pa.concat_tables(with_settled(rows, hours(derived(rows)), closed)))) == plain_calls(rows)


def with_settled(rows: list[Row], files: list[pa.Table], closed: set[int]) -> list[pa.Table]:
    """The files, with those of closed hours made again out of the spans, trace by trace."""
    first_us = 3_600_000_000
    others = [
        f for f in files if f.num_rows and f.column("start_time").cast(pa.int64())[0].as_py() // first_us not in closed
    ]
    made = [settled(settled_parts([row for row in rows if hour_of(row) == hour])) for hour in closed]
    return [EMPTY, *others, *made]


def settled_parts(rows: list[Row]) -> pa.Table:
    traces = {row["trace_id"] for row in rows}
    parts = [derived([row for row in rows if row["trace_id"] == trace]) for trace in traces]
    return pa.concat_tables([parts[0], *(settled(part) for part in parts[1:])])


def test_of_a_call_that_is_over_a_settled_hour_keeps_no_side():
    rows = [
        *call(),
        span(kind="client", service_name="web", peer_service="stripe"),
        span(kind="client"),
        span(kind="server"),
    ]
    assert set(settled(derived(rows)).column("role").to_pylist()) == {"edge"}


def test_sides_that_may_reach_into_another_hour_wait_in_a_settled_one():
    reaching, late = call(start_ns=HOUR_NS - MS // 2)
    producer = span(kind="producer", **QUEUE)
    kept = settled(derived([reaching, producer, answer(span(2, kind="client"))]))
    assert sorted(kept.column("role").to_pylist()) == ["callee", "caller", "caller"]
    assert called(pa.concat_tables([kept, settled(derived([late]))])) == {
        ("web", "cart"): 1,
        ("shop", "queue:kafka/orders"): 1,
    }


def test_a_server_whose_clock_is_an_hour_off_makes_no_other_call_later():
    client, server = call(start_ns=0)
    client["peer_service"] = "elsewhere"
    far = server | {"start_time": span(start_ns=HOUR_NS)["start_time"]}
    apart = pa.concat_tables([settled(derived([client])), settled(derived([far]))])
    assert called(apart) == called(derived([client, far])) == {("web", "elsewhere"): 1}


def test_a_side_that_came_twice_counts_once():
    client, server = call()
    assert called(pa.concat_tables([derived([client]), derived([client]), derived([server]), derived([server])])) == {
        ("web", "cart"): 1
    }


def test_a_producer_that_came_twice_stays_answered():
    producer = span(kind="producer", service_name="web", **QUEUE)
    rows = [producer, answer(producer, "mail", kind="consumer", **QUEUE)]
    for order in ([derived([producer]), derived(rows)], [derived(rows), derived([producer])]):
        assert called(pa.concat_tables(order)) == {("web", "mail"): 1}


def test_calls_of_different_minutes_stay_apart_and_those_of_one_are_a_row():
    rows = [*call(), *call(start_ns=30_000 * MS), *call(start_ns=60_000 * MS)]
    assert sorted(resolved(derived(rows)).column("call_count").to_pylist()) == [1, 2]
    assert joined(derived(rows)).num_rows == 2


@pytest.mark.parametrize("action", [joined, settled, resolved])
def test_nothing_follows_from_nothing(action):
    assert derived([]).schema.equals(SERVICE_EDGES.arrow_schema)
    assert action(EMPTY).equals(EMPTY)

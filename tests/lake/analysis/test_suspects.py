"""Suspects of a small shop: web calls cart and search, cart calls a database; what is done to one of them is found."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lake.analysis.suspects import calls_made, deviations, suspects, timings

QUIET = [1, 2, 3, 4, 5]


def shop(slow=(), *, network=(), branch_not_taken=False, seed=1):
    """Spans of window 0, in which something is done, and of quiet ones.

    Args:
        slow: services whose own work takes three times as long in window 0.
        network: services that calls take 20 ms longer to get to.
        branch_not_taken: cart asks its database no more.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    rows = []
    for window in (0, *QUIET):
        for trace in range(60):
            own = dict(zip(("web", "cart", "search", "db"), random.lognormal(1, 0.3, 4), strict=True))
            way = {name: random.lognormal(0, 0.2) for name in own}
            if window == 0:
                own |= {name: own[name] * 3 for name in slow}
                way |= {name: way[name] + 20 for name in network}
            has_db = not (branch_not_taken and window == 0)
            rows += list(request(f"t{window}-{trace}", window, own, way, has_db))
    return pl.DataFrame(
        rows,
        schema=["trace_id", "span_id", "parent_span_id", "service_name", "operation", "start_ns", "duration_ns", "window"],
        orient="row",
    )


def request(trace, window, own, way, has_db):
    """The spans of one request; times in ms until here."""

    def span(name, parent, service, operation, start, duration):
        return (trace, name, parent, service, operation, int(start * 1e6), int(duration * 1e6), window)

    db = own["db"] if has_db else 0.0
    cart, search = own["cart"] + db, own["search"]
    to_cart, to_search = cart + way["cart"], search + way["search"]
    yield span("root", None, "web", "GET /", 0, own["web"] + to_cart + to_search)
    yield span("c1", "root", "web", "call cart", 0, to_cart)
    yield span("s1", "c1", "cart", "cart", way["cart"] / 2, cart)
    yield span("c2", "root", "web", "call search", to_cart, to_search)
    yield span("s2", "c2", "search", "search", to_cart + way["search"] / 2, search)
    if has_db:
        yield span("c3", "s1", "cart", "query", way["cart"] / 2, db)


def ranked(spans, window=0):
    quiet = [other for other in (0, *QUIET) if other != window]
    return suspects(deviations(timings(spans), window, quiet), deviations(calls_made(spans), window, quiet))


@pytest.mark.parametrize("service", ["web", "cart", "search"])
def test_a_slow_service_is_suspected_and_not_those_that_wait_for_it(service):
    found = ranked(shop([service]))
    assert found["service_name"][0] == service
    assert found["score"][0] > 2 * found["score"][1]


@pytest.mark.parametrize("service", ["cart", "search"])
def test_a_service_that_is_hard_to_reach_is_suspected_and_not_its_caller(service):
    found = ranked(shop(network=[service]))
    assert found["service_name"][0] == service


def test_code_that_takes_another_way_is_suspected_though_it_is_no_slower():
    found = ranked(shop(branch_not_taken=True))
    assert found["service_name"][0] == "cart"
    assert found["other_calls"][0] > found["slower"][0]


def test_when_nothing_is_done_nobody_is_suspected():
    assert ranked(shop())["score"].max() < 4


def test_a_window_without_spans_has_no_suspects():
    assert ranked(shop().filter(pl.col("window") != 0)).is_empty()


def test_the_rest_of_a_call_is_what_its_client_waits_beside_the_server():
    spans = shop().filter(pl.col("trace_id") == "t1-0")
    found = timings(spans)
    assert set(found.select("service_name", "callee", "operation").rows()) == {
        ("web", "", "GET /"), ("web", "cart", "call cart"), ("cart", "", "cart"),
        ("web", "search", "call search"), ("search", "", "search"), ("cart", "", "query"),
    }  # fmt: skip


def test_an_operation_that_makes_none_of_its_calls_makes_none_there():
    found = calls_made(shop(branch_not_taken=True)).filter(pl.col("child") == "cart query").sort("window")
    assert found.select("window", "count", "mean").rows() == [(0, 60, 0), *((window, 60, 1) for window in QUIET)]

"""A search finds what plain Python finds in the spans that were sent."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.lake.search import asked, sent
from tests.lake.search.stores import STATES, stored
from tests.lake.spans import START

SINCE, UNTIL = START - dt.timedelta(minutes=1), START + dt.timedelta(minutes=30)
QUERIES, SEED = 200, 20261125


@pytest.fixture(scope="module")
def requests():
    return sent.some_requests(SEED)


@pytest.fixture(scope="module")
def lakes(tmp_path_factory, requests):
    """The same spans, in landing files, in compacted ones, and in both."""
    made = {state: stored(tmp_path_factory.mktemp(state) / "lake", requests, state) for state in STATES}
    yield made
    for opened in made.values():
        opened.close()


def found(opened, text):
    rows = opened.search(text, since=SINCE, until=UNTIL, limit=1000).rows()
    return {row["trace_id"]: (row["matched_spans"], row["matched_span_ids"]) for row in rows}


@pytest.mark.parametrize("number", range(QUERIES))
def test_a_generated_query_finds_what_plain_python_finds(lakes, requests, number):
    query = asked.query(SEED + number)
    assert found(lakes[STATES[number % 3]], query.text) == asked.answer(query, sent.latest(requests)), query.text


@pytest.mark.full
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("number", range(QUERIES, 4 * QUERIES))
def test_a_generated_query_finds_the_same_wherever_the_spans_are(lakes, requests, state, number):
    query = asked.query(SEED + number)
    assert found(lakes[state], query.text) == asked.answer(query, sent.latest(requests)), query.text


def test_the_queries_are_about_few_and_many(requests):
    """The generator is no good if most of its queries find nothing or everything."""
    spans = sent.latest(requests)
    sizes = [len(asked.answer(asked.query(SEED + n), spans)) for n in range(QUERIES)]
    assert sum(0 < size < 40 for size in sizes) > QUERIES / 3

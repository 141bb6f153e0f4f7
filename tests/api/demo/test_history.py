"""The history over HTTP into a real server: everything once, however often it is sent."""

import threading
from functools import partial

import pytest

import lake
from api.demo.history import Dispatch, History
from api.demo.sender import Sender
from api.demo.shop import SHOP
from api.demo.state import State
from api.demo.story import DAYS
from tests.api.demo.conftest import END_NS
from tests.servers import running, wait_until

SPANS = 30_000


@pytest.fixture(scope="module")
def small(story):
    """A small history and all its parts."""
    history = History(story, SPANS)
    return history, [history.part(number) for number in range(history.part_count)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("history") / "data", workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def dispatched(server, small):
    """What three runs came to: one that was interrupted, its continuation, and one more; and what progress they said."""
    history, _ = small
    began = State(history.story.seed, END_NS, SPANS)
    began.write(server.data)
    stop, said = threading.Event(), []

    def interrupt(spans):
        said.append(spans)
        stop.set()

    outcomes = [
        send(server, history, stop, interrupt),
        send(server, history, threading.Event(), said.append),
        send(server, history, threading.Event(), said.append),
    ]
    return outcomes, said


def send(server, history, stop, progress):
    """One run of the demo as far as its history goes: whether it was complete, and how much of it was noted."""
    with Sender(server.url, server.ingest_key, connections=4) as sender:
        is_complete = Dispatch(history, noted(server), server.data, sender).run(stop, progress)
    return is_complete, noted(server).parts_sent


def noted(server) -> State:
    """What the data folder says of the history."""
    state = State.read(server.data)
    assert state is not None
    return state


def counted(server, query):
    """The one number that a query gives."""
    with lake.open(server.lake) as opened:
        [row] = opened.sql(query).rows()
    return next(iter(row.values()))


def test_an_interrupted_history_is_continued_and_a_complete_one_is_left_alone(dispatched, small):
    history, parts = small
    [(first, some_noted), (second, all_noted), third], said = dispatched
    assert not first
    assert some_noted < history.part_count
    assert second
    assert all_noted == history.part_count
    assert third == (True, history.part_count)
    # the few that had overtaken another were sent twice, and there is progress for each time
    assert sum(said) >= sum(part.span_count for part in parts)


def test_the_lake_has_every_span_of_the_history_once(server, small, dispatched):
    _, parts = small
    expected = sum(part.span_count for part in parts)
    # until they are compacted, repeated requests may count twice
    settled = partial(counted, server, "SELECT count(*) FROM spans")
    wait_until(lambda: settled() == expected, lambda: f"{settled()} spans, not {expected}")
    assert counted(server, "SELECT count(DISTINCT (trace_id, span_id)) FROM spans") == expected


def test_the_lake_has_every_deploy_once_with_the_versions_that_the_spans_carry(server, dispatched):
    with lake.open(server.lake) as opened:
        rows = opened.deploys().rows()
        missing = opened.sql(
            "SELECT service_name, version FROM deploys EXCEPT SELECT service_name, service_version FROM spans"
        ).rows()
        shas = opened.sql("""
            SELECT count(*) AS different FROM spans s JOIN deploys d
            ON s.service_name = d.service_name AND s.service_version = d.version WHERE s.git_sha <> d.git_sha
        """).rows()
    assert sorted((row["service_name"], row["version"]) for row in rows) == sorted(
        (d.service, d.version) for d in SHOP.deploys
    )
    assert not missing
    assert shas == [{"different": 0}]


def test_an_exception_that_was_reported_too_is_one_occurrence(server, small, dispatched):
    _, parts = small
    reported = sum(len(part.errors) for part in parts)
    exceptions = sum(part.body.count(b"exception.stacktrace") for part in parts)
    assert reported > 0
    occurrences = partial(counted, server, "SELECT count(*) FROM errors")
    expected = exceptions + DAYS * len(SHOP.jobs)
    wait_until(lambda: occurrences() == expected, lambda: f"{occurrences()} errors, not {expected}")
    assert counted(server, "SELECT count(*) FROM errors WHERE source = 'reported' AND trace_id IS NOT NULL") == reported


def test_all_that_was_noted_as_not_sent_is_sent_again_and_still_counts_once(server, small, dispatched):
    history, parts = small
    State(history.story.seed, END_NS, SPANS).write(server.data)
    assert send(server, history, threading.Event(), lambda _: None) == (True, history.part_count)
    expected = sum(part.span_count for part in parts)
    settled = partial(counted, server, "SELECT count(*) FROM spans")
    repeats = partial(counted, server, "SELECT count(*) FROM batches WHERE duplicate")
    wait_until(lambda: repeats() >= history.part_count, lambda: f"{repeats()} repeats were seen")
    wait_until(lambda: settled() == expected, lambda: f"{settled()} spans, not {expected}")
    assert counted(server, "SELECT count(*) FROM deploys") == len(SHOP.deploys)

"""The checker of the fault tests sees each way in which a lake can be wrong."""

import pytest

from tests.faults.checker import Found, Verdict, judge

WHOLE = Found(rows=80, spans=80, exceptions=1, summarized=80)


def verdict(found, *, acknowledged=("a",), attempts=1, is_settled=True):
    return judge({"a": found} if found else {}, acknowledged=frozenset(acknowledged), sent={"a": (80, attempts)},
                 is_settled=is_settled)  # fmt: skip


def test_what_was_acknowledged_and_is_there_once_is_sound():
    assert verdict(WHOLE).is_sound


@pytest.mark.parametrize("found", [None, WHOLE])
def test_what_was_not_acknowledged_may_be_there_or_not(found):
    assert verdict(found, acknowledged=()).is_sound


def test_what_was_acknowledged_and_is_not_there_is_lost():
    assert verdict(None) == Verdict(lost=frozenset("a"))


@pytest.mark.parametrize("acknowledged", [(), ("a",)])
@pytest.mark.parametrize(
    "found",
    [
        Found(rows=79, spans=79, exceptions=1, summarized=80),
        Found(rows=80, spans=79, exceptions=1, summarized=80),
        Found(rows=80, spans=80, exceptions=0, summarized=80),
        Found(rows=159, spans=80, exceptions=2, summarized=160),
        Found(rows=80, spans=80, exceptions=1, summarized=0),
        Found(rows=80, spans=80, exceptions=1, summarized=79),
    ],
    ids=["a span is missing", "a span is missing, another twice", "without its exception", "the second time not whole",
         "without its summaries", "a span is in no summary"],
)  # fmt: skip
def test_what_is_not_whole_is_partial(found, acknowledged):
    assert verdict(found, acknowledged=acknowledged, attempts=2, is_settled=False) == Verdict(partial=frozenset("a"))


REPEATS = pytest.mark.parametrize(
    "found",
    [
        Found(rows=160, spans=80, exceptions=2, summarized=160),
        Found(rows=160, spans=80, exceptions=1, summarized=80),
        Found(rows=80, spans=80, exceptions=2, summarized=80),
        Found(rows=80, spans=80, exceptions=1, summarized=160),
    ],
    ids=["in all tables", "spans", "exceptions", "summaries"],
)


@REPEATS
def test_a_repeat_may_wait_in_the_landing_as_often_as_it_was_sent(found):
    assert verdict(found, attempts=2, is_settled=False).is_sound
    assert verdict(found, attempts=1, is_settled=False) == Verdict(repeated=frozenset("a"))


@REPEATS
def test_a_repeat_that_is_still_there_after_compaction_is_one_too_many(found):
    assert verdict(found, attempts=2) == Verdict(repeated=frozenset("a"))


def test_what_nobody_sent_is_unknown():
    found = judge({"b": WHOLE}, acknowledged=frozenset(), sent={}, is_settled=True)
    assert found == Verdict(unknown=frozenset("b"))

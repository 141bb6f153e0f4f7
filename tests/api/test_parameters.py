"""Query strings as clients write them."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.datastructures import MultiDict

from api.parameters import Parameters, parse_time, parse_trace_id
from lake.errors import InvalidParameter


def parameters(*pairs):
    """The parameters of a request with these pairs in its query string."""
    request: Any = SimpleNamespace(query_params=MultiDict(pairs))
    return Parameters(request)


def refused(asked, param):
    """What is said about a parameter that is refused."""
    with pytest.raises(InvalidParameter) as caught:
        asked()
    assert caught.value.param == param
    assert param in str(caught.value)
    return str(caught.value)


def test_an_absent_parameter_is_none_and_so_is_an_empty_text():
    given = parameters()
    assert given.text("service") is parameters(("service", "")).text("service") is None
    assert given.number("limit", lowest=1, highest=9) is None
    assert given.choice("status", ("ok",)) is None
    assert given.time("start_time") is None


def test_an_empty_text_is_no_number_no_time_and_no_word():
    given = parameters(("limit", ""), ("status", ""), ("start_time", ""))
    refused(lambda: given.number("limit", lowest=1, highest=9), "limit")
    refused(lambda: given.choice("status", ("ok",)), "status")
    refused(lambda: given.time("start_time"), "start_time")


def test_a_parameter_that_comes_twice_is_refused_even_with_the_same_value():
    asked = parameters(("limit", "1"), ("limit", "1"))
    assert "2 times" in refused(lambda: asked.number("limit", lowest=1, highest=9), "limit")


def test_unknown_parameters_are_nobodys_business():
    assert parameters(("utm_source", "x"), ("utm_source", "y")).text("limit") is None


@pytest.mark.parametrize("text", ["1", "9", "007"])
def test_a_number_within_its_bounds_is_taken(text):
    assert parameters(("limit", text)).number("limit", lowest=1, highest=9) == int(text)


@pytest.mark.parametrize("text", ["0", "10", "-1", "abc", "1.0", "1e0", "0x1", " 1", "1\n", "+1", "\u0661", "9" * 5000])
def test_another_number_is_refused_with_the_bounds(text):
    said = refused(lambda: parameters(("limit", text)).number("limit", lowest=1, highest=9), "limit")
    assert "from 1 to 9" in said


@pytest.mark.parametrize("text", ["OK", "warn", "ok ", "ok,error"])
def test_a_word_that_is_no_choice_is_refused_with_the_choices(text):
    said = refused(lambda: parameters(("status", text)).choice("status", ("ok", "error")), "status")
    assert "ok, error" in said


NINE = dt.datetime(2026, 1, 2, 9, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T09:00:00Z",
        "2026-01-02T09:00:00z",
        "2026-01-02T09:00:00.000000Z",
        "2026-01-02T09:00:00+00:00",
        "2026-01-02T11:00:00+02:00",
        "2026-01-02T11:00:00 02:00",
        "2026-01-02T11:00:00 0200",
        "2026-01-02T11:00 02:00",
        "2026-01-02T11:00:00.000 02:00",
        "2026-01-02 11:00:00 02:00",
        "2026-01-02T04:00:00-05:00",
        "2026-01-02T09:00:00",
        "2026-01-02 09:00",
        "2026-01-02T09",
    ],
)
def test_a_moment_has_many_spellings(text):
    """Without a zone it is UTC; a + arrives as a space, because a query string says so."""
    assert parse_time("start_time", text) == NINE
    assert parse_time("start_time", text).tzinfo is dt.UTC


def test_a_date_is_its_midnight():
    assert parse_time("start_time", "2026-01-02") == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def test_microseconds_are_kept_and_further_digits_cut():
    assert parse_time("start_time", "2026-01-02T09:00:00.1234567Z") == NINE + dt.timedelta(microseconds=123456)


@pytest.mark.parametrize(
    "text",
    [
        "1767344400",
        "1767344400.5",
        "now",
        "yesterday",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "2026-01-02T25:00:00Z",
        "2026-W01-1",
        "20260102T090000Z",
        "2026-01-02T09:00:00 02:00 02:00",
        "2026-01-02T09:00:00Z; DROP TABLE spans",
        "09:00",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
        "2026-01-02T09:00:00Z\n",
        "2026-01-02\0T09:00:00Z",
        "\ud800",
    ],
)
def test_what_is_no_iso_time_is_refused(text):
    assert "must be a valid ISO 8601 timestamp" in refused(lambda: parse_time("start_time", text), "start_time")


def test_a_trace_id_of_any_case_is_taken_in_lower_case():
    assert parse_trace_id("5B8AA5A2D2C872E8321CF37308D69DF2") == "5b8aa5a2d2c872e8321cf37308d69df2"


@pytest.mark.parametrize(
    "text", ["0" * 32, "5b8a", "5" * 31, "5" * 33, "g" * 32, "5" * 32 + "\n", " " + "5" * 32, "5" * 31 + "\u0665"]
)
def test_what_is_no_trace_id_is_refused(text):
    assert "32 hexadecimal digits" in refused(lambda: parse_trace_id(text), "trace_id")

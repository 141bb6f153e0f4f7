"""Fields of reports: both generations of names, every type that is taken, and refusals that name the field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import WireError
from lake.wire.report_fields import DEPLOY_FIELDS, ERROR_FIELDS, REQUEST_FIELDS
from tests.lake.wire.report_bodies import (
    DEPLOY,
    ERROR,
    NEW_ERROR,
    OLD_ERROR,
    REQUEST,
    SPAN_ID,
    TRACE_ID,
    decode,
    row,
)

FORMS = (("error", ERROR, ERROR_FIELDS), ("deploy", DEPLOY, DEPLOY_FIELDS), ("requests", REQUEST, REQUEST_FIELDS))
"""Decoder, smallest sound report, fields."""


def test_an_error_of_the_first_generation_fills_its_columns():
    error = row("error", OLD_ERROR)
    assert error["exception_class"] == "NoMethodError"
    assert error["timestamp"] == datetime(2024, 1, 15, 14, 30, tzinfo=UTC)
    assert (error["environment"], error["git_sha"]) == ("production", "abc123")
    assert (error["user_id"], error["request_id"]) == ("123", "req-abc123")
    assert (error["trace_id"], error["span_id"]) == (TRACE_ID, SPAN_ID)
    assert json.loads(error["context"]) == OLD_ERROR["context"]
    assert error["extra"] is None


def test_an_error_of_the_second_generation_fills_its_columns():
    error = row("error", NEW_ERROR)
    assert error["exception_class"] == "NoMethodError"
    assert error["fingerprint"] == "abc123def456"
    assert error["timestamp"] == datetime(2024, 1, 15, 14, 30, tzinfo=UTC)
    assert (error["user_id"], error["request_id"]) == ("123", "req-abc123")
    assert json.loads(error["params"]) == NEW_ERROR["params"]
    assert json.loads(error["source_context"]) == NEW_ERROR["source_context"]
    assert error["extra"] is None


@pytest.mark.parametrize("field", ERROR_FIELDS + DEPLOY_FIELDS + REQUEST_FIELDS, ids=lambda f: f"{f.column}-{f.names[0]}")
def test_every_name_of_a_field_fills_its_column(field):
    what, body = next((w, b) for w, b, fields in FORMS if field in fields)
    values = [value for value in ("2024-01-15T14:30:00Z", "abc", TRACE_ID, SPAN_ID, {"a": 1}, 7) if _reads(field, value)]
    for name in field.names:
        sent = {k: v for k, v in body.items() if k not in field.names} | {name: values[0]}
        stored = row(what, sent if what in ("error", "deploy") else {what: [sent]})
        assert stored[field.column] is not None
        assert stored["extra"] is None


def _reads(field, value):
    try:
        return field.read(field.names[0], value) is not None
    except WireError:
        return False


@pytest.mark.parametrize(
    ("what", "newer", "older"),
    [
        ("error", "exception_class", "error_type"),
        ("error", "timestamp", "happened_at"),
        ("deploy", "env", "environment"),
        ("deploy", "timestamp", "deployed_at"),
    ],
)
def test_the_newer_name_counts_and_the_older_value_is_kept_in_extra(what, newer, older):
    column = {"env": "environment"}.get(newer, "deployed_at" if what == "deploy" else newer)
    first, second = ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z") if "timestamp" in newer else ("a", "b")
    both = row(what, ERROR | DEPLOY | {newer: first, older: second})
    assert both[column] == row(what, ERROR | DEPLOY | {newer: first})[column]
    assert json.loads(both["extra"])[older] == second


@pytest.mark.parametrize("absent", [None, ""])
def test_the_older_name_counts_where_the_newer_says_nothing(absent):
    assert row("error", {"exception_class": absent, "error_type": "E", "message": ""})["exception_class"] == "E"


def test_unknown_fields_are_kept_as_one_json_object():
    error = row("error", ERROR | {"server": {"name": "web-1"}, "level": "fatal", "nothing": None, "none": [], "zero": 0})
    assert json.loads(error["extra"]) == {"server": {"name": "web-1"}, "level": "fatal", "zero": 0}


@pytest.mark.parametrize(
    "sent",
    [
        "2024-01-15T14:30:00Z",
        "2024-01-15t14:30:00z",
        "2024-01-15 14:30:00",
        "2024-01-15T14:30",
        "2024-01-15T20:00:00+05:30",
        "2024-01-15T14:30:00.000000000Z",
        "2024-01-15 15:30:00 +0100",
        "2024-01-15 14:30:00 UTC",
        "1705329000",
        1705329000,
        1705329000.0,
        1705329000_000,
        1705329000_000_000,
        1705329000_000_000_000,
        "1705329000000",
    ],
)
def test_a_time_comes_in_any_zone_and_unit(sent):
    assert row("deploy", DEPLOY | {"deployed_at": sent})["deployed_at"] == datetime(2024, 1, 15, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize("sent", [10**11, 10**14, 10**17])
def test_a_number_is_in_the_finer_unit_from_its_bound_on(sent):
    assert row("deploy", DEPLOY | {"timestamp": sent})["deployed_at"] == datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)
    with pytest.raises(WireError, match=r"^timestamp must be a time"):  # in the coarser one it is after 2262
        decode("deploy", DEPLOY | {"timestamp": sent - 1})


@pytest.mark.parametrize(
    ("sent", "microsecond"),
    [
        ("2024-01-15T14:30:00.1Z", 100_000),
        ("2024-01-15T14:30:00.123456999Z", 123_456),
        (1705329000.25, 250_000),
        ("1705329000.000001", 1),
        (1705329000_000_123_999, 123),
    ],
)
def test_a_time_keeps_its_microseconds(sent, microsecond):
    assert row("deploy", DEPLOY | {"timestamp": sent})["deployed_at"].microsecond == microsecond


OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2262, 1, 1), timezones=OFFSETS))  # noqa: DTZ001 - each gets its zone
def test_any_time_with_an_offset_is_read_exactly(time):
    assert row("deploy", DEPLOY | {"timestamp": time.isoformat()})["deployed_at"] == time


@pytest.mark.parametrize(
    "sent",
    ["soon", "20240115", "2024-02-30", "2024-01-15T25:00:00Z", "2024-01-15T14:30:00x+00:00", "2024-01-15T14:30:00+99:00",
     "2024-01-15T14:30:00Z\0", "1969-12-31T23:59:59Z", "2263-01-01", "-1", -1, 2**63, 1e300, True, [], {}, [1705329000]],
)  # fmt: skip
@pytest.mark.parametrize("name", ["timestamp", "happened_at", "occurred_at"])
def test_a_time_that_is_none_is_refused_by_its_name(name, sent):
    with pytest.raises(WireError, match=f"^{name} must be a time such as 2024-01-15T14:30:00Z"):
        decode("error", ERROR | {name: sent})


@pytest.mark.parametrize(("sent", "stored"), [(42, "42"), ("42", "42"), (-(2**63), str(-(2**63))), ("", None), (None, None)])
@pytest.mark.parametrize("name", ["user_id", "request_id"])
def test_ids_are_text_or_numbers_beside_the_message_or_in_the_context(name, sent, stored):
    assert row("error", ERROR | {name: sent})[name] == stored
    assert row("error", ERROR | {"context": {name: sent}})[name] == stored


def test_an_id_beside_the_message_counts_before_that_in_the_context():
    assert row("error", ERROR | {"user_id": 1, "context": {"user_id": 2}})["user_id"] == "1"


@pytest.mark.parametrize("sent", [{"id": 1}, [], 1.5, 2**63, True, "x" * 513, "a\0"])
def test_an_id_in_the_context_that_is_none_costs_nothing_else(sent):
    error = row("error", ERROR | {"context": {"user_id": sent}})
    assert error["user_id"] is None
    assert json.loads(error["context"]) == {"user_id": sent}


def test_a_request_id_of_32_hex_digits_is_the_trace():
    assert row("error", ERROR | {"request_id": TRACE_ID.upper()})["trace_id"] == TRACE_ID
    assert row("error", ERROR | {"context": {"request_id": TRACE_ID}})["trace_id"] == TRACE_ID
    assert row("error", ERROR | {"request_id": TRACE_ID, "trace_id": "ab" * 16})["trace_id"] == "ab" * 16
    assert row("error", ERROR | {"request_id": "0" * 32})["trace_id"] is None


@pytest.mark.parametrize("sent", ["xyz", "ab", "0" * 32, TRACE_ID + "0", 7, ["a"], {"a": 1}])
@pytest.mark.parametrize("name", ["trace_id", "span_id"])
def test_a_trace_or_span_id_that_is_none_is_kept_aside(name, sent):
    error = row("error", ERROR | {name: sent})
    assert error[name] is None
    assert json.loads(error["extra"]) == {name: sent}


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (None, []),
        ([], []),
        ("", []),
        ("a.rb:1\nb.rb:2\n", ["a.rb:1", "b.rb:2"]),
        ("a\r\nb", ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (
            ['  File "a.py", line 1, in f\n    g()\n', "KeyError: 1\n"],
            ['  File "a.py", line 1, in f', "    g()", "KeyError: 1"],
        ),
        ("a\n\nb", ["a", "", "b"]),
    ],
)
def test_a_backtrace_is_a_list_or_one_text(sent, stored):
    assert row("error", ERROR | {"backtrace": sent})["backtrace"] == stored


@pytest.mark.parametrize("count", [500, 501, 750, 999, 1500])
@pytest.mark.parametrize("join", [True, False])
def test_a_long_backtrace_keeps_both_ends(count, join):
    lines = [str(i) for i in range(count)]
    expected = lines if count <= 500 else lines[:250] + lines[-250:]
    assert row("error", ERROR | {"backtrace": "\n".join(lines) if join else lines})["backtrace"] == expected


def test_a_long_message_is_cut():
    assert row("error", ERROR | {"message": "é" * 70_000})["message"] == "é" * 65_536


def test_a_message_may_be_empty_or_null_but_not_missing():
    assert row("error", ERROR | {"message": ""})["message"] == ""
    assert row("error", ERROR | {"message": None})["message"] == ""
    with pytest.raises(WireError, match=r"^message is missing"):
        decode("error", {"exception_class": "E"})


def test_a_sent_fingerprint_is_kept_and_the_location_computed_all_the_same():
    error = row("error", ERROR | {"fingerprint": "mine", "backtrace": ["/gems/rack.rb:1", "app/a.rb:2"]})
    assert (error["fingerprint"], error["location"]) == ("mine", "app/a.rb:2")


WRONG = [
    ("error", "exception_class", 1, "text of 1 to 512 characters, not 1"),
    ("error", "exception_class", "x" * 513, "text of 1 to 512 characters, not 'xxx"),
    ("error", "message", {}, "text, not an object"),
    ("error", "message", False, "text, not false"),
    ("error", "backtrace", {"a": 1}, "a list of texts or one text with line breaks, not an object"),
    ("error", "backtrace", ["a", 1], "a list of texts or one text with line breaks, not a list"),
    ("error", "fingerprint", "x" * 257, "text of at most 256 characters"),
    ("error", "user_id", 1.5, "text of at most 512 characters or a whole number of 64 bits, not 1.5"),
    ("error", "request_id", 2**63, "text of at most 512 characters or a whole number of 64 bits, not 9223372036854775808"),
    (
        "error",
        "request_id",
        10**30,
        "text of at most 512 characters or a whole number of 64 bits, not a number beyond 64 bits",
    ),
    ("error", "user_id", True, "text of at most 512 characters or a whole number of 64 bits, not true"),
    ("error", "context", "text", "an object, not 'text'"),
    ("error", "source_context", [1], "an object, not a list"),
    ("deploy", "version", 1.10, "text of at most 512 characters or a whole number of 64 bits, not 1.1"),
    ("deploy", "description", 3, "text, not 3"),
    ("requests", "status", "200", "a whole number of 64 bits, 0 or more, not '200'"),
    ("requests", "status", 200.5, "a whole number of 64 bits, 0 or more, not 200.5"),
    ("requests", "status", -1, "a whole number of 64 bits, 0 or more, not -1"),
    ("requests", "db_count", 2**63, "a whole number of 64 bits, 0 or more"),
    ("requests", "db_count", True, "a whole number of 64 bits, 0 or more, not true"),
    ("requests", "total_ms", "fast", "a number of milliseconds, 0 or more, not 'fast'"),
    ("requests", "total_ms", -0.5, "a number of milliseconds, 0 or more, not -0.5"),
    ("requests", "db_ms", 1e300, "a number of milliseconds, 0 or more, not a number beyond 64 bits"),
]


@pytest.mark.parametrize(("what", "name", "value", "message"), WRONG)
def test_a_wrong_type_is_refused_by_name_with_what_it_must_be(what, name, value, message):
    if what == "requests":
        (rejected,) = decode("requests", {"requests": [REQUEST | {name: value}]}).rejected
        text = rejected.message
    else:
        with pytest.raises(WireError) as refused:
            decode(what, (ERROR if what == "error" else DEPLOY) | {name: value})
        text = str(refused.value)
    assert message in text
    assert text.startswith(name)


@pytest.mark.parametrize("name", ["exception_class", "message", "backtrace", "user_id", "environment", "fingerprint"])
def test_nul_characters_are_refused_by_name(name):
    with pytest.raises(WireError, match=f"^{name} must not have NUL"):
        decode("error", ERROR | {name: "a\0b"})

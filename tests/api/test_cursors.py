"""Cursors are opaque to clients and closed to everybody but the deployment that made them."""

import base64

import orjson
import pytest

from api.cursors import decode, encode
from api.problems import InvalidCursor, problem_of

SECRET = b"s" * 32
SCOPE = "traces\0shop\0live"
CONTENT = {"snapshot": "abc", "start_ns": 2**63 - 1, "trace_id": "f" * 32, "service": "café"}


@pytest.fixture
def cursor():
    return encode(SECRET, SCOPE, CONTENT)


def test_what_was_encoded_comes_back(cursor):
    assert decode(SECRET, SCOPE, cursor) == CONTENT


def test_a_cursor_can_stand_in_a_url_as_it_is(cursor):
    assert set(cursor) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_every_changed_character_is_noticed(cursor):
    for place, character in enumerate(cursor):
        for other in {"A", "B", "", ".", "é"} - {character}:
            with pytest.raises(InvalidCursor):
                decode(SECRET, SCOPE, cursor[:place] + other + cursor[place + 1 :])


@pytest.mark.parametrize(
    ("secret", "scope"),
    [
        (b"t" * 32, SCOPE),
        (SECRET, "traces\0shop\0sandbox"),
        (SECRET, "traces\0other\0live"),
        (SECRET, "errors\0shop\0live"),
    ],
    ids=["another deployment", "the sandbox", "another project", "another list"],
)
def test_a_cursor_is_good_where_it_was_made_and_nowhere_else(cursor, secret, scope):
    with pytest.raises(InvalidCursor):
        decode(secret, scope, cursor)


def test_the_content_of_one_cursor_cannot_be_signed_with_another(cursor):
    forged = base64.urlsafe_b64encode(orjson.dumps(CONTENT | {"snapshot": "mine"})).decode().rstrip("=")
    with pytest.raises(InvalidCursor):
        decode(SECRET, SCOPE, f"v1.{forged}.{cursor.rpartition('.')[2]}")


@pytest.mark.parametrize(
    "text", ["", ".", "..", "v1", "v1..", "v2.e30.x", "v1.e30", "null", "\ud800", "v1.%00.%00", "x" * 10_000]
)
def test_what_is_no_cursor_is_refused_as_the_parameter_cursor(text):
    with pytest.raises(InvalidCursor) as caught:
        decode(SECRET, SCOPE, text)
    problem = problem_of(caught.value)
    assert (problem.status, problem.code, problem.param) == (400, "invalid_cursor", "cursor")

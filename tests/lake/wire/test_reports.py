"""Bodies of errors, deploys and request metrics become rows, or are refused; a batch keeps what is sound."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import TooLarge, WireError
from lake.schema import DEPLOYS, ERRORS, REQUESTS
from lake.wire.report_fields import DEPLOY_FIELDS, ERROR_FIELDS, REQUEST_FIELDS
from tests.lake.wire.report_bodies import (
    DECODERS,
    DEPLOY,
    ERROR,
    GEM_BATCH,
    NEW_ERROR,
    NOW,
    OLD_ERROR,
    REQUEST,
    SEED_DEPLOY,
    SEED_ERROR,
    SPAN_ID,
    TRACE_ID,
    decode,
    row,
)


def test_the_error_of_the_reference_is_taken_as_printed():
    error = row("error", SEED_ERROR)
    assert error["exception_class"] == "RuntimeError"
    assert error["message"] == "Something went wrong"
    assert error["backtrace"] == ["app/models/user.rb:42:in `save`"]
    assert error["location"] == "app/models/user.rb:42:in `save`"
    assert error["timestamp"] == error["ingested_at"] == NOW
    assert len(error["fingerprint"]) == 32


def test_the_deploy_of_the_reference_is_taken_as_printed():
    deploy = row("deploy", SEED_DEPLOY)
    assert (deploy["version"], deploy["git_sha"], deploy["deployer"]) == ("v1.2.3", "abc123def", "github-actions")
    assert deploy["deployed_at"] == NOW


def test_the_batch_of_the_ruby_gem_is_taken_as_sent():
    error = row("errors", GEM_BATCH)
    assert error["exception_class"] == "RecordNotFound"
    assert error["fingerprint"] == "527a556a043d862fa359e000a77da7a5"
    assert error["timestamp"] == datetime(2026, 1, 2, 23, 43, tzinfo=UTC)


@pytest.mark.parametrize(
    ("what", "body", "schema"),
    [
        ("error", ERROR, ERRORS.arrow_schema),
        ("errors", {"errors": []}, ERRORS.arrow_schema),
        ("errors", {"errors": [ERROR, ERROR]}, ERRORS.arrow_schema),
        ("errors", {"errors": [1]}, ERRORS.arrow_schema),
        ("deploy", DEPLOY, DEPLOYS.arrow_schema),
        ("requests", {"requests": []}, REQUESTS.arrow_schema),
        ("requests", {"requests": [REQUEST]}, REQUESTS.arrow_schema),
    ],
)
def test_a_table_has_exactly_the_columns_of_the_schema(what, body, schema):
    table = decode(what, body).table
    assert table.schema.equals(schema, check_metadata=True)
    table.validate(full=True)


def test_a_batch_keeps_the_sound_errors_and_lists_the_others():
    outcome = decode("errors", {"errors": [ERROR, 1, {"message": "no class"}, ERROR, ERROR | {"timestamp": "soon"}]})
    assert outcome.table.num_rows == 2
    assert [rejected.index for rejected in outcome.rejected] == [1, 2, 4]
    assert outcome.rejected[1].message.startswith("exception_class is missing")
    assert outcome.rejected[2].message.startswith("timestamp must be a time such as")


@pytest.mark.parametrize(("what", "list_"), [("errors", "errors"), ("requests", "requests")])
def test_a_batch_of_too_many_is_refused_whole(what, list_):
    with pytest.raises(TooLarge, match="10000 reports, this one has 10001"):
        decode(what, b'{"%s":[%s]}' % (list_.encode(), b",".join([b"{}"] * 10_001)))


def test_the_ids_of_a_key_are_always_the_same_and_differ_inside_a_batch():
    ids = decode("errors", {"errors": [ERROR, ERROR]}, "k").table["id"].to_pylist()
    assert ids == decode("errors", {"errors": [ERROR, ERROR]}, "k").table["id"].to_pylist()
    assert len(set(ids)) == 2
    assert ids != decode("errors", {"errors": [ERROR, ERROR]}, "other").table["id"].to_pylist()


def test_an_error_without_a_fingerprint_falls_together_with_that_of_the_gem():
    sent = json.loads(GEM_BATCH)["errors"][0]
    computed = row("error", {k: v for k, v in sent.items() if k != "fingerprint"})
    assert computed["fingerprint"] == sent["fingerprint"]


def test_rows_of_a_batch_are_those_of_single_errors():
    together = decode("errors", {"errors": [OLD_ERROR, NEW_ERROR, ERROR]}, "k").table.drop_columns("id")
    alone = [decode("error", error).table.drop_columns("id") for error in (OLD_ERROR, NEW_ERROR, ERROR)]
    assert together.equals(pa.concat_tables(alone).combine_chunks())


@pytest.mark.parametrize(
    "body",
    [b"", b"nope", b"[]", b"1", b"null", b'"text"', b"{", b'{"a":1}{}', b"\xef\xbb\xbf{}", b"NaN", b'{"message":NaN}',
     b'{"a":1e999}', b'{"message":"\\ud800"}', b'{"message":"\xff"}', b'{"message":"\xed\xa0\x80"}',
     b'{"a":' + b"9" * 5000 + b"}", b'{"a":' + b"[" * 100_000, b"[" * 100_000, b'{"a":' * 100_000],
)  # fmt: skip
@pytest.mark.parametrize("what", DECODERS)
def test_bodies_that_are_no_json_object_are_refused(what, body):
    with pytest.raises(WireError):
        decode(what, body)


@pytest.mark.parametrize("bad", [b"1", b"null", b"[]", b'{"message":"\xff"}', b'{"a":1e999}', b'{"a":' + b"9" * 5000 + b"}",
                                 b'{"class":"E","message":"","a":"\xed\xa0\x80"}'])  # fmt: skip
def test_a_bad_element_is_listed_and_the_others_are_stored(bad):
    good = json.dumps(ERROR).encode()
    outcome = decode("errors", b'{"errors":[' + good + b"," + bad + b"," + good + b"]}")
    assert outcome.table.num_rows == 2
    assert [rejected.index for rejected in outcome.rejected] == [1]


@pytest.mark.parametrize("name", ["params", "unknown"])
def test_values_are_kept_100_levels_deep_and_refused_where_they_end_the_stack(name):
    def error(depth):
        return b'{"class":"E","message":"","%s":%s}' % (name.encode(), b"[" * depth + b"1" + b"]" * depth)

    stored = row("error", error(100))["params" if name == "params" else "extra"]
    assert "[" * 100 + "1" + "]" * 100 in stored
    for depth in range(900, 1000):  # somewhere here reading still works and writing does not
        with contextlib.suppress(WireError):
            decode("error", error(depth)).table.validate(full=True)
    with pytest.raises(WireError, match="nested too deeply"):
        decode("error", error(100_000))


@pytest.mark.parametrize(("what", "missing"), [("errors", "errors"), ("requests", "requests")])
@pytest.mark.parametrize("value", [None, {}, "x", 1])
def test_a_batch_without_its_list_is_refused_by_name(what, missing, value):
    for body in ({missing: value}, {}):
        with pytest.raises(WireError, match=f"list `{missing}`"):
            decode(what, body)


def test_a_body_of_too_many_values_is_refused_before_it_is_read():
    with pytest.raises(TooLarge, match="2000000 JSON values"):
        decode("error", b'{"class":"E","message":"","a":[' + b"1," * 2_000_001 + b"1]}")


def test_a_deploy_of_either_generation_fills_its_columns():
    old = {"version": "v1.2.3", "git_sha": "abc123", "deployer": "ci", "environment": "production", "description": "d",
           "deployed_at": "2024-01-15T14:30:00Z"}  # fmt: skip
    new = {k: v for k, v in old.items() if k not in ("environment", "deployed_at")}
    new |= {"env": "production", "timestamp": "2024-01-15T14:30:00Z"}
    stored = [row("deploy", deploy) for deploy in (old, new)]
    for deploy in stored:
        assert deploy.pop("id").startswith("deploy_")
    assert stored[0] == stored[1]
    assert stored[0]["deployed_at"] == datetime(2024, 1, 15, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize("body", [{}, {"version": None}, {"version": "", "git_sha": ""}, {"deployer": "x", "env": "y"}])
def test_a_deploy_needs_a_version_or_a_git_sha(body):
    with pytest.raises(WireError, match=r"^version or git_sha is missing"):
        decode("deploy", body)


def test_requests_share_the_metadata_of_their_body():
    metadata = {"host": "web-1", "env": "production", "git_sha": "abc", "rails_version": "8.0", "ruby_version": "3.4"}
    table = decode("requests", {"metadata": metadata, "requests": [REQUEST, REQUEST | {"x": 1, "db_count": 3}]}).table
    first, second = table.to_pylist()
    assert (first["host_name"], first["environment"], first["git_sha"]) == ("web-1", "production", "abc")
    assert json.loads(first["extra"]) == {"rails_version": "8.0", "ruby_version": "3.4"}
    assert json.loads(second["extra"]) == {"rails_version": "8.0", "ruby_version": "3.4", "x": 1}
    assert (first["total_ms"], first["db_ms"], first["db_count"], first["view_ms"]) == (12.5, 0.0, 0, 0.0)
    assert second["db_count"] == 3


@pytest.mark.parametrize("name", ["request_id", "method", "path", "status", "total_ms"])
def test_a_request_without_a_required_field_is_listed_by_name(name):
    outcome = decode("requests", {"requests": [{k: v for k, v in REQUEST.items() if k != name}, REQUEST]})
    assert outcome.table.num_rows == 1
    assert outcome.rejected[0].index == 0
    assert outcome.rejected[0].message.startswith(f"{name} is missing")


def test_wrong_metadata_refuses_the_whole_body_by_name():
    with pytest.raises(WireError, match=r"^metadata\.host must be text"):
        decode("requests", {"metadata": {"host": [1]}, "requests": [REQUEST]})
    with pytest.raises(WireError, match=r"\$\.metadata"):
        decode("requests", {"metadata": 1, "requests": [REQUEST]})


def test_ids_are_random_unless_a_key_is_given():
    first, second = (row("error", ERROR)["id"] for _ in range(2))
    assert first != second
    assert re.fullmatch("err_[0-9a-f]{20}", first)
    assert re.fullmatch("deploy_[0-9a-f]{20}", row("deploy", DEPLOY)["id"])
    with_key = [decode(what, body, "key é").table["id"][0].as_py() for what, body in (("error", ERROR), ("deploy", DEPLOY))]
    assert re.fullmatch("err_[0-9a-f]{20}", with_key[0])
    assert re.fullmatch("deploy_[0-9a-f]{20}", with_key[1])
    assert with_key[0] == decode("error", ERROR, "key é").table["id"][0].as_py()


def test_an_id_of_a_key_belongs_to_the_place_in_the_batch():
    whole = decode("errors", {"errors": [ERROR, ERROR, ERROR]}, "k").table["id"].to_pylist()
    with_bad = decode("errors", {"errors": [ERROR, 1, ERROR]}, "k").table["id"].to_pylist()
    assert with_bad == [whole[0], whole[2]]


NAMES = sorted({name for field in ERROR_FIELDS + DEPLOY_FIELDS + REQUEST_FIELDS for name in field.names} | {"other"})
TEXTS = (
    st.text()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from([TRACE_ID, SPAN_ID, "2024-01-15T14:30:00Z", "1705329000", "a\0", "v1", "\n\r\n"])
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXTS | st.sampled_from(NAMES), v, max_size=4)
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
REPORTS = FIELDS.map(lambda some: ERROR | DEPLOY | REQUEST | some) | FIELDS | VALUES
BODIES = (
    REPORTS
    | st.fixed_dictionaries({"errors": st.lists(REPORTS) | VALUES})
    | st.fixed_dictionaries({"requests": st.lists(REPORTS) | VALUES}, optional={"metadata": VALUES})
)
SEEDS = [SEED_ERROR, SEED_DEPLOY, GEM_BATCH, json.dumps(OLD_ERROR).encode(), json.dumps({"requests": [REQUEST]}).encode()]
PIECES = [b'"', b"{", b"]", b",", b"null", b"9e9", b"\\u0000", b"\\ud800"]


def holds(what: str, body: bytes) -> None:
    """Whatever comes in: a refusal, or rows and rejections that account for every report."""
    try:
        outcome = decode(what, body, "key")
    except WireError:
        return
    schema = {"deploy": DEPLOYS, "requests": REQUESTS}.get(what, ERRORS).arrow_schema
    assert outcome.table.schema.equals(schema)
    outcome.table.validate(full=True)
    count = len(json.loads(body.decode("utf-8", "replace"), strict=False)[what]) if what in ("errors", "requests") else 1
    assert outcome.table.num_rows + len(outcome.rejected) == count
    for name in ("params", "context", "source_context", "extra"):
        for text in outcome.table[name].to_pylist() if name in schema.names else []:
            if text is not None:
                json.loads(text)


@settings(deadline=None)
@given(st.sampled_from(list(DECODERS)), BODIES)
def test_any_json_gives_rows_or_a_refusal(what, body):
    holds(what, json.dumps(body).encode())


@settings(deadline=None)
@given(st.sampled_from(list(DECODERS)), st.binary())
def test_any_bytes_give_rows_or_a_refusal(what, body):
    holds(what, body)


@settings(deadline=None)
@given(st.sampled_from(list(DECODERS)), st.sampled_from(SEEDS), st.data())
def test_mutated_bodies_give_rows_or_a_refusal(what, seed, data):
    body = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        place, size = data.draw(st.integers(0, len(body))), data.draw(st.integers(0, 3))
        body[place : place + size] = data.draw(st.binary(max_size=3) | st.sampled_from(PIECES))
    holds(what, bytes(body))

"""Several requests together: each has its own outcome."""

from __future__ import annotations

from typing import Any

import pytest

from lake.errors import TooLarge, WireError
from lake.schema import PROMOTED, SPANS, Promoted, tables_of
from lake.wire import traces
from lake.wire.traces import Encoding, Limits, TraceBody, trace_rows
from tests.lake.wire.requests import Spelling, Tree, json_of, protobuf_of

SPELLING = Spelling(integers_as_text=True, ids_as_base64=False, enums_as_names=False)
ENCODINGS: tuple[Encoding, ...] = ("protobuf", "json")


def spans(*names: str, **fields: Any) -> list[Tree]:
    return [{"traceId": b"t" * 16, "spanId": b"s" * 8, "name": name, **fields} for name in names]


def request(*spans_of_resource: list[Tree]) -> Tree:
    return {"resourceSpans": [{"scopeSpans": [{"spans": each}]} for each in spans_of_resource]}


def body(tree: Tree, encoding: Encoding) -> TraceBody:
    return TraceBody(protobuf_of(tree).SerializeToString() if encoding == "protobuf" else json_of(tree, SPELLING), encoding)


def rows_of(*bodies: TraceBody, max_spans: int = 100, max_resources: int = 100, **options: Any):
    limits = Limits(max_spans=max_spans, max_resources=max_resources)
    return trace_rows(bodies, limits=limits, ingested_at_us=5, **options)


def names_of_bodies(rows) -> dict[int, list[str]]:
    """Names of the spans of each body that is stored."""
    names = iter(rows.table["name"].to_pylist())
    return {place: [next(names) for _ in range(rows.outcomes[place].row_count)] for place in rows.order}


def test_no_bodies_make_no_rows() -> None:
    rows = rows_of()
    assert (rows.table.num_rows, rows.order, rows.outcomes) == (0, (), ())
    assert rows.table.schema == SPANS.arrow_schema


def test_rows_of_both_encodings_know_their_bodies() -> None:
    sent: list[tuple[Encoding, str]] = [("json", "ab"), ("protobuf", "c"), ("json", ""), ("protobuf", "def"), ("json", "g")]
    rows = rows_of(*(body(request(spans(*names)), encoding) for encoding, names in sent))
    assert names_of_bodies(rows) == {place: list(names) for place, (_, names) in enumerate(sent)}
    assert [outcome.row_count for outcome in rows.outcomes] == [2, 1, 0, 3, 1]
    assert rows.table["ingested_at"].cast("int64").to_pylist() == [5] * 7


@pytest.mark.parametrize("encodings", [("protobuf",), ("json",), ENCODINGS])
def test_columns_are_those_of_the_schema_in_its_order(encodings: tuple[Encoding, ...]) -> None:
    table = rows_of(*(body(request(spans("a")), encoding) for encoding in encodings)).table
    assert table.column_names == SPANS.arrow_schema.names
    assert table.schema.types == SPANS.arrow_schema.types


@pytest.mark.parametrize("encodings", [("protobuf",), ("json",), ENCODINGS])
def test_a_promotion_adds_its_column_at_the_end(encodings: tuple[Encoding, ...]) -> None:
    promoted = (*PROMOTED, Promoted("order_id", "order.id", "+", "span", "i"))
    attributes = [{"key": "order.id", "value": {"intValue": 7}}]
    sent = [body(request(spans("a", attributes=attributes)), encoding) for encoding in encodings]
    table = rows_of(*sent, promoted=promoted).table
    assert table.column_names == tables_of(promoted)["spans"].arrow_schema.names
    assert table["order_id"].to_pylist() == [7] * len(encodings)
    assert table["attributes"].to_pylist() == [None] * len(encodings)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_malformed_body_does_not_touch_the_others(encoding: Encoding, place: int) -> None:
    bodies = [body(request(spans(name)), encoding) for name in "ab"]
    bodies.insert(place, TraceBody(b"\xff not a request", encoding))
    rows = rows_of(*bodies)
    assert isinstance(rows.outcomes[place].error, WireError)
    assert rows.outcomes[place].row_count == 0
    assert [names for _, names in sorted(names_of_bodies(rows).items())] == [["a"], ["b"]]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_malformed_body_gets_its_own_reason(encoding: Encoding) -> None:
    late = request([{"attributes": [{"key": "k", "value": {"arrayValue": {}}}]}])
    bad_value = body(late, encoding).content.replace(b"k", b"\xff")
    rows = rows_of(TraceBody(b"\xff", encoding), body(request(spans("a")), encoding), TraceBody(bad_value, encoding))
    first, _, last = (str(outcome.error) for outcome in rows.outcomes)
    assert first != last
    assert names_of_bodies(rows) == {1: ["a"]}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_refused_spans_are_counted_for_their_own_request(encoding: Encoding) -> None:
    bad = [{"spanId": b"s" * 8}, {"traceId": b"t" * 16, "spanId": b"s" * 8, "parentSpanId": b"abc"}]
    rows = rows_of(
        body(request(spans("a"), [*bad, *spans("b")]), encoding),
        body(request(spans("c")), encoding),
        body(request(bad[:1]), encoding),
    )
    assert names_of_bodies(rows) == {0: ["a", "b"], 1: ["c"], 2: []}
    first, second, third = (outcome.refused for outcome in rows.outcomes)
    assert first is not None
    assert (first.count, first.message) == (
        2,
        "2 spans refused: trace_id must be 16 bytes and not all zero (1); parent_span_id must be 8 bytes or empty (1)",
    )
    assert second is None
    assert third is not None
    assert third.message == "1 span refused: trace_id must be 16 bytes and not all zero (1)"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_limits_are_those_of_one_request_not_of_all_together(encoding: Encoding) -> None:
    sent = [body(request(spans(*"abc"), spans(*"de")), encoding) for _ in range(4)]
    rows = rows_of(*sent, max_spans=5, max_resources=2)
    assert [outcome.row_count for outcome in rows.outcomes] == [5, 5, 5, 5]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (request(spans(*"abc"), spans(*"def")), "a request may hold 5 spans, this one has 6: send smaller batches"),
        (request(*[[]] * 4), "a request may hold 3 resources, this one has 4: send smaller batches"),
        ({"resourceSpans": [{"scopeSpans": [{}] * 6}]}, "a request may hold 5 scopes, this one has 6"),
        ({"resourceSpans": [{"resource": {"entityRefs": [{}] * 6}}]}, "may hold 5 entity references, this one has 6"),
        (request(spans(*"ab", events=[{}] * 3)), "a request may hold 5 events, this one has 6"),
        (request(spans(*"ab", links=[{}] * 3)), "a request may hold 5 links, this one has 6"),
        (request(spans("a", attributes=[{"key": "k"}] * 81)), "a request may hold 80 attributes, this one has 81"),
        (request(spans("a", events=[{"attributes": [{}] * 81}])), "may hold 80 attributes, this one has 81"),
        (request(spans("a", links=[{"attributes": [{}] * 41}] * 2)), "may hold 80 attributes, this one has 82"),
        ({"resourceSpans": [{"resource": {"attributes": [{}] * 81}}]}, "may hold 80 attributes, this one has 81"),
        ({"resourceSpans": [{"scopeSpans": [{"scope": {"attributes": [{}] * 81}}]}]}, "may hold 80 attributes"),
    ],
)
def test_a_request_over_a_limit_is_refused_alone(encoding: Encoding, tree: Tree, message: str) -> None:
    fine = body(request(spans("fine")), encoding)
    rows = rows_of(fine, body(tree, encoding), fine, max_spans=5, max_resources=3)
    assert isinstance(rows.outcomes[1].error, TooLarge)
    assert message in str(rows.outcomes[1].error)
    assert names_of_bodies(rows) == {0: ["fine"], 2: ["fine"]}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bodies_beyond_one_group_are_decoded_in_several(monkeypatch: pytest.MonkeyPatch, encoding: Encoding) -> None:
    sent = [
        body(request(spans(name * length)), encoding) for name, length in zip("abcdef", (9, 999, 1, 2, 3, 2000), strict=True)
    ]
    together = rows_of(*sent)
    monkeypatch.setattr(traces, "_GROUP_BYTES", 500)
    apart = rows_of(*sent)
    assert apart.table.combine_chunks() == together.table.combine_chunks()
    assert (apart.order, apart.outcomes) == (together.order, together.outcomes)

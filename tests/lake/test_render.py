"""One trace as JSON: every value in its own type, every span at its place in the tree."""

import base64
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from lake.folder import LakeFolder
from lake.render import depths, spans_json
from lake.schema import PROMOTED, Promoted
from tests.lake.rows import span, table
from tests.lake.spans import rows_of


def shown(*spans, resource=(), scope=None, promoted=PROMOTED):
    """The JSON of the spans of one request."""
    request = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(resource=Resource(attributes=resource), scope_spans=[ScopeSpans(scope=scope, spans=spans)])
        ]
    )
    rows, _ = rows_of([request.SerializeToString()], promoted=promoted)
    return json.loads(spans_json(rows, promoted))


def otlp(number=1, **known):
    fields = {"trace_id": b"\1" * 16, "span_id": number.to_bytes(8, "big"), "name": "GET /", "start_time_unix_nano": 10**18}
    return Span(**{"end_time_unix_nano": 10**18 + 1000} | fields | known)


def key_values(values):
    return [KeyValue(key=key, value=value) for key, value in values.items()]


# Attributes


def text(value):
    return AnyValue(string_value=value)


def array(*values):
    return AnyValue(array_value=ArrayValue(values=values))


VALUES = {
    "text": (text("plain"), "plain"),
    "empty": (text(""), ""),
    "unicode": (text("ü 漢 😀 \u2028"), "ü 漢 😀 \u2028"),
    "escapes": (text('"quoted" \\ back\nline\t\x00\x1f\x7f'), '"quoted" \\ back\nline\t\x00\x1f\x7f'),
    "looks like JSON": (text('{"a": 1}'), '{"a": 1}'),
    "looks like a number": (text("1"), "1"),
    "integer": (AnyValue(int_value=5), 5),
    "lowest": (AnyValue(int_value=-(2**63)), -(2**63)),
    "double": (AnyValue(double_value=0.1), 0.1),
    "huge": (AnyValue(double_value=1e300), 1e300),
    "tiny": (AnyValue(double_value=5e-324), 5e-324),
    "whole double": (AnyValue(double_value=3.0), 3),
    "not a number": (AnyValue(double_value=math.nan), "nan"),
    "infinite": (AnyValue(double_value=math.inf), "inf"),
    "minus infinite": (AnyValue(double_value=-math.inf), "-inf"),
    "yes": (AnyValue(bool_value=True), True),
    "no": (AnyValue(bool_value=False), False),
    "bytes": (AnyValue(bytes_value=b"\x00\xff"), base64.b64encode(b"\x00\xff").decode()),
    "nothing": (AnyValue(), None),
    "array": (array(text('x"y'), AnyValue(int_value=1)), ['x"y', 1]),
    "empty array": (array(), []),
    "list": (AnyValue(kvlist_value=KeyValueList(values=key_values({'q"': AnyValue(bool_value=False)}))), {'q"': False}),
    "typed array": (array(AnyValue(bytes_value=b"z")), {"arrayValue": {"values": [{"bytesValue": "eg=="}]}}),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_attribute_of_any_type_keeps_its_type(name):
    sent, expected = VALUES[name]
    [found] = shown(otlp(attributes=key_values({name: sent})))
    assert found["attributes"] == {name: expected}
    assert type(found["attributes"][name]) is type(expected)


@pytest.mark.parametrize("key", ["", 'quo"te', "back\\slash", "new\nline", "ü", "a'b", "{}", "$key", "attributes"])
def test_a_key_may_be_any_text(key):
    assert shown(otlp(attributes=key_values({key: text("v")})))[0]["attributes"] == {key: "v"}


@pytest.mark.parametrize("promoted", PROMOTED, ids=lambda p: p.column)
def test_a_promoted_attribute_is_shown_under_its_key_in_its_type(promoted):
    value, expected = (AnyValue(int_value=5), 5) if promoted.type == "i" else (text('v"'), 'v"')
    sent = key_values({"before": text("b"), promoted.key: value, "after": text("a")})
    [found] = shown(otlp(attributes=sent)) if promoted.where == "span" else shown(otlp(), resource=sent)
    assert found["attributes" if promoted.where == "span" else "resource"] == {
        "before": "b",
        promoted.key: expected,
        "after": "a",
    }


@pytest.mark.parametrize("alias", [(p, key) for p in PROMOTED for key in p.aliases], ids=lambda alias: alias[1])
def test_an_older_name_is_shown_as_it_was_sent(alias):
    promoted, key = alias
    value, expected = (AnyValue(int_value=5), 5) if promoted.type == "i" else (text("v"), "v")
    [found] = shown(otlp(attributes=key_values({key: value})))
    assert found["attributes"] == {key: expected}


def test_a_promoted_attribute_of_another_type_is_shown_as_it_was_sent():
    [found] = shown(
        otlp(attributes=key_values({"http.response.status_code": text("200"), "http.route": AnyValue(int_value=1)}))
    )
    assert found["attributes"] == {"http.response.status_code": "200", "http.route": 1}


def test_an_attribute_that_was_promoted_later_is_shown_under_its_key():
    promoted = (*PROMOTED, Promoted("tenant", 'ten"ant', "+", "span"), Promoted("size", "size", "9", "resource", "i"))
    sent = key_values({'ten"ant': text("a"), "other": text("b")})
    [found] = shown(otlp(attributes=sent), resource=key_values({"size": AnyValue(int_value=7)}), promoted=promoted)
    assert found["attributes"] == {'ten"ant': "a", "other": "b"}
    assert found["resource"] == {"size": 7}


ANY_VALUES = st.sampled_from(sorted(VALUES))
ATTRIBUTES = st.dictionaries(st.text(max_size=5) | st.sampled_from([p.key for p in PROMOTED]), ANY_VALUES, max_size=6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(ATTRIBUTES, ATTRIBUTES, st.lists(ATTRIBUTES, max_size=2)), min_size=1, max_size=5), ATTRIBUTES)
def test_attributes_of_spans_events_and_links_are_never_mixed_up(spans, resource):
    def sent(names):
        return key_values({key: VALUES[name][0] for key, name in names.items()})

    def expected(names):
        return {key: VALUES[name][1] for key, name in names.items()}

    made = [
        otlp(
            number + 1,
            attributes=sent(own),
            events=[Span.Event(name="e", time_unix_nano=10**18, attributes=sent(event)) for event in events],
            links=[Span.Link(trace_id=b"\2" * 16, span_id=b"\3" * 8, attributes=sent(link))],
        )
        for number, (own, link, events) in enumerate(spans)
    ]
    found = shown(*made, resource=sent(resource))
    assert [s["attributes"] for s in found] == [expected(own) for own, _, _ in spans]
    assert [[e["attributes"] for e in s["events"]] for s in found] == [[expected(e) for e in es] for _, _, es in spans]
    assert [[link["attributes"] for link in s["links"]] for s in found] == [[expected(link)] for _, link, _ in spans]
    assert all(s["resource"] == expected(resource) for s in found)


# Fields


def test_a_span_has_the_fields_of_the_reference():
    [found] = shown(
        otlp(
            parent_span_id=b"\7" * 8,
            kind=Span.SPAN_KIND_CLIENT,
            status=Status(code=Status.STATUS_CODE_ERROR, message='no "item"'),
            start_time_unix_nano=1_700_000_000_123_456_789,
            end_time_unix_nano=1_700_000_000_223_457_788,
            events=[Span.Event(name="retry", time_unix_nano=1_700_000_000_200_000_001)],
            links=[Span.Link(trace_id=b"\2" * 16, span_id=b"\3" * 8)],
        ),
        resource=key_values({"service.name": text("shop")}),
        scope=InstrumentationScope(name="lib", version="1.2"),
    )
    assert found == {
        "span_id": "0000000000000001",
        "parent_span_id": "07" * 8,
        "name": "GET /",
        "service": "shop",
        "kind": "client",
        "category": "internal",
        "start_time": "2023-11-14T22:13:20.123456Z",
        "start_time_unix_nano": "1700000000123456789",
        "end_time": "2023-11-14T22:13:20.223457Z",
        "duration_ms": 100.000999,
        "offset_ms": 0.0,
        "depth": 0,
        "status": {"code": "error", "message": 'no "item"'},
        "attributes": {},
        "resource": {"service.name": "shop"},
        "scope": {"name": "lib", "version": "1.2"},
        "events": [{"name": "retry", "time": "2023-11-14T22:13:20.200000Z", "attributes": {}}],
        "links": [{"trace_id": "02" * 16, "span_id": "03" * 8, "attributes": {}}],
    }


def test_what_a_span_does_not_have_is_empty_or_null():
    [found] = shown(otlp())
    absent = {
        name: found[name] for name in ("parent_span_id", "service", "attributes", "resource", "events", "links", "scope")
    }
    assert absent == {
        "parent_span_id": None,
        "service": None,
        "attributes": {},
        "resource": {},
        "events": [],
        "links": [],
        "scope": {"name": None, "version": None},
    }
    assert found["status"] == {"code": "unset", "message": ""}


@pytest.mark.parametrize("start", [0, 10**18, 2**62 + 1, 2**63 - 1001])
def test_offsets_count_from_the_first_start_at_any_time(start):
    spans = [otlp(n, start_time_unix_nano=start + n * 100, end_time_unix_nano=2**63 - 1) for n in (1, 2)]
    found = shown(*spans)
    assert [s["offset_ms"] for s in found] == [0.0, 1e-4]
    assert [s["start_time_unix_nano"] for s in found] == [str(start + 100), str(start + 200)]
    assert [s["end_time"] for s in found] == ["2262-04-11T23:47:16.854775Z"] * 2


@pytest.mark.parametrize(
    ("known", "category"),
    [
        ({}, "internal"),
        ({"db_system": "opensearch"}, "search"),
        ({"db_system": "postgresql", "kind": "client", "http_method": "GET"}, "db"),
        ({"db_statement": "SELECT 1"}, "db"),
        ({"kind": "client", "http_method": "GET"}, "http_client"),
        ({"kind": "client", "url_path": "/"}, "http_client"),
        ({"kind": "internal", "url_path": "/"}, "internal"),
        ({"kind": "server"}, "http_server"),
        ({"name": "render_template"}, "view"),
        ({"name": "users/show.html.erb"}, "view"),
        ({"kind": "consumer"}, "job"),
        ({"messaging_system": "kafka"}, "job"),
        ({"name": "SidekiqWorker"}, "job"),
        ({"name": "rake db:migrate"}, "command"),
    ],
)
def test_the_category_of_a_span(tmp_path, known, category):
    rows = table(LakeFolder(tmp_path), "spans", [span(), span(**known), span()])
    assert [s["category"] for s in json.loads(spans_json(rows))] == ["internal", category, "internal"]


def test_no_spans_are_an_empty_list(tmp_path):
    assert spans_json(table(LakeFolder(tmp_path), "spans", [])) == "[]"


def test_a_part_of_a_table_is_shown_alone(tmp_path):
    rows = table(
        LakeFolder(tmp_path), "spans", [span(name=str(i), attributes=[("k", str(i))], attribute_types="s") for i in range(9)]
    )
    found = json.loads(spans_json(pa.concat_tables([rows.slice(2, 2), rows.slice(7, 1)])))
    assert [(s["name"], s["attributes"]) for s in found] == [(n, {"k": n}) for n in "237"]


# Places in the tree


def depths_of(*parents):
    """Depths of spans whose ids are their places and whose parents are these."""
    ids = [f"{i}" for i in range(len(parents))]
    names = [None if parent is None else f"{parent}" for parent in parents]
    return depths(pa.table({"span_id": pa.array(ids, pa.string()), "parent_span_id": pa.array(names, pa.string())})).tolist()


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ([], []),
        ([None], [0]),
        ([None, 0, 1, 1, 0], [0, 1, 2, 2, 1]),
        ([1, 2, None], [2, 1, 0]),  # children first
        ([None, None, 1], [0, 0, 1]),  # two roots
        (["gone", 0, 1], [0, 1, 2]),  # a parent that is not there
        ([0], [0]),  # its own parent
        ([1, 0], [0, 0]),  # a cycle
        ([1, 2, 0, 0, 3], [0, 0, 0, 0, 0]),  # below a cycle
        ([1, 0, None, 2], [0, 0, 0, 1]),  # a cycle beside a tree
    ],
)
def test_the_depth_of_a_span(parents, expected):
    assert depths_of(*parents) == expected


def test_a_chain_of_ten_thousand_spans_has_ten_thousand_depths():
    order = np.random.default_rng(1).permutation(10_000)
    parent = {int(a): int(b) for a, b in zip(order[1:], order[:-1], strict=True)}
    found = depths_of(*(parent.get(i) for i in range(10_000)))
    assert [found[i] for i in order] == list(range(10_000))


@given(st.lists(st.none() | st.integers(0, 12), max_size=13))
def test_depths_are_those_found_by_walking_up(parents):
    def walk(place):
        seen: list[int] = []
        while place is not None and place < len(parents):
            if place in seen:
                return 0
            seen.append(place)
            place = parents[place]
        return len(seen) - 1

    assert depths_of(*parents) == [walk(place) for place in range(len(parents))]


def test_of_spans_that_share_an_id_each_has_a_place(tmp_path):
    same = {"span_id": "a" * 16}
    rows = table(
        LakeFolder(tmp_path),
        "spans",
        [span(**same, kind="client"), span(**same, kind="server", parent_span_id="a" * 16), span(parent_span_id="a" * 16)],
    )
    assert [s["depth"] for s in json.loads(spans_json(rows))] == [0, 1, 1]

"""Malformed bodies among good ones: each is taken or refused by itself, and nothing else is touched."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lake.errors import TooLarge, WireError
from lake.wire import otlp
from lake.wire.traces import Encoding, Limits, TraceBody, trace_rows
from tests.lake.wire.mutations import mutated_json, mutated_protobuf, with_another_value
from tests.lake.wire.requests import EVERYTHING, Spelling, json_of, protobuf_of

LIMITS = Limits(max_spans=250_000, max_resources=10_000)
PROTOBUF = protobuf_of(EVERYTHING).SerializeToString()
JSON = json_of(EVERYTHING, Spelling(integers_as_text=True, ids_as_base64=False, enums_as_names=False))
GOOD = (TraceBody(PROTOBUF, "protobuf"), TraceBody(JSON, "json"))


def rows_of(*bodies: TraceBody):
    return trace_rows(bodies, limits=LIMITS, ingested_at_us=0)


def mutations(seed: int):
    """Malformed and nearly malformed bodies without end."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    changes: list[tuple[Encoding, bytes, Callable[[bytes, Random], bytes]]] = [
        ("protobuf", PROTOBUF, mutated_protobuf), ("json", JSON, mutated_json), ("protobuf", PROTOBUF, mutated_protobuf),
        ("json", JSON, with_another_value),
    ]  # fmt: skip
    while True:
        for encoding, body, change in changes:
            yield TraceBody(change(body, random), encoding)


def survive(count: int, seed: int) -> Counter[str]:
    """Decode so many bodies in batches with good ones; what became of them."""
    source, random, fates = mutations(seed), Random(seed), Counter[str]()  # noqa: S311 - as above
    good_rows = rows_of(*GOOD).table
    while fates.total() < count:
        bodies = [next(source) for _ in range(random.choice([1, 3, 6]))]
        places = sorted(random.sample(range(len(bodies) + 2), 2))
        for place, good in zip(places, GOOD, strict=True):
            bodies.insert(place, good)
        rows = rows_of(*bodies)
        starts = [0, *(sum(rows.outcomes[p].row_count for p in rows.order[: n + 1]) for n in range(len(rows.order)))]
        of_body = {place: rows.table.slice(a, b - a) for place, (a, b) in zip(rows.order, pairwise(starts), strict=True)}
        assert starts[-1] == rows.table.num_rows
        assert [of_body[place] for place in places] == [good_rows.slice(0, 3), good_rows.slice(3, 3)]
        rows.table.validate(full=True)
        ExportTraceServiceRequest.FromString(otlp.export_protobuf(rows.table))
        otlp.export_json(rows.table)
        for place in set(range(len(bodies))) - set(places):
            outcome = rows.outcomes[place]
            assert (place in rows.order) == (outcome.error is None)
            assert outcome.error is None or (isinstance(outcome.error, WireError) and str(outcome.error))
            fates["refused" if outcome.error else "in part" if outcome.refused else "taken"] += 1
    return fates


def test_300_malformed_bodies_leave_the_good_ones_among_them_whole() -> None:
    fates = survive(300, seed=11)
    assert fates["refused"] > 100
    assert fates["taken"] > 10
    assert fates["in part"] > 0


@pytest.mark.full
@pytest.mark.parametrize("seed", range(3))
def test_6000_malformed_bodies_leave_the_good_ones_among_them_whole(seed: int) -> None:
    assert survive(2000, seed=seed)["refused"] > 1000


@pytest.mark.parametrize("end", range(0, len(PROTOBUF), 97))
def test_a_body_that_ends_early_is_refused_or_holds_what_came_before(end: int) -> None:
    outcomes = rows_of(TraceBody(PROTOBUF[:end], "protobuf"), TraceBody(JSON[:end], "json"), *GOOD).outcomes
    assert outcomes[0].error is not None or end == 0  # in protobuf, nothing is an empty request
    assert outcomes[1].error is not None
    assert [outcome.row_count for outcome in outcomes[2:]] == [3, 3]


def varint(number: int) -> bytes:
    groups = [number >> 7 * k & 127 | 128 for k in range(max(1, -(-number.bit_length() // 7)))]
    return bytes([*groups[:-1], groups[-1] & 127])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


IDS = field(1, b"a" * 16) + field(2, b"b" * 8)


def in_span(content: bytes) -> bytes:
    return field(1, field(2, field(2, IDS + content)))


def in_value(content: bytes) -> bytes:
    return in_span(field(9, field(1, b"k") + field(2, content)))


def nested(depth: int) -> bytes:
    value = b""
    for _ in range(depth):
        value = field(5, field(1, value))
    return in_value(value)


BOMBS_IN_PROTOBUF: dict[str, Callable[[int], bytes]] = {
    "resources": lambda size: b"\x0a\x00" * (size // 2),
    "scopes": lambda size: field(1, b"\x12\x00" * (size // 2)),
    "spans": lambda size: field(1, field(2, b"\x12\x00" * (size // 2))),
    "events": lambda size: in_span(b"\x5a\x00" * (size // 2)),
    "links": lambda size: in_span(b"\x6a\x00" * (size // 2)),
    "entity references": lambda size: field(1, field(1, b"\x1a\x00" * (size // 2))),
    "values": lambda size: in_value(field(5, b"\x0a\x00" * (size // 2))),
}
SPAN = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"' + "a" * 32 + '","spanId":"' + "b" * 16 + '",%s}]}]}]}'
BOMBS_IN_JSON = {
    "resources": '{"resourceSpans":[%s]}',
    "scopes": '{"resourceSpans":[{"scopeSpans":[%s]}]}',
    "spans": '{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}',
    "events": SPAN % '"events":[%s]',
    "links": SPAN % '"links":[%s]',
    "entity references": '{"resourceSpans":[{"resource":{"entityRefs":[%s]}}]}',
    "values": SPAN % '"attributes":[{"value":{"arrayValue":{"values":[%s]}}}]',
}


def bombs(size: int) -> dict[str, TraceBody]:
    """Bodies of `size` bytes, nearly all of them for empty things."""
    filling = "{}," * (size // 3) + "{}"
    return {
        **{f"{what} in protobuf": TraceBody(make(size), "protobuf") for what, make in BOMBS_IN_PROTOBUF.items()},
        **{f"{what} in JSON": TraceBody((text % filling).encode(), "json") for what, text in BOMBS_IN_JSON.items()},
    }


@pytest.mark.parametrize("what", [f"{what} in {name}" for name in ("protobuf", "JSON") for what in BOMBS_IN_JSON])
def test_a_million_empty_things_are_too_many(what: str) -> None:
    outcome, *others = rows_of(bombs(3_000_000)[what], *GOOD).outcomes
    assert isinstance(outcome.error, TooLarge)
    assert what.split(" in ", maxsplit=1)[0] in str(outcome.error)
    assert "send smaller batches" in str(outcome.error)
    assert [other.row_count for other in others] == [3, 3]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (TraceBody(nested(10_000), "protobuf"), "AnyValue"),
        (TraceBody(SPAN.replace("%s", '"attributes":' + "[" * 10_000).encode(), "json"), "array"),
        (TraceBody(b'{"resourceSpans":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "json"), "array"),
        (TraceBody(b'{"resourceSpans":[],"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "json"), "nested too deeply"),
        (TraceBody(b'{"resourceSpans":[],"x":' + b'{"y":' * 10_000 + b"1" + b"}" * 10_001, "json"), "nested too deeply"),
        (TraceBody(b"\x0b" * 10_000, "protobuf"), "not an OTLP trace request"),  # groups, which nobody closes
        (TraceBody(b"\x0a" + b"\xff" * 9 + b"\x01", "protobuf"), "longer than the body"),
        (TraceBody(b"\x0a" + varint(2**40), "protobuf"), "not an OTLP trace request"),
        (TraceBody(in_value(field(1, b"x" * 2**23)), "protobuf"), "8388608 bytes"),
        (TraceBody((SPAN % '"attributes":[{"value":{"stringValue":"HERE"}}]').replace("HERE", "x" * 2**23 + "x").encode(),
                   "json"), "8388608 bytes"),
        (TraceBody(field(1, field(1, field(1, field(1, b"k") + field(2, field(1, b"x" * 2**20))))
                         + field(2, field(2, IDS) * 600)), "protobuf"), "repeated for each span"),
    ],
)  # fmt: skip
def test_what_would_take_too_much_is_refused_with_its_reason(body: TraceBody, error: str) -> None:
    outcome, *others = rows_of(body, *GOOD).outcomes
    assert isinstance(outcome.error, WireError)
    assert error in str(outcome.error)
    assert [other.row_count for other in others] == [3, 3]


_PEAK = """
import resource, sys
from tests.lake.wire.test_malformed import bombs, rows_of
rows_of(*bombs(1000).values())  # so that everything is imported
of_kilobytes = 1 if sys.platform == "darwin" else 1024
made = bombs(24 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for what in list(made):
    (outcome,) = rows_of(made.pop(what)).outcomes
    assert outcome.error, what
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * of_kilobytes // 2**20)
"""


def test_bombs_take_less_memory_than_honest_requests_of_their_size() -> None:
    peak = subprocess.run([sys.executable, "-c", _PEAK], check=True, capture_output=True, text=True).stdout
    assert int(peak) < 256, "MiB more than the bodies themselves"

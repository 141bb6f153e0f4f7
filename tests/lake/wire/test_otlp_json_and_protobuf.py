"""A request decodes to the same columns whether it came as OTLP/JSON or as protobuf."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.wire import otlp_json, protobuf
from lake.wire.decoded import Decoded
from tests.lake.wire.requests import Spelling, any_spans, json_of, protobuf_of, requests, spellings

_REQUEST_DEFAULTS = {pa.string(): "", pa.int64(): 0, pa.int32(): 0, pa.uint32(): 0}
_NULL_MATTERS = ("attributes.text",)


def columns(decoded: Decoded) -> dict[str, list[Any]]:
    """All columns by path; null and the protobuf default are the same, except in values."""
    return dict(_columns(decoded, ""))


def _columns(part: Any, prefix: str) -> Iterator[tuple[str, list[Any]]]:
    for field in dataclasses.fields(part):
        value, path = getattr(part, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _columns(value, f"{path}.")
        elif isinstance(value, pa.Array):
            default = _REQUEST_DEFAULTS.get(value.type)
            keep = default is None or path.endswith(_NULL_MATTERS) or path == "status_code"
            yield path, value.to_pylist() if keep else pc.fill_null(value, default).to_pylist()
        else:
            yield path, value.tolist() if hasattr(value, "tolist") else value


@settings(max_examples=50)
@given(st.lists(requests(any_spans), min_size=1, max_size=2), spellings)
def test_json_and_protobuf_decode_to_the_same_columns(trees: list[dict[str, Any]], spelling: Spelling) -> None:
    bodies = [json_of(tree, spelling) for tree in trees]
    expected = protobuf.decode([protobuf_of(tree).SerializeToString() for tree in trees])
    assert columns(otlp_json.decode(bodies)) == columns(expected)

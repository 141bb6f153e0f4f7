"""Answers: shapes that the answers of several routes have in common.

Takes   nothing.
Gives   `Answer`, the base of every JSON answer; `Listed`, the envelope of every list; the two shapes of errors; types of
        single values with their description.
Refuses nothing.

What a route answers is a `msgspec.Struct` beside the route, so what is sent and what `/schema` says are one thing.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC, with Z."""

TraceId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
SpanId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]

Item = TypeVar("Item")


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """A JSON object of an answer. A field without a default is always there; null means that there is no value."""


class Listed(Answer, Generic[Item], kw_only=True, frozen=True):
    """A page of a list."""

    data: list[Item]
    has_more: bool
    next_cursor: Annotated[str | None, Meta(description="Parameter `cursor` of the next page, null on the last one")]


class ErrorDetails(Answer, kw_only=True, frozen=True):
    """What went wrong."""

    code: Annotated[str, Meta(description="For programs: one of the codes in docs/http-api.md")]
    message: Annotated[str, Meta(description="For people: what is wrong and what to do")]
    param: Annotated[str | UnsetType, Meta(description="The parameter or field that is wrong; absent if none is")] = UNSET
    request_id: Annotated[str, Meta(description="The same as the header X-Request-Id")]


class ErrorAnswer(Answer, kw_only=True, frozen=True):
    """An error everywhere but under `/ingest` and `/health`."""

    error: ErrorDetails


class ErrorText(Answer, kw_only=True, frozen=True):
    """An error under `/ingest` and `/health`."""

    error: str
    details: Annotated[str | UnsetType, Meta(description="Why, where `error` only says what")] = UNSET

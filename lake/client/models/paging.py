"""Paging: a part of a list."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list. `iter_...` goes through all of them."""

    data: list[T]
    has_more: bool = False
    next_cursor: str | None = None

"""Fields: what a name in a query means, and where its value stands in a row of `spans`.

Takes   names as people write them, the promotions of a lake.
Gives   `Field`s by name, the columns that one needs, and its value as SQL.
Refuses names with a `:` that are no intrinsic: `UnknownField` lists those that are.

An attribute that has a column of its own is its column, by the key of today and by every older one, and is read nowhere
else; so `http.status_code` and `http.response.status_code` both find both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..queries import identifier
from ..schema import SPAN_KINDS, STATUS_CODES, Promoted
from .tree import Field, Parent, Scope

WORDS = frozenset((*STATUS_CODES, *SPAN_KINDS))
"""What status and kind are compared with, written without quotes."""

Bind = Callable[[object], str]
"""Puts a value beside the text of a query and gives the name it has there, `$name`."""

Type = Literal["number", "text", "word", "any"]
"""`any` is the text of an attribute, which is compared as a number where it is one."""


class UnknownField(ValueError):
    """A name that looks like an intrinsic and is none."""


@dataclass(frozen=True, slots=True)
class Intrinsic:
    """What every span has without any attribute."""

    type: Type
    sql: str
    """Over the columns of a span, `{s}`; of what is known of its trace and children, see `lake.search.spansets`; of one
    element of a list, `e`."""
    columns: tuple[str, ...] = ()
    """Of the table `spans`."""
    aliases: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """What it can be, if that is known."""
    is_of_span: bool = True
    """Whether the span alone tells; otherwise its whole trace is needed."""


_TIMES = ("start_time", "start_ns_remainder", "duration_ns")
_START_NS = "epoch_us({s}.start_time) * 1000 + {s}.start_ns_remainder"

INTRINSICS = {
    "duration": Intrinsic("number", "{s}.duration_ns", ("duration_ns",), ("span:duration",)),
    "name": Intrinsic("text", "{s}.name", ("name",), ("span:name",)),
    "kind": Intrinsic("word", "{s}.kind", ("kind",), ("span:kind",), SPAN_KINDS),
    "status": Intrinsic("word", "{s}.status", ("status",), ("span:status",), STATUS_CODES),
    "statusMessage": Intrinsic("text", "{s}.status_message", ("status_message",), ("status_message", "span:statusMessage")),
    "span:id": Intrinsic("text", "{s}.span_id", ("span_id",), ("span_id",)),
    "span:parentID": Intrinsic("text", "{s}.parent_span_id", ("parent_span_id",), ("parent_span_id", "parent")),
    "span:childCount": Intrinsic(
        "number", "coalesce({s}.child_count, 0)", ("parent_span_id",), ("childCount",), is_of_span=False
    ),
    "trace:id": Intrinsic("text", "{s}.trace_id", ("trace_id",), ("trace_id",)),
    "trace:duration": Intrinsic(
        "number", "{s}.trace_duration_ns", _TIMES, ("trace.duration", "traceDuration"), is_of_span=False
    ),
    "trace:spanCount": Intrinsic("number", "{s}.trace_span_count", (), ("trace.span_count",), is_of_span=False),
    "trace:rootName": Intrinsic("text", "{s}.root.name", ("name",), ("root.name", "rootName"), is_of_span=False),
    "trace:rootService": Intrinsic(
        "text", "{s}.root.service_name", ("service_name",), ("root.service", "rootServiceName"), is_of_span=False
    ),
    "event:name": Intrinsic("text", "e.name", ("events",)),
    "event:timeSinceStart": Intrinsic(
        "number",
        f"(epoch_us(e.time) * 1000 + e.time_ns_remainder - ({_START_NS}))",
        ("events", "start_time", "start_ns_remainder"),
    ),
    "link:traceID": Intrinsic("text", "e.trace_id", ("links",)),
    "link:spanID": Intrinsic("text", "e.span_id", ("links",)),
    "instrumentation:name": Intrinsic("text", "{s}.scope_name", ("scope_name",)),
    "instrumentation:version": Intrinsic("text", "{s}.scope_version", ("scope_version",)),
}
"""Every intrinsic by the name that a query is printed with."""

_BY_NAME = {alias: name for name, intrinsic in INTRINSICS.items() for alias in (name, *intrinsic.aliases)}
SCOPES: tuple[Scope, ...] = ("span", "resource", "event", "link", "instrumentation")
_LISTS = {"event": "events", "link": "links"}


def named(name: str, *, at: int = 0) -> Field | Parent:
    """The field of a name as it stands in a query: an intrinsic, else an attribute, perhaps with its scope or a dot first.

    Raises:
        UnknownField: it has a `:` and is no intrinsic.
    """
    if name == "service":
        return Field("any", "service.name", at=at)
    if name in _BY_NAME:
        return Field("intrinsic", _BY_NAME[name], at=at)
    first, dot, rest = name.partition(".")
    if dot and not first:
        return Field("any", rest, at=at)
    if dot and rest and first == "parent":
        return Parent(scoped(rest, at), at=at)
    if dot and rest:
        return scoped(name, at)
    prefix = name.partition(":")[0]
    if prefix in ("span", "trace", "event", "link", "instrumentation") and ":" in name:
        known = ", ".join(known for known in sorted(_BY_NAME) if known.startswith(f"{prefix}:"))
        raise UnknownField(f"there is no {name}; there are {known}")
    return Field("any", name, at=at)


def scoped(name: str, at: int) -> Field:
    """An attribute with its scope before it, or with none."""
    first, dot, rest = name.partition(".")
    for scope in SCOPES:
        if dot and rest and first == scope:
            return Field(scope, rest, at=at)
    return Field("any", name, at=at)


def list_of(field: Field | Parent) -> str | None:
    """The list of a span that a field is about each element of: `events` or `links`."""
    if isinstance(field, Parent):
        return None
    if field.scope == "intrinsic":
        return _LISTS.get(field.key.partition(":")[0])
    return _LISTS.get(field.scope)


def type_of(field: Field | Parent) -> Type:
    """How a field is compared."""
    if isinstance(field, Field) and field.scope == "intrinsic":
        return INTRINSICS[field.key].type
    return "any"


def is_of_span(field: Field | Parent) -> bool:
    """Whether one row tells its value."""
    if isinstance(field, Parent):
        return False
    return field.scope != "intrinsic" or INTRINSICS[field.key].is_of_span


@dataclass(frozen=True, slots=True)
class Value:
    """A value as SQL."""

    sql: str
    type: Type
    is_whole: bool = False
    """An attribute whose column has numbers."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the fields of a lake's spans stand."""

    promoted: tuple[Promoted, ...]

    def needed(self, field: Field | Parent) -> set[str]:
        """The columns of `spans` that a field is read from."""
        if isinstance(field, Parent):
            return self.needed(field.field) | {"span_id", "parent_span_id"}
        if field.scope == "intrinsic":
            return set(INTRINSICS[field.key].columns)
        if field.scope in _LISTS:
            return {_LISTS[field.scope]}
        if field.scope == "instrumentation":
            return {"scope_attributes"}
        own = self._own(field)
        if own:
            return {p.column for p in own}
        return {"attributes", "resource_attributes"} if field.scope == "any" else {_MAPS[field.scope]}

    def value(self, field: Field | Parent, bind: Bind, row: str = "s") -> Value:
        """The value of a field.

        Args:
            row: name of the relation whose columns the span's are.
        """
        if isinstance(field, Parent):
            return self.value(field.field, bind, "p")
        if field.scope == "intrinsic":
            intrinsic = INTRINSICS[field.key]
            return Value(intrinsic.sql.format(s=row), intrinsic.type)
        if field.scope in _LISTS:
            return Value(f"e.attributes[{bind(field.key)}]", "any")
        if field.scope == "instrumentation":
            return Value(f"{row}.scope_attributes[{bind(field.key)}]", "any")
        own = self._own(field)
        if own:
            found = [f"{row}.{identifier(p.column)}" for p in own]
            is_whole = all(p.type == "i" for p in own)
            if not is_whole:
                found = [f"{text}::VARCHAR" if p.type == "i" else text for p, text in zip(own, found, strict=True)]
            return Value(found[0] if len(found) == 1 else f"coalesce({', '.join(found)})", "any", is_whole)
        maps = ("attributes", "resource_attributes") if field.scope == "any" else (_MAPS[field.scope],)
        texts = [f"{row}.{name}[{bind(field.key)}]" for name in maps]
        return Value(texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})", "any")

    def _own(self, field: Field) -> list[Promoted]:
        """The promotions of an attribute, that of spans first."""
        found = [p for p in self.promoted if field.key in (p.key, *p.aliases) and field.scope in ("any", p.where)]
        return sorted(found, key=lambda p: p.where == "resource")


_MAPS = {"span": "attributes", "resource": "resource_attributes"}

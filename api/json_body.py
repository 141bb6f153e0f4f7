"""JSON body: the body of a request as the `msgspec.Struct` that its route takes.

Takes   a request with a JSON body of at most `MAX_BYTES`, compressed or not.
Gives   the struct, checked.
Refuses JSON that is broken (400 `invalid_json`), a field that is missing (400 `missing_parameter`), unknown or not what it
        has to be (400 `invalid_parameter`), each named as `condition.window` or `channels[0]`; too much (413) and other
        types (415).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
from litestar import Request
from msgspec import inspect

from lake.errors import InvalidParameter, WireError

from .problems import MissingParameter, UnsupportedMediaType, content_type
from .state import Server

MAX_BYTES = 2**20
"""Bytes of a JSON body; it holds a question or a setting, never data."""

_AT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")


class Body(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of what routes take. An unknown field is refused: left out silently, a misspelt one would change the answer."""


Kind = TypeVar("Kind", bound=msgspec.Struct)


async def read_json(request: Request[Any, Any, Any], server: Server, kind: type[Kind]) -> Kind:
    """The body of a request.

    Raises:
        LakeError: it is not what the route takes.
    """
    declared = content_type(request)
    if declared not in ("", "application/json"):
        raise UnsupportedMediaType(f"Content-Type {declared!r} is not known here: use application/json")
    async with replace(server.bodies, max_bytes=MAX_BYTES).inflated(request) as body:
        return decode(body, kind)


def decode(body: bytes, kind: type[Kind]) -> Kind:
    """JSON as a struct.

    Raises:
        WireError: it is no JSON.
        InvalidParameter: it is JSON, but not of this kind; `param` names the field if it is one.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), kind) from None
    except RecursionError:
        raise WireError("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"the body is not JSON: {error}") from None


def _refusal(text: str, kind: type[msgspec.Struct]) -> InvalidParameter | WireError:
    """What msgspec says is wrong, with the field that it means."""
    match = _AT.fullmatch(text)
    what, where = (match["what"], match["where"] or "") if match else (text, "")
    if missing := _MISSING.fullmatch(what):
        name = _joined(where, missing["name"])
        return MissingParameter(name, f"Parameter '{name}' is missing")
    if unknown := _UNKNOWN.fullmatch(what):
        name = _joined(where, unknown["name"])
        known = ", ".join(field.encode_name for field in _fields(_at(inspect.type_info(kind), where)))
        return InvalidParameter(name, f"Parameter '{name}' is not known here; known are {known}")
    if not where:
        return WireError(f"the body must be a JSON object: {what}")
    words = _words(_at(inspect.type_info(kind), where))
    wanted = f"must be one of {', '.join(words)}" if words and what.startswith("Invalid enum value") else f"is wrong: {what}"
    return InvalidParameter(where, f"Parameter '{where}' {wanted}")


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _at(kind: inspect.Type, where: str) -> inspect.Type:
    """The type that belongs at a path such as `condition.metrics[0]`."""
    for step in re.findall(r"[^.\[\]]+|\[\d*(?:\.\.\.)?\]", where):
        kind = _plain(kind)
        if isinstance(kind, inspect.ListType):
            kind = kind.item_type
        elif isinstance(kind, inspect.DictType):
            kind = kind.value_type
        else:
            kind = next((field.type for field in _fields(kind) if field.encode_name == step), kind)
    return _plain(kind)


def _plain(kind: inspect.Type) -> inspect.Type:
    """The type without its metadata; of a type or null, the type."""
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        return _plain(others[0]) if len(others) == 1 else kind
    return kind


def _fields(kind: inspect.Type) -> tuple[inspect.Field, ...]:
    return kind.fields if isinstance(kind, inspect.StructType) else ()


def _words(kind: inspect.Type) -> list[str]:
    """The words that a field may hold, if it is a choice of words."""
    members = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return [str(value) for member in members if isinstance(member, inspect.LiteralType) for value in member.values]

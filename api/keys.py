"""Keys: `/v1/keys`, the keys of a project managed by its keys.

Takes   a key with the permission `admin`; for `/v1/keys/current` any that may ask.
Gives   the keys of the same project, a new one (shown once), a change of name or limit, and their end.
Refuses to give more than one has: scopes, a higher limit, or a key of the live lake by one of the sandbox (403). Keys of
        another project, and to a test key those of the live lake, are not there (404).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any, Literal

from litestar import Request, Response, delete, patch, post, route
from msgspec import UNSET, Meta, UnsetType

from lake.control import Environment, Key, Kind, Principal, Scope
from lake.control.keys import FAMILIES, KINDS, NAME_MAX_CHARACTERS, RATE_LIMIT_MAX, check_name, check_scopes
from lake.errors import ControlError, InvalidParameter

from .answers import Answer, Listed, Timestamp
from .auth import authorized, identified
from .json_body import Body, read_json
from .paging import CURSOR, LIMIT
from .parameters import Parameters
from .problems import Forbidden, NotFound
from .reference import described, path
from .row_pages import RowPages
from .state import Server
from .times import iso

_ID = path("key_id", "id of the key", "^(proj|mtk_live|mtk_test)_[0-9a-f]{12}$")

Scopes = Annotated[list[Scope], Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARACTERS, description="What people call it")]
RateLimit = Annotated[int, Meta(ge=1, le=RATE_LIMIT_MAX, description="Requests a minute; null is the server's default")]


class ApiKey(Answer, kw_only=True, frozen=True):
    """What is known of a key; not the key."""

    id: Annotated[str, Meta(description="Public: the prefix and twelve digits")]
    name: str | None
    project: str
    kind: Kind
    environment: Environment
    scopes: list[Scope]
    rate_limit: Annotated[int, Meta(description="Requests a minute")]
    created_at: Timestamp
    last_used_at: Annotated[Timestamp | None, Meta(description="To the hour")]
    revoked_at: Timestamp | None


class NewApiKey(ApiKey, kw_only=True, frozen=True):
    """A key that has just been made."""

    key: Annotated[str, Meta(description="The key itself: shown here and never again")]


class ApiKeyList(Listed[ApiKey], kw_only=True, frozen=True):
    """Keys of a project, the oldest first, the revoked ones too."""


class RevokedApiKey(Answer, kw_only=True, frozen=True):
    """A key that nobody can use any more."""

    id: str
    revoked: Literal[True]


class ApiKeyRequest(Body, kw_only=True, frozen=True):
    """A key to make."""

    kind: Annotated[Kind | UnsetType, Meta(description="Without it that of the key that asks")] = UNSET
    name: Name | None = None
    scopes: Annotated[Scopes | UnsetType, Meta(description="Without it all that the asking key has")] = UNSET
    rate_limit: Annotated[RateLimit | None, Meta(description="Without it that of the key that asks")] = None


class ApiKeyChange(Body, kw_only=True, frozen=True):
    """What to change of a key; what is absent stays."""

    name: Name | UnsetType | None = UNSET
    rate_limit: RateLimit | UnsetType | None = UNSET


@route(
    "/v1/keys/current",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="The key of the request",
    tags=["Keys"],
    operation_class=described("What is known of it", answer=ApiKey),
)
async def get_current_key(request: Request[Any, Any, Any], server: Server) -> Response[ApiKey]:
    """Who am I: the project, the lake and the permissions of the key that was sent."""
    principal = await identified(request, server)
    if principal.kind == "ingest":
        raise Forbidden("an ingest key may only send: use a live or test key")
    return Response(_shown(server, await _key(server, principal, principal.key_id)))


@route(
    "/v1/keys",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List keys",
    tags=["Keys"],
    operation_class=described(
        "A page of the list",
        (400,),
        answer=ApiKeyList,
        parameters=[
            LIMIT,
            CURSOR,
        ],
    ),
)
async def list_keys(request: Request[Any, Any, Any], server: Server) -> Response[ApiKeyList]:
    """The keys of the project, the oldest first; of the sandbox only, if a test key asks."""
    principal = await authorized(request, server, "admin")
    pages = RowPages(server, principal, Parameters(request), "keys")
    after = pages.after[0] if pages.after else None
    ask = partial(server.control.list_keys, principal.project, kinds=manageable(principal), after=after)
    found = await asyncio.to_thread(partial(ask, limit=pages.row_count))
    page, more = pages.page(found, lambda key: [key.id])
    return Response(ApiKeyList(data=[_shown(server, key) for key in page], **more))


@post(
    "/v1/keys",
    status_code=201,
    summary="Make a key",
    tags=["Keys"],
    operation_class=described("The key; keep it, it is not shown again", status=201, body=ApiKeyRequest, answer=NewApiKey),
)
async def create_key(request: Request[Any, Any, Any], server: Server) -> Response[NewApiKey]:
    """A key of the same project, with no more permissions and no higher limit than the one that asks."""
    principal = await authorized(request, server, "admin")
    wanted = await read_json(request, server, ApiKeyRequest)
    kind = wanted.kind or principal.kind
    if kind not in manageable(principal):
        raise Forbidden("a test key makes test keys only: use a live key")
    _check_name(wanted.name)
    create = partial(
        server.control.create_key,
        principal.project,
        kind,
        name=wanted.name,
        scopes=granted(principal, kind, wanted.scopes or None),
        rate_limit=_given_limit(server, principal, wanted.rate_limit or principal.rate_limit),
    )
    made = await asyncio.to_thread(create)
    return Response(NewApiKey(**_fields(server, made.key), key=made.secret))


@route(
    "/v1/keys/{key_id:str}",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="One key",
    tags=["Keys"],
    operation_class=described("What is known of it", (404,), answer=ApiKey, parameters=[_ID]),
)
async def get_key(request: Request[Any, Any, Any], server: Server, key_id: str) -> Response[ApiKey]:
    """A key by its id, also if it is revoked."""
    principal = await authorized(request, server, "admin")
    return Response(_shown(server, await _key(server, principal, key_id)))


@patch(
    "/v1/keys/{key_id:str}",
    status_code=200,
    summary="Change a key",
    tags=["Keys"],
    operation_class=described("The key as it is now", (404,), body=ApiKeyChange, answer=ApiKey, parameters=[_ID]),
)
async def change_key(request: Request[Any, Any, Any], server: Server, key_id: str) -> Response[ApiKey]:
    """Name and limit of a key; every worker knows within a second."""
    principal = await authorized(request, server, "admin")
    change = await read_json(request, server, ApiKeyChange)
    key = await _key(server, principal, key_id)
    name = key.name if change.name is UNSET else change.name
    _check_name(name)
    rate_limit = key.rate_limit
    if change.rate_limit is not UNSET:
        rate_limit = _given_limit(server, principal, change.rate_limit)
    changed = await asyncio.to_thread(partial(server.control.change_key, key.id, name=name, rate_limit=rate_limit))
    return Response(_shown(server, changed))


@delete(
    "/v1/keys/{key_id:str}",
    status_code=200,
    summary="Revoke a key",
    tags=["Keys"],
    operation_class=described("Nobody can use it any more", (404,), answer=RevokedApiKey, parameters=[_ID]),
)
async def revoke_key(request: Request[Any, Any, Any], server: Server, key_id: str) -> Response[RevokedApiKey]:
    """End a key for good; every worker refuses it within a second. Once more changes nothing."""
    principal = await authorized(request, server, "admin")
    key = await _key(server, principal, key_id)
    await asyncio.to_thread(server.control.revoke_key, key.id)
    return Response(RevokedApiKey(id=key.id, revoked=True))


def manageable(principal: Principal) -> tuple[Kind, ...]:
    """The kinds of keys that a key can see and make: a test key knows nothing of the live lake."""
    return KINDS if principal.environment == "live" else (principal.kind,)


def granted(principal: Principal, kind: Kind, wanted: list[Scope] | None) -> frozenset[Scope]:
    """The scopes of a key that another one makes; without a wish all that it can give.

    Raises:
        InvalidParameter: keys of this kind cannot have them.
        Forbidden: the key that asks does not have them itself.
    """
    try:
        scopes = check_scopes(kind, wanted or FAMILIES[kind].scopes & principal.scopes or FAMILIES[kind].scopes)
    except ControlError as error:
        raise InvalidParameter("scopes", str(error)) from error
    if missing := scopes - principal.scopes:
        raise Forbidden(f"this key lacks {', '.join(sorted(missing))} and cannot give it")
    return scopes


def _given_limit(server: Server, principal: Principal, rate_limit: int | None) -> int | None:
    """
    Raises:
        Forbidden: the limit is higher than that of the key that gives it.
    """
    own = server.rate_limit(principal.rate_limit)
    if server.rate_limit(rate_limit) > own:
        raise Forbidden(f"this key may send {own} requests a minute and cannot give more: `tracelake keys create` can")
    return rate_limit


def _check_name(name: str | None) -> None:
    try:
        if name is not None:
            check_name(name)
    except ControlError as error:
        raise InvalidParameter("name", str(error)) from error


async def _key(server: Server, principal: Principal, key_id: str) -> Key:
    """A key that the one of the request may know of.

    Raises:
        NotFound: there is none.
    """
    key = await asyncio.to_thread(server.control.find_key, key_id)
    if key is None or key.project != principal.project or key.kind not in manageable(principal):
        raise NotFound(f"There is no key {key_id}")
    return key


def _shown(server: Server, key: Key) -> ApiKey:
    return ApiKey(**_fields(server, key))


def _fields(server: Server, key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "project": key.project,
        "kind": key.kind,
        "environment": key.environment,
        "scopes": sorted(key.scopes),
        "rate_limit": server.rate_limit(key.rate_limit),
        "created_at": iso(key.created_at),
        "last_used_at": iso(key.last_used_at) if key.last_used_at else None,
        "revoked_at": iso(key.revoked_at) if key.revoked_at else None,
    }


ROUTES = [get_current_key, list_keys, create_key, get_key, change_key, revoke_key]

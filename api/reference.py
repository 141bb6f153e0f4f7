"""Reference: the description of the HTTP API, as OpenAPI 3.1.

Takes   what each route says of itself with `described`: answer and body as `msgspec.Struct`s, parameters, errors.
Gives   `/schema/openapi.json` and `/schema/openapi.yaml`, complete enough to make a client from; `/schema` is the same for
        people (`api.reference_page`).
Refuses two structs of one name: in a client they would be one type.

What holds for every route is not said by the routes: the shape of an error, the headers of an answer, and the errors that
each request can meet are put into the document when it is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec
from litestar import Router
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
    Server,
)

from .answers import ErrorAnswer, ErrorText
from .pages import HEADERS
from .problems import OTLP_PATHS, PROTOBUF, has_text_errors, is_exempt
from .reference_page import ReferencePage

API_VERSION = "3.2.1"
"""Version of the reference that `/v1` serves."""

JSON = "application/json"
_KEY = "key"
_ERRORS = {
    400: "Invalid parameters or body; the message says which",
    401: "Missing or invalid API key",
    403: "The key lacks the permission",
    404: "There is no such thing for this key",
    408: "The body took too long to arrive",
    413: "Too large; the message names the limit",
    415: "A content type or coding that is not known here",
    429: "Too many requests within a minute; send again after Retry-After seconds",
    500: "A fault of the server; its log has it under the request id",
    503: "Not now; send again after Retry-After seconds",
}
_OF_A_KEY = (401, 403)
_OF_A_BODY = (400, 408, 413, 415)
_OF_EVERYTHING = (500, 503)
INGEST_ERRORS = (400, 401, 403, 408, 413, 415, 503)
QUERY_ERRORS = (400, 401, 403, 503)

_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-Id": ("Names the request in the log of the server", {"type": "string"}),
    "X-API-Version": ("Version of the reference", {"type": "string", "const": API_VERSION}),
    "X-RateLimit-Limit": ("Requests a minute that the key may send", {"type": "integer", "minimum": 1}),
    "X-RateLimit-Remaining": ("Requests that may follow at once", {"type": "integer", "minimum": 0}),
    "X-RateLimit-Reset": ("When the first counted request is forgotten, in Unix seconds", {"type": "integer"}),
    "X-Lake-Snapshot": ("The snapshot that the answer was read from", {"type": "string"}),
    "Retry-After": ("Seconds to wait before the request is sent again", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("Bearer", {"type": "string"}),
}
"""Headers of answers: what each says, and its schema."""
_EVERYWHERE = ("X-Request-Id", "X-API-Version", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_BY_STATUS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def query(name: str, description: str, schema: Schema | None = None) -> Parameter:
    """A query parameter; text unless a schema says otherwise. An empty one is as good as none (`api.parameters`)."""
    kind = schema or Schema(type=OpenAPIType.STRING)
    return Parameter(name, "query", description=description, schema=kind, allow_empty_value=True)


def time_query(name: str, description: str) -> Parameter:
    """A query parameter that is a time."""
    return query(name, description, Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME))


def path(name: str, description: str, pattern: str | None = None) -> Parameter:
    """A parameter in the path, as a pattern of its text."""
    schema = Schema(type=OpenAPIType.STRING, pattern=pattern)
    return Parameter(name, "path", description=description, schema=schema, required=True)


def described(  # noqa: PLR0913 - each says one thing of the route
    success: str,
    errors: Iterable[int] = (),
    *,
    answer: type[msgspec.Struct] | None = None,
    status: int = 200,
    parameters: Collection[Parameter] = (),
    body: type[msgspec.Struct] | Mapping[str, str | Schema] | None = None,
    answers: Collection[str] = (JSON,),
    needs_key: bool = True,
    snapshot: bool = False,
    or_json: Schema | None = None,
) -> type[Operation]:
    """What a route says of itself, for its `operation_class`.

    Args:
        success: what the status of success means.
        errors: statuses it answers with, beyond those that a key, a body as struct and every route bring with them.
        answer: the JSON of the answer.
        status: of success, 200 or 201.
        parameters: of the query (`query`) and the path (`path`).
        body: what it takes: a struct as JSON (`api.json_body`), or by content type a description or schema.
        answers: content types of the answer; others than JSON are bytes to OpenAPI.
        needs_key: whether it answers only who has a key.
        snapshot: whether the answer names the snapshot it was read from.
        or_json: other JSON that it answers with if a parameter asks for it.
    """
    if isinstance(body, type):
        msgspec.json.Decoder(body)  # a struct that cannot be read fails here and not at the first request
    structs = tuple(kind for kind in (answer, body) if isinstance(kind, type))
    statuses = {*errors, *_OF_EVERYTHING, *(_OF_A_KEY if needs_key else ()), *(_OF_A_BODY if body else ())}

    @dataclass
    class Described(Operation):
        shapes = structs

        def __post_init__(self) -> None:
            own = {(p.name, p.param_in) for p in parameters}
            found = [p for p in self.parameters or [] if isinstance(p, Parameter) and (p.name, p.param_in) not in own]
            self.parameters = [*found, *parameters] or None
            self.request_body = RequestBody(_taken(body), required=True) if body else None
            shown = {kind: OpenAPIMediaType(schema=_shown(kind, answer, or_json)) for kind in answers}
            headers: dict[str, Any] = {"X-Lake-Snapshot": _ref("headers", "X-Lake-Snapshot")} if snapshot else {}
            self.responses = {str(status): OpenAPIResponse(success, headers=headers, content=shown)}
            self.responses |= {str(number): OpenAPIResponse(_ERRORS[number]) for number in sorted(statuses)}
            self.security = None if needs_key else [{}]

    return Described


def _taken(body: type[msgspec.Struct] | Mapping[str, str | Schema]) -> dict[str, OpenAPIMediaType]:
    if isinstance(body, type):
        return {JSON: OpenAPIMediaType(schema=_ref("schemas", body.__name__))}
    schemas = {kind: Schema(description=what) if isinstance(what, str) else what for kind, what in body.items()}
    return {kind: OpenAPIMediaType(schema=schema) for kind, schema in schemas.items()}


def _shown(kind: str, answer: type[msgspec.Struct] | None, or_json: Schema | None) -> Schema | Reference:
    if kind != JSON:
        return Schema(type=OpenAPIType.STRING, content_media_type=kind)
    shape = _ref("schemas", answer.__name__) if answer else Schema()
    return Schema(any_of=[shape, or_json]) if or_json else shape


def _ref(group: str, name: str) -> Reference:
    return Reference(ref=f"#/components/{group}/{name}")


def openapi_config(routes: Iterable[HTTPRouteHandler]) -> OpenAPIConfig:
    """How Litestar describes the application.

    Args:
        routes: the routes that describe themselves.
    """
    shapes = {shape for route in routes for shape in getattr(route.operation_class, "shapes", ())}
    return _Config(
        title="Tracelake",
        version=API_VERSION,
        description="Traces, errors and deploys: sent, asked and watched. More in docs/http-api.md.",
        components=Components(security_schemes={_KEY: SecurityScheme("http", scheme="bearer")}),
        security=[{_KEY: []}],
        servers=[Server("/")],
        operation_id_creator=operation_id,
        render_plugins=[ReferencePage(), JsonRenderPlugin(), YamlRenderPlugin()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, response_headers=HEADERS),
        shapes=(ErrorAnswer, ErrorText, *sorted(shapes, key=lambda shape: shape.__name__)),
    )


def operation_id(route: HTTPRouteHandler, method: HttpMethod | str, _path: object) -> str:
    """The name of an operation, for the methods of generated clients: that of its function, once for each HTTP method."""
    name = route.handler_name
    main = HttpMethod.GET if HttpMethod.GET in route.http_methods else next(iter(route.http_methods))
    return name if method == main else f"{method.lower()}_{name}"


@dataclass
class _Config(OpenAPIConfig):
    shapes: tuple[type[msgspec.Struct], ...] = ()

    def to_openapi_schema(self) -> OpenAPI:
        made = super().to_openapi_schema()
        return _Document(**{f.name: getattr(made, f.name) for f in fields(made)}, shapes=self.shapes)


@dataclass
class _Document(OpenAPI):
    """The document, with what routes need not say."""

    shapes: tuple[type[msgspec.Struct], ...] = field(default=())

    @property
    def _exclude_fields(self) -> set[str]:
        return {"shapes"}

    def to_schema(self) -> dict[str, Any]:
        document = super().to_schema()
        components = document["components"]
        components["schemas"] = {**components.get("schemas", {}), **_components(self.shapes)}
        components["headers"] = {name: {"description": text, "schema": kind} for name, (text, kind) in _HEADERS.items()}
        for route, item in document["paths"].items():
            for method, operation in item.items():
                _complete(operation, route, method)
        return document


def _components(shapes: Collection[type[msgspec.Struct]]) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    if ambiguous := [name for name in schemas if "." in name]:
        raise TypeError(f"two structs of one name in the description of the API: {', '.join(ambiguous)}")
    return schemas


def _complete(operation: dict[str, Any], route: str, method: str) -> None:
    """Put in the shape of errors, the headers of every answer, and the limit of requests."""
    if not is_exempt(method.upper(), route):
        operation["responses"]["429"] = {"description": _ERRORS[429]}
    for status, response in operation["responses"].items():
        names = (*_EVERYWHERE, *_BY_STATUS.get(int(status), ()))
        response.setdefault("headers", {}).update({name: _ref("headers", name).to_schema() for name in names})
        if int(status) >= 400:
            shape = ErrorText if has_text_errors(route) else ErrorAnswer
            response["content"] = {JSON: {"schema": _ref("schemas", shape.__name__).to_schema()}}
            if method == "post" and route in OTLP_PATHS:
                response["content"][PROTOBUF] = {"schema": {"type": "string", "description": "google.rpc.Status"}}
        if method == "head":
            response.pop("content", None)

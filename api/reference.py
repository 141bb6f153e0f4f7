"""Reference: the description of the HTTP API, as OpenAPI for tools and as a page for people.

Takes   what each route says of itself with `described`.
Gives   `/schema/openapi.json`, `/schema/openapi.yaml`, and `/schema`: the same as HTML.
Refuses nothing.

The page is made here because the pages that come with Litestar load their scripts from elsewhere, and Tracelake works
without a network (docs/decisions/0008-reference-without-scripts.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from litestar import Request, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)

from .pages import HEADERS, html

API_VERSION = "3.2.1"
"""Version of the reference that `/v1` serves."""

_KEY = "key"
_ERRORS = {
    400: "Invalid parameters or body; the message says which",
    401: "Missing or invalid API key",
    403: "The key lacks the permission",
    404: "There is no such thing for this key",
    413: "Too large; the message names the limit",
    415: "A content type or coding that is not known here",
    503: "Not now; send again after Retry-After seconds",
}
INGEST_ERRORS = (400, 401, 403, 413, 415, 503)
QUERY_ERRORS = (400, 401, 403, 503)


def query(name: str, description: str, schema: Schema | None = None) -> Parameter:
    """A query parameter; text unless a schema says otherwise."""
    return Parameter(name, "query", description=description, schema=schema or Schema(type=OpenAPIType.STRING))


def described(
    success: str,
    errors: Iterable[int] = (),
    *,
    parameters: Iterable[Parameter] = (),
    body: Mapping[str, str] | None = None,
    answers: Iterable[str] = ("application/json",),
    needs_key: bool = True,
) -> type[Operation]:
    """What a route says of itself, for its `operation_class`.

    Args:
        success: what 200 means.
        errors: statuses of `_ERRORS` that it answers with.
        body: what it takes, by content type.
        answers: content types of the answer.
    """

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or []), *parameters] or None
            if body:
                content = {kind: OpenAPIMediaType(schema=Schema(description=text)) for kind, text in body.items()}
                self.request_body = RequestBody(content, required=True)
            shown = {kind: OpenAPIMediaType(schema=Schema()) for kind in answers}
            self.responses = {"200": OpenAPIResponse(success, content=shown)}
            self.responses |= {str(status): OpenAPIResponse(_ERRORS[status]) for status in errors}
            self.security = None if needs_key else [{}]

    return Described


class ReferencePage(OpenAPIRenderPlugin):
    """The description as a page without scripts."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, _: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        routes = "".join(
            _route(method, path, operation)
            for path, item in openapi_schema["paths"].items()
            for method, operation in item.items()
            if method in ("get", "post")
        )
        intro = (
            f"<p>Version {escape(openapi_schema['info']['version'])}. Send a key with every request but "
            "<code>/health</code>: <code>Authorization: Bearer &lt;key&gt;</code>. For tools: "
            '<a href="/schema/openapi.json">openapi.json</a>.</p>'
        )
        return html("The HTTP API", intro + routes).encode()


def _route(method: str, path: str, operation: Mapping[str, Any]) -> str:
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('summary', ''))}. {escape(operation.get('description', ''))}</p>"
        + _table([(p["name"], p.get("description", "")) for p in operation.get("parameters", [])])
        + _table([(kind, taken["schema"].get("description", "")) for kind, taken in _taken(operation).items()])
        + _table([(status, answer["description"]) for status, answer in operation["responses"].items()])
    )


def _taken(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    taken: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
    return taken


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{escape(name)}</code></td><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<table>{cells}</table>" if rows else ""


def openapi_config() -> OpenAPIConfig:
    """How Litestar describes the application."""
    return OpenAPIConfig(
        title="Tracelake",
        version=API_VERSION,
        components=Components(security_schemes={_KEY: SecurityScheme("http", scheme="bearer")}),
        security=[{_KEY: []}],
        render_plugins=[ReferencePage(), JsonRenderPlugin(), YamlRenderPlugin()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, response_headers=HEADERS),
    )

"""Reference page: the description of the HTTP API for people.

Takes   the OpenAPI document.
Gives   `/schema`: every route with its parameters, the fields of its body and answer, and its statuses.
Refuses nothing.

The page is made here because the pages that come with Litestar load their scripts from elsewhere, and Tracelake works
without a network (docs/decisions/0008-reference-without-scripts.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

from .pages import html

_METHODS = ("get", "post", "put", "patch", "delete")

Object = Mapping[str, Any]


class ReferencePage(OpenAPIRenderPlugin):
    """The description as a page without scripts."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, _: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        schemas = openapi_schema["components"]["schemas"]
        routes = "".join(
            _route(method, path, operation, schemas)
            for path, item in openapi_schema["paths"].items()
            for method, operation in item.items()
            if method in _METHODS
        )
        intro = (
            f"<p>Version {escape(openapi_schema['info']['version'])}. Send a key with every request but "
            "<code>/health</code>: <code>Authorization: Bearer &lt;key&gt;</code>. For tools: "
            '<a href="/schema/openapi.json">openapi.json</a>.</p>'
        )
        return html("The HTTP API", intro + routes).encode()


def _route(method: str, path: str, operation: Object, schemas: Object) -> str:
    statuses = operation["responses"].items()
    answer: Object = next((response for status, response in statuses if int(status) < 400), {})
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('summary', ''))}. {escape(operation.get('description', ''))}</p>"
        + _table("Parameters", [(p["name"], p.get("description", "")) for p in operation.get("parameters", [])])
        + _table("Body", _fields(operation.get("requestBody", {}), schemas))
        + _table("Answer", _fields(answer, schemas))
        + _table("Statuses", [(status, response["description"]) for status, response in statuses])
    )


def _fields(holder: Object, schemas: Object) -> Iterable[tuple[str, str]]:
    """The fields of an object by its schema, or its content types where no schema has fields."""
    for kind, media in holder.get("content", {}).items():
        schema = _resolved(media["schema"], schemas)
        if "properties" in schema:
            yield from ((name, _said(field, schemas)) for name, field in schema["properties"].items())
        else:
            yield kind, schema.get("description", "")


def _said(field: Object, schemas: Object) -> str:
    """What a page says of a field: its type and description."""
    described = field.get("description") or _resolved(field, schemas).get("description", "")
    return ": ".join(text for text in (_type(field), described) if text)


def _type(field: Object) -> str:
    if "anyOf" in field:
        return " or ".join(filter(None, map(_type, field["anyOf"])))
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {})) or 'anything'}"
    return str(field.get("type", ""))


def _resolved(schema: Object, schemas: Object) -> Object:
    found: Object = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{escape(name)}</code></td><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<h3>{title}</h3><table>{cells}</table>" if cells else ""

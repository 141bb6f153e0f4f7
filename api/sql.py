"""SQL: `POST /v1/sql`.

Takes   `{"query", "params", "limit", "snapshot"}` in JSON; the format of the answer by Accept.
Gives   `{"columns", "data", "truncated", "snapshot"}`, or the rows as an Arrow stream, CSV or Parquet.
Refuses what is no SELECT over the views of the key's own lake (400 `invalid_query`), and for now what takes too long or
        comes while too many wait (503).
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec
from litestar import Request, Response, post
from msgspec import Meta

from lake.errors import InvalidParameter, QueryError, SnapshotInvalid
from lake.sandbox.check import QUERY_MAX_BYTES
from lake.sandbox.messages import Format
from lake.sandbox.parent import Answer as Answered

from .answers import Answer
from .auth import authorized
from .json_body import Body, read_json
from .problems import InvalidQuery
from .reference import JSON, QUERY_ERRORS, described
from .sql_runner import Asked
from .state import Server

DEFAULT_LIMIT, MAX_LIMIT = 1_000, 100_000

TYPES: dict[Format, str] = {
    "json": JSON,
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
"""Media type of each format."""


class SqlBody(Body, frozen=True, kw_only=True):
    """A query."""

    query: Annotated[str, Meta(description=f"One SELECT in DuckDB's SQL, at most {QUERY_MAX_BYTES} bytes")]
    params: Annotated[dict[str, Any] | list[Any] | None, Meta(description="Values of `$name`, or in order those of `?`")] = (
        None
    )
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Rows of the answer")] = DEFAULT_LIMIT
    snapshot: Annotated[str | None, Meta(description="X-Lake-Snapshot of an earlier answer, to ask what it asked")] = None


class SqlColumn(Answer, kw_only=True, frozen=True):
    """A column of an answer."""

    name: str
    type: Annotated[str, Meta(description="As DuckDB writes it")]


class SqlAnswer(Answer, kw_only=True, frozen=True):
    """The rows of a query."""

    columns: list[SqlColumn]
    data: Annotated[list[dict[str, Any]], Meta(description="The rows; docs/sql.md says how each type is written")]
    truncated: Annotated[bool, Meta(description="There are more rows than the limits let through")]
    snapshot: Annotated[str, Meta(description="The same as the header X-Lake-Snapshot")]


@post(
    "/v1/sql",
    status_code=200,
    summary="Ask in SQL",
    tags=["SQL"],
    operation_class=described(
        "The rows", QUERY_ERRORS, answer=SqlAnswer, body=SqlBody, answers=tuple(TYPES.values()), snapshot=True
    ),
)
async def ask_sql(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """One SELECT over the views of the lake, in a sandbox; as JSON, or by Accept as an Arrow stream, CSV or Parquet."""
    principal = await authorized(request, server, "sql")
    body = await read_json(request, server, SqlBody)
    tenant = await server.tenants.of(principal)
    format_ = accepted(request.headers.get("accept", ""))
    asked = Asked(body.query, body.params, body.limit, format_, body.snapshot or request.headers.get("x-lake-snapshot"))
    try:
        answer, snapshot = await server.sql.run(principal, tenant.lake, asked)
    except SnapshotInvalid as error:
        raise InvalidParameter("snapshot", f"Parameter 'snapshot': {error}") from error
    except QueryError as error:
        raise InvalidQuery("query", str(error)) from error
    return _response(answer, snapshot, format_)


def _response(answer: Answered, snapshot: str, format_: Format) -> Response[Any]:
    headers = {"X-Lake-Snapshot": snapshot, "X-Lake-Truncated": str(answer.truncated).lower()}
    if format_ != "json":
        headers["Content-Disposition"] = f'attachment; filename="answer.{format_}"'
        return Response(bytes(answer.content), media_type=TYPES[format_], headers=headers)
    content = SqlAnswer(
        columns=[SqlColumn(name=column.name, type=column.type) for column in answer.columns],
        data=cast("list[dict[str, Any]]", msgspec.Raw(bytes(answer.content))),  # JSON already, by the sandbox
        truncated=answer.truncated,
        snapshot=snapshot,
    )
    return Response(content, headers=headers)


def accepted(header: str) -> Format:
    """The format that an Accept header likes best; JSON if it names none that there is."""
    wanted = sorted(filter(None, map(_range, header.split(","))), key=lambda item: -item[1])
    for media_type, quality in wanted:
        for name, offered in TYPES.items():
            if quality > 0 and media_type in (offered, f"{offered.partition('/')[0]}/*", "*/*"):
                return name
    return "json"


def _range(text: str) -> tuple[str, float] | None:
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return media_type, float(quality)
    except ValueError:
        return None


ROUTES = [ask_sql]

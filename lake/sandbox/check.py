"""Check: whether a query is one SELECT over the views, by DuckDB's own syntax tree.

Takes   the text of a query, the names of the views, and DuckDB's parser as a function.
Gives   the text that may run: the query inside of `SELECT * FROM (...) LIMIT n`, parsed and walked as that very text.
Refuses everything that is not known to be harmless: `QueryError` says what and where.

The tree comes from `json_serialize_sql`, so what is checked is what DuckDB will run; a parser of our own would read some
text in another way than DuckDB does. Kinds of nodes, of tables and of expressions are allow-lists: what a new version of
DuckDB adds is refused until somebody has looked at it. Functions are a deny-list, since DuckDB has a thousand of them;
`tests/lake/sandbox/test_check.py` asks the engine for those that can be dangerous and finds each of them here.

This is the first of several walls and no reason to do without the others: see docs/sql.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import orjson

from ..errors import QueryError
from .positions import located

QUERY_MAX_BYTES = 64 * 1024

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
"""The only functions that a FROM may name: all others read files, settings or the catalog, or run text as SQL."""

_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT"})
_CLASSES = frozenset({
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "DEFAULT", "FUNCTION",
    "LAMBDA", "LAMBDA_REF", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
})  # fmt: skip
"""Kinds of expressions."""

_FUNCTIONS = frozenset({
    # settings, variables, the catalog and the session
    "current_setting", "getvariable", "current_query", "current_query_id", "current_connection_id", "current_transaction_id",
    "txid_current", "current_database", "current_catalog", "current_schema", "current_schemas", "current_role",
    "current_user", "session_user", "user", "in_search_path", "version", "get_block_size", "col_description",
    "obj_description", "shobj_description", "format_type", "inet_client_addr", "inet_client_port", "inet_server_addr",
    "inet_server_port",
    # what changes something, or waits
    "nextval", "currval", "setval", "setseed", "write_log", "sleep_ms",
    # text or trees as SQL
    "query", "query_table", "json_serialize_sql", "json_deserialize_sql", "json_serialize_plan",
    "json_execute_serialized_sql",
    # an error of one's own words: DuckDB takes words that are JSON for its own, and so would we
    "error", "assert_true",
    # the engine's own: they take states and pointers that only it makes
    "combine", "finalize", "to_aggregate_state", "stats", "vector_type", "index_key", "create_sort_key",
    "parse_duckdb_log_message", "getenv",
})  # fmt: skip
_FAMILIES = re.compile(r"(__internal_|pg_|duckdb_|pragma_|read_|arrow_|python_|has_\w+_privilege$)")
"""Functions that are refused by how their names begin."""


def is_denied(function: str) -> bool:
    """Whether a scalar, aggregate or window function may not be named."""
    name = function.lower()
    return name in _FUNCTIONS or _FAMILIES.match(name) is not None


def checked(query: str, views: Collection[str], parse: Callable[[str], str], *, max_rows: int) -> str:
    """The text to run.

    Args:
        parse: `json_serialize_sql` of the DuckDB that will run it.
        max_rows: rows that the answer may have; one more is asked for, to tell whether there are more.

    Raises:
        QueryError: it is not one SELECT over the views.
    """
    if len(query.encode()) > QUERY_MAX_BYTES:
        raise QueryError(f"the query is longer than {QUERY_MAX_BYTES} bytes")
    _check_alone(_statements(parse(query), query))
    inner = query.rstrip().removesuffix(";")
    text = wrapped(inner, max_rows)
    statements = _statements(parse(text), inner, before=len(PREFIX))
    _check_alone(statements)
    try:
        _Walk(query, frozenset(view.lower() for view in views)).node(statements[0]["node"], frozenset())
    except RecursionError:
        raise QueryError(_TOO_DEEP) from None
    return text


PREFIX = "SELECT * FROM (\n"


def wrapped(query: str, max_rows: int) -> str:
    """A query as a part of another: where it stands, DuckDB takes nothing that writes (a CTE can do so at the top)."""
    return f"{PREFIX}{query}\n) LIMIT {max_rows + 1}"


def _statements(tree: str, query: str, *, before: int = 0) -> list[dict[str, Any]]:
    try:
        parsed = orjson.loads(tree)
    except orjson.JSONDecodeError:  # its depth is bounded, and DuckDB writes nothing else that is no JSON
        raise QueryError(_TOO_DEEP) from None
    if parsed["error"]:
        if parsed.get("error_type") != "parser":
            raise QueryError(_NO_SELECT)
        position = parsed.get("position")
        place = None if position is None else int(position) - before
        raise QueryError(located(parsed["error_message"], query, place))
    statements: list[dict[str, Any]] = parsed["statements"]
    return statements


def _check_alone(statements: list[dict[str, Any]]) -> None:
    if len(statements) != 1:
        raise QueryError(f"ask with one SELECT, not with {len(statements)} statements")


class _Walk:
    """One walk through a tree; `known` are the common table expressions in sight, in lower case."""

    def __init__(self, query: str, views: frozenset[str]) -> None:
        self._query = query
        self._views = views

    def node(self, node: Mapping[str, Any], known: frozenset[str]) -> None:
        """A SELECT, a set operation, or a recursive expression."""
        if node["type"] not in _NODES:
            raise QueryError(_NO_SELECT)
        if node["type"] == "RECURSIVE_CTE_NODE":
            known = known | {node["cte_name"].lower()}
        for entry in node["cte_map"]["map"]:  # each sees those before it
            name, inner = entry["key"].lower(), entry["value"]
            self._any({key: value for key, value in inner.items() if key != "query_node"}, known)
            self.node(inner["query_node"], known)
            known = known | {name}
        if node["type"] == "CTE_NODE":
            self.node(node["query"], known)
            known = known | {node["cte_name"].lower()}
            self.node(node["child"], known)
            return
        for key, value in node.items():
            if key not in ("cte_map", "type"):
                self._any(value, known)

    def _any(self, part: object, known: frozenset[str]) -> None:
        if isinstance(part, list):
            for item in part:
                self._any(item, known)
        elif isinstance(part, dict):
            self._object(part, known)

    def _object(self, part: Mapping[str, Any], known: frozenset[str]) -> None:
        kind = str(part.get("type", ""))
        if "cte_map" in part:
            self.node(part, known)
            return
        if "class" in part:
            self._expression(part)
        elif "sample" in part:
            self._table(kind, part, known)
        elif kind.endswith("_NODE"):
            raise QueryError(_NO_SELECT)
        for value in _children(part):
            self._any(value, known)

    def _expression(self, part: Mapping[str, Any]) -> None:
        if part["class"] not in _CLASSES:
            raise self._refused(part, f"{part['class'].lower()} is not possible here")
        name = part.get("function_name")
        if name is not None and is_denied(name):
            raise self._refused(part, f"the function {name}() is not possible here")

    def _table(self, kind: str, part: Mapping[str, Any], known: frozenset[str]) -> None:
        if kind not in _TABLES:
            raise self._refused(part, f"{_words(kind)} is not possible here: ask with one SELECT over {self._names()}")
        if kind == "TABLE_FUNCTION":
            name = part["function"].get("function_name", "")
            # in a schema of one's own a function of the same name could be anything
            if name.lower() not in TABLE_FUNCTIONS or part["function"].get("schema"):
                allowed = ", ".join(sorted(TABLE_FUNCTIONS))
                raise self._refused(part, f"FROM {name}(...) is not possible here, only {allowed}, and {self._names()}")
        if kind == "BASE_TABLE":
            self._base_table(part, known)

    def _base_table(self, part: Mapping[str, Any], known: frozenset[str]) -> None:
        name = part["table_name"].lower()
        is_plain = not part["catalog_name"] and not part["schema_name"]
        is_view = name in self._views and not part["catalog_name"] and part["schema_name"].lower() in ("", "main")
        if part.get("at_clause") or not (is_view or (is_plain and name in known)):
            raise self._refused(part, f"there is no table {part['table_name']!r} here: ask {self._names()}")

    def _names(self) -> str:
        return ", ".join(sorted(self._views))

    def _refused(self, part: Mapping[str, Any], message: str) -> QueryError:
        return QueryError(located(message, self._query, _position(part)))


def _children(part: Mapping[str, Any]) -> Iterator[object]:
    # the function of a table function has been judged as one
    if part.get("type") == "TABLE_FUNCTION" and "class" not in part:
        yield part["function"].get("children")
        yield {key: value for key, value in part["function"].items() if key not in ("children", "class")}
        yield from (value for key, value in part.items() if key != "function")
    else:
        yield from part.values()


def _position(part: Mapping[str, Any]) -> int | None:
    position = part.get("query_location")
    return position - len(PREFIX) if isinstance(position, int) and position < 2**32 else None


def _words(kind: str) -> str:
    return kind.removesuffix("_REF").replace("_", " ")


_NO_SELECT = "ask with one SELECT: a query reads, and changes nothing"
_TOO_DEEP = "the query is nested too deeply: some 250 levels are possible"

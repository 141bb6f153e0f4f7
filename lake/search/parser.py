"""Parser: text to a `Query`, or what is wrong with it and where.

Takes   TQ: a bare expression (`service.name = "cart" AND duration > 100ms`) or TraceQL (`{ ... } | ...`).
Gives   `Query`; `print(parse(text))` is read as an equal one.
Refuses what is no query, means nothing or is beyond the limits: `InvalidQuery`, with a position, a caret below it and what
        was expected there. Nothing else is raised, whatever the text.

lark makes an LALR parser of the grammar, so no text can exhaust the stack; trees are limited in depth before anything that
recurses looks at them.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import cast

from lark import Lark, Token, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from ..errors import InvalidParameter
from .builder import Builder, Meaningless
from .checks import check
from .tree import Predicate as AnyPredicate
from .tree import Query, walk

MAX_CHARACTERS = 4096
MAX_DEPTH = 32
MAX_PREDICATES = 64

_SHOWN_CHARACTERS = 80
"""Of the line with the problem, around it."""


class InvalidQuery(InvalidParameter):
    """The text is no query.

    Attributes:
        position: where the problem is, from 1.
        problem: what it is, in one line.
    """

    code = "invalid_query"

    def __init__(self, text: str, at: int, problem: str) -> None:
        self.position = at + 1
        self.problem = problem
        super().__init__("query", f"Position {self.position}: {problem}\n{_caret(text, at)}".rstrip("\n"))


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        InvalidQuery: it is none.
    """
    if len(text) > MAX_CHARACTERS:
        problem = f"a query has at most {MAX_CHARACTERS} characters, this one has {len(text)}"
        raise InvalidQuery(text, MAX_CHARACTERS, problem)
    try:
        query = cast("Query", _lark().parse(text))  # what its transformer made
        _check_size(query)
        check(query, text)
    except UnexpectedInput as error:
        raise InvalidQuery(text, _at(error, text), _expectation(error)) from None
    except VisitError as error:
        raise _meaningless(text, error.orig_exc) from None
    except Meaningless as error:
        raise _meaningless(text, error) from None
    return query


def search_query(query: str | Query) -> Query:
    """A query that means traces.

    Raises:
        InvalidQuery: it is none, or one of metrics.
    """
    read = parse(query) if isinstance(query, str) else query
    if read.metric is not None:
        text = query if isinstance(query, str) else str(query)
        problem = f"{read.metric.function}() asks for numbers over time: POST /v1/traces/metrics, Lake.search_metrics"
        raise InvalidQuery(text, read.metric.at, problem)
    return read


def metrics_query(query: str | Query) -> Query:
    """A query that means numbers over time.

    Raises:
        InvalidQuery: it is none, or one of traces.
    """
    read = parse(query) if isinstance(query, str) else query
    if read.metric is None:
        text = query if isinstance(query, str) else str(query)
        problem = "this asks for traces, POST /v1/traces/search, Lake.search; for numbers end it with | rate() or the like"
        raise InvalidQuery(text, len(text.rstrip()), problem)
    return read


@cache
def _lark() -> Lark:
    grammar = files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=Builder(), maybe_placeholders=True)


def _check_size(query: Query) -> None:
    predicates = 0
    for node, depth in walk(query):
        if depth > MAX_DEPTH:
            raise Meaningless(node.at, f"a query is at most {MAX_DEPTH} levels deep: take it apart")
        predicates += isinstance(node, AnyPredicate)
        if predicates > MAX_PREDICATES:
            raise Meaningless(
                node.at, f"a query has at most {MAX_PREDICATES} comparisons: use IN or a regex for many values"
            )


def _meaningless(text: str, error: Exception) -> Exception:
    return InvalidQuery(text, error.at, str(error)) if isinstance(error, Meaningless) else error


def _at(error: UnexpectedInput, text: str) -> int:
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        return len(text.rstrip())
    return error.pos_in_stream or 0


def _expectation(error: UnexpectedInput) -> str:
    if isinstance(error, UnexpectedCharacters):
        return f"expected {_one_of(error.allowed or set())}"
    if isinstance(error, UnexpectedToken):
        token: Token = error.token
        names = error.accepts or error.expected
        found = "the query ends here" if token.type == "$END" else f"there is {token.value!r}"
        return f"expected {_one_of(names)}, {found}"
    return "the query ends too early"


def _one_of(terminals: set[str]) -> str:
    """What the grammar would take, in words."""
    words = dict.fromkeys(_WORDS.get(name, name) for name in sorted(terminals, key=_rank))
    found = [word for word in words if word]
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"


_WORDS = {
    "NAME": "a field", "QUOTED_NAME": "", "ATTR": "", "STRING": "a text in quotes", "RAW_STRING": "", "NUMBER": "a number",
    "DURATION": "a duration", "SIZE": "", "BOOL": "", "NIL": "nil", "MINUS": "", "PLUS": "arithmetic", "TIMES": "arithmetic",
    "OVER": "arithmetic", "MODULO": "arithmetic", "POWER": "arithmetic", "COMPARISON": "a comparison (= != < <= > >= =~ !~)",
    "PATTERN": "LIKE, ILIKE, CONTAINS", "_IN": "IN", "_BETWEEN": "BETWEEN", "_IS": "IS", "_EXISTS": "EXISTS", "NOT": "NOT",
    "_BANG": "", "_AND": "AND", "_OR": "OR", "VBAR": "'|'", "LPAR": "'('", "RPAR": "')'", "LBRACE": "'{'", "RBRACE": "'}'",
    "COMMA": "','", "RELATION": "a relation (> >> < << ~)", "_COUNT": "count()", "AGGREGATE": "avg(), min(), max(), sum()",
    "_BY": "by()", "_SELECT": "select()", "_COALESCE": "coalesce()", "COUNTING": "rate(), count_over_time()",
    "MEASURING": "min_over_time() and the like", "QUANTILE": "quantile_over_time()", "$END": "the end",
}  # fmt: skip
"""Terminals as people know them; those that are empty go without saying."""
_ORDER = {name: place for place, name in enumerate(_WORDS)}


def _rank(terminal: str) -> int:
    return _ORDER.get(terminal, len(_ORDER))


def _caret(text: str, at: int) -> str:
    """The line with the problem, and a caret below it."""
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at) if "\n" in text[at:] else len(text)
    first = max(begin, at - _SHOWN_CHARACTERS)
    line = text[first : min(end, at + _SHOWN_CHARACTERS)]
    printable = "".join(character if character.isprintable() else " " for character in line)
    return f"{printable}\n{' ' * (at - first)}^"

"""Thousands of broken and mixed statements: what the check lets through never as much as tries to reach a file."""

import contextlib
import itertools
import random
import re
from typing import get_args

import duckdb
import pytest

from lake.errors import QueryError
from lake.sandbox.check import checked
from lake.sandbox.messages import Format, Limits
from lake.sandbox.parent import SqlTimeout
from tests.lake.sandbox.apart import tried
from tests.lake.sandbox.conftest import CANARY, job_of
from tests.lake.sandbox.hostile import HOSTILE
from tests.lake.sandbox.test_check import HONEST

VIEWS = ("spans", "errors", "exceptions", "deploys", "requests", "batches")
_TOKEN = re.compile(r"\s+|\w+|'[^']*'|\"[^\"]*\"|.", re.DOTALL)


class Mutations:
    """Statements made of parts of honest and hostile ones."""

    def __init__(self, statements, seed):
        self._statements = [_TOKEN.findall(statement) for statement in statements]
        self._tokens = sorted({token for tokens in self._statements for token in tokens if token.strip()})
        self._random = random.Random(seed)  # noqa: S311 - a seed, so that a failure comes again

    def one(self):
        tokens = list(self._random.choice(self._statements))
        for _ in range(self._random.randint(1, 4)):
            place = self._random.randrange(len(tokens) + 1)
            self._random.choice((self._drop, self._insert, self._replace, self._splice, self._wrap))(tokens, place)
        return "".join(tokens)

    def _drop(self, tokens, place):
        del tokens[place : place + 1]

    def _insert(self, tokens, place):
        tokens.insert(place, f" {self._random.choice(self._tokens)} ")

    def _replace(self, tokens, place):
        tokens[place : place + 1] = [self._random.choice(self._tokens)]

    def _splice(self, tokens, place):
        other = self._random.choice(self._statements)
        start = self._random.randrange(len(other) + 1)
        tokens[place:place] = other[start : start + self._random.randint(1, 8)]

    def _wrap(self, tokens, _):
        tokens[:] = ["SELECT * FROM (", *tokens, ") t"]


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as connection:
        yield connection


def passed_by(engine, statements):
    """Those of some statements that the check lets through, as they would run."""

    def parse(text):
        return engine.execute("SELECT json_serialize_sql($1)", [text]).fetchall()[0][0]

    for statement in statements:
        try:
            text = checked(statement, VIEWS, parse, max_rows=5)
        except QueryError:  # nothing else may come of a statement, however broken
            continue
        yield statement, text


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 1000), *(pytest.param(seed, 10_000, marks=pytest.mark.full) for seed in (2, 3, 4))]
)
def test_what_the_check_lets_through_touches_no_file(places, engine, seed, count):
    mutations = Mutations([places.fill(statement) for statement in (*HOSTILE, *HONEST)], seed)
    passed = [text for _, text in passed_by(engine, (mutations.one() for _ in range(count)))]
    assert len(passed) > count / 100
    for text, outcome in zip(passed, tried(job_of(places, landlock_abi=0), passed, "duckdb"), strict=True):
        assert "Permission" not in outcome, text
        assert CANARY not in outcome.replace(text, ""), text
        assert outcome != "ended its process", text


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 300), *(pytest.param(seed, 3000, marks=pytest.mark.full) for seed in (2, 3))]
)
def test_what_the_check_lets_through_is_answered_or_the_querys_fault(ask, engine, seed, count):
    mutations = Mutations([*HONEST, *HONEST, *HOSTILE], seed)
    formats = itertools.cycle(get_args(Format))
    answered = 0
    for statement, _ in passed_by(engine, (mutations.one() for _ in range(count))):
        with contextlib.suppress(QueryError, SqlTimeout):
            ask(statement, format=next(formats), limits=Limits(timeout_s=3))
            answered += 1
    assert answered > count / 100

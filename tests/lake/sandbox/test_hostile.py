"""What SQL must not get, whatever it says; each wall by itself, and honest queries in the same run."""

import contextlib
import json
import os
import re
from pathlib import Path

import duckdb
import pytest

import lake
from lake.errors import QueryError
from lake.sandbox import landlock
from lake.sandbox.check import TABLE_FUNCTIONS
from lake.sandbox.messages import Limits
from lake.sandbox.parent import Sandbox, SqlTimeout
from tests.lake.sandbox.apart import tried
from tests.lake.sandbox.conftest import CANARY, asker, job_of, question
from tests.lake.sandbox.hostile import BOMBS, HOSTILE, READS, WRITES
from tests.servers import wait_until

HONEST = "SELECT service_name, count(*) AS n FROM spans GROUP BY 1"

needs_landlock = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")


def check_honest(ask):
    """The positive control: a sandbox that answers nothing refuses every attack too."""
    assert json.loads(ask(HONEST).content) == [{"service_name": "shop", "n": 3}]


def check_refused(ask, places, statement):
    with pytest.raises(QueryError) as refused:
        ask(places.fill(statement))
    message = str(refused.value)
    assert "ended its process" not in message, statement
    # the attacker's own words come back, what is behind them does not
    assert CANARY not in message, statement
    assert str(places.own) not in message.replace(places.fill(statement), ""), statement


@pytest.mark.parametrize("part", range(4))
def test_hostile_statements_are_refused_and_honest_ones_answered(ask, places, part):
    before = places.files()
    check_honest(ask)
    for statement in HOSTILE[part::4]:
        check_refused(ask, places, statement)
    check_honest(ask)
    assert places.files() == before


def test_hostile_statements_are_refused_without_landlock_too(places):
    unprotected = Sandbox(landlock_abi=0)
    before = places.files()
    try:
        with lake.open(places.own) as opened:
            ask = asker(opened, unprotected)
            for statement in HOSTILE[::4]:
                check_refused(ask, places, statement)
            check_honest(ask)
    finally:
        unprotected.close()
    assert places.files() == before


@needs_landlock
def test_the_kernel_alone_keeps_files_from_sql_that_nobody_has_checked(places):
    before = places.files()
    own = places.own_file.relative_to(places.own)
    control = f"SELECT count(*) FROM read_parquet('{own}')"
    statements = [places.fill(text) for text in (*READS, *WRITES)]
    *outcomes, honest = tried(job_of(places, landlock_abi=landlock.abi()), [*statements, control], "kernel")
    for statement, outcome in zip(statements, outcomes, strict=True):
        assert CANARY not in outcome, statement
        assert "root:" not in outcome, statement
    assert honest == "answered [(3,)]"
    assert places.files() == before


def test_the_settings_of_duckdb_alone_keep_files_from_sql_that_nobody_has_checked(places):
    statements = [places.fill(text) for text in READS]
    control = "SELECT count(*) FROM spans"
    *outcomes, honest = tried(job_of(places, landlock_abi=0), [*statements, control], "duckdb")
    for statement, outcome in zip(statements, outcomes, strict=True):
        assert CANARY not in outcome, statement
        assert "root:" not in outcome, statement
    assert honest == "answered [(3,)]"


def functions_of_tables():
    """Every function of this DuckDB that a FROM may name."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE function_type IN ('table', 'table_macro', 'pragma') ORDER BY ALL"
        ).fetchall()
    return [name for (name,) in found]


@pytest.mark.full
def test_every_function_of_tables_of_the_engine_is_refused(ask, places):
    names = functions_of_tables()
    assert {"read_text", "read_csv", "glob", "query", "duckdb_settings", "parquet_metadata"} <= set(names)
    statements = [f"SELECT * FROM {name}('{places.secret}')" for name in names if name not in TABLE_FUNCTIONS]
    for statement in statements:
        check_refused(ask, places, statement)
    check_honest(ask)


@needs_landlock
@pytest.mark.parametrize("wall", ["kernel", "duckdb"])
def test_no_function_of_tables_of_the_engine_gets_through_one_wall_to_a_path(places, wall):
    secret, other = str(places.secret), f"{places.other}/landing/spans/*.parquet"
    statements = [
        f"SELECT * FROM {name}({arguments})"
        for name in functions_of_tables()
        if name not in _ENDS_THE_RUN
        for path in (secret, other)
        for arguments in _arguments(path)
    ]
    outcomes = tried(job_of(places, landlock_abi=landlock.abi()), statements, wall)
    assert len(outcomes) > 100
    for statement, outcome in zip(statements, outcomes, strict=True):
        assert CANARY not in outcome.replace(statement, ""), statement


_ENDS_THE_RUN = {"pandas_scan", "python_map_function", "arrow_scan", "arrow_scan_dumb", "python_arrow_scan", "seq_scan"}
"""They take pointers, which text is none of; DuckDB ends its process, which is the answer to who asks."""


def _arguments(path):
    """What may make a function read a path."""
    return (f"'{path}'", f"['{path}']", f"'{path}', '{path}'", "")


def test_no_scalar_function_of_the_engine_reads_a_path(places, ask):
    """Each that takes text is given a path, ten in a query; what it answers is computed from the path's letters alone."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT DISTINCT function_name, len(parameters) FROM duckdb_functions() WHERE function_type = 'scalar' "
            "AND list_contains(parameter_types, 'VARCHAR') AND len(parameters) <= 3 ORDER BY ALL"
        ).fetchall()
    named = [(name, count) for name, count in found if re.fullmatch(r"[a-z]\w*", name)]
    statements = [f"SELECT {name}({', '.join([repr(str(places.secret))] * count)})" for name, count in named]
    outcomes = tried(job_of(places, landlock_abi=0), statements, "duckdb")
    assert len(outcomes) > 100
    assert sum(outcome.startswith("answered") for outcome in outcomes) > 30
    for statement, outcome in zip(statements, outcomes, strict=True):
        assert CANARY not in outcome, statement


QUICK_BOMBS = 8


@pytest.mark.parametrize(
    "statement", [*BOMBS[:QUICK_BOMBS], *(pytest.param(bomb, marks=pytest.mark.full) for bomb in BOMBS[QUICK_BOMBS:])]
)
def test_a_bomb_ends_in_its_time_and_its_memory_and_the_next_query_is_answered(places, sandbox, statement):
    limits = Limits(timeout_s=1, max_rows=10)
    with lake.open(places.own) as opened:
        with contextlib.suppress(SqlTimeout, QueryError):
            # some can be answered: 16 MiB at most, whatever they say
            assert len(sandbox.ask(question(opened, statement, limits=limits)).content) < 1000
        wait_until(lambda: children_of(sandbox) == [], lambda: "the query's process is still there")
        check_honest(asker(opened, sandbox))


def children_of(sandbox):
    """Processes that the zygote has forked and that are still there."""
    if not Path("/proc").exists():
        return []
    found = (place / "stat" for place in Path("/proc").iterdir() if place.name.isdigit())
    return [stat for stat in found if _parent(stat) == sandbox.zygote_pid]


def _parent(stat):
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT " + "||".join(["'x'"] * 900),
        "SELECT " + "(" * 2000 + "1" + ")" * 2000,
        "SELECT " + "(SELECT " * 300 + "1" + ")" * 300,
        "SELECT " + "-" * 3000 + "1",
        "SELECT " + "NOT " * 3000 + "true",
        "SELECT " + "[" * 1500 + "]" * 1500,
        "WITH " + ", ".join(f"t{i} AS (SELECT * FROM t{i - 1}, t{i - 1} x)" if i else "t0 AS (SELECT 1)" for i in range(200))
        + " SELECT count(*) FROM t199",
        "SELECT 1" + " UNION ALL SELECT 1" * 3000,
        "SELECT * FROM " + ", ".join(["spans"] * 500),
    ],
    ids=["concat", "parentheses", "subqueries", "minus", "not", "lists", "doubling", "unions", "joins"],
)  # fmt: skip
def test_what_is_deep_or_wide_is_refused_or_answered_and_the_next_query_answered(ask, statement):
    with contextlib.suppress(SqlTimeout, QueryError):
        assert ask(statement, limits=Limits(timeout_s=3, max_rows=10)).row_count <= 10
    check_honest(ask)


def test_an_answer_ends_at_its_bytes(ask):
    limits = Limits(timeout_s=20, max_rows=100_000, max_bytes=100_000)
    for format_ in ("json", "csv", "arrow", "parquet"):
        answer = ask("SELECT repeat('x', 1000) AS x FROM range(1000)", limits=limits, format=format_)
        assert answer.truncated
        assert 10 < answer.row_count < 101
        assert len(answer.content) < 110_000


def test_a_row_that_is_larger_than_an_answer_is_refused(ask):
    with pytest.raises(QueryError, match="one row has more than the 1000 bytes"):
        ask("SELECT repeat('x', 2000)", limits=Limits(timeout_s=20, max_bytes=1000))


def test_the_environment_of_the_server_is_not_that_of_a_query(ask, sandbox):
    check_honest(ask)
    assert os.environ["SANDBOX_CANARY"] == CANARY
    environment = Path(f"/proc/{sandbox.zygote_pid}/environ")
    if environment.exists():
        assert CANARY.encode() not in environment.read_bytes()

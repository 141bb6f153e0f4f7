"""What the check lets through and what not, by DuckDB's own tree."""

import duckdb
import pytest

from lake.errors import QueryError
from lake.sandbox import check
from lake.sandbox.check import TABLE_FUNCTIONS, checked, is_denied

VIEWS = ("spans", "errors", "deploys")


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def parse(engine):
    return lambda text: engine.execute("SELECT json_serialize_sql($1)", [text]).fetchall()[0][0]


HONEST = (
    "SELECT 1",
    "select 1;",
    "  SELECT 1 ;  ",
    "SELECT 1 -- with a comment",
    "/* first */ SELECT 1 /* last */",
    "VALUES (1, 'a'), (2, 'b')",
    "FROM spans",
    "TABLE spans",
    "SELECT * FROM SPANS",
    'SELECT * FROM "Spans"',
    "SELECT * FROM main.spans",
    "SELECT s.* EXCLUDE (name) REPLACE (1 AS kind) FROM spans AS s",
    "SELECT name, count(*) FILTER (WHERE kind = 'server') FROM spans GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 3",
    "SELECT DISTINCT ON (name) * FROM spans ORDER BY name",
    "SELECT * FROM spans s JOIN errors e USING (trace_id) LEFT JOIN deploys d ON d.deployed_at < s.start_time",
    "SELECT * FROM spans ASOF JOIN deploys ON spans.start_time >= deploys.deployed_at",
    "SELECT * FROM spans POSITIONAL JOIN deploys",
    "SELECT * FROM spans WHERE trace_id IN (SELECT trace_id FROM errors) AND NOT EXISTS (SELECT 1 FROM deploys)",
    "SELECT (SELECT max(deployed_at) FROM deploys) AS latest",
    "WITH slow AS (SELECT * FROM spans WHERE duration_ns > 1e9), top AS (SELECT * FROM slow LIMIT 3) FROM top, slow",
    "WITH spans AS (SELECT * FROM spans WHERE kind = 'server') SELECT * FROM spans",
    "WITH RECURSIVE tree AS (SELECT * FROM spans WHERE parent_span_id IS NULL UNION ALL SELECT s.* FROM spans s, tree t "
    "WHERE s.parent_span_id = t.span_id) SELECT count(*) FROM tree",
    "WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b) SELECT * FROM a",
    "SELECT * FROM (WITH b AS (SELECT 1) SELECT * FROM b) x",
    "SELECT * FROM range(10) t(i), generate_series(1, 2), unnest([1, 2]) u(x)",
    "SELECT unnest(services), unnest([1, 2])",
    "SELECT attributes['http.route'], events[1].name, list_transform([1, 2], lambda x: x + 1), [x * 2 FOR x IN [1, 2]]",
    "SELECT CASE WHEN a THEN 1 ELSE 2 END, a::VARCHAR, CAST(b AS DECIMAL(10, 2)), TRY_CAST(c AS INT), a BETWEEN 1 AND 2",
    "SELECT name COLLATE nocase, name LIKE '%x', name SIMILAR TO 'x', name ~ 'x', name IS DISTINCT FROM 'x'",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), lag(a) OVER w "
    "FROM spans WINDOW w AS (ORDER BY a) QUALIFY row_number() OVER (ORDER BY a) = 1",
    "SELECT COLUMNS('.*_name') FROM spans",
    "SELECT quantile_cont(duration_ns, [0.5, 0.95]), approx_quantile(a, 0.9), arg_max(a, b), list(a ORDER BY b)",
    "SELECT 1 UNION ALL SELECT 2 UNION SELECT 3 INTERSECT SELECT 4 EXCEPT SELECT 5",
    "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS b",
    "SELECT a, b, sum(c) FROM spans GROUP BY GROUPING SETS ((a), (b), ()), ROLLUP (a, b), CUBE (a)",
    "SELECT * FROM spans TABLESAMPLE 10 PERCENT",
    "SELECT * FROM spans ORDER BY start_time LIMIT 10 PERCENT OFFSET 3",
    "SELECT now(), today(), current_date, current_timestamp, date_trunc('hour', now()), INTERVAL 1 DAY, random(), uuid()",
    "SELECT epoch_ms(start_time), strftime(start_time, '%H'), time_bucket(INTERVAL 5 MINUTES, start_time) FROM spans",
    "SELECT regexp_extract(name, '(\\d+)', 1), string_split(name, '/'), to_json(spans), '{}'->>'$.a' FROM spans",
    "SELECT $name, $other",
    "SELECT $2, $1",
    "SELECT ?, ?",
    "SELECT {'a': 1, 'b': [1, 2]}, MAP {'a': 1}, struct_pack(x := 1), #1",
    "SELECT * FROM (VALUES (1), (2)) AS t(x)",
    "SELECT * FROM spans, LATERAL (SELECT spans.name) l",
    "SELECT * FROM (FROM spans SELECT name)",
    "SELECT '; DROP TABLE spans; --'",
    "SELECT 'read_text(''/etc/passwd'')', \"a;b\" FROM (SELECT 1 AS \"a;b\")",
    "SELECT * FROM (SELECT 1) AS \"read_text\"",
    "WITH \"a.csv\" AS (SELECT 1) SELECT * FROM \"A.CSV\"",
    "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
    "SELECT * FROM spans PIVOT (count(*) FOR kind IN ('server', 'client') GROUP BY name)",
)  # fmt: skip


@pytest.mark.parametrize("query", HONEST)
def test_a_select_over_the_views_passes(parse, query):
    text = checked(query, VIEWS, parse, max_rows=5)
    assert text == f"SELECT * FROM (\n{query.rstrip().removesuffix(';')}\n) LIMIT 6"


REFUSED = {
    "SELECT * FROM nothing": "there is no table 'nothing' here: ask deploys, errors, spans (line 1, column 15)",
    "SELECT\n*\nFROM 'x.csv'": "there is no table 'x.csv' here: ask deploys, errors, spans (line 3, column 6)",
    "SELECT 'ü' FROM memory.main.spans": "there is no table 'spans' here: ask deploys, errors, spans (line 1, column 17)",
    "SELECT * FROM read_csv('x')": "FROM read_csv(...) is not possible here, only generate_series, range, unnest, and",
    "SELECT current_setting('x')": "the function current_setting() is not possible here (line 1, column 8)",
    "SELECT max(getvariable('x')) OVER ()": "the function getvariable() is not possible here (line 1, column 12)",
    "SELECT 1; SELECT 2": "ask with one SELECT, not with 2 statements",
    "": "ask with one SELECT, not with 0 statements",
    "DELETE FROM spans": "ask with one SELECT: a query reads, and changes nothing",
    "WITH x AS (DELETE FROM spans RETURNING *) SELECT 1": "ask with one SELECT: a query reads, and changes nothing",
    "SELECT * FROM (SHOW TABLES)": "SHOW is not possible here",
    "SELEC 1": 'syntax error at or near "SELEC" (line 1, column 1)',
    "SELECT 1,\n  FROM": 'syntax error at or near "FROM" (line 2, column 3)',
    "SELECT 'x": "unterminated string literal (line 1, column 8)",
    "SELECT 1 -- /*\n/*": "unterminated /* comment",
    "SELECT 1) FROM spans --": 'syntax error at or near ")" (line 1, column 9)',
    "SELECT 1) LIMIT 1; SELECT (1": 'syntax error at or near ")" (line 1, column 9)',
}


@pytest.mark.parametrize(("query", "message"), REFUSED.items())
def test_what_is_refused_is_named_with_its_place(parse, query, message):
    with pytest.raises(QueryError) as refused:
        checked(query, VIEWS, parse, max_rows=5)
    assert str(refused.value).startswith(message)


def test_a_query_may_be_long_and_not_longer(parse):
    longest = "SELECT '" + "x" * (check.QUERY_MAX_BYTES - 9) + "'"
    checked(longest, VIEWS, parse, max_rows=5)
    with pytest.raises(QueryError, match="longer than 65536 bytes"):
        checked(longest + " ", VIEWS, parse, max_rows=5)


def test_what_comes_before_a_name_in_a_list_of_expressions_does_not_know_it(parse):
    with pytest.raises(QueryError, match="no table 'b'"):
        checked("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", VIEWS, parse, max_rows=5)


HARMLESS = {
    "current_date", "gen_random_uuid", "get_current_time", "get_current_timestamp", "now", "random", "today",
    "transaction_timestamp", "uuid", "uuidv4", "uuidv7", "current_localtime", "current_localtimestamp", "ago",
}  # fmt: skip
"""Of the functions that do more than compute with their arguments, those that tell the time or chance."""


def test_every_function_of_the_engine_that_does_more_than_compute_is_denied_or_harmless(engine):
    found = engine.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'macro') "
        "AND (has_side_effects OR stability != 'CONSISTENT')"
    ).fetchall()
    names = {name for (name,) in found}
    assert {"current_setting", "getvariable", "nextval", "write_log"} <= names
    assert {name for name in names if not is_denied(name)} <= HARMLESS


def test_every_macro_of_the_engine_that_asks_the_catalog_is_denied(engine):
    found = engine.execute(
        "SELECT DISTINCT function_name, lower(macro_definition) FROM duckdb_functions() WHERE function_type = 'macro'"
    ).fetchall()
    asking = {
        name
        for name, text in found
        if any(word in text for word in ("duckdb_", "pg_", "current_", "from ", "pragma", "error("))
    }
    assert len(asking) > 5
    assert {name for name in asking if not is_denied(name)} <= {"ago"}


def test_every_function_that_only_the_engine_calls_is_denied(engine):
    names = [name for (name,) in engine.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()]
    internal = [name for name in names if name.startswith("__internal")]
    assert internal
    assert all(map(is_denied, internal))


@pytest.mark.parametrize(
    "name", ["CURRENT_SETTING", "Pg_Sleep", "__INTERNAL_barrier", "duckdb_settings", "has_table_privilege"]
)
def test_a_function_is_denied_however_it_is_written(name):
    assert is_denied(name)


@pytest.mark.parametrize(
    "name", ["count", "read", "current_date", "list_transform", "has_any", "histogram", "query_id", "json"]
)
def test_a_function_that_computes_is_not_denied(name):
    assert not is_denied(name)


def test_no_function_of_tables_of_the_engine_passes_but_those_that_are_allowed(engine, parse):
    found = engine.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('table', 'table_macro', 'pragma')"
    ).fetchall()
    names = {name for (name,) in found}
    assert {"read_text", "read_csv", "glob", "query", "duckdb_settings", "parquet_metadata"} <= names
    for name in names - TABLE_FUNCTIONS:
        for text in (
            f"SELECT * FROM \"{name}\"('x')",
            f'SELECT * FROM "{name}"()',
            f"FROM spans, \"{name.upper()}\"(['x'], a := 1)",
        ):
            with pytest.raises(QueryError, match=rf"(?i)FROM {name}\(\.\.\.\) is not possible"):
                checked(text, VIEWS, parse, max_rows=5)

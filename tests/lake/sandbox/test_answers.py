"""How rows are written: every type, exactly."""

import io
import json
from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake.errors import QueryError
from lake.sandbox.answers import writer_of
from lake.sandbox.messages import Format

TYPES = [
    ("1", 1, "1"),
    ("NULL", None, ""),
    ("true", True, "true"),
    ("9223372036854775807", 2**63 - 1, "9223372036854775807"),
    ("9007199254740993", 2**53 + 1, "9007199254740993"),
    ("18446744073709551615::UBIGINT", 2**64 - 1, "18446744073709551615"),
    ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1, str(2**127 - 1)),
    ("sum(9223372036854775807) FROM range(3)", 3 * (2**63 - 1), str(3 * (2**63 - 1))),
    ("-1::TINYINT", -1, "-1"),
    ("0.5::DOUBLE", 0.5, "0.5"),
    ("1e300::DOUBLE", 1e300, "1e+300"),
    ("0.1::DOUBLE + 0.2::DOUBLE", 0.1 + 0.2, "0.30000000000000004"),
    ("'nan'::DOUBLE", "NaN", "NaN"),
    ("'inf'::FLOAT", "Infinity", "Infinity"),
    ("'-inf'::DOUBLE", "-Infinity", "-Infinity"),
    ("12.50::DECIMAL(10, 2)", 12.5, "12.50"),
    ("'text'", "text", "text"),
    ("''", "", '""'),
    ("'a,b'", "a,b", '"a,b"'),
    ("'say \"x\"'", 'say "x"', '"say ""x"""'),
    ("'a\nb'", "a\nb", '"a\nb"'),
    ("'\u2028 ü 🦆 \\'", "\u2028 ü 🦆 \\", "\u2028 ü 🦆 \\"),
    ("chr(1)", "\x01", "\x01"),
    ("'=1+1'", "=1+1", "'=1+1"),
    ("'+1'", "+1", "'+1"),
    ("'-1'", "-1", "'-1"),
    ("'@x'", "@x", "'@x"),
    ("chr(9) || 'x'", "\tx", "'\tx"),
    ("chr(13) || 'x'", "\rx", "\"'\rx\""),
    ("TIMESTAMPTZ '2026-11-23 10:00:00.123456+01'", "2026-11-23T09:00:00.123456Z", "2026-11-23T09:00:00.123456Z"),
    ("TIMESTAMP '2026-11-23 10:00:00'", "2026-11-23T10:00:00.000000", "2026-11-23T10:00:00.000000"),
    ("TIMESTAMP_NS '2026-11-23 10:00:00.123456789'", "2026-11-23T10:00:00.123456789", "2026-11-23T10:00:00.123456789"),
    ("'infinity'::TIMESTAMPTZ", "infinity", "infinity"),
    ("'-infinity'::TIMESTAMP", "-infinity", "'-infinity"),
    ("'infinity'::DATE", "infinity", "infinity"),
    ("DATE '2026-11-23'", "2026-11-23", "2026-11-23"),
    ("TIME '10:00:00.5'", "10:00:00.500000", "10:00:00.500000"),
    ("INTERVAL '1 month 2 days 3.5 seconds'", "P1M2DT3.5S", "P1M2DT3.5S"),
    ("INTERVAL (-90) SECOND", "P0M0DT-90S", "P0M0DT-90S"),
    ("'\\x00\\xff'::BLOB", "AP8=", "AP8="),
    ("'b'::ENUM ('a', 'b')", "b", "b"),
    ("'6f2a1c9e-0000-4000-8000-000000000001'::UUID", "6f2a1c9e-0000-4000-8000-000000000001",
     "6f2a1c9e-0000-4000-8000-000000000001"),
    ("'{\"a\": 1}'::JSON", '{"a": 1}', '"{""a"": 1}"'),
    ("[1, NULL, 3]", [1, None, 3], '"[1,null,3]"'),
    ("[]::INT[]", [], "[]"),
    ("NULL::INT[]", None, ""),
    ("[1, 2]::INT[2]", [1, 2], '"[1,2]"'),
    ("[[1], NULL, []]", [[1], None, []], '"[[1],null,[]]"'),
    ("{'a': 1, 'b': {'c': 'x'}}", {"a": 1, "b": {"c": "x"}}, '"{""a"":1,""b"":{""c"":""x""}}"'),
    ("NULL::STRUCT(a INT)", None, ""),
    ("(1, 'x')", {"element1": 1, "element2": "x"}, '"{""element1"":1,""element2"":""x""}"'),
    ("MAP {'a': 1, 'b': NULL}", {"a": 1, "b": None}, '"{""a"":1,""b"":null}"'),
    ("MAP {1: 'x'}", [[1, "x"]], '"[[1,""x""]]"'),
    ("MAP {}::MAP(VARCHAR, INT)", {}, "{}"),
    ("[{'t': DATE '2026-11-23', 'n': 'nan'::DOUBLE}]", [{"t": "2026-11-23", "n": "NaN"}],
     '"[{""t"":""2026-11-23"",""n"":""NaN""}]"'),
]  # fmt: skip
"""An expression, what JSON says, and the cell of CSV."""


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def batch_of(engine, query):
    return engine.sql(query).to_arrow_reader(1000).read_next_batch()


def written(format_, batch):
    writer = writer_of(format_, batch.schema, dict.fromkeys(batch.schema.names, "?"))
    assert writer.write(batch, max_bytes=10**6)
    return writer.close()


def expression(sql):
    return sql if " FROM " in sql else f"({sql})"


@pytest.mark.parametrize(("sql", "as_json", "cell"), TYPES, ids=[sql for sql, *_ in TYPES])
def test_a_value_is_written_exactly(engine, sql, as_json, cell):
    batch = batch_of(engine, f"SELECT {sql.replace(' FROM', ' AS x FROM')}" if " FROM " in sql else f"SELECT ({sql}) AS x")
    assert json.loads(written("json", batch)) == [{"x": as_json}]
    assert written("csv", batch).decode() == f"x\n{cell}\n"


def test_rows_in_the_middle_of_a_batch_are_written_alike(engine):
    query = (
        "SELECT i, [i, i + 1] AS list, MAP {'k': i} AS map, {'a': i} AS struct, CASE WHEN i % 2 = 0 THEN [i] END AS half, "
        "'t' || i AS text, TIMESTAMP '2026-01-01' + INTERVAL (i) SECOND AS time, "
        "['a', 'b']::VARCHAR[2] AS fixed FROM range(10) t(i)"
    )
    batch = batch_of(engine, query)
    whole = json.loads(written("json", batch))
    assert json.loads(written("json", batch.slice(3, 4))) == whole[3:7]
    lines = written("csv", batch).decode().splitlines()
    assert written("csv", batch.slice(3, 4)).decode().splitlines() == [lines[0], *lines[4:8]]
    assert whole[3] == {"i": 3, "list": [3, 4], "map": {"k": 3}, "struct": {"a": 3}, "half": None, "text": "t3",
                        "time": "2026-01-01T00:00:03.000000", "fixed": ["a", "b"]}  # fmt: skip


def test_several_batches_are_one_answer(engine):
    reader = engine.sql("SELECT i, 'x' || i AS x FROM range(5000) t(i)").to_arrow_reader(2048)
    batches = list(reader)
    assert len(batches) > 1
    expected = [{"i": i, "x": f"x{i}"} for i in range(5000)]
    for format_, read in READERS.items():
        writer = writer_of(format_, reader.schema, {})
        assert all(writer.write(batch, max_bytes=10**7) for batch in batches)
        assert writer.row_count == 5000
        assert read(writer.close()) == expected


READERS: dict[Format, Callable[[bytes], Any]] = {
    "json": json.loads,
    "csv": lambda content: pl.read_csv(content).rows(named=True),
    "arrow": lambda content: pa.ipc.open_stream(content).read_all().to_pylist(),
    "parquet": lambda content: pq.read_table(io.BytesIO(content)).to_pylist(),
}


@pytest.mark.parametrize(("format_", "read"), READERS.items())
def test_no_rows_are_an_answer_too(engine, format_, read):
    reader = engine.sql("SELECT 1 AS a WHERE false").to_arrow_reader(10)
    assert read(writer_of(format_, reader.schema, {}).close()) == []


def test_a_name_that_a_spreadsheet_would_run_is_no_formula(engine):
    assert written("csv", batch_of(engine, 'SELECT 1 AS "=1+1", 2 AS "a,b"')).decode() == '\'=1+1,"a,b"\n1,2\n'


def test_an_answer_does_not_grow_beyond_its_bytes(engine):
    batch = batch_of(engine, "SELECT repeat('x', 100) AS x FROM range(100)")
    for format_ in READERS:
        writer = writer_of(format_, batch.schema, {"x": "VARCHAR"})
        assert not writer.write(batch, max_bytes=5000)
        assert writer.row_count == 0
        assert writer.write(batch.slice(0, 30), max_bytes=5000)
        assert writer.row_count == 30


@pytest.mark.parametrize(
    ("format_", "sql"),
    [
        ("json", "'101'::BIT"),
        ("json", "['101'::BIT]"),
        ("json", "1::UHUGEINT"),
        ("json", "()"),
        ("json", "('101'::BIT, 1)"),
        ("parquet", "[()]"),
        ("csv", "TIMETZ '10:00:00+01'"),
        ("arrow", "union_value(a := 1)"),
        ("parquet", "INTERVAL 1 DAY"),
        ("parquet", "[INTERVAL 1 DAY]"),
        ("parquet", "{'a': {'b': INTERVAL 1 DAY}}"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_by_its_column(ask, format_, sql):
    with pytest.raises(QueryError, match=r"column 'odd' is of the type .* cast it"):
        ask(f"SELECT 1 AS one, {sql} AS odd", format=format_)
    assert ask(f"SELECT CAST({sql} AS VARCHAR) AS odd", format=format_).row_count == 1


def test_columns_of_one_name_are_told_apart(ask):
    answer = ask("SELECT 1 AS a, 2 AS a, 3 AS A")
    assert [column.name for column in answer.columns] == ["a", "a_1", "A_2"]
    assert json.loads(answer.content) == [{"a": 1, "a_1": 2, "A_2": 3}]


def test_a_name_that_ends_in_the_middle_elsewhere_is_refused(ask):
    with pytest.raises(QueryError, match="NUL"):
        ask('SELECT 1 AS "\0a", 2 AS "\0b"')

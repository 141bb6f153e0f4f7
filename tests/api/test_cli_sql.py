"""`tracelake sql`: answers in every form, from the files alone."""

import csv
import io
import json

import pytest

from tests.api.command_line import output, refusal, run
from tests.api.lakes import make_lake


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with ten spans, never compacted, in its live lake."""
    folder = tmp_path_factory.mktemp("sql") / "data"
    make_lake(folder, spans=10)
    return folder


def test_a_table_has_the_names_and_the_values(data):
    printed = output("sql", "--data", data, "SELECT service_name, count(*) AS n FROM spans GROUP BY 1")
    assert "service_name" in printed
    cells = [cell.strip() for cell in printed.splitlines()[-2].strip("│").split("┆")]
    assert cells == ["shop", "10"]


def test_a_table_of_many_columns_is_a_list_of_what_each_row_has(data):
    printed = output("sql", "--data", data, "SELECT * FROM spans ORDER BY span_id LIMIT 2")
    assert printed.count("-- row ") == 2
    values = dict(line.split(maxsplit=1) for line in printed.splitlines()[1:] if not line.startswith("--"))
    assert values["service_name"] == "shop"
    assert "db_system" not in values


def test_a_long_table_is_cut_and_says_so(data):
    done = run("sql", "--data", data, "SELECT i FROM range(101) t(i)")
    assert done.returncode == 0
    assert "│ 99" in done.stdout
    assert "│ 100" not in done.stdout
    assert "100 of 101 rows" in done.stderr


ODD = """
    SELECT sum(duration_ns) AS total, 1.50::DECIMAL(4, 2) AS price, '\\xAA'::BLOB AS bytes, INTERVAL 90 MINUTE AS span,
        TIMESTAMPTZ '2026-01-02 03:04:05+00' AS at, MAP {'a': 1} AS labels, [1, 2] AS list, {'x': NULL} AS struct,
        NULL AS nothing, 'nan'::DOUBLE AS ratio, 2::HUGEINT ** 100 AS huge, 'a"b,c' AS text
    FROM spans
"""


def test_json_has_every_type_that_a_query_can_give(data):
    [row] = json.loads(output("sql", "--data", data, "--format", "json", ODD))
    assert row == {
        "total": 50_000_000,
        "price": 1.5,
        "bytes": "aa",
        "span": "P0M0DT5400S",
        "at": "2026-01-02T03:04:05Z",
        "labels": {"a": 1},
        "list": [1, 2],
        "struct": {"x": None},
        "nothing": None,
        "ratio": None,
        "huge": 2.0**100,
        "text": 'a"b,c',
    }


def test_csv_has_every_type_that_a_query_can_give(data):
    [row] = csv.DictReader(io.StringIO(output("sql", "--data", data, "--format", "csv", ODD)))
    assert (row["total"], row["price"], row["bytes"], row["span"]) == ("50000000", "1.50", "aa", "P0M0DT5400S")
    assert (row["labels"], row["list"], row["struct"], row["nothing"]) == ('{"a":1}', "[1,2]", '{"x":null}', "")
    assert row["text"] == 'a"b,c'


def test_a_table_has_every_type_that_a_query_can_give(data):
    assert "P0M0DT5400S" in output("sql", "--data", data, ODD)


def test_an_answer_without_rows_is_an_answer(data):
    query = "SELECT name FROM spans WHERE name = 'nothing'"
    assert json.loads(output("sql", "--data", data, "--format", "json", query)) == []
    assert output("sql", "--data", data, "--format", "csv", query) == "name\n"


def test_all_rows_are_there(data):
    query = "SELECT i FROM range(5000) t(i)"
    assert len(json.loads(output("sql", "--data", data, "--format", "json", query))) == 5000
    assert output("sql", "--data", data, "--format", "csv", query).count("\n") == 5001


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM spans", "nothing"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT CAST(service_name AS INT) FROM spans", "Could not convert string 'shop' to INT32"),
        ("SET threads = 1", "one SELECT"),
    ],
)
def test_what_duckdb_refuses_is_said_and_not_traced(data, query, said):
    done = run("sql", "--data", data, query)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_holds_no_lake_is_named(tmp_path, data):
    assert "holds no lake" in refusal("sql", "--data", tmp_path, "SELECT 1")
    assert "sandbox holds no lake" in refusal("sql", "--data", data, "--sandbox", "SELECT 1")
    assert "other/live holds no lake" in refusal("sql", "--data", data, "--project", "other", "SELECT 1")


def test_project_and_sandbox_choose_the_lake(data):
    make_lake(data, spans=3, project="other", environment="sandbox")
    printed = output(
        "sql", "--data", data, "--project", "other", "--sandbox", "--format", "csv", "SELECT count(*) n FROM spans"
    )
    assert printed == "n\n3\n"

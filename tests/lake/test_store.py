"""A lake answers in SQL and by method, from files alone, to any number of threads and processes."""

import datetime as dt
import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lake
from lake.compaction import Compactor
from lake.errors import InvalidParameter, LakeCorrupt, NotALake, Overloaded, QueryError
from lake.folder import FILE_NAME, create_folder
from lake.schema import TABLES
from lake.settings import LakeSettings
from tests.lake.checks import DISK
from tests.lake.rows import Landing, deploy, error, exception_event, request, span, trace_id
from tests.lake.spans import START

VIEWS = ("spans", "errors", "exceptions", "deploys", "requests", "batches")
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def opened(lake_folder):
    with lake.open(lake_folder.path) as opened:
        yield opened


@pytest.fixture
def compactor(lake_folder):
    return Compactor(lake_folder, disk=DISK)


@pytest.fixture
def filled(landing, compactor, opened):
    """One row of everything in the tables and one in the landing."""
    for number in (1, 2):
        landing.put("spans", span(number, name=f"op {number}", events=[exception_event(f"raised {number}")]))
        landing.put("errors", error(f"reported {number}"))
        landing.put("deploys", deploy(number, version=str(number)))
        landing.put("requests", request(number))
        if number == 1:
            compactor.absorb()
    return opened


# SQL


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("SELECT name FROM spans WHERE name = $name", {"name": "op 2"}),
        ("SELECT name FROM spans WHERE name = ?", ["op 2"]),
        ("SELECT name FROM spans WHERE name = $1", ["op 2"]),
        ("FROM spans SELECT name WHERE name = 'op 2'", None),
        ("WITH s AS (SELECT * FROM spans) SELECT name FROM s WHERE name LIKE '%2'", None),
        ("SELECT name FROM \"spans\" WHERE name = 'op 2';", None),
        ("SELECT name FROM SPANS WHERE name = 'op 2'", None),
        ("SELECT s.name FROM spans s JOIN spans t USING (span_id) WHERE t.name = 'op 2'", None),
    ],
)
def test_a_question_in_sql_is_answered_over_tables_and_landing(filled, query, params):
    assert filled.sql(query, params).rows() == [{"name": "op 2"}]


def test_every_view_has_the_columns_of_its_table(filled):
    extra = {"errors": ["source"]}
    for name in VIEWS:
        columns = [column.name for column in TABLES[name].columns] + extra.get(name, [])
        assert sorted(filled.sql(f"SELECT * FROM {name}").columns) == sorted(columns)


def test_every_view_counts_tables_and_landing(filled):
    found = {name: filled.sql(f"SELECT count(*) AS n FROM {name}").rows()[0]["n"] for name in VIEWS}
    # a request is decided on when it is compacted; errors are the reported ones and those of spans
    assert found == {"spans": 2, "errors": 4, "exceptions": 2, "deploys": 2, "requests": 2, "batches": 1}


def test_a_query_may_name_any_number_of_views(filled):
    query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {name}) AS {name}" for name in VIEWS)
    assert filled.sql(query).rows() == [
        {"spans": 2, "errors": 4, "exceptions": 2, "deploys": 2, "requests": 2, "batches": 1}
    ]


def test_a_query_may_pivot_and_explain(filled):
    assert filled.sql("PIVOT (SELECT status, name FROM spans) ON status USING count(*) GROUP BY name").arrow().num_rows == 2
    assert filled.sql("EXPLAIN SELECT * FROM spans").arrow().num_rows == 1


def test_a_query_may_give_a_name_of_its_own_to_something_else(filled):
    assert filled.sql("WITH spans AS (SELECT 1 AS one) SELECT * FROM spans").rows() == [{"one": 1}]


def test_words_of_a_text_do_no_harm(filled):
    assert filled.sql("SELECT 'errors; deploys' AS text").rows() == [{"text": "errors; deploys"}]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO spans SELECT * FROM spans",
        "DROP VIEW spans",
        "SET threads = 1",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "PRAGMA version",
        "CALL pragma_version()",
        "SELECT 1; DROP VIEW spans",
    ],
)
def test_what_is_no_single_select_is_refused(opened, query):
    with pytest.raises(QueryError, match="ask with one SELECT"):
        opened.sql(query)


def test_a_copy_is_refused_before_it_has_written_anything(opened, tmp_path):
    with pytest.raises(QueryError):
        opened.sql(f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("query", "params", "message"),
    [
        ("SELEC 1", None, "syntax error"),
        ("SELECT nothing FROM spans", None, "nothing"),
        ("SELECT * FROM nowhere", None, "nowhere"),
        ("SELECT $a", {"b": 1}, "a"),
        ("SELECT ?", None, "param"),
    ],
)
def test_a_query_that_duckdb_refuses_says_why(filled, query, params, message):
    with pytest.raises(QueryError, match=message):
        filled.sql(query, params).arrow()


@pytest.mark.parametrize("take", ["arrow", "pl", "df", "rows", "__repr__"])
def test_a_value_that_fails_while_the_query_runs_is_a_query_error(filled, take):
    result = filled.sql("SELECT CAST(name AS INTEGER) FROM spans")
    with pytest.raises(QueryError, match="op"):
        getattr(result, take)()


def test_python_objects_are_no_tables(opened):
    nothing = pa.table({"a": [1]})
    assert nothing.num_rows
    with pytest.raises(QueryError):
        opened.sql("SELECT * FROM nothing")


def test_a_query_that_needs_more_memory_than_there_is_may_come_back(lake_folder, landing):
    landing.put("spans", span())
    with lake.open(lake_folder.path, LakeSettings(query_memory_mib=16)) as small:
        with pytest.raises(Overloaded, match="needs more memory"):
            small.sql("SELECT list(i::VARCHAR) FROM range(5000000) t(i)").arrow()
        assert small.sql("SELECT count(*) AS n FROM spans").rows() == [{"n": 1}]


def test_a_query_that_needs_the_disk_leaves_nothing_behind(lake_folder, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with lake.open(lake_folder.path, LakeSettings(query_memory_mib=64)) as small:
        query = "SELECT count(*) AS n FROM (SELECT i, hash(i) AS h FROM range(4000000) t(i) ORDER BY h OFFSET 1)"
        assert small.sql(query).rows() == [{"n": 3_999_999}]
        result = small.sql("SELECT 1")
    del result
    gc.collect()
    assert list((tmp_path / "here").iterdir()) == []
    assert list((tmp_path / "temporary").iterdir()) == []


# Results


def test_a_result_is_taken_by_every_frame_library(filled):
    result = filled.sql("SELECT name, duration_ns FROM spans ORDER BY 1")
    expected = {"name": ["op 1", "op 2"], "duration_ns": [1_000_000, 1_000_000]}
    assert pl.DataFrame(result).to_dict(as_series=False) == expected
    taken = pl.from_arrow(result)
    assert isinstance(taken, pl.Series)
    assert taken.struct.unnest().to_dict(as_series=False) == expected
    assert pa.table(result).to_pydict() == expected
    assert pd.DataFrame.from_arrow(result).to_dict("list") == expected
    assert result.pl().to_dict(as_series=False) == expected
    assert result.arrow().to_pydict() == expected
    assert result.df().to_dict("list") == expected
    assert result.rows() == [{"name": "op 1", "duration_ns": 1_000_000}, {"name": "op 2", "duration_ns": 1_000_000}]


def test_every_column_of_a_span_is_taken_by_every_frame_library(filled):
    result = filled.spans()
    assert len(result.pl()) == len(result.df()) == result.arrow().num_rows == 2
    assert result.arrow().column("start_time").type == pa.timestamp("us", tz="UTC")
    assert result.pl()["start_time"][0] == result.df()["start_time"][0] == START


def test_a_result_is_computed_when_it_is_asked_for(filled):
    result = filled.sql("SELECT error('computed') FROM spans")
    with pytest.raises(QueryError, match="computed"):
        result.arrow()


def test_a_result_keeps_the_moment_it_was_asked_at(filled, landing):
    result = filled.sql("SELECT count(*) AS n FROM spans")
    landing.put("spans", span(3))
    assert result.rows() == [{"n": 2}]


def test_the_text_of_a_result_has_no_more_than_twenty_rows(landing, opened):
    landing.put("spans", *(span(name=f"name-{i:03}") for i in range(50)))
    text = repr(opened.sql("SELECT name FROM spans ORDER BY 1"))
    assert text.count("name-") == 20


def test_a_file_that_is_gone_is_no_fault_of_the_query(filled, compactor):
    result = filled.sql("SELECT count(*) FROM spans")
    for file in compactor.log("spans").files():
        (compactor.log("spans").folder / file.path).unlink()
    with pytest.raises(LakeCorrupt, match="tracelake doctor"):
        result.arrow()
    with pytest.raises(LakeCorrupt, match="tracelake doctor"):
        filled.sql("SELECT count(*) FROM spans")
    with pytest.raises(QueryError):
        filled.sql("SELECT * FROM 'nowhere.parquet'")


def test_results_let_go_of_their_memory(lake_folder, landing):
    landing.put("spans", *(span(i, events=[exception_event("x" * 2000)]) for i in range(300)))
    with lake.open(lake_folder.path) as opened:

        def ask():
            opened.trace(trace_id(5)).arrow()
            opened.errors().arrow()
            opened.sql("SELECT * FROM spans").pl()

        ask()
        gc.collect()
        before = pa.total_allocated_bytes()
        for _ in range(8):
            ask()
        gc.collect()
        assert pa.total_allocated_bytes() <= before + 2**18
        [(held,)] = opened.sql("SELECT sum(memory_usage_bytes) AS held FROM duckdb_memory()").arrow().to_pandas().values
        assert held < 64 * 2**20


# Methods


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"service": "cart"}, ["b"]),
        ({"service": 'it\'s "quoted"; --'}, ["c"]),
        ({"since": START + SECOND}, ["b", "c"]),
        ({"until": START + SECOND}, ["a"]),
        ({"since": START + SECOND, "until": START + 2 * SECOND}, ["b"]),
        ({"service": "nobody"}, []),
        ({"since": START.astimezone(dt.timezone(dt.timedelta(hours=5))), "until": START + SECOND}, ["a"]),
    ],
)
@pytest.mark.parametrize("compacted", [False, True])
def test_spans_of_a_time_and_service(landing, compactor, opened, filters, names, compacted):
    services = ("shop", "cart", 'it\'s "quoted"; --')
    landing.put("spans", *(span(i, name="abc"[i], start_ns=i * 10**9, service_name=services[i]) for i in range(3)))
    if compacted:
        compactor.absorb()
    assert sorted(opened.spans(**filters).arrow().column("name").to_pylist()) == names


@pytest.mark.parametrize("compacted", [False, True])
def test_a_trace_is_found_by_its_id_in_any_case(landing, compactor, opened, compacted):
    id_ = "abcdef0123456789" * 2
    landing.put("spans", span(id_, start_ns=2001, name="second"), span(id_, start_ns=2000, name="first"), span(7))
    if compacted:
        compactor.absorb()
    assert opened.trace(id_.upper()).arrow().column("name").to_pylist() == ["first", "second"]
    assert opened.trace("0" * 32).arrow().num_rows == 0
    assert opened.trace("it's not hex").arrow().num_rows == 0
    assert opened.trace(id_, max_spans=1).arrow().column("name").to_pylist() == ["first"]


@pytest.mark.parametrize("split", [False, True])
def test_a_span_that_came_twice_is_in_its_trace_as_it_came_last(landing, compactor, opened, split):
    landing.put("spans", span(span_id="a" * 16, name="late", ingested_s=9, status="error"))
    if split:
        compactor.absorb()
    landing.put("spans", span(span_id="a" * 16, name="early", ingested_s=1, status="ok"))
    assert opened.trace(trace_id(1)).arrow().column("name").to_pylist() == ["late"]


def test_spans_that_share_an_id_but_not_kind_or_start_are_different_ones(landing, opened):
    same = {"span_id": "a" * 16}
    landing.put("spans", span(**same), span(**same, kind="client"), span(**same, start_ns=1), span(**same, start_ns=1000))
    assert opened.trace(trace_id(1)).arrow().num_rows == 4


def test_errors_of_a_time_a_service_and_a_trace(landing, opened):
    landing.put("errors", error("a", 0, service_name="shop"), error("b", 1, service_name="cart", trace_id=trace_id(10)))
    landing.put("spans", span(11, service_name="cart", events=[exception_event("c", 2)]))

    def messages(**filters):
        return opened.errors(**filters).arrow().column("message").to_pylist()

    assert messages() == ["c", "b", "a"]
    assert messages(service="cart") == ["c", "b"]
    assert messages(since=START + SECOND) == ["c", "b"]
    assert messages(until=START + SECOND) == ["a"]
    assert messages(trace_id=trace_id(10).upper()) == ["b"]
    assert messages(trace_id=trace_id(11), since=START, service="cart") == ["c"]


def test_a_repeated_report_outside_the_asked_time_is_known_for_one(landing, compactor, opened):
    """The same id came without a time of its own, so the repeat says another one."""
    landing.put("errors", error(id="err_1", at_s=0, ingested_s=0))
    compactor.absorb()
    landing.put("errors", error(id="err_1", at_s=30, ingested_s=30))
    compactor.absorb()
    assert opened.errors(since=START + 20 * SECOND).rows() == []
    assert len(opened.errors().rows()) == 1


def test_deploys_newest_first_each_once(landing, opened):
    landing.put("deploys", deploy(1, id="deploy_1", version="1", service_name="shop"), deploy(2, id="deploy_2", version="2"))
    landing.put("deploys", deploy(1, id="deploy_1", version="1", ingested_at=START + SECOND, service_name="shop"))
    assert opened.deploys().arrow().column("version").to_pylist() == ["2", "1"]
    assert opened.deploys(service="shop").arrow().column("version").to_pylist() == ["1"]
    assert opened.deploys(since=START + 2 * SECOND).arrow().column("version").to_pylist() == ["2"]
    assert opened.deploys(until=START + 2 * SECOND).arrow().column("version").to_pylist() == ["1"]


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("method", ["spans", "errors", "deploys", "traces"])
def test_a_time_without_zone_is_refused_by_its_name(opened, method, name):
    times = {"since": START, "until": START} if method == "traces" else {}
    with pytest.raises(InvalidParameter, match="no time zone") as refused:
        getattr(opened, method)(**times | {name: dt.datetime(2026, 11, 23)})  # noqa: DTZ001 - what is refused
    assert refused.value.param == name


@pytest.mark.parametrize("time", [dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)])
def test_times_at_the_end_of_the_calendar_are_times(filled, time):
    filled.errors(since=time).rows()
    filled.errors(until=time).rows()
    filled.spans(since=time).rows()
    filled.traces(since=dt.datetime.min.replace(tzinfo=dt.UTC), until=time).rows()


# Lakes in their beginnings


def test_an_empty_lake_answers_with_nothing(opened):
    assert all(opened.sql(f"SELECT count(*) AS n FROM {name}").rows() == [{"n": 0}] for name in VIEWS)
    assert opened.spans().rows() == opened.errors().rows() == opened.deploys().rows() == []
    assert opened.trace(trace_id(1)).rows() == []
    assert opened.traces(since=START, until=START + SECOND).rows() == []


def test_a_lake_that_gets_its_first_rows_while_it_is_open_shows_them(opened, landing, compactor):
    assert opened.spans().rows() == []
    landing.put("spans", span(1))
    assert len(opened.spans().rows()) == 1
    compactor.absorb()
    assert len(opened.spans().rows()) == 1
    landing.put("errors", error())
    assert len(opened.errors().rows()) == 1


def test_what_is_no_lake_is_refused(tmp_path):
    with pytest.raises(NotALake, match="holds no lake"):
        lake.open(tmp_path)
    with pytest.raises(NotALake, match="holds no lake"):
        lake.open(tmp_path / "nowhere")
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(NotALake, match="damaged"):
        lake.open(tmp_path)


def test_a_lake_that_is_deleted_while_it_is_open_says_so(lake_folder, opened, tmp_path):
    lake_folder.path.rename(tmp_path / "moved")
    with pytest.raises(NotALake):
        opened.sql("SELECT 1")


def test_a_closed_lake_says_so(lake_folder):
    opened = lake.open(lake_folder.path)
    opened.close()
    with pytest.raises(QueryError, match=r"(?i)clos"):
        opened.sql("SELECT 1")


@pytest.mark.parametrize(
    "name", ["it's", 'a "b" c', "a b", "[x]*?", "{a} $b", "ünï", "x=1", "day=2020-01-01", "semi;colon", "-- dash", "100%"]
)
def test_a_lake_may_lie_in_a_folder_of_any_name(tmp_path, name):
    folder = create_folder(tmp_path / name / "live")
    landing, compactor = Landing(folder), Compactor(folder, disk=DISK)
    with lake.open(folder.path) as opened:
        for number in (1, 2):
            landing.put("spans", span(number, events=[exception_event()]))
            if number == 1:
                compactor.absorb()
        assert opened.sql("SELECT count(*) AS n FROM spans").rows() == [{"n": 2}]
        assert len(opened.errors().rows()) == 2
        assert len(opened.trace(trace_id(1)).rows()) == 1
        assert len(opened.traces(since=START, until=START + SECOND).rows()) == 2
    landing.end()


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb"])
def test_a_folder_that_delta_readers_would_look_for_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(NotALake, match="%2"):
        create_folder(tmp_path / name)
    assert not (tmp_path / name).exists()


# Threads and processes


LANDS_WHAT_IT_IS_TOLD = """
import pathlib, sys
from lake.folder import open_folder
from tests.lake.rows import Landing, span
landing = Landing(open_folder(pathlib.Path(sys.argv[1])))
for line in sys.stdin:
    landing.put("spans", span(int(line)))
    print("landed", flush=True)
"""


def test_what_another_process_has_landed_is_in_the_next_answer(lake_folder, opened):
    command = [sys.executable, "-c", LANDS_WHAT_IT_IS_TOLD, str(lake_folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        for number in range(1, 11):
            print(number, file=other.stdin, flush=True)
            assert next(iter(other.stdout or ())) == "landed\n"
            assert opened.sql("SELECT count(*) AS n FROM spans").rows() == [{"n": number}]
            assert len(opened.trace(trace_id(number)).rows()) == 1
        other.communicate()
    assert other.returncode == 0


def test_another_process_reads_the_same(lake_folder, filled):
    script = "import sys, lake; print(lake.open(sys.argv[1]).sql('SELECT count(*) AS n FROM errors').rows())"
    command = [sys.executable, "-c", script, str(lake_folder.path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[{'n': 4}]"


def test_threads_ask_the_same_lake(filled):
    barrier = threading.Barrier(6)

    def ask(number):
        barrier.wait()
        for _ in range(3):
            name = VIEWS[number % len(VIEWS)]
            assert filled.sql(f"SELECT count(*) AS n FROM {name} WHERE $a = $a", {"a": number}).rows()[0]["n"] > 0
            assert len(filled.trace(trace_id(1)).rows()) == 1
            assert len(filled.traces(since=START, until=START + SECOND).rows()) == 2
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(6)))


def test_a_lake_leaves_the_duckdb_of_its_user_alone(filled):
    duckdb.sql("CREATE OR REPLACE TABLE spans AS SELECT 1 AS one")
    try:
        assert filled.sql("SELECT count(*) AS n FROM spans").rows() == [{"n": 2}]
        assert duckdb.execute("SELECT * FROM spans").fetchall() == [(1,)]
    finally:
        duckdb.sql("DROP TABLE spans")

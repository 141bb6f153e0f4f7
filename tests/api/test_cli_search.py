"""`tracelake search`: the traces of a query, from the files alone."""

import datetime as dt
import json

import pytest

from api.commands.search import moment
from lake.errors import InvalidParameter
from tests.api.command_line import output, refusal, run
from tests.api.lakes import make_lake

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
WINDOW = ("--since", "2026-11-23T08:00:00Z", "--until", "2026-11-23T10:00:00Z")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with one trace of ten spans in its live lake."""
    folder = tmp_path_factory.mktemp("search") / "data"
    make_lake(folder, spans=10)
    return folder


def test_a_table_has_a_line_for_each_trace(data):
    heading, line = output("search", "--data", data, *WINDOW, 'service.name = "shop" and name = "GET /1"').splitlines()
    assert heading.split() == ["start", "trace", "id", "service", "operation", "ms", "spans", "errors", "matched"]
    assert line.split()[-4:] == ["14.000", "10", "0", "2"]


def test_json_has_what_the_api_answers(data):
    [found] = json.loads(output("search", "--data", data, *WINDOW, "--json", "{ } | select(name)"))
    assert found["span_count"] == found["matched_spans"] == 10
    assert found["matched_fields"] == [{"name": "GET /0"}, {"name": "GET /1"}, {"name": "GET /2"}]


def test_the_limit_counts_traces(data):
    assert len(json.loads(output("search", "--data", data, *WINDOW, "--json", "--limit", 1, "{ }"))) == 1


def test_the_last_hour_is_searched_unless_another_time_is_named(data):
    assert json.loads(output("search", "--data", data, "--json", "{ }")) == []


def test_a_bad_query_is_shown_where_it_is_bad(data):
    done = run("search", "--data", data, "duration > fast")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1:] == ["duration > fast", "           ^"]


def test_a_bad_time_is_named(data):
    assert "'since'" in refusal("search", "--data", data, "--since", "yesterday", "{ }")


@pytest.mark.parametrize(
    ("text", "ago"), [("90s", "0:01:30"), ("30m", "0:30:00"), ("6h", "6:00:00"), ("2d", "2 days, 0:00:00")]
)
def test_a_time_may_be_how_long_ago_it_was(text, ago):
    assert str(NOW - moment("since", text, now=NOW)) == ago


def test_a_time_before_all_times_is_refused():
    with pytest.raises(InvalidParameter):
        moment("since", "999999999d", now=NOW)


def test_an_explained_search_says_on_stderr_what_it_ran_and_read(data):
    done = run("search", "--data", data, *WINDOW, "--json", "--explain", 'name = "GET /1"')
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["matched_spans"] == 2
    assert "-- candidates: 1 rows from 1 of 1 files" in done.stderr
    assert "= GET /1" in done.stderr
    assert 'name = "GET /1"' not in done.stderr


def test_what_a_server_ran_is_asked_of_the_server(data):
    done = run("search", "--url", "http://127.0.0.1:9", "--explain", "{ }", environment={"TRACELAKE_KEY": "k"})
    assert done.returncode == 2
    assert "--explain is about files" in done.stderr

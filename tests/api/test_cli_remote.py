"""`tracelake sql --url` and `tracelake search --url`: the same answers, from a server."""

import json

import pytest

from tests.api.clients import span
from tests.api.command_line import output, refusal, run


@pytest.fixture
def asking(server, project):
    """The options and the environment of one who asks the server."""
    project.ingest.store(span("GET /"), service="far")
    key = project.live.headers["authorization"].removeprefix("Bearer ")
    return ["sql", "--url", server.url], {"TRACELAKE_KEY": key}


def test_a_query_is_answered_by_the_server(asking):
    words, environment = asking
    query = "SELECT service_name, count(*) > 0 AS some FROM spans GROUP BY 1"
    assert json.loads(output(*words, "--format", "json", query, environment=environment)) == [
        {"service_name": "far", "some": True}
    ]
    assert output(*words, "--format", "csv", query, environment=environment) == "service_name,some\nfar,true\n"


def test_the_key_comes_from_the_variable_that_is_named(asking):
    words, environment = asking
    named = {"MY_KEY": environment["TRACELAKE_KEY"]}
    assert "1" in output(*words, "--key-env", "MY_KEY", "SELECT 1", environment=named)


def test_what_the_server_refuses_is_said_without_the_key(asking):
    words, environment = asking
    done = run(*words, "SELECT * FROM '/etc/passwd'", environment=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "/etc/passwd" in done.stderr
    assert "invalid_query" in done.stderr
    assert environment["TRACELAKE_KEY"] not in done.stderr
    assert "invalid_api_key" in refusal(*words, "SELECT 1", environment={"TRACELAKE_KEY": "mtk_live_" + "0" * 32})


def test_a_search_is_answered_by_the_server(asking):
    (_, *address), environment = asking
    found = json.loads(output("search", *address, "--json", 'service.name = "far"', environment=environment))
    assert {trace["root_operation"] for trace in found} == {"GET /"}
    heading, *lines = output("search", *address, "--limit", 1, "{ }", environment=environment).splitlines()
    assert heading.startswith("start")
    assert len(lines) == 1
    wrong = run("search", *address, "duration > fast", environment=environment)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "duration > fast\n           ^\n" in wrong.stderr


@pytest.mark.parametrize("option", [["--data", "."], ["--project", "other"], ["--sandbox"]])
def test_options_about_files_do_not_go_with_a_server(asking, option):
    words, environment = asking
    done = run(*words, *option, "SELECT 1", environment=environment)
    assert done.returncode == 2
    assert f"{option[0]} is about files" in done.stderr


def test_without_a_key_it_is_said_where_it_belongs(asking):
    words, _ = asking
    done = run(*words, "SELECT 1", environment={"TRACELAKE_KEY": ""})
    assert done.returncode == 2
    assert "TRACELAKE_KEY is empty" in done.stderr

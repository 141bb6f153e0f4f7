"""`tracelake rules`."""

import json

import pytest

from lake.control import Control
from tests.api.command_line import output, refusal

FILE = """
[[rule]]
name = "slow"
channels = ["slack"]
condition = { metric = "latency_p95", threshold = 100, window = "5m" }
"""


@pytest.fixture
def data(tmp_path):
    with Control(tmp_path / "data") as control:
        control.create_first_project()
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(FILE)
    return path


def listed(data, *options):
    return [rule["name"] for rule in json.loads(output("rules", "list", "--data", data, "--json", *options))]


def test_a_dry_run_prints_what_would_be_done_and_does_nothing(data, file):
    assert "create  slow" in output("rules", "apply", file, "--data", data, "--dry-run")
    assert listed(data) == []


def test_a_file_is_applied(data, file):
    done = json.loads(output("rules", "apply", file, "--data", data, "--json"))
    assert done == [{"action": "create", "name": "slow", "fields": []}]
    assert "keep    slow" in output("rules", "apply", file, "--data", data)
    assert listed(data) == ["slow"]
    assert listed(data, "--sandbox") == []
    assert "warning   ok     file" in output("rules", "list", "--data", data)
    file.write_text("")
    assert "delete  slow" in output("rules", "apply", file, "--data", data)
    assert listed(data) == []


def test_a_rule_that_cannot_be_is_refused_by_its_place(data, file):
    file.write_text(FILE.replace("5m", "soon"))
    assert "rule[1].condition.window" in refusal("rules", "apply", file, "--data", data)


def test_a_project_that_is_not_there_is_refused(data, file):
    assert "there is no 'shop'" in refusal("rules", "apply", file, "--data", data, "--project", "shop")

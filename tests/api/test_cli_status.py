"""`tracelake status`: one screen that says how everything is."""

import datetime as dt
import json

import pytest

from lake.control import Control
from lake.control.database import writing
from lake.control.job_runs import JobRun
from lake.control.nodes import SERVER, Description, Place
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.outbox import enqueue
from tests.api.command_line import output, refusal, run
from tests.api.lakes import make_lake
from tests.scheduler.alerts.alerts import FIRING

LAKE = Place("default", "live")


@pytest.fixture
def data(tmp_path):
    """A data folder with a lake, a broken one, a process, a job that fails and a message."""
    make_lake(tmp_path, spans=3)
    (tmp_path / "broken" / "live").mkdir(parents=True)
    (tmp_path / "broken" / "live" / "lake.json").write_bytes(b"{")
    now = dt.datetime.now(dt.UTC)
    failing = JobRun(LAKE, "retain", "node_1", 300, 9, 1, now, 0.2, None, now, "OSError", "No space left on [device]")
    working = JobRun(LAKE, "compact", "node_1", 1, 9, 0, now, 0.2, now, None, None, None, {"rows": 1200, "files": 0})
    with Control(tmp_path) as control:
        control.create_project("shop")
        said = Description(name="scheduler-1@host", gauges={"memory_bytes": 2**20, "cpu_percent": 7.0})
        control.nodes.beat(SERVER, "node_1", "scheduler", said)
        control.jobs.write([failing, working])
        with writing(control.engine) as connection, connection.begin():
            enqueue(connection, FIRING, [Channel("slack"), Channel("slack", "#ops")], now)
    return tmp_path


def test_it_tells_people_how_everything_is(data):
    printed = run("status", "--data", data, environment={"COLUMNS": "120"}).stdout
    lines = {
        words[0] if words[0] != "default/live" else " ".join(words[:2]): words
        for words in map(str.split, printed.splitlines())
        if words
    }
    assert lines["scheduler-1@host"][1] == "healthy"
    assert lines["broken/live"][1] == "unreadable"
    assert lines["default/live ok"][3] == "1"
    assert lines["default/live compact"][2] == "ok"
    assert "rows 1,200" in printed
    assert lines["default/live retain"][2] == "failing"
    assert "No space left on [device]" in printed
    assert lines["slack"] == ["slack", "pending", "2"]
    assert len(printed.splitlines()) <= 24


def test_it_tells_scripts_the_same(data):
    told = json.loads(output("status", "--data", data, "--json"))
    assert [(one["name"], one["state"]) for one in told["processes"]] == [("scheduler-1@host", "healthy")]
    assert {one["name"]: one["state"] for one in told["lakes"]} == {"broken/live": "unreadable", "default/live": "ok"}
    assert {one["name"]: (one["state"], one["error"]) for one in told["jobs"]} == {
        "compact": ("ok", None),
        "retain": ("failing", "No space left on [device]"),
    }
    assert told["alerts"] == []
    assert told["messages"] == [{"channel": "slack", "status": "pending", "count": 2}]


def test_a_folder_without_a_control_database_is_named(tmp_path):
    assert "check --data" in refusal("status", "--data", tmp_path / "none")

"""Deploys of live lakes reach PagerDuty, each once."""

import datetime as dt

import pytest

from lake.control import Control
from lake.folder import create_folder
from scheduler.alerts.deploy_notes import Deployed
from scheduler.alerts.deploy_watch import LATELY, DeployWatch
from scheduler.alerts.outbox import Outbox
from tests.lake.rows import Landing, deploy


@pytest.fixture
def control(tmp_path):
    with Control(tmp_path) as control:
        control.create_project("shop")
        yield control


def told(control):
    return [Deployed.from_json(one.content).version for one in Outbox(control.engine).pending()]


@pytest.fixture
def landing(tmp_path):
    landing = Landing(create_folder(tmp_path / "shop" / "live"))
    yield landing
    landing.end()


def test_a_deploy_is_told_once_and_one_from_long_ago_never(control, landing, tmp_path):
    now = dt.datetime.now(dt.UTC)
    landing.put("deploys", deploy(id="deploy_1", version="v1", deployed_at=now, ingested_at=now))
    watch = DeployWatch(tmp_path, control.engine)
    watch.look()
    watch.look()
    again = DeployWatch(tmp_path, control.engine)
    again.look()
    assert told(control) == ["v1"]
    late = DeployWatch(tmp_path, control.engine, lambda: now + LATELY + dt.timedelta(seconds=5))
    landing.put("deploys", deploy(id="deploy_2", version="v2", deployed_at=now, ingested_at=now))
    late.look()
    assert told(control) == ["v1"]
    for one in (watch, again, late):
        one.close()


def test_the_sandbox_tells_nothing_and_a_broken_lake_stops_no_other(control, landing, tmp_path, capsys):
    now = dt.datetime.now(dt.UTC)
    sandbox = Landing(create_folder(tmp_path / "shop" / "sandbox"))
    sandbox.put("deploys", deploy(version="v0", deployed_at=now, ingested_at=now))
    sandbox.end()
    broken = create_folder(tmp_path / "broken" / "live")
    (broken.path / "lake.json").write_bytes(b"{")
    landing.put("deploys", deploy(id="deploy_1", version="v1", deployed_at=now, ingested_at=now))
    watch = DeployWatch(tmp_path, control.engine)
    watch.look()
    watch.close()
    assert told(control) == ["v1"]
    assert "deploys not told" in "".join(capsys.readouterr())

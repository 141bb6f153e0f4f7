"""Rules under a clock that steps by an hour and by three days, as libfaketime has whole processes see it."""

import datetime as dt
import os
import shutil
import subprocess
import sys

import pytest

from lake.control import Control
from scheduler.alerts.outbox import Outbox, enqueue
from scheduler.alerts.rules import rule_of
from scheduler.alerts.store import AlertStore
from tests.lake.spans import START
from tests.scheduler.alerts.house import MINUTE, PLACE, House

SWEEP = """
import sys
from pathlib import Path
from lake.control import Control
from lake.settings import LakeSettings
from scheduler.alerts.outbox import enqueue
from scheduler.alerts.store import AlertStore
from scheduler.alerts.sweep import Sweep

data = Path(sys.argv[1])
with Control(data) as control:
    sweep = Sweep(data, LakeSettings(), AlertStore(control.engine, enqueue))
    print(len(sweep.run()))
    sweep.close()
"""


def swept(data, minute):
    """How many rules a scheduler judges that begins so many minutes after `START`."""
    time = START + minute * MINUTE + dt.timedelta(seconds=40)
    command = ["faketime", "-f", f"@{time:%Y-%m-%d %H:%M:%S}", sys.executable, "-c", SWEEP, str(data)]
    environment = os.environ | {"TZ": "UTC", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def told(data):
    with Control(data) as control:
        found = Outbox(control.engine).page(PLACE.project, PLACE.environment, limit=1000)
        return sorted(delivery.event for delivery in found)


@pytest.mark.full
@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
def test_a_clock_that_steps_tells_nobody_of_what_did_not_happen(tmp_path):
    """Healthy traffic, 40 rules; then one service is slow: that is told once, whatever the clock does meanwhile."""
    house = House(tmp_path / "data")
    store = AlertStore(house.control.engine, enqueue)
    for number in range(20):
        condition = {"metric": "latency_p95", "threshold": 100 + number, "window": "5m", "service": "orders", "for": "3m"}
        store.create(PLACE, rule_of({"name": f"slow {number}", "condition": condition, "channels": ["slack"]}))
        quiet = {"metric": "request_count", "operator": "<", "threshold": 5, "window": "5m", "service": "orders"}
        store.create(PLACE, rule_of({"name": f"quiet {number}", "condition": quiet, "channels": ["slack"]}))
    three_days = 3 * 24 * 60
    for minute in (*range(12), *range(three_days - 5, three_days + 12)):
        house.requests(minute, ms=500 if minute > three_days else 10)
    house.close()
    for minute in (5, 6, 66, 7, 8, three_days):
        assert swept(house.data, minute) == 40, minute
        assert told(house.data) == [], minute
    assert swept(house.data, three_days + 2) == 40
    assert swept(house.data, three_days + 2 - 60) == 40  # an hour back, when nothing had come
    assert told(house.data) == []
    assert swept(house.data, three_days + 12) == 40
    assert told(house.data) == ["firing"] * 20

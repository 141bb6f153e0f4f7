"""Services and endpoints of a long window are those of a short one, with fewer rows in memory."""

import datetime as dt

import lake
from lake import services
from lake.compaction import Compactor
from tests.lake.checks import DISK
from tests.lake.rows import span
from tests.lake.spans import START

MINUTE_NS = 60 * 10**9


def test_minutes_that_are_added_up_say_what_they_say_one_by_one(lake_folder, landing, monkeypatch):
    compactor = Compactor(lake_folder, disk=DISK)
    for part in range(3):
        landing.put(
            "spans",
            *(
                span(
                    100 * part + n,
                    kind=("server", "client", "internal")[n % 3],
                    service_name=("shop", "cart")[n % 2],
                    environment=(None, "prod", "test")[n % 3],
                    status=("ok", "error")[n % 5 == 0],
                    start_ns=(20 * part + n % 7) * MINUTE_NS,
                    duration_ns=1000 * (n + part),
                )
                for n in range(40)
            ),
        )
        if part < 2:
            compactor.absorb()
    with lake.open(lake_folder.path) as opened:
        found = asked(opened)
        assert [row["span_count"] for row in found[0]] == [60, 60]
        monkeypatch.setattr(services, "_MOST_HELD_ROWS", 0)
        assert asked(opened) == found


def asked(opened):
    until = START + dt.timedelta(hours=1)
    return [opened.services(since=START, until=until).rows(), opened.endpoints(since=START, until=until).rows()]

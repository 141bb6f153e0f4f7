"""What is too old goes and what nobody needs is deleted, and nothing goes before its time."""

import datetime as dt

import pytest

import lake
from lake.compaction import Compactor
from lake.retention import keep
from lake.rewrite import Hour, rewrite
from lake.settings import LakeSettings
from lake.tables import Partition
from tests.lake.checks import DISK, Clock
from tests.lake.rows import deploy, error, exception_event, request, span
from tests.lake.spans import START

DAY = dt.timedelta(days=1)
HOUR = Partition(START.date(), START.hour)
SETTINGS = LakeSettings()


@pytest.fixture
def compactor(lake_folder):
    """Absorbs at `START`."""
    return Compactor(lake_folder, disk=DISK, clock=Clock())


@pytest.fixture
def opened(lake_folder):
    with lake.open(lake_folder.path) as opened:
        yield opened


def kept_at(compactor, days, settings=SETTINGS):
    """Run retention so many days after `START`."""
    return keep(compactor, settings, now_s=(START + days * DAY).timestamp())


def names(opened, table="spans", column="name"):
    return sorted(row[column] for row in opened.sql(f"SELECT {column} FROM {table}").rows())


# Too old


@pytest.mark.parametrize(
    ("table", "days"),
    [("spans", 14), ("exceptions", 30), ("batches", 2), ("errors", 30), ("requests", 14), ("deploys", 90)],
)
def test_each_table_keeps_its_days(landing, compactor, table, days):
    landing.put("spans", span(events=[exception_event()]))
    landing.put("errors", error())
    landing.put("requests", request())
    landing.put("deploys", deploy())
    compactor.absorb()
    kept_at(compactor, days - 0.01)
    assert len(compactor.log(table).files()) == 1
    kept_at(compactor, days + 0.01)
    assert compactor.log(table).files() == []


def test_a_backfill_is_kept_as_long_as_what_happened_on_the_day_it_came(landing, compactor, opened):
    landing.put("spans", span(1, name="old"))
    landing.put("spans", span(2, name="backfill", ingested_s=10 * DAY.total_seconds()))
    landing.put("spans", span(3, name="future", start_ns=10 * 86_400 * 10**9))
    for _ in range(3):
        compactor.absorb()
    rewrite(compactor, Hour("spans", HOUR))
    kept_at(compactor, 15)
    # one file of the hour has the backfill, so all of it stays
    assert names(opened) == ["backfill", "future", "old"]
    kept_at(compactor, 24.1)
    assert names(opened) == []

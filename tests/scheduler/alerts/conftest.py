"""A house for alerts."""

import pytest

from tests.scheduler.alerts.house import House


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path / "data")
    yield house
    house.close()

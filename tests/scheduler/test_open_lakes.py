"""Lakes that a job reads stay open as long as they are what they were."""

import shutil

import pytest

from lake.control.nodes import Place
from lake.errors import NotALake
from lake.folder import create_folder
from lake.promotion import promote
from scheduler.open_lakes import OpenLakes

SHOP = Place("shop", "live")


@pytest.fixture
def lakes(tmp_path):
    lakes = OpenLakes(tmp_path)
    yield lakes
    lakes.close()


def test_a_lake_is_opened_once(lakes, tmp_path):
    create_folder(tmp_path / "shop/live")
    assert lakes.of(SHOP) is lakes.of(SHOP)


def test_a_place_without_a_lake_is_refused_until_there_is_one(lakes, tmp_path):
    with pytest.raises(NotALake):
        lakes.of(SHOP)
    create_folder(tmp_path / "shop/live")
    assert lakes.of(SHOP).sql("SELECT count(*) AS n FROM spans").rows() == [{"n": 0}]


def test_a_promotion_is_noticed(lakes, tmp_path):
    folder = create_folder(tmp_path / "shop/live")
    before = lakes.of(SHOP)
    promote(folder, "tenant")
    assert lakes.of(SHOP) is not before
    assert lakes.of(SHOP).sql("SELECT tenant FROM spans").rows() == []


def test_a_lake_that_was_deleted_is_not_there_any_more(lakes, tmp_path):
    create_folder(tmp_path / "shop/live")
    lakes.of(SHOP)
    shutil.rmtree(tmp_path / "shop")
    with pytest.raises(NotALake):
        lakes.of(SHOP)


def test_lakes_of_other_places_are_given_back(lakes, tmp_path):
    create_folder(tmp_path / "shop/live")
    before = lakes.of(SHOP)
    lakes.keep([SHOP])
    assert lakes.of(SHOP) is before
    lakes.keep([])
    assert lakes.of(SHOP) is not before

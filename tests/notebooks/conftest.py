"""Lakes for notebooks: a small shop, the same with hostile names, and an empty one."""

import pytest

import lake
from lake.folder import create_folder
from tests.notebooks.shop import HOSTILE, make_shop


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("shop") / "live")


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("hostile") / "live", HOSTILE)


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory):
    return create_folder(tmp_path_factory.mktemp("empty") / "live").path


@pytest.fixture(scope="session")
def shop(shop_folder):
    with lake.open(shop_folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def hostile(hostile_folder):
    with lake.open(hostile_folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def empty(empty_folder):
    with lake.open(empty_folder) as opened:
        yield opened

import orjson
import pytest

from lake.errors import NotALake
from lake.folder import create_folder, open_folder
from lake.schema import FORMAT_VERSION


def test_a_new_lake_names_its_format(lake_folder):
    assert orjson.loads((lake_folder.path / "lake.json").read_bytes())["format_version"] == FORMAT_VERSION


def test_a_folder_that_is_a_lake_stays_the_same_lake(lake_folder):
    before = (lake_folder.path / "lake.json").read_bytes()
    assert create_folder(lake_folder.path) == lake_folder
    assert (lake_folder.path / "lake.json").read_bytes() == before


def test_a_newer_format_is_refused(lake_folder):
    (lake_folder.path / "lake.json").write_bytes(orjson.dumps({"format_version": FORMAT_VERSION + 1}))
    with pytest.raises(NotALake, match="install a newer Tracelake"):
        open_folder(lake_folder.path)

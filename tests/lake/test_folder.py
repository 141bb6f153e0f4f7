"""What makes a folder a lake, and which lakes are refused."""

import orjson
import pytest

from lake.errors import NotALake
from lake.folder import add_promotion, create_folder, open_folder
from lake.schema import FORMAT_VERSION, PROMOTED, Promoted
from tests.lake.sim_disk import FlushFails, UnflushedDisk

DISK = UnflushedDisk()
TENANT = Promoted("tenant", "tenant", "+", "span", aliases=("tenant.id",))
REGION = Promoted("region", "cloud.region", "-", "resource")


def content_of(lake):
    return orjson.loads((lake.path / "lake.json").read_bytes())


def test_a_new_lake_names_its_format(lake_folder):
    assert content_of(lake_folder) == {"format_version": FORMAT_VERSION, "promoted": []}


def test_a_folder_that_is_a_lake_stays_the_same_lake(lake_folder):
    promoted = add_promotion(lake_folder, TENANT)
    assert create_folder(lake_folder.path) == promoted


def test_a_lake_that_another_process_makes_at_the_same_time_is_not_made_anew(tmp_path):
    class Slow(UnflushedDisk):
        def link(self, source, target):
            add_promotion(create_folder(target.parent, disk=DISK), TENANT, disk=DISK)
            super().link(source, target)

    assert create_folder(tmp_path / "lake", disk=Slow()).promoted == (*PROMOTED, TENANT)


def test_a_lake_has_no_name_before_its_folder_is_durable(tmp_path):
    with pytest.raises(OSError, match="Input/output error"):
        create_folder(tmp_path / "lake", disk=FlushFails(tmp_path))
    with pytest.raises(NotALake):
        open_folder(tmp_path / "lake")


def test_promotions_are_kept_in_their_order(lake_folder):
    add_promotion(lake_folder, TENANT)
    add_promotion(lake_folder, REGION)  # by somebody who does not know of the first one
    assert open_folder(lake_folder.path).promoted == (*PROMOTED, TENANT, REGION)


def test_a_newer_format_is_refused_whatever_else_it_says(lake_folder):
    content = {"format_version": FORMAT_VERSION + 1, "promoted": {"a": "map"}}
    (lake_folder.path / "lake.json").write_bytes(orjson.dumps(content))
    with pytest.raises(NotALake, match=rf"lake format {FORMAT_VERSION + 1}.*install a newer Tracelake"):
        open_folder(lake_folder.path)


def test_a_folder_without_a_lake_is_refused(tmp_path):
    with pytest.raises(NotALake, match=r"lake\.json is missing; check the path or create one"):
        open_folder(tmp_path)


def test_a_file_is_no_lake(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotALake, match="holds no lake"):
        open_folder(tmp_path / "file")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"{}", b'{"format_version": "1"}', b'{"format_version": 1}',
     b'{"format_version": 1, "promoted": [{"column": "a"}]}', b'{"format_version": 1, "promoted": 5}'],
)  # fmt: skip
def test_a_damaged_lake_is_refused(lake_folder, content):
    (lake_folder.path / "lake.json").write_bytes(content)
    with pytest.raises(NotALake, match="is damaged"):
        open_folder(lake_folder.path)

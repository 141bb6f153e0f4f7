"""What a lake takes on the disk."""

import time

import lake
from lake.compaction import Compactor
from lake.folder import open_folder
from lake.storage import storage
from tests.api.lakes import make_lake


def test_the_landing_waits_until_every_table_has_absorbed_it(tmp_path):
    folder = make_lake(tmp_path, spans=10)
    [landed] = (folder / "landing" / "spans").rglob("*.parquet")
    with lake.open(folder) as opened:
        before = storage(opened.snapshot())
        assert (before.waiting_files, before.waiting_bytes, before.table_bytes) == (1, landed.stat().st_size, 0)
        assert before.oldest_waiting_s == landed.stat().st_mtime <= time.time()
        Compactor(open_folder(folder)).absorb()
        after = storage(opened.snapshot())
        assert (after.waiting_files, after.waiting_bytes, after.oldest_waiting_s) == (0, 0, None)
        live = [path for path in folder.rglob("*.parquet") if "landing" not in path.parts and "_delta_log" not in path.parts]
        assert after.table_bytes == sum(path.stat().st_size for path in live) > 0
        assert storage(opened.snapshot()) == after


def test_a_waiting_file_that_has_just_been_deleted_counts_no_more(tmp_path):
    folder = make_lake(tmp_path, spans=10)
    with lake.open(folder) as opened:
        snapshot = opened.snapshot()
        for path in (folder / "landing").rglob("*.parquet"):
            path.unlink()
        assert storage(snapshot).waiting_files == 0

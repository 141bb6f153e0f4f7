"""`tracelake compact`: what waits is absorbed, once."""

import json

import lake
from lake.compaction import Compactor
from lake.folder import open_folder
from tests.api.command_line import output, refusal
from tests.api.lakes import make_lake


def test_what_waits_is_absorbed_and_the_same_is_there_afterwards(tmp_path):
    folder = make_lake(tmp_path, spans=10)
    make_lake(tmp_path, spans=5)
    told = json.loads(output("compact", "--data", tmp_path, "--json"))
    assert told["absorbed"] == {"files": 2, "rows": 15, "duplicate_requests": 0}
    assert set(told) == {"absorbed", "rewritten_hours", "deleted"}
    with lake.open(folder) as opened:
        assert not any(table.tail for table in opened.snapshot().tables.values())
        assert opened.sql("SELECT count(*) AS n FROM spans").rows() == [{"n": 15}]


def test_a_second_time_there_is_nothing_to_do(tmp_path):
    make_lake(tmp_path, spans=10)
    output("compact", "--data", tmp_path)
    assert json.loads(output("compact", "--data", tmp_path, "--json"))["absorbed"]["rows"] == 0


def test_without_json_it_is_one_line_for_people(tmp_path):
    make_lake(tmp_path, spans=10)
    [line] = output("compact", "--data", tmp_path).splitlines()
    assert line.startswith("10 rows out of 1 landing files")


def test_a_lake_that_another_process_compacts_is_left_to_it(tmp_path):
    folder = make_lake(tmp_path, spans=10)
    other = Compactor(open_folder(folder))
    other.lease.hold(now_s=other.clock())
    assert "compacts this lake" in refusal("compact", "--data", tmp_path)
    other.lease.release()
    assert json.loads(output("compact", "--data", tmp_path, "--json"))["absorbed"]["rows"] == 10


def test_a_folder_that_holds_no_lake_is_named(tmp_path):
    assert "holds no lake" in refusal("compact", "--data", tmp_path)


def test_a_setting_that_cannot_be_is_named(tmp_path):
    make_lake(tmp_path, spans=1)
    said = refusal("compact", "--data", tmp_path, environment={"TRACELAKE_SPANS_DAYS": "soon"})
    assert "TRACELAKE_SPANS_DAYS" in said

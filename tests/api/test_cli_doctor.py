"""`tracelake doctor`: what is wrong, where, and what to do; as text and for scripts."""

import json
from pathlib import Path

import pytest

import lake
from tests.api.command_line import output, refusal, run
from tests.api.lakes import make_lake


@pytest.fixture
def data(tmp_path):
    """A data folder with ten spans in tables and five that wait."""
    make_lake(tmp_path, spans=10)
    output("compact", "--data", tmp_path)
    make_lake(tmp_path, spans=5)
    return tmp_path


def live_file(data):
    """The file that the table of spans has now."""
    with lake.open(data / "default" / "live") as opened:
        [path] = opened.snapshot().tables["spans"].data_files()
    return Path(path)


def test_a_sound_lake_is_exit_code_0_and_its_state_is_told(data):
    told = json.loads(output("doctor", "--data", data, "--json"))
    assert told["is_healthy"] is True
    assert told["findings"] == []
    assert told["waiting_files"] == 1
    assert {table["name"]: table["rows"] for table in told["tables"]}["spans"] == 10


def test_without_json_it_is_a_table_for_people(data):
    printed = output("doctor", "--data", data)
    assert printed.splitlines()[0].split() == ["TABLE", "VERSION", "FILES", "ROWS", "MIB"]
    assert "1 landing files" in printed
    assert printed.rstrip().endswith("Nothing is wrong.")


@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_a_file_that_is_gone_is_exit_code_1_with_its_name_and_a_remedy(data, options):
    file = live_file(data)
    file.unlink()
    done = run("doctor", "--data", data, "--json", *options)
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr, told["is_healthy"]) == (1, "", False)
    [finding] = told["findings"]
    assert (finding["severity"], finding["place"]) == ("error", str(file))
    assert "restore" in finding["remedy"]
    for_people = run("doctor", "--data", data, *options)
    assert for_people.returncode == 1
    assert f"error: {file}" in for_people.stdout
    assert "What to do: " in for_people.stdout


def test_a_flipped_bit_is_found_unless_it_should_be_quick(data):
    file = live_file(data)
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    assert run("doctor", "--data", data).returncode == 1
    assert run("doctor", "--data", data, "--quick").returncode == 0


def test_a_folder_that_holds_no_lake_is_named(tmp_path):
    assert "holds no lake" in refusal("doctor", "--data", tmp_path)

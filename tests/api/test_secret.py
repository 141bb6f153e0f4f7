"""The secret that signs cursors."""

import stat
import subprocess
import sys

import pytest

from api.secret import SIZE_BYTES, cursor_secret
from lake.errors import SettingError


def test_a_secret_is_made_once_and_stays(tmp_path):
    first = cursor_secret(tmp_path / "data")
    assert len(first) == SIZE_BYTES
    assert cursor_secret(tmp_path / "data") == first
    assert cursor_secret(tmp_path / "other") != first


def test_only_its_owner_can_read_it(tmp_path):
    cursor_secret(tmp_path)
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree(tmp_path):
    program = (
        "import sys, pathlib; from api.secret import cursor_secret; print(cursor_secret(pathlib.Path(sys.argv[1])).hex())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path / "data"], stdout=subprocess.PIPE) for _ in range(6)
    ]
    answers = {process.communicate()[0] for process in processes}
    assert len(answers) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cursor.key"]


@pytest.mark.parametrize("content", [b"", b"x" * (SIZE_BYTES - 1)])
def test_a_secret_that_anybody_could_guess_is_refused(tmp_path, content):
    (tmp_path / "cursor.key").write_bytes(content)
    with pytest.raises(SettingError, match="delete it"):
        cursor_secret(tmp_path)

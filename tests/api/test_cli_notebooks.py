"""`tracelake notebooks`: copies, and never over what is there."""

import json
from pathlib import Path

from notebooks import bundled
from tests.api.command_line import output, refusal


def test_every_bundled_notebook_is_copied_and_named(tmp_path):
    folder = tmp_path / "new" / "folder"
    printed = output("notebooks", folder).splitlines()
    assert printed == [str(folder / f"{name}.ipynb") for name in bundled.names()]
    assert printed
    for line in printed:
        assert json.loads(Path(line).read_text())["nbformat"] == 4


def test_what_is_there_stays_as_it_is(tmp_path):
    mine = tmp_path / f"{bundled.FIRST}.ipynb"
    mine.write_text("my own")
    assert str(mine) not in output("notebooks", tmp_path)
    assert mine.read_text() == "my own"
    assert output("notebooks", tmp_path) == ""


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refusal("notebooks", tmp_path / "file" / "folder")

"""The steps that durability rests on come in their order, and one that fails leaves nothing behind that looks whole."""

import errno
import os
import threading

import pytest

from lake.disk import Disk, create_durably, make_folders_durably, replace_durably, write_durably
from tests.lake.sim_disk import FlushFails, UnflushedDisk

DISK = UnflushedDisk()


class Recording(Disk):
    """The file system; notes what is done and fails where it is told to."""

    def __init__(self, *, fail=None):
        self.steps = []
        self.fail = fail

    def _note(self, step, *paths):
        self.steps.append((step, *(path.name for path in paths)))
        if step == self.fail:
            raise OSError(errno.EIO, "Input/output error")

    def write(self, path, data):
        self._note("write", path)
        super().write(path, data)

    def flush(self, path):
        self._note("flush", path)
        super().flush(path)

    def rename(self, source, target):
        self._note("rename", source, target)
        super().rename(source, target)

    def link(self, source, target):
        self._note("link", source, target)
        super().link(source, target)

    def unlink(self, path):
        self._note("unlink", path)
        super().unlink(path)

    def flush_folder(self, folder):
        self._note("flush_folder", folder)
        super().flush_folder(folder)

    def make_folder(self, folder):
        self._note("make_folder", folder)
        super().make_folder(folder)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# write_durably


def test_a_file_is_written_flushed_named_and_its_name_flushed_in_this_order(tmp_path):
    disk = Recording()
    write_durably(disk, tmp_path / "a", b"rows")
    assert disk.steps == [("write", "a.tmp"), ("flush", "a.tmp"), ("rename", "a.tmp", "a"), ("flush_folder", tmp_path.name)]
    assert (tmp_path / "a").read_bytes() == b"rows"


@pytest.mark.parametrize(
    ("write", "step"),
    [
        *((write_durably, step) for step in ("write", "flush", "rename")),
        *((replace_durably, step) for step in ("write", "flush", "rename")),
        *((create_durably, step) for step in ("write", "flush", "link")),
    ],
)
def test_a_step_that_fails_leaves_nothing_visible(tmp_path, write, step):
    with pytest.raises(OSError, match="Input/output error"):
        write(Recording(fail=step), tmp_path / "a", b"rows")
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", [write_durably, replace_durably, create_durably])
def test_a_folder_that_cannot_be_flushed_is_reported(tmp_path, write):
    with pytest.raises(OSError, match="Input/output error"):
        write(Recording(fail="flush_folder"), tmp_path / "a", b"rows")
    assert names(tmp_path) == ["a"]


def test_the_first_failure_is_the_one_that_is_reported(tmp_path):
    class Failing(Recording):
        def unlink(self, path):
            raise OSError(errno.EROFS, "Read-only file system")

    with pytest.raises(OSError, match="Input/output error"):
        write_durably(Failing(fail="flush"), tmp_path / "a", b"rows")


def test_a_full_disk_that_takes_part_of_a_write_is_asked_for_the_rest(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_durably(DISK, tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_file_that_is_there_is_not_written_into(tmp_path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(FileExistsError):
        Disk().write(tmp_path / "a", b"rows")
    assert (tmp_path / "a").read_bytes() == b"before"


# replace_durably


def test_a_replaced_file_is_the_old_or_the_new_one(tmp_path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(OSError, match="Input/output error"):
        replace_durably(Recording(fail="rename"), tmp_path / "a", b"after")
    assert (tmp_path / "a").read_bytes() == b"before"
    replace_durably(DISK, tmp_path / "a", b"after")
    assert (tmp_path / "a").read_bytes() == b"after"
    assert names(tmp_path) == ["a"]


def test_a_temporary_file_that_a_crash_left_is_in_nobodys_way(tmp_path):
    class Crashing(Recording):
        def rename(self, source, target):
            raise KeyboardInterrupt

        def unlink(self, path):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            replace_durably(Crashing(), tmp_path / "a", b"rows")
    replace_durably(DISK, tmp_path / "a", b"rows")
    assert (tmp_path / "a").read_bytes() == b"rows"


# create_durably


def test_a_created_file_is_durable_before_it_has_its_name(tmp_path):
    disk = Recording()
    create_durably(disk, tmp_path / "a", b"rows")
    assert [step for step, *_ in disk.steps] == ["write", "flush", "link", "unlink", "flush_folder"]
    assert names(tmp_path) == ["a"]


def test_a_created_file_is_not_put_in_the_place_of_another(tmp_path):
    create_durably(DISK, tmp_path / "a", b"first")
    with pytest.raises(FileExistsError):
        create_durably(DISK, tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


def test_of_many_that_create_the_same_file_one_wins(tmp_path):
    ready = threading.Barrier(8)
    won = []

    def create(number):
        ready.wait()
        try:
            create_durably(DISK, tmp_path / "a", str(number).encode())
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() == str(won[0]).encode()
    assert len(won) == 1


# make_folders_durably


def test_each_new_folder_is_flushed_into_its_parent_before_it_has_a_child(tmp_path):
    disk = Recording()
    make_folders_durably(disk, tmp_path / "a" / "b")
    assert disk.steps == [
        ("flush_folder", tmp_path.parent.name),
        ("make_folder", "a"),
        ("flush_folder", tmp_path.name),
        ("make_folder", "b"),
        ("flush_folder", "a"),
    ]


def test_a_folder_whose_name_could_not_be_flushed_is_flushed_by_the_next_who_needs_it(tmp_path):
    with pytest.raises(OSError, match="Input/output error"):
        make_folders_durably(FlushFails(tmp_path), tmp_path / "a" / "b")
    assert names(tmp_path / "a") == []
    disk = Recording()
    make_folders_durably(disk, tmp_path / "a" / "b")
    assert disk.steps[0] == ("flush_folder", tmp_path.name)


def test_a_folder_that_somebody_else_is_making_is_flushed_all_the_same(tmp_path):
    (tmp_path / "a").mkdir()
    disk = Recording()
    make_folders_durably(disk, tmp_path / "a")
    assert disk.steps == [("flush_folder", tmp_path.name)]


def test_a_parent_that_may_not_be_read_is_none_of_ours(tmp_path):
    class Forbidden(Disk):
        def flush_folder(self, folder):
            if folder == tmp_path.parent:
                raise PermissionError(errno.EACCES, "Permission denied")

    make_folders_durably(Forbidden(), tmp_path / "a")
    assert (tmp_path / "a").is_dir()

"""What was acknowledged survives power loss at any moment, once, also on a disk that fails now and then."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.disk import write_durably
from tests.lake.power_loss import ACTIONS, CRASHES, Plan, check
from tests.lake.sim_disk import SimDisk

PLANS = st.builds(
    Plan,
    st.lists(st.sampled_from(ACTIONS), min_size=2, max_size=7).map(tuple),
    st.sets(st.integers(5, 160), max_size=2).map(frozenset),
    st.integers(0, 2**32),
)


@settings(deadline=None, max_examples=32 // CRASHES)
@given(PLANS)
def test_what_was_acknowledged_survives_power_loss_at_some_moments(tmp_path_factory, plan):
    check(plan, tmp_path_factory.mktemp("lake"))


@pytest.mark.full
@settings(deadline=None, max_examples=10_000 // CRASHES)
@given(PLANS)
def test_what_was_acknowledged_survives_power_loss_at_ten_thousand_moments(tmp_path_factory, plan):
    check(plan, tmp_path_factory.mktemp("lake"))


# The disk that forgets


@pytest.fixture
def left_after(tmp_path):
    """The states of a file that `act` makes, as 200 power losses after its last operation leave it; None if it is gone."""

    def left_after(act):
        (root := tmp_path / "root").mkdir()
        disk = SimDisk(root)
        act(disk, root / "a")
        found = set()
        for seed in range(200):
            target = tmp_path / str(seed)
            disk.lose_power(target, after=disk.done, random=Random(seed))  # noqa: S311 - repeatable
            found.add((target / "a").read_bytes() if (target / "a").exists() else None)
        return found

    return left_after


CONTENT = bytes(range(256)) * 4


def test_a_file_written_durably_is_there_whole(left_after):
    assert left_after(lambda disk, path: write_durably(disk, path, CONTENT)) == {CONTENT}


def test_a_file_that_was_not_flushed_may_be_gone_whole_empty_cut_or_have_holes(left_after):
    found = left_after(lambda disk, path: disk.write(path, CONTENT))
    assert found >= {None, CONTENT, b"", CONTENT[:512], CONTENT[:512] + bytes(512), bytes(512) + CONTENT[512:]}


def test_a_file_whose_folder_was_not_flushed_may_be_gone_but_is_whole(left_after):
    def act(disk, path):
        disk.write(path, CONTENT)
        disk.flush(path)

    assert left_after(act) == {None, CONTENT}


def test_a_name_that_was_replaced_is_the_old_or_the_new_one(left_after):
    def act(disk, path):
        write_durably(disk, path, b"old")
        disk.write(path.with_name("b"), b"new")
        disk.flush(path.with_name("b"))
        disk.rename(path.with_name("b"), path)

    assert left_after(act) == {b"old", b"new"}


def test_a_folder_that_was_not_flushed_takes_what_is_in_it_along(left_after):
    def act(disk, path):
        disk.make_folder(path.with_name("folder"))
        write_durably(disk, path.with_name("folder") / "a", CONTENT)
        disk.write(path, CONTENT)

    assert None in left_after(act)


def test_what_was_done_after_the_power_went_is_not_there(tmp_path):
    (root := tmp_path / "root").mkdir()
    disk = SimDisk(root)
    write_durably(disk, root / "a", CONTENT)
    done = disk.done
    write_durably(disk, root / "b", CONTENT)
    disk.lose_power(tmp_path / "left", after=done, random=Random(1))  # noqa: S311 - repeatable
    assert [path.name for path in (tmp_path / "left").iterdir()] == ["a"]


def test_an_operation_that_is_told_to_fail_does(tmp_path):
    with pytest.raises(OSError, match="Input/output error"):
        write_durably(SimDisk(tmp_path, fail_at={1}), tmp_path / "a", CONTENT)
    assert list(tmp_path.iterdir()) == []

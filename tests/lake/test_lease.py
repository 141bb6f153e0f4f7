"""One compactor at a time, and none kept out for longer than a lease lasts."""

import pytest

from lake.errors import LeaseLost
from lake.lease import LEASE_S, Lease

NOW_S = 1_800_000_000.0


@pytest.fixture
def mine(tmp_path):
    return Lease(tmp_path, owner="mine")


@pytest.fixture
def other(tmp_path):
    return Lease(tmp_path, owner="other")


def test_a_lease_keeps_others_out_until_it_ends(mine, other):
    mine.hold(now_s=NOW_S)
    with pytest.raises(LeaseLost, match="mine compacts this lake until"):
        other.hold(now_s=NOW_S + LEASE_S - 0.1)
    other.hold(now_s=NOW_S + LEASE_S)


def test_a_lease_is_renewed_by_its_holder(mine, other):
    mine.hold(now_s=NOW_S)
    mine.hold(now_s=NOW_S + LEASE_S - 1)
    with pytest.raises(LeaseLost):
        other.hold(now_s=NOW_S + LEASE_S + 1)


def test_a_lease_that_another_took_is_lost(mine, other):
    mine.hold(now_s=NOW_S)
    other.hold(now_s=NOW_S + LEASE_S)
    with pytest.raises(LeaseLost):
        mine.hold(now_s=NOW_S + LEASE_S + 1)


def test_a_released_lease_is_free_at_once(mine, other):
    mine.hold(now_s=NOW_S)
    mine.release()
    other.hold(now_s=NOW_S)


def test_the_lease_of_another_is_not_released(mine, other):
    mine.hold(now_s=NOW_S)
    other.release()
    with pytest.raises(LeaseLost):
        other.hold(now_s=NOW_S)


def test_two_leases_of_one_process_are_two(tmp_path):
    assert Lease(tmp_path).owner != Lease(tmp_path).owner


@pytest.mark.parametrize("back_s", [1.5 * LEASE_S, 86_400.0])
def test_a_lease_from_before_the_clock_was_set_back_keeps_nobody_out(mine, other, back_s):
    mine.hold(now_s=NOW_S)
    other.hold(now_s=NOW_S - back_s)
    with pytest.raises(LeaseLost):
        mine.hold(now_s=NOW_S - back_s)


def test_a_clock_that_goes_back_a_little_takes_no_lease_away(mine, other):
    mine.hold(now_s=NOW_S)
    mine.hold(now_s=NOW_S - 5)
    with pytest.raises(LeaseLost):
        other.hold(now_s=NOW_S - 5)


@pytest.mark.parametrize("content", [b"", b'{"owner": "ot', bytes(60)])
def test_a_lease_that_a_crash_cut_short_is_nobodys(mine, tmp_path, content):
    (tmp_path / "compactor.lease").write_bytes(content)
    mine.hold(now_s=NOW_S)

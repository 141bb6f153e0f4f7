"""Of several schedulers on one data folder one works and the others wait."""

import pytest

from lake.control.process import FOLDER
from lake.lease import LEASE_S
from scheduler.turn import TAKE_EVERY_S, Turn


class Clock:
    """Both clocks of a process; a process that is stopped sees them go on."""

    def __init__(self):
        self.now_s = 1_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turns(tmp_path, clock):
    (tmp_path / FOLDER).mkdir()
    return [Turn(tmp_path, f"node_{number}", now_s=clock, elapsed_s=clock) for number in range(2)]


def mine(turns):
    return [turn.is_mine() for turn in turns]


def test_nobody_works_before_the_turn_is_taken_and_the_first_one_works(turns):
    assert mine(turns) == [False, False]
    for turn in turns:
        turn.take()
    assert mine(turns) == [True, False]


def test_who_renews_keeps_the_turn(turns, clock):
    for _ in range(0, 3 * LEASE_S, TAKE_EVERY_S):
        for turn in turns:
            turn.take()
        assert mine(turns) == [True, False]
        clock.now_s += TAKE_EVERY_S


def test_who_is_killed_or_stopped_is_followed_and_never_two_work(turns, clock):
    turns[0].take()
    taken = []
    for second in range(2 * LEASE_S):
        clock.now_s += 1
        turns[1].take()
        assert mine(turns) != [True, True]
        taken += [second] if turns[1].is_mine() else []
    assert taken[0] <= LEASE_S
    turns[0].take()  # the one that was stopped goes on
    assert mine(turns) == [False, True]


def test_who_ends_lets_the_next_one_work_at_once(turns):
    turns[0].take()
    turns[0].give_up()
    turns[1].take()
    assert mine(turns) == [False, True]


def test_a_clock_that_is_set_back_does_not_keep_the_turn_for_ever(turns, clock):
    turns[0].take()
    clock.now_s -= 3600
    turns[1].take()
    assert turns[1].is_mine()
    turns[0].take()
    assert not turns[0].is_mine()


def test_a_folder_that_cannot_be_written_is_no_end(turns, monkeypatch, capsys):
    turns[0].take()

    def fails(self, *, now_s):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lake.lease.Lease.hold", fails)
    turns[0].take()
    assert turns[0].is_mine()
    assert "No space left" in "".join(capsys.readouterr())
